//! The state of a channel's writer.

use std::fmt;

use super::ChannelReader;
use crate::layout::Kind;
use crate::liveness::{ProcessIdentity, ProcessState};
use crate::memory::{Memory, ReadOnlyWords};
use crate::object::{Backend, ObjectError};
use crate::seqlock::ChannelState;

/// State of a channel's writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WriterState {
    /// The process is alive. Its last publication may still be old: see
    /// [`Snapshot::age`](crate::Snapshot::age).
    Alive,
    /// The process is alive, but stopped by a signal or a debugger, or its control group is frozen.
    /// It still owns the channel.
    Stopped,
    /// The process died without closing the channel: it was killed, or it crashed. The last state
    /// stays readable; the next writer continues from it.
    Dead,
    /// The process exited without closing the channel, by `exit` or at the end of `main`: its
    /// writer is in a `static`, for example. The last state stays readable; the next writer
    /// continues from it.
    Exited,
    /// The writer closed the channel, or the channel was removed or replaced after its writer had
    /// ended.
    Closed,
    /// The channel's names were removed by hand, and the writer's process can't be seen from here:
    /// it is in another PID namespace, for example.
    Unknown,
}

impl WriterState {
    /// The name of the variant in lower case: `alive`, `stopped`, `dead`, `exited`, `closed` or
    /// `unknown`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            WriterState::Alive => "alive",
            WriterState::Stopped => "stopped",
            WriterState::Dead => "dead",
            WriterState::Exited => "exited",
            WriterState::Closed => "closed",
            WriterState::Unknown => "unknown",
        }
    }
}

impl fmt::Display for WriterState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

#[cfg(any(feature = "postcard", feature = "message-pack"))]
impl serde::Serialize for WriterState {
    /// The [name](WriterState::name).
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The state of the writer of the channel that `reader` is attached to.
pub(crate) fn writer_state(reader: &ChannelReader) -> Result<WriterState, ObjectError> {
    let page = reader.page();
    if page.state() != ChannelState::Open {
        return Ok(WriterState::Closed);
    }
    // Acquire: the owner must be loaded after the state said that the channel is open. Pairs with
    // the release fence in `ControlPage::reopen`.
    page.fence_acquire();
    let (segments, owner) = (&reader.segments, || page.owner());
    let name = segments.names.object(Kind::Control);
    match state_of_owner(segments.backend.as_ref(), &name, page.memory(), owner)? {
        // The writer may have closed the channel and released it since. The kernel orders the
        // release after the closing.
        WriterState::Dead | WriterState::Unknown if reader.is_closed() => Ok(WriterState::Closed),
        WriterState::Dead if page.ended_ago().is_some() => Ok(WriterState::Exited),
        state => Ok(state),
    }
}

/// State of the process that `page`, the first words of `object`, records as its `owner`. The owner
/// is loaded after the lock was queried: a lock that a new owner holds says nothing about the
/// former.
pub(crate) fn state_of_owner(
    backend: &dyn Backend,
    object: &str,
    page: &ReadOnlyWords,
    owner: impl FnOnce() -> ProcessIdentity,
) -> Result<WriterState, ObjectError> {
    if backend.is_claimed(object, page)? == Some(false) {
        return Ok(WriterState::Dead);
    }
    // A process holds the lock: the owner, or a fork that outlives it. Or the object has been
    // unlinked, and the lock can't be queried.
    let owner = owner();
    Ok(match owner.state_as_owner(Some(page.object())) {
        // A lock does not outlive a boot: this is a container with a boot id of its own.
        ProcessState::Dead if owner.other_boot().is_some() => WriterState::Unknown,
        ProcessState::Dead => WriterState::Dead,
        ProcessState::Stopped => WriterState::Stopped,
        ProcessState::Running => WriterState::Alive,
        ProcessState::Unknown if !backend.is_named(object, page.object())? => WriterState::Unknown,
        ProcessState::Unknown => WriterState::Alive,
    })
}
