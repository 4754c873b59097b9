//! How fast a host asks: one pace for all of its sinks, so that replies never queue for long in
//! front of the link that they share.
//!
//! Each request waits for its turn. Turns are positions in the bytes that are asked for, in the
//! order in which the sinks come, and the position that may be asked for grows by the rate. If the
//! latest replies of most origins took longer than they should, the rate becomes smaller; otherwise
//! it may grow.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes a second at first, and at least.
const FIRST_RATE: f64 = 1e6;
const MIN_RATE: f64 = 4e3;
/// What was not asked for in this time may be asked for at once.
const BURST: Duration = Duration::from_millis(50);
/// Bytes that a reply costs beside its own.
const OVERHEAD: Position = 200;
/// No turn is said to be further away.
const MAX_TURN: Duration = Duration::from_secs(1_000_000);
/// Of what comes while replies are late, so much is asked for until the link is free again.
const SHARE: f64 = 0.7;
/// The rate is changed at most once in this time.
const INTERVAL: Duration = Duration::from_millis(100);
/// The rate is not changed for so long at most, until what was asked for before has come.
const MAX_STAY: Duration = Duration::from_secs(2);
/// A reply may take so much longer than the fastest, and the time that its bytes need at the rate.
const MAX_WAIT: Duration = Duration::from_millis(100);
/// Before a second one has come, a round trip is taken to be no longer.
const MAX_ROUND_TRIP: Duration = Duration::from_millis(300);
const MAX_TRANSFER: f64 = 1.0;
/// So many origins have a vote, for so long after their latest reply.
const MAX_VOTES: usize = 8;
const RECENT: Duration = Duration::from_secs(3);

/// The pace of a host, as the sink of one origin has it.
pub struct Pace {
    state: Arc<Mutex<State>>,
    origin: u64,
}

/// How the latest reply of an origin has come.
struct Vote {
    origin: u64,
    at: Duration,
    is_late: bool,
}

/// A place in the order of all requests of a host, in billionths of a byte.
#[derive(Clone, Copy)]
pub struct Turn(i128);

/// A position in the bytes that are asked for, in billionths of a byte: what a nanosecond brings at
/// one byte a second. Whole numbers, because a host counts for years in steps of nanoseconds.
type Position = i128;

const BYTE: Position = 1_000_000_000;

struct State {
    /// Bytes a second.
    rate: f64,
    /// Turns until here are due.
    position: Position,
    at: Duration,
    /// The next turn.
    next: Position,
    /// Number of the origins.
    origins: u64,
    /// Those that have replied last, each with its latest reply: an origin has one vote, however
    /// many replies it sends.
    votes: VecDeque<Vote>,
    /// The share of them that came late, of late.
    late: f64,
    /// By how much they came later than the fastest from the same origin.
    excess: Duration,
    /// What the link is known to bring; more is tried with care.
    known: f64,
    /// Since the rate was last changed: whether a request had to wait, and the bytes that came.
    has_waited: bool,
    bytes: f64,
    since: Duration,
    /// How long it stays as it is.
    stays: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        let state = State {
            origins: 1,
            votes: VecDeque::new(),
            rate: FIRST_RATE,
            position: 0,
            at: Duration::ZERO,
            next: 0,
            late: 0.0,
            excess: Duration::ZERO,
            known: f64::INFINITY,
            has_waited: false,
            bytes: 0.0,
            since: Duration::ZERO,
            stays: INTERVAL,
        };
        Pace { state: Arc::new(Mutex::new(state)), origin: 0 }
    }
}

impl Pace {
    /// The same pace, for the sink of another origin.
    #[must_use]
    pub fn join(&self) -> Pace {
        let mut state = self.state();
        state.origins += 1;
        Pace { state: Arc::clone(&self.state), origin: state.origins }
    }

    /// The turn of a request whose reply may have so many bytes.
    #[must_use]
    pub fn turn(&self, now: Duration, expected: usize) -> Turn {
        let mut state = self.lock(now);
        let turn = state.next.max(state.position - state.after(BURST));
        state.next = turn + (expected as Position + OVERHEAD) * BYTE;
        Turn(turn)
    }

    /// For how long the turn is still to come, at the present rate.
    #[must_use]
    pub fn wait(&self, now: Duration, turn: Turn) -> Duration {
        let mut state = self.lock(now);
        let ahead = (turn.0 - state.position).max(0);
        state.has_waited |= ahead > 0;
        // Rounded up: once it is over, the turn has come.
        let rate = state.whole_rate();
        let nanos = (ahead + rate - 1) / rate;
        u64::try_from(nanos).map_or(MAX_TURN, Duration::from_nanos).min(MAX_TURN)
    }

    /// A reply has come, which `took` so long without the time for which it was held. Returns what
    /// a reply from there takes at least: that of late, `fastest`, or less.
    #[must_use]
    pub fn replied(
        &self,
        now: Duration,
        (expected, bytes): (usize, usize),
        took: Duration,
        fastest: Option<Duration>,
    ) -> Duration {
        let mut state = self.lock(now);
        state.refund((expected, bytes));
        state.bytes += bytes as f64 + OVERHEAD as f64;
        // The first reply from there has waited as those from elsewhere.
        let first = took.saturating_sub(state.excess).min(MAX_ROUND_TRIP);
        let fastest = fastest.unwrap_or(first).min(took);
        let excess = took - fastest;
        state.excess = (state.excess * 7 + excess) / 8;
        let transfer = (bytes as f64 / state.rate).min(MAX_TRANSFER);
        let is_late = excess > MAX_WAIT + Duration::from_secs_f64(transfer);
        state.adapt(now, (self.origin, is_late), excess);
        fastest
    }

