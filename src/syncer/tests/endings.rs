//! However a syncer ends, its last state has been published, and the channel is free.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use super::awkward::Mood;
use super::*;
use crate::error::SnapshotError;

#[test]
fn a_shutdown_publishes_the_last_state() {
    let namespace = namespace();
    let state = builder(&namespace, 5).interval(NEVER).spawn().unwrap();
    state.replace(6);
    let statistics = state.shutdown().unwrap();
    assert_eq!((statistics.published, statistics.untouched, statistics.bytes), (2, 0, 16));
    let mut reader = reader(&namespace);
    assert!(reader.is_closed());
    assert_eq!(*reader.snapshot().unwrap(), 6);
}

#[test]
fn a_drop_publishes_the_last_state() {
    let namespace = namespace();
    let state = builder(&namespace, 5).interval(NEVER).spawn().unwrap();
    state.replace(6);
    drop(state);
    assert!(reader(&namespace).is_closed());
    assert_eq!(*reader(&namespace).snapshot().unwrap(), 6);
}

#[test]
fn without_lingering_readers_learn_the_last_number_before_the_channel_goes() {
    let namespace = namespace();
    let state =
        namespace.writer_builder("worker").codec::<Pod>().syncer(5_u64).interval(NEVER).spawn().unwrap();
    let mut reader = reader(&namespace);
    state.replace(6);
    drop(state);
    assert!(matches!(reader.snapshot(), Err(SnapshotError::Closed { last: 2, .. })));
    assert!(namespace.channels().unwrap().is_empty());
}

#[test]
fn the_channel_is_free_at_once() {
    let namespace = namespace();
    for round in 1..=20 {
        let state = builder(&namespace, round).interval(OFTEN).spawn().unwrap();
        match round % 2 {
            0 => drop(state),
            _ => drop(state.shutdown().unwrap()),
        }
    }
    assert_eq!(reader(&namespace).publication(), 20, "each published its initial state, and nothing else");
}

#[test]
fn a_panic_of_the_owner_publishes_what_it_left() {
    let namespace = namespace();
    let state = builder(&namespace, 5).interval(NEVER).spawn().unwrap();
    let owner = thread::spawn(move || {
        state.replace(6);
        panic!("the owner panics, and drops the syncer while it unwinds");
    });
    owner.join().unwrap_err();
    assert!(reader(&namespace).is_closed());
    assert_eq!(*reader(&namespace).snapshot().unwrap(), 6);
}

#[test]
fn a_panic_in_a_closure_that_nobody_catches_publishes_what_it_left() {
    let namespace = namespace();
    let state = builder(&namespace, 5).interval(NEVER).spawn().unwrap();
    let owner = thread::spawn(move || {
        state.update(|state| {
            *state = 6;
            panic!("with the state's lock held");
        })
    });
    owner.join().unwrap_err();
    assert_eq!(*reader(&namespace).snapshot().unwrap(), 6);
}

#[test]
fn a_codec_that_panics_while_the_owner_unwinds_does_not_abort() {
    let namespace = namespace();
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let state = awkward(&namespace, Awkward::new(1, Mood::Good)).interval(NEVER).spawn().unwrap();
        state.replace(Awkward::new(2, Mood::Panicking));
        panic!("the owner panics");
    }));
    assert_eq!(unwound.unwrap_err().downcast_ref(), Some(&"the owner panics"));
    assert_eq!(awkward_reader(&namespace).snapshot().unwrap().value, 1);
    assert!(awkward_reader(&namespace).is_closed());
}

#[test]
fn the_state_goes_with_the_syncer() {
    let namespace = namespace();
    let state: AwkwardSyncer = awkward(&namespace, Awkward::default()).interval(OFTEN).spawn().unwrap();
    let threads = state.read(|state| state.threads.clone());
    assert_eq!(Arc::strong_count(&threads), 2);
    drop(state);
    assert_eq!(Arc::strong_count(&threads), 1, "the thread has ended, and keeps nothing");
}
