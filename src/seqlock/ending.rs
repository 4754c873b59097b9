//! The word that says whether, and how, a channel has ended.

use crate::layout::control;
use crate::memory::{Memory, MemoryMut};

/// How a channel ended. Stored once by the writer (or by who removes a dead one's channel); it decides nothing in the
/// protocol of publish and attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It has not.
    Open,
    /// The writer closed it and left the last state for readers.
    Lingering,
    /// Its names are gone, or about to be.
    Removed,
}

impl Ending {
    #[inline]
    pub(crate) fn load(control: &impl Memory) -> Ending {
        match control.load(control::ENDING) {
            0 => Ending::Open,
            1 => Ending::Lingering,
            _ => Ending::Removed,
        }
    }

    /// Relaxed: it carries nothing but itself.
    pub(crate) fn store(self, control: &impl MemoryMut) {
        let word = match self {
            Ending::Open => 0,
            Ending::Lingering => 1,
            Ending::Removed => 2,
        };
        control.store(control::ENDING, word);
    }
}
