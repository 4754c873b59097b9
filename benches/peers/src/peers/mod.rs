//! The compared libraries: one adapter for each.

mod iceoryx;
mod memcpy;
mod mmap;
mod ours;
mod swaps;
mod threads;

pub(crate) use iceoryx::Iceoryx;
pub(crate) use memcpy::{Memcpy, MemcpyAround, Private};
pub(crate) use mmap::{MmapSync, MmapSyncGuard};
pub(crate) use ours::{Dated, Shallow, Undated, UndatedByValue};
pub(crate) use swaps::{ArcSwapped, ArcSwappedGuard, LeftRight};
pub(crate) use threads::{Locked, SeqLocked, Tripled, TripledGuard};
