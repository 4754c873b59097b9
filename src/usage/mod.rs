//! What a namespace costs: its objects, found by their names, channel by channel and kind by kind.
//!
//! Looking takes no lock and changes nothing. Objects come and go meanwhile: each is told as it was when it was looked
//! at, and one that is gone by then is left out.

mod change;
mod memory;
mod peak;
mod survey;
#[cfg(test)]
mod tests;

pub use change::{ChannelMemoryChange, MemoryChange, NamespaceMemoryChange};
pub use memory::{ChannelMemory, MemoryUsage, NamespaceMemory};
pub use peak::PeakMemory;
pub(crate) use peak::measure;
pub(crate) use survey::{Found, Part, Place, survey};
