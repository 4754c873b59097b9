//! The word that says whether a channel has ended, and how.

use crate::layout::control;
use crate::memory::{Memory, MemoryMut};

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
