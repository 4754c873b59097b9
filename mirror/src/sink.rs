//! The reading host's half: asks one origin for what has changed, and applies it to the copies.
//!
//! A pure state machine, as [`source`](crate::source). It keeps a window of requests outstanding.
//! Whatever the carrier does, a copy never goes back: a state is applied only if its number is
//! higher than that of the copy, a status only if it is of a later round. Each request says which
//! rounds have come: what the others had is sent again.

mod channels;
mod copies;
mod flow;
mod news;
mod options;
mod orphans;
mod pieces;
mod refresh;
mod rounds;
mod transfer;
mod wanted;

use std::time::Duration;

pub use copies::{Copies, Mirrored};
pub use options::Options;

use crate::lag::Clock;
use crate::message::{Ask, AskRound, Interest, Item, Items, Piece, Reply, Request, Round};
use crate::pace::Pace;
use crate::status::OriginState;
use channels::Channels;
use flow::Flow;
use news::News;
use pieces::{Damaged, Pieces};
use rounds::{PendingRound, Rounds};

/// Maximum number of reasons that a report lists.
const MAX_REASONS: usize = 16;
/// Why a request has failed.
const LATE: &str = "no reply came in time";

/// The reading host's half of a mirror, for one origin.
pub struct Sink<S: Copies> {
    host: String,
    id: u64,
    interest: Vec<Interest>,
    options: Options,
    channels: Channels<S>,
    session: u64,
    next_id: u64,
    rounds: Rounds,
    pieces: Pieces,
    flow: Flow,
    news: News,
    clock: Clock,
    report: OriginState,
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
            host: host.into(),
            id,
            channels: Channels::new(origin, &interest, options, copies),
            interest,
            options,
            session: 0,
            next_id: 0,
            rounds: Rounds::default(),
            pieces: Pieces::default(),
            flow: Flow::new(&options),
            news: News::default(),
            clock: Clock::default(),
            report: OriginState { host: origin.into(), ..OriginState::default() },
        }
    }

    /// The same sink, which asks at the pace that it shares with others of this host.
    #[must_use]
    pub fn paced(mut self, pace: &Pace) -> Sink<S> {
        self.flow.pace = pace.join();
        self
    }

    /// The origin's host.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.channels.origin()
    }

    /// What was done.
    #[must_use]
    pub fn report(&self, now: Duration) -> OriginState {
        OriginState {
            unreachable: self.news.is_unreachable,
            silent: self.news.age(now).map(|time| time.as_secs_f64()),
            round_trip: self.flow.round_trip.map(|time| time.as_secs_f64()),
            lag: self.channels.lag.mean(now).map(|time| time.as_secs_f64()),
            max_lag: self.channels.lag.max(now).map(|time| time.as_secs_f64()),
            memory: self.channels.memory(),
            channels: self.channels.count(),
            refused: self.channels.refused().take(MAX_REASONS).collect(),
            ..self.report.clone()
        }
    }

    /// The time of day at the origin when this host's `now` was zero, in microseconds since 1970,
    /// and the round trip of which half is the error at most.
    #[must_use]
    pub fn clock(&self) -> Option<(Duration, i64)> {
        self.clock.latest
    }

    /// The copies that there are, by namespace and channel of the origin.
    pub fn copies(&self) -> impl Iterator<Item = (&str, &str, &S::Copy)> {
        self.channels.copies()
    }

    /// The requests that are due, and what time has brought: to be called after every reply, and at
    /// [`Sink::next_poll`].
    pub fn poll(&mut self, now: Duration) -> Vec<Request> {
        while let Some((id, late)) = self.rounds.take_late(now) {
            self.flow.miss(now, late.expected);
            self.fail_round(now, id, LATE);
        }
        while let Some(late) = self.pieces.take_late(now) {
            self.flow.miss(now, late.expected);
            self.fail_piece(now, late.offset, LATE);
        }
        self.look_for_silence(now);
        if self.channels.refresh.take(now) {
            self.begin_again();
        }
        let mut requests = Vec::new();
        while self.flow.ask_at <= now && self.may_ask() && self.flow.take_turn(now) {
            self.next_id += 1;
            let outstanding = PendingRound {
                session: self.session,
                asked_at: now,
                until: now + self.options.hold + self.options.patience,
                expected: self.flow.expected,
            };
            self.rounds.ask(self.next_id, outstanding);
            requests.push(self.request(Ask::Round(AskRound {
                first: self.rounds.first().unwrap_or(self.next_id),
                received: self.rounds.received(),
                max_bytes: self.flow.max_bytes,
                hold_ms: u32::try_from(self.options.hold.as_millis()).unwrap_or(u32::MAX),
                interest: self.interest.clone(),
            })));
        }
        while let Some(ask) = self.pieces.ask(now, self.next_id + 1, &mut self.channels, &mut self.flow) {
            self.next_id += 1;
            requests.push(self.request(Ask::Piece(ask)));
        }
        requests
    }

    /// When to poll at the latest.
    #[must_use]
    pub fn next_poll(&self, now: Duration) -> Duration {
        let silent = self.silent_since().filter(|_| !self.news.is_unreachable);
        [
            self.rounds.late_at(),
            self.pieces.late_at(),
            silent.map(|at| at + self.options.unreachable_after),
            self.channels.refresh.at,
            self.may_ask().then(|| self.flow.due(now)),
            self.pieces.due(now, &self.channels, &self.flow),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(Duration::MAX)
    }

    /// One at a time until the origin has answered, while nothing changes there, and while more
    /// would only wait for the link.
    fn may_ask(&self) -> bool {
        let is_one = self.flow.has_failed() || self.session == 0 || self.flow.is_slow;
        let window = if is_one { 1 } else { self.options.window };
        self.rounds.outstanding() < window
    }

    /// Since when the origin has not answered.
    fn silent_since(&self) -> Option<Duration> {
        let oldest = self.rounds.asked_at().into_iter().chain(self.pieces.asked_at()).min();
        self.news.silent_since(self.flow.has_failed(), oldest)
    }

    fn request(&self, ask: Ask) -> Request {
        Request { sink: self.id, host: self.host.clone(), id: self.next_id, session: self.session, ask }
    }

    /// How long the reply to a request may take.
    #[must_use]
    pub fn patience(&self, request: &Request) -> Duration {
        match request.ask {
            Ask::Round(_) => self.options.hold + self.options.patience,
            Ask::Piece(_) => transfer::PATIENCE,
        }
    }

    /// Whether the reply takes little time: it has new states and statuses of copies that are
    /// there, and nothing that makes copies, removes or looks for them.
    #[must_use]
    pub fn is_quick(&self, reply: &[u8]) -> bool {
        let Ok(Reply::Round(round, mut items)) = Reply::decode(reply) else { return false };
        let is_plain = |item: Item<'_>| item.description.is_none() && !item.is_removed;
        round.session == self.session
            && self.rounds.has_listing_of(&round)
            && items.all(|item| item.is_ok_and(is_plain))
    }

    /// Takes the reply to a request; `None` if the carrier knows that there will be none.
    pub fn reply(&mut self, now: Duration, id: u64, reply: Option<&[u8]>) {
        let asked = self.rounds.take(id);
        let piece = self.pieces.take(id);
        let round_expected = asked.as_ref().map(|it| it.expected);
        let Some(expected) = round_expected.or_else(|| piece.map(|it| it.expected)) else {
            // One that has come twice, or too late: it was asked for again.
            return;
        };
        let len = reply.map_or(0, <[u8]>::len);
        self.report.bytes += len as u64;
        self.flow.pay(now, len, self.options.rate);
        let reply = reply.map(Reply::decode);
        let is_refusal = matches!(reply, Some(Ok(Reply::Refused(_))));
        let why = match (reply, asked, piece) {
            (Some(Ok(Reply::Round(round, items))), Some(asked), _) => {
                return self.round(now, id, &asked, round, items, len);
            }
            (Some(Ok(Reply::Piece(piece))), _, Some(of)) => {
                let excess = self.flow.measure(now, now.saturating_sub(of.asked_at), (expected, len));
                self.flow.adapt(excess, len, &self.options);
                return self.piece(now, of.offset, &piece);
            }
            (Some(Ok(Reply::Refused(reason))), ..) => {
                format!("refused: {}", beginning(reason))
            }
            (Some(Ok(_)), ..) => "the reply is not to what was asked".into(),
            (Some(Err(error)), ..) => error.to_string(),
            (None, ..) => "the host did not answer".into(),
        };
        self.flow.pace.refund((expected, len));
        if !is_refusal {
            self.flow.shrink();
        }
        match piece {
            Some(of) => self.fail_piece(now, of.offset, &why),
            None => self.fail_round(now, id, &why),
        }
    }

    fn fail(&mut self, why: &str) {
        self.report.failed += 1;
        self.report.trouble = Some(why.into());
    }

    fn fail_round(&mut self, now: Duration, id: u64, why: &str) {
        self.fail(why);
        self.rounds.lose(id);
        self.flow.fail(now);
    }

    fn fail_piece(&mut self, now: Duration, offset: u64, why: &str) {
        self.fail(why);
        self.pieces.fail(now, offset, &mut self.channels, &self.flow);
    }

    fn look_for_silence(&mut self, now: Duration) {
        let silent = self.silent_since().map(|at| now.saturating_sub(at));
        let silent = silent.filter(|silent| *silent >= self.options.unreachable_after);
        if silent.is_some() && !self.news.is_unreachable {
            self.news.is_unreachable = true;
            self.channels.set_unreachable(silent);
        }
    }

    /// Looks after the copies: to be called about once a second.
    pub fn check(&mut self, now: Duration) {
        if !self.news.is_unreachable && self.news.age(now).is_some() {
            self.channels.check(now);
        }
    }

    fn hear(&mut self, now: Duration) {
        self.flow.recover();
        if self.news.hear(now) {
            self.channels.set_unreachable(None);
        }
    }

    fn round(
        &mut self,
        now: Duration,
        id: u64,
        of: &PendingRound,
        round: Round,
        items: Items<'_>,
        bytes: usize,
    ) {
        if round.session != self.session {
            // A reply that an earlier source sent, to a request that did not know of this one.
            if of.session != self.session {
                self.flow.pace.refund((of.expected, bytes));
                return self.rounds.lose(id);
            }
            self.begin_session(round.session);
        }
        self.hear(now);
        let took = now.saturating_sub(of.asked_at).saturating_sub(Duration::from_micros(round.held_us));
        self.channels.way = self.clock.add(now, took, round.clock_us);
        let excess = self.flow.measure(now, took, (of.expected, bytes));
        self.flow.adapt(excess, bytes, &self.options);
        self.flow.expect(excess, bytes, items.clone().next().is_none());
        self.report.rounds += 1;
        if self.rounds.begin_listing(&round) {
            self.channels.begin_listing();
        }
        let mut is_whole = true;
        for item in items {
            match item {
                Ok(item) if item.is_removed => self.channels.end(id, item.key),
                Ok(item) => {
                    let of = (id, round.sequence, round.listing == self.rounds.listing);
                    is_whole &= self.channels.apply(now, of, &item, &mut self.report);
                }
                Err(error) => {
                    self.report.trouble = Some(error.to_string());
                    self.report.failed += 1;
                    is_whole = false;
                    // Not at once: it may be the same again.
                    self.flow.wait_until(now + Duration::from_millis(500));
                    break;
                }
            }
        }
        self.rounds.receive(id, &round, is_whole);
        self.channels.forget_gone(self.rounds.first().unwrap_or(u64::MAX));
        if self.channels.has_many_gone() {
            // An earlier round may bring none of them back: none is waited for any more.
            self.drop_rounds();
            self.channels.forget_gone(u64::MAX);
        }
        // What the rounds of a listing did not have is gone.
        if self.rounds.finish_listing() {
            self.channels.finish_listing();
        }
    }

    /// The source has restarted.
    fn begin_session(&mut self, session: u64) {
        self.session = session;
        self.rounds.begin_session();
        self.channels.begin_session();
        self.pieces.end(&self.flow);
    }

    /// No outstanding round is waited for any more.
    fn drop_rounds(&mut self) {
        let expected = self.rounds.drop_until(self.next_id);
        self.flow.pace.refund((expected, 0));
    }

    fn piece(&mut self, now: Duration, offset: u64, piece: &Piece<'_>) {
        if piece.session != self.session || !self.pieces.is_of(piece.key) {
            return self.pieces.begin_again(now, &mut self.channels, &self.flow);
        }
        self.hear(now);
        match self.pieces.receive(now, offset, piece, &mut self.channels, &self.flow) {
            Ok(Some(whole)) => {
                self.report.pulled += 1;
                let state = (whole.publication, whole.age(now));
                self.channels.publish(now, whole.key, &whole.payload, state, &mut self.report);
            }
            Ok(None) => {}
            Err(Damaged) => self.fail("a large state came with a wrong checksum"),
        }
    }

    /// Wants other channels, or within other limits. Copies that are not wanted any more are
    /// removed once the origin has listed those that are.
    pub fn reload(&mut self, interest: Vec<Interest>, options: Options) {
        self.channels.reload(&interest, options);
        self.interest = interest;
        self.options = options;
        self.flow.reload(&options);
        self.begin_again();
    }

    /// Becomes another sink for the source, which lists all of its channels. Replies to the former
    /// one would be of another listing.
    fn begin_again(&mut self) {
        self.id = self.id.wrapping_add(1);
        self.drop_rounds();
    }

    /// Ends the mirror of this origin: its copies are removed.
    pub fn close(self) {
        self.channels.close();
    }
}

/// What a report has of a reason.
fn beginning(reason: &str) -> String {
    reason.chars().take(400).collect()
}

#[cfg(test)]
mod tests;
