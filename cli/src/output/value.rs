//! States, for people.

use std::borrow::Cow;

use serde_json::Value;

use super::{Layout, json_text, printable};

/// A state over as many lines as it needs: strings as they are (but harmless), everything else as indented
/// JSON.
pub(crate) fn value_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.lines().map(printable).collect::<Vec<_>>().join("\n"),
        value => json_text(value, Layout::Indented),
    }
}

/// A state on one line, cut where it has more than `max` characters.
pub(crate) fn value_line(value: &Value, max: usize) -> String {
    cut(&json_text(value, Layout::Line), max).into_owned()
}

fn cut(text: &str, max: usize) -> Cow<'_, str> {
    match text.char_indices().nth(max) {
        None => text.into(),
        Some(_) => text.chars().take(max.saturating_sub(1)).chain(['…']).collect::<String>().into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{value_line, value_text};

    #[test]
    fn text_keeps_its_lines_and_nothing_else_of_control() {
        assert_eq!(value_text(&json!("one\ntwo\u{1b}[2J\r\nthree")), "one\ntwo\\u{1b}[2J\nthree");
        assert_eq!(value_text(&json!({"a": "\u{1b}\n"})), "{\n  \"a\": \"\\u001b\\n\"\n}");
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        assert_eq!(value_line(&json!("äöü"), 5), "\"äöü\"");
        assert_eq!(value_line(&json!("äöüä"), 5), "\"äöü…");
    }
}
