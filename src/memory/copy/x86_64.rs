//! The bulk of a payload, by vector moves.
//!
//! Why this is equivalent to the loops over words: each vector instruction accesses whole aligned
//! words (shared addresses are multiples of 8), once each, and no other shared memory. One
//! instruction that accesses several words is one of the orders that the loops allow. The processor
//! may split it into several accesses, of words or of less. A half-new word is as bad as a half-new
//! copy, and a reader discards either unless no process stored during the copy. A string move
//! consists of byte accesses, or of what the processor makes of them; in total it moves whole
//! words, too, and the same argument holds for its bytes.
//!
//! Vector moves to and from ordinary memory are ordered like all others on x86-64, so the fences
//! around a copy need no addition. Intel's manual (Software Developer's Manual, volume 3,
//! "Fast-String Operation and Out-of-Order Stores") says of a string move that its stores may
//! become visible in any order among themselves, but not before or after the stores around it. It
//! says nothing about its loads, on which a reader's verdict rests. So a string move is surrounded
//! by load fences, and by store fences as a precaution: one kernel serves both directions, and all
//! four fences cost at most 10 ns. Non-temporal stores are not used.
//!
//! Inline assembly instead of the vector types of `core::arch`, because those would be plain
//! accesses, which must not race. An assembly block may do what atomic accesses may, and the
//! compiler moves no other access across it.
//!
//! Small sizes are moved in place, so that a payload of a size known at compile time becomes a few
//! moves, up to [`NARROW`] bytes without a branch. Larger ones go through a function that aligns
//! the destination and uses AVX if the processor has it, or fast string moves for most sizes from
//! [`STRING`] bytes on. Measured beside `memcpy` (docs/experiments.md): wider registers gain
//! nothing further.
//!
//! A state is published just after it has changed, mostly by stores of eight bytes. A processor
//! gives a load the value of a store that is still on its way to the cache only if that store has
//! all bytes of the load; any other load waits, for as long as a small copy takes. So the copy of a
//! small payload loads words, and AVX moves the beginning of a larger one last: stores become
//! visible in order, and those behind one that waits would wait, too.

use std::arch::asm;
use std::arch::is_x86_feature_detected;

use super::{AtomicU64, Bytes, copy_in_rounds};
use crate::layout::WORD_BYTES;

/// Maximum bytes that are copied without a call.
const INLINE: usize = 256;

/// Maximum bytes that are copied by stores of 16 bytes though there is AVX. Measured where the
/// processor does one store at a time, of 16 bytes or of 32.
const NARROW: usize = 128;

/// Minimum bytes that are copied by a string move. Measured where source and destination together
/// no longer fit 48 KiB of first-level cache: to a destination that is aligned to 32 bytes, string
/// moves win from between 24 and 28 KiB on, by little.
pub(super) const STRING: usize = 24 << 10;

/// Minimum bytes that are copied by a string move also if source and destination lie differently in
/// their blocks of 32 bytes. Below, such string moves take 4 to 12 % longer than AVX. Where no
/// cache holds the memory, they take a third less: they don't fetch what they overwrite.
const UNCACHED: usize = 32 << 20;

/// Bytes of a move by SSE2.
const MOVE: usize = 16;

/// Bytes of a move by AVX, and of a round of its loop.
const AVX: usize = 32;
const AVX_ROUND: usize = 4 * AVX;

/// Copies words of shared memory.
///
/// # Safety
///
/// `from` must have as many words as `into`.
#[inline(always)]
pub(super) unsafe fn load(from: &[AtomicU64], into: &mut [Bytes]) {
    // SAFETY: as many words, of which those of `into` can be written.
    unsafe { copy(from.as_ptr().cast(), into.as_mut_ptr().cast(), size_of_val(from), copy_by_sse) }
}

/// Copies private memory, which may just have changed, to shared words.
///
/// # Safety
///
/// `to` must have as many words as `from`, and be writable.
#[inline(always)]
pub(super) unsafe fn store(to: &[AtomicU64], from: &[Bytes]) {
    // SAFETY: the caller's promise; atomics may be stored to through a shared reference.
    unsafe { copy(from.as_ptr().cast(), to.as_ptr().cast_mut().cast(), size_of_val(from), copy_by_words) }
}

/// `narrow` copies up to [`NARROW`] bytes, and more where there is no AVX.
///
/// # Safety
///
/// `len` must be a multiple of a word. So many bytes must be readable at `from` and writable at
/// `to`; the shared one of the two must be aligned to words. `narrow` must need no more than that.
#[inline(always)]
unsafe fn copy(from: *const u8, to: *mut u8, len: usize, narrow: unsafe fn(*const u8, *mut u8, usize)) {
    if len > INLINE {
        // SAFETY: the caller's promise.
        return unsafe { copy_many(from, to, len) };
    }
    if len > NARROW && is_x86_feature_detected!("avx") {
        // SAFETY: the caller's promise; `len` is enough, and there is AVX.
        return unsafe { copy_by_avx(from, to, len) };
    }
    // SAFETY: the caller's promise.
    unsafe { narrow(from, to, len) }
}

