//! What ticks and flushes publish and which traces they leave.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use super::awkward::{Mood, SLOW};
use super::*;
use crate::error::SpawnError;

#[test]
fn the_initial_state_is_there_before_the_first_tick() {
    let namespace = namespace();
    let state = builder(&namespace, 5).interval(NEVER).spawn().unwrap();
    let mut reader = reader(&namespace);
    assert_eq!(*reader.snapshot().unwrap(), 5);
    assert!(reader.heartbeat_age().is_some());
    assert_eq!(state.channel(), "worker");
    assert_eq!((state.statistics().published, state.statistics().bytes), (1, 8));
}

#[test]
fn a_tick_publishes_what_was_changed() {
    let namespace = namespace();
    let state = builder(&namespace, 5).interval(OFTEN).spawn().unwrap();
    let mut reader = reader(&namespace);
    assert_eq!(state.update(|state| std::mem::replace(state, 6)), 5, "what the closure returns");
    eventually("6 is published", || *reader.snapshot().unwrap() == 6);
    assert_eq!(state.replace(7), 6);
    eventually("7 is published", || *reader.snapshot().unwrap() == 7);
    assert_eq!(state.read(|state| *state), 7);
    assert_eq!(reader.publication(), 3, "each once");
}

#[test]
fn without_changes_there_are_heartbeats_and_no_publications() {
    let namespace = namespace();
    let state = builder(&namespace, 5).interval(OFTEN).spawn().unwrap();
    let reader = reader(&namespace);
    for _ in 0..3 {
        let begin = Instant::now();
        eventually("there is another heartbeat", || has_come_after(begin, reader.heartbeat_age()));
    }
    let statistics = state.statistics();
    assert_eq!((reader.publication(), statistics.published, statistics.skipped), (1, 1, 0));
    assert_eq!(statistics.untouched, statistics.ticks, "nothing was encoded");
}

#[test]
fn what_encodes_to_the_same_bytes_is_skipped() {
    let namespace = namespace();
    let state = builder(&namespace, 5).interval(NEVER).spawn().unwrap();
    let reader = reader(&namespace);
    state.update(|_| ());
    let begin = Instant::now();
    assert_eq!(state.flush().unwrap(), 1);
    assert!(has_come_after(begin, reader.heartbeat_age()));
    assert_eq!(state.flush().unwrap(), 1);
    state.replace(6);
    assert_eq!(state.flush().unwrap(), 2);
    let statistics = state.statistics();
    assert_eq!((statistics.published, statistics.skipped, statistics.untouched), (2, 1, 1));
    assert_eq!((statistics.ticks, statistics.bytes), (0, 16));
    assert!(statistics.max_encode_time <= statistics.encode_time);
}

#[test]
fn a_tick_skips_the_same_bytes_too() {
    let namespace = namespace();
    let state = builder(&namespace, 5).interval(OFTEN).spawn().unwrap();
    eventually("a tick has skipped", || {
        state.update(|_| ());
        state.statistics().skipped > 0
    });
    assert_eq!(reader(&namespace).publication(), 1);
}

