//! The most that was seen.

use super::memory::{MemoryUsage, NamespaceMemory};
use super::survey::survey;
use crate::object::{Backend, ObjectError};
use std::sync::Arc;

/// Remembers the most memory that a namespace had at one of the moments at which it was looked at. Made by
/// [`Namespace::peak_memory`](crate::Namespace::peak_memory).
///
/// It sees what there is when it is told to look. A peak between two looks is missed: a growth, in which a channel has
/// three segments, takes microseconds.
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

    /// Looks at the namespace.
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

    /// The total of the look that found the most bytes that have memory; zeros before the first look.
    #[must_use]
    pub fn peak(&self) -> MemoryUsage {
        self.peak
    }
}

/// What a namespace costs now.
pub(crate) fn measure(backend: &Arc<dyn Backend>, namespace: &str) -> Result<NamespaceMemory, ObjectError> {
    Ok(NamespaceMemory::of(namespace, &survey(backend, namespace)?))
}
