//! The origin's half: replies to each sink with what has changed since its last round.
//!
//! A pure state machine: it has no clock, no thread and no socket. For each sink it keeps a queue
//! of the channels that have changed, each of them once, the one that waits longest first. A reply
//! takes from its front, and reads the states at that moment: what was overwritten until then is
//! never sent. What a sink has not received goes back to the front.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use tearless::hub::Pattern;

use crate::message::{
    Ask, AskPiece, AskRound, Content, Description, Interest, Item, ItemEncoder, MAX_REPLY_BYTES, Piece,
    Reply, Request, Round, State, Status, nanos,
};

/// A channel of this host, as the source reads it.
pub trait Channel {
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

/// What a channel is, as [`Description`], owned.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "those of `Description`")]
pub struct Described {
    pub namespace: String,
    pub channel: String,
    pub instance: u64,
    pub codec: String,
    pub type_name: String,
    pub fingerprint: u64,
    pub schema: Option<Vec<u8>>,
    pub max_state_len: u64,
    pub capacity: u64,
}

impl Described {
    /// As a message has it.
    #[must_use]
    pub fn as_message(&self) -> Description<'_> {
        Description {
            namespace: &self.namespace,
            channel: &self.channel,
            instance: self.instance,
            codec: &self.codec,
            type_name: &self.type_name,
            fingerprint: self.fingerprint,
            schema: self.schema.as_deref(),
            max_state_len: self.max_state_len,
            capacity: self.capacity,
        }
    }
}

/// What a source allows.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum number of sinks.
    pub sinks: usize,
    /// Maximum number of requests of one sink that are held.
    pub held: usize,
    /// A sink that has not asked for this long is forgotten.
    pub forget_after: Duration,
    /// Larger states are asked for in pieces.
    pub inline: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { sinks: 1024, held: 8, forget_after: Duration::from_secs(30), inline: 64 << 10 }
    }
}

/// What a source has done for a sink, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkReport {
    /// The sink's host, as it says.
    pub host: String,
    /// Rounds that were sent.
    pub rounds: u64,
    /// Bytes that were sent.
    pub bytes: u64,
    /// States that were sent whole.
    pub states: u64,
    /// Pieces of large states that were sent.
    pub pieces: u64,
    /// Publications that were overwritten before they were sent.
    pub conflated: u64,
    /// Channels that wait to be sent.
    pub waiting: u64,
}

/// A channel, until all sinks know that it was removed.
struct Entry<C> {
    described: Described,
    status: Status,
    /// When it was read.
    status_at: Duration,
    /// Counts the statuses of the channel, from 1.
    revision: u64,
    /// `None` once it is removed.
    channel: Option<C>,
}

/// What a sink knows of a channel.
#[derive(Clone, Copy, Default)]
struct Known {
    is_described: bool,
    revision: u64,
    publication: u64,
    is_removed: bool,
}

impl Known {
    fn and(self, other: Known) -> Known {
        Known {
            is_described: self.is_described || other.is_described,
            revision: self.revision.max(other.revision),
            publication: self.publication.max(other.publication),
            is_removed: self.is_removed || other.is_removed,
        }
    }
}

#[derive(Default)]
struct Progress {
    is_queued: bool,
    /// What was sent, received or not.
    sent: Known,
    /// What is known to have been received.
    received: Known,
}

struct Held<A> {
    id: u64,
    answer: A,
    since: Duration,
    until: Duration,
    max_bytes: usize,
}

/// A large state that a sink asks for in pieces.
struct Large {
    key: u32,
    read: Read,
    read_at: Duration,
    asked_at: Duration,
    checksum: u32,
    payload: Vec<u8>,
}

/// A round that was sent.
struct InFlight {
    sequence: u64,
    had: Vec<(u32, Known)>,
}

