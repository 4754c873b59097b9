//! What a sink has, and what waits for it: as a source keeps it of each.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use tearless::hub::Pattern;

use super::IDLE;
use super::large::LargeState;
use crate::message::{AskRound, Description, Interest};
use crate::status::SinkState;

/// What a sink did not use of its rate for so long is sent at once.
const BURST: Duration = Duration::from_millis(100);
/// Replies that a sink does not say to have received are kept up to this number.
const MAX_IN_FLIGHT: usize = 64;

/// What a sink knows of a channel.
#[derive(Clone, Copy, Default)]
pub(super) struct Known {
    pub(super) is_described: bool,
    pub(super) revision: u64,
    pub(super) publication: u64,
    pub(super) is_removed: bool,
}

impl Known {
    pub(super) fn and(self, other: Known) -> Known {
        Known {
            is_described: self.is_described || other.is_described,
            revision: self.revision.max(other.revision),
            publication: self.publication.max(other.publication),
            is_removed: self.is_removed || other.is_removed,
        }
    }
}

/// What a sink gets of a channel.
#[derive(Default)]
pub(super) struct Delivery {
    is_queued: bool,
    /// What was sent, received or not.
    pub(super) sent: Known,
    /// What is known to have been received.
    received: Known,
}

/// A request that waits for its reply.
pub(super) struct Held<A> {
    pub(super) id: u64,
    pub(super) answer: A,
    pub(super) since: Duration,
    pub(super) until: Duration,
    pub(super) max_bytes: usize,
}

/// A round that was sent.
struct InFlight {
    sequence: u64,
    had: Vec<(u32, Known)>,
}

/// What the source knows of a sink.
pub(super) struct Progress<A> {
    pub(super) interest: Vec<Interest>,
    /// The same, of namespaces and channels.
    patterns: Vec<(Pattern, Pattern)>,
    /// So long are all of them, and at least 1.
    pub(super) pattern_bytes: usize,
    /// The first request that it still waits for.
    pub(super) first: u64,
    pub(super) asked_at: Duration,
    /// The highest number of its requests.
    last_id: u64,
    /// When its last part was listed, or when it began; and the number of the part.
    pub(super) listed_at: (Duration, u64),
    pub(super) listing: u64,
    /// The channels from this key on are still to be looked at, whether it wants them.
    pub(super) lists_from: Option<u32>,
    /// So many of the queue's first channels are not listed yet.
    pub(super) unlisted: usize,
    /// The channels that it wants.
    pub(super) channels: HashMap<u32, Delivery>,
    queue: VecDeque<u32>,
    /// By the numbers of the requests.
    in_flight: BTreeMap<u64, InFlight>,
    pub(super) held: VecDeque<Held<A>>,
    /// The large state of which it asks for pieces.
    pub(super) large: Option<LargeState>,
    /// The request for which a large state is being read, and the bytes that it may have.
    pub(super) reading: Option<(u64, u64)>,
    /// Before this, no other large state is read for it.
    pub(super) reads_at: Duration,
    /// Before this, nothing is sent: what was sent uses up the rate.
    pub(super) sends_at: Duration,
    /// Whether requests are held for that reason.
    pub(super) is_limited: bool,
    pub(super) report: SinkState,
}

impl<A> Progress<A> {
    /// A sink that has nothing yet.
    pub(super) fn new(now: Duration, host: &str, ask: &AskRound, listing: u64) -> Progress<A> {
        Progress {
            interest: ask.interest.clone(),
            patterns: ask.interest.iter().map(Interest::patterns).collect(),
            pattern_bytes: 1 + ask
                .interest
                .iter()
                .map(|it| it.namespace.len() + it.channel.len())
                .sum::<usize>(),
            first: 0,
            asked_at: now,
            last_id: 0,
            listed_at: (now, 0),
            listing,
            lists_from: Some(0),
            unlisted: 0,
            channels: HashMap::new(),
            queue: VecDeque::new(),
            in_flight: BTreeMap::new(),
            held: VecDeque::new(),
            large: None,
            reading: None,
            reads_at: Duration::ZERO,
            sends_at: Duration::ZERO,
            is_limited: false,
            report: SinkState { host: host.into(), ..SinkState::default() },
        }
    }

    /// Whether nothing tells that the sink is still there.
    pub(super) fn is_idle(&self, now: Duration) -> bool {
        self.held.is_empty() && self.reading.is_none() && now.saturating_sub(self.asked_at) >= IDLE
    }

    /// Bytes of the large state that is kept for it, or will be.
    pub(super) fn large_len(&self) -> u64 {
        self.reading.map_or_else(|| self.large.as_ref().map_or(0, LargeState::len), |(_, len)| len)
    }

    /// What was done.
    pub(super) fn report(&self) -> SinkState {
        SinkState { waiting: self.queue.len() as u64, ..self.report.clone() }
    }

