//! Words that are atomics of this process: used everywhere except in the models.

use std::fmt;
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, compiler_fence, fence};

use super::{CountingMemory, Memory, MemoryMut, copy};
use crate::layout::WORD_BYTES;

/// Identity of the object that some words belong to, even if its name means another object by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ObjectId {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// Keeps words valid: a mapping, or a block of the heap. Dropping it releases them.
pub(crate) trait WordsOwner: fmt::Debug + Send + Sync {
    /// The object that the words belong to.
    fn object(&self) -> ObjectId;

    /// Whether the readers of this process load the words at these very addresses. A mapping has
    /// addresses of its own.
    fn has_readers(&self) -> bool;
}

/// Aligned atomic words, and a share of their owner. Clones share the same words.
///
/// Only [`Words`] can be stored to. A store to words that are mapped read-only would fault, so
/// [`ReadOnlyWords`] has no method that stores.
pub(crate) struct SharedWords<const WRITABLE: bool> {
    base: NonNull<u64>,
    len: usize,
    owner: Arc<dyn WordsOwner>,
}

/// Words that this process may store to.
pub(crate) type Words = SharedWords<true>;

/// Words that this process can only load.
pub(crate) type ReadOnlyWords = SharedWords<false>;

// SAFETY: the words are only accessed atomically (`words`), which is sound from any thread. `new`'s
// contract makes them valid as long as the owner lives, and the value holds a share of the owner.
// The owner is `Send` and `Sync`.
unsafe impl<const WRITABLE: bool> Send for SharedWords<WRITABLE> {}
// SAFETY: as for `Send`; all methods take `&self` and access the words atomically.
unsafe impl<const WRITABLE: bool> Sync for SharedWords<WRITABLE> {}

impl<const WRITABLE: bool> SharedWords<WRITABLE> {
    /// The `len` words that begin at `base`, which `owner` keeps valid.
    ///
    /// # Safety
    ///
    /// `base` must be aligned to 8 bytes, the words must be no more than `isize::MAX` bytes, and
    /// for as long as `owner` lives they must be readable, and be accessed in this process only by
    /// atomic 64-bit accesses and the copies of `copy`. Other accesses are allowed to words that
    /// nothing else in this process stores to at the same time (`InPlace`), or touches at all
    /// (`LoanMut`; a block's users promise either for the slices that they make of its address). If
    /// `WRITABLE`, they must be writable, too.
    pub(crate) unsafe fn new(base: NonNull<u64>, len: usize, owner: Arc<dyn WordsOwner>) -> Self {
        debug_assert!(base.is_aligned());
        SharedWords { base, len, owner }
    }