/// Copies by SSE2, which every x86-64 has.
///
/// # Safety
///
/// As for [`copy`].
#[inline(always)]
pub(super) unsafe fn copy_by_sse(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { copy_in_rounds(from, to, len, [move_round, move_one, move_word]) }
}

/// The same by loads of one word each.
///
/// # Safety
///
/// As for [`copy`].
#[inline(always)]
pub(super) unsafe fn copy_by_words(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { copy_in_rounds(from, to, len, [move_round_by_words, move_one_by_words, move_word]) }
}

/// # Safety
///
/// 64 bytes must be readable at `from` and writable at `to`.
#[inline(always)]
unsafe fn move_round(from: *const u8, to: *mut u8) {
    // SAFETY: moves the 64 bytes (the caller's promise) and changes four registers, which are
    // named.
    unsafe {
        asm!(
            "movups {a}, [{from}]", "movups {b}, [{from} + 16]",
            "movups {c}, [{from} + 32]", "movups {d}, [{from} + 48]",
            "movups [{to}], {a}", "movups [{to} + 16], {b}",
            "movups [{to} + 32], {c}", "movups [{to} + 48], {d}",
            from = in(reg) from, to = in(reg) to,
            a = out(xmm_reg) _, b = out(xmm_reg) _, c = out(xmm_reg) _, d = out(xmm_reg) _,
            options(nostack, preserves_flags),
        );
    }
}

/// # Safety
///
/// 16 bytes must be readable at `from` and writable at `to`.
#[inline(always)]
unsafe fn move_one(from: *const u8, to: *mut u8) {
    // SAFETY: moves the 16 bytes (the caller's promise) and changes one register, which is named.
    unsafe {
        asm!(
            "movups {a}, [{from}]", "movups [{to}], {a}",
            from = in(reg) from, to = in(reg) to, a = out(xmm_reg) _,
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
            "mov {a}, [{from}]", "mov [{to}], {a}",
            from = in(reg) from, to = in(reg) to, a = out(reg) _,
            options(nostack, preserves_flags),
        );
    }
}

/// # Safety
///
/// As for [`move_round`].
#[inline(always)]
unsafe fn move_round_by_words(from: *const u8, to: *mut u8) {
    // SAFETY: moves the 64 bytes (the caller's promise) and changes four registers, which are
    // named.
    unsafe {
        asm!(
            "movq {a}, [{from}]", "movhps {a}, [{from} + 8]",
            "movq {b}, [{from} + 16]", "movhps {b}, [{from} + 24]",
            "movq {c}, [{from} + 32]", "movhps {c}, [{from} + 40]",
            "movq {d}, [{from} + 48]", "movhps {d}, [{from} + 56]",
            "movups [{to}], {a}", "movups [{to} + 16], {b}",
            "movups [{to} + 32], {c}", "movups [{to} + 48], {d}",
            from = in(reg) from, to = in(reg) to,
            a = out(xmm_reg) _, b = out(xmm_reg) _, c = out(xmm_reg) _, d = out(xmm_reg) _,
            options(nostack, preserves_flags),
        );
    }
}

/// # Safety
///
/// As for [`move_one`].
#[inline(always)]
unsafe fn move_one_by_words(from: *const u8, to: *mut u8) {
    // SAFETY: moves the 16 bytes (the caller's promise) and changes one register, which is named.
    unsafe {
        asm!(
            "movq {a}, [{from}]", "movhps {a}, [{from} + 8]", "movups [{to}], {a}",
            from = in(reg) from, to = in(reg) to, a = out(xmm_reg) _,
            options(nostack, preserves_flags),
        );
    }
}

/// The instructions that move more than [`INLINE`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kernel {
    String,
    Avx,
    Sse,
}

impl Kernel {
    /// The fastest kernel of this processor for `len` bytes; `is_even` if source and destination
    /// lie alike in their blocks of 32 bytes.
    #[inline(always)]
    pub(super) fn of(len: usize, is_even: bool) -> Kernel {
        let least = if is_even { STRING } else { UNCACHED };
        if len >= least && is_x86_feature_detected!("ermsb") {
            Kernel::String
        } else if is_x86_feature_detected!("avx") {
            Kernel::Avx
        } else {
            Kernel::Sse
        }
    }
}

/// # Safety
///
/// As for [`copy`]; `len` must be more than [`INLINE`].
#[inline(never)]
unsafe fn copy_many(from: *const u8, to: *mut u8, len: usize) {
    let is_even = to.addr().wrapping_sub(from.addr()).is_multiple_of(AVX);
    let kernel = Kernel::of(len, is_even);
    // SAFETY: the caller's promise; `len` is more than a head.
    let head = unsafe { align(from, to) };
    let (from, to, rest) = (from.wrapping_add(head), to.wrapping_add(head), len - head);
    match kernel {
        // SAFETY: the same, and there is AVX.
        Kernel::Avx => unsafe { copy_by_avx(from, to, rest) },
        // SAFETY: the caller's promise: the rest of its bytes.
        Kernel::String => unsafe { copy_by_string(from, to, rest) },
        // SAFETY: the same.
        Kernel::Sse => unsafe { copy_by_sse(from, to, rest) },
    }
}

