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
mod bulk {
    //! The bulk of a payload, by pairs of words.
    //!
    //! Why this is equivalent to the loops over words: shared addresses are multiples of 8. To such
    //! an address, a load or store of a pair of 64-bit general registers is two single-copy atomic
    //! accesses of one word each, in no order among themselves (Arm Architecture Reference Manual,
    //! B2.2.1, "Requirements for single-copy atomicity"): what the loops do, in one of the orders
    //! that they allow. FEAT_LSE2 makes some pairs one access, which nothing here needs. The fences
    //! around a copy order a pair as they order two single accesses. `pairs.litmus` in tests/litmus
    //! is this copy under Arm's model, with the fences and without.
    //!
    //! No vector registers: of the accesses that load or store them, the manual promises less.
    //!
    //! Inline assembly instead of plain accesses, for the reason that `x86_64.rs` gives. The
    //! private side need not be aligned: Linux lets processes access ordinary memory at any
    //! address.

    use std::arch::asm;

    use super::{AtomicU64, Bytes, copy_in_rounds};

    /// # Safety
    ///
    /// `from` must have as many words as `into`.
    #[inline(always)]
    pub(super) unsafe fn load(from: &[AtomicU64], into: &mut [Bytes]) {
        // SAFETY: as many words, of which those of `into` can be written.
        unsafe { copy(from.as_ptr().cast(), into.as_mut_ptr().cast(), size_of_val(from)) }
    }

    /// # Safety
    ///
    /// `to` must have as many words as `from`, and be writable.
    #[inline(always)]
    pub(super) unsafe fn store(to: &[AtomicU64], from: &[Bytes]) {
        // SAFETY: the caller's promise; atomics may be stored to through a shared reference.
        unsafe { copy(from.as_ptr().cast(), to.as_ptr().cast_mut().cast(), size_of_val(from)) }
    }

    /// # Safety
    ///
    /// As for `copy_in_rounds`.
    #[inline(always)]
    unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
        // SAFETY: the caller's promise.
        unsafe { copy_in_rounds(from, to, len, [move_round, move_one, move_word]) }
    }

    /// # Safety
    ///
    /// 64 bytes must be readable at `from` and writable at `to`.
    #[inline(always)]
    unsafe fn move_round(from: *const u8, to: *mut u8) {
        // SAFETY: moves the 64 bytes (the caller's promise) and changes eight registers, which are
        // named.
        unsafe {
            asm!(
                "ldp {a}, {b}, [{from}]", "ldp {c}, {d}, [{from}, #16]",
                "ldp {e}, {f}, [{from}, #32]", "ldp {g}, {h}, [{from}, #48]",
                "stp {a}, {b}, [{to}]", "stp {c}, {d}, [{to}, #16]",
                "stp {e}, {f}, [{to}, #32]", "stp {g}, {h}, [{to}, #48]",
                from = in(reg) from, to = in(reg) to,
                a = out(reg) _, b = out(reg) _, c = out(reg) _, d = out(reg) _,
                e = out(reg) _, f = out(reg) _, g = out(reg) _, h = out(reg) _,
                options(nostack, preserves_flags),
            );
        }
    }

    /// # Safety
    ///
    /// 16 bytes must be readable at `from` and writable at `to`.
    #[inline(always)]
    unsafe fn move_one(from: *const u8, to: *mut u8) {
        // SAFETY: moves the 16 bytes (the caller's promise) and changes two registers, which are
        // named.
        unsafe {
            asm!(
                "ldp {a}, {b}, [{from}]", "stp {a}, {b}, [{to}]",
                from = in(reg) from, to = in(reg) to, a = out(reg) _, b = out(reg) _,
                options(nostack, preserves_flags),
            );
        }
    }

    /// # Safety
    ///
    /// 8 bytes must be readable at `from` and writable at `to`.
    #[inline(always)]
    unsafe fn move_word(from: *const u8, to: *mut u8) {
        // SAFETY: moves the word (the caller's promise) and changes one register, which is named.
        unsafe {
            asm!(
                "ldr {a}, [{from}]", "str {a}, [{to}]",
                from = in(reg) from, to = in(reg) to, a = out(reg) _,
                options(nostack, preserves_flags),
            );
        }
    }
}
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
    // SAFETY: as many words.
    load_by(from, into, |words, whole| unsafe { bulk::load(words, whole) });
}

/// Copies `from` to `to`, the last word padded with zeroes.
///
/// # Safety
///
/// `to` must have exactly the words of `from`, and be writable.
#[inline(always)]
pub(super) unsafe fn store(to: &[AtomicU64], from: &[u8]) {
    // SAFETY: as many words, which are writable (the caller's promise).
    store_by(to, from, |words, whole| unsafe { bulk::store(words, whole) });
}

/// Copies whole words by `copy`, which gets as many of both sides, and the bytes of a last one.
#[inline(always)]
fn load_by(from: &[AtomicU64], into: &mut [u8], copy: impl FnOnce(&[AtomicU64], &mut [Bytes])) {
    let (whole, tail) = into.as_chunks_mut();
    let (words, last) = from.split_at(whole.len());
    copy(words, whole);
    if let [last] = last {
        tail.copy_from_slice(&last.load(Ordering::Relaxed).to_le_bytes()[..tail.len()]);
    }
}

/// The same into shared memory, the last word padded with zeroes.
#[inline(always)]
fn store_by(to: &[AtomicU64], from: &[u8], copy: impl FnOnce(&[AtomicU64], &[Bytes])) {
    let (whole, tail) = from.as_chunks();
    let (words, last) = to.split_at(whole.len());
    copy(words, whole);
    if let [last] = last {
        let mut bytes = [0; WORD_BYTES];
        bytes[..tail.len()].copy_from_slice(tail);
        last.store(u64::from_le_bytes(bytes), Ordering::Relaxed);
    }
}