    /// The words.
    #[inline]
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: `new`'s contract: the words are aligned, readable and in one block as long as the
        // owner lives, which is longer than `self` is borrowed, and this process accesses them
        // atomically. A reference to an atomic allows changes by others, other processes included.
        // `AtomicU64::from_ptr` is not used because it requires writable memory: these words may be
        // mapped read-only, where std's atomic module guarantees Relaxed loads, the only ones made
        // here.
        unsafe { slice::from_raw_parts(self.base.as_ptr().cast::<AtomicU64>(), self.len) }
    }

    /// Some of the words: `len` of them from `word` on.
    ///
    /// # Safety
    ///
    /// They must be in bounds, and `base` be `self.base`.
    #[inline(always)]
    unsafe fn words_at(&self, base: NonNull<u64>, word: usize, len: usize) -> &[AtomicU64] {
        // SAFETY: in bounds of the words, which are one block (`new`).
        let first = unsafe { base.add(word) }.cast::<AtomicU64>();
        // SAFETY: a part of what `words` makes a slice of.
        unsafe { slice::from_raw_parts(first.as_ptr(), len) }
    }

    /// The object that the words belong to.
    pub(crate) fn object(&self) -> ObjectId {
        self.owner.object()
    }

    /// The `len` words that begin at `start`; `None` if the words end before that.
    pub(crate) fn part(&self, start: usize, len: usize) -> Option<Self> {
        let end = start.checked_add(len)?;
        let first = NonNull::from(self.words().get(start..end)?).cast();
        // SAFETY: some of the words of `self`, whose owner is the owner of all of them.
        Some(unsafe { Self::new(first, len, Arc::clone(&self.owner)) })
    }

    /// Whether other words have the same owner.
    pub(crate) fn are_shared(&self) -> bool {
        Arc::strong_count(&self.owner) > 1
    }

    /// The same words, without the right to store to them.
    pub(crate) fn read_only(&self) -> ReadOnlyWords {
        SharedWords { base: self.base, len: self.len, owner: Arc::clone(&self.owner) }
    }

    /// Copies `into.len()` bytes from byte `at` on: one relaxed load a word, in any order.
    ///
    /// # Panics
    ///
    /// If the bytes reach beyond the end.
    pub(crate) fn read_bytes(&self, at: usize, into: &mut [u8]) {
        let (first, rest) = into.split_at_mut(before_next_word(at).min(into.len()));
        if !first.is_empty() {
            let (word, skip) = (at / WORD_BYTES, at % WORD_BYTES);
            first.copy_from_slice(&self.load(word).to_le_bytes()[skip..][..first.len()]);
        }
        if !rest.is_empty() {
            self.read(at.div_ceil(WORD_BYTES), rest);
        }
    }

    /// The address of the first word.
    pub(crate) fn address(&self) -> *mut u64 {
        self.base.as_ptr()
    }
}

/// Bytes from byte `at` to the next word.
fn before_next_word(at: usize) -> usize {
    at.next_multiple_of(WORD_BYTES) - at
}

impl<const WRITABLE: bool> Clone for SharedWords<WRITABLE> {
    fn clone(&self) -> Self {
        SharedWords { base: self.base, len: self.len, owner: Arc::clone(&self.owner) }
    }
}

impl<const WRITABLE: bool> fmt::Debug for SharedWords<WRITABLE> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SharedWords { base: _, len, owner } = self;
        formatter
            .debug_struct("SharedWords")
            .field("writable", &WRITABLE)
            .field("len", len)
            .field("owner", owner)
            .finish()
    }
}

/// A block of the heap.
struct HeapBlock {
    words: Box<[AtomicU64]>,
    object: ObjectId,
}

impl WordsOwner for HeapBlock {
    fn object(&self) -> ObjectId {
        self.object
    }

    fn has_readers(&self) -> bool {
        true
    }
}

impl fmt::Debug for HeapBlock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HeapBlock").field("object", &self.object).finish_non_exhaustive()
    }
}

impl Words {
    /// `len` zeroes on the heap; `None` if the process can't have that much memory. Pages that are
    /// never touched take none.
    pub(crate) fn try_zeroed(len: usize) -> Option<Words> {
        static BLOCKS: AtomicU64 = AtomicU64::new(0);
        // Relaxed: only the difference between the numbers matters. No device has the number 0.
        Words::try_zeroed_as(len, ObjectId { device: 0, inode: BLOCKS.fetch_add(1, Ordering::Relaxed) })
    }

    /// The same, of an object whose former block was smaller.
    pub(crate) fn try_zeroed_as(len: usize, object: ObjectId) -> Option<Words> {
        let words = bytemuck::try_zeroed_slice_box(len).ok()?;
        let block = Arc::new(HeapBlock { words, object });
        let base = NonNull::from(&*block.words).cast();
        // SAFETY: the words of the block: aligned, writable, in one allocation that lives as long
        // as the block, and accessed only as atomics.
        Some(unsafe { Words::new(base, len, block) })
    }

