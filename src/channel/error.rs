//! What can go wrong with a channel, one enum for each thing that one does with it.

mod attach;

pub use attach::AttachError;

use std::error::Error;
use std::time::Duration;

use super::{NameError, OverBudget, SizeLimit};
use crate::object::ObjectError;

/// Why a writer could not be opened. Nothing was changed that another process could see.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The name can't be used.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Another process (or another writer of this one) writes this channel.
    #[error(
        "channel {channel:?} is already written by {}: a channel has one writer; end that one, or choose \
         another name", process_text(*.pid)
    )]
    AlreadyOwned {
        /// The channel.
        channel: String,
        /// The writer's process id, in its own PID namespace; 0 if it has not said so yet.
        pid: u64,
    },
    /// The initial capacity is more than the limit.
    #[error(
        "an initial capacity of {capacity} bytes (by default that of a plain state) is above the limit of {limit}: lower it or raise the limit"
    )]
    CapacityAboveLimit {
        /// What was asked for.
        capacity: usize,
        /// The channel's limit.
        limit: usize,
    },
    /// There is no segment of that size.
    #[error(
        "no segment can hold states of {bytes} bytes{}: a state has at least 1 byte, a channel has 2 to 131072 slots, \
         and all of them must fit in memory", slots_text(*.slots)
    )]
    InvalidSize {
        /// The capacity or limit that was asked for.
        bytes: usize,
        /// The number of slots that was asked for, if any.
        slots: Option<usize>,
    },
    /// There is no room for it in a budget.
    #[error("channel {channel:?} can't be created: {over}")]
    OverBudget {
        /// The channel.
        channel: String,
        /// Which budget, and by how much.
        over: OverBudget,
    },
    /// The permissions would lock the writer out, or are more than permissions.
    #[error("permissions {mode:#o} can't be used: give bits of 0o777, with 0o600 among them")]
    InvalidPermissions {
        /// What was asked for.
        mode: u32,
    },
    /// The schema that the channel is to carry is beyond what readers accept.
    #[error(
        "the schema of the state's type can't be carried: {reason}; open the writer without `with_schema`"
    )]
    SchemaRefused {
        /// What is wrong with it.
        reason: String,
    },
    /// `with_schema` was called before `codec`.
    #[error(
        "the schema is of another codec: call `codec` first and `with_schema` after it, on the builder of channel \
         {channel:?}"
    )]
    SchemaOfAnotherCodec {
        /// The channel.
        channel: String,
    },
    /// The names of two channels have the same hash.
    #[error(
        "channel {channel:?} has the same object name as channel {other:?}: choose another name for one of them"
    )]
    NameCollision {
        /// The channel that was asked for, with its namespace.
        channel: String,
        /// The one that is there.
        other: String,
    },
    /// Another version of the library made this channel.
    #[error(
        "channel {channel:?} was made with layout version {found}, this library speaks version {expected}: use the \
         same version of tearless in all processes"
    )]
    LayoutVersion {
        /// The channel.
        channel: String,
        /// The channel's version.
        found: u64,
        /// Ours.
        expected: u64,
    },
    /// One of its objects can't be created or opened.
    #[error("channel {channel:?} can't be opened for writing: {source}")]
    Object {
        /// The channel.
        channel: String,
        /// What is wrong with which object.
        source: ObjectError,
    },
    /// The operating system gave no random number for the channel's instance id.
    #[error("the operating system gave no random number: {0}")]
    NoRandomness(String),
}

fn process_text(pid: u64) -> String {
    match pid {
        0 => "a process that has not said who it is".into(),
        own if own == u64::from(std::process::id()) => format!("this process ({own})"),
        pid => format!("process {pid}"),
    }
}

fn slots_text(slots: Option<usize>) -> String {
    slots.map_or_else(String::new, |slots| format!(" in {slots} slots"))
}

