//! States as text: JSON, lines, and hexadecimal numbers.

use super::printable::{is_plain, printable};
use serde::Serialize;
use serde_json::Value;
use std::io::{self, Write};

/// `value` as JSON on one line, as `--json` prints it.
pub(crate) fn json_text(value: &impl Serialize) -> String {
    harmless(serde_json::to_string(value))
}

/// JSON allows control and format characters beyond ASCII in strings; here they are escaped. The
/// value stays the same, and a terminal does not act on it.
fn harmless(text: serde_json::Result<String>) -> String {
    let text = text.expect("keys are strings, and writing to a string can't fail");
    if text.chars().all(is_harmless) {
        return text;
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_harmless(character) {
            escaped.push(character);
        } else {
            escaped.extend(character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    escaped
}

/// Prints `value` on one line.
pub(crate) fn print_json(value: &impl Serialize) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", json_text(value))
}

/// Prints each value on a line.
pub(crate) fn print_all_json(values: impl IntoIterator<Item = impl Serialize>) -> io::Result<()> {
    values.into_iter().try_for_each(|value| print_json(&value))
}

/// A line break belongs to the layout: JSON escapes those inside strings.
fn is_harmless(character: char) -> bool {
    character == '\n' || is_plain(character)
}

/// A state on as many lines as it needs: a string as [`printable`] lines, everything else as
/// indented JSON.
pub(crate) fn value_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.lines().map(printable).collect::<Vec<_>>().join("\n"),
        value => harmless(serde_json::to_string_pretty(value)),
    }
}

/// A state on one line of at most `max` characters.
pub(crate) fn value_line(value: &Value, max: usize) -> String {
    let text = json_text(value);
    match text.char_indices().nth(max) {
        None => text,
        Some(_) => text.chars().take(max.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// Bytes on a line of [`hex_dump`].
const WIDTH: usize = 16;

/// `bytes` as lines of offset, hexadecimal numbers, and characters.
pub(crate) fn hex_dump(bytes: &[u8]) -> String {
    hex_lines(bytes, WIDTH).map(|(offset, line)| format!("{offset:08x}  {line}\n")).collect()
}

/// Lines of hexadecimal numbers and characters, `width` bytes each, with the offset of a line's
/// first byte.
pub(crate) fn hex_lines(bytes: &[u8], width: usize) -> impl Iterator<Item = (usize, String)> {
    let shown = |byte: &u8| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '.' };
    let line = move |(index, line): (usize, &[u8])| {
        let characters: String = line.iter().map(shown).collect();
        let space = 3 * width - 1;
        let numbers: Vec<_> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        (index * width, format!("{:space$}  {characters}", numbers.join(" ")))
    };
    bytes.chunks(width).enumerate().map(line)
}

/// The first line of [`hex_dump`] without its offset, with `…` if there are more.
pub(crate) fn hex_start(bytes: &[u8]) -> String {
    let more = if bytes.len() > WIDTH { " …" } else { "" };
    hex_lines(bytes, WIDTH).next().unwrap_or_default().1 + more
}

#[cfg(test)]
mod tests {
    use super::{hex_dump, hex_start, json_text, value_line, value_text};
    use serde_json::json;

    #[test]
    fn escaped_json_is_the_same_value() {
        let hostile: String = ('\0'..='\u{2100}').chain("\u{e0041}🦀\u{feff}".chars()).collect();
        let value = json!({ &hostile: [&hostile, 1.5, null] });
        for (text, is_indented) in [(json_text(&value), false), (value_text(&value), true)] {
            assert!(!text.chars().any(|character| character.is_control() && character != '\n'));
            assert_eq!(text.contains('\n'), is_indented);
            assert!(!text.contains(['\u{202e}', '\u{9b}', '\u{7f}', '\u{e0041}', '\u{feff}']));
            assert!(text.contains('🦀'));
            assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
        }
    }

    #[test]
    fn text_keeps_line_breaks_and_no_other_control_characters() {
        assert_eq!(value_text(&json!("one\ntwo\u{1b}[2J\r\nthree")), "one\ntwo\\u{1b}[2J\nthree");
        assert_eq!(value_text(&json!({"a": "\u{1b}\n"})), "{\n  \"a\": \"\\u001b\\n\"\n}");
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        assert_eq!(value_line(&json!("äöü"), 5), "\"äöü\"");
        assert_eq!(value_line(&json!("äöüä"), 5), "\"äöü…");
    }

    #[test]
    fn each_line_has_sixteen_bytes() {
        assert_eq!(hex_dump(b""), "");
        let bytes: Vec<u8> = (0x5a..0x6b).chain([0x1b, 0x9b]).collect();
        assert_eq!(
            hex_dump(&bytes),
            "00000000  5a 5b 5c 5d 5e 5f 60 61 62 63 64 65 66 67 68 69  Z[\\]^_`abcdefghi\n\
             00000010  6a 1b 9b                                         j..\n"
        );
    }

    #[test]
    fn a_start_is_one_line() {
        assert_eq!(hex_start(b"").trim(), "");
        assert_eq!(hex_start(&[1, b'a', 255]), format!("01 61 ff{:39}  .a.", ""));
        assert_eq!(hex_start(&[b'a'; 17]), ["61"; 16].join(" ") + "  " + &"a".repeat(16) + " …");
    }
}
