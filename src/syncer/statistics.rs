//! What a syncer has done.

use std::fmt;
use std::time::Duration;

/// What a [`Syncer`](super::Syncer) has done since it was spawned, or between two looks ([`SyncerStatistics::diff`]).
///
/// Every attempt to publish, be it by a tick, a flush, the first or the last one, counts as one of `published`, `skipped`,
/// `untouched` and `failed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SyncerStatistics {
    /// Ticks that took place.
    pub ticks: u64,
    /// States that were published.
    pub published: u64,
    /// States that were encoded and not published, because they encode to the same bytes as the last publication.
    pub skipped: u64,
    /// Attempts that found that nothing was changed, and encoded nothing.
    pub untouched: u64,
    /// Ticks that did not take place, because the one before took too long or the system did not run it in time.
    pub overruns: u64,
    /// Attempts that ended in an error.
    pub failed: u64,
    /// How long the state's lock was held for encoding, in all.
    pub encode_time: Duration,
    /// The longest of these.
    pub max_encode_time: Duration,
    /// Payload bytes that were published.
    pub bytes: u64,
}

impl SyncerStatistics {
    /// What was done after `earlier`, an earlier look at the same syncer. The longest encoding is that of all time.
    #[must_use]
    pub fn diff(&self, earlier: &SyncerStatistics) -> SyncerStatistics {
        SyncerStatistics {
            ticks: self.ticks.saturating_sub(earlier.ticks),
            published: self.published.saturating_sub(earlier.published),
            skipped: self.skipped.saturating_sub(earlier.skipped),
            untouched: self.untouched.saturating_sub(earlier.untouched),
            overruns: self.overruns.saturating_sub(earlier.overruns),
            failed: self.failed.saturating_sub(earlier.failed),
            encode_time: self.encode_time.saturating_sub(earlier.encode_time),
            max_encode_time: self.max_encode_time,
            bytes: self.bytes.saturating_sub(earlier.bytes),
        }
    }
}

impl fmt::Display for SyncerStatistics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SyncerStatistics { ticks, published, skipped, untouched, overruns, failed, .. } = self;
        write!(
            formatter,
            "{ticks} ticks, {overruns} overruns; {published} published ({} bytes), {skipped} skipped, {untouched} \
             untouched, {failed} failed; encoding took {:.1?}, at most {:.1?}",
            self.bytes, self.encode_time, self.max_encode_time
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(factor: u64) -> SyncerStatistics {
        SyncerStatistics {
            ticks: 10 * factor,
            published: 2 * factor,
            skipped: 3 * factor,
            untouched: 4 * factor,
            overruns: 5 * factor,
            failed: factor,
            encode_time: Duration::from_millis(6 * factor),
            max_encode_time: Duration::from_millis(2),
            bytes: 70 * factor,
        }
    }

    #[test]
    fn the_difference_of_two_looks_is_what_was_done_between() {
        assert_eq!(some(3).diff(&some(1)), some(2));
        assert_eq!(some(3).diff(&SyncerStatistics::default()), some(3));
    }

    #[test]
    fn they_are_shown_in_one_line() {
        assert_eq!(
            some(1).to_string(),
            "10 ticks, 5 overruns; 2 published (70 bytes), 3 skipped, 4 untouched, 1 failed; encoding took 6.0ms, at \
             most 2.0ms"
        );
    }
}