    fn wants(&self, description: &Description) -> bool {
        let is_of = |(namespace, channel): &(Pattern, Pattern)| {
            namespace.matches(&description.namespace) && channel.matches(&description.channel)
        };
        self.patterns.iter().any(is_of)
    }

    pub(super) fn add(&mut self, key: u32, description: &Description) {
        if self.wants(description) {
            self.channels.insert(key, Delivery::default());
            self.enqueue(key);
        }
    }

    pub(super) fn enqueue(&mut self, key: u32) {
        if let Some(delivery) = self.channels.get_mut(&key).filter(|delivery| !delivery.is_queued) {
            delivery.is_queued = true;
            self.queue.push_back(key);
        }
    }

    /// Takes note of what the sink has received. Returns the removed channels of which it knows.
    pub(super) fn receive(&mut self, rounds: &[u64]) -> Vec<u32> {
        let mut removed = Vec::new();
        // By sequence: a request that came twice, and was forgotten in between, has two replies.
        let has_come = |(id, round): (&u64, &InFlight)| rounds.contains(&round.sequence).then_some(*id);
        let received: Vec<u64> = self.in_flight.iter().filter_map(has_come).collect();
        let received = received.iter().filter_map(|id| self.in_flight.remove(id));
        for (key, known) in received.flat_map(|round| round.had) {
            let Some(delivery) = self.channels.get_mut(&key) else { continue };
            delivery.received = delivery.received.and(known);
            if delivery.received.is_removed {
                self.channels.remove(&key);
                removed.push(key);
            }
        }
        removed
    }

    /// What these rounds had is sent again, before all else.
    fn resend(&mut self, rounds: impl IntoIterator<Item = InFlight>) {
        for (key, _) in rounds.into_iter().flat_map(|round| round.had) {
            let Some(delivery) = self.channels.get_mut(&key) else { continue };
            delivery.sent = delivery.received;
            if !delivery.is_queued {
                delivery.is_queued = true;
                self.queue.push_front(key);
            }
        }
        self.unlisted = self.queue.len();
    }

    pub(super) fn take_next(&mut self) -> Option<u32> {
        let key = self.queue.pop_front()?;
        self.unlisted = self.unlisted.saturating_sub(1);
        if let Some(delivery) = self.channels.get_mut(&key) {
            delivery.is_queued = false;
        }
        Some(key)
    }

    /// What was taken from the queue does not fit into this round.
    pub(super) fn put_back(&mut self, key: u32) {
        if let Some(delivery) = self.channels.get_mut(&key) {
            delivery.is_queued = true;
            self.queue.push_front(key);
            self.unlisted += 1;
        }
    }

    /// From now on, channels are new: those before belong to the listing.
    pub(super) fn list(&mut self) {
        self.unlisted = self.queue.len();
    }

    /// Whether the rounds have all channels of the listing, with the one that is made.
    pub(super) fn has_told_all(&self) -> bool {
        self.lists_from.is_none() && self.unlisted == 0
    }

    /// Takes a request, to hold it until there is something to reply.
    pub(super) fn ask(&mut self, now: Duration, id: u64, ask: &AskRound, max_bytes: usize, answer: A) {
        self.asked_at = now;
        if ask.first > self.first {
            self.first = ask.first;
            // A reply to these would not be taken.
            self.held.retain(|held| held.id >= ask.first);
            let waited_for = self.in_flight.split_off(&ask.first);
            let lost = std::mem::replace(&mut self.in_flight, waited_for);
            if !lost.is_empty() {
                self.resend(lost.into_values());
            }
        }
        let is_held = |held: &Held<A>| held.id == id;
        // The carrier may bring a request twice, or late: one that was answered is not answered
        // again.
        if id >= self.first && (id > self.last_id || self.held.iter().any(is_held)) {
            self.last_id = self.last_id.max(id);
            self.held.retain(|held| !is_held(held));
            let until = now + Duration::from_millis(ask.hold_ms.min(10_000).into());
            self.held.push_back(Held { id, answer, since: now, until, max_bytes });
        }
    }

    /// The round that replies to the request `id` is sent.
    pub(super) fn send(&mut self, id: u64, sequence: u64, had: Vec<(u32, Known)>) {
        self.in_flight.insert(id, InFlight { sequence, had });
        if self.in_flight.len() > MAX_IN_FLIGHT {
            let oldest = self.in_flight.pop_first();
            self.resend(oldest.map(|(_, round)| round));
        }
        self.report.rounds += 1;
    }

    /// So many bytes are sent.
    pub(super) fn pay(&mut self, now: Duration, bytes: usize, rate: Option<u64>) {
        self.report.bytes += bytes as u64;
        if let Some(rate) = rate {
            let cost = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
            self.sends_at = self.sends_at.max(now.saturating_sub(BURST)) + cost;
        }
    }
}
