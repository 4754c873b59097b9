//! Patterns of channel names.

use std::fmt::{self, Display, Formatter};

/// A pattern of names, as in a shell: `*` matches any number of characters, `?` matches any one
/// character, and every other character matches itself.
///
/// ```
/// let workers = tearless::hub::Pattern::new("worker-*");
/// assert!(workers.matches("worker-7") && !workers.matches("database"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    text: String,
    /// Bytes before the first star or question mark.
    literal: usize,
}

impl Pattern {
    /// The pattern of this text. Every text is a pattern.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Pattern {
        let text = text.into();
        Pattern { literal: text.find(['*', '?']).unwrap_or(text.len()), text }
    }

    /// Whether the pattern matches all of `name`.
    ///
    /// Cost: at worst the product of both lengths, for any pattern. Nothing is allocated.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        // Most patterns are the beginning of a name and a star.
        let (literal, pattern) = self.text.split_at(self.literal);
        let Some(rest) = name.strip_prefix(literal) else { return false };
        if pattern == "*" {
            return true;
        }
        let (mut pattern, mut rest) = (pattern.chars(), rest.chars());
        // The pattern after the last star, and the part of the name after the characters that the
        // star takes.
        let mut retry = None;
        loop {
            let (mut next_pattern, mut next_rest) = (pattern.clone(), rest.clone());
            match (next_pattern.next(), next_rest.next()) {
                (None, None) => return true,
                (Some('*'), _) => {
                    retry = Some((next_pattern.clone(), rest.clone()));
                    pattern = next_pattern;
                }
                (Some(expected), Some(found)) if expected == '?' || expected == found => {
                    (pattern, rest) = (next_pattern, next_rest);
                }
                // The last star takes one more character.
                _ => {
                    let Some((after_star, mut after_taken)) = retry else { return false };
                    if after_taken.next().is_none() {
                        return false;
                    }
                    (pattern, rest) = (after_star.clone(), after_taken.clone());
                    retry = Some((after_star, after_taken));
                }
            }
        }
    }
}

/// The pattern's text.
impl Display for Pattern {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_match_as_in_a_shell() {
        for (pattern, name, matches) in [
            ("*", "", true),
            ("*", "worker-7", true),
            ("", "", true),
            ("", "a", false),
            ("worker-7", "worker-7", true),
            ("worker-7", "worker-77", false),
            ("worker", "workers", false),
            ("worker-*", "worker-77", true),
            ("worker-*", "worker-", true),
            ("worker-*", "worker", false),
            ("wörker*-?", "wörker-1-2", true),
            ("wörker*-?", "wörker-1-22", false),
            ("worker-?", "worker-77", false),
            ("worker-??", "worker-77", true),
            ("w*", "worker", true),
            ("w*x", "worker", false),
            ("*-7", "worker-7", true),
            ("*-7", "worker-7-8", false),
            ("*-?", "worker-7", true),
            ("w*r*7", "worker-7", true),
            ("w*x*7", "worker-7", false),
            ("**", "ü", true),
            ("**", "x", true),
            ("?", "ü", true),
            ("?", "", false),
            ("a?", "a", false),
            ("a*b", "ab", true),
            ("a*ab", "aaab", true),
            ("w*", "worker", true),
            ("*-?", "worker-7", true),
            ("w*x", "worker", false),
            ("a?", "a", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(name), matches, "{pattern:?} {name:?}");
        }
    }

    #[test]
    fn every_pattern_ends_soon() {
        for count in [100, 200] {
            let pattern = Pattern::new("*a".repeat(count));
            assert!(!pattern.matches(&"a".repeat(count - 1)));
            assert!(pattern.matches(&"a".repeat(count)));
        }
    }
}