    /// Copies `from` to byte `at` and after: one relaxed store a word, in any order. The other
    /// bytes of a word that is written in part keep what any process stores to them at the same
    /// time.
    ///
    /// # Panics
    ///
    /// If the bytes reach beyond the end.
    pub(crate) fn write_bytes(&self, at: usize, from: &[u8]) {
        let (first, rest) = from.split_at(before_next_word(at).min(from.len()));
        let (whole, last) = rest.split_at(rest.len() - rest.len() % WORD_BYTES);
        if !first.is_empty() {
            self.merge(at / WORD_BYTES, at % WORD_BYTES, first);
        }
        let word = at.div_ceil(WORD_BYTES);
        if !whole.is_empty() {
            self.write(word, whole);
        }
        if !last.is_empty() {
            self.merge(word + whole.len() / WORD_BYTES, 0, last);
        }
    }

    /// Replaces some bytes of a word, from its byte `skip` on.
    fn merge(&self, word: usize, skip: usize, bytes: &[u8]) {
        let merged = |known: u64| {
            let mut all = known.to_le_bytes();
            all[skip..][..bytes.len()].copy_from_slice(bytes);
            Some(u64::from_le_bytes(all))
        };
        // Relaxed: the bytes carry nothing but themselves, as those of whole words.
        let _ = self.words()[word].fetch_update(Ordering::Relaxed, Ordering::Relaxed, merged);
    }

    /// The address of `len` words from `word` on; `None` if readers of this process load them
    /// there.
    ///
    /// # Panics
    ///
    /// If the words reach beyond the end.
    pub(super) fn own_address(&self, word: usize, len: usize) -> Option<NonNull<u64>> {
        assert!(word.checked_add(len).is_some_and(|end| end <= self.len), "the words are out of range");
        // SAFETY: in bounds of the words, which are one block (`new`).
        (!self.owner.has_readers()).then(|| unsafe { self.base.add(word) })
    }

    #[cfg(test)]
    pub(crate) fn zeroed(len: usize) -> Words {
        Words::try_zeroed(len).expect("a test has the memory")
    }
}

impl<const WRITABLE: bool> Memory for SharedWords<WRITABLE> {
    #[inline]
    fn len(&self) -> usize {
        self.len
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
        // SAFETY: `from` has exactly the words of `into`.
        unsafe { copy::load(from, into) };
    }

    #[inline]
    fn base(&self) -> NonNull<u64> {
        self.base
    }

    #[inline]
    unsafe fn load_unchecked(&self, base: NonNull<u64>, word: usize) -> u64 {
        // SAFETY: in bounds of `base` (the caller's promise).
        let words = unsafe { self.words_at(base, word, 1) };
        words[0].load(Ordering::Relaxed)
    }

    #[inline(always)]
    unsafe fn read_unchecked(&self, base: NonNull<u64>, word: usize, into: &mut [u8]) {
        // SAFETY: in bounds of `base` (the caller's promise).
        let from = unsafe { self.words_at(base, word, into.len().div_ceil(WORD_BYTES)) };
        // SAFETY: `from` has exactly the words of `into`.
        unsafe { copy::load(from, into) };
    }
}

impl MemoryMut for Words {
    #[inline]
    fn store(&self, word: usize, value: u64) {
        self.words()[word].store(value, Ordering::Relaxed);
    }

    #[inline]
    fn store_release(&self, word: usize, value: u64) {
        assert!(word < self.len(), "word {word} is out of bounds");
        // SAFETY: in bounds.
        unsafe { self.store_release_unchecked(self.base, word, value) }
    }

    #[inline(always)]
    unsafe fn store_release_unchecked(&self, base: NonNull<u64>, word: usize, value: u64) {
        // SAFETY: in bounds of `base` (the caller's promise).
        let words = unsafe { self.words_at(base, word, 1) };
        words[0].store(value, Ordering::Release);
        // Keeps the compiler from moving later stores above this one. No reader needs it. But a
        // process that is killed between two stores must not have made the first store of the next
        // publication (w1) without this one (w5).
        compiler_fence(Ordering::SeqCst);
    }

    #[inline]
    fn fence_release(&self) {
        fence(Ordering::Release);
    }

