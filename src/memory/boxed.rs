//! Words on the heap: for tests, and for channels inside one process.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::{AtomicWords, WritableWords};

/// Words on the heap, shared by the clones, or a part of them.
#[derive(Clone, Debug)]
pub struct BoxedWords {
    all: Arc<Box<[AtomicU64]>>,
    // Within `all`.
    start: usize,
    len: usize,
}

impl BoxedWords {
    /// `words` zeroes; pages that are never touched take no memory.
    pub(crate) fn new(words: usize) -> BoxedWords {
        BoxedWords { all: Arc::new(bytemuck::zeroed_slice_box(words)), start: 0, len: words }
    }

    /// The `words` words from `start` on; `None` if there are not so many.
    pub(crate) fn part(&self, start: usize, words: usize) -> Option<BoxedWords> {
        let end = start.checked_add(words)?;
        (end <= self.len).then(|| BoxedWords {
            all: Arc::clone(&self.all),
            start: self.start + start,
            len: words,
        })
    }

    /// Whether both are, or are parts of, the same.
    pub(crate) fn is_same(&self, other: &BoxedWords) -> bool {
        Arc::ptr_eq(&self.all, &other.all)
    }
}

// SAFETY: neither the words nor which part of them it is ever changes.
unsafe impl AtomicWords for BoxedWords {
    #[inline]
    fn words(&self) -> &[AtomicU64] {
        &self.all[self.start..][..self.len]
    }
}

// SAFETY: the heap is writable.
unsafe impl WritableWords for BoxedWords {}
