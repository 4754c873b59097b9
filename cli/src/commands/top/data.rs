//! What the screen shows, as plain data: a row for each worker and block, and the fields of the
//! selected one.

use std::collections::HashMap;
use std::time::Duration;

use tearless::{block::BlockInfo, hub::Health};

use super::rate::Rates;
use crate::health;
use crate::output::printable;

/// One worker, or one block, when it was last sampled, as plain data.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    /// The name of the channel or block.
    pub(super) name: String,
    /// The name, escaped.
    pub(super) label: String,
    /// The block, if it is one.
    pub(super) block: Option<BlockInfo>,
    /// The health of the worker or owner; `None` if the channel can't be read.
    pub(super) health: Option<Health>,
    /// The process of the current or last writer, or of the owner; `None` before the first attach.
    pub(super) pid: Option<u64>,
    pub(super) rates: Rates,
    /// Age of the last state; `None` before the first, and without a timestamp.
    pub(super) age: Option<Duration>,
    /// Length of the last state, or of the block.
    pub(super) bytes: Option<u64>,
    /// By pin: the publication that is kept for a reader, 0 for none.
    pub(super) pinned: Vec<u64>,
    /// Reads of this program that were repeated because the writer was faster.
    pub(super) retries: Option<u64>,
    /// Segments that were replaced by larger or smaller ones.
    pub(super) growths: Option<u64>,
    /// Why nothing can be read.
    pub(super) trouble: Option<String>,
}

impl Row {
    pub(super) fn of_block(block: BlockInfo) -> Row {
        Row {
            name: block.name.clone(),
            label: printable(&block.name).into_owned(),
            health: Some(health::of_process(block.owner)),
            pid: Some(block.owner_pid),
            bytes: Some(block.len as u64),
            block: Some(block),
            ..Row::default()
        }
    }

    /// The word for the health of the worker or owner.
    pub(super) fn word(&self) -> &'static str {
        health::word(self.health)
    }

    pub(super) fn kind(&self) -> &'static str {
        if self.block.is_some() { "block" } else { "channel" }
    }

    /// What identifies it: a channel and a block may have the same name.
    pub(super) fn key(&self) -> (&'static str, &str) {
        (self.kind(), &self.name)
    }
}

/// A worker's state when it was last read, as plain data.
#[derive(Clone, Debug, Default)]
pub(super) struct Detail {
    /// The channel's name, escaped; empty while no worker is selected.
    pub(super) label: String,
    /// Codec and type.
    pub(super) format: String,
    /// Number of the state.
    pub(super) publication: u64,
    /// The fields of the state, in its order.
    pub(super) lines: Vec<Line>,
    /// A message instead of the fields, or after them.
    pub(super) note: Option<String>,
}

/// How long a changed value is highlighted.
const FRESH: Duration = Duration::from_millis(1_200);

/// One field.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) path: String,
    pub(super) value: String,
    /// When its value last changed; `None` if it never has.
    changed: Option<Duration>,
}

impl Line {
    /// Whether its value has changed recently.
    pub(super) fn is_fresh(&self, at: Duration) -> bool {
        self.changed.is_some_and(|changed| at.saturating_sub(changed) < FRESH)
    }
}

impl Detail {
    /// Replaces the fields by those of a later state: paths and values, escaped.
    pub(super) fn update(&mut self, at: Duration, later: Vec<(String, String)>) {
        let was_empty = self.lines.is_empty();
        let mut known: HashMap<String, (String, Option<Duration>)> = HashMap::new();
        known.extend(self.lines.drain(..).map(|line| (line.path, (line.value, line.changed))));
        let line = |(path, value): (String, String)| {
            let changed = match known.remove(&path) {
                Some((before, changed)) if before == value => changed,
                // A new field has changed, too, except in the first state.
                None if was_empty => None,
                _ => Some(at),
            };
            Line { path, value, changed }
        };
        self.lines.extend(later.into_iter().map(line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn fresh(detail: &Detail, at: Duration) -> Vec<&str> {
        detail.lines.iter().filter(|line| line.is_fresh(at)).map(|line| line.path.as_str()).collect()
    }

    fn state(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        fields.iter().map(|(path, value)| ((*path).into(), (*value).into())).collect()
    }

    #[test]
    fn changed_values_are_fresh_for_a_moment() {
        let mut detail = Detail::default();
        detail.update(seconds(1), state(&[("a", "1"), ("b", "1")]));
        assert!(fresh(&detail, seconds(1)).is_empty(), "the first state has not changed");
        detail.update(seconds(2), state(&[("a", "1"), ("b", "2"), ("c", "3")]));
        assert_eq!(fresh(&detail, seconds(2)), ["b", "c"]);
        detail.update(seconds(3), state(&[("a", "1"), ("b", "2"), ("c", "3")]));
        assert_eq!(fresh(&detail, seconds(3)), ["b", "c"], "also after the next read");
        assert!(fresh(&detail, seconds(4)).is_empty());
        detail.update(seconds(5), state(&[("c", "3"), ("a", "9")]));
        assert_eq!(fresh(&detail, seconds(5)), ["a"], "at any position");
    }
}
