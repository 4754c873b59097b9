//! The handshake of waiting under loom: a lost wake-up is a waiter that sleeps for ever, which loom
//! detects.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use loom::model::Builder;
use loom::sync::{Condvar, Mutex};
use loom::thread;

use super::Operation;
use super::loom_memory::LoomMemory;
use super::world::Handle;
use crate::layout::{Publication, control, registry};
use crate::memory::{CountingMemory, Memory};
use crate::seqlock::{Announcements, Answered, Published, WakeMode, WakeUps, announce_waiter, count_wake_up};

/// Any word can be the counter: loom's memory has only the words that are named.
const COUNTER: usize = control::PUBLISHED + 1;
/// The wake-ups of the group, and of all.
const GROUP: usize = COUNTER + 1;
const ALL: usize = GROUP + 1;

/// How a mutant deviates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutation {
    Nothing,
    /// The waiter has no barrier (s3).
    WaiterWithoutBarrier,
    /// The writer has none (p2).
    WriterWithoutBarrier,
    /// The writer treats the count after the publication as answered.
    AnswersWhatItCountsAfterwards,
    /// The writer never wakes a waiter.
    Sleepless,
    /// The waiter looks where wake-ups were counted, then announces itself, and does not look
    /// again.
    LooksBeforeItAnnounces,
    /// The waiter announces itself once, and relies on the group's wake-ups from then on.
    AnnouncesOnce,
    /// The writer counts all wake-ups before the group's.
    CountsAllFirst,
    /// The writer orders neither the publication before the group's wake-up, nor that before all
    /// wake-ups.
    CountsWithoutFences,
    /// The waiter orders neither its look at the group after that at all wake-ups, nor that at the
    /// channel after both.
    LooksWithoutFences,
}

/// The word `published`, the counter, and the kernel's wait queue.
#[derive(Clone)]
struct Shared {
    memory: LoomMemory,
    queue: Arc<(Mutex<()>, Condvar)>,
    mutation: Mutation,
}

impl Shared {
    fn new(mutation: Mutation) -> Shared {
        let memory = LoomMemory::new(&[control::PUBLISHED, COUNTER]);
        Shared { memory, queue: Arc::new((Mutex::new(()), Condvar::new())), mutation }
    }

    /// The kernel compares and sleeps in one step: a wake-up comes before or after it. If before,
    /// the lock has handed over the publication.
    fn sleep(&self, seen: u64) {
        let guard = self.queue.0.lock().expect("no panic while it is held");
        if Published::of_channel(&self.memory).peek() == seen {
            drop(self.queue.1.wait(guard).expect("no panic while it is held"));
        }
    }

    /// The kernel's first step of a wake-up.
    fn wake(&self) {
        let _guard = self.queue.0.lock().expect("no panic while it is held");
        self.queue.1.notify_all();
    }

    fn publish(&self, publications: u64) {
        let counter = Announcements::new(self.memory.clone(), COUNTER);
        let mut answered = Answered::none_of(counter.count());
        for number in 1..=publications {
            let before = counter.count();
            Published::of_channel(&self.memory).announce(Publication::new(number).expect("a small number"));
            let after = match self.mutation {
                Mutation::WriterWithoutBarrier => counter.count(),
                _ => counter.count_after(WakeMode::Fences),
            };
            let answer =
                if self.mutation == Mutation::AnswersWhatItCountsAfterwards { after } else { before };
            if answered.must_wake(answer, after) && self.mutation != Mutation::Sleepless {
                self.wake();
            }
        }
    }

    fn follow(&self, publications: u64) {
        let mut seen = 0;
        while seen < publications {
            let latest = Published::of_channel(&self.memory).latest().map_or(0, Publication::get);
            if latest > seen {
                seen = latest;
            } else {
                match self.mutation {
                    Mutation::WaiterWithoutBarrier => self.memory.increment(COUNTER),
                    _ => announce_waiter(&self.memory, [COUNTER]),
                }
                self.sleep(seen);
            }
        }
    }
}

/// A channel's number, by which of the two channels of a group it is.
fn published(memory: &LoomMemory, channel: usize) -> Published<'_, LoomMemory> {
    if channel == 0 { Published::of_channel(memory) } else { Published::of_entry(memory, 0) }
}

/// Two channels of one group, and a waiter for both that looks only after a wake-up of the group.
impl Shared {
    fn group(mutation: Mutation) -> Shared {
        let words = [registry::entry::PUBLISHED, control::PUBLISHED, COUNTER, GROUP, ALL];
        Shared { memory: LoomMemory::new(&words), ..Shared::new(mutation) }
    }

    fn sleep_on_all(&self, seen: u64) {
        let guard = self.queue.0.lock().expect("no panic while it is held");
        if self.memory.load(ALL) == seen {
            drop(self.queue.1.wait(guard).expect("no panic while it is held"));
        }
    }

    fn publish_and_count(&self, channel: usize, publications: u64) {
        let counter = Announcements::new(self.memory.clone(), COUNTER);
        let mut answered = Answered::none_of(counter.count());
        for number in 1..=publications {
            let before = counter.count();
            published(&self.memory, channel).announce(Publication::new(number).expect("a small number"));
            if answered.must_wake(before, counter.count_after(WakeMode::Fences)) {
                match self.mutation {
                    Mutation::CountsAllFirst => count_wake_up(&self.memory, ALL, GROUP),
                    Mutation::CountsWithoutFences => {
                        count_wake_up(&self.memory.weakened(Some(Operation::ReleaseFence)), GROUP, ALL);
                    }
                    _ => count_wake_up(&self.memory, GROUP, ALL),
                }
                self.wake();
            }
        }
    }

