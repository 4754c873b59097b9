//! Plain counters of one writer or one reader, in its own memory.

/// Counters of a [`Writer`](crate::Writer) since it was opened. Former writers of the channel don't
/// count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriterStatistics {
    /// Published states.
    pub publications: u64,
    /// Payload bytes of all of them: the encoded states, without headers and padding.
    pub bytes: u64,
    /// Publications for which a segment was replaced by a larger or smaller one.
    pub growths: u64,
    /// Publications into the current segment.
    pub reused: u64,
    /// States that could not be encoded or published. A panic of the codec counts, too.
    pub failed: u64,
    /// Slots that publications passed over because a reader [viewed](crate::view) what they hold.
    pub pinned: u64,
}

counters! {
    /// The difference to `earlier`, which must be of the same writer; 0 where a number is not
    /// greater.
    WriterStatistics: publications, bytes, growths, reused, failed, pinned
    => "{publications} publications ({bytes} bytes), {growths} growths, {failed} failed"
}

impl WriterStatistics {
    /// The share of publications into the current segment, from 0 to 1; 1 if there were none.
    #[must_use]
    pub fn reuse_rate(&self) -> f64 {
        if self.publications == 0 { 1.0 } else { self.reused as f64 / self.publications as f64 }
    }
}

/// Counters of a [`Reader`](crate::Reader) since it was attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReaderStatistics {
    /// Whole copies: of the latest state, of a field of it, of one of its history; also if the
    /// codec could not decode the copy.
    pub snapshots: u64,
    /// Payload bytes of all of them; those of the whole state even if only a field of it was
    /// copied.
    pub bytes: u64,
    /// Further attempts because the writer was faster, or was replacing the segment.
    pub retries: u64,
    /// Segments that were mapped because they had replaced the one that was read before.
    pub remaps: u64,
    /// Snapshots that failed after all attempts that the
    /// [`RetryPolicy`](crate::options::RetryPolicy) allows.
    pub give_ups: u64,
    /// [Views](crate::view), of which some are copies.
    pub views: u64,
    /// Views that are copies. Each is a snapshot, too.
    pub copied_views: u64,
}

counters! {
    /// The difference to `earlier`, which must be of the same reader; 0 where a number is not
    /// greater.
    ReaderStatistics: snapshots, bytes, retries, remaps, give_ups, views, copied_views
    => "{snapshots} snapshots ({bytes} bytes), {retries} retries, {remaps} remaps, {give_ups} given up"
}

/// Counters of a writer; all other statistics follow from its numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct WriterCounts {
    /// Payload bytes.
    pub(super) bytes: u64,
    pub(super) failed: u64,
    /// Number of the last publication, and of growths, when the writer was opened.
    first: [u64; 2],
}

impl WriterCounts {
    /// Counters of a writer that begins after publication `last` and `growths`.
    pub(super) fn begin(last: u64, growths: u64) -> WriterCounts {
        WriterCounts { bytes: 0, failed: 0, first: [last, growths] }
    }

    pub(super) fn statistics(&self, last: u64, growths: u64, pinned: u64) -> WriterStatistics {
        let publications = last - self.first[0];
        // The page's count may have had any value before, even one near the maximum.
        let growths = growths.wrapping_sub(self.first[1]);
        let reused = publications - growths;
        let WriterCounts { bytes, failed, .. } = *self;
        WriterStatistics { publications, bytes, growths, reused, failed, pinned }
    }
}
