//! The promise: **what the main process sees of a fleet is what the fleet is.** A hub never shows a
//! torn or foreign state, calls no live writer dead and no dead writer alive, never goes back,
//! misses no change, and keeps nothing when it is dropped.
//!
//! Twelve worker processes with four channels each publish at rates from once a second to flat out.
//! Twelve worker processes with four channels each publish at rates from once a second to flat out.
//! At random they are killed (also in the middle of opening and ending channels), stopped and
//! continued, started again, ended. Their channels are created, taken over, grown, shrunk, closed
//! with and without linger, removed. The namespace is cleaned. At the same time several threads
//! share one hub and ask for states, listings, status, cuts and changes. A thread that changes a
//! channel records the change before and after (`ledger.rs`). Every answer is compared with the
//! conditions during the query. If no change was under way, only one answer is right.
//!
//! The test takes five seconds, or `TEARLESS_FLEET_SECONDS`. `TEARLESS_FLEET_SEED` repeats the
//! random choices of an earlier run, though not the timing of the system. `ci/fleet` runs the same
//! test in release mode for a minute.
//!
//! No worker is stopped while it opens or ends a channel, because other processes would wait for
//! it: see "The writer's claim" in docs/architecture.md.

#[path = "../common/mod.rs"]
mod common;
mod leaks;
mod ledger;
mod observer;
mod post;
mod stage;
mod state;
mod watcher;
mod worker;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{OwnNamespace, role};
use ledger::{Ledger, Tally};
use observer::{Observer, Question};
use post::Post;
use stage::{EndOnPanic, Stage};
use state::{CHANNELS, WORKERS};
use tearless::{Bytes, cleanup::Retention};
use watcher::Watcher;

// The only test of this program: everything that the process has open must be this test's.
const TEST: &str = "the_main_process_sees_what_the_fleet_is";
const SECONDS: u64 = 5;

/// The extra time for every event to occur at least once.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a state is fresh. One channel of each worker is slower than that.
const FRESH: Duration = Duration::from_millis(100);

fn from_environment(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is not a number")))
}

#[test]
fn the_main_process_sees_what_the_fleet_is() {
    if let Some((worker, namespace)) = role() {
        return worker::work(worker.parse().unwrap(), namespace);
    }
    state::assert_that_damage_is_noticed();
    let seconds = from_environment("TEARLESS_FLEET_SECONDS").unwrap_or(SECONDS);
    let seed =
        from_environment("TEARLESS_FLEET_SEED").unwrap_or_else(|| RandomState::new().hash_one(seconds));
    println!("\n{WORKERS} workers with {CHANNELS} channels each, {seconds} s, TEARLESS_FLEET_SEED={seed}");

    let own = OwnNamespace::new(&[]);
    let before = leaks::Resources::now();
    let hub = own.hub_builder().codec::<Bytes>().fresh_within(FRESH).open();
    let stage = Stage {
        namespace: own.namespace.clone(),
        hub,
        ledger: Ledger::new(),
        tally: Tally::default(),
        seed,
        is_over: AtomicBool::new(false),
    };
    let prefix = leaks::prefix_of(&stage.namespace);
    play(&stage, Duration::from_secs(seconds));
    println!("{}", stage.tally);
    let missing = stage.tally.missing();
    assert!(missing.is_empty(), "never happened: {missing:?}");

    let cleaned = own.clean(Retention::Nothing).unwrap();
    assert!(cleaned.failed.is_empty(), "{cleaned}");
    assert_eq!(testkit::objects::listed(&prefix), Vec::<String>::new(), "left in /dev/shm");
    assert!(stage.hub.channels("*").unwrap().is_empty());
    // A thread that could not free a mapping while others were reading keeps it until its next
    // attempt.
    let mappings = leaks::Resources::now().mappings();
    assert!(mappings <= 3 * WORKERS * CHANNELS, "{mappings} mappings of channels that are gone");
    drop(stage);
    leaks::assert_back_at(&before);
    println!("the fleet was seen as it was");
}

/// Runs all threads until the time is over and every event has occurred.
fn play(stage: &Stage, long: Duration) {
    let questions =
        [Question::Get, Question::Get, Question::Iter, Question::Status, Question::Status, Question::Cut];
    thread::scope(|scope| {
        for worker in 0..WORKERS {
            scope.spawn(move || {
                let _guard = EndOnPanic(stage);
                Post::new(stage, worker).man();
            });
        }
        for (stream, question) in (2_000..).zip(questions) {
            scope.spawn(move || Observer::new(stage, stream).ask(question));
        }
        for (stream, worker) in (3_000..).zip([None, Some(0), Some(1)]) {
            scope.spawn(move || Watcher::new(stage, worker, stream).wait());
        }
        let begin = Instant::now();
        let is_done = || begin.elapsed() >= long && stage.tally.missing().is_empty();
        while !is_done() && begin.elapsed() < long + PATIENCE && !stage.is_over.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(10));
        }
        stage.is_over.store(true, Ordering::Relaxed);
    });
}
