//! What a source needs of the channels of its host.

use std::time::Duration;

/// A channel of this host, as the source reads it.
pub trait Channel: Clone {
    /// Number and payload bytes of the latest publication; `None` before the first.
    fn latest(&mut self) -> Option<Latest>;

    /// Replaces the contents of `payload` by the latest state; `None` if there is none, or none can
    /// be read.
    fn read(&mut self, payload: &mut Vec<u8>) -> Option<Read>;
}

/// The latest publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latest {
    /// Its number.
    pub publication: u64,
    /// Bytes of its payload.
    pub len: u64,
}

/// A state that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// Number of the publication.
    pub publication: u64,
    /// Its age; `None` if it is not known.
    pub age: Option<Duration>,
}
