//! How much a sink asks for, and when: as much as the link takes.

use std::time::Duration;

use super::{Options, transfer};

/// Replies are never asked to be smaller than this.
const MIN_BYTES: u32 = 4 << 10;
/// A reply whose transfer takes this much longer than the fastest was too large for the link.
const MAX_TRANSFER: Duration = Duration::from_millis(100);

/// The size of replies, and the time of the next request.
pub(super) struct Flow {
    /// Maximum bytes of the next reply.
    pub(super) max_bytes: u32,
    /// No request is due before.
    pub(super) ask_at: Duration,
    /// Requests that have failed since the last news.
    failures: u32,
    /// The fastest round trip of late, without the time for which the source held the request.
    pub(super) round_trip: Option<Duration>,
}

impl Flow {
    pub(super) fn new(options: &Options) -> Flow {
        let max_bytes = max_bytes(options).clamp(MIN_BYTES, 32 << 10);
        Flow { max_bytes, ask_at: Duration::ZERO, failures: 0, round_trip: None }
    }

    pub(super) fn reload(&mut self, options: &Options) {
        self.max_bytes = self.max_bytes.min(max_bytes(options)).max(MIN_BYTES);
    }

    /// Maximum bytes of a piece of a large state.
    pub(super) fn max_piece_bytes(&self) -> u32 {
        self.max_bytes.max(4 * MIN_BYTES)
    }

    /// Whether requests have failed since the last news.
    pub(super) fn has_failed(&self) -> bool {
        self.failures > 0
    }

    pub(super) fn wait_until(&mut self, time: Duration) {
        self.ask_at = self.ask_at.max(time);
    }

    /// The link is paid for what has come.
    pub(super) fn pay(&mut self, now: Duration, bytes: usize, rate: Option<u64>) {
        if let Some(rate) = rate {
            let cost = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
            self.ask_at = self.ask_at.max(now.saturating_sub(Duration::from_millis(100))) + cost;
        }
    }

    /// A reply did not come: it may have been too large for the link.
    pub(super) fn shrink(&mut self) {
        self.max_bytes = (self.max_bytes / 2).max(MIN_BYTES);
    }

    /// A request for a round has failed: the next one waits.
    pub(super) fn fail(&mut self, now: Duration) {
        self.failures = self.failures.saturating_add(1);
        self.wait_until(now + Duration::from_millis(25 << self.failures.min(3)));
    }

    /// There is news.
    pub(super) fn recover(&mut self) {
        self.failures = 0;
    }

    /// A round has taken so long, with a reply of so many bytes.
    pub(super) fn adapt(&mut self, took: Duration, bytes: usize, options: &Options) {
        // The fastest of late: it forgets by a hundredth each time.
        let fastest = self.round_trip.map_or(took, |fastest| (fastest + fastest / 100).min(took));
        self.round_trip = Some(fastest);
        if took > fastest + MAX_TRANSFER {
            self.shrink();
        } else if bytes > self.max_bytes as usize / 2 {
            self.max_bytes = (self.max_bytes + self.max_bytes / 4).min(max_bytes(options)).max(MIN_BYTES);
        }
    }
}

/// Maximum bytes of a reply: of those that may be outstanding, what may come in half a second.
fn max_bytes(options: &Options) -> u32 {
    let rate = options.rate.map_or(u64::MAX, |rate| rate / 2 / (options.window + transfer::WINDOW) as u64);
    options.max_bytes.min(u32::try_from(rate).unwrap_or(u32::MAX))
}
