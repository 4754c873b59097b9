//! The processes that publish while others read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use testkit::child;

use crate::common::{SLEEPS, await_tick, boxed, spread};
use crate::dispatch::{self, Visit};
use crate::peer::{Publish, Shared};
use crate::place::Place;
use crate::worker_state::WorkerState;

/// The number of states to publish. A torn read that has parts of two of them is detected.
const PREPARED: u64 = 7;

/// Shared by the thread that listens and the thread that publishes.
#[derive(Default)]
struct Progress {
    published: AtomicU64,
    stop: AtomicBool,
}

/// Publishes until the input ends. Answers every line with the number of publications so far.
pub(crate) fn run(peer: &str, words: usize, hertz: Option<u32>, place: &Place) {
    let period = hertz.map(|hertz| Duration::from_secs(1) / hertz);
    dispatch::visit(peer, words, Publishing { place, period });
}

/// Publishes a serde state, in the default codec, a thousand times a second.
pub(crate) fn run_state(jobs: usize, place: &Place) {
    let mut writer = place.namespace().writer::<WorkerState>(place.name()).expect("there is room");
    let states = [WorkerState::new(jobs, 1), WorkerState::new(jobs, 2)];
    writer.publish(&states[0]).expect("the state fits");
    let progress = listen();
    let mut turn = 0;
    while !progress.stop.load(Ordering::Relaxed) {
        thread::sleep(SLEEPS);
        turn = 1 - turn;
        writer.publish(&states[turn]).expect("the state fits");
    }
}

struct Publishing<'a> {
    place: &'a Place,
    period: Option<Duration>,
}

impl Visit for Publishing<'_> {
    type Output = ();

    fn visit<P: Shared<WORDS>, const WORDS: usize>(self) {
        let mut publisher = P::publisher(self.place);
        let states = prepared::<WORDS>();
        publisher.publish(&states[0]);
        let progress = listen();
        let mut next = Instant::now();
        for (number, state) in (1..).zip(states.iter().cycle()) {
            if progress.stop.load(Ordering::Relaxed) {
                break;
            }
            if let Some(period) = self.period {
                next = await_tick(next, period);
            }
            publisher.publish(state);
            progress.published.store(number, Ordering::Relaxed);
        }
    }
}

/// States that are published in turn, so that a flat-out writer does nothing but publish. Each is a
/// number, then words that depend on it: no two states have a word in common.
fn prepared<const WORDS: usize>() -> Vec<Box<[u64; WORDS]>> {
    let state = |number| boxed(|word| if word == 0 { number } else { spread(number) });
    (1..=PREPARED).map(state).collect()
}

/// Whether a state is one whole publication, from its number. Compares every word, without a branch
/// for each.
pub(crate) fn is_whole(state: &[u64]) -> bool {
    let expected = spread(state[0]);
    state[1..].iter().fold(0, |differences, word| differences | (word ^ expected)) == 0
}

/// Reports that this process is ready, and answers from now on.
fn listen() -> Arc<Progress> {
    let progress = Arc::new(Progress::default());
    let shared = Arc::clone(&progress);
    child::ready();
    thread::spawn(move || {
        while child::next_order().is_some() {
            println!("{}", shared.published.load(Ordering::Relaxed));
        }
        shared.stop.store(true, Ordering::Relaxed);
    });
    progress
}
