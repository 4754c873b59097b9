//! JSON for programs, that is harmless on a terminal as well.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde_json::Value;

use super::printable::is_plain;

/// How a document is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// On one line: what `--json` prints.
    Line,
    /// Indented, for people.
    Indented,
}

/// `value` as JSON, without a line break at its end. Control and format characters inside of strings, which
/// JSON would allow beyond ASCII, are escaped: the value is the same, and a terminal only shows it.
pub(crate) fn json_text(value: &Value, layout: Layout) -> String {
    let text = match layout {
        Layout::Line => value.to_string(),
        Layout::Indented => format!("{value:#}"),
    };
    if text.chars().all(is_harmless) {
        return text;
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_harmless(character) {
            escaped.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a string can't fail.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        }
    }
    escaped
}

/// Prints `value` on one line.
pub(crate) fn print_json(value: &Value) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", json_text(value, Layout::Line))
}

/// Line breaks are the layout's: inside of strings they are escaped already.
fn is_harmless(character: char) -> bool {
    character == '\n' || is_plain(character)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Layout, json_text};

    #[test]
    fn escapes_are_the_same_value() {
        let hostile: String = ('\0'..='\u{2100}').chain("\u{e0041}🦀\u{feff}".chars()).collect();
        let value = json!({ &hostile: [&hostile, 1.5, null] });
        for layout in [Layout::Line, Layout::Indented] {
            let text = json_text(&value, layout);
            assert!(!text.chars().any(|character| character.is_control() && character != '\n'));
            assert_eq!(text.contains('\n'), layout == Layout::Indented);
            assert!(!text.contains(['\u{202e}', '\u{9b}', '\u{7f}', '\u{e0041}', '\u{feff}']));
            assert!(text.contains('🦀'));
            assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
        }
    }
}
