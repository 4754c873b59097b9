//! Maps the name of a peer and a size to types: processes get both as text.

use crate::peer::Shared;
use crate::peers::{Dated, Iceoryx, MmapSync, Shallow, Undated};

/// An action on a peer.
pub(crate) trait Visit {
    /// The result.
    type Output;

    /// Runs the action.
    fn visit<P: Shared<WORDS>, const WORDS: usize>(self) -> Self::Output;
}

/// Visits the peer called `name` with states of `words` words.
pub(crate) fn visit<V: Visit>(name: &str, words: usize, visitor: V) -> V::Output {
    match words {
        8 => named::<V, 8>(name, visitor),
        128 => named::<V, 128>(name, visitor),
        8192 => named::<V, 8192>(name, visitor),
        words => panic!("no peer is measured with {words} words"),
    }
}

fn named<V: Visit, const WORDS: usize>(name: &str, visitor: V) -> V::Output {
    match name {
        "tearless" => visitor.visit::<Dated, WORDS>(),
        "tearless undated" => visitor.visit::<Undated, WORDS>(),
        "tearless depth 1" => visitor.visit::<Shallow, WORDS>(),
        "iceoryx2" => visitor.visit::<Iceoryx, WORDS>(),
        "mmap-sync" => visitor.visit::<MmapSync, WORDS>(),
        name => panic!("there is no peer called {name}"),
    }
}
