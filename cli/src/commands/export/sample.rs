//! The results of one scrape, as plain data.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tearless::dynamic::{Step, leaves};
use tearless::hub::Health;

use crate::health;

/// The most exported fields of one channel.
const MAX_FIELDS: usize = 256;

/// The longest path of an exported field, in bytes. A longer one is left out rather than cut: two
/// cut paths might be equal.
const MAX_PATH_BYTES: usize = 200;

/// An exported number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Figure {
    /// Printed without a fraction.
    Whole(i128),
    /// Every other number.
    Float(f64),
}

impl fmt::Display for Figure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Figure::Whole(number) => write!(formatter, "{number}"),
            Figure::Float(number) => write!(formatter, "{number:?}"),
        }
    }
}

impl Figure {
    fn of(leaf: &Value) -> Option<Figure> {
        let signed = || leaf.as_i64().map(i128::from).or_else(|| leaf.as_bool().map(i128::from));
        let whole = leaf.as_u64().map(i128::from).or_else(signed);
        whole.map(Figure::Whole).or_else(|| leaf.as_f64().map(Figure::Float))
    }
}

/// The numbers in a state.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fields {
    /// Paths, as [`tearless::dynamic::FieldPath`] prints them, and numbers, in the state's order.
    pub(super) all: Vec<(String, Figure)>,
    /// How many more numbers there are, among the leaves that the library lists.
    pub(super) left_out: u64,
}

impl Fields {
    /// Collects numbers, and booleans as 0 and 1, among the leaves of `state`. Texts are skipped,
    /// also those for numbers that JSON lacks: `NaN`, infinities, and integers beyond 64 bits. So
    /// are fields whose names begin with `_`, such as padding.
    pub(super) fn of(state: &Value) -> Fields {
        let mut fields = Fields::default();
        for (path, leaf) in leaves(state).found {
            let is_hidden = |step: &Step| matches!(step, Step::Name(name) if name.starts_with('_'));
            let Some(figure) = Figure::of(leaf) else { continue };
            if path.steps().iter().any(is_hidden) {
                continue;
            }
            let path = path.to_string();
            if fields.all.len() < MAX_FIELDS && path.len() <= MAX_PATH_BYTES {
                fields.all.push((path, figure));
            } else {
                fields.left_out += 1;
            }
        }
        fields
    }
}

/// The exported part of a channel's state.
#[derive(Clone, Debug, Default)]
pub(super) enum Content {
    /// The state is not exported, or nothing is published yet.
    #[default]
    None,
    /// Its numbers.
    Fields(Arc<Fields>),
    /// There are none, for this reason: the value of a label.
    Missing(&'static str),
}

/// One channel at one scrape.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    pub(super) channel: String,
    /// Its worker's health; `None` if the channel cannot be attached to or inspected.
    pub(super) health: Option<Health>,
    /// Number of the last publication.
    pub(super) publications: u64,
    /// Its age.
    pub(super) age: Option<Duration>,
    /// The age of the writer's last heartbeat.
    pub(super) heartbeat_age: Option<Duration>,
    pub(super) incarnation: u64,
    pub(super) growths: u64,
    /// Payload bytes of the latest state.
    pub(super) bytes: Option<usize>,
    pub(super) content: Content,
}

impl Sample {
    /// Whether the worker is alive and the state is current.
    pub(super) fn is_up(&self) -> bool {
        health::is_up(self.health)
    }

    /// A channel that can't be read: only its name is known.
    pub(super) fn unreadable(channel: &str) -> Sample {
        Sample { channel: channel.into(), ..Sample::default() }
    }
}

/// All channels at one scrape, and the exporter's own numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Scrape {
    pub(super) samples: Vec<Sample>,
    /// The number of channels beyond the limit.
    pub(super) left_out: usize,
    /// Whether the channels could be listed. If not, the scrape uses the previous list.
    pub(super) is_listed: bool,
    /// The time of reading all channels.
    pub(super) duration: Duration,
    /// The number of scrapes, including this one.
    pub(super) scrapes: u64,
    /// The number of attempts that were repeated because a writer was faster.
    pub(super) retries: u64,
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tearless::dynamic::FieldPath;

    use super::*;

    fn paths(state: &Value) -> Vec<String> {
        Fields::of(state).all.into_iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn numbers_are_found_wherever_they_are() {
        let state = json!({
            "jobs": 3, "load": 0.5, "busy": true, "phase": "idle", "none": null,
            "queue": [{"deadline": -1}, {"deadline": u64::MAX}], "by name": {"worker 7": 1, "": 2}, "nan": "NaN",
        });
        let fields = Fields::of(&state);
        let found: Vec<_> = fields.all.iter().map(|(path, figure)| (path.as_str(), *figure)).collect();
        assert_eq!(
            found,
            [
                ("jobs", Figure::Whole(3)),
                ("load", Figure::Float(0.5)),
                ("busy", Figure::Whole(1)),
                ("queue[0].deadline", Figure::Whole(-1)),
                ("queue[1].deadline", Figure::Whole(u64::MAX.into())),
                (found[5].0, Figure::Whole(1)),
                (found[6].0, Figure::Whole(2)),
            ]
        );
        // The paths have the library's form: each leads to its number.
        for (path, _) in &fields.all {
            let path: FieldPath = path.parse().unwrap();
            assert!(path.find(&state).is_some(), "{path}");
        }
    }

    #[test]
    fn a_state_that_is_a_number_or_an_array_has_fields_too() {
        assert_eq!(paths(&json!(7)), [""]);
        assert_eq!(paths(&json!([1, [2]])), ["[0]", "[1][0]"]);
        assert_eq!(paths(&json!({"_padding": [0, 0], "a": {"_rest": 0, "b_c": 1}})), ["a.b_c"]);
    }

    #[test]
    fn excess_fields_are_left_out_and_counted() {
        let many = Fields::of(&json!(vec![1; MAX_FIELDS + 5]));
        assert_eq!((many.all.len(), many.left_out), (MAX_FIELDS, 5));
        let long = Fields::of(&json!({"n".repeat(MAX_PATH_BYTES + 1): 1, "short": 2}));
        assert_eq!((long.all.len(), long.left_out), (1, 1));
        let endless = Fields::of(&json!(vec!["text"; 1_000_000]));
        assert_eq!(endless, Fields::default());
    }
}
