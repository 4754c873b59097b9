//! The ready word: hands over the words that are written once and never change.
//!
//! The first word of every object. The creator stores it last; until then it is zero, and readers
//! wait for it.

use crate::layout;
use crate::memory::{Memory, MemoryMut};

const WORD: usize = 0;
const _: () = assert!(WORD == layout::control::READY && WORD == layout::segment::READY);

/// State of an object according to its ready word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Its creator has not finished it: it is at work, or died.
    NotReady,
    /// All its immutable words can be read.
    Ready,
    /// Another version of the layout made it.
    OtherVersion(u64),
    /// It is not one of our objects: it begins with this word.
    Foreign(u64),
}

/// Reads the ready word.
pub(crate) fn check(memory: &impl Memory) -> Readiness {
    let word = memory.load(WORD);
    // Acquire: the loads of the immutable words must not be satisfied from before the ready word
    // was seen, or a reader could take a half-written header for a whole one. Pairs with the
    // release store in `declare`.
    memory.fence_acquire();
    match layout::version_of(word) {
        _ if word == 0 => Readiness::NotReady,
        Some(layout::VERSION) => Readiness::Ready,
        Some(version) => Readiness::OtherVersion(version),
        None => Readiness::Foreign(word),
    }
}

/// Declares the object ready.
pub(crate) fn declare(memory: &impl MemoryMut) {
    // Release: the stores of the immutable words must not sink below this one. Pairs with the
    // acquire fence in `check`.
    memory.store_release(WORD, layout::READY);
}
