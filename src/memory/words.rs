//! Words that are atomics of this process: everything but the memory of the models.

use std::sync::atomic::{AtomicU64, Ordering, compiler_fence, fence};

use super::{CountingMemory, Memory, MemoryMut, copy};
use crate::layout::WORD_BYTES;

/// Memory that is a slice of atomic words; a [`Memory`] by that.
///
/// # Safety
///
/// `words` must give the same slice every time: what was in bounds once is in bounds.
pub(crate) unsafe trait AtomicWords {
    /// The words. Whether they may be stored to is another question: see [`WritableWords`].
    fn words(&self) -> &[AtomicU64];
}

/// Words that this process may store to; a [`MemoryMut`] by that.
///
/// # Safety
///
/// The words must be writable: mapped so, if they are mapped.
pub(crate) unsafe trait WritableWords: AtomicWords {}

impl<W: AtomicWords> Memory for W {
    #[inline]
    fn len(&self) -> usize {
        self.words().len()
    }

    #[inline]
    fn load(&self, word: usize) -> u64 {
        self.words()[word].load(Ordering::Relaxed)
    }

    #[inline]
    fn fence_acquire(&self) {
        fence(Ordering::Acquire);
    }

    #[inline]
    fn read(&self, word: usize, into: &mut [u8]) {
        let from = &self.words()[word..][..into.len().div_ceil(WORD_BYTES)];
        // SAFETY: just those words.
        unsafe { copy::load(from, into) };
    }

    #[inline]
    unsafe fn load_unchecked(&self, word: usize) -> u64 {
        // SAFETY: in bounds (the caller's promise).
        unsafe { self.words().get_unchecked(word) }.load(Ordering::Relaxed)
    }

    #[inline(always)]
    unsafe fn read_unchecked(&self, word: usize, into: &mut [u8]) {
        // SAFETY: in bounds (the caller's promise).
        let from = unsafe { self.words().get_unchecked(word..word + into.len().div_ceil(WORD_BYTES)) };
        // SAFETY: just those words.
        unsafe { copy::load(from, into) };
    }
}

impl<W: WritableWords> MemoryMut for W {
    #[inline]
    fn store(&self, word: usize, value: u64) {
        self.words()[word].store(value, Ordering::Relaxed);
    }

    #[inline]
    fn store_release(&self, word: usize, value: u64) {
        self.words()[word].store(value, Ordering::Release);
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
        let to = &self.words()[word..][..from.len().div_ceil(WORD_BYTES)];
        // SAFETY: just those words, which are writable (`WritableWords`).
        unsafe { copy::store(to, from) };
    }

    #[inline]
    unsafe fn store_unchecked(&self, word: usize, value: u64) {
        // SAFETY: in bounds (the caller's promise).
        unsafe { self.words().get_unchecked(word) }.store(value, Ordering::Relaxed);
    }

    #[inline(always)]
    unsafe fn write_unchecked(&self, word: usize, from: &[u8]) {
        // SAFETY: in bounds (the caller's promise).
        let to = unsafe { self.words().get_unchecked(word..word + from.len().div_ceil(WORD_BYTES)) };
        // SAFETY: just those words, which are writable (`WritableWords`).
        unsafe { copy::store(to, from) };
    }
}

impl<W: WritableWords> CountingMemory for W {
    fn increment(&self, word: usize) {
        self.words()[word].fetch_add(1, Ordering::Relaxed);
    }

    #[inline]
    fn fence_full(&self) {
        fence(Ordering::SeqCst);
    }
}
