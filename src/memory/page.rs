//! A page of words, whose size is known where it is compiled: no check remains of a load at a constant word.

use super::{Memory, MemoryMut};
use crate::layout::{PAGE_BYTES, WORD_BYTES};

/// Words of a page.
const WORDS: usize = PAGE_BYTES / WORD_BYTES;

/// Memory of at least a page, of which only the first page is looked at.
#[derive(Clone, Debug)]
pub(crate) struct Page<M>(M);

impl<M: Memory> Page<M> {
    /// # Panics
    ///
    /// If the memory is smaller than a page; so no later access is out of bounds.
    pub(crate) fn new(memory: M) -> Page<M> {
        assert!(memory.len() >= WORDS, "the size was checked");
        Page(memory)
    }

    /// The memory itself.
    pub(crate) fn memory(&self) -> &M {
        &self.0
    }
}

impl<M: Memory> Memory for Page<M> {
    fn len(&self) -> usize {
        WORDS
    }

    #[inline(always)]
    fn load(&self, word: usize) -> u64 {
        assert!(word < WORDS, "word {word} is out of bounds");
        // SAFETY: the memory has at least `WORDS` words (`new`), and always as many (`Memory::len`).
        unsafe { self.0.load_unchecked(word) }
    }

    #[inline]
    fn fence_acquire(&self) {
        self.0.fence_acquire();
    }
}

impl<M: MemoryMut> MemoryMut for Page<M> {
    #[inline(always)]
    fn store(&self, word: usize, value: u64) {
        assert!(word < WORDS, "word {word} is out of bounds");
        // SAFETY: the memory has at least `WORDS` words (`new`), and always as many (`Memory::len`).
        unsafe { self.0.store_unchecked(word, value) }
    }

    #[inline(always)]
    fn store_release(&self, word: usize, value: u64) {
        self.0.store_release(word, value);
    }

    #[inline]
    fn fence_release(&self) {
        self.0.fence_release();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MemoryMut, Words};
    use super::*;

    #[test]
    #[should_panic(expected = "the size was checked")]
    fn less_than_a_page_is_refused() {
        Page::new(Words::zeroed(WORDS - 1));
    }

    #[test]
    #[should_panic(expected = "out of bounds")]
    fn a_load_beyond_the_page_panics_though_the_memory_goes_on() {
        Page::new(Words::zeroed(2 * WORDS)).load(WORDS);
    }

    #[test]
    fn the_words_are_those_of_the_memory() {
        let memory = Words::zeroed(WORDS);
        memory.store(WORDS - 1, 7);
        let page = Page::new(memory);
        assert_eq!((page.load(0), page.load(WORDS - 1), page.len()), (0, 7, WORDS));
    }
}
