//! The reading host's half: asks one origin for what has changed, and applies it to the copies.
//!
//! A pure state machine, as [`source`](crate::source). It keeps a window of requests outstanding.
//! Whatever the carrier does, a copy never goes back: a state is applied only if its number is
//! higher than that of the copy, a status only if it is of a later round. Each request says which
//! rounds have come: what the others had is sent again.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use tearless::hub::Pattern;

use crate::message::{
    Ask, AskPiece, AskRound, Content, Description, Interest, Item, Items, MAX_RECEIVED, Piece, Reply,
    Request, Round, State, Status,
};

/// The mirrored channels of this host, as the sink writes them.
pub trait Copies {
    /// One of them.
    type Copy: Mirrored;

    /// Creates the copy of a channel of `origin`, or resumes it.
    ///
    /// # Errors
    ///
    /// Why there can be none, for people.
    fn open(&mut self, origin: &str, description: &Description<'_>) -> Result<Self::Copy, String>;

    /// Removes what a former mirror left of this origin, but for the channels that are still there.
    fn remove_others(&mut self, origin: &str, is_there: &dyn Fn(&str, &str) -> bool);
}

/// A mirrored channel.
pub trait Mirrored {
    /// The origin's number of its latest state; 0 if it has none.
    fn publication(&self) -> u64;

    /// Publishes a state whose number is higher.
    ///
    /// # Errors
    ///
    /// Why it can't be published, for people.
    fn publish(&mut self, payload: &[u8], publication: u64, age: Option<Duration>) -> Result<(), String>;

    /// How the writer at the origin is.
    fn set_status(&mut self, status: &Status);

    /// There has been no news of the origin for so long; `None`: there is news again.
    fn set_unreachable(&mut self, since: Option<Duration>);

    /// Looks whether the channel is still there, and says that there was news of the origin: about
    /// once a second.
    ///
    /// # Errors
    ///
    /// Why there is no such channel any more, for people.
    fn check(&mut self) -> Result<(), String>;

    /// Removes the channel.
    fn remove(self);
}

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

impl Options {
    /// Maximum bytes of a reply: of those that may be outstanding, what may come in half a second.
    fn max_bytes(&self) -> u32 {
        let rate = self.rate.map_or(u64::MAX, |rate| rate / 2 / (self.window + PIECES) as u64);
        self.max_bytes.min(u32::try_from(rate).unwrap_or(u32::MAX))
    }
}

/// Maximum number of reasons that a report lists.
const MAX_REASONS: usize = 16;
/// Replies are never asked to be smaller than this.
const MIN_BYTES: u32 = 4 << 10;
/// A reply whose transfer takes this much longer than the fastest was too large for the link.
const MAX_TRANSFER: Duration = Duration::from_millis(100);
/// Why a request has failed.
const LATE: &str = "no reply came in time";
/// How long a sink waits before it begins a large state again.
const PAUSE: Duration = Duration::from_millis(200);
/// How many pieces of a large state may be lost before it is begun again.
const MAX_FAILURES: u32 = 4;
/// Pieces of a large state that are outstanding.
const PIECES: usize = 2;
/// How long a piece may take.
const PIECE_PATIENCE: Duration = Duration::from_secs(10);

/// What a sink has done, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The origin's host.
    pub origin: String,
    /// Whether there has been no news of it for too long.
    pub is_unreachable: bool,
    /// Since its last reply; `None` before the first.
    pub silent: Option<Duration>,
    /// Fastest round trip of late, without the time for which the source held the request.
    pub round_trip: Option<Duration>,
    /// Number of its channels that are mirrored.
    pub channels: u64,
    /// Memory of this host that they count for, in bytes.
    pub memory: u64,
    /// Rounds that have come.
    pub rounds: u64,
    /// Bytes that have come.
    pub bytes: u64,
    /// States that were applied.
    pub applied: u64,
    /// States that were not newer.
    pub ignored: u64,
    /// Large states that were asked for in pieces.
    pub pulled: u64,
    /// Requests without a valid reply.
    pub failed: u64,
    /// What was refused, and why: the first of them.
    pub refused: Vec<String>,
    /// The last reason for which a request failed.
    pub trouble: Option<String>,
}