/// What the source knows of a sink.
struct Sink<A> {
    interest: Vec<Interest>,
    /// The same, of namespaces and channels.
    patterns: Vec<(Pattern, Pattern)>,
    /// The first request that it still waits for.
    first: u64,
    asked_at: Duration,
    /// The highest number of its requests.
    last_id: u64,
    listing: u64,
    /// So many of the queue's first channels are not listed yet.
    unlisted: usize,
    /// The channels that it wants.
    channels: HashMap<u32, Progress>,
    queue: VecDeque<u32>,
    /// By the numbers of the requests.
    in_flight: BTreeMap<u64, InFlight>,
    held: VecDeque<Held<A>>,
    large: Option<Large>,
    /// Before this, no other large state is read for it.
    reads_at: Duration,
    report: SinkReport,
}

/// How long a large state is kept for the next piece.
const KEPT: Duration = Duration::from_secs(15);
/// Bytes a nanosecond that a sink may have read for it: no sink keeps the source busy.
const READ_RATE: u64 = 2;
/// Replies that a sink does not say to have received are kept up to this number.
const MAX_IN_FLIGHT: usize = 64;

impl<A> Sink<A> {
    fn wants(&self, described: &Described) -> bool {
        let is_of = |(namespace, channel): &(Pattern, Pattern)| {
            namespace.matches(&described.namespace) && channel.matches(&described.channel)
        };
        self.patterns.iter().any(is_of)
    }

    fn add(&mut self, key: u32, described: &Described) {
        if self.wants(described) {
            self.channels.insert(key, Progress::default());
            self.enqueue(key);
        }
    }

    fn enqueue(&mut self, key: u32) {
        if let Some(progress) = self.channels.get_mut(&key).filter(|progress| !progress.is_queued) {
            progress.is_queued = true;
            self.queue.push_back(key);
        }
    }

    /// Takes note of what the sink has received. Returns the removed channels of which it knows.
    fn receive(&mut self, rounds: &[u64]) -> Vec<u32> {
        let mut removed = Vec::new();
        // By sequence: a request that came twice, and was forgotten in between, has two replies.
        let has_come = |(id, round): (&u64, &InFlight)| rounds.contains(&round.sequence).then_some(*id);
        let received: Vec<u64> = self.in_flight.iter().filter_map(has_come).collect();
        let received = received.iter().filter_map(|id| self.in_flight.remove(id));
        for (key, known) in received.flat_map(|round| round.had) {
            let Some(progress) = self.channels.get_mut(&key) else { continue };
            progress.received = progress.received.and(known);
            if progress.received.is_removed {
                self.channels.remove(&key);
                removed.push(key);
            }
        }
        removed
    }

    /// What these rounds had is sent again, before all else.
    fn resend(&mut self, rounds: impl IntoIterator<Item = InFlight>) {
        for (key, _) in rounds.into_iter().flat_map(|round| round.had) {
            let Some(progress) = self.channels.get_mut(&key) else { continue };
            progress.sent = progress.received;
            if !progress.is_queued {
                progress.is_queued = true;
                self.queue.push_front(key);
            }
        }
        self.unlisted = self.queue.len();
    }

    fn take_next(&mut self) -> Option<u32> {
        let key = self.queue.pop_front()?;
        self.unlisted = self.unlisted.saturating_sub(1);
        if let Some(progress) = self.channels.get_mut(&key) {
            progress.is_queued = false;
        }
        Some(key)
    }
}

/// The origin's half of a mirror. `A` is the means to answer a request.
pub struct Source<C, A> {
    session: u64,
    limits: Limits,
    entries: BTreeMap<u32, Entry<C>>,
    next_key: u32,
    sequence: u64,
    sinks: BTreeMap<u64, Sink<A>>,
    /// The state that is being sent.
    payload: Vec<u8>,
}

impl<C: Channel, A> Source<C, A> {
    /// A source without channels. `session` is random, and not 0.
    #[must_use]
    pub fn new(session: u64, limits: Limits) -> Source<C, A> {
        let (entries, sinks) = (BTreeMap::new(), BTreeMap::new());
        Source { session, limits, entries, next_key: 0, sequence: 0, sinks, payload: Vec::new() }
    }

