//! The true condition of every channel, recorded by the threads that change it; and the number of
//! occurrences of each event.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::state::{ALL, Channel, Edition};

/// The conditions that a channel may be in: one when it is settled, several during an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Conditions(u8);

impl Conditions {
    /// No channel has the name.
    pub(crate) const ABSENT: Conditions = Conditions(1);
    /// Its worker runs.
    pub(crate) const LIVING: Conditions = Conditions(2);
    /// Its worker is stopped.
    pub(crate) const STOPPED: Conditions = Conditions(4);
    /// Its worker was killed.
    pub(crate) const DEAD: Conditions = Conditions(8);
    /// It was closed, and its last state remains.
    pub(crate) const CLOSED: Conditions = Conditions(16);
    /// Its worker has not finished creating or ending it, or was killed while doing so.
    pub(crate) const HALF_DONE: Conditions = Conditions(32);

    const NAMES: [&str; 6] = ["absent", "living", "stopped", "dead", "closed", "half done"];

    pub(crate) const fn or(self, other: Conditions) -> Conditions {
        Conditions(self.0 | other.0)
    }

    pub(crate) fn may_be(self, other: Conditions) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) fn is_within(self, other: Conditions) -> bool {
        self.0 & !other.0 == 0
    }

    pub(crate) fn is_settled(self) -> bool {
        self.0.is_power_of_two()
    }
}

impl fmt::Debug for Conditions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = (0..6).filter(|bit| self.0 >> bit & 1 == 1).map(|bit| Self::NAMES[bit]);
        formatter.write_str(&names.collect::<Vec<_>>().join(" or "))
    }
}

/// A moment in the life of one channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(usize);

/// The conditions of each channel, present and past.
pub(crate) struct Ledger {
    entries: Vec<Entry>,
}

struct Entry {
    conditions: Mutex<Vec<Conditions>>,
    /// The latest edition that its worker has reported.
    reported: AtomicU64,
}

impl Ledger {
    pub(crate) fn new() -> Ledger {
        let entry =
            || Entry { conditions: Mutex::new(vec![Conditions::ABSENT]), reported: AtomicU64::new(0) };
        Ledger { entries: (0..ALL).map(|_| entry()).collect() }
    }

    /// Records a channel's conditions from now on: before an operation on it begins, and when the
    /// operation is done.
    pub(crate) fn write(&self, channel: Channel, conditions: Conditions) {
        self.entries[channel.0].conditions.lock().unwrap().push(conditions);
    }

    pub(crate) fn now(&self, channel: Channel) -> Conditions {
        *self.entries[channel.0].conditions.lock().unwrap().last().unwrap()
    }

    pub(crate) fn mark(&self, channel: Channel) -> Mark {
        Mark(self.entries[channel.0].conditions.lock().unwrap().len() - 1)
    }

    pub(crate) fn marks(&self) -> Vec<Mark> {
        Channel::all().map(|channel| self.mark(channel)).collect()
    }

    /// The conditions that a channel may have had at any time from `mark` until now.
    pub(crate) fn since(&self, channel: Channel, mark: Mark) -> Conditions {
        let conditions = self.entries[channel.0].conditions.lock().unwrap();
        conditions[mark.0..].iter().fold(Conditions(0), |all, one| all.or(*one))
    }

    /// The conditions that a channel may have had at any time from `mark` until another moment.
    pub(crate) fn between(&self, channel: Channel, from: Mark, to: Mark) -> Conditions {
        let conditions = self.entries[channel.0].conditions.lock().unwrap();
        conditions[from.0..=to.0].iter().fold(Conditions(0), |all, one| all.or(*one))
    }

    /// Records the edition that the worker has reported. It is published, so no reader may see an
    /// earlier edition from now on.
    pub(crate) fn report(&self, channel: Channel, edition: Edition) {
        // Release: pairs with the load in `reported`. A thread that loads the edition sees
        // everything that happened before, whichever way the test passes the edition on.
        self.entries[channel.0].reported.fetch_max(edition.0, Ordering::Release);
    }

    pub(crate) fn reported(&self, channel: Channel) -> Edition {
        Edition(self.entries[channel.0].reported.load(Ordering::Acquire))
    }
}

/// The events that must occur. Without them the test has tested nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    Start,
    CleanEnd,
    Kill,
    KillOfStopped,
    KillInCommand,
    Stop,
    Continue,
    Create,
    TakeOver,
    Close,
    Linger,
    Grow,
    Shrink,
    Remove,
    Clean,
    Fresh,
    Unchanged,
    Stalled,
    Dead,
    Closed,
    Empty,
    Gone,
    Got,
    Listed,
    Instant,
    AsOf,
    PairOfOneWorker,
    Awaited,
    AwaitedInVain,
    Demanded,
    DemandedEnd,
}

const EVENTS: [Event; 31] = [
    Event::Start,
    Event::CleanEnd,
    Event::Kill,
    Event::KillOfStopped,
    Event::KillInCommand,
    Event::Stop,
    Event::Continue,
    Event::Create,
    Event::TakeOver,
    Event::Close,
    Event::Linger,
    Event::Grow,
    Event::Shrink,
    Event::Remove,
    Event::Clean,
    Event::Fresh,
    Event::Unchanged,
    Event::Stalled,
    Event::Dead,
    Event::Closed,
    Event::Empty,
    Event::Gone,
    Event::Got,
    Event::Listed,
    Event::Instant,
    Event::AsOf,
    Event::PairOfOneWorker,
    Event::Awaited,
    Event::AwaitedInVain,
    Event::Demanded,
    Event::DemandedEnd,
];

/// The number of occurrences of each event.
#[derive(Default)]
pub(crate) struct Tally([AtomicU64; EVENTS.len()]);

impl Tally {
    pub(crate) fn count(&self, event: Event) {
        // Relaxed: the counter orders no other data.
        self.0[event as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The events that have not occurred yet.
    pub(crate) fn missing(&self) -> Vec<Event> {
        let never = |event: &Event| self.0[*event as usize].load(Ordering::Relaxed) == 0;
        EVENTS.into_iter().filter(never).collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for event in EVENTS {
            writeln!(
                formatter,
                "{:<18} {:>10}",
                format!("{event:?}"),
                self.0[event as usize].load(Ordering::Relaxed)
            )?;
        }
        Ok(())
    }
}
