//! A thread of the main process that waits for changes: every channel that changes between two
//! calls is named by the second one, or soon after it if its writer has woken no process yet.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use tearless::hub::HubWatch;

use super::ledger::{Conditions, Event, Mark};
use super::observer::Observer;
use super::stage::{EndOnPanic, Stage};
use super::state::{Channel, Edition, Random};

/// Health that a watched channel keeps.
const OPEN: Conditions = Conditions::LIVING.or(Conditions::STOPPED).or(Conditions::DEAD);
const ENDED: Conditions = Conditions::CLOSED.or(Conditions::ABSENT);

pub(crate) struct Watcher<'a> {
    stage: &'a Stage,
    random: Random,
    observer: Observer<'a>,
    watch: HubWatch,
    channels: Vec<Channel>,
    timeout: Duration,
    /// Of each channel the change that a call has still to name.
    owed: Vec<Option<Owed>>,
    /// Everything that was published before these marks has been looked at.
    looked_at: Option<Vec<Mark>>,
    /// A moment and its marks: a call that begins [`LOOKS_AT_ALL`] later has looked at what was
    /// there.
    next: (Instant, Vec<Mark>),
}

/// A change that was there when a call began, and was not named by that call: the kernel may take
/// the processor away from a writer, or stop or kill it, before it wakes the waiters. Another
/// channel may then end the call.
struct Owed {
    what: String,
    begin: Instant,
    mark: Mark,
    /// It is owed as long as the channel is one of these.
    within: Conditions,
}

/// How long after the beginning of such a call a later one has to name the change: then it looks at
/// all channels, woken or not.
const LOOKS_AT_ALL: Duration = Duration::from_millis(100);

/// A picture of all channels, taken between two waits.
struct Picture {
    marks: Vec<Mark>,
    now: Vec<Conditions>,
    editions: Vec<Option<Edition>>,
}