/// Why a state could not be published. The state published last stays readable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The state is larger than the limit, or needs a segment for which a budget has no room.
    #[error("{}", .bound.text(.channel, *.len, *.limit))]
    TooLarge {
        /// The channel.
        channel: String,
        /// Its length in bytes.
        len: usize,
        /// The channel's limit, of a single state.
        limit: usize,
        /// What it was that bounded it.
        bound: SizeLimit,
    },
    /// The codec can't encode the state.
    #[error("the state can't be encoded as {codec}: {source}")]
    Encode {
        /// The codec's name.
        codec: &'static str,
        /// Its reason.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The segment had to grow and could not.
    #[error("channel {channel:?} can't grow to {bytes} bytes: {source}")]
    Growth {
        /// The channel.
        channel: String,
        /// Size of the segment that was asked for.
        bytes: usize,
        /// What is wrong with which object.
        source: ObjectError,
    },
    /// The names of the channel were removed or taken over while it was in use.
    #[error(
        "the channel's names were removed from /dev/shm while it was in use: attached readers keep the last \
         state; drop this writer and open a new one"
    )]
    NamesRemoved,
    /// This process is a fork of the one that opened the writer.
    #[error(
        "this writer belongs to process {owner}, this process is a fork of it: open a writer of its own here"
    )]
    Forked {
        /// The process that opened it.
        owner: u64,
    },
    /// There is no number left for another publication, or for another segment.
    #[error("the channel's numbers are exhausted: remove the channel and create it anew")]
    Exhausted,
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Nothing has been published yet.
    #[error(
        "nothing has been published on channel {channel:?} yet: retry, or wait for it: `Reader::changed` does"
    )]
    Empty {
        /// The channel.
        channel: String,
    },
    /// The writer came back to the slot during every single attempt.
    #[error(
        "the writer of channel {channel:?} was faster than {attempts} attempts in {waited:.1?}: give the channel a \
         greater depth, or the reader a longer deadline"
    )]
    Contended {
        /// The channel.
        channel: String,
        /// How many attempts were made.
        attempts: u32,
        /// How long they took.
        waited: Duration,
    },
    /// The writer closed the channel and removed it, or it was replaced by one of another format.
    #[error(
        "channel {channel:?} was closed {}: attach again if it may have been re-created", last_text(*.last)
    )]
    Closed {
        /// The channel.
        channel: String,
        /// Number of its last publication, 0 if there was none.
        last: u64,
    },
    /// The payload is not what was published.
    #[error("publication {publication} of channel {channel:?} is corrupt: {reason}")]
    Corrupt {
        /// The channel.
        channel: String,
        /// Number of the publication.
        publication: u64,
        /// What is wrong.
        reason: String,
    },
    /// The payload is whole but has not the length of the reader's type.
    #[error(
        "publication {publication} of channel {channel:?} has {len} bytes, but the reader's type has {expected}"
    )]
    WrongLength {
        /// The channel.
        channel: String,
        /// Number of the publication.
        publication: u64,
        /// Its payload's length in bytes.
        len: usize,
        /// The length that the reader's type has.
        expected: usize,
    },
    /// The payload is whole but has not the bytes that were asked for.
    #[error(
        "publication {publication} of channel {channel:?} has {len} bytes: there are no {wanted} bytes from byte {offset} on"
    )]
    OutOfRange {
        /// The channel.
        channel: String,
        /// Number of the publication.
        publication: u64,
        /// Its payload's length in bytes.
        len: usize,
        /// Where the part begins that was asked for.
        offset: usize,
        /// How many bytes it has.
        wanted: usize,
    },
    /// The payload is whole but the codec can't decode it.
    #[error(
        "publication {publication} of channel {channel:?} can't be decoded as {codec}: {source}; has the writer's type \
         the same fields?"
    )]
    Decode {
        /// The channel.
        channel: String,
        /// Number of the publication.
        publication: u64,
        /// The codec's name.
        codec: &'static str,
        /// Its reason.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A segment of the channel can't be mapped.
    #[error("a segment of channel {channel:?} can't be mapped: {source}")]
    Object {
        /// The channel.
        channel: String,
        /// What is wrong with which object.
        source: ObjectError,
    },
}

fn last_text(last: u64) -> String {
    match last {
        0 => "before it published anything".into(),
        last => format!("after publication {last}"),
    }
}

/// Why a channel could not be removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// The name can't be used.
    #[error(transparent)]
    Name(#[from] NameError),
    /// It is in use.
    #[error("channel {channel:?} is written by {}: stop that process first", process_text(*.pid))]
    AlreadyOwned {
        /// The channel.
        channel: String,
        /// The writer's process id, in its own PID namespace; 0 if it has not said so yet.
        pid: u64,
    },
    /// One of its objects can't be opened or removed.
    #[error("channel {channel:?} can't be removed: {source}")]
    Object {
        /// The channel.
        channel: String,
        /// What is wrong with which object.
        source: ObjectError,
    },
}