struct Channel<C> {
    name: Name,
    instance: u64,
    /// Or why there is none.
    copy: Result<C, String>,
    /// The round of its latest status.
    sequence: u64,
    /// Whether it was in the current listing.
    is_listed: bool,
    /// The publication of a large state that waits to be asked for, or 0.
    wanted: u64,
    /// Memory of this host that it counts for.
    bytes: u64,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Name {
    namespace: String,
    channel: String,
}

#[derive(Clone, Copy)]
enum Kind {
    Round,
    Piece { offset: u64 },
}

struct Outstanding {
    kind: Kind,
    session: u64,
    asked_at: Duration,
    until: Duration,
}

/// A large state that is asked for in pieces.
struct Pull {
    key: u32,
    /// 0 before the first piece.
    publication: u64,
    age: Option<Duration>,
    began_at: Duration,
    checksum: u32,
    payload: Vec<u8>,
    /// The pieces that are still to be asked for begin here.
    next: u64,
    /// Pieces that were lost.
    again: Vec<u64>,
    /// Bytes that have come.
    received: u64,
    piece: u32,
    failures: u32,
}

impl Pull {
    /// Whether there is a piece to ask for.
    fn has_piece(&self) -> bool {
        // The length is not known before the first piece.
        let end = if self.publication == 0 { 1 } else { self.payload.len() as u64 };
        !self.again.is_empty() || self.next < end
    }
}

/// The reading host's half of a mirror, for one origin.
pub struct Sink<S: Copies> {
    origin: String,
    host: String,
    id: u64,
    interest: Vec<Interest>,
    patterns: Vec<(Pattern, Pattern)>,
    options: Options,
    copies: S,
    session: u64,
    next_id: u64,
    /// The last request for a round to which no whole reply of this listing came.
    lost: u64,
    /// The last request to which a reply came.
    replied: u64,
    outstanding: BTreeMap<u64, Outstanding>,
    received: VecDeque<u64>,
    listing: u64,
    /// The round that completes the listing if all before it have come.
    listed_by: Option<u64>,
    is_listed: bool,
    channels: BTreeMap<u32, Channel<S::Copy>>,
    names: HashMap<Name, u32>,
    /// Copies of the former session, until the new one has told which channels there are.
    orphans: BTreeMap<Name, (u64, S::Copy)>,
    /// Removed channels, and the round that said so: an earlier one may still come.
    gone: HashMap<u32, u64>,
    /// Memory of this host that the copies count for.
    bytes: u64,
    pulls: VecDeque<u32>,
    pull: Option<Pull>,
    pull_at: Duration,
    max_bytes: u32,
    news_at: Option<Duration>,
    is_unreachable: bool,
    failures: u32,
    ask_at: Duration,
    /// When all is asked for again, because something could not be applied, and how long to wait
    /// for the next time.
    refresh_at: Option<Duration>,
    refresh_after: Duration,
    report: Report,
}

impl<S: Copies> Sink<S> {
    /// A sink of `host` for `origin`. `id` is random.
    #[must_use]
    pub fn new(
        host: &str,
        origin: &str,
        id: u64,
        interest: Vec<Interest>,
        options: Options,
        copies: S,
    ) -> Sink<S> {
        Sink {
            origin: origin.into(),
            host: host.into(),
            id,
            patterns: interest.iter().map(Interest::patterns).collect(),
            interest,
            options,
            copies,
            session: 0,
            next_id: 0,
            lost: 0,
            replied: 0,
            outstanding: BTreeMap::new(),
            received: VecDeque::new(),
            listing: 0,
            listed_by: None,
            is_listed: false,
            channels: BTreeMap::new(),
            names: HashMap::new(),
            orphans: BTreeMap::new(),
            gone: HashMap::new(),
            bytes: 0,
            pulls: VecDeque::new(),
            pull: None,
            pull_at: Duration::ZERO,
            max_bytes: options.max_bytes().clamp(MIN_BYTES, 32 << 10),
            news_at: None,
            is_unreachable: false,
            failures: 0,
            ask_at: Duration::ZERO,
            refresh_at: None,
            refresh_after: FIRST_REFRESH,
            report: Report { origin: origin.into(), ..Report::default() },
        }
    }