    /// No reply has come in time from an origin that has answered before.
    pub fn missed(&self, now: Duration) {
        self.lock(now).adapt(now, (self.origin, true), MAX_STAY);
    }

    /// What has come says nothing about the link, or nothing will come: of the bytes that were
    /// expected, the others may be asked for.
    pub fn refund(&self, (expected, bytes): (usize, usize)) {
        self.state().refund((expected, bytes));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self, now: Duration) -> MutexGuard<'_, State> {
        let mut state = self.state();
        // Another thread may have read the clock later.
        let passed = state.after(now.saturating_sub(state.at));
        state.position += passed;
        state.at = state.at.max(now);
        state
    }
}

impl State {
    /// Whole bytes a second, of which every rate has some thousands.
    #[allow(clippy::cast_possible_truncation, reason = "no rate is that large")]
    fn whole_rate(&self) -> Position {
        self.rate as Position
    }

    /// What may be asked for in that time.
    fn after(&self, time: Duration) -> Position {
        self.whole_rate() * time.as_nanos() as Position
    }

    fn refund(&mut self, (expected, bytes): (usize, usize)) {
        self.position += (expected as Position - bytes as Position) * BYTE;
    }

    /// Counts the reply of an origin. Returns the share of origins whose latest one was late.
    fn vote(&mut self, now: Duration, origin: u64, is_late: bool) -> f64 {
        self.votes.retain(|vote| vote.origin != origin && now < vote.at + RECENT);
        if self.votes.len() >= MAX_VOTES {
            self.votes.pop_front();
        }
        self.votes.push_back(Vote { origin, at: now, is_late });
        let late = self.votes.iter().filter(|vote| vote.is_late).count();
        late as f64 / self.votes.len() as f64
    }

    /// Follows what comes, as BBR does (Cardwell and others, 2016), and how late, as LEDBAT does
    /// (RFC 6817).
    fn adapt(&mut self, now: Duration, (origin, is_late): (u64, bool), excess: Duration) {
        self.late += (self.vote(now, origin, is_late) - self.late) / 8.0;
        let passed = now.saturating_sub(self.since);
        if passed < self.stays {
            return;
        }
        self.stays = INTERVAL;
        let came = self.bytes / passed.as_secs_f64();
        // Of the link that they share, all replies wait for the queue: as long as those of some
        // origins come in time, others have slow links of their own.
        if self.late > 0.5 {
            let former = if self.known.is_finite() { self.known / 2.0 } else { 0.0 };
            self.known = former.max(came * SHARE);
            self.rate = self.known.clamp(self.rate / 4.0, self.rate).max(MIN_RATE);
            self.late = 0.25;
            // Until replies come to what is asked for at the new rate.
            self.stays += excess.min(MAX_STAY);
        } else if self.has_waited {
            let intervals = passed.as_secs_f64() / INTERVAL.as_secs_f64();
            let times = if self.rate < self.known { 2.0 } else { 1.05_f64.powf(intervals.min(10.0)) };
            // More than comes is tried with care.
            let max = if self.known.is_finite() { 1.25 * came.max(self.known / SHARE) } else { 2.0 * came };
            self.rate = (self.rate * times).min(max).max(self.rate);
        }
        (self.since, self.has_waited, self.bytes) = (now, false, 0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Polls the pace until a turn has come, each time as long after the last one.
    fn wait_in_steps(pace: &Pace, step: Duration) -> Duration {
        let _ = pace.turn(Duration::ZERO, 99_800);
        let turn = pace.turn(Duration::ZERO, 1);
        let mut now = Duration::ZERO;
        while !pace.wait(now, turn).is_zero() {
            now += step;
            assert!(now < Duration::from_secs(1), "the turn does not come");
        }
        now
    }

    #[test]
    fn no_time_is_lost_however_much_has_come_and_however_often_it_is_asked() {
        // 100 kB at a megabyte a second, of which BURST may be asked for at once.
        let expected = Duration::from_millis(100) - BURST;
        for bytes in [1 << 20, 1 << 40, 1 << 60] {
            for step in [Duration::from_nanos(100), Duration::from_millis(1)] {
                let pace = Pace::default();
                pace.refund((bytes, 0));
                let waited = wait_in_steps(&pace, step);
                assert!(waited >= expected && waited <= expected + step, "{bytes} {step:?}: {waited:?}");
            }
        }
    }

    #[test]
    fn a_turn_has_come_after_the_time_that_was_said() {
        for rate in [MIN_RATE, 12_345.678, FIRST_RATE, 3e9] {
            let pace = Pace::default();
            pace.state().rate = rate;
            for (round, expected) in [1, 1_000, 1 << 30, 7].into_iter().enumerate() {
                let now = pace.state().at + Duration::from_nanos(round as u64 * 3);
                let turn = pace.turn(now, expected);
                let at = now + pace.wait(now, turn);
                assert!(pace.wait(at, turn).is_zero(), "{rate} {expected}");
            }
        }
    }
}
