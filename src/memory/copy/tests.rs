//! The bulk copies against the loops over words that define them.

use super::*;
use crate::layout::PAGE_BYTES;

/// Words and bytes after the copied part, which must not change.
const MARGIN: usize = 4;

/// Bytes that differ from their neighbours, never 0.
fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|index| u8::try_from(index * 7 % 251).unwrap() + 1).collect()
}

fn words(len: usize) -> Vec<AtomicU64> {
    (0..len as u64).map(|word| AtomicU64::new(word.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)).collect()
}

fn values(words: &[AtomicU64]) -> Vec<u64> {
    words.iter().map(|word| word.load(Ordering::Relaxed)).collect()
}

#[cfg(all(target_arch = "x86_64", not(miri), not(tearless_portable_copy)))]
use bulk::STRING;
/// No threshold: any size is like this one.
#[cfg(not(all(target_arch = "x86_64", not(miri), not(tearless_portable_copy))))]
const STRING: usize = 24 << 10;

type Load = fn(&[AtomicU64], &mut [u8]);
type Store = fn(&[AtomicU64], &[u8]);

/// The copy by the loop that defines it; `from` has exactly the words of `into`.
fn load_words(from: &[AtomicU64], into: &mut [u8]) {
    // SAFETY: the caller's promise: as many words.
    unsafe { load_by(from, into, each::load) };
}

/// The same for `store`.
fn store_words(to: &[AtomicU64], from: &[u8]) {
    // SAFETY: as above, of a vector of the test.
    unsafe { store_by(to, from, each::store) };
}

/// `load` from the word at `offset` to the byte at `shift` must do exactly what the loop does.
fn assert_loads(load: Load, len: usize, shift: usize, offset: usize) {
    let shared = words(len.div_ceil(WORD_BYTES) + offset);
    let from = &shared[offset..];
    let mut expected = vec![0xee; len + shift + MARGIN];
    let mut found = expected.clone();
    load_words(from, &mut expected[shift..shift + len]);
    load(from, &mut found[shift..shift + len]);
    assert!(found == expected, "{len} bytes from word {offset} to byte {shift}");
}

/// The same for `store`.
fn assert_stores(store: Store, len: usize, shift: usize, offset: usize) {
    let all = bytes(len + shift);
    let size = len.div_ceil(WORD_BYTES);
    let (expected, found) = (words(size + offset + MARGIN), words(size + offset + MARGIN));
    store_words(&expected[offset..offset + size], &all[shift..]);
    store(&found[offset..offset + size], &all[shift..]);
    assert!(values(&found) == values(&expected), "{len} bytes from byte {shift} to word {offset}");
}

/// One kernel for every size, as other processors or other sizes use it.
#[cfg(all(target_arch = "x86_64", not(miri), not(tearless_portable_copy)))]
macro_rules! kernel {
    ($kernel:ident) => {{
        let load: Load = |from, into| {
            let copy = |words: &[AtomicU64], whole: &mut [Bytes]| {
                let (from, into) = (words.as_ptr().cast(), whole.as_mut_ptr().cast());
                // SAFETY: as many words.
                unsafe { bulk::$kernel(from, into, size_of_val(words)) };
            };
            // SAFETY: it needs no more than as many words.
            unsafe { load_by(from, into, copy) };
        };
        let store: Store = |to, from| {
            let copy = |words: &[AtomicU64], whole: &[Bytes]| {
                let (from, to) = (whole.as_ptr().cast(), words.as_ptr().cast_mut().cast());
                // SAFETY: as many words, of a vector or a mapping that belongs to the test.
                unsafe { bulk::$kernel(from, to, size_of_val(words)) };
            };
            // SAFETY: it needs no more than as many words.
            unsafe { store_by(to, from, copy) };
        };
        (load, store)
    }};
}

/// The copy as callers use it.
fn usual_load(from: &[AtomicU64], into: &mut [u8]) {
    // SAFETY: exactly those words.
    unsafe { load(&from[..into.len().div_ceil(WORD_BYTES)], into) }
}

/// The copy as callers use it.
fn usual_store(to: &[AtomicU64], from: &[u8]) {
    // SAFETY: exactly those words, of a vector or a mapping that belongs to the test.
    unsafe { store(&to[..from.len().div_ceil(WORD_BYTES)], from) }
}

fn copies() -> Vec<(Load, Store)> {
    vec![
        (usual_load, usual_store),
        #[cfg(all(target_arch = "x86_64", not(miri), not(tearless_portable_copy)))]
        kernel!(copy_by_sse),
        #[cfg(all(target_arch = "x86_64", not(miri), not(tearless_portable_copy)))]
        kernel!(copy_by_words),
        #[cfg(all(target_arch = "x86_64", not(miri), not(tearless_portable_copy)))]
        kernel!(copy_by_string),
    ]
}

