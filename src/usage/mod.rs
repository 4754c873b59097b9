//! Memory and work: what a namespace occupies, and what its writers and readers have done.
//!
//! * [`Namespace::memory`](crate::Namespace::memory): the [`NamespaceMemory`], by channel and by
//!   kind of object; the difference of two of them is a [`NamespaceMemoryChange`].
//! * [`Namespace::peak_memory`](crate::Namespace::peak_memory): the [`PeakMemory`] over time.
//! * [`WriterStatistics`] and [`ReaderStatistics`]: counters of one writer and one reader.
//!
//! A measurement finds objects by their names. It takes no lock and changes nothing; each object is
//! measured at a moment of its own, and an object that is removed before is left out.

mod memory;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::catalog;
pub use crate::channel::{ReaderStatistics, WriterStatistics};
use crate::object::{Backend, ObjectError};
pub use memory::{
    ChannelMemory, ChannelMemoryChange, MemoryChange, MemoryUsage, NamespaceMemory, NamespaceMemoryChange,
};

/// The memory of a namespace now.
pub(crate) fn measure(backend: &Arc<dyn Backend>, namespace: &str) -> Result<NamespaceMemory, ObjectError> {
    Ok(NamespaceMemory::of(namespace, &catalog::objects(backend.as_ref(), namespace)?))
}

/// The largest memory of a namespace at any observation. Made by
/// [`Namespace::peak_memory`](crate::Namespace::peak_memory).
///
/// It measures only when [`observe`](PeakMemory::observe) is called. A peak between two
/// observations is missed: a growth, during which a channel has three segments, takes microseconds.
#[derive(Clone, Debug)]
pub struct PeakMemory {
    backend: Arc<dyn Backend>,
    namespace: String,
    peak: MemoryUsage,
}

impl PeakMemory {
    pub(crate) fn new(backend: Arc<dyn Backend>, namespace: &str) -> Self {
        PeakMemory { backend, namespace: namespace.into(), peak: MemoryUsage::default() }
    }

    /// Measures the namespace.
    ///
    /// # Errors
    ///
    /// As [`Namespace::memory`](crate::Namespace::memory).
    pub fn observe(&mut self) -> Result<NamespaceMemory, ObjectError> {
        let memory = measure(&self.backend, &self.namespace)?;
        let total = memory.total();
        if total.resident > self.peak.resident {
            self.peak = total;
        }
        Ok(memory)
    }

    /// The total of the observation with the most resident bytes; zeros before the first
    /// observation.
    #[must_use]
    pub fn peak(&self) -> MemoryUsage {
        self.peak
    }
}
