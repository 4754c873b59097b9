//! What a hub reports: the status of a worker, its own statistics, and why it has no state.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::channel::{AttachError, OriginInfo, SnapshotError, attempts_text, removed_text};
use crate::health::Health;
use crate::object::{ObjectError, ResourceLimit};

/// The health of a worker, and which writer and publication it is about. Made by
/// [`Hub::status`](super::Hub::status).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// How the worker is.
    pub health: Health,
    /// Number of its last publication, 0 before the first.
    pub publication: u64,
    /// Process id of the current or last writer, in its own PID namespace.
    pub writer_pid: u64,
    /// Number of writers that the channel has had, one after the other.
    pub incarnation: u64,
    /// What a [mirrored](crate::mirror) channel is a copy of, which then is what the health is of.
    /// The process id and the number of writers are those of the mirror on this host.
    pub origin: Option<OriginInfo>,
}

impl fmt::Display for Status {
    /// Health, publication and writer: `fresh, published 2.0ms ago; publication 7, process 12
    /// (writer 1)`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Status { health, publication, writer_pid, incarnation, origin } = self;
        write!(formatter, "{health}; publication {publication}, ")?;
        match origin {
            None => write!(formatter, "process {writer_pid} (writer {incarnation})"),
            Some(OriginInfo { host, pid, incarnation, .. }) => {
                write!(formatter, "process {pid} (writer {incarnation}) of host {host}")
            }
        }
    }
}

#[cfg(any(feature = "postcard", feature = "message-pack"))]
impl serde::Serialize for Status {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut fields = serializer.serialize_struct("Status", 5)?;
        fields.serialize_field("health", &self.health)?;
        fields.serialize_field("publication", &self.publication)?;
        fields.serialize_field("writer_pid", &self.writer_pid)?;
        fields.serialize_field("incarnation", &self.incarnation)?;
        fields.serialize_field("origin", &self.origin)?;
        fields.end()
    }
}

/// What a [`Hub`](super::Hub) has done beyond first attempts that succeeded. Those are not counted:
/// the counters would slow the threads down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HubStatistics {
    /// Attachments. A channel that was removed and created again counts again.
    pub attachments: u64,
    /// Queries whose first attempt failed, and those that find plain fields at other offsets
    /// ([`MatchingFields`](crate::accept::MatchingFields)).
    pub slow_queries: u64,
    /// Further attempts of these queries, because the writer was faster or replaced the segment.
    pub retries: u64,
    /// Segments that these queries mapped: one for each growth.
    pub remaps: u64,
    /// Queries that failed after all attempts that the hub's retry policy allows.
    pub give_ups: u64,
}

counters! {
    /// The difference to `earlier` statistics of the same hub.
    HubStatistics: attachments, slow_queries, retries, remaps, give_ups
    => "{attachments} attachments, {slow_queries} slow queries, {retries} retries, {remaps} \
        remaps, {give_ups} given up"
}

/// The counters of all threads, in the order of the fields of [`HubStatistics`]. Relaxed: they
/// order nothing.
#[derive(Debug, Default)]
pub(super) struct Counts([AtomicU64; 5]);

impl Counts {
    /// [`HubStatistics::attachments`]: the time by which the hub knows what it read last.
    #[inline]
    pub(super) fn attachments(&self) -> u64 {
        self.0[0].load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, done: HubStatistics) {
        let HubStatistics { attachments, slow_queries, retries, remaps, give_ups } = done;
        let numbers = [attachments, slow_queries, retries, remaps, give_ups];
        for (count, number) in self.0.iter().zip(numbers) {
            count.fetch_add(number, Ordering::Relaxed);
        }
    }

    pub(super) fn read(&self) -> HubStatistics {
        let numbers = self.0.each_ref().map(|count| count.load(Ordering::Relaxed));
        let [attachments, slow_queries, retries, remaps, give_ups] = numbers;
        HubStatistics { attachments, slow_queries, retries, remaps, give_ups }
    }
}

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
