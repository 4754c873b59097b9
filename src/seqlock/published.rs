//! The words that lead to the latest publication: its number, and the current generation of each
//! side, the channel's indirection table; and the word that says whether the channel has ended.

use crate::layout::{Publication, Side, control, registry};
use crate::memory::{Memory, MemoryMut};

/// A word that holds the number of the latest publication.
pub(crate) struct Published<'a, M> {
    memory: &'a M,
    word: usize,
}

impl<'a, M> Published<'a, M> {
    /// The word of a control page.
    #[inline]
    pub(crate) fn of_channel(control: &'a M) -> Published<'a, M> {
        Published { memory: control, word: control::PUBLISHED }
    }

    /// The word of a table's entry that begins at the word `start`.
    pub(crate) fn of_entry(table: &'a M, start: usize) -> Published<'a, M> {
        Published { memory: table, word: start + registry::entry::PUBLISHED }
    }
}

impl<M: Memory> Published<'_, M> {
    /// r1: the latest publication, and everything that its writer did before announcing it.
    ///
    /// `None` before the first one. A number beyond [`Publication::MAX`] is `None` too: no writer
    /// ever stores it.
    #[inline]
    pub(crate) fn latest(&self) -> Option<Publication> {
        let number = self.memory.load(self.word);
        // Acquire: the loads of generation, slot header and payload must not be satisfied from
        // before this number was read. Otherwise a reader that knows of publication n could copy
        // the contents of the slot from before n, and its stamp check could not detect it once the
        // slot's stamp is already n's. A fence and not an acquire load, because memory mapped
        // read-only guarantees only Relaxed loads. Pairs with the release store in `announce` (w5).
        self.memory.fence_acquire();
        Publication::new(number)
    }

    /// The number alone, without ordering: to detect a change.
    #[inline]
    pub(crate) fn peek(&self) -> u64 {
        self.memory.load(self.word)
    }
}

impl<M: MemoryMut> Published<'_, M> {
    /// w5: makes `publication` the latest one.
    #[inline]
    pub(crate) fn announce(&self, publication: Publication) {
        // Release: the stores of payload, slot header, stamp and, after growth, generation must not
        // sink below this one, or a reader that sees the new number could copy old words. Pairs
        // with the acquire fence in `latest` (r1).
        self.memory.store_release(self.word, publication.get());
    }
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

/// Whether a channel has ended, and how. Stored once by the writer, or by the process that removes
/// a dead writer's channel.
//
// It plays no part in the protocol of publish and attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChannelState {
    /// The channel has not ended.
    Open = 0,
    /// The writer closed it and left the last state for readers.
    Lingering = 1,
    /// Its names have been, or are about to be, unlinked.
    Removed = 2,
}

impl ChannelState {
    /// The word, for a comparison with a state: each higher number means the last one.
    #[inline(always)]
    pub(crate) fn word(control: &impl Memory) -> u64 {
        control.load(control::STATE)
    }

    #[inline]
    pub(crate) fn load(control: &impl Memory) -> ChannelState {
        match ChannelState::word(control) {
            0 => ChannelState::Open,
            1 => ChannelState::Lingering,
            _ => ChannelState::Removed,
        }
    }

    /// Loads the state before the caller loads the number of the latest publication: if the channel
    /// has ended, that number is its last.
    pub(crate) fn load_before_number(control: &impl Memory) -> ChannelState {
        let state = ChannelState::load(control);
        // Acquire: the load of the number must not be satisfied before this one. Pairs with the
        // release in [`ChannelState::store`].
        control.fence_acquire();
        state
    }

    /// Release: the last publication must not become visible after the end, or a reader that sees
    /// the end could believe that it has seen the last publication. Pairs with the acquire fence in
    /// [`ChannelState::load_before_number`].
    pub(crate) fn store(self, control: &impl MemoryMut) {
        control.store_release(control::STATE, self as u64);
    }
}
