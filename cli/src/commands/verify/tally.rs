//! The counts of a channel.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// The most faults of a channel that are described. All faults are counted.
pub(super) const MAX_NOTES: usize = 5;

macro_rules! tally {
    ($($(#[$doc:meta])* $count:ident,)*) => {
        /// Counts of one reader process, or of all of them, on one channel or on all. The report
        /// and the readers' messages have the names of the fields.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
        pub(super) struct Tally {
            $($(#[$doc])* pub(super) $count: u64,)*
            /// The first few faults, in words.
            pub(super) notes: Vec<String>,
        }

        /// The sum keeps all notes.
        impl AddAssign<&Tally> for Tally {
            fn add_assign(&mut self, other: &Tally) {
                $(self.$count += other.$count;)*
                self.notes.extend_from_slice(&other.notes);
            }
        }
    };
}

tally! {
    /// Snapshots that were compared with the published payload, torn ones included.
    snapshots,
    /// Snapshots of a publication that the reader had not seen before.
    fresh,
    /// States of histories that were compared with the published payload.
    history,
    /// Views that were compared with the published payload, at their beginning and at their end.
    views,
    /// Views that were in place.
    views_in_place,
    /// Payload bytes of snapshots, histories and views.
    bytes,
    /// Publications, which the parent counts, as growths and takeovers.
    publications,
    /// Attempts that had to be repeated.
    retries,
    /// Snapshots that the reader gave up because the writer was faster.
    give_ups,
    /// Replacements of the channel's segments.
    growths,
    /// Segments that were mapped.
    remaps,
    /// Writers after the first.
    takeovers,
    /// Payloads that differ from what was published under their number.
    torn,
    /// Numbers or times that went backwards.
    backwards,
    /// Calls that failed unexpectedly.
    failures,
}

impl Tally {
    /// Describes a fault that is counted elsewhere.
    pub(super) fn note(&mut self, text: String) {
        if self.notes.len() < MAX_NOTES {
            self.notes.push(text);
        }
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
