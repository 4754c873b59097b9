//! The counts of a channel.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// The most faults of a channel that are described. All faults are counted.
pub(super) const MAX_NOTES: usize = 5;

/// Counts of one reader process, or of all of them, on one channel or on all. The report and the
/// readers' messages have the names of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Tally {
    /// Snapshots that were compared with the published payload, torn ones included.
    pub(super) snapshots: u64,
    /// Snapshots of a publication that the reader had not seen before.
    pub(super) fresh: u64,
    /// States of histories that were compared with the published payload.
    pub(super) history: u64,
    /// Views that were compared with the published payload, at their beginning and at their end.
    pub(super) views: u64,
    /// Views that were in place.
    pub(super) views_in_place: u64,
    /// Payload bytes of snapshots, histories and views.
    pub(super) bytes: u64,
    /// Publications, which the parent counts, as growths and takeovers.
    pub(super) publications: u64,
    /// Attempts that had to be repeated.
    pub(super) retries: u64,
    /// Snapshots that the reader gave up because the writer was faster.
    pub(super) give_ups: u64,
    /// Replacements of the channel's segments.
    pub(super) growths: u64,
    /// Segments that were mapped.
    pub(super) remaps: u64,
    /// Writers after the first.
    pub(super) takeovers: u64,
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
}

/// The sum keeps all notes.
impl AddAssign<&Tally> for Tally {
    fn add_assign(&mut self, other: &Tally) {
        self.snapshots += other.snapshots;
        self.fresh += other.fresh;
        self.history += other.history;
        self.views += other.views;
        self.views_in_place += other.views_in_place;
        self.bytes += other.bytes;
        self.publications += other.publications;
        self.retries += other.retries;
        self.give_ups += other.give_ups;
        self.growths += other.growths;
        self.remaps += other.remaps;
        self.takeovers += other.takeovers;
        self.torn += other.torn;
        self.backwards += other.backwards;
        self.failures += other.failures;
        self.notes.extend_from_slice(&other.notes);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json, to_value};

    use super::*;

    #[test]
    fn a_tally_survives_a_round_trip_and_every_count_adds_up() {
        let mut counts = to_value(Tally::default()).unwrap();
        for (number, count) in (1..).zip(counts.as_object_mut().unwrap().values_mut()) {
            *count = if count.is_u64() { Value::from(number) } else { json!(["why"]) };
        }
        let tally: Tally = from_value(counts.clone()).unwrap();
        assert_eq!((tally.snapshots, tally.notes.len(), to_value(&tally).unwrap()), (1, 1, counts));
        let mut sum = tally.clone();
        sum += &tally;
        let sum = to_value(&sum).unwrap();
        for (name, count) in to_value(&tally).unwrap().as_object().unwrap() {
            match count.as_u64() {
                Some(count) => assert_eq!(sum[name], 2 * count, "{name}"),
                None => assert_eq!(sum[name], json!(["why", "why"])),
            }
        }
        assert!(from_value::<Tally>(json!({"snapshots": 1})).is_err());
    }
}
