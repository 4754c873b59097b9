//! The origin's half: replies to each sink with what has changed since its last round.
//!
//! A pure state machine: it has no clock, no thread and no socket. For each sink it keeps a queue
//! of the channels that have changed, each of them once, the one that waits longest first. A reply
//! takes from its front, and reads the states at that moment: what was overwritten until then is
//! never sent. What a sink has not received goes back to the front. Large states are read by the
//! caller, which does not need the source for that: [`Reading`].

mod channel;
mod large;
mod limits;
mod listings;
mod progress;
mod round;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

pub use channel::{Channel, Latest, Read};
pub use large::Reading;
pub use limits::Limits;

use crate::message::{Ask, AskPiece, AskRound, Description, Reply, Request, Round, Status, micros};
use crate::status::SinkState;
use listings::Listings;
use progress::Progress;
use round::compose;

/// After this long without a request, a sink and its large state make room for those of others.
const IDLE: Duration = Duration::from_secs(5);
/// Bytes a nanosecond that a sink may have read for it: no sink keeps the source busy.
const READ_RATE: u64 = 2;

/// A channel, until all sinks know that it was removed.
struct Entry<C> {
    description: Description,
    status: Status,
    /// When it was read.
    status_at: Duration,
    /// Counts the statuses of the channel, from 1.
    revision: u64,
    /// `None` once it is removed.
    channel: Option<C>,
}

/// The origin's half of a mirror. `A` is the means to answer a request.
pub struct Source<C, A> {
    session: u64,
    limits: Limits,
    entries: BTreeMap<u32, Entry<C>>,
    next_key: u32,
    sequence: u64,
    sinks: BTreeMap<u64, Progress<A>>,
    readings: VecDeque<Reading<C, A>>,
    /// Requests for pieces that wait because of the rate, and since when.
    pieces: VecDeque<(Duration, A, Request)>,
    listings: Listings,
    /// The state that is being sent.
    payload: Vec<u8>,
    /// The time of day when `now` was zero.
    epoch: Duration,
}

impl<C: Channel, A> Source<C, A> {
    /// A source without channels. `session` is random, and not 0.
    #[must_use]
    pub fn new(session: u64, limits: Limits) -> Source<C, A> {
        Source {
            session,
            limits,
            entries: BTreeMap::new(),
            next_key: 0,
            sequence: 0,
            sinks: BTreeMap::new(),
            readings: VecDeque::new(),
            pieces: VecDeque::new(),
            listings: Listings::default(),
            payload: Vec::new(),
            epoch: Duration::ZERO,
        }
    }

    /// Sets the limit of what is sent to each sink, in bytes a second.
    pub fn set_rate(&mut self, rate: Option<u64>) {
        self.limits.rate = rate;
        self.sinks.values_mut().for_each(|sink| sink.sends_at = Duration::ZERO);
    }

    /// Sets this host's clock: the time of day, since 1970, when `now` was zero.
    pub fn set_epoch(&mut self, epoch: Duration) {
        self.epoch = epoch;
    }

    /// Adds a channel, whose status was read now, and returns its key.
    pub fn add(&mut self, now: Duration, description: Description, status: Status, channel: C) -> u32 {
        let key = self.next_key;
        self.next_key += 1;
        for sink in self.sinks.values_mut().filter(|sink| sink.lists_from.is_none()) {
            sink.add(key, &description);
        }
        let entry = Entry { description, status, status_at: now, revision: 1, channel: Some(channel) };
        self.entries.insert(key, entry);
        key
    }

