//! Memory whose bounds are checked once, where a page or a word is made, and never again.

use super::{Memory, MemoryMut};
use crate::layout::{PAGE_BYTES, WORD_BYTES};

/// Words of a page.
const WORDS: usize = PAGE_BYTES / WORD_BYTES;

/// Memory of at least a page, of which only the first page is accessed. A load at a constant word
/// compiles to no bounds check.
#[derive(Clone, Debug)]
pub(crate) struct Page<M>(M);

impl<M: Memory> Page<M> {
    /// # Panics
    ///
    /// If the memory is smaller than a page. So no later access is out of bounds.
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
        // SAFETY: the memory has at least `WORDS` words (`new`), and always as many
        // (`Memory::len`).
        unsafe { self.0.load_unchecked(self.0.base(), word) }
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
        // SAFETY: the memory has at least `WORDS` words (`new`), and always as many
        // (`Memory::len`).
        unsafe { self.0.store_unchecked(self.0.base(), word, value) }
    }

    #[inline(always)]
    fn store_release(&self, word: usize, value: u64) {
        assert!(word < WORDS, "word {word} is out of bounds");
        // SAFETY: the memory has at least `WORDS` words (`new`), and always as many
        // (`Memory::len`).
        unsafe { self.0.store_release_unchecked(self.0.base(), word, value) }
    }

    #[inline]
    fn fence_release(&self) {
        self.0.fence_release();
    }
}

/// One word of a memory.
#[derive(Clone, Debug)]
pub(crate) struct Word<M> {
    memory: M,
    // In bounds.
    index: usize,
}

impl<M: Memory> Word<M> {
    /// # Panics
    ///
    /// If the memory has no such word.
    pub(crate) fn new(memory: M, index: usize) -> Word<M> {
        assert!(index < memory.len(), "word {index} is out of bounds");
        Word { memory, index }
    }

    /// The memory with all its words.
    pub(crate) fn memory(&self) -> &M {
        &self.memory
    }

    /// Loads the word, as [`Memory::load`] does.
    #[inline(always)]
    pub(crate) fn load(&self) -> u64 {
        // SAFETY: in bounds (`new`) of memory that always has as many words (`Memory::len`).
        unsafe { self.memory.load_unchecked(self.memory.base(), self.index) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Words;
    use super::*;

    #[test]
    #[should_panic(expected = "the size was checked")]
    fn less_than_a_page_is_refused() {
        Page::new(Words::zeroed(WORDS - 1));
    }

    #[test]
    #[should_panic(expected = "out of bounds")]
    fn a_load_beyond_the_page_panics_though_the_memory_is_larger() {
        Page::new(Words::zeroed(2 * WORDS)).load(WORDS);
    }

    #[test]
    fn the_words_are_those_of_the_memory() {
        let memory = Words::zeroed(WORDS);
        memory.store(WORDS - 1, 7);
        let page = Page::new(memory);
        assert_eq!((page.load(0), page.load(WORDS - 1), page.len()), (0, 7, WORDS));
    }

    #[test]
    fn the_word_of_that_index_is_loaded() {
        let memory = Words::zeroed(2);
        memory.store(1, 7);
        assert_eq!(Word::new(memory, 1).load(), 7);
    }

    #[test]
    #[should_panic(expected = "out of bounds")]
    fn a_word_behind_the_end_is_refused() {
        Word::new(Words::zeroed(2), 2);
    }
}