    /// Adds a channel, whose status was read now, and returns its key.
    pub fn add(&mut self, now: Duration, described: Described, status: Status, channel: C) -> u32 {
        let key = self.next_key;
        self.next_key += 1;
        for sink in self.sinks.values_mut() {
            sink.add(key, &described);
        }
        let entry = Entry { described, status, status_at: now, revision: 1, channel: Some(channel) };
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
    pub fn reports(&self) -> impl Iterator<Item = SinkReport> + '_ {
        self.sinks.values().map(|sink| SinkReport { waiting: sink.queue.len() as u64, ..sink.report.clone() })
    }

    /// Takes a request. Returns the reply if there is one at once; that to a round comes from
    /// [`Source::replies`].
    pub fn ask(&mut self, now: Duration, request: &Request, answer: A) -> Option<(A, Vec<u8>)> {
        match &request.ask {
            Ask::Piece(ask) => Some((answer, self.piece(now, request, *ask))),
            Ask::Round(ask) => {
                // A known sink may not know this session yet: then its first reply is under way.
                if self.sinks.get(&request.sink).is_none_or(|sink| sink.interest != ask.interest) {
                    self.drop_sink(request.sink);
                    if self.sinks.len() >= self.limits.sinks {
                        return Some((answer, Reply::refused("this host has too many mirrors already")));
                    }
                    self.begin(now, request, ask);
                }
                self.round(now, request, ask, answer);
                None
            }
        }
    }

    /// Forgets sinks that do not ask any more, and large states that they do not ask for.
    fn forget_idle(&mut self, now: Duration) {
        let is_gone = |sink: &Sink<A>| now.saturating_sub(sink.asked_at) > self.limits.forget_after;
        let gone: Vec<u64> = self.sinks.iter().filter(|(_, sink)| is_gone(sink)).map(|(id, _)| *id).collect();
        gone.into_iter().for_each(|id| self.drop_sink(id));
        for sink in self.sinks.values_mut() {
            sink.large = sink.large.take().filter(|large| now.saturating_sub(large.asked_at) < KEPT);
        }
    }

    fn drop_sink(&mut self, id: u64) {
        if let Some(sink) = self.sinks.remove(&id) {
            sink.channels.keys().for_each(|key| self.forget(*key));
        }
    }

    /// A sink that is new, or wants other channels: it gets all of them.
    fn begin(&mut self, now: Duration, request: &Request, ask: &AskRound) {
        self.sequence += 1;
        let mut sink = Sink {
            interest: ask.interest.clone(),
            patterns: ask.interest.iter().map(Interest::patterns).collect(),
            first: 0,
            asked_at: now,
            last_id: 0,
            listing: self.sequence,
            unlisted: 0,
            channels: HashMap::new(),
            queue: VecDeque::new(),
            in_flight: BTreeMap::new(),
            held: VecDeque::new(),
            large: None,
            reads_at: Duration::ZERO,
            report: SinkReport { host: request.host.clone(), ..SinkReport::default() },
        };
        for (key, entry) in self.entries.iter().filter(|(_, entry)| entry.channel.is_some()) {
            sink.add(*key, &entry.described);
        }
        sink.unlisted = sink.queue.len();
        self.sinks.insert(request.sink, sink);
    }

    fn round(&mut self, now: Duration, request: &Request, ask: &AskRound, answer: A) {
        let Some(sink) = self.sinks.get_mut(&request.sink) else { return };
        sink.asked_at = now;
        let is_ours = request.session == self.session;
        let removed = if is_ours { sink.receive(&ask.received) } else { Vec::new() };
        if ask.first > sink.first {
            sink.first = ask.first;
            // A reply to these would not be taken.
            sink.held.retain(|held| held.id >= ask.first);
            let waited_for = sink.in_flight.split_off(&ask.first);
            let lost = std::mem::replace(&mut sink.in_flight, waited_for);
            if !lost.is_empty() {
                sink.resend(lost.into_values());
            }
        }
        let is_held = |held: &Held<A>| held.id == request.id;
        // The carrier may bring a request twice, or late: one that was answered is not answered
        // again.
        if request.id >= sink.first && (request.id > sink.last_id || sink.held.iter().any(is_held)) {
            sink.last_id = sink.last_id.max(request.id);
            sink.held.retain(|held| !is_held(held));
            let until = now + Duration::from_millis(ask.hold_ms.min(10_000).into());
            let max_bytes = (ask.max_bytes as usize).clamp(1 << 10, MAX_REPLY_BYTES / 4);
            sink.held.push_back(Held { id: request.id, answer, since: now, until, max_bytes });
        }
        removed.into_iter().for_each(|key| self.forget(key));
    }

