//! Patterns with `*` and `?`, as the library's hubs have them.

/// Whether a pattern matches a name: `*` any characters, `?` one.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    // Where to go on if a later character does not match: one further behind the last star.
    let (mut at, mut of, mut retry) = (0, 0, None);
    while of < name.len() {
        match pattern.get(at) {
            Some('*') => {
                retry = Some((at + 1, of));
                at += 1;
            }
            Some(character) if *character == '?' || *character == name[of] => (at, of) = (at + 1, of + 1),
            _ => {
                let Some((behind, from)) = retry else { return false };
                (at, of) = (behind, from + 1);
                retry = Some((behind, from + 1));
            }
        }
    }
    pattern[at..].iter().all(|character| *character == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_those_of_hubs() {
        for (pattern, name) in
            [("*", ""), ("*", "a"), ("w-?", "w-ü"), ("*-7", "w-1-7"), ("a*b*c", "abbbc"), ("", "")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("", "a"), ("?", ""), ("w-?", "w-"), ("*-7", "w-77"), ("a*b", "abc")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
