//! A segment of a channel, and the words that name its current generation: the channel's
//! indirection table.

use super::Ring;
use crate::layout::{Side, control};
use crate::memory::{Memory, MemoryMut};

/// One generation of one side: a ring of slots.
#[derive(Clone, Debug)]
pub(crate) struct Segment<M> {
    pub(crate) generation: u64,
    pub(crate) ring: Ring<M>,
}

/// The two `generation` words of a control page.
pub(crate) struct Generations<'a, M>(pub(crate) &'a M);

impl<M: Memory> Generations<'_, M> {
    /// The current generation of `side`, 0 before the first.
    ///
    /// Relaxed. A reader calls it after `Published::latest`, whose fence makes it at least the
    /// generation in which that publication was written. It may be a later one: then its slot does
    /// not carry the number, and the attempt is torn.
    #[inline]
    pub(crate) fn current(&self, side: Side) -> u64 {
        self.0.load(control::GENERATION + side.index())
    }
}

impl<M: MemoryMut> Generations<'_, M> {
    /// Makes `generation` the current one of `side`.
    ///
    /// Relaxed: the announcement of the publication in the new segment (w5) hands it to readers.
    #[inline]
    pub(crate) fn replace(&self, side: Side, generation: u64) {
        self.0.store(control::GENERATION + side.index(), generation);
    }
}
