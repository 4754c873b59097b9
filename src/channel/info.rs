//! What is known of a publication beside its state.

use std::num::NonZeroU64;
use std::time::{Duration, SystemTime};

use super::origin::{Host, Origin};
use crate::clock;
use crate::layout::Publication;
use crate::memory::SlotHeader;

/// The publication behind a snapshot: its number, age and length.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotInfo {
    publication: Publication,
    len: u64,
    time: u64,
    /// The slot's word for the checksum: of a mirrored channel, the origin's number.
    word: u64,
    /// The host that a mirrored channel is of.
    host: Option<Host>,
    retries: u32,
}

impl SnapshotInfo {
    #[inline(always)]
    pub(super) fn new(publication: Publication, header: SlotHeader, host: Option<Host>) -> SnapshotInfo {
        let SlotHeader { len, time, checksum: word } = header;
        SnapshotInfo { publication, len, time, word, host, retries: 0 }
    }

    /// The same after so many attempts that failed.
    pub(super) fn after(self, retries: u32) -> SnapshotInfo {
        SnapshotInfo { retries, ..self }
    }

    /// A copy that is built from its fields. If two paths of a function returned one block of
    /// memory, both would have to fill it; this way each keeps the words in registers.
    #[inline(always)]
    pub(crate) fn by_field(self) -> SnapshotInfo {
        let SnapshotInfo { publication, len, time, word, host, retries } = self;
        SnapshotInfo { publication, len, time, word, host, retries }
    }

    /// The publication's number: 1 for the first of the channel's life.
    #[inline]
    #[must_use]
    pub fn publication(&self) -> u64 {
        self.publication.get()
    }

    /// The publication of another host that this is a copy of, if the channel is a
    /// [mirrored](crate::mirror) one.
    #[inline]
    #[must_use]
    pub fn origin(&self) -> Option<Origin> {
        self.host.map(|host| Origin::new(host, self.word))
    }

    /// Time since the state was published, as of now; time for which the machine slept counts.
    /// `None` if the writer gives its publications no timestamps. On a [mirrored](crate::mirror)
    /// channel, it was at least that long ago.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        NonZeroU64::new(self.time).map(clock::age)
    }

    /// The time of day at which the state was published, for people: the wall clock as it is set
    /// now, minus the [age](Self::age). `None` if the writer gives its publications no timestamps.
    #[must_use]
    pub fn published_at(&self) -> Option<SystemTime> {
        NonZeroU64::new(self.time).map(clock::time_of_day)
    }

    /// The timestamp of the publication in nanoseconds since the machine's boot (`CLOCK_BOOTTIME`,
    /// which never goes back), to compare publications of several channels. `None` if the writer
    /// gives its publications no timestamps, or if the state is a [restored](crate::saved) one from
    /// before the boot.
    #[inline]
    #[must_use]
    pub fn monotonic_nanos(&self) -> Option<u64> {
        Some(self.time).filter(|time| time.cast_signed() > 0)
    }

    /// The timestamp of the publication in nanoseconds since the machine's boot; negative for a
    /// [restored](crate::saved) state from before the boot, `None` if the writer gives none.
    /// [`SnapshotInfo::age_of`] has its age.
    #[inline]
    #[must_use]
    pub fn boot_nanos(&self) -> Option<i64> {
        Some(self.time.cast_signed()).filter(|time| *time != 0)
    }

    /// The age of a publication with this [timestamp](SnapshotInfo::boot_nanos), as of now: for a
    /// program that keeps the number instead of the `SnapshotInfo`.
    #[must_use]
    pub fn age_of(boot_nanos: i64) -> Duration {
        clock::age_at(boot_nanos.cast_unsigned()).unwrap_or_default()
    }

    /// The timestamp as it was stored; 0 for none.
    pub(crate) fn timestamp(&self) -> u64 {
        self.time
    }

    /// Length of the payload in bytes.
    #[inline]
    #[must_use]
    pub fn payload_len(&self) -> usize {
        usize::try_from(self.len).unwrap_or(usize::MAX)
    }

    /// Attempts that failed before this one because the writer was faster.
    #[inline]
    #[must_use]
    pub fn retries(&self) -> u32 {
        self.retries
    }
}
