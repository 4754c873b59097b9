//! The processes that publish while others read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{boxed, spread};
use crate::dispatch::{self, Visit};
use crate::peer::{Publish, Shared};
use crate::place::Place;
use crate::worker::next_order;
use crate::worker_state::WorkerState;

/// From this period on the publisher sleeps instead of watching the clock.
const SLEEPS: Duration = Duration::from_millis(1);

/// What the thread that listens and the one that publishes share.
#[derive(Default)]
struct Progress {
    published: AtomicU64,
    stop: AtomicBool,
}

/// Publishes until the input ends. Answers every line by how often it has published.
pub(crate) fn run(peer: &str, words: usize, hertz: Option<u32>, place: &Place) {
    let period = hertz.map(|hertz| Duration::from_secs(1) / hertz);
    dispatch::visit(peer, words, Publishing { place, period });
}

/// Publishes a state of serde, in the default codec, a thousand times a second.
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
        let mut state = boxed::<WORDS>(|_| 0);
        fill(&mut state[..], 1);
        publisher.publish(&state);
        let progress = listen();
        let mut next = Instant::now();
        for number in 2.. {
            if progress.stop.load(Ordering::Relaxed) {
                break;
            }
            if let Some(period) = self.period {
                next = await_tick(next, period);
            }
            fill(&mut state[..], number);
            publisher.publish(&state);
            progress.published.store(number, Ordering::Relaxed);
        }
    }
}

/// What is published as number `number`: the number itself, then a word that depends on it.
fn fill(state: &mut [u64], number: u64) {
    state.fill(spread(number));
    state[0] = number;
}

/// Whether a state is a whole publication, from its number. Looks at every word, without a branch for each.
pub(crate) fn is_whole(state: &[u64]) -> bool {
    let expected = spread(state[0]);
    state[1..].iter().fold(0, |differences, word| differences | (word ^ expected)) == 0
}

/// Waits until `tick` and returns the next one. A tick that was missed is not caught up on: a burst would follow.
fn await_tick(tick: Instant, period: Duration) -> Instant {
    let mut now = Instant::now();
    if period >= SLEEPS {
        thread::sleep(tick.saturating_duration_since(now));
    } else {
        while now < tick {
            std::hint::spin_loop();
            now = Instant::now();
        }
    }
    (tick + period).max(now)
}

/// Says that all is ready, and answers from now on.
fn listen() -> Arc<Progress> {
    let progress = Arc::new(Progress::default());
    let told = Arc::clone(&progress);
    println!("ready");
    thread::spawn(move || {
        while next_order().is_some() {
            println!("{}", told.published.load(Ordering::Relaxed));
        }
        told.stop.store(true, Ordering::Relaxed);
    });
    progress
}
