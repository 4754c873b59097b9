//! The word that says whether, and how, a channel has ended.

use crate::layout::control;
use crate::memory::{Memory, MemoryMut};

/// How a channel ended. Stored once by the writer, or by who removes a dead one's channel.
//
// It decides nothing in the protocol of publish and attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChannelState {
    /// It has not.
    Open,
    /// The writer closed it and left the last state for readers.
    Lingering,
    /// Its names are gone, or about to be.
    Removed,
}

impl ChannelState {
    #[inline]
    pub(crate) fn load(control: &impl Memory) -> ChannelState {
        match control.load(control::STATE) {
            0 => ChannelState::Open,
            1 => ChannelState::Lingering,
            _ => ChannelState::Removed,
        }
    }

    /// The same, before the number of the latest publication is loaded: of a channel that has ended, that is the last.
    pub(crate) fn load_before_number(control: &impl Memory) -> ChannelState {
        let state = ChannelState::load(control);
        // Acquire: the load of the number must not be satisfied before this one. Pairs with the release in
        // [`ChannelState::store`].
        control.fence_acquire();
        state
    }

    /// Release: the last publication must not become visible after the end, or who sees the end could believe that it
    /// has seen the last publication. Pairs with the acquire fence in [`ChannelState::load_before_number`].
    pub(crate) fn store(self, control: &impl MemoryMut) {
        let word = match self {
            ChannelState::Open => 0,
            ChannelState::Lingering => 1,
            ChannelState::Removed => 2,
        };
        control.store_release(control::STATE, word);
    }
}
