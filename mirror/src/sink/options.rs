//! The times and limits of a sink.

use std::time::Duration;

/// What a sink may be told.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long the source holds a request.
    pub hold: Duration,
    /// How long a reply may take beyond that.
    pub patience: Duration,
    /// Without a reply for this long, an origin is unreachable.
    pub unreachable_after: Duration,
    /// Maximum number of requests that are outstanding.
    pub window: usize,
    /// Maximum bytes of a reply; slow links get smaller ones.
    pub max_bytes: u32,
    /// Maximum number of channels of this origin.
    pub max_channels: usize,
    /// Maximum bytes of a state.
    pub max_state_len: u64,
    /// Maximum bytes of this host's memory for the copies of this origin.
    pub max_memory: u64,
    /// Maximum bytes a second on the average, if there is a limit.
    pub rate: Option<u64>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            hold: Duration::from_millis(500),
            patience: Duration::from_secs(2),
            unreachable_after: Duration::from_secs(3),
            window: 4,
            max_bytes: 256 << 10,
            max_channels: 16_384,
            max_state_len: 1 << 30,
            max_memory: 4 << 30,
            rate: None,
        }
    }
}
