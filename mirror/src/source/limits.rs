//! The limits of a source.

use std::time::Duration;

use crate::message::MAX_REPLY_BYTES;

/// What a source allows.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum number of sinks.
    pub sinks: usize,
    /// Maximum number of sinks that give the same name of a host. One of them that is idle makes
    /// room for another.
    pub sinks_of_host: usize,
    /// Maximum number of requests of one sink that are held.
    pub held: usize,
    /// A sink that has not asked for this long is forgotten.
    pub forget_after: Duration,
    /// Larger states are asked for in pieces.
    pub inline: u32,
    /// Maximum bytes of the large states that are kept for all sinks, unless it is a single one.
    pub large: u64,
    /// Maximum bytes a second for each sink on the average, if there is a limit.
    pub rate: Option<u64>,
}

impl Default for Limits {
    fn default() -> Limits {
        let forget_after = Duration::from_secs(30);
        Limits {
            sinks: 1024,
            sinks_of_host: 16,
            held: 8,
            forget_after,
            inline: 64 << 10,
            large: 4 << 30,
            rate: None,
        }
    }
}

impl Limits {
    /// Maximum bytes of a reply of which the sink takes `max`: not more than what may be sent in an
    /// eighth of a second, so that those behind it do not come too late.
    pub(super) fn max_bytes(&self, max: u32) -> usize {
        let rate = self.rate.map_or(usize::MAX, |rate| usize::try_from(rate / 8).unwrap_or(usize::MAX));
        (max as usize).min(rate).clamp(1 << 10, MAX_REPLY_BYTES / 4)
    }
}