    /// The steps of `waiting::AnyWaiter`, until channel 0 and channel 1 have these publications.
    fn follow_group(&self, wanted: [u64; 2]) {
        let weakened = (self.mutation == Mutation::LooksWithoutFences).then_some(Operation::AcquireFence);
        let page = self.memory.weakened(weakened);
        let (mut wake_ups, mut seen, mut is_pending) = (WakeUps::new(GROUP, 1), [0; 2], true);
        let look = || [0, 1].map(|channel| published(&page, channel).latest().map_or(0, Publication::get));
        let (mut is_first, announces_once) = (true, self.mutation == Mutation::AnnouncesOnce);
        while seen != wanted {
            let all = wake_ups.since(&page, ALL, |_| is_pending = true);
            if is_pending {
                let before = look();
                if is_first || !announces_once {
                    announce_waiter(&self.memory, [COUNTER]);
                }
                (is_pending, is_first) = (false, false);
                seen = if self.mutation == Mutation::LooksBeforeItAnnounces { before } else { look() };
            }
            if seen != wanted {
                self.sleep_on_all(all);
            }
        }
    }
}

/// Whether no waiter sleeps for ever, in any execution, or in any with at most this many
/// preemptions: loom ends a model in which no thread can continue.
fn every_waiter_wakes(
    waiters: usize,
    publications: u64,
    preemptions: Option<usize>,
    mutation: Mutation,
) -> bool {
    wakes(preemptions, move || {
        let shared = Shared::new(mutation);
        let waiters: Vec<_> = (0..waiters)
            .map(|_| {
                let shared = shared.clone();
                thread::spawn(move || shared.follow(publications))
            })
            .collect();
        shared.publish(publications);
        waiters
            .into_iter()
            .for_each(|waiter| waiter.join().expect("loom ends the model when a thread panics"));
    })
}

/// The same for one waiter for two channels of a group.
fn the_waiter_of_a_group_wakes(wanted: [u64; 2], preemptions: Option<usize>, mutation: Mutation) -> bool {
    wakes(preemptions, move || {
        let shared = Shared::group(mutation);
        let start = |work: fn(&Shared, [u64; 2])| {
            let shared = shared.clone();
            thread::spawn(move || work(&shared, wanted))
        };
        let others: [fn(&Shared, [u64; 2]); 2] =
            [Shared::follow_group, |shared, [_, second]| shared.publish_and_count(1, second)];
        let others: Vec<_> =
            others[..if wanted[1] == 0 { 1 } else { 2 }].iter().map(|work| start(*work)).collect();
        shared.publish_and_count(0, wanted[0]);
        others.into_iter().for_each(|other| other.join().expect("loom ends the model when a thread panics"));
    })
}

fn wakes(preemptions: Option<usize>, model: impl Fn() + Sync + Send + 'static) -> bool {
    let mut builder = Builder::new();
    builder.preemption_bound = preemptions;
    match catch_unwind(AssertUnwindSafe(|| builder.check(model))) {
        Ok(()) => true,
        Err(panic) if panic.downcast_ref::<String>().is_some_and(|text| text.contains("deadlock")) => false,
        Err(panic) => resume_unwind(panic),
    }
}

#[test]
fn no_wake_up_is_lost() {
    assert!(every_waiter_wakes(1, 2, None, Mutation::Nothing));
    assert!(every_waiter_wakes(1, 3, Some(3), Mutation::Nothing));
    assert!(every_waiter_wakes(2, 2, Some(2), Mutation::Nothing));
}

#[test]
fn without_any_one_step_of_the_handshake_a_wake_up_is_lost() {
    for mutation in [
        Mutation::WaiterWithoutBarrier,
        Mutation::WriterWithoutBarrier,
        Mutation::AnswersWhatItCountsAfterwards,
        Mutation::Sleepless,
    ] {
        assert!(!every_waiter_wakes(1, 2, None, mutation), "{mutation:?} loses none");
    }
}

#[test]
fn a_waiter_that_looks_where_a_wake_up_was_counted_misses_nothing() {
    assert!(the_waiter_of_a_group_wakes([1, 0], None, Mutation::Nothing));
    assert!(the_waiter_of_a_group_wakes([3, 0], Some(2), Mutation::Nothing));
    assert!(the_waiter_of_a_group_wakes([1, 1], Some(2), Mutation::Nothing));
}

#[test]
fn without_any_one_step_of_the_wake_up_a_publication_is_missed() {
    for mutation in [
        Mutation::LooksBeforeItAnnounces,
        Mutation::AnnouncesOnce,
        Mutation::CountsAllFirst,
        Mutation::CountsWithoutFences,
        Mutation::LooksWithoutFences,
    ] {
        let holds = the_waiter_of_a_group_wakes([2, 0], Some(3), mutation)
            && the_waiter_of_a_group_wakes([1, 1], Some(2), mutation);
        assert!(!holds, "{mutation:?} misses none");
    }
}
