//! Reads the state of the selected worker, at a bounded cost.

use std::time::{Duration, Instant};

use serde_json::Value;
use tearless::dynamic::{DynamicReader, leaves};
use tearless::{Namespace, SnapshotInfo, error::SnapshotError};

use super::data::Detail;
use crate::health::is_replaced;
use crate::output::{bytes, escaped, hex_lines, json_text, printable};

/// After a read, the pause in multiples of the read's time: large states are read less often, and
/// no state takes more than a hundredth of a processor.
const PAUSE: u32 = 100;

/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// How often it checks that it is attached, and tries to attach if it is not.
const ATTACH: Duration = Duration::from_secs(1);

/// The largest state that is decoded, in bytes: its value usually takes a hundred times as many.
const MAX_STATE: usize = 1 << 20;

/// The most bytes that are shown of an undecodable state.
const MAX_BYTES: usize = 4_096;

/// Bytes on a line of such a state.
const LINE: usize = 8;

/// Follows the state of one worker.
pub(super) struct Inspector {
    namespace: Namespace,
    /// The channel's name.
    name: Option<String>,
    reader: Option<DynamicReader>,
    /// When it is read next, and attached to next, since the program began.
    due: Duration,
    attach_due: Duration,
    pub(super) detail: Detail,
}

impl Inspector {
    pub(super) fn new(namespace: Namespace) -> Inspector {
        let (due, attach_due) = (Duration::ZERO, Duration::ZERO);
        Inspector { namespace, name: None, reader: None, due, attach_due, detail: Detail::default() }
    }

    /// Whether `selected` is another worker than the followed one.
    pub(super) fn is_of_another(&self, selected: Option<&str>) -> bool {
        self.name.as_deref() != selected
    }

    /// Reads the selected worker's state, if it is due and new.
    pub(super) fn look(&mut self, selected: Option<&str>, at: Duration) {
        if self.is_of_another(selected) {
            let label = printable(selected.unwrap_or_default()).into_owned();
            self.name = selected.map(str::to_owned);
            self.detail = Detail { label, ..Detail::default() };
            (self.reader, self.due, self.attach_due) = (None, at, at);
        }
        if at >= self.attach_due {
            self.attach_due = at + ATTACH;
            self.attach();
        }
        if at >= self.due {
            let begin = Instant::now();
            self.read(at);
            self.due = at + begin.elapsed().saturating_mul(PAUSE).min(MAX_PAUSE);
        }
    }

    /// Attaches to the channel if it is not attached, has ended or has lost its name; if that
    /// fails, the last state stays on the screen.
    fn attach(&mut self) {
        let Some(name) = &self.name else { return };
        let is_current =
            |reader: &DynamicReader| !reader.reader().is_closed() && !is_replaced(&self.namespace, reader);
        if self.reader.as_ref().is_some_and(is_current) {
            return;
        }
        match self.namespace.dynamic_reader(name) {
            Ok(reader) => {
                self.detail.format = printable(&format!("{} {}", reader.codec(), reader.type_name())).into();
                self.reader = Some(reader);
            }
            Err(error) if self.reader.is_none() => self.detail.note = Some(escaped(&error)),
            Err(_) => {}
        }
    }

    fn read(&mut self, at: Duration) {
        let Some(reader) = &mut self.reader else { return };
        if reader.reader().publication() == self.detail.publication && self.detail.publication > 0 {
            return;
        }
        if let Some(info) = reader.reader_mut().latest_info().filter(|info| info.payload_len() > MAX_STATE) {
            return self.is_too_large(info);
        }
        let payload = match reader.payload() {
            Ok(payload) => payload,
            // The worker's state in the table shows a removal, and the next read gets past a faster
            // writer.
            Err(SnapshotError::Closed { .. } | SnapshotError::Contended { .. }) => return,
            Err(error) => {
                let is_empty = matches!(error, SnapshotError::Empty { .. });
                let note = if is_empty { "nothing has been published yet".into() } else { escaped(&error) };
                self.detail.note = Some(note);
                return;
            }
        };
        let (fields, note) = match reader.decode(&payload) {
            Ok(value) => fields_of(&value),
            Err(error) => (dump(&payload), Some(escaped(&error))),
        };
        self.detail.publication = payload.publication();
        self.detail.update(at, fields);
        self.detail.note = note;
    }

    fn is_too_large(&mut self, info: SnapshotInfo) {
        let len = bytes(info.payload_len() as u64);
        self.detail.publication = info.publication();
        self.detail.lines.clear();
        self.detail.note =
            Some(format!("its state of {len} is too large to be shown here; `tearless get` prints it"));
    }
}

type FieldsAndNote = (Vec<(String, String)>, Option<String>);

/// Paths and values, escaped, and a note about the rest.
fn fields_of(state: &Value) -> FieldsAndNote {
    let leaves = leaves(state);
    let note = (leaves.left_out > 0).then(|| format!("and {} more fields", leaves.left_out));
    let fields = leaves.found.into_iter();
    (fields.map(|(path, leaf)| (text_of(&path.to_string()), json_text(leaf))).collect(), note)
}

fn text_of(path: &str) -> String {
    if path.is_empty() { "(the state)".into() } else { printable(path).into_owned() }
}

/// An undecodable payload by offsets, in hexadecimal and as text.
fn dump(payload: &[u8]) -> Vec<(String, String)> {
    let payload = &payload[..payload.len().min(MAX_BYTES)];
    hex_lines(payload, LINE).map(|(offset, line)| (format!("{offset:04x}"), line)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_have_paths_and_harmless_values() {
        let (fields, note) = fields_of(&json!({ "a": [1, { "b": "\u{1b}[2J\u{202e}" }], "c\n": null }));
        let texts: Vec<String> = fields.iter().map(|(path, value)| format!("{path} = {value}")).collect();
        assert_eq!(texts[0], "a[0] = 1");
        assert_eq!(texts[1], r#"a[1].b = "\u001b[2J\u202e""#);
        assert!(!texts[2].contains('\n') && texts[2].ends_with("= null"), "{}", texts[2]);
        assert_eq!(note, None);
    }

    #[test]
    fn odd_states_are_shown_too() {
        assert_eq!(fields_of(&json!(7)), (vec![("(the state)".into(), "7".into())], None));
        assert_eq!(fields_of(&json!([])), (vec![("(the state)".into(), "[]".into())], None));
        let (fields, _) = fields_of(&json!({ "queue": [], "by_name": {}, "last": 1 }));
        let texts = fields.iter().map(|(path, value)| format!("{path} = {value}"));
        assert_eq!(
            texts.collect::<Vec<_>>(),
            ["queue = []", "by_name = {}", "last = 1"],
            "empty ones are shown"
        );
        let (fields, note) = fields_of(&Value::from(vec![0; 10_003]));
        assert_eq!((fields.len(), note.as_deref()), (10_000, Some("and 3 more fields")));
    }

    #[test]
    fn bytes_are_dumped_up_to_a_limit() {
        let lines = dump(b"01234567\x1b!");
        assert_eq!(lines.len(), 2);
        assert!(lines[0].1.ends_with("36 37  01234567"), "{lines:?}");
        assert_eq!(lines[1].0, "0008");
        assert!(lines[1].1.starts_with("1b 21 ") && lines[1].1.ends_with("  .!"), "{lines:?}");
        assert_eq!(dump(&[0; 100_000]).len(), MAX_BYTES / LINE);
    }
}
