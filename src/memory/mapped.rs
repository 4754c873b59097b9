//! Words of a mapping.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use super::{Memory, MemoryMut};
use crate::layout::WORD_BYTES;

/// The words of a mapping, or of any other memory that lives long enough. Does not own it.
///
/// Whether stores are possible is a property of the mapping: a store through words that are mapped read-only faults.
/// `segment` hands out only [`Memory`] for those.
#[derive(Debug)]
pub(crate) struct MappedWords {
    base: NonNull<u64>,
    words: usize,
}

// SAFETY: the words are only ever accessed atomically (`at`), which is sound from any thread; `new`'s contract makes
// them valid for as long as the value lives, on whatever thread that is.
unsafe impl Send for MappedWords {}
// SAFETY: as for `Send`; all methods take `&self` and access the words atomically.
unsafe impl Sync for MappedWords {}

impl MappedWords {
    /// The `words` words from `base` on.
    ///
    /// # Safety
    ///
    /// `base` must be aligned to 8 bytes, and for as long as the value lives the words must be readable, and be
    /// accessed by nobody in this process in any other way than by atomic 64-bit accesses. Stores must be made only if
    /// the words are writable, too.
    pub(crate) unsafe fn new(base: NonNull<u64>, words: usize) -> MappedWords {
        debug_assert!(base.is_aligned());
        MappedWords { base, words }
    }

    /// Where the words begin.
    pub(crate) fn base(&self) -> NonNull<u64> {
        self.base
    }

    /// Bytes in all.
    pub(crate) fn len_bytes(&self) -> usize {
        self.words * WORD_BYTES
    }

    #[inline]
    fn at(&self, word: usize) -> &AtomicU64 {
        assert!(word < self.words, "word {word} is out of bounds of {} words", self.words);
        // SAFETY: `word` is in bounds (asserted), so the offset stays inside the one mapping of `words` words.
        let pointer = unsafe { self.base.add(word) };
        // SAFETY: the pointer is aligned (`base` is, and words are 8 bytes), valid for reads, and for writes where
        // `new`'s contract lets the caller store; the memory outlives `self` and so the returned borrow; and everybody
        // in this process accesses it atomically. An `&AtomicU64` allows for changes by others, other processes too.
        unsafe { AtomicU64::from_ptr(pointer.as_ptr()) }
    }
}

impl Memory for MappedWords {
    #[inline]
    fn len(&self) -> usize {
        self.words
    }

    #[inline]
    fn load(&self, word: usize) -> u64 {
        self.at(word).load(Ordering::Relaxed)
    }

    #[inline]
    fn fence_acquire(&self) {
        fence(Ordering::Acquire);
    }
}

impl MemoryMut for MappedWords {
    #[inline]
    fn store(&self, word: usize, value: u64) {
        self.at(word).store(value, Ordering::Relaxed);
    }

    #[inline]
    fn store_release(&self, word: usize, value: u64) {
        self.at(word).store(value, Ordering::Release);
    }

    #[inline]
    fn fence_release(&self) {
        fence(Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_and_the_heap_behave_alike() {
        let mut backing = vec![0_u64; 9];
        let base = NonNull::new(backing.as_mut_ptr()).unwrap();
        // SAFETY: a vector's buffer is aligned for its element, nine words long, outlives `mapped`, and is not touched
        // otherwise until `mapped` is gone.
        let mapped = unsafe { MappedWords::new(base, 9) };
        let boxed = super::super::BoxedWords::new(9);
        let payload: Vec<u8> = (0..61).collect();
        mapped.write(1, &payload);
        boxed.write(1, &payload);
        assert!((0..9).all(|word| mapped.load(word) == boxed.load(word)));
        let mut back = [0; 61];
        mapped.read(1, &mut back);
        assert_eq!(back[..], payload);
    }
}
