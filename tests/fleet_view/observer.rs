//! A thread of the main process: asks the hub, and compares the answers with the ledger.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use tearless::{
    Snapshot,
    error::{AttachError, QueryError, SnapshotError},
    hub::{Cut, CutTime, Health, Skew},
};

use super::ledger::{Conditions, Event, Mark};
use super::stage::{EndOnPanic, Stage};
use super::state::{ALL, CHANNELS, Channel, Content, Edition, Random, WORKERS};

pub(crate) type Answer = Result<Snapshot<Vec<u8>>, QueryError>;

/// Health that means that there is a state, or that there will be one.
const THERE: Conditions =
    Conditions::LIVING.or(Conditions::STOPPED).or(Conditions::DEAD).or(Conditions::CLOSED);

/// A question that an observer asks all the time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Question {
    Get,
    Iter,
    Status,
    Cut,
}

pub(crate) struct Observer<'a> {
    stage: &'a Stage,
    random: Random,
    /// The latest edition of each channel that this observer has seen.
    seen: [Edition; ALL],
}

impl<'a> Observer<'a> {
    pub(crate) fn new(stage: &'a Stage, stream: u64) -> Observer<'a> {
        Observer { stage, random: Random::new(stage.seed, stream), seen: [Edition::default(); ALL] }
    }

    /// Asks until the time is over.
    pub(crate) fn ask(mut self, question: Question) {
        let _guard = EndOnPanic(self.stage);
        while !self.stage.is_over.load(Ordering::Relaxed) {
            let channel = Channel(self.random.below(ALL));
            match question {
                Question::Get => drop(self.get(channel)),
                Question::Status => self.status(channel),
                Question::Iter => self.iter(),
                Question::Cut => self.cut(),
            }
            thread::sleep(Duration::from_micros(self.random.below(100) as u64));
        }
    }

    /// Asks every question about one channel.
    pub(crate) fn look(&mut self, channel: Channel) {
        self.status(channel);
        let _ = self.get(channel);
    }

    /// Asks for a channel's latest state, if it has one.
    pub(crate) fn get(&mut self, channel: Channel) -> Option<Edition> {
        let (mark, reported) = (self.stage.ledger.mark(channel), self.stage.ledger.reported(channel));
        let answer = self.stage.hub.get(&channel.name());
        self.stage.tally.count(Event::Got);
        Some(self.judge(channel, mark, reported, &answer)?.edition)
    }

    /// Checks that a channel's state was right at some time from `mark` until now, and that it is
    /// not earlier than the edition that the worker had reported before.
    fn judge(&mut self, channel: Channel, mark: Mark, reported: Edition, answer: &Answer) -> Option<Content> {
        let is = self.stage.ledger.since(channel, mark);
        let what = format!("{} was {is:?}, had reported {reported:?}", channel.name());
        match answer {
            Ok(snapshot) => {
                let content =
                    Content::read(channel, snapshot).unwrap_or_else(|error| panic!("{what}: {error}"));
                let Content { edition, .. } = content;
                assert_eq!(edition.number(), snapshot.publication(), "{what}");
                assert!(edition >= reported, "{what}, but the hub shows {edition:?}");
                let seen = &mut self.seen[channel.0];
                assert!(edition >= *seen, "{what}: {edition:?} after {seen:?}");
                *seen = edition;
                assert!(is.may_be(THERE), "{what}, but has a state");
                return Some(content);
            }
            Err(error) if error.is_empty() => {
                assert!(is.may_be(THERE), "{what}, but is empty");
                let creating = Conditions::ABSENT.or(Conditions::HALF_DONE);
                assert!(reported.number() == 0 || is.may_be(creating), "{what}, but is empty");
            }
            Err(error) => self.excuse(is, error, &what),
        }
        None
    }

    /// Checks that there may be no state for this reason.
    fn excuse(&self, is: Conditions, error: &QueryError, what: &str) {
        if error.is_gone() {
            self.stage.tally.count(Event::Gone);
            return assert!(is.may_be(Conditions::ABSENT.or(Conditions::HALF_DONE)), "{what}: {error}");
        }
        let under_way = matches!(
            error,
            QueryError::Attach(AttachError::NotReady { .. } | AttachError::Object { .. })
                | QueryError::Snapshot(SnapshotError::Object { .. })
        );
        assert!(under_way, "{what}: {error}");
        assert!(is.may_be(Conditions::ABSENT.or(Conditions::HALF_DONE)), "{what}: {error}");
    }

    fn status(&mut self, channel: Channel) {
        let mark = self.stage.ledger.mark(channel);
        let answer = self.stage.hub.status(&channel.name());
        let is = self.stage.ledger.since(channel, mark);
        let what = format!("{} was {is:?}, but its status is {answer:?}", channel.name());
        let status = match answer {
            Ok(status) => status,
            Err(error) => return self.excuse(is, &error, &what),
        };
        let (event, means) = match status.health {
            Health::Fresh { .. } => (Event::Fresh, Conditions::LIVING),
            Health::Unchanged { .. } => (Event::Unchanged, Conditions::LIVING),
            Health::Empty => (Event::Empty, Conditions::LIVING),
            Health::Stalled { .. } => (Event::Stalled, Conditions::STOPPED),
            Health::Dead { .. } => (Event::Dead, Conditions::DEAD),
            // It was killed while it closed the channel: a writer stores the time of its end first.
            Health::Exited { .. } => (Event::Dead, Conditions::HALF_DONE),
            // The channel may have been removed. Then the hub has just noticed it.
            Health::Closed => (Event::Closed, Conditions::CLOSED.or(Conditions::ABSENT)),
            _ => panic!("{what}"),
        };
        assert!(is.may_be(means), "{what}");
        self.stage.tally.count(event);
    }

    /// Lists all channels, or those of one worker. A channel that existed all the time is listed,
    /// and a channel that never existed is not.
    fn iter(&mut self) {
        let worker = self.random.below(WORKERS * 2);
        let pattern = if worker < WORKERS { format!("w{worker:02}-*") } else { "*".into() };
        let asked = |channel: &Channel| worker >= WORKERS || channel.worker() == worker;
        let marks = self.stage.ledger.marks();
        let mut listed = BTreeMap::new();
        let mut last = None;
        let mut reported = self.reported();
        for state in self.stage.hub.iter(&pattern).unwrap() {
            let channel = Channel::of_name(&state.channel);
            assert!(asked(&channel) && last.as_ref().is_none_or(|last| *last < state.channel), "{channel:?}");
            // The state was read now, and not when the iteration began, so `reported` is a lower
            // bound.
            self.judge(channel, marks[channel.0], reported[channel.0], &state.state);
            last = Some(state.channel);
            reported = self.reported();
            listed.insert(channel.0, ());
        }
        self.stage.tally.count(Event::Listed);
        for channel in Channel::all().filter(asked) {
            let is = self.stage.ledger.since(channel, marks[channel.0]);
            if is.is_settled() {
                let is_there = is != Conditions::ABSENT;
                assert_eq!(listed.contains_key(&channel.0), is_there, "{} was {is:?}", channel.name());
            }
        }
    }

    /// The edition that every channel's worker has reported so far.
    fn reported(&self) -> Vec<Edition> {
        Channel::all().map(|channel| self.stage.ledger.reported(channel)).collect()
    }

    /// Cuts some channels, or all channels of some workers.
    fn some(&mut self) -> Vec<Channel> {
        let count: usize = 1 << self.random.below(6);
        match self.random.below(2) {
            0 => (0..count).map(|_| Channel(self.random.below(ALL))).collect(),
            _ => {
                let first = self.random.below(WORKERS);
                let workers = (0..count.div_ceil(CHANNELS)).map(|next| (first + next) % WORKERS);
                workers
                    .flat_map(|worker| (0..CHANNELS).map(move |place| Channel::new(worker, place)))
                    .collect()
            }
        }
    }

    fn cut(&mut self) {
        let channels = self.some();
        let (marks, reported) = (self.stage.ledger.marks(), self.reported());
        let cut: Cut<Vec<u8>> = self.stage.hub.cut(channels.iter().map(|channel| channel.name()));
        assert_eq!(cut.states.len(), channels.len());
        let mut contents = Vec::new();
        for (channel, state) in channels.iter().zip(&cut.states) {
            assert_eq!(*state.channel, *channel.name());
            if matches!(state.state, Err(QueryError::Snapshot(SnapshotError::Contended { .. }))) {
                // The writer overwrote the state during every attempt. The cut reports that it has
                // no state.
                assert_ne!(cut.moment, CutTime::Instant, "{channel:?}");
                continue;
            }
            let content = self.judge(*channel, marks[channel.0], reported[channel.0], &state.state);
            if let (Some(content), Ok(snapshot)) = (content, &state.state) {
                let timestamp = snapshot.info().monotonic_nanos().expect("the writers store timestamps");
                assert!(
                    may_contain(cut.moment, state.skew, timestamp),
                    "{:?} {:?} {timestamp}",
                    cut.moment,
                    state.skew
                );
                contents.push((*channel, content));
            }
        }
        self.stage.tally.count(if cut.moment == CutTime::Instant { Event::Instant } else { Event::AsOf });
        if cut.is_consistent() {
            self.compare(&contents, cut.moment);
        }
    }

    /// No state of a consistent cut contains a later edition of another channel than the one in the
    /// cut.
    fn compare(&self, contents: &[(Channel, Content)], moment: CutTime) {
        for (one, knows) in contents {
            for (other, found) in contents.iter().filter(|(other, _)| other.worker() == one.worker()) {
                if one == other {
                    assert_eq!(knows, found, "{} twice in a cut", one.name());
                    continue;
                }
                let known = knows.known[other.place()];
                let (one, other) = (one.name(), other.name());
                assert!(
                    found.edition >= known,
                    "{one} knows of {other} {known:?}, in the cut is {found:?}, {moment:?}"
                );
                self.stage.tally.count(Event::PairOfOneWorker);
            }
        }
    }
}

/// Whether a state with this timestamp may be in a cut of this time.
fn may_contain(moment: CutTime, skew: Skew, timestamp: u64) -> bool {
    match (moment, skew) {
        (CutTime::Instant, skew) => skew == Skew::None,
        (CutTime::AsOf { monotonic_nanos }, Skew::None) => timestamp <= monotonic_nanos,
        (CutTime::AsOf { monotonic_nanos }, Skew::Later(late)) => {
            u128::from(timestamp) == u128::from(monotonic_nanos) + late.as_nanos()
        }
        // The latest state was overwritten while its timestamp was read.
        (CutTime::AsOf { .. }, Skew::NoTimestamps) => true,
        _ => false,
    }
}
