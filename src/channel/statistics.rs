//! Plain counters of one writer or one reader, in its own memory.

use std::fmt;

/// What a [`Writer`](crate::Writer) has done since it was opened; former writers of the channel don't count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriterStatistics {
    /// States that were published.
    pub publications: u64,
    /// Payload bytes of all of them: the states as they were encoded, without headers and padding.
    pub bytes: u64,
    /// Publications for which a segment was replaced by a larger or smaller one.
    pub growths: u64,
    /// Publications that went into a segment that was there.
    pub reused: u64,
    /// States that could not be published, or not be encoded.
    pub failed: u64,
}

impl WriterStatistics {
    /// What has been done since `earlier`, which must be of the same writer; where a number is not greater, 0.
    #[must_use]
    pub fn diff(&self, earlier: &WriterStatistics) -> WriterStatistics {
        WriterStatistics {
            publications: self.publications.saturating_sub(earlier.publications),
            bytes: self.bytes.saturating_sub(earlier.bytes),
            growths: self.growths.saturating_sub(earlier.growths),
            reused: self.reused.saturating_sub(earlier.reused),
            failed: self.failed.saturating_sub(earlier.failed),
        }
    }

    /// The part of the publications that went into a segment that was there, from 0 to 1; 1 if there were none.
    #[must_use]
    pub fn reuse_rate(&self) -> f64 {
        if self.publications == 0 { 1.0 } else { self.reused as f64 / self.publications as f64 }
    }
}

/// One line.
impl fmt::Display for WriterStatistics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WriterStatistics { publications, bytes, growths, reused: _, failed } = self;
        write!(formatter, "{publications} publications ({bytes} bytes), {growths} growths, {failed} failed")
    }
}

/// What a [`Reader`](crate::Reader) has done since it was attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReaderStatistics {
    /// Whole copies that were taken: of the latest state, of a field of it, of one of its history; also where the codec
    /// then could not decode one.
    pub snapshots: u64,
    /// Payload bytes of all of them; of the whole state also where only a field of it was copied.
    pub bytes: u64,
    /// Attempts that had to be made anew because the writer was faster, or was replacing the segment.
    pub retries: u64,
    /// Segments that were mapped: one for each side that is met, and one more whenever it has been replaced.
    pub remaps: u64,
    /// Snapshots that were given up after all attempts that the [`RetryPolicy`](crate::options::RetryPolicy) allows.
    pub give_ups: u64,
}

impl ReaderStatistics {
    /// What has been done since `earlier`, which must be of the same reader; where a number is not greater, 0.
    #[must_use]
    pub fn diff(&self, earlier: &ReaderStatistics) -> ReaderStatistics {
        ReaderStatistics {
            snapshots: self.snapshots.saturating_sub(earlier.snapshots),
            bytes: self.bytes.saturating_sub(earlier.bytes),
            retries: self.retries.saturating_sub(earlier.retries),
            remaps: self.remaps.saturating_sub(earlier.remaps),
            give_ups: self.give_ups.saturating_sub(earlier.give_ups),
        }
    }
}

/// One line.
impl fmt::Display for ReaderStatistics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ReaderStatistics { snapshots, bytes, retries, remaps, give_ups } = self;
        write!(
            formatter,
            "{snapshots} snapshots ({bytes} bytes), {retries} retries, {remaps} remaps, {give_ups} given up"
        )
    }
}

/// Counters of a writer; everything else follows from its numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct WriterCounts {
    /// Payload bytes.
    pub(super) bytes: u64,
    pub(super) failed: u64,
    /// Number of the last publication, and growths, when the writer was opened.
    first: [u64; 2],
}

impl WriterCounts {
    /// Counters of a writer that begins after publication `last` and `growths`.
    pub(super) fn begin(last: u64, growths: u64) -> WriterCounts {
        WriterCounts { bytes: 0, failed: 0, first: [last, growths] }
    }

    pub(super) fn statistics(&self, last: u64, growths: u64) -> WriterStatistics {
        let publications = last - self.first[0];
        // The page's count may have been any number before, also one near the end.
        let growths = growths.wrapping_sub(self.first[1]);
        let reused = publications - growths;
        WriterStatistics { publications, bytes: self.bytes, growths, reused, failed: self.failed }
    }
}