    /// The channel is gone: the sinks get to know it.
    pub fn remove(&mut self, key: u32) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.channel = None;
            self.changed(key);
            self.forget(key);
        }
    }

    /// The channel has a later state.
    pub fn changed(&mut self, key: u32) {
        self.sinks.values_mut().for_each(|sink| sink.enqueue(key));
    }

    /// How the channel's writer is now, if that is news.
    pub fn set_status(&mut self, now: Duration, key: u32, status: Status) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        (entry.status, entry.status_at) = (status, now);
        entry.revision += 1;
        self.changed(key);
    }

    /// The channel with this key.
    pub fn channel(&mut self, key: u32) -> Option<&mut C> {
        self.entries.get_mut(&key)?.channel.as_mut()
    }

    /// Number of channels.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.entries.values().filter(|entry| entry.channel.is_some()).count()
    }

    /// What was done for each sink.
    pub fn reports(&self) -> impl Iterator<Item = SinkState> + '_ {
        self.sinks.values().map(Progress::report)
    }

    /// Takes a request. Returns the reply if there is one at once; that to a round, and with a rate
    /// that to any request, comes from [`Source::replies`], the first piece of a large state by way
    /// of [`Source::reading`].
    pub fn ask(&mut self, now: Duration, request: &Request, answer: A) -> Option<(A, Vec<u8>)> {
        match &request.ask {
            Ask::Piece(_) if self.limits.rate.is_some() => {
                let is_of_sink = |(_, _, waiting): &&(Duration, A, Request)| waiting.sink == request.sink;
                if self.pieces.iter().filter(is_of_sink).count() >= self.limits.held {
                    return Some((answer, Reply::refused("too many pieces are asked for at once")));
                }
                self.pieces.push_back((now, answer, request.clone()));
                None
            }
            Ask::Piece(ask) => self.piece(now, request, *ask, answer),
            Ask::Round(ask) => {
                // A known sink may not know this session yet: then its first reply is under way.
                let known = self.sinks.get(&request.sink);
                if known.is_none_or(|sink| sink.interest != ask.interest) && !self.begin(now, request, ask) {
                    return Some((
                        answer,
                        Reply::refused("this host has too many mirrors already, or too many with that name"),
                    ));
                }
                if let Some(sink) = self.sinks.get_mut(&request.sink) {
                    let is_ours = request.session == self.session;
                    let removed = if is_ours { sink.receive(&ask.received) } else { Vec::new() };
                    let max_bytes = self.limits.max_bytes(ask.max_bytes);
                    sink.ask(now, request.id, ask, max_bytes, answer);
                    removed.into_iter().for_each(|key| self.forget(key));
                }
                None
            }
        }
    }

    /// Begins with a sink that is new, or wants other channels. Returns whether there is room.
    fn begin(&mut self, now: Duration, request: &Request, ask: &AskRound) -> bool {
        let former = self.sinks.get(&request.sink).map(|sink| (sink.sends_at, sink.reads_at));
        self.drop_sink(request.sink);
        // Anyone can give any name: none takes the place of a sink that asks.
        let of_host = |sink: &Progress<A>| sink.report.host == request.host;
        let count = self.sinks.values().filter(|sink| of_host(sink)).count();
        if count >= self.limits.sinks_of_host && !self.drop_idle(now, of_host) {
            return false;
        }
        if self.sinks.len() >= self.limits.sinks && !self.drop_idle(now, |_| true) {
            return false;
        }
        self.sequence += 1;
        let mut sink = Progress::new(now, &request.host, ask, self.sequence);
        (sink.sends_at, sink.reads_at) = former.unwrap_or_default();
        self.sinks.insert(request.sink, sink);
        true
    }

    /// Forgets sinks that do not ask any more, and large states that they do not ask for.
    fn forget_idle(&mut self, now: Duration) {
        let is_gone = |sink: &Progress<A>| now.saturating_sub(sink.asked_at) > self.limits.forget_after;
        let gone: Vec<u64> = self.sinks.iter().filter(|(_, sink)| is_gone(sink)).map(|(id, _)| *id).collect();
        gone.into_iter().for_each(|id| self.drop_sink(id));
        for sink in self.sinks.values_mut() {
            sink.large.take_if(|state| state.is_over(now));
        }
    }

    /// Makes room for a sink in place of the one of these that has been idle for longest, if there
    /// is one.
    fn drop_idle(&mut self, now: Duration, of: impl Fn(&Progress<A>) -> bool) -> bool {
        let idle = self.sinks.iter().filter(|(_, sink)| of(sink) && sink.is_idle(now));
        let oldest = idle.min_by_key(|(_, sink)| sink.asked_at).map(|(id, _)| *id);
        oldest.map(|id| self.drop_sink(id)).is_some()
    }

    /// Makes room for a large state of a sink in place of those that have been idle for longest, if
    /// there are enough.
    fn drop_idle_states(&mut self, now: Duration, sink: u64, len: u64) -> bool {
        loop {
            let others = self.sinks.iter().filter(|(id, _)| **id != sink);
            let kept = others.fold(0_u64, |sum, (_, other)| sum.saturating_add(other.large_len()));
            if kept == 0 || kept.saturating_add(len) <= self.limits.large {
                return true;
            }
            let idle = self.sinks.iter_mut().filter(|(id, _)| **id != sink).filter_map(|(_, other)| {
                let asked_at = other.large.as_ref()?.asked_at;
                (now.saturating_sub(asked_at) >= IDLE).then_some((asked_at, &mut other.large))
            });
            match idle.min_by_key(|(asked_at, _)| *asked_at) {
                Some((_, oldest)) => *oldest = None,
                None => return false,
            }
        }
    }

    fn drop_sink(&mut self, id: u64) {
        self.readings.retain(|reading| reading.sink != id);
        if let Some(sink) = self.sinks.remove(&id) {
            sink.channels.keys().for_each(|key| self.forget(*key));
        }
    }

    /// The replies that are due: to be asked for after every other call, and at
    /// [`Source::next_reply`].
    pub fn replies(&mut self, now: Duration) -> Vec<(A, Vec<u8>)> {
        self.forget_idle(now);
        self.listings.go_on(now, &mut self.sinks, &self.entries);
        // What has waited longer comes first, a piece or a round: neither keeps the other waiting.
        let mut replies = self.pieces(now, |sink, since| sink.held.front().is_none_or(|it| since < it.since));
        for sink in self.sinks.values_mut() {
            while let Some(held) = sink.held.pop_front() {
                sink.is_limited = now < sink.sends_at;
                if sink.is_limited {
                    sink.held.push_front(held);
                    let extra = sink.held.len().saturating_sub(self.limits.held);
                    sink.held.drain(..extra);
                    break;
                }
                let must = now >= held.until || sink.held.len() >= self.limits.held;
                let inline = held.max_bytes.min(self.limits.inline as usize);
                let (items, sent) =
                    compose(&mut self.entries, sink, now, (held.max_bytes, inline), &mut self.payload);
                if items.is_empty() && !must {
                    sink.held.push_front(held);
                    break;
                }
                self.sequence += 1;
                let round = Round {
                    session: self.session,
                    sequence: self.sequence,
                    listing: sink.listing,
                    is_listed: sink.has_told_all(),
                    first: sink.first,
                    held_us: micros(now.saturating_sub(held.since)),
                    clock_us: micros(self.epoch + now),
                };
                let reply = Reply::round(round, items);
                sink.send(held.id, self.sequence, sent);
                sink.pay(now, reply.len(), self.limits.rate);
                replies.push((held.answer, reply));
            }
        }
        replies.extend(self.pieces(now, |_, _| true));
        replies
    }

    /// Replies to the requests for pieces that are due, if it is their `turn`.
    fn pieces(&mut self, now: Duration, turn: fn(&Progress<A>, Duration) -> bool) -> Vec<(A, Vec<u8>)> {
        let mut replies = Vec::new();
        for (since, answer, request) in std::mem::take(&mut self.pieces) {
            let waits = |sink: &Progress<A>| now < sink.sends_at || !turn(sink, since);
            match &request.ask {
                Ask::Piece(ask) if !self.sinks.get(&request.sink).is_some_and(waits) => {
                    replies.extend(self.piece(now, &request, *ask, answer));
                }
                _ => self.pieces.push_back((since, answer, request)),
            }
        }
        replies
    }

    /// When a reply becomes due if nothing changes until then.
    #[must_use]
    pub fn next_reply(&self) -> Option<Duration> {
        let due = |sink: &Progress<A>| {
            let held = sink.held.front()?;
            Some(if sink.is_limited { sink.sends_at } else { held.until })
        };
        let pieces = self.pieces.iter().filter_map(|(_, _, request)| self.sinks.get(&request.sink));
        self.sinks
            .values()
            .filter_map(due)
            .chain(pieces.map(|sink| sink.sends_at))
            .chain(self.listings.next(&self.sinks))
            .min()
    }

    /// Forgets a removed channel of which all sinks know that it was.
    fn forget(&mut self, key: u32) {
        let is_removed = self.entries.get(&key).is_some_and(|entry| entry.channel.is_none());
        if is_removed && self.sinks.values().all(|sink| !sink.channels.contains_key(&key)) {
            self.entries.remove(&key);
        }
    }

    /// Whether a large state is to be read.
    #[must_use]
    pub fn has_reading(&self) -> bool {
        !self.readings.is_empty()
    }

    /// The next large state to be read, for [`Source::finish`].
    pub fn reading(&mut self) -> Option<Reading<C, A>> {
        self.readings.pop_front()
    }

    /// Takes a large state that was read. Returns the reply, which has its first piece.
    pub fn finish(&mut self, now: Duration, reading: Reading<C, A>) -> (A, Vec<u8>) {
        let sink = self.sinks.get_mut(&reading.sink);
        let Some(sink) = sink.filter(|sink| sink.reading.is_some_and(|(id, _)| id == reading.id)) else {
            return (reading.answer, Reply::refused("the sink has to begin with a round"));
        };
        sink.reading = None;
        let (ask, answer, state) = reading.into_large();
        let Some(state) = state else {
            return (answer, Reply::refused("the channel has no state that can be read"));
        };
        sink.reads_at = now + Duration::from_nanos(state.len() / READ_RATE);
        let max_bytes = self.limits.max_bytes(ask.max_bytes);
        let reply = sink.large.insert(state).piece(now, self.session, &ask, max_bytes);
        sink.report.pieces += 1;
        sink.pay(now, reply.len(), self.limits.rate);
        (answer, reply)
    }

    fn piece(&mut self, now: Duration, request: &Request, ask: AskPiece, answer: A) -> Option<(A, Vec<u8>)> {
        let refused = |answer, why| Some((answer, Reply::refused(why)));
        let known = self.sinks.get_mut(&request.sink).filter(|_| request.session == self.session);
        let Some(sink) = known else { return refused(answer, "the sink has to begin with a round") };
        sink.asked_at = now;
        let entry = self.entries.get(&ask.key);
        let channel =
            entry.and_then(|entry| Some((entry.channel.clone()?, entry.description.format.max_state_len)));
        let Some((mut channel, max_len)) = channel.filter(|_| sink.channels.contains_key(&ask.key)) else {
            return refused(answer, "there is no such channel any more");
        };
        if let Some(state) = sink.large.as_mut().filter(|it| it.is_of(&ask)) {
            let reply = state.piece(now, self.session, &ask, self.limits.max_bytes(ask.max_bytes));
            sink.report.pieces += 1;
            sink.pay(now, reply.len(), self.limits.rate);
            return Some((answer, reply));
        }
        if let Some((id, _)) = sink.reading {
            // The carrier may bring a request twice.
            let is_other = id != request.id;
            return is_other.then(|| (answer, Reply::refused("another large state is read for this sink")));
        }
        if now < sink.reads_at {
            return refused(answer, "large states are asked for too fast");
        }
        let len = channel.latest().map_or(0, |latest| latest.len.min(max_len)).max(sink.large_len());
        if !self.drop_idle_states(now, request.sink, len) {
            return refused(answer, "too many large states are sent at this moment");
        }
        let sink = self.sinks.get_mut(&request.sink)?;
        sink.reading = Some((request.id, len));
        let former = sink.large.take();
        self.readings.push_back(Reading::new(request, ask, channel, former, answer));
        None
    }
}

#[cfg(test)]
mod tests;
