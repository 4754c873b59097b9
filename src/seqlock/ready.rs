//! The ready word: hands over what is written once and never changes.
//!
//! The first word of every object. It is stored last by the creator; until then it is zero, which readers await.

use crate::layout;
use crate::memory::{Memory, MemoryMut};

const WORD: usize = 0;
const _: () = assert!(WORD == layout::control::READY && WORD == layout::segment::READY);

/// What an object's ready word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Its creator is at work, or died there.
    NotReady,
    /// Everything immutable in it can be read.
    Ready,
    /// It was made by another version of the layout.
    OtherVersion(u64),
    /// It is nothing of ours: it begins with this word.
    Foreign(u64),
}

/// Reads the ready word.
pub(crate) fn check(memory: &impl Memory) -> Readiness {
    let word = memory.load(WORD);
    // Acquire: the loads of the immutable words must not be satisfied from before the ready word was seen, or a reader
    // could take a half-written header for the whole one. Pairs with the release store in `declare`.
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
    // Release: the stores of the immutable words must not sink below this one. Pairs with the acquire fence in `check`.
    memory.store_release(WORD, layout::READY);
}
