//! How much a sink asks for, and when: as much as the link takes.

use std::time::Duration;

use super::{Options, transfer};
use crate::pace::{Pace, Turn};

/// Replies are never asked to be smaller than this.
const MIN_BYTES: u32 = 4 << 10;
/// Those to the first requests, at most.
const FIRST_BYTES: u32 = 8 << 10;
/// How long a sink waits for its turn until it looks again.
const MAX_NAP: Duration = Duration::from_millis(250);
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
    /// When it was last measured.
    measured_at: Duration,
    pub(super) pace: Pace,
    /// The turns of the next request for a round, and for a piece.
    turn: Option<Turn>,
    piece_turn: Option<Turn>,
    /// Bytes that a reply is expected to have.
    pub(super) expected: usize,
    /// Whether the last round had nothing, or came late: then one request at a time is enough.
    pub(super) is_slow: bool,
}

impl Flow {
    pub(super) fn new(options: &Options) -> Flow {
        Flow {
            max_bytes: max_bytes(options).clamp(MIN_BYTES, FIRST_BYTES),
            ask_at: Duration::ZERO,
            failures: 0,
            round_trip: None,
            measured_at: Duration::ZERO,
            pace: Pace::default(),
            turn: None,
            piece_turn: None,
            expected: MIN_BYTES as usize,
            is_slow: false,
        }
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

    /// Whether it is the turn of the next request for a round.
    pub(super) fn take_turn(&mut self, now: Duration) -> bool {
        let turn = *self.turn.get_or_insert_with(|| self.pace.turn(now, self.expected));
        self.pace.wait(now, turn).is_zero() && self.turn.take().is_some()
    }

    /// Whether it is the turn of the next request for a piece, of so many bytes.
    pub(super) fn take_piece_turn(&mut self, now: Duration, expected: usize) -> bool {
        let turn = *self.piece_turn.get_or_insert_with(|| self.pace.turn(now, expected));
        self.pace.wait(now, turn).is_zero() && self.piece_turn.take().is_some()
    }

    /// When the next request for a round may be due.
    pub(super) fn due(&self, now: Duration) -> Duration {
        self.ask_at.max(self.turn_at(now, self.turn))
    }

    /// When the next request for a piece may be due.
    pub(super) fn piece_due(&self, now: Duration) -> Duration {
        self.ask_at.max(self.turn_at(now, self.piece_turn))
    }

    /// When to look whether the turn has come: the pace may change.
    fn turn_at(&self, now: Duration, turn: Option<Turn>) -> Duration {
        turn.map_or(Duration::ZERO, |turn| now + self.pace.wait(now, turn).min(MAX_NAP))
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

    /// No reply has come in time.
    pub(super) fn miss(&mut self, now: Duration, expected: usize) {
        if self.has_failed() {
            self.pace.refund((expected, 0));
        } else {
            self.pace.missed(now);
        }
        self.shrink();
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

    /// A reply has come, which `took` so long. Returns by how much it came later than the fastest.
    pub(super) fn measure(
        &mut self,
        now: Duration,
        took: Duration,
        (expected, bytes): (usize, usize),
    ) -> Duration {
        let passed = now.saturating_sub(std::mem::replace(&mut self.measured_at, now));
        // Slowly forgotten: the way to the origin may have changed.
        let fastest = self.round_trip.map(|fastest| fastest + passed / 50);
        let fastest = self.pace.replied(now, (expected, bytes), took, fastest);
        self.round_trip = Some(fastest);
        took - fastest
    }

    /// Adapts the size of replies to one that came so late.
    pub(super) fn adapt(&mut self, excess: Duration, bytes: usize, options: &Options) {
        if excess > MAX_TRANSFER {
            self.shrink();
        } else if bytes > self.max_bytes as usize / 2 {
            self.max_bytes = (self.max_bytes + self.max_bytes / 2).min(max_bytes(options)).max(MIN_BYTES);
        }
    }

    /// Expects the next round to be as this one.
    pub(super) fn expect(&mut self, excess: Duration, bytes: usize, is_empty: bool) {
        self.expected = bytes.max(self.expected / 2);
        self.is_slow = is_empty || excess > MAX_TRANSFER;
    }
}

/// Maximum bytes of a reply: of those that may be outstanding, what may come in half a second.
fn max_bytes(options: &Options) -> u32 {
    let rate = options.rate.map_or(u64::MAX, |rate| rate / 2 / (options.window + transfer::WINDOW) as u64);
    options.max_bytes.min(u32::try_from(rate).unwrap_or(u32::MAX))
}
