//! What a reader returns: a state, and the publication that it is of.

use std::fmt;
use std::num::NonZeroU64;
use std::ops::Deref;
use std::time::Duration;

use crate::channel::Received;
use crate::clock;

/// A private, whole copy of one publication. Derefs to the state, and displays as it.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<T> {
    state: T,
    info: SnapshotInfo,
}

/// The publication behind a snapshot: its number, age and length.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotInfo {
    publication: u64,
    time: Option<NonZeroU64>,
    payload_len: usize,
    retries: u32,
}

impl SnapshotInfo {
    #[inline]
    pub(crate) fn new(received: &Received) -> SnapshotInfo {
        SnapshotInfo {
            publication: received.publication.get(),
            time: NonZeroU64::new(received.details.time),
            payload_len: received.details.len,
            retries: received.retries,
        }
    }

    /// The publication's number: 1 for the first of the channel's life.
    #[inline]
    #[must_use]
    pub fn publication(&self) -> u64 {
        self.publication
    }

    /// Time since the state was published, as of now. `None` if the writer gives its publications no
    /// timestamps.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.time.map(clock::age)
    }

    /// The timestamp of the publication in nanoseconds of the machine's monotonic clock, to compare
    /// publications of several channels. `None` if the writer gives its publications no timestamps.
    #[inline]
    #[must_use]
    pub fn monotonic_nanos(&self) -> Option<u64> {
        self.time.map(NonZeroU64::get)
    }

    /// Length of the payload in bytes.
    #[inline]
    #[must_use]
    pub fn payload_len(&self) -> usize {
        self.payload_len
    }

    /// Attempts that failed before this one because the writer was faster.
    #[inline]
    #[must_use]
    pub fn retries(&self) -> u32 {
        self.retries
    }
}

impl<T> Snapshot<T> {
    #[inline]
    pub(crate) fn new(state: T, info: SnapshotInfo) -> Snapshot<T> {
        Snapshot { state, info }
    }

    /// The state alone.
    #[inline]
    pub fn into_inner(self) -> T {
        self.state
    }

    /// A snapshot of another value of the same publication, for example of a part of the state.
    #[inline]
    pub fn map<U>(self, map: impl FnOnce(T) -> U) -> Snapshot<U> {
        Snapshot { state: map(self.state), info: self.info }
    }

    /// The publication that this is a copy of.
    #[inline]
    #[must_use]
    pub fn info(&self) -> SnapshotInfo {
        self.info
    }

    /// See [`SnapshotInfo::publication`].
    #[inline]
    #[must_use]
    pub fn publication(&self) -> u64 {
        self.info.publication()
    }

    /// See [`SnapshotInfo::age`].
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.info.age()
    }

    /// See [`SnapshotInfo::payload_len`].
    #[inline]
    #[must_use]
    pub fn payload_len(&self) -> usize {
        self.info.payload_len()
    }

    /// See [`SnapshotInfo::retries`].
    #[inline]
    #[must_use]
    pub fn retries(&self) -> u32 {
        self.info.retries()
    }
}

impl<T> Deref for Snapshot<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.state
    }
}

impl<T> AsRef<T> for Snapshot<T> {
    fn as_ref(&self) -> &T {
        &self.state
    }
}

impl<T: fmt::Display> fmt::Display for Snapshot<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state.fmt(formatter)
    }
}

/// `publication 7, 1.3ms old, 40 bytes`
impl fmt::Display for SnapshotInfo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "publication {}", self.publication())?;
        if let Some(age) = self.age() {
            write!(formatter, ", {age:.1?} old")?;
        }
        write!(formatter, ", {} bytes", self.payload_len())
    }
}
