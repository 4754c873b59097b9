//! The counts of a reader on one channel.

use std::ops::AddAssign;

use serde_json::{Value, json};

/// The most faults of a channel that are described. All faults are counted.
const MAX_NOTES: usize = 5;

/// Counts of one reader process, or of all of them, on one channel or on all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Snapshots that were compared with the published payload, torn ones included.
    pub(super) snapshots: u64,
    /// Snapshots of a publication that the reader had not seen before.
    pub(super) fresh: u64,
    /// States of histories that were compared with the published payload.
    pub(super) history: u64,
    /// Payload bytes of snapshots and histories.
    pub(super) bytes: u64,
    /// Attempts that had to be repeated.
    pub(super) retries: u64,
    /// Snapshots that the reader gave up because the writer was faster.
    pub(super) give_ups: u64,
    /// Segments that were mapped.
    pub(super) remaps: u64,
    /// Payloads that differ from what was published under their number.
    pub(super) torn: u64,
    /// Numbers or times that went backwards.
    pub(super) backwards: u64,
    /// Calls that failed unexpectedly.
    pub(super) failures: u64,
    /// The first few faults, in words.
    pub(super) notes: Vec<String>,
}

impl Tally {
    /// Describes a fault that is counted elsewhere.
    pub(super) fn note(&mut self, text: String) {
        if self.notes.len() < MAX_NOTES {
            self.notes.push(text);
        }
    }

    /// The counts, for the parent process.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "snapshots": self.snapshots,
            "fresh": self.fresh,
            "history": self.history,
            "bytes": self.bytes,
            "retries": self.retries,
            "give_ups": self.give_ups,
            "remaps": self.remaps,
            "torn": self.torn,
            "backwards": self.backwards,
            "failures": self.failures,
            "notes": self.notes,
        })
    }

    /// `None` if a count is missing.
    pub(super) fn from_json(value: &Value) -> Option<Tally> {
        let count = |name: &str| value.get(name)?.as_u64();
        let notes = value.get("notes")?.as_array()?.iter();
        Some(Tally {
            snapshots: count("snapshots")?,
            fresh: count("fresh")?,
            history: count("history")?,
            bytes: count("bytes")?,
            retries: count("retries")?,
            give_ups: count("give_ups")?,
            remaps: count("remaps")?,
            torn: count("torn")?,
            backwards: count("backwards")?,
            failures: count("failures")?,
            notes: notes.filter_map(Value::as_str).map(str::to_owned).collect(),
        })
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        let Tally {
            snapshots,
            fresh,
            history,
            bytes,
            retries,
            give_ups,
            remaps,
            torn,
            backwards,
            failures,
            notes,
        } = other;
        self.snapshots += snapshots;
        self.fresh += fresh;
        self.history += history;
        self.bytes += bytes;
        self.retries += retries;
        self.give_ups += give_ups;
        self.remaps += remaps;
        self.torn += torn;
        self.backwards += backwards;
        self.failures += failures;
        notes.into_iter().for_each(|note| self.note(note));
    }
}

#[test]
fn a_tally_survives_a_round_trip_and_adds_up() {
    let tally =
        Tally { snapshots: 1, torn: 2, bytes: u64::MAX, notes: vec!["why".into()], ..Tally::default() };
    assert_eq!(Tally::from_json(&tally.to_json()), Some(tally.clone()));
    let mut sum = Tally { torn: 3, ..Tally::default() };
    sum += tally;
    assert_eq!((sum.snapshots, sum.torn, sum.notes.len()), (1, 5, 1));
    assert_eq!(Tally::from_json(&json!({"snapshots": 1})), None);
}
