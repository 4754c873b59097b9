//! One word of a memory: checked once to be there, and never again.

use super::Memory;

/// A memory, and one of its words.
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

    /// Loads it, as [`Memory::load`] does.
    #[inline(always)]
    pub(crate) fn load(&self) -> u64 {
        // SAFETY: in bounds (`new`) of memory that always has as many words (`Memory::len`).
        unsafe { self.memory.load_unchecked(self.index) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MemoryMut, Words};
    use super::*;

    #[test]
    fn it_is_the_word_of_that_index() {
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