    /// The replies that are due: to be asked for after every other call, and at
    /// [`Source::next_reply`].
    pub fn replies(&mut self, now: Duration) -> Vec<(A, Vec<u8>)> {
        self.forget_idle(now);
        let mut replies = Vec::new();
        for sink in self.sinks.values_mut() {
            while let Some(held) = sink.held.pop_front() {
                let must = now >= held.until || sink.held.len() >= self.limits.held;
                let inline = held.max_bytes.min(self.limits.inline as usize);
                let (items, sent) =
                    compose(&mut self.entries, sink, now, (held.max_bytes, inline), &mut self.payload);
                if items.is_empty() && !must {
                    sink.held.push_front(held);
                    break;
                }
                self.sequence += 1;
                let reply = items.finish(Round {
                    session: self.session,
                    sequence: self.sequence,
                    listing: sink.listing,
                    is_listed: sink.unlisted == 0,
                    first: sink.first,
                    held_us: u64::try_from(now.saturating_sub(held.since).as_micros()).unwrap_or(u64::MAX),
                });
                sink.in_flight.insert(held.id, InFlight { sequence: self.sequence, had: sent });
                if sink.in_flight.len() > MAX_IN_FLIGHT {
                    let oldest = sink.in_flight.pop_first();
                    sink.resend(oldest.map(|(_, round)| round));
                }
                sink.report.rounds += 1;
                sink.report.bytes += reply.len() as u64;
                replies.push((held.answer, reply));
            }
        }
        replies
    }

    /// When a reply becomes due if nothing changes until then.
    #[must_use]
    pub fn next_reply(&self) -> Option<Duration> {
        self.sinks.values().filter_map(|sink| sink.held.front()).map(|held| held.until).min()
    }

    /// Forgets a removed channel of which all sinks know that it was.
    fn forget(&mut self, key: u32) {
        let is_removed = self.entries.get(&key).is_some_and(|entry| entry.channel.is_none());
        if is_removed && self.sinks.values().all(|sink| !sink.channels.contains_key(&key)) {
            self.entries.remove(&key);
        }
    }

    fn piece(&mut self, now: Duration, request: &Request, ask: AskPiece) -> Vec<u8> {
        let known = self.sinks.get_mut(&request.sink).filter(|_| request.session == self.session);
        let Some(sink) = known else { return Reply::refused("the sink has to begin with a round") };
        sink.asked_at = now;
        let channel = self.entries.get_mut(&ask.key).and_then(|entry| entry.channel.as_mut());
        let Some(channel) = channel.filter(|_| sink.channels.contains_key(&ask.key)) else {
            return Reply::refused("there is no such channel any more");
        };
        let is_asked_for = |it: &Large| it.key == ask.key && it.read.publication == ask.publication;
        let is_kept = ask.publication != 0 && sink.large.as_ref().is_some_and(is_asked_for);
        if !is_kept {
            if now < sink.reads_at {
                return Reply::refused("large states are asked for too fast");
            }
            let mut payload = sink.large.take().map(|large| large.payload).unwrap_or_default();
            let Some(read) = channel.read(&mut payload) else {
                return Reply::refused("the channel has no state that can be read");
            };
            let checksum = crc32c::crc32c(&payload);
            sink.reads_at = now + Duration::from_nanos(payload.len() as u64 / READ_RATE);
            let (key, read_at, asked_at) = (ask.key, now, now);
            sink.large = Some(Large { key, read, read_at, asked_at, checksum, payload });
        }
        let Some(large) = &mut sink.large else { return Reply::refused("the state is gone") };
        large.asked_at = now;
        let len = large.payload.len();
        // Of another publication than the sink has a piece of, it needs the first piece.
        let offset = if is_kept { usize::try_from(ask.offset).unwrap_or(len).min(len) } else { 0 };
        let max = (ask.max_bytes as usize).clamp(1 << 10, MAX_REPLY_BYTES / 2);
        let bytes = &large.payload[offset..len.min(offset + max)];
        sink.report.pieces += 1;
        sink.report.bytes += bytes.len() as u64;
        Reply::piece(Piece {
            session: self.session,
            key: ask.key,
            publication: large.read.publication,
            age: large.read.age.map(|age| nanos(age + now.saturating_sub(large.read_at))),
            len: len as u64,
            checksum: large.checksum,
            offset: offset as u64,
            bytes,
        })
    }
}

