//! Why a hub has no answer.

use crate::channel::{AttachError, SnapshotError};
use crate::object::ObjectError;

/// Why a [`Hub`](crate::hub::Hub) has no state of a channel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// It could not be attached to: there is no such channel, or its states have another format.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// There is no whole state to be had, or it can't be decoded.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// What has become of its writer can't be found out.
    #[error("what has become of the writer of channel {channel:?} can't be found out: {source}")]
    Writer {
        /// The channel.
        channel: String,
        /// What is wrong with which object.
        source: ObjectError,
    },
}

impl QueryError {
    /// Whether there is no channel of that name (any more).
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(
            self,
            QueryError::Attach(AttachError::NotFound { .. })
                | QueryError::Snapshot(SnapshotError::Closed { .. })
        )
    }

    /// Whether nothing has been published yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, QueryError::Snapshot(SnapshotError::Empty { .. }))
    }
}
