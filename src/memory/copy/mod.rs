//! Payloads in and out of shared words.
//!
//! [`load_words`] and [`store_words`] define a copy: one relaxed atomic access per word, in any
//! order. The models run them, and so does every processor without a faster copy. Compilers don't
//! vectorise atomic accesses, so on x86-64 instructions of our own choice move the bulk of a
//! payload: they do the same accesses, several words at a time. `--cfg tearless_portable_copy`
//! leaves everything to the loops.

#[cfg(all(target_arch = "x86_64", not(miri), not(tearless_portable_copy)))]
#[path = "x86_64.rs"]
mod bulk;
#[cfg(not(all(target_arch = "x86_64", not(miri), not(tearless_portable_copy))))]
mod bulk {
    //! No bulk copy: the loops over words do everything.

    use std::sync::atomic::AtomicU64;

    /// Moves nothing.
    ///
    /// # Safety
    ///
    /// None is needed here; the copies of other processors need it.
    #[inline]
    pub(super) unsafe fn load(_from: &[AtomicU64], _into: &mut [u8]) -> usize {
        0
    }

    /// Moves nothing.
    ///
    /// # Safety
    ///
    /// As for [`load`].
    #[inline]
    pub(super) unsafe fn store(_to: &[AtomicU64], _from: &[u8]) -> usize {
        0
    }
}
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};

use crate::layout::WORD_BYTES;

/// Copies the bytes of `from` to `into`.
///
/// # Safety
///
/// `from` must have exactly the words of `into`.
#[inline(always)]
pub(super) unsafe fn load(from: &[AtomicU64], into: &mut [u8]) {
    // SAFETY: the caller's promise.
    let moved = unsafe { bulk::load(from, into) };
    load_words(&from[moved / WORD_BYTES..], &mut into[moved..]);
}

/// Copies `from` to `to`, the last word padded with zeroes.
///
/// # Safety
///
/// `to` must have exactly the words of `from`, and be writable.
#[inline(always)]
pub(super) unsafe fn store(to: &[AtomicU64], from: &[u8]) {
    // SAFETY: the caller's promise.
    let moved = unsafe { bulk::store(to, from) };
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