/// Moves as many words as it takes until the destination is aligned to [`AVX`] bytes, if whole
/// words can do that, and returns how many bytes those are. Allocations are aligned to 16 bytes:
/// every other store of 32 would cross into another cache line, and take twice as long. String
/// moves of some megabytes to such an address can take more than twice as long.
///
/// # Safety
///
/// As for [`copy`]; `len` must be at least [`AVX`].
#[inline(always)]
unsafe fn align(from: *const u8, to: *mut u8) -> usize {
    let head = to.addr().wrapping_neg() % AVX;
    if !head.is_multiple_of(WORD_BYTES) {
        return 0;
    }
    let word = head % MOVE;
    if word != 0 {
        // SAFETY: the caller's promise: a head is less than `AVX` bytes.
        unsafe { move_word(from, to) };
    }
    if head >= MOVE {
        // SAFETY: the same for the 16 bytes behind that word, if there is one.
        unsafe { move_one(from.wrapping_add(word), to.wrapping_add(word)) };
    }
    head
}

/// Copies by AVX, the first 128 bytes last.
///
/// # Safety
///
/// As for [`copy`]; `len` must be at least 128, and the processor must have AVX.
#[inline(always)]
pub(super) unsafe fn copy_by_avx(from: *const u8, to: *mut u8, len: usize) {
    debug_assert!(len >= AVX_ROUND);
    let rest = len % AVX;
    let (tail, end) = (from.wrapping_add(len - rest), to.wrapping_add(len - rest));
    // SAFETY: the caller's promise: less than 32 bytes behind all whole 32.
    unsafe { copy_by_sse(tail, end, rest) };
    // SAFETY: moves as many rounds of 128 bytes and then of 32 bytes as `len` holds (at least one
    // of the former, any number of the latter): those behind the first round, and then that one. So
    // it stays within the bytes that the caller promises. It leaves the upper halves of the vector
    // registers clean, and names all registers that it changes. No value of the compiler's lives in
    // an upper half, because all of them are named.
    unsafe {
        asm!(
            "dec {rounds}", "jz 3f",
            "2:",
            "vmovdqu ymm0, [{from} + 128]", "vmovdqu ymm1, [{from} + 160]",
            "vmovdqu ymm2, [{from} + 192]", "vmovdqu ymm3, [{from} + 224]",
            "vmovdqu [{to} + 128], ymm0", "vmovdqu [{to} + 160], ymm1",
            "vmovdqu [{to} + 192], ymm2", "vmovdqu [{to} + 224], ymm3",
            "add {from}, 128", "add {to}, 128",
            "dec {rounds}", "jnz 2b",
            "3:",
            "test {moves}, {moves}", "jz 5f",
            "4:",
            "vmovdqu ymm0, [{from} + 128]", "vmovdqu [{to} + 128], ymm0",
            "add {from}, 32", "add {to}, 32",
            "dec {moves}", "jnz 4b",
            "5:",
            "vmovdqu ymm0, [{begin}]", "vmovdqu ymm1, [{begin} + 32]",
            "vmovdqu ymm2, [{begin} + 64]", "vmovdqu ymm3, [{begin} + 96]",
            "vmovdqu [{into} + 96], ymm3", "vmovdqu [{into} + 64], ymm2",
            "vmovdqu [{into} + 32], ymm1", "vmovdqu [{into}], ymm0",
            "vzeroupper",
            begin = in(reg) from,
            into = in(reg) to,
            from = inout(reg) from => _,
            to = inout(reg) to => _,
            rounds = inout(reg) len / AVX_ROUND => _,
            moves = inout(reg) len % AVX_ROUND / AVX => _,
            out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _,
            out("ymm4") _, out("ymm5") _, out("ymm6") _, out("ymm7") _,
            out("ymm8") _, out("ymm9") _, out("ymm10") _, out("ymm11") _,
            out("ymm12") _, out("ymm13") _, out("ymm14") _, out("ymm15") _,
            options(nostack),
        );
    }
}

/// Copies by a string move. Any processor can do so; those with `ermsb` do it fast.
///
/// # Safety
///
/// As for [`copy`].
pub(super) unsafe fn copy_by_string(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: moves `len` bytes upwards (no caller may set the direction flag), which the caller
    // promises, and names the three registers that it changes.
    unsafe {
        asm!(
            // Earlier loads and stores are done before the move begins: the number of the
            // publication that is read, or the stamp (w1) that marks the slot as being written.
            "lfence",
            "sfence",
            "rep movsb",
            // The move is done before later loads and stores: the stamp that is checked (r5), or
            // stored (w4).
            "lfence",
            "sfence",
            inout("rsi") from => _,
            inout("rdi") to => _,
            inout("rcx") len => _,
            options(nostack, preserves_flags),
        );
    }
}
