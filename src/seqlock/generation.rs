//! The words that say which incarnation of each segment is in force: the indirection table of a channel.

use crate::layout::{Side, control};
use crate::memory::{Memory, MemoryMut};

/// The two `generation` words of a control page.
pub(crate) struct Generations<'a, M>(pub(crate) &'a M);

impl<M: Memory> Generations<'_, M> {
    /// The generation of `side`, 0 before there is one.
    ///
    /// Relaxed. A reader calls it after `Published::latest`, whose fence makes it at least the generation in which
    /// that publication was written. It may be a later one: then its slot does not carry the number, and the attempt
    /// is torn.
    #[inline]
    pub(crate) fn current(&self, side: Side) -> u64 {
        self.0.load(control::GENERATION + side.index())
    }
}

impl<M: MemoryMut> Generations<'_, M> {
    /// Puts a new generation of `side` in force.
    ///
    /// Relaxed: it is handed over by the announcement of the publication that was written into it (w5).
    #[inline]
    pub(crate) fn replace(&self, side: Side, generation: u64) {
        self.0.store(control::GENERATION + side.index(), generation);
    }
}
