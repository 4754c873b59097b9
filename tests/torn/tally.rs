//! What the processes count, and how they tell the parent.

use std::iter::Sum;

/// What one process, or all of them, counted on one channel, or on all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Snapshots that were compared with what was published, torn ones included.
    pub(crate) snapshots: u64,
    /// Those of them that were of a publication which that reader had not seen yet.
    pub(crate) fresh: u64,
    /// Payload bytes of the snapshots.
    pub(crate) bytes: u64,
    /// Attempts before those that succeeded or were the last.
    pub(crate) retries: u64,
    /// Snapshots that ended as `Contended`.
    pub(crate) give_ups: u64,
    /// Snapshots with another content than what was published under their number.
    pub(crate) torn: u64,
    /// Numbers or times that went backwards.
    pub(crate) backwards: u64,
    /// Errors that should not have been.
    pub(crate) failures: u64,
    /// Publications.
    pub(crate) publications: u64,
    /// Segments that were replaced, by larger or smaller ones.
    pub(crate) growths: u64,
}

impl Tally {
    fn counts(&mut self) -> [&mut u64; 10] {
        [
            &mut self.snapshots,
            &mut self.fresh,
            &mut self.bytes,
            &mut self.retries,
            &mut self.give_ups,
            &mut self.torn,
            &mut self.backwards,
            &mut self.failures,
            &mut self.publications,
            &mut self.growths,
        ]
    }

    /// One line: the channel's index, and the counts.
    pub(crate) fn to_line(mut self, index: usize) -> String {
        self.counts().iter().fold(index.to_string(), |line, count| format!("{line} {count}"))
    }

    /// The reverse of [`Tally::to_line`].
    pub(crate) fn from_line(line: &str) -> Option<(usize, Tally)> {
        let mut words = line.split_ascii_whitespace();
        let index = words.next()?.parse().ok()?;
        let mut tally = Tally::default();
        for count in tally.counts() {
            *count = words.next()?.parse().ok()?;
        }
        words.next().is_none().then_some((index, tally))
    }

    pub(crate) const HEADING: &'static str =
        "  snapshots        fresh  publications  growths   retries  give-ups  torn";
}

impl std::fmt::Display for Tally {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Tally { snapshots, fresh, publications, growths, retries, give_ups, torn, .. } = self;
        write!(
            formatter,
            "{snapshots:>11} {fresh:>12} {publications:>13} {growths:>8} {retries:>9} {give_ups:>9} {torn:>5}"
        )
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Tally>>(tallies: I) -> Tally {
        let mut sum = Tally::default();
        for mut tally in tallies {
            for (total, count) in sum.counts().into_iter().zip(tally.counts()) {
                *total += *count;
            }
        }
        sum
    }
}

#[test]
fn a_tally_comes_back_from_its_line() {
    let tally = Tally { snapshots: 5, torn: 3, growths: 7, ..Tally::default() };
    assert_eq!(Tally::from_line(&tally.to_line(4)), Some((4, tally)));
    assert_eq!([tally, tally].into_iter().sum::<Tally>().growths, 14);
    assert_eq!(Tally::from_line("4 1 2"), None);
}