#[test]
#[cfg(all(target_arch = "x86_64", not(miri), not(tearless_portable_copy)))]
fn the_kernel_is_chosen_by_size_and_processor() {
    use bulk::Kernel;
    let vectors = if is_x86_feature_detected!("avx") { Kernel::Avx } else { Kernel::Sse };
    let strings = if is_x86_feature_detected!("ermsb") { Kernel::String } else { vectors };
    let chosen = [257, STRING - 1, STRING, 64 << 20].map(|len| Kernel::of(len, true));
    assert_eq!(chosen, [vectors, vectors, strings, strings]);
    let uneven = [STRING, (32 << 20) - 1, 32 << 20].map(|len| Kernel::of(len, false));
    assert_eq!(uneven, [vectors, vectors, strings]);
}

/// AVX also for sizes at which processors with fast string moves use those.
#[test]
#[cfg(all(target_arch = "x86_64", not(miri), not(tearless_portable_copy)))]
fn long_payloads_are_copied_by_vectors_as_by_the_loop_over_words() {
    if !is_x86_feature_detected!("avx") {
        return;
    }
    let (load, store) = kernel!(copy_by_avx);
    for len in (128..600).chain(STRING - 40..STRING + 170) {
        assert_loads(load, len, len % 32, len % 5);
        assert_stores(store, len, len % 32, len % 5);
    }
}

#[test]
fn every_length_up_to_a_page_is_copied_as_by_the_loop_over_words() {
    for (load, store) in copies() {
        for len in 0..=4_096 {
            // A slot's payload is aligned to 32 bytes, here only to words; the private side is not
            // aligned.
            for (shift, offset) in [(0, 0), (1, 1), (8, 3), (31, 4)] {
                assert_loads(load, len, shift, offset);
                assert_stores(store, len, shift, offset);
            }
        }
    }
}

#[test]
fn long_payloads_with_every_tail_are_copied_as_by_the_loop_over_words() {
    for (load, store) in copies() {
        // Below, around and above the threshold for string moves.
        for base in [1 << 14, STRING - 80, 1 << 16, (1 << 18) + 128] {
            for tail in 0..=160 {
                assert_loads(load, base + tail, tail % 32, tail % 5);
                assert_stores(store, base + tail, tail % 32, tail % 5);
            }
        }
        assert_loads(load, (5 << 20) + 77, 5, 1);
        assert_stores(store, (5 << 20) + 77, 5, 1);
    }
}

/// Readable and writable pages between two pages that fault.
struct Fenced {
    base: *mut u8,
}

/// Full pages of every kernel.
const FENCED: usize = 64 << 10;

impl Fenced {
    fn new() -> Fenced {
        use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect};
        // SAFETY: a new mapping at an address of the kernel's choice replaces nothing.
        let base = unsafe {
            mmap_anonymous(std::ptr::null_mut(), 3 * FENCED, ProtFlags::empty(), MapFlags::PRIVATE)
        };
        let base = base.unwrap().cast::<u8>().wrapping_add(FENCED);
        // SAFETY: those pages belong to the new mapping, and nothing refers to them.
        unsafe { mprotect(base.cast(), FENCED, MprotectFlags::READ | MprotectFlags::WRITE) }.unwrap();
        Fenced { base }
    }

    /// The words at the very beginning, or at the very end.
    fn words(&self, len: usize, at_end: bool) -> &[AtomicU64] {
        let skipped = if at_end { FENCED - len * WORD_BYTES } else { 0 };
        // SAFETY: aligned, within the pages, which are accessed by these words only.
        unsafe { std::slice::from_raw_parts(self.base.wrapping_add(skipped).cast(), len) }
    }

    /// The bytes at the very beginning, or at the very end.
    fn slice(&mut self, len: usize, at_end: bool) -> &mut [u8] {
        let skipped = if at_end { FENCED - len } else { 0 };
        // SAFETY: within the pages, and there is no other reference to them.
        unsafe { std::slice::from_raw_parts_mut(self.base.wrapping_add(skipped), len) }
    }
}

impl Drop for Fenced {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, with what faults before and behind, and nothing refers to it
        // any more.
        unsafe { rustix::mm::munmap(self.base.wrapping_sub(FENCED).cast(), 3 * FENCED) }.unwrap();
    }
}

/// Copies `len` bytes there and back, from one end of the pages or the other.
fn there_and_back((load, store): (Load, Store), shared: &Fenced, private: &mut Fenced, len: usize) {
    for (at_end, private_at_end) in [(true, true), (false, false), (true, false), (false, true)] {
        let words = shared.words(len.div_ceil(WORD_BYTES), at_end);
        private.slice(len, private_at_end).copy_from_slice(&bytes(len));
        store(words, private.slice(len, private_at_end));
        private.slice(len, private_at_end).fill(0);
        load(words, private.slice(len, private_at_end));
        assert!(*private.slice(len, private_at_end) == bytes(len), "{len} bytes");
    }
}

#[test]
fn nothing_beside_the_copy_is_accessed_on_either_side() {
    let (shared, mut private) = (Fenced::new(), Fenced::new());
    for copy in copies() {
        for len in (0..=PAGE_BYTES).chain(STRING - 40..STRING + 41) {
            there_and_back(copy, &shared, &mut private, len);
        }
    }
}
