//! Words of a mapping.

use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::AtomicU64;

use super::AtomicWords;

/// The words of a mapping, or of any other memory that lives long enough. Does not own it.
///
/// Whether stores are possible is a property of the mapping: a store through words that are mapped read-only faults.
/// `segment` hands out only [`Memory`](super::Memory) for those.
#[derive(Debug)]
pub(crate) struct MappedWords {
    base: NonNull<u64>,
    words: usize,
}

// SAFETY: the words are only ever accessed atomically (`words`), which is sound from any thread; `new`'s contract makes
// them valid for as long as the value lives, on whatever thread that is.
unsafe impl Send for MappedWords {}
// SAFETY: as for `Send`; all methods take `&self` and access the words atomically.
unsafe impl Sync for MappedWords {}

impl MappedWords {
    /// The `words` words from `base` on.
    ///
    /// # Safety
    ///
    /// `base` must be aligned to 8 bytes, the words must be no more than `isize::MAX` bytes, and for as long as the
    /// value lives they must be readable, and be accessed by nobody in this process in any other way than by atomic
    /// 64-bit accesses and the copies of `copy`. Stores must be made only if the words are writable, too.
    pub(crate) unsafe fn new(base: NonNull<u64>, words: usize) -> MappedWords {
        debug_assert!(base.is_aligned());
        MappedWords { base, words }
    }
}

// SAFETY: neither base nor length ever changes.
unsafe impl AtomicWords for MappedWords {
    #[inline]
    fn words(&self) -> &[AtomicU64] {
        // SAFETY: `new`'s contract: aligned, readable and in one mapping for as long as `self` is borrowed, and accessed
        // atomically by everybody in this process. A reference to an atomic allows for changes by others, other processes
        // too. Not `AtomicU64::from_ptr`, which asks for memory that can be written: this may be mapped read-only, on
        // which the atomic module of std promises Relaxed loads, the only ones made here.
        unsafe { slice::from_raw_parts(self.base.as_ptr().cast::<AtomicU64>(), self.words) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Memory, MemoryMut, WritableWords};
    use super::*;

    /// Words of a test's own memory.
    struct Writable(MappedWords);

    // SAFETY: as of what it wraps.
    unsafe impl AtomicWords for Writable {
        fn words(&self) -> &[AtomicU64] {
            self.0.words()
        }
    }

    // SAFETY: the tests' memory is writable.
    unsafe impl WritableWords for Writable {}

    #[test]
    fn nothing_beyond_the_end_is_touched() {
        let mut backing = [0_u64; 5];
        let base = NonNull::new(backing.as_mut_ptr()).unwrap();
        // SAFETY: aligned, four of five words, outlives `mapped`, not touched otherwise until `mapped` is gone.
        let mapped = Writable(unsafe { MappedWords::new(base, 4) });
        for (word, len) in [(3, 9), (4, 1), (5, 0), (usize::MAX, 8), (0, 33)] {
            let attempt = || mapped.write(word, &vec![1; len]);
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(attempt)).is_err(), "{word} {len}");
            let attempt = || mapped.read(word, &mut vec![1; len]);
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(attempt)).is_err(), "{word} {len}");
        }
        assert_eq!(backing, [0; 5]);
    }
}