impl<'a> Watcher<'a> {
    /// Watches all channels, or those of one worker.
    pub(crate) fn new(stage: &'a Stage, worker: Option<usize>, stream: u64) -> Watcher<'a> {
        let pattern = worker.map_or_else(|| "*".into(), |worker| format!("w{worker:02}-?"));
        let ours = |channel: &Channel| worker.is_none_or(|worker| channel.worker() == worker);
        let channels: Vec<Channel> = Channel::all().filter(ours).collect();
        Watcher {
            stage,
            random: Random::new(stage.seed, stream),
            observer: Observer::new(stage, stream),
            watch: stage.hub.watch(&pattern),
            owed: channels.iter().map(|_| None).collect(),
            looked_at: None,
            next: (Instant::now(), channels.iter().map(|channel| stage.ledger.mark(*channel)).collect()),
            channels,
            timeout: Duration::from_millis(worker.map_or(50, |_| 2)),
        }
    }

    /// Waits, and takes a picture between two calls, until the time is over.
    pub(crate) fn wait(mut self) {
        let _guard = EndOnPanic(self.stage);
        let mut before_last = self.picture();
        let mut last = self.call();
        let mut after_last = self.picture();
        while !self.stage.is_over.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_micros(1 << self.random.below(14)));
            let before = self.picture();
            let begin = Instant::now();
            let named = self.call();
            for index in 0..self.channels.len() {
                self.check_debt(index, begin, &named);
                self.check_publications(index, begin, &after_last, &before, &named);
                self.check_ends(index, begin, [&before_last, &after_last, &before], &named);
                self.check_silence(index, &named);
                // Either the last call or this one may name a change during the last call.
                let either = last.contains(&index) || named.contains(&index);
                if !either && self.must_be_named(index, &before_last, &after_last) {
                    self.owe(index, begin, &after_last, OPEN, "was published on during a call");
                }
                assert!(
                    !named.is_empty() || self.owed[index].is_none(),
                    "{}: nothing is named",
                    self.owed(index)
                );
            }
            if named.is_empty() || begin.duration_since(self.next.0) >= LOOKS_AT_ALL {
                let marks = before.marks.clone();
                self.looked_at = Some(if named.is_empty() { marks.clone() } else { self.next.1.clone() });
                self.next = (begin, marks);
            }
            (before_last, after_last, last) = (before, self.picture(), named);
        }
    }

    fn name(&self, index: usize) -> String {
        self.channels[index].name()
    }

    fn picture(&mut self) -> Picture {
        let marks: Vec<Mark> = self.channels.iter().map(|channel| self.stage.ledger.mark(*channel)).collect();
        let now = self.channels.iter().map(|channel| self.stage.ledger.now(*channel)).collect();
        let editions = self.channels.iter().map(|channel| self.observer.get(*channel)).collect();
        Picture { marks, now, editions }
    }

    /// Which of this watcher's channels are named.
    fn call(&mut self) -> BTreeSet<usize> {
        let named = self.watch.wait_any(self.timeout).unwrap();
        let event = if named.is_empty() { Event::AwaitedInVain } else { Event::Awaited };
        self.stage.tally.count(event);
        assert!(named.is_sorted(), "{named:?}");
        let index = |name: &str| {
            let channel = Channel::of_name(name);
            self.channels.iter().position(|ours| *ours == channel).expect("one that is watched")
        };
        named.iter().map(|name| index(name)).collect()
    }

    /// The conditions that the channel has had since a picture was taken.
    fn since(&self, index: usize, picture: &Picture) -> Conditions {
        self.stage.ledger.since(self.channels[index], picture.marks[index])
    }

    /// Whether the channel has a new publication from one picture to the next, and has existed ever
    /// since.
    fn must_be_named(&self, index: usize, before: &Picture, after: &Picture) -> bool {
        let vanishing = ENDED.or(Conditions::HALF_DONE);
        let is_there = !self.since(index, after).may_be(vanishing);
        is_there && after.editions[index] > before.editions[index]
    }

    /// Notes a change that was there at `begin`, when a call began that did not name it. It is owed
    /// as long as the channel is `within` these conditions.
    fn owe(&mut self, index: usize, begin: Instant, picture: &Picture, within: Conditions, what: &str) {
        let what = format!("{} {what}", self.name(index));
        self.owed[index].get_or_insert(Owed { what, begin, mark: picture.marks[index], within });
    }

    fn owed(&self, index: usize) -> &str {
        self.owed[index].as_ref().map_or("", |owed| &owed.what)
    }

    /// A change that is owed is named before its time is over.
    fn check_debt(&mut self, index: usize, begin: Instant, named: &BTreeSet<usize>) {
        let Some(owed) = self.owed[index].take() else { return };
        let is_owed = self.stage.ledger.since(self.channels[index], owed.mark).is_within(owed.within);
        if is_owed && !named.contains(&index) {
            let since = begin.duration_since(owed.begin);
            assert!(since < LOOKS_AT_ALL, "{}, and is not named after {since:?}", owed.what);
            self.owed[index] = Some(owed);
        }
    }

    fn check_publications(
        &mut self,
        index: usize,
        begin: Instant,
        from: &Picture,
        to: &Picture,
        named: &BTreeSet<usize>,
    ) {
        if !self.must_be_named(index, from, to) {
            return;
        }
        if named.contains(&index) {
            self.stage.tally.count(Event::Demanded);
        } else {
            let (old, new) = (from.editions[index], to.editions[index]);
            self.owe(index, begin, to, OPEN, &format!("went from {old:?} to {new:?}"));
        }
    }

    /// A channel that existed during all of the last call and then ended is named, too.
    fn check_ends(
        &mut self,
        index: usize,
        begin: Instant,
        [before_last, after_last, before]: [&Picture; 3],
        named: &BTreeSet<usize>,
    ) {
        let ledger = &self.stage.ledger;
        let channel = self.channels[index];
        // It existed until the pictures between the calls were begun.
        let was_there =
            ledger.between(channel, before_last.marks[index], after_last.marks[index]).is_within(OPEN);
        let has_ended = before.now[index].is_settled() && before.now[index].is_within(ENDED);
        if was_there && has_ended && self.since(index, before) == before.now[index] {
            if !named.contains(&index) {
                return self.owe(index, begin, before, before.now[index], "ended");
            }
            self.stage.tally.count(Event::DemandedEnd);
        }
    }

    /// A channel that was dead already when it was looked at is not named again.
    fn check_silence(&self, index: usize, named: &BTreeSet<usize>) {
        let Some(marks) = &self.looked_at else { return };
        if self.stage.ledger.since(self.channels[index], marks[index]) == Conditions::DEAD {
            assert!(!named.contains(&index), "{} is dead, and was named", self.name(index));
        }
    }
}
