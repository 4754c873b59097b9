//! Why a hub has no state of a channel.

use crate::channel::{AttachError, SnapshotError, attempts_text, removed_text};
use crate::object::{ObjectError, ResourceLimit};

/// Why a [`Hub`](super::Hub) has no state of a channel. The texts give advice for callers of a hub.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The hub could not attach: there is no such channel, or its states have another format.
    #[error("{}", attach_text(.0))]
    Attach(AttachError),
    /// No whole state could be read, or it can't be decoded.
    #[error("{}", snapshot_text(.0))]
    Snapshot(SnapshotError),
    /// The channels of the namespace can't be listed.
    #[error("the channels of namespace {namespace:?} can't be listed: {source}")]
    List {
        /// The namespace.
        namespace: String,
        /// What is wrong with its registry.
        r#source: ObjectError,
    },
    /// This process cannot determine the state of the channel's writer.
    #[error("cannot determine the state of the writer of channel {channel:?}: {source}")]
    Writer {
        /// The channel.
        channel: String,
        /// What is wrong with which object.
        r#source: ObjectError,
    },
}

debug_as_display!(QueryError);

// By hand, because `#[from]` would make the error a `source`, whose text the error has already.

impl From<AttachError> for QueryError {
    fn from(error: AttachError) -> QueryError {
        QueryError::Attach(error)
    }
}

impl From<SnapshotError> for QueryError {
    fn from(error: SnapshotError) -> QueryError {
        QueryError::Snapshot(error)
    }
}

impl QueryError {
    /// Whether there is no channel of that name, or no longer.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(
            self,
            QueryError::Attach(AttachError::NotFound { .. })
                | QueryError::Snapshot(SnapshotError::Closed { .. })
        )
    }

    /// Whether the same query may succeed in a moment: the channel is being created or replaced, or
    /// its writer was faster than the hub's [`RetryPolicy`](crate::options::RetryPolicy) allows.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            QueryError::Attach(AttachError::NotReady { .. })
                | QueryError::Snapshot(SnapshotError::Contended { .. })
        )
    }

    /// Whether nothing has been published yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, QueryError::Snapshot(SnapshotError::Empty { .. }))
    }

    /// Whether the process may not map an object, because of a limit on mappings or addresses.
    pub(super) fn is_out_of_mappings(&self) -> bool {
        let (QueryError::Attach(AttachError::Object { source, .. })
        | QueryError::Snapshot(SnapshotError::Object { source, .. })) = self
        else {
            return false;
        };
        matches!(source, ObjectError::Limit { limit: ResourceLimit::Mappings, .. })
    }
}

fn attach_text(error: &AttachError) -> String {
    let AttachError::NotReady { channel, waited } = error else { return error.to_string() };
    format!(
        "channel {channel:?} is still being created after {waited:.1?}: query it again, or let the hub wait \
         longer (`HubBuilder::attach_policy`); if that does not help, its creator was killed, and opening a \
         writer for the channel cleans up"
    )
}

fn snapshot_text(error: &SnapshotError) -> String {
    match error {
        SnapshotError::Empty { channel } => format!(
            "nothing has been published on channel {channel:?} yet: query it again, or wait for a change with \
             `HubWatch::wait_any`"
        ),
        SnapshotError::Closed { channel, last } => {
            removed_text(channel, *last) + "; the hub finds it again when a writer opens it"
        }
        SnapshotError::Contended { channel, attempts, waited } => format!(
            "the writer of channel {channel:?} was faster than {} in {waited:.1?}: give the \
             channel more slots, or the hub a longer deadline (`HubBuilder::retry_policy`)",
            attempts_text(*attempts)
        ),
        error => error.to_string(),
    }
}
