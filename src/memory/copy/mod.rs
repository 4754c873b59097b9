//! Payloads in and out of shared words.
//!
//! [`load_words`] and [`store_words`] define a copy: one relaxed atomic access per word, in any
//! order. The models run them, and so does every processor without a faster copy. Compilers don't
//! vectorise atomic accesses, so on x86-64 and aarch64 instructions of our own choice move the bulk
//! of a payload: they do the same accesses, several words at a time. `--cfg tearless_portable_copy`
//! leaves everything to the loops.

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

    use super::copy_in_rounds;
    pub(super) use {copy as load, copy as store};

    /// Moves all whole 16 bytes, and returns how many bytes those are.
    ///
    /// # Safety
    ///
    /// As for `copy_in_rounds`.
    #[inline(always)]
    pub(super) unsafe fn copy(from: *const u8, to: *mut u8, len: usize) -> usize {
        // SAFETY: the caller's promise.
        unsafe { copy_in_rounds(from, to, len, move_round, move_one) }
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
}
#[cfg(any(miri, tearless_portable_copy, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod bulk {
    //! No bulk copy: the loops over words do everything.

    pub(super) use {copy as load, copy as store};

    /// Moves nothing.
    ///
    /// # Safety
    ///
    /// None is needed here; the copies of other processors need it.
    #[inline]
    pub(super) unsafe fn copy(_from: *const u8, _to: *mut u8, _len: usize) -> usize {
        0
    }
}
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};

use crate::layout::WORD_BYTES;

/// An instruction or a few that move bytes.
#[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri), not(tearless_portable_copy)))]
type Move = unsafe fn(*const u8, *mut u8);

/// Moves all whole 16 bytes in place, by `round` 64 at a time and then by `one`. Returns how many
/// bytes those are.
///
/// # Safety
///
/// `len` bytes must be readable at `from` and writable at `to`; the shared one of the two must be
/// aligned to words. `round` and `one` must need no more than that for 64 and for 16 bytes.
#[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri), not(tearless_portable_copy)))]
#[inline(always)]
unsafe fn copy_in_rounds(from: *const u8, to: *mut u8, len: usize, round: Move, one: Move) -> usize {
    /// Bytes of a move, and of a round of the loop.
    const MOVE: usize = 16;
    const ROUND: usize = 4 * MOVE;
    let mut moved = 0;
    while len - moved >= ROUND {
        // SAFETY: `moved` and a round are at most `len`, so that a round's bytes are in bounds on
        // both sides.
        unsafe { round(from.wrapping_add(moved), to.wrapping_add(moved)) };
        moved += ROUND;
    }
    while len - moved >= MOVE {
        // SAFETY: `moved` and a move are at most `len`, so that a move's bytes are in bounds on
        // both sides.
        unsafe { one(from.wrapping_add(moved), to.wrapping_add(moved)) };
        moved += MOVE;
    }
    moved
}

/// Copies the bytes of `from` to `into`.
///
/// # Safety
///
/// `from` must have exactly the words of `into`.
#[inline(always)]
pub(super) unsafe fn load(from: &[AtomicU64], into: &mut [u8]) {
    debug_assert!(into.len() <= size_of_val(from));
    // SAFETY: `from` can be read, and has at least as many bytes as `into` (the caller's promise).
    // `into` can be written, and nothing else borrows it.
    let moved = unsafe { bulk::load(from.as_ptr().cast(), into.as_mut_ptr(), into.len()) };
    load_words(&from[moved / WORD_BYTES..], &mut into[moved..]);
}

/// Copies `from` to `to`, the last word padded with zeroes.
///
/// # Safety
///
/// `to` must have exactly the words of `from`, and be writable.
#[inline(always)]
pub(super) unsafe fn store(to: &[AtomicU64], from: &[u8]) {
    debug_assert!(from.len() <= size_of_val(to));
    // SAFETY: `from` can be read. `to` has at least as many bytes and is writable (the caller's
    // promise); it may be stored to through a shared reference, because it is atomic.
    let moved = unsafe { bulk::store(from.as_ptr(), to.as_ptr().cast_mut().cast(), from.len()) };
    store_words(&to[moved / WORD_BYTES..], &from[moved..]);
}

/// The definition of [`load`]; `from` has exactly the words of `into`.
#[inline(always)]
fn load_words(from: &[AtomicU64], into: &mut [u8]) {
    let (whole, tail) = into.as_chunks_mut::<WORD_BYTES>();
    let (words, last) = from.split_at(whole.len());
    for (bytes, word) in whole.iter_mut().zip(words) {
        *bytes = word.load(Ordering::Relaxed).to_le_bytes();
    }
    if let [last] = last {
        tail.copy_from_slice(&last.load(Ordering::Relaxed).to_le_bytes()[..tail.len()]);
    }
}

/// The definition of [`store`]; `to` has exactly the words of `from`.
#[inline(always)]
fn store_words(to: &[AtomicU64], from: &[u8]) {
    let (whole, tail) = from.as_chunks::<WORD_BYTES>();
    let (words, last) = to.split_at(whole.len());
    for (bytes, word) in whole.iter().zip(words) {
        word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
    }
    if let [last] = last {
        let mut bytes = [0; WORD_BYTES];
        bytes[..tail.len()].copy_from_slice(tail);
        last.store(u64::from_le_bytes(bytes), Ordering::Relaxed);
    }
}