    /// The origin's host.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// What was done.
    #[must_use]
    pub fn report(&self, now: Duration) -> Report {
        let reasons = self.channels.values().filter_map(|channel| {
            let why = channel.copy.as_ref().err()?;
            Some(format!("{}/{}: {why}", channel.name.namespace, channel.name.channel))
        });
        Report {
            is_unreachable: self.is_unreachable,
            silent: self.news_at.map(|at| now.saturating_sub(at)),
            memory: self.bytes,
            channels: self.channels.values().filter(|channel| channel.copy.is_ok()).count() as u64,
            refused: reasons.take(MAX_REASONS).collect(),
            ..self.report.clone()
        }
    }

    /// The copies that there are, by namespace and channel of the origin.
    pub fn copies(&self) -> impl Iterator<Item = (&str, &str, &S::Copy)> {
        self.channels.values().filter_map(|channel| {
            let copy = channel.copy.as_ref().ok()?;
            Some((&*channel.name.namespace, &*channel.name.channel, copy))
        })
    }

    /// The requests that are due, and what time has brought: to be called after every reply, and at
    /// [`Sink::next_poll`].
    pub fn poll(&mut self, now: Duration) -> Vec<Request> {
        let late: Vec<u64> =
            self.outstanding.iter().filter(|(_, it)| it.until <= now).map(|(id, _)| *id).collect();
        for id in late {
            if let Some(outstanding) = self.outstanding.remove(&id) {
                self.fail(now, id, outstanding.kind, LATE);
            }
        }
        self.look_for_silence(now);
        if self.refresh_at.is_some_and(|at| at <= now) {
            self.refresh_at = None;
            // To the source, this is another sink.
            self.id = self.id.wrapping_add(1);
        }
        let mut requests = Vec::new();
        while self.ask_at <= now && self.may_ask() {
            let mut waits_for = self.outstanding.iter().filter(|(_, it)| matches!(it.kind, Kind::Round));
            let ask = Ask::Round(AskRound {
                first: waits_for.next().map_or(self.next_id + 1, |(id, _)| *id),
                received: self.received.iter().copied().collect(),
                max_bytes: self.max_bytes,
                hold_ms: u32::try_from(self.options.hold.as_millis()).unwrap_or(u32::MAX),
                interest: self.interest.clone(),
            });
            requests.push(self.request(now, ask, Kind::Round, self.options.hold + self.options.patience));
        }
        self.pull(now, &mut requests);
        requests
    }

