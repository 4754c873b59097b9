//! The state of a channel's writer.

use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

use super::ChannelReader;
use super::control_page::ControlPage;
use crate::clock;
use crate::layout::{Kind, control};
use crate::liveness::{ProcessIdentity, ProcessState};
use crate::memory::{Memory, MemoryMut, ReadOnlyWords};
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
    /// it is in another PID namespace, for example. Of a [mirrored](crate::mirror) channel: its
    /// host has not told yet.
    Unknown,
    /// Only of a [mirrored](crate::mirror) channel: there is no news of its host, because that
    /// can't be reached, or because the mirror on this host died or is stopped. The writer may be
    /// well.
    Unreachable,
}

impl WriterState {
    /// The name of the variant in lower case: `alive`, `stopped`, `dead`, `exited`, `closed`,
    /// `unknown` or `unreachable`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            WriterState::Alive => "alive",
            WriterState::Stopped => "stopped",
            WriterState::Dead => "dead",
            WriterState::Exited => "exited",
            WriterState::Closed => "closed",
            WriterState::Unknown => "unknown",
            WriterState::Unreachable => "unreachable",
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

/// All states, in the order of their numbers in a mirrored channel's page, from 1.
const STATES: [WriterState; 7] = [
    WriterState::Alive,
    WriterState::Stopped,
    WriterState::Dead,
    WriterState::Exited,
    WriterState::Closed,
    WriterState::Unknown,
    WriterState::Unreachable,
];

/// What the host of a [mirrored](crate::mirror) channel has said of its writer, as of one moment.
/// Ages count back from that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginStatus {
    /// Number of writers that the channel has had there.
    pub incarnation: u64,
    /// Process id of the current or last writer, in its own PID namespace.
    pub pid: u64,
    /// State of that writer.
    pub writer: WriterState,
    /// The heartbeat interval that it promises.
    pub heartbeat_interval: Option<Duration>,
    /// Time since its last heartbeat.
    pub heartbeat_age: Option<Duration>,
    /// Time since it opened the channel.
    pub opened_ago: Option<Duration>,
    /// Time since it closed the channel, or exited.
    pub ended_ago: Option<Duration>,
}

/// What a [mirrored](crate::mirror) channel is a copy of, as far as its host has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OriginInfo {
    /// The name of the host. Text of another process, verbatim: it may hold control characters, so
    /// escape it before showing it.
    pub host: &'static str,
    /// Random id of the channel there.
    pub instance: u64,
    /// Number of writers that the channel has had there.
    pub incarnation: u64,
    /// Process id of the current or last writer there, in its own PID namespace.
    pub pid: u64,
    /// Time since the last news of the host; `None` if there was none.
    pub news_age: Option<Duration>,
}

#[cfg(any(feature = "postcard", feature = "message-pack"))]
impl serde::Serialize for OriginInfo {
    /// A structure of the fields, with the age in seconds.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut fields = serializer.serialize_struct("OriginInfo", 5)?;
        fields.serialize_field("host", self.host)?;
        fields.serialize_field("instance", &self.instance)?;
        fields.serialize_field("incarnation", &self.incarnation)?;
        fields.serialize_field("pid", &self.pid)?;
        fields.serialize_field("news_age_seconds", &self.news_age.map(|age| age.as_secs_f64()))?;
        fields.end()
    }
}

/// Stores what the origin said at the moment `now`.
///
/// Relaxed, but for the last: each word is for people or for the judge, and carries nothing but
/// itself.
pub(super) fn store_status(page: &ControlPage<impl MemoryMut>, status: &OriginStatus, now: u64) {
    let number = STATES.iter().position(|state| *state == status.writer).map_or(0, |index| index + 1);
    page.store(control::ORIGIN_WRITER, number as u64);
    page.store(control::ORIGIN_PID, status.pid);
    let interval = status.heartbeat_interval.unwrap_or_default();
    page.store(control::HEARTBEAT_INTERVAL, clock::nanoseconds(interval));
    let ages = [status.heartbeat_age, status.opened_ago, status.ended_ago];
    for (word, age) in [control::HEARTBEAT, control::OPENED, control::ENDED].into_iter().zip(ages) {
        page.store(word, time_at(now, age));
    }
    page.store(control::NEWS, now);
    page.store(control::UNREACHABLE, 0);
    // Release: a reader that finds the same number before and after it looked must not have seen
    // another writer's words. Pairs with the acquire fence in `ControlPage::owner`.
    page.fence_release();
    page.store(control::ORIGIN_INCARNATION, status.incarnation);
}

/// Stores that the last news of the origin is this old, or that it is reachable.
pub(super) fn store_unreachable(page: &ControlPage<impl MemoryMut>, since: Option<Duration>, now: u64) {
    page.store(control::UNREACHABLE, time_at(now, since));
}

/// The time that was `age` before `now`, as a word that is 0 for no age. Negative before the boot.
pub(super) fn time_at(now: u64, age: Option<Duration>) -> u64 {
    let Some(age) = age else { return 0 };
    let age = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
    // Zero means none: a nanosecond less is no less true.
    match now.cast_signed().saturating_sub(age) {
        0 => 1,
        time => time.cast_unsigned(),
    }
}

/// What a mirrored channel is a copy of; `None` of any other channel.
pub(crate) fn origin_of(reader: &ChannelReader) -> Option<OriginInfo> {
    let page = reader.page();
    Some(OriginInfo {
        host: reader.host()?.name(),
        instance: page.load(control::ORIGIN_INSTANCE),
        incarnation: page.load(control::ORIGIN_INCARNATION),
        pid: page.load(control::ORIGIN_PID),
        news_age: news_age(page),
    })
}

/// Time since the last news of the origin of a mirrored channel; `None` if there was none.
pub(crate) fn news_age(page: &ControlPage<impl Memory>) -> Option<Duration> {
    let unreachable = NonZeroU64::new(page.load(control::UNREACHABLE));
    unreachable.or(NonZeroU64::new(page.load(control::NEWS))).map(clock::age)
}

/// What the origin of a mirrored channel told of its writer, if it is reachable and `mirror`, the
/// process that brings the news, is at work.
fn told(page: &ControlPage<impl Memory>, mirror: WriterState) -> WriterState {
    if mirror != WriterState::Alive || page.load(control::UNREACHABLE) != 0 {
        return WriterState::Unreachable;
    }
    let number = usize::try_from(page.load(control::ORIGIN_WRITER)).unwrap_or(usize::MAX);
    let state = number.checked_sub(1).and_then(|index| STATES.get(index));
    state.copied().unwrap_or(WriterState::Unknown)
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
        state if reader.host().is_some() => Ok(told(page, state)),
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
