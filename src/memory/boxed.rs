//! Words on the heap: for tests, and for channels inside one process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use super::{Memory, MemoryMut};

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

    fn at(&self, word: usize) -> &AtomicU64 {
        self.0.get(word).unwrap_or_else(|| panic!("word {word} is out of bounds of {} words", self.0.len()))
    }
}

impl Memory for BoxedWords {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn load(&self, word: usize) -> u64 {
        self.at(word).load(Ordering::Relaxed)
    }

    fn fence_acquire(&self) {
        fence(Ordering::Acquire);
    }
}

impl MemoryMut for BoxedWords {
    fn store(&self, word: usize, value: u64) {
        self.at(word).store(value, Ordering::Relaxed);
    }

    fn store_release(&self, word: usize, value: u64) {
        self.at(word).store(value, Ordering::Release);
    }

    fn fence_release(&self) {
        fence(Ordering::Release);
    }
}
