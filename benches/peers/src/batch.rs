//! Timing of operations that are much shorter than a reading of the clock: many of them at a time.

use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::peer::{Publish, Read};
use crate::report::median;

/// The longest batch, however fast the operation looks.
const MAX: u64 = 1 << 24;

/// Repeats an operation the given number of times, and returns the total time.
pub(crate) type Batch = Box<dyn FnMut(u64) -> Duration>;

/// Publications of one state.
pub(crate) fn publications<const WORDS: usize>(
    publisher: &Rc<RefCell<impl Publish<WORDS> + 'static>>,
    state: Box<[u64; WORDS]>,
) -> Batch {
    let publisher = Rc::clone(publisher);
    Box::new(move |times| {
        let publisher = &mut *publisher.borrow_mut();
        let begin = Instant::now();
        for _ in 0..times {
            publisher.publish(black_box(&state));
        }
        begin.elapsed()
    })
}

/// Publications of a state of which one word changes in between, as a worker's would. The copy
/// then loads what was stored just before, and by a narrower store.
pub(crate) fn changing<const WORDS: usize>(
    publisher: &Rc<RefCell<impl Publish<WORDS> + 'static>>,
    mut state: Box<[u64; WORDS]>,
) -> Batch {
    let publisher = Rc::clone(publisher);
    Box::new(move |times| {
        let publisher = &mut *publisher.borrow_mut();
        let begin = Instant::now();
        for _ in 0..times {
            state[0] = state[0].wrapping_add(1);
            publisher.publish(black_box(&state));
        }
        begin.elapsed()
    })
}

/// Reads of the latest state.
pub(crate) fn reads<const WORDS: usize>(mut reader: impl Read<WORDS> + 'static) -> Batch {
    Box::new(move |times| time_reads(&mut reader, times))
}

/// The time of `times` reads.
pub(crate) fn time_reads<const WORDS: usize>(reader: &mut impl Read<WORDS>, times: u64) -> Duration {
    let begin = Instant::now();
    for _ in 0..times {
        black_box(reader.read(|state| {
            black_box(state);
        }));
    }
    begin.elapsed()
}

/// The median nanoseconds of each operation, over rounds in which each has a turn.
pub(crate) fn in_turns(batches: &mut [Batch], rounds: usize, duration: Duration) -> Vec<f64> {
    let times: Vec<u64> = batches.iter_mut().map(|batch| calibrate(batch, duration)).collect();
    let mut nanos = vec![Vec::new(); batches.len()];
    for _ in 0..rounds {
        for ((batch, times), nanos) in batches.iter_mut().zip(&times).zip(&mut nanos) {
            // The previous operation has filled the cache with its own data.
            batch(times / 8 + 1);
            nanos.push(batch(*times).as_nanos() as f64 / *times as f64);
        }
    }
    nanos.into_iter().map(median).collect()
}

/// How many operations take about `duration`. Also warms up.
fn calibrate(batch: &mut Batch, duration: Duration) -> u64 {
    let mut times = 1;
    loop {
        let taken = batch(times).max(Duration::from_nanos(1));
        if taken >= duration || times >= MAX {
            let fitting = times as f64 * duration.as_secs_f64() / taken.as_secs_f64();
            return (fitting as u64).clamp(1, MAX);
        }
        times *= 2;
    }
}
