//! The handshake of waiting under loom: a lost wake-up is a waiter that sleeps for ever, which loom
//! detects.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use loom::model::Builder;
use loom::sync::{Condvar, Mutex};
use loom::thread;

use super::loom_memory::LoomMemory;
use crate::layout::{Publication, control};
use crate::memory::CountingMemory;
use crate::seqlock::{Announcements, Answered, Published, WakeMode, announce_waiter};

/// Any word can be the counter: loom's memory has only the words that are named.
const COUNTER: usize = control::PUBLISHED + 1;

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

/// Whether no waiter sleeps for ever, in any execution, or in any with at most this many
/// preemptions: loom ends a model in which no thread can continue.
fn every_waiter_wakes(
    waiters: usize,
    publications: u64,
    preemptions: Option<usize>,
    mutation: Mutation,
) -> bool {
    let mut builder = Builder::new();
    builder.preemption_bound = preemptions;
    let model = move || {
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
    };
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
