//! A thread of the main process that waits for changes: every channel that changes between two
//! calls is named.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

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
}

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
        Watcher {
            stage,
            random: Random::new(stage.seed, stream),
            observer: Observer::new(stage, stream),
            watch: stage.hub.watch(&pattern),
            channels: Channel::all().filter(ours).collect(),
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
            let named = self.call();
            for index in 0..self.channels.len() {
                self.check_publications(index, &after_last, &before, &named);
                self.check_ends(index, &before_last, &after_last, &before, &named);
                self.check_silence(index, &before_last, &named);
                // Either the last call or this one may name a change during the last call.
                let either = last.contains(&index) || named.contains(&index);
                assert!(
                    either || !self.must_be_named(index, &before_last, &after_last),
                    "{}",
                    self.name(index)
                );
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

    fn check_publications(&self, index: usize, from: &Picture, to: &Picture, named: &BTreeSet<usize>) {
        if self.must_be_named(index, from, to) {
            let (old, new) = (from.editions[index], to.editions[index]);
            assert!(
                named.contains(&index),
                "{} went from {old:?} to {new:?} without notice",
                self.name(index)
            );
            self.stage.tally.count(Event::Demanded);
        }
    }

    /// A channel that existed during all of the last call and then ended is named, too.
    fn check_ends(
        &self,
        index: usize,
        before_last: &Picture,
        after_last: &Picture,
        before: &Picture,
        named: &BTreeSet<usize>,
    ) {
        let ledger = &self.stage.ledger;
        let channel = self.channels[index];
        // It existed until the pictures between the calls were begun.
        let was_there =
            ledger.between(channel, before_last.marks[index], after_last.marks[index]).is_within(OPEN);
        let has_ended = before.now[index].is_settled() && before.now[index].is_within(ENDED);
        if was_there && has_ended && self.since(index, before) == before.now[index] {
            assert!(named.contains(&index), "{} ended, unnoticed", self.name(index));
            self.stage.tally.count(Event::DemandedEnd);
        }
    }

    /// A channel that has been dead since before the last call is not named.
    fn check_silence(&self, index: usize, before_last: &Picture, named: &BTreeSet<usize>) {
        if self.since(index, before_last) == Conditions::DEAD {
            assert!(!named.contains(&index), "{} is dead, and was named", self.name(index));
        }
    }
}
