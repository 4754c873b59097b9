//! What a reader gets.

use std::num::NonZeroU64;
use std::ops::Deref;
use std::time::Duration;

use crate::channel::Received;
use crate::clock;

/// A private, whole copy of one publication. Derefs to the state.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<T> {
    state: T,
    info: SnapshotInfo,
}

/// What stands beside the state in a [`Snapshot`].
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

    /// How long ago it was published, as of now. `None` if the writer doesn't date its publications.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.time.map(clock::age)
    }

    /// When it was published, in nanoseconds of the machine's monotonic clock: to compare publications of several
    /// channels. `None` if the writer doesn't date them.
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

    /// The state, without what stands beside it.
    #[inline]
    pub fn into_inner(self) -> T {
        self.state
    }

    /// What stands beside the state.
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
