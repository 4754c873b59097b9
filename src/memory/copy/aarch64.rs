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
