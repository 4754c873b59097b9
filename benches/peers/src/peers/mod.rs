//! The compared libraries: one adapter for each.

mod floor;
mod iceoryx;
mod memcpy;
mod mmap;
mod ours;
mod pubsub;
mod ringfire;
mod swaps;
mod threads;
mod views;

pub(crate) use floor::{Floor, FloorDated};
pub(crate) use iceoryx::Iceoryx;
pub(crate) use memcpy::{Memcpy, MemcpyAround, Private};
pub(crate) use mmap::{MmapSync, MmapSyncGuard};
pub(crate) use ours::{Dated, Shallow, Undated, UndatedByValue};
pub(crate) use pubsub::{Alarm, Held, Receiver, Sender, Waker};
pub(crate) use ringfire::Ringfire;
pub(crate) use swaps::{ArcSwapped, ArcSwappedGuard, LeftRight};
pub(crate) use threads::{Locked, SeqLocked, Tripled, TripledGuard};
pub(crate) use views::{Loans, Views, writer_builder};
