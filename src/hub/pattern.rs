//! Patterns of channel names.

/// Whether `name` is as `pattern` says, in which `*` stands for any characters, also none, and `?` for any one.
///
/// Takes time in proportion to the product of the lengths at worst, whatever the pattern.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut done) = (0, 0);
    // Where to go on if what follows the last star doesn't fit: one character more for the star.
    let mut again = None;
    while done < name.len() {
        match pattern.get(at) {
            Some('*') => {
                again = Some((at, done));
                at += 1;
            }
            Some(expected) if *expected == '?' || *expected == name[done] => {
                at += 1;
                done += 1;
            }
            _ => {
                let Some((star, taken)) = again else { return false };
                again = Some((star, taken + 1));
                (at, done) = (star + 1, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_stand_for_what_they_say() {
        for (pattern, name, fits) in [
            ("*", "", true),
            ("*", "worker-7", true),
            ("", "", true),
            ("", "a", false),
            ("worker-7", "worker-7", true),
            ("worker-7", "worker-77", false),
            ("worker-*", "worker-77", true),
            ("worker-?", "worker-77", false),
            ("worker-??", "worker-77", true),
            ("*-7", "worker-7", true),
            ("*-7", "worker-7-8", false),
            ("w*r*7", "worker-7", true),
            ("w*x*7", "worker-7", false),
            ("**", "ü", true),
            ("?", "ü", true),
            ("?", "", false),
            ("a*b", "ab", true),
            ("a*ab", "aaab", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern:?} {name:?}");
        }
    }

    #[test]
    fn no_pattern_takes_for_ever() {
        let pattern = "*a".repeat(100);
        assert!(!matches(&pattern, &"a".repeat(99)));
        assert!(matches(&pattern, &"a".repeat(100)));
    }
}
