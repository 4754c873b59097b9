//! Escapes texts that other processes wrote: names, codecs, states.

use std::borrow::Cow;
use std::fmt::{Display, Write};

/// `text` with every character escaped that a terminal would not simply show: control characters
/// (escape sequences, line breaks, their 8-bit forms), format characters (changes of direction,
/// invisible ones), and unassigned ones.
///
/// Backslashes and quotes stay as they are, so that escaping twice changes nothing. The result is
/// for people; JSON is the exact form.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            plain if is_plain(plain) => escaped.push(plain),
            other => drop(write!(escaped, "{}", other.escape_unicode())),
        }
    }
    Cow::Owned(escaped)
}

/// The text of an error, [`printable`].
pub(crate) fn escaped(error: &impl Display) -> String {
    printable(&error.to_string()).into_owned()
}

/// Whether a terminal shows `character` and does nothing else.
pub(super) fn is_plain(character: char) -> bool {
    matches!(character, ' '..='~') || (!character.is_ascii() && is_shown_by_debug(character))
}

/// Asks the table of printable characters behind `Debug`. Another character comes first, because
/// `Debug` escapes a combining accent at the beginning of a text.
fn is_shown_by_debug(character: char) -> bool {
    let mut bytes = [b'a'; 5];
    let len = 1 + character.encode_utf8(&mut bytes[1..]).len();
    str::from_utf8(&bytes[..len]).is_ok_and(|text| text.escape_debug().nth(1) == Some(character))
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn printable_text_is_unchanged() {
        for text in ["", "worker-7", r#"a "quoted" \ 'name'"#, "Zürich", "e\u{301}", "工作", "हिन्दी", "🦀"]
        {
            assert_eq!(printable(text), text);
        }
    }

    #[test]
    fn characters_that_a_terminal_acts_upon_are_escaped() {
        assert_eq!(printable("\u{1b}[2J"), "\\u{1b}[2J");
        assert_eq!(printable("a\nb\r\t\0\u{7f}"), "a\\nb\\r\\t\\u{0}\\u{7f}");
        assert_eq!(printable("\u{9b}31m"), "\\u{9b}31m", "the 8-bit introducer of a sequence");
        assert_eq!(printable("\u{202e}evil\u{2066}"), "\\u{202e}evil\\u{2066}", "changes of direction");
        assert_eq!(
            printable("\u{200b}\u{feff}\u{2028}"),
            "\\u{200b}\\u{feff}\\u{2028}",
            "invisible characters"
        );
        assert_eq!(printable("\u{e0041}"), "\\u{e0041}", "tags");
    }

    #[test]
    fn every_single_character_is_shown_or_escaped_and_escaping_twice_changes_nothing() {
        for character in '\0'..=char::MAX {
            let text = character.to_string();
            let once = printable(&text);
            assert!(!once.chars().any(char::is_control), "{character:?}");
            assert_eq!(printable(&once), once, "{character:?}");
        }
    }
}
