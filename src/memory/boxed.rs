//! Words on the heap: for tests, and for channels inside one process.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::{AtomicWords, WritableWords};

/// Words on the heap, shared by the clones.
#[derive(Clone, Debug)]
pub struct BoxedWords(Arc<Box<[AtomicU64]>>);

impl BoxedWords {
    /// `words` zeroes; pages that are never touched take no memory.
    pub(crate) fn new(words: usize) -> BoxedWords {
        BoxedWords(Arc::new(bytemuck::zeroed_slice_box(words)))
    }

    /// Whether both are clones of one.
    pub(crate) fn is_same(&self, other: &BoxedWords) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

// SAFETY: the slice is never replaced.
unsafe impl AtomicWords for BoxedWords {
    #[inline]
    fn words(&self) -> &[AtomicU64] {
        &self.0
    }
}

// SAFETY: the heap is writable.
unsafe impl WritableWords for BoxedWords {}