    #[inline]
    fn write(&self, word: usize, from: &[u8]) {
        let to = &self.words()[word..][..from.len().div_ceil(WORD_BYTES)];
        // SAFETY: `to` has exactly the words of `from`, and they are writable (`new`).
        unsafe { copy::store(to, from) };
    }

    #[inline]
    unsafe fn store_unchecked(&self, base: NonNull<u64>, word: usize, value: u64) {
        // SAFETY: in bounds of `base` (the caller's promise).
        let words = unsafe { self.words_at(base, word, 1) };
        words[0].store(value, Ordering::Relaxed);
    }

    #[inline(always)]
    unsafe fn write_unchecked(&self, base: NonNull<u64>, word: usize, from: &[u8]) {
        // SAFETY: in bounds of `base` (the caller's promise).
        let to = unsafe { self.words_at(base, word, from.len().div_ceil(WORD_BYTES)) };
        // SAFETY: `to` has exactly the words of `from`, and they are writable (`new`).
        unsafe { copy::store(to, from) };
    }
}

impl CountingMemory for Words {
    fn increment(&self, word: usize) {
        self.words()[word].fetch_add(1, Ordering::Relaxed);
    }

    fn replace(&self, word: usize, from: u64, to: u64) -> bool {
        self.words()[word].compare_exchange(from, to, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    #[inline]
    fn fence_full(&self) {
        fence(Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_beyond_the_end_is_touched() {
        let all = Words::zeroed(5);
        let part = all.part(0, 4).unwrap();
        for (word, len) in [(3, 9), (4, 1), (5, 0), (usize::MAX, 8), (0, 33)] {
            let attempt = || part.write(word, &vec![1; len]);
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(attempt)).is_err(), "{word} {len}");
            let attempt = || part.read(word, &mut vec![1; len]);
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(attempt)).is_err(), "{word} {len}");
        }
        assert!((0..5).all(|word| all.load(word) == 0));
    }

    #[test]
    fn bytes_at_any_place_come_back_and_their_neighbours_stay() {
        for at in 0..20 {
            for len in 0..20 {
                let (memory, mut plain) = (Words::zeroed(6), vec![0xee; 48]);
                memory.write(0, &plain);
                let bytes: Vec<u8> = (1..=20).take(len).collect();
                memory.write_bytes(at, &bytes);
                plain[at..at + len].copy_from_slice(&bytes);
                let (mut all, mut back) = ([0; 48], vec![0; len]);
                memory.read(0, &mut all);
                memory.read_bytes(at, &mut back);
                assert_eq!((all.to_vec(), back), (plain, bytes), "{len} bytes at {at}");
            }
        }
    }

    #[test]
    fn bytes_of_one_word_are_written_by_several_threads() {
        let memory = Words::zeroed(1);
        std::thread::scope(|scope| {
            for thread in 0..4_usize {
                let memory = memory.clone();
                scope.spawn(move || (0..=200).for_each(|value| memory.write_bytes(thread, &[value])));
            }
        });
        assert_eq!(memory.load(0), u64::from(u32::from_le_bytes([200; 4])));
    }

    #[test]
    fn a_part_is_within_the_whole() {
        let all = Words::zeroed(5);
        all.store(3, 7);
        assert_eq!(all.part(3, 2).unwrap().load(0), 7);
        assert_eq!(all.part(5, 0).unwrap().len(), 0);
        for (start, len) in [(0, 6), (5, 1), (6, 0), (usize::MAX, 2)] {
            assert!(all.part(start, len).is_none(), "{start} {len}");
        }
    }

    #[test]
    fn blocks_differ_and_a_part_belongs_to_its_whole() {
        let (all, other) = (Words::zeroed(2), Words::zeroed(2));
        assert_eq!(all.part(1, 1).unwrap().object(), all.object());
        assert_eq!(all.read_only().object(), all.object());
        assert_ne!(all.object(), other.object());
    }
}