    /// When to poll at the latest.
    #[must_use]
    pub fn next_poll(&self) -> Duration {
        let late = self.outstanding.values().map(|it| it.until).min();
        let waits = self.outstanding.is_empty() && self.failures == 0;
        let silent = self.news_at.filter(|_| !self.is_unreachable && !waits);
        let silent = silent.map(|at| at + self.options.unreachable_after);
        let has_piece = self.pull.as_ref().map_or(!self.pulls.is_empty(), Pull::has_piece);
        let may_pull = has_piece && self.count(|kind| matches!(kind, Kind::Piece { .. })) < PIECES;
        [
            late,
            silent,
            self.refresh_at,
            self.may_ask().then_some(self.ask_at),
            may_pull.then_some(self.pull_at.max(self.ask_at)),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(Duration::MAX)
    }

    /// One at a time until the origin has answered.
    fn may_ask(&self) -> bool {
        let window = if self.failures > 0 || self.session == 0 { 1 } else { self.options.window };
        self.count(|kind| matches!(kind, Kind::Round)) < window
    }

    fn count(&self, is_of: impl Fn(Kind) -> bool) -> usize {
        self.outstanding.values().filter(|it| is_of(it.kind)).count()
    }

    fn request(&mut self, now: Duration, ask: Ask, kind: Kind, patience: Duration) -> Request {
        self.next_id += 1;
        let (id, session) = (self.next_id, self.session);
        self.outstanding.insert(id, Outstanding { kind, session, asked_at: now, until: now + patience });
        Request { sink: self.id, host: self.host.clone(), id, session, ask }
    }

    /// How long the reply to a request may take.
    #[must_use]
    pub fn patience(&self, request: &Request) -> Duration {
        match request.ask {
            Ask::Round(_) => self.options.hold + self.options.patience,
            Ask::Piece(_) => PIECE_PATIENCE,
        }
    }

    /// Takes the reply to a request; `None` if the carrier knows that there will be none.
    pub fn reply(&mut self, now: Duration, id: u64, reply: Option<&[u8]>) {
        // One that has come twice, or too late: it was asked for again.
        let Some(outstanding) = self.outstanding.remove(&id) else { return };
        let Some(bytes) = reply else {
            return self.fail(now, id, outstanding.kind, "the host did not answer");
        };
        self.report.bytes += bytes.len() as u64;
        self.pay(now, bytes.len());
        match (Reply::decode(bytes), outstanding.kind) {
            (Ok(Reply::Round(round, items)), Kind::Round) => {
                self.round(now, id, &outstanding, round, items, bytes.len());
            }
            (Ok(Reply::Piece(piece)), Kind::Piece { offset }) => self.piece(now, offset, piece),
            (Ok(Reply::Refused(reason)), kind) => {
                let reason = format!("refused: {}", reason.chars().take(200).collect::<String>());
                self.fail(now, id, kind, &reason);
            }
            (Ok(_), kind) => self.fail(now, id, kind, "the reply is not to what was asked"),
            (Err(error), kind) => self.fail(now, id, kind, &error.to_string()),
        }
    }

    fn fail(&mut self, now: Duration, id: u64, kind: Kind, why: &str) {
        self.report.failed += 1;
        self.report.trouble = Some(why.into());
        match kind {
            Kind::Round => {
                self.lose(id);
                self.failures = self.failures.saturating_add(1);
                let pause = Duration::from_millis(25 << self.failures.min(3));
                self.ask_at = self.ask_at.max(now + pause);
                // It may have been too large for the link to come in time.
                self.max_bytes = (self.max_bytes / 2).max(MIN_BYTES);
            }
            Kind::Piece { offset } => {
                self.pull_at = self.pull_at.max(now + PAUSE);
                self.max_bytes = (self.max_bytes / 2).max(MIN_BYTES);
                match &mut self.pull {
                    // Begun again, it gets smaller pieces.
                    Some(pull) if pull.publication != 0 && why == LATE && pull.failures < MAX_FAILURES => {
                        pull.failures += 1;
                        pull.again.push(offset);
                    }
                    _ => self.drop_pull(now, true),
                }
            }
        }
    }

    /// What this round had will be sent again: the next request tells it.
    fn lose(&mut self, id: u64) {
        self.lost = self.lost.max(id);
        self.listed_by = None;
    }

    fn look_for_silence(&mut self, now: Duration) {
        let silent = self.news_at.map(|at| now.saturating_sub(at));
        // It is not silent while the sink itself waits, to pay for what has come.
        let waits = self.outstanding.is_empty() && self.failures == 0;
        let Some(silent) = silent.filter(|silent| !waits && *silent >= self.options.unreachable_after) else {
            return;
        };
        if !self.is_unreachable {
            self.is_unreachable = true;
            self.each_copy(|copy| copy.set_unreachable(Some(silent)));
        }
    }

    /// Looks after the copies: to be called about once a second.
    pub fn check(&mut self, now: Duration) {
        if self.is_unreachable || self.news_at.is_none() {
            return;
        }
        let mut is_missing = false;
        for channel in self.channels.values_mut() {
            if let Ok(copy) = &mut channel.copy
                && let Err(why) = copy.check()
            {
                channel.copy = Err(why);
                is_missing = true;
            }
        }
        if is_missing {
            self.refresh_later(now);
        }
    }

    fn each_copy(&mut self, mut act: impl FnMut(&mut S::Copy)) {
        self.channels.values_mut().filter_map(|channel| channel.copy.as_mut().ok()).for_each(&mut act);
        self.orphans.values_mut().for_each(|(_, copy)| act(copy));
    }

    fn hear(&mut self, now: Duration) {
        self.news_at = Some(now);
        self.failures = 0;
        if std::mem::take(&mut self.is_unreachable) {
            self.each_copy(|copy| copy.set_unreachable(None));
        }
    }

    /// The link is paid for what has come.
    fn pay(&mut self, now: Duration, bytes: usize) {
        if let Some(rate) = self.options.rate {
            let cost = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
            self.ask_at = self.ask_at.max(now.saturating_sub(Duration::from_millis(100))) + cost;
        }
    }

    fn adapt(&mut self, now: Duration, outstanding: &Outstanding, held_us: u64, bytes: usize) {
        let took = now.saturating_sub(outstanding.asked_at).saturating_sub(Duration::from_micros(held_us));
        // The fastest of late: it forgets by a hundredth each time.
        let fastest = self.report.round_trip.map_or(took, |fastest| (fastest + fastest / 100).min(took));
        self.report.round_trip = Some(fastest);
        if took > fastest + MAX_TRANSFER {
            self.max_bytes = (self.max_bytes / 2).max(MIN_BYTES);
        } else if bytes > self.max_bytes as usize / 2 {
            self.max_bytes =
                (self.max_bytes + self.max_bytes / 4).min(self.options.max_bytes()).max(MIN_BYTES);
        }
    }

    fn round(
        &mut self,
        now: Duration,
        id: u64,
        of: &Outstanding,
        round: Round,
        items: Items<'_>,
        bytes: usize,
    ) {
        if round.session != self.session {
            // A reply that an earlier source sent, to a request that did not know of this one.
            if of.session != self.session {
                return self.lose(id);
            }
            self.begin_session(round.session);
        }
        self.hear(now);
        self.adapt(now, of, round.held_us, bytes);
        self.report.rounds += 1;
        if round.listing > self.listing {
            self.listing = round.listing;
            self.is_listed = false;
            self.lose(self.replied);
            self.channels.values_mut().for_each(|channel| channel.is_listed = false);
        }
        let mut is_whole = true;
        for item in items {
            match item {
                Ok(item) if item.is_removed => {
                    self.remove(item.key);
                    self.gone.insert(item.key, id);
                }
                Ok(item) => is_whole &= self.apply(now, id, &round, &item),
                Err(error) => {
                    self.report.trouble = Some(error.to_string());
                    self.report.failed += 1;
                    is_whole = false;
                    // Not at once: it may be the same again.
                    self.ask_at = self.ask_at.max(now + Duration::from_millis(500));
                    break;
                }
            }
        }
        self.replied = self.replied.max(id);
        if round.listing < self.listing {
            self.lose(id);
        }
        if is_whole {
            self.received.push_back(round.sequence);
            if self.received.len() > MAX_RECEIVED {
                self.received.pop_front();
            }
        } else {
            self.lose(id);
        }
        if round.is_listed
            && self.lost < round.first
            && round.listing == self.listing
            && self.listed_by.is_none()
        {
            self.listed_by = Some(id);
        }
        let first = self.outstanding.first_key_value().map_or(u64::MAX, |(id, _)| *id);
        self.gone.retain(|_, id| *id > first);
        self.finish_listing();
    }

    /// The source has restarted. Its copies stay until it has told which channels it has.
    fn begin_session(&mut self, session: u64) {
        self.session = session;
        self.received.clear();
        (self.listing, self.listed_by, self.is_listed) = (0, None, false);
        for channel in std::mem::take(&mut self.channels).into_values() {
            if let Ok(copy) = channel.copy {
                self.orphans.insert(channel.name, (channel.instance, copy));
            }
        }
        self.names.clear();
        self.bytes = 0;
        self.gone.clear();
        self.pulls.clear();
        self.pull = None;
    }

    /// Once all rounds of a listing have come, what they did not have is gone.
    fn finish_listing(&mut self) {
        let Some(last) = self.listed_by.filter(|_| !self.is_listed) else { return };
        let is_round = |it: &Outstanding| matches!(it.kind, Kind::Round);
        if self.outstanding.range(..last).any(|(_, it)| is_round(it)) {
            return;
        }
        self.is_listed = true;
        if self.refresh_at.is_none() {
            self.refresh_after = FIRST_REFRESH;
        }
        std::mem::take(&mut self.orphans).into_values().for_each(|(_, copy)| copy.remove());
        let gone: Vec<u32> =
            self.channels.iter().filter(|(_, channel)| !channel.is_listed).map(|(key, _)| *key).collect();
        gone.into_iter().for_each(|key| self.remove(key));
        let names = &self.names;
        self.copies.remove_others(&self.origin, &|namespace, channel| {
            names.contains_key(&Name { namespace: namespace.into(), channel: channel.into() })
        });
    }

    fn remove(&mut self, key: u32) {
        let Some(channel) = self.channels.remove(&key) else { return };
        self.bytes -= channel.bytes;
        if self.names.get(&channel.name) == Some(&key) {
            self.names.remove(&channel.name);
        }
        if let Ok(copy) = channel.copy {
            copy.remove();
        }
    }

    /// Returns whether the item is of a channel that is known.
    fn apply(&mut self, now: Duration, id: u64, round: &Round, item: &Item<'_>) -> bool {
        if self.gone.get(&item.key).is_some_and(|later| *later > id) {
            return true;
        }
        if let Some(description) = &item.description {
            self.describe(now, item.key, description);
        }
        // Of a channel beyond the limit nothing is kept.
        let is_full = self.channels.len() >= self.options.max_channels;
        let Some(channel) = self.channels.get_mut(&item.key) else { return is_full };
        channel.is_listed |= round.listing == self.listing;
        let Ok(copy) = &mut channel.copy else { return true };
        if let Some(status) = &item.status
            && round.sequence > channel.sequence
        {
            channel.sequence = round.sequence;
            copy.set_status(status);
        }
        match item.state {
            Some(state) if state.publication <= copy.publication() => self.report.ignored += 1,
            Some(State { content: Content::Large(len), .. }) if len > self.options.max_state_len => {
                self.report.trouble = Some(format!(
                    "{}/{} has a state of {len} bytes: raise max-state-len",
                    channel.name.namespace, channel.name.channel
                ));
            }
            Some(State { publication, content: Content::Large(_), .. }) => {
                if channel.wanted == 0 {
                    self.pulls.push_back(item.key);
                }
                channel.wanted = channel.wanted.max(publication);
            }
            Some(State { publication, age, content: Content::Whole(payload) }) => {
                self.publish(now, item.key, payload, publication, age.map(Duration::from_nanos));
            }
            None => {}
        }
        true
    }

    fn publish(&mut self, now: Duration, key: u32, payload: &[u8], publication: u64, age: Option<Duration>) {
        let Some(channel) = self.channels.get_mut(&key) else { return };
        let Ok(copy) = &mut channel.copy else { return };
        // A segment of each side has at least two slots.
        let bytes = channel.bytes.max(4 * payload.len() as u64);
        let all = self.bytes + bytes - channel.bytes;
        let published = if all > self.options.max_memory {
            Err(format!(
                "its copies would take more than {} bytes: raise max-memory",
                self.options.max_memory
            ))
        } else {
            (self.bytes, channel.bytes) = (all, bytes);
            copy.publish(payload, publication, age)
        };
        match published {
            Ok(()) => self.report.applied += 1,
            Err(why) => {
                self.report.trouble = Some(why);
                self.refresh_later(now);
            }
        }
    }

    /// Something could not be applied. The source does not know: all is asked for again.
    fn refresh_later(&mut self, now: Duration) {
        if self.refresh_at.is_none() {
            self.refresh_at = Some(now + self.refresh_after);
            self.refresh_after = (self.refresh_after * 2).min(LAST_REFRESH);
        }
    }

    fn describe(&mut self, now: Duration, key: u32, description: &Description<'_>) {
        if self.channels.get(&key).is_some_and(|channel| channel.copy.is_ok()) {
            return;
        }
        if self.channels.len() >= self.options.max_channels && !self.channels.contains_key(&key) {
            let max = self.options.max_channels;
            self.report.trouble = Some(format!("it has more than {max} channels: raise max-channels"));
            return;
        }
        let name = Name { namespace: description.namespace.into(), channel: description.channel.into() };
        let mut may_be_mended = false;
        let copy = match self.names.get(&name).copied() {
            Some(other) if other > key => Err("it was replaced".into()),
            other => {
                if let Some(other) = other.filter(|other| *other != key) {
                    self.remove(other);
                }
                self.refuse(&name, description).map_or_else(
                    || {
                        may_be_mended = true;
                        self.open(&name, description)
                    },
                    Err,
                )
            }
        };
        if copy.is_err() && may_be_mended {
            self.refresh_later(now);
        }
        if self.names.get(&name).is_none_or(|other| *other <= key) {
            self.names.insert(name.clone(), key);
        }
        let instance = description.instance;
        let bytes = if copy.is_ok() {
            description.capacity.saturating_mul(4).min(self.options.max_memory)
        } else {
            0
        };
        self.bytes += bytes;
        let channel = Channel { name, instance, copy, sequence: 0, is_listed: true, wanted: 0, bytes };
        if let Some(former) = self.channels.insert(key, channel) {
            self.bytes -= former.bytes;
        }
    }

    fn open(&mut self, name: &Name, description: &Description<'_>) -> Result<S::Copy, String> {
        match self.orphans.remove(name) {
            Some((instance, copy)) if instance == description.instance => return Ok(copy),
            Some((_, copy)) => copy.remove(),
            None => {}
        }
        self.copies.open(&self.origin, description)
    }

    /// Why there shall be no copy of this channel.
    fn refuse(&self, name: &Name, description: &Description<'_>) -> Option<String> {
        let Options { max_state_len, max_memory, .. } = self.options;
        let is_of = |it: &(Pattern, Pattern)| it.0.matches(&name.namespace) && it.1.matches(&name.channel);
        if !self.patterns.iter().any(is_of) {
            Some("it was not asked for".into())
        } else if description.capacity > max_state_len {
            Some(format!("its states are larger than {max_state_len} bytes: raise max-state-len"))
        } else if self.bytes.saturating_add(description.capacity.saturating_mul(4)) > max_memory {
            Some(format!("the copies would take more than {max_memory} bytes: raise max-memory"))
        } else {
            None
        }
    }

    fn pull(&mut self, now: Duration, requests: &mut Vec<Request>) {
        if now < self.pull_at || now < self.ask_at {
            return;
        }
        while self.pull.is_none() {
            let Some(key) = self.pulls.pop_front() else { return };
            let Some(channel) = self.channels.get_mut(&key) else { continue };
            let wanted = std::mem::take(&mut channel.wanted);
            // The pull before may have brought it.
            if channel.copy.as_ref().is_ok_and(|copy| copy.publication() < wanted) {
                let piece = self.max_bytes.max(4 * MIN_BYTES);
                self.pull = Some(Pull {
                    key,
                    publication: 0,
                    age: None,
                    began_at: now,
                    checksum: 0,
                    payload: Vec::new(),
                    next: 0,
                    again: Vec::new(),
                    received: 0,
                    piece,
                    failures: 0,
                });
            }
        }
        while self.count(|kind| matches!(kind, Kind::Piece { .. })) < PIECES {
            let Some(pull) = &mut self.pull else { return };
            if !pull.has_piece() {
                return;
            }
            let offset = pull.again.pop().unwrap_or_else(|| {
                pull.next += u64::from(pull.piece);
                pull.next - u64::from(pull.piece)
            });
            let ask =
                AskPiece { key: pull.key, publication: pull.publication, offset, max_bytes: pull.piece };
            requests.push(self.request(now, Ask::Piece(ask), Kind::Piece { offset }, PIECE_PATIENCE));
        }
    }

    /// Gives a large state up, for now or for good.
    fn drop_pull(&mut self, now: Duration, is_again: bool) {
        let Some(pull) = self.pull.take() else { return };
        self.pull_at = self.pull_at.max(now + PAUSE);
        self.outstanding.retain(|_, it| !matches!(it.kind, Kind::Piece { .. }));
        let Some(channel) = self.channels.get_mut(&pull.key).filter(|_| is_again) else { return };
        let here = channel.copy.as_ref().map_or(0, Mirrored::publication);
        if channel.wanted == 0 {
            self.pulls.push_back(pull.key);
        }
        channel.wanted = channel.wanted.max(here.saturating_add(1));
    }

    fn piece(&mut self, now: Duration, asked: u64, piece: Piece<'_>) {
        if piece.session != self.session || self.pull.as_ref().is_none_or(|pull| pull.key != piece.key) {
            return self.drop_pull(now, true);
        }
        self.hear(now);
        let copy = self.channels.get(&piece.key).and_then(|channel| channel.copy.as_ref().ok());
        let is_newer = copy.is_some_and(|copy| piece.publication > copy.publication());
        if piece.len > self.options.max_state_len || !is_newer {
            return self.drop_pull(now, false);
        }
        let Some(pull) = &mut self.pull else { return };
        if pull.publication != piece.publication {
            // The first piece, or that of a later publication: the others are asked for again.
            let Ok(len) = usize::try_from(piece.len) else { return self.drop_pull(now, false) };
            pull.payload.clear();
            if piece.offset != 0 || pull.payload.try_reserve(len).is_err() {
                return self.drop_pull(now, true);
            }
            pull.payload.resize(len, 0);
            (pull.publication, pull.checksum) = (piece.publication, piece.checksum);
            (pull.age, pull.began_at) = (piece.age.map(Duration::from_nanos), now);
            (pull.received, pull.again, pull.next) = (0, Vec::new(), piece.bytes.len() as u64);
            self.outstanding.retain(|_, it| !matches!(it.kind, Kind::Piece { .. }));
        } else if piece.offset != asked {
            return self.drop_pull(now, true);
        }
        let Some(pull) = &mut self.pull else { return };
        let from = usize::try_from(piece.offset).unwrap_or(usize::MAX);
        let until = from.saturating_add(pull.piece as usize).min(pull.payload.len());
        let into = pull.payload.get_mut(from..until).filter(|into| into.len() == piece.bytes.len());
        let Some(into) = into else { return self.drop_pull(now, true) };
        into.copy_from_slice(piece.bytes);
        pull.received += piece.bytes.len() as u64;
        if pull.received >= pull.payload.len() as u64 {
            self.finish_pull(now);
        }
    }

    fn finish_pull(&mut self, now: Duration) {
        let Some(pull) = &self.pull else { return };
        if crc32c::crc32c(&pull.payload) != pull.checksum {
            self.report.trouble = Some("a large state came with a wrong checksum".into());
            self.report.failed += 1;
            return self.drop_pull(now, true);
        }
        let Some(pull) = self.pull.take() else { return };
        self.report.pulled += 1;
        let Some(channel) = self.channels.get(&pull.key) else { return };
        let Ok(copy) = &channel.copy else { return };
        if pull.publication <= copy.publication() {
            self.report.ignored += 1;
            return;
        }
        let age = pull.age.map(|age| age.saturating_add(now.saturating_sub(pull.began_at)));
        self.publish(now, pull.key, &pull.payload, pull.publication, age);
    }

    /// Wants other channels, or within other limits. Copies that are not wanted any more are
    /// removed once the origin has listed those that are.
    pub fn reload(&mut self, interest: Vec<Interest>, options: Options) {
        self.patterns = interest.iter().map(Interest::patterns).collect();
        self.interest = interest;
        self.options = options;
        self.max_bytes = self.max_bytes.min(options.max_bytes()).max(MIN_BYTES);
        // To the source, this is another sink: it lists all of its channels.
        self.id = self.id.wrapping_add(1);
    }

    /// Ends the mirror of this origin: its copies are removed.
    pub fn close(mut self) {
        std::mem::take(&mut self.orphans).into_values().for_each(|(_, copy)| copy.remove());
        self.channels.into_values().filter_map(|channel| channel.copy.ok()).for_each(Mirrored::remove);
    }
}

/// How soon all is asked for again after something could not be applied: at first, and at last.
const FIRST_REFRESH: Duration = Duration::from_secs(5);
const LAST_REFRESH: Duration = Duration::from_secs(300);
