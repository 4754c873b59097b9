//! The protocol: how one writer publishes and how any number of readers take whole copies, without
//! locks.
//!
//! No operating system, no names, no time, no serde, no unsafe: only words behind the [`Memory`]
//! trait. One attempt per call; the caller decides on retries. `docs/protocol.md` holds the proof
//! in prose; `models` holds the models that check this very code.
//!
//! # Orderings
//!
//! Four orderings carry the proof of publish and attempt. Each is explained next to its code, with
//! the race that it prevents:
//!
//! | step | where | ordering | partner |
//! |---|---|---|---|
//! | w2 | [`Ring::begin`] | `fence(Release)` after the odd stamp | r4 |
//! | w5 | [`Published::announce`] | `store(Release)` of the number | r1 |
//! | r1 | [`Published::latest`] | `load(Relaxed)`, `fence(Acquire)` | w5 |
//! | r4 | [`Ring::copy`] | `fence(Acquire)` before the stamp is checked | w2 |
//!
//! None is redundant: without any one of them the models find a torn read. A second Release/Acquire
//! pair on the stamp would do no harm on hardware, but it would hide the loss of w5 from the
//! models. One more pair, in [`ready`], hands over the immutable words. Waiting for a publication
//! is a separate handshake: see [`waiting`]; so is pinning one: see [`pins`].
//!
//! # Inlining
//!
//! `#[inline(always)]` marks the steps of a snapshot and of a publish, here and in `memory`,
//! `clock` and `channel`: from the typed reader or writer down to the copy they become one
//! function per type, in which the length of a plain state is known and its copy is a few moves.
//! Off those two paths a function is `#[inline]` or nothing.

mod destination;
#[cfg(test)]
pub(crate) mod models;
mod pins;
mod published;
mod reader;
pub(crate) mod ready;
mod ring;
mod waiting;
mod writer;

pub(crate) use destination::{Beginning, Destination, Part};
pub(crate) use pins::Pins;
pub use published::ChannelState;
pub(crate) use published::{Generations, Published};
pub(crate) use reader::Reader;
pub(crate) use ring::{Attempt, NotCopied, Ring, Segment, SlotStatus};
pub use waiting::WakeMode;
pub(crate) use waiting::{Announcements, Answered, WakeUps, announce_waiter, count_wake_up};
pub(crate) use writer::Writer;

#[cfg(doc)]
use crate::memory::Memory;
