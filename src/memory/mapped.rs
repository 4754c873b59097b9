//! Words of a mapping.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering, compiler_fence, fence};

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
        self.check(word, 1);
        // SAFETY: `word` is in bounds (checked).
        unsafe { self.at_unchecked(word) }
    }

    /// Panics unless the `words` words from `word` on are in bounds.
    #[inline]
    fn check(&self, word: usize, words: usize) {
        if word > self.words || words > self.words - word {
            out_of_bounds(word, words, self.words);
        }
    }

    /// # Safety
    ///
    /// `word` must be in bounds.
    #[inline]
    unsafe fn at_unchecked(&self, word: usize) -> &AtomicU64 {
        // SAFETY: `word` is in bounds (the caller's promise), so the offset stays inside the one mapping.
        let pointer = unsafe { self.base.add(word) };
        // SAFETY: the pointer is aligned (`base` is, and words are 8 bytes) and dereferenceable for as long as `self` is
        // borrowed; everybody in this process accesses the word atomically, and an `&AtomicU64` allows for changes by
        // others, other processes too. Not `AtomicU64::from_ptr`, which asks for memory that can be written: this may be
        // mapped read-only, on which the atomic module of std promises Relaxed loads, the only ones made here.
        unsafe { &*pointer.as_ptr().cast::<AtomicU64>() }
    }
}

#[cold]
#[inline(never)]
fn out_of_bounds(word: usize, words: usize, all: usize) -> ! {
    panic!("{words} words from word {word} on are out of bounds of {all} words");
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

    #[inline]
    fn read(&self, word: usize, into: &mut [u8]) {
        self.check(word, into.len().div_ceil(WORD_BYTES));
        let (whole, tail) = into.as_chunks_mut::<WORD_BYTES>();
        for (offset, bytes) in whole.iter_mut().enumerate() {
            // SAFETY: in bounds: `check` covered every word that begins in `into`.
            let value = unsafe { self.at_unchecked(word + offset) }.load(Ordering::Relaxed);
            *bytes = value.to_le_bytes();
        }
        if !tail.is_empty() {
            let bytes = self.load(word + whole.len()).to_le_bytes();
            tail.copy_from_slice(&bytes[..tail.len()]);
        }
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
        // Keeps the compiler from moving later stores above this one. No reader needs it; but a process that is killed
        // between two stores must not have made the first store of the next publication (w1) without this one (w5).
        compiler_fence(Ordering::SeqCst);
    }

    #[inline]
    fn fence_release(&self) {
        fence(Ordering::Release);
    }

    #[inline]
    fn write(&self, word: usize, from: &[u8]) {
        self.check(word, from.len().div_ceil(WORD_BYTES));
        let (whole, tail) = from.as_chunks::<WORD_BYTES>();
        for (offset, bytes) in whole.iter().enumerate() {
            // SAFETY: in bounds: `check` covered every word that begins in `from`.
            let shared = unsafe { self.at_unchecked(word + offset) };
            shared.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
        }
        if !tail.is_empty() {
            let mut bytes = [0; WORD_BYTES];
            bytes[..tail.len()].copy_from_slice(tail);
            self.store(word + whole.len(), u64::from_le_bytes(bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_copied_as_by_the_plain_word_loop() {
        const WORDS: usize = 40;
        let mut backing = vec![0_u64; WORDS];
        let base = NonNull::new(backing.as_mut_ptr()).unwrap();
        // SAFETY: a vector's buffer is aligned for its element, WORDS words long, outlives `mapped`, and is not
        // touched otherwise until `mapped` is gone.
        let mapped = unsafe { MappedWords::new(base, WORDS) };
        for len in 0..=(WORDS - 2) * WORD_BYTES {
            let boxed = super::super::BoxedWords::new(WORDS);
            (0..WORDS).for_each(|word| mapped.store(word, 0));
            let payload: Vec<u8> = (0..len).map(|index| u8::try_from(index % 251).unwrap() + 1).collect();
            mapped.write(1, &payload);
            boxed.write(1, &payload);
            assert!((0..WORDS).all(|word| mapped.load(word) == boxed.load(word)), "{len}");
            let mut back = vec![0; len];
            mapped.read(1, &mut back);
            assert_eq!(back, payload);
        }
    }

    #[test]
    fn nothing_beyond_the_end_is_touched() {
        let mut backing = [0_u64; 5];
        let base = NonNull::new(backing.as_mut_ptr()).unwrap();
        // SAFETY: aligned, four of five words, outlives `mapped`, not touched otherwise until `mapped` is gone.
        let mapped = unsafe { MappedWords::new(base, 4) };
        for (word, len) in [(3, 9), (4, 1), (5, 0), (usize::MAX, 8), (0, 33)] {
            let attempt = || mapped.write(word, &vec![1; len]);
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(attempt)).is_err(), "{word} {len}");
            let attempt = || mapped.read(word, &mut vec![1; len]);
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(attempt)).is_err(), "{word} {len}");
        }
        assert_eq!(backing, [0; 5]);
    }
}
