//! Payloads in and out of shared words.
//!
//! The loops of `each` define a copy: one relaxed atomic access per word, in any order. The models
//! run such loops, and so does every processor without a faster copy. Compilers don't vectorise
//! atomic accesses, so on x86-64 and aarch64 instructions of our own choice move all whole words:
//! they do the same accesses, several words at a time. `--cfg tearless_portable_copy` leaves
//! everything to the loops.

#[cfg(all(target_arch = "x86_64", not(miri), not(tearless_portable_copy)))]
#[path = "x86_64.rs"]
mod bulk;
#[cfg(all(target_arch = "aarch64", not(miri), not(tearless_portable_copy)))]
#[path = "aarch64.rs"]
mod bulk;
#[cfg(any(miri, tearless_portable_copy, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
use each as bulk;
#[cfg(any(test, miri, tearless_portable_copy, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod each {
    //! The definition of a copy.

    use super::{AtomicU64, Bytes, Ordering};

    /// # Safety
    ///
    /// None is needed here; the copies of other modules need it.
    #[inline]
    pub(super) unsafe fn load(from: &[AtomicU64], into: &mut [Bytes]) {
        for (bytes, word) in into.iter_mut().zip(from) {
            *bytes = word.load(Ordering::Relaxed).to_le_bytes();
        }
    }

    /// # Safety
    ///
    /// As for [`load`].
    #[inline]
    pub(super) unsafe fn store(to: &[AtomicU64], from: &[Bytes]) {
        for (bytes, word) in from.iter().zip(to) {
            word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
        }
    }
}
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};

use crate::layout::WORD_BYTES;

/// A word of private memory.
type Bytes = [u8; WORD_BYTES];

/// An instruction or a few that move bytes.
#[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri), not(tearless_portable_copy)))]
type Move = unsafe fn(*const u8, *mut u8);

/// Copies `len` bytes in place, by moves of 64, 16 and 8 bytes.
///
/// # Safety
///
/// `len` must be a multiple of a word. So many bytes must be readable at `from` and writable at
/// `to`; the shared one of the two must be aligned to words. The moves must need no more than that
/// for their bytes.
#[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri), not(tearless_portable_copy)))]
#[inline(always)]
unsafe fn copy_in_rounds(from: *const u8, to: *mut u8, len: usize, moves: [Move; 3]) {
    /// Bytes of a move, and of a round of the loop.
    const MOVE: usize = 16;
    const ROUND: usize = 4 * MOVE;
    let [round, one, word] = moves;
    let mut moved = 0;
    while len - moved >= ROUND {
        // SAFETY: `moved` and a round are at most `len`, so that a round's bytes are in bounds on
        // both sides.
        unsafe { round(from.wrapping_add(moved), to.wrapping_add(moved)) };
        moved += ROUND;
    }
    while len - moved >= MOVE {
        // SAFETY: the same for a move.
        unsafe { one(from.wrapping_add(moved), to.wrapping_add(moved)) };
        moved += MOVE;
    }
    if len - moved >= WORD_BYTES {
        // SAFETY: the same for a word.
        unsafe { word(from.wrapping_add(moved), to.wrapping_add(moved)) };
    }
}

/// Copies the bytes of `from` to `into`.
///
/// # Safety
///
/// `from` must have exactly the words of `into`.
#[inline(always)]
pub(super) unsafe fn load(from: &[AtomicU64], into: &mut [u8]) {
    // SAFETY: as many words, in both.
    unsafe { load_by(from, into, bulk::load) };
}

/// Copies `from` to `to`, the last word padded with zeroes.
///
/// # Safety
///
/// `to` must have exactly the words of `from`, and be writable.
#[inline(always)]
pub(super) unsafe fn store(to: &[AtomicU64], from: &[u8]) {
    // SAFETY: as many words, which are writable (the caller's promise).
    unsafe { store_by(to, from, bulk::store) };
}

/// Copies whole words by `copy`, which gets as many of both sides, and the bytes of a last one.
///
/// # Safety
///
/// As for [`load`]; `copy` must need no more than as many words.
//
// `copy` is no closure: compilers do not inline a closure that has many callers.
#[inline(always)]
unsafe fn load_by(from: &[AtomicU64], into: &mut [u8], copy: unsafe fn(&[AtomicU64], &mut [Bytes])) {
    let (whole, tail) = into.as_chunks_mut();
    let (words, last) = from.split_at(whole.len());
    // SAFETY: as many words.
    unsafe { copy(words, whole) };
    if let [last] = last {
        tail.copy_from_slice(&last.load(Ordering::Relaxed).to_le_bytes()[..tail.len()]);
    }
}

/// The same into shared memory, the last word padded with zeroes.
///
/// # Safety
///
/// As for [`store`]; `copy` must need no more than as many words, which are writable.
#[inline(always)]
unsafe fn store_by(to: &[AtomicU64], from: &[u8], copy: unsafe fn(&[AtomicU64], &[Bytes])) {
    let (whole, tail) = from.as_chunks();
    let (words, last) = to.split_at(whole.len());
    // SAFETY: as many words, which are writable (the caller's promise).
    unsafe { copy(words, whole) };
    if let [last] = last {
        let mut bytes = [0; WORD_BYTES];
        bytes[..tail.len()].copy_from_slice(tail);
        last.store(u64::from_le_bytes(bytes), Ordering::Relaxed);
    }
}