/// Takes what fits from the front of the sink's queue.
fn compose<C: Channel, A>(
    entries: &mut BTreeMap<u32, Entry<C>>,
    sink: &mut Sink<A>,
    now: Duration,
    (max_bytes, inline): (usize, usize),
    payload: &mut Vec<u8>,
) -> (ItemEncoder, Vec<(u32, Known)>) {
    let (mut items, mut sent, mut unread) = (ItemEncoder::default(), Vec::new(), Vec::new());
    while let Some(key) = sink.take_next() {
        let progress = sink.channels.get_mut(&key);
        let Some((progress, entry)) = progress.zip(entries.get_mut(&key)) else { continue };
        let (state, has_unread) = match &mut entry.channel {
            None => (None, false),
            Some(channel) => newest(channel, progress.sent.publication, inline, payload),
        };
        let is_removed = entry.channel.is_none();
        if has_unread {
            unread.push(key);
        }
        let item = Item {
            key,
            is_removed,
            description: (!progress.sent.is_described && !is_removed).then(|| entry.described.as_message()),
            status: (progress.sent.revision < entry.revision && !is_removed)
                .then(|| entry.status.after(now.saturating_sub(entry.status_at))),
            state,
        };
        let is_new = item.description.is_some() || item.status.is_some() || item.state.is_some();
        if !is_new && (!is_removed || progress.sent.is_removed) {
            continue;
        }
        if !items.push(&item, max_bytes) {
            progress.is_queued = true;
            sink.queue.push_front(key);
            sink.unlisted += 1;
            break;
        }
        // Of what the item has: the rest may be in another round, which is lost.
        let known = Known {
            is_described: item.description.is_some(),
            revision: item.status.map_or(0, |_| entry.revision),
            publication: state.map_or(0, |state| state.publication),
            is_removed,
        };
        if let Some(state) = state {
            let skipped = state.publication - progress.sent.publication - 1;
            sink.report.conflated += if progress.sent.publication > 0 { skipped } else { 0 };
            sink.report.states += u64::from(matches!(state.content, Content::Whole(_)));
        }
        progress.sent = progress.sent.and(known);
        sent.push((key, known));
    }
    // At the end: others are not to wait for a channel that is written too fast to be read.
    unread.into_iter().for_each(|key| sink.enqueue(key));
    (items, sent)
}

/// The latest state if it is later than the publication `sent`, and whether there is a later one
/// that could not be read.
fn newest<'a, C: Channel>(
    channel: &mut C,
    sent: u64,
    inline: usize,
    payload: &'a mut Vec<u8>,
) -> (Option<State<'a>>, bool) {
    let Some(latest) = channel.latest().filter(|latest| latest.publication > sent) else {
        return (None, false);
    };
    if latest.len > inline as u64 {
        let content = Content::Large(latest.len);
        return (Some(State { publication: latest.publication, age: None, content }), false);
    }
    match channel.read(payload) {
        // It has grown since.
        Some(read) if payload.len() > inline => {
            let content = Content::Large(payload.len() as u64);
            (Some(State { publication: read.publication, age: None, content }), false)
        }
        Some(Read { publication, age }) if publication > sent => {
            let content = Content::Whole(payload);
            (Some(State { publication, age: age.map(nanos), content }), false)
        }
        Some(_) => (None, false),
        None => (None, true),
    }
}
