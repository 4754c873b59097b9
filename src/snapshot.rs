//! What a reader gets.

use std::ops::Deref;
use std::time::Duration;

use crate::channel::SnapshotInfo;

/// A private, whole copy of one publication. Derefs to the state.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<T> {
    state: T,
    info: SnapshotInfo,
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
