//! Memory and work: what a namespace occupies, and what its writers and readers have done.
//!
//! * [`Namespace::memory`](crate::Namespace::memory): the [`NamespaceMemory`], by channel and by kind of
//!   object; the difference of two of them is a [`NamespaceMemoryChange`].
//! * [`Namespace::peak_memory`](crate::Namespace::peak_memory): the [`PeakMemory`] over time.
//! * [`WriterStatistics`] and [`ReaderStatistics`]: counters of one writer and one reader.
//!
//! A measurement finds objects by their names. It takes no lock and changes nothing; each object is
//! measured at a moment of its own, and an object that is removed before is left out.

mod change;
mod memory;
mod peak;
mod survey;
#[cfg(test)]
mod tests;

pub use crate::channel::{ReaderStatistics, WriterStatistics};
pub use change::{ChannelMemoryChange, MemoryChange, NamespaceMemoryChange};
pub use memory::{ChannelMemory, MemoryUsage, NamespaceMemory};
pub use peak::PeakMemory;
pub(crate) use peak::measure;
pub(crate) use survey::{Found, Part, Place, survey};