#[test]
fn a_panic_in_a_closure_poisons_nothing() {
    let namespace = namespace();
    let state = builder(&namespace, 5).interval(NEVER).spawn().unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        state.update(|state| {
            *state = 6;
            panic!("half-way");
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(state.read(|state| *state), 6, "what the closure left");
    assert_eq!(state.flush().unwrap(), 2);
    assert_eq!(*reader(&namespace).snapshot().unwrap(), 6);
    assert!(catch_unwind(AssertUnwindSafe(|| state.read(|_| panic!("looking")))).is_err());
    state.update(|state| *state += 1);
    assert_eq!(state.shutdown().unwrap().published, 3);
}

#[test]
fn the_ticks_come_from_a_thread_with_a_name() {
    let namespace = namespace();
    let state = awkward(&namespace, Awkward::default()).interval(OFTEN).spawn().unwrap();
    let threads = state.read(|state| state.threads.clone());
    state.update(|state| state.value += 1);
    eventually("a tick has encoded", || threads.lock().unwrap().iter().any(|name| name == "tearless-sync"));
}

#[test]
fn ticks_that_come_too_late_are_skipped_and_counted() {
    let namespace = namespace();
    let state = awkward(&namespace, Awkward::new(0, Mood::Slow)).interval(OFTEN).spawn().unwrap();
    eventually("there were overruns", || {
        state.update(|state| state.value += 1);
        state.statistics().overruns > 0
    });
    let statistics = state.shutdown().unwrap();
    assert!(statistics.max_encode_time >= SLOW && statistics.encode_time >= statistics.max_encode_time);
}

#[test]
fn many_threads_flush_and_each_finds_its_change_published() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 200;
    let namespace = namespace();
    let state = builder(&namespace, 0).interval(OFTEN).spawn().unwrap();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut reader = reader(&namespace);
                let mut former = 0;
                for _ in 0..ROUNDS {
                    let mine = state.update(|count| {
                        *count += 1;
                        *count
                    });
                    let publication = state.flush().unwrap();
                    let snapshot = reader.snapshot().unwrap();
                    assert!(*snapshot >= mine && snapshot.publication() >= publication);
                    assert!(publication > former, "a change makes a publication");
                    former = publication;
                }
            });
        }
    });
    assert_eq!(*reader(&namespace).snapshot().unwrap(), THREADS * ROUNDS);
    let statistics = state.statistics();
    let attempts = statistics.published + statistics.skipped + statistics.untouched + statistics.failed;
    assert_eq!(attempts, 1 + THREADS * ROUNDS + statistics.ticks);
    assert_eq!(statistics.published, reader(&namespace).publication());
}

#[test]
fn the_interval_is_promised() {
    let namespace = namespace();
    let plain = || namespace.writer_builder::<u64>("worker").codec::<Pod>();
    let promised = |state: PodSyncer| {
        let promised = reader(&namespace).heartbeat_interval();
        assert_eq!(promised, Some(state.interval()));
        state.interval()
    };
    assert_eq!(promised(plain().syncer(1).spawn().unwrap()), Duration::from_millis(100));
    let second = Duration::from_secs(1);
    assert_eq!(promised(plain().syncer(1).interval(second).spawn().unwrap()), second);
    assert_eq!(promised(plain().heartbeat_interval(second).syncer(1).spawn().unwrap()), second);
    // A word of shared memory holds 584 years: longer intervals mean never.
    drop(plain().syncer(1).interval(Duration::MAX).spawn().unwrap());
}

#[test]
fn an_interval_below_a_millisecond_is_refused() {
    let namespace = namespace();
    for asked in [Duration::ZERO, Duration::from_micros(999)] {
        let error = builder(&namespace, 1).interval(asked).spawn().unwrap_err();
        assert!(
            matches!(error, SpawnError::IntervalTooShort { asked: found, min: OFTEN, .. } if found == asked)
        );
        assert!(error.to_string().contains("at least 1ms"), "{error}");
    }
    assert!(namespace.channels().unwrap().is_empty(), "nothing was opened");
}

#[test]
fn it_may_be_shared_though_its_state_may_not() {
    fn is_shared<S: Send + Sync>(_: &S) {}
    let namespace = namespace();
    let builder = namespace.writer_builder::<Cell<u64>>("worker").codec::<CellCodec>();
    is_shared(&builder.syncer(Cell::new(1)).interval(NEVER).spawn().unwrap());
}

struct CellCodec;

impl crate::Codec<Cell<u64>> for CellCodec {
    const NAME: &'static str = "cell";
}

impl crate::Encode<Cell<u64>> for CellCodec {
    fn encode<'a>(
        value: &'a Cell<u64>,
        scratch: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], crate::error::CodecError> {
        scratch.clear();
        scratch.extend_from_slice(&value.get().to_le_bytes());
        Ok(scratch)
    }
}
