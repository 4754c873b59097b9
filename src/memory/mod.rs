//! Shared memory as aligned 64-bit words: the only way in which this crate accesses it.
//!
//! The protocol is generic over these two traits, so that loom, the explorer and the real mapping
//! run the same code. A reader's memory is a [`Memory`]; only a writer's is a [`MemoryMut`], so a
//! reader that stores does not compile.
//!
//! Words never become `&T` or `&[u8]`, because another process may be changing them. The two
//! exceptions are [`LoanMut`] and [`InPlace`], for which the user gives a promise; of a block,
//! users get the address. Single words are loaded and stored atomically. [`Memory::read`] and
//! [`MemoryMut::write`] move whole payloads, and behave like a loop over words.
//!
//! `#[inline(always)]` is for the accesses of a snapshot and of a publish; `seqlock` says why.

#![allow(unsafe_code, reason = "the one place where raw pointers into a mapping become atomic words")]

mod checked;
mod copy;
mod in_place;
mod slots;
mod words;

pub(crate) use checked::{Page, Word};
pub(crate) use in_place::InPlace;
#[cfg(test)]
pub(crate) use in_place::PlainAccess;
pub use in_place::TrustedWriters;
pub use slots::LoanMut;
pub(crate) use slots::{Slot, SlotHeader, Slots};
pub(crate) use words::{ObjectId, ReadOnlyWords, SharedWords, Words, WordsOwner};

use std::ptr::NonNull;

use crate::layout::WORD_BYTES;

/// Words that another process may be storing to.
pub(crate) trait Memory {
    /// Number of words. It never changes.
    fn len(&self) -> usize;

    /// Loads a word, `Relaxed`: the only kind of load that is guaranteed to work on memory mapped
    /// read-only.
    ///
    /// # Panics
    ///
    /// If `word` is out of bounds.
    fn load(&self, word: usize) -> u64;

    /// An acquire fence. Every call names its race and its partner.
    fn fence_acquire(&self);

    /// Copies `into.len()` bytes, beginning at `word`. Equivalent to one [`Memory::load`] per word,
    /// in any order.
    ///
    /// # Panics
    ///
    /// If the bytes reach beyond the end.
    fn read(&self, word: usize, into: &mut [u8]) {
        for (offset, chunk) in into.chunks_mut(WORD_BYTES).enumerate() {
            let bytes = self.load(word + offset).to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }

    /// The address of the first word, for the accesses without a bounds check of implementations
    /// that have one; any address for the others. It never changes. Kept by value, it stays in a
    /// register: the compiler must load what is behind a reference again after each store.
    #[inline]
    fn base(&self) -> NonNull<u64> {
        NonNull::dangling()
    }

    /// [`Memory::load`] without a bounds check, for implementations that have a faster one.
    ///
    /// # Safety
    ///
    /// `word` must be in bounds, and `base` be [`Memory::base`].
    #[inline]
    unsafe fn load_unchecked(&self, _base: NonNull<u64>, word: usize) -> u64 {
        self.load(word)
    }

    /// [`Memory::read`] without a bounds check, for implementations that have a faster one.
    ///
    /// # Safety
    ///
    /// The words of the copy must be in bounds, and `base` be [`Memory::base`].
    #[inline]
    unsafe fn read_unchecked(&self, _base: NonNull<u64>, word: usize, into: &mut [u8]) {
        self.read(word, into);
    }
}

/// Words that this process, and only this one, may store to.
pub(crate) trait MemoryMut: Memory {
    /// Stores a word, `Relaxed`.
    ///
    /// # Panics
    ///
    /// If `word` is out of bounds.
    fn store(&self, word: usize, value: u64);

    /// Stores a word, `Release`. Every call names its race and its partner.
    ///
    /// # Panics
    ///
    /// If `word` is out of bounds.
    fn store_release(&self, word: usize, value: u64);

    /// A release fence. Every call names its race and its partner.
    fn fence_release(&self);

    /// Copies `from`, beginning at `word`, and pads the last word with zeroes. Equivalent to one
    /// [`MemoryMut::store`] per word, in any order.
    ///
    /// # Panics
    ///
    /// If the bytes reach beyond the end.
    fn write(&self, word: usize, from: &[u8]) {
        for (offset, chunk) in from.chunks(WORD_BYTES).enumerate() {
            let mut bytes = [0; WORD_BYTES];
            bytes[..chunk.len()].copy_from_slice(chunk);
            self.store(word + offset, u64::from_le_bytes(bytes));
        }
    }

    /// [`MemoryMut::store`] without a bounds check, for implementations that have a faster one.
    ///
    /// # Safety
    ///
    /// `word` must be in bounds, and `base` be [`Memory::base`].
    #[inline]
    unsafe fn store_unchecked(&self, _base: NonNull<u64>, word: usize, value: u64) {
        self.store(word, value);
    }

    /// [`MemoryMut::store_release`] without a bounds check, for implementations that have a faster
    /// one.
    ///
    /// # Safety
    ///
    /// `word` must be in bounds, and `base` be [`Memory::base`].
    #[inline]
    unsafe fn store_release_unchecked(&self, _base: NonNull<u64>, word: usize, value: u64) {
        self.store_release(word, value);
    }

    /// [`MemoryMut::write`] without a bounds check, for implementations that have a faster one.
    ///
    /// # Safety
    ///
    /// The words of the copy must be in bounds, and `base` be [`Memory::base`].
    #[inline]
    unsafe fn write_unchecked(&self, _base: NonNull<u64>, word: usize, from: &[u8]) {
        self.write(word, from);
    }
}

/// Words that other processes may store to at the same time.
pub(crate) trait CountingMemory: MemoryMut {
    /// Adds one to a word, `Relaxed`.
    ///
    /// # Panics
    ///
    /// If `word` is out of bounds.
    fn increment(&self, word: usize);

    /// Replaces the value `from` of a word by `to`, `Acquire`; `false` if it has another value.
    /// Every call names its race and its partner.
    ///
    /// # Panics
    ///
    /// If `word` is out of bounds.
    fn replace(&self, word: usize, from: u64, to: u64) -> bool;

    /// A sequentially consistent fence: nothing before it is reordered with anything after it.
    /// Every call names its race and its partner.
    fn fence_full(&self);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_and_tail_comes_back_and_the_rest_is_untouched() {
        for len in 0..=70_usize {
            let memory = Words::zeroed(12);
            for word in 0..memory.len() {
                memory.store(word, u64::MAX);
            }
            let payload: Vec<u8> = (1..=70).take(len).collect();
            memory.write(1, &payload);
            let mut back = vec![0xee; len];
            memory.read(1, &mut back);
            assert_eq!(back, payload);
            let after = 1 + len.div_ceil(WORD_BYTES);
            assert_eq!(memory.load(0), u64::MAX);
            assert!((after..memory.len()).all(|word| memory.load(word) == u64::MAX));
        }
    }

    #[test]
    #[should_panic(expected = "out of bounds")]
    fn a_load_beyond_the_end_panics() {
        Words::zeroed(4).load(4);
    }

    #[test]
    #[should_panic(expected = "out of range")]
    fn a_read_beyond_the_end_panics() {
        Words::zeroed(4).read(2, &mut [0; 17]);
    }
}
