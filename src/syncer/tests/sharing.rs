//! Several owners share a syncer. A thread that calls it inside of its own closure panics.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Barrier};
use std::thread;

use super::awkward::Mood;
use super::*;
use crate::channel::{PublishError, SnapshotError};
use crate::codec::{Codec, CodecError, Decode, Encode};
use crate::syncer::{ShutdownError, SpawnError};

#[test]
fn it_is_shut_down_through_an_arc_and_the_second_call_says_so() {
    let namespace = namespace();
    let state = Arc::new(builder(&namespace, 5).interval(OFTEN).spawn().unwrap());
    let held = Arc::clone(&state);
    state.replace(6);
    let statistics = held.shutdown().unwrap();
    assert!(reader(&namespace).is_closed());
    assert_eq!(*reader(&namespace).snapshot().unwrap(), 6);
    let error = state.shutdown().unwrap_err();
    assert!(matches!(&error, ShutdownError::AlreadyShutDown { channel, .. } if channel == "worker"));
    assert_eq!(*error.statistics(), statistics);
    assert!(error.to_string().contains("already shut down"), "{error}");
}

#[test]
fn a_successor_resumes_from_the_former_state_or_else_begins_with_the_initial_one() {
    let namespace = namespace();
    let first = builder(&namespace, 5).interval(NEVER).resume().spawn().unwrap();
    assert_eq!(first.read(|state| *state), 5, "there is no former state");
    first.replace(6);
    first.shutdown().unwrap();
    let second = builder(&namespace, 7).interval(NEVER).resume().spawn().unwrap();
    assert_eq!(second.read(|state| *state), 6);
    assert_eq!(*reader(&namespace).snapshot().unwrap(), 6);
    second.shutdown().unwrap();
    let third = builder(&namespace, 7).interval(NEVER).spawn().unwrap();
    assert_eq!(third.read(|state| *state), 7, "it resumes only if asked to");
}

#[test]
fn a_former_state_that_can_not_be_resumed_is_an_error_and_stays_readable() {
    let namespace = namespace();
    let named = || namespace.writer_builder::<Vec<u8>>("worker").type_name("State").linger(true);
    let former = named().codec::<Hex>().syncer(vec![1, 2]).interval(NEVER).spawn().unwrap();
    former.shutdown().unwrap();
    let builder = || named().codec::<Hex>().syncer(vec![]).interval(NEVER);
    let error = builder().resume().spawn().unwrap_err();
    assert!(matches!(&error, SpawnError::Resume(SnapshotError::Decode { .. })), "{error}");
    assert!(error.to_string().contains("leave out `resume`"), "{error}");
    let reader = namespace.reader_builder::<Vec<u8>>("worker").type_name("State").codec::<Hex>();
    assert_eq!(reader.open().unwrap().publication(), 1, "nothing was published over it");
    drop(builder().spawn().unwrap());
}

/// A codec that decodes nothing.
struct Hex;

impl Codec<Vec<u8>> for Hex {
    const NAME: &'static str = "hex";
}

impl Encode<Vec<u8>> for Hex {
    fn encode<'a>(value: &'a Vec<u8>, _: &'a mut Vec<u8>) -> Result<&'a [u8], CodecError> {
        Ok(value)
    }
}

impl Decode<Vec<u8>> for Hex {
    fn decode(_: &[u8]) -> Result<Vec<u8>, CodecError> {
        Err("no hexadecimal digits".into())
    }
}

#[test]
fn after_the_shutdown_it_publishes_nothing_and_the_channel_is_free() {
    let namespace = namespace();
    let state = builder(&namespace, 5).interval(OFTEN).spawn().unwrap();
    let statistics = state.shutdown().unwrap();
    let next = builder(&namespace, 7).interval(NEVER).spawn().unwrap();
    state.replace(6);
    assert_eq!(state.read(|state| *state), 6);
    assert!(matches!(state.flush(), Err(PublishError::Closed { channel }) if channel == "worker"));
    assert_eq!(state.statistics(), statistics);
    assert!(state.last_error().is_none());
    drop(state);
    assert_eq!(*reader(&namespace).snapshot().unwrap(), 7);
    assert!(!reader(&namespace).is_closed(), "dropping it ends no other writer");
    drop(next);
}

#[test]
fn of_two_threads_that_shut_it_down_one_has_the_result_and_both_find_it_ended() {
    for _ in 0..50 {
        let namespace = namespace();
        let state = builder(&namespace, 5).interval(OFTEN).spawn().unwrap();
        let together = Barrier::new(2);
        let ends = thread::scope(|scope| {
            let ends = [(); 2].map(|()| {
                scope.spawn(|| {
                    together.wait();
                    let end = state.shutdown();
                    assert!(reader(&namespace).is_closed());
                    end
                })
            });
            ends.map(|end| end.join().unwrap())
        });
        assert_eq!(ends.iter().filter(|end| end.is_ok()).count(), 1, "{ends:?}");
    }
}

/// Whether `call` panics because it is nested.
fn is_refused<R>(call: impl FnOnce() -> R) -> bool {
    let Err(panic) = catch_unwind(AssertUnwindSafe(call)) else { return false };
    panic.downcast_ref::<&str>().is_some_and(|text| text.contains("this thread holds the syncer's state"))
}

#[test]
fn a_call_inside_of_a_closure_panics_instead_of_waiting_for_ever() {
    let namespace = namespace();
    let state = builder(&namespace, 5).interval(OFTEN).spawn().unwrap();
    let refuses_all = || {
        assert!(is_refused(|| state.update(|_| ())), "update");
        assert!(is_refused(|| state.replace(6)), "replace");
        assert!(is_refused(|| state.read(|_| ())), "read");
        assert!(is_refused(|| state.flush()), "flush");
        assert!(is_refused(|| state.statistics()), "statistics");
        assert!(is_refused(|| state.last_error()), "last_error");
        assert!(is_refused(|| state.shutdown()), "shutdown");
    };
    state.update(|state| {
        refuses_all();
        *state = 7;
    });
    state.read(|_| refuses_all());
    assert_eq!(state.read(|state| *state), 7, "the outer call is not disturbed");
    state.shutdown().unwrap();
    assert_eq!(*reader(&namespace).snapshot().unwrap(), 7);
}

#[test]
fn calls_of_another_syncer_and_of_other_threads_are_no_nested_calls() {
    let namespace = namespace();
    let other = namespace.writer_builder("other").codec::<Pod>().syncer(1_u64).spawn().unwrap();
    let state = builder(&namespace, 5).interval(OFTEN).spawn().unwrap();
    let waiting = state.update(|state| {
        *state = other.read(|other| *other) + 1;
        *state
    });
    assert_eq!(waiting, 2);
    let inside = Barrier::new(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            state.update(|_| {
                inside.wait();
                thread::sleep(OFTEN);
            });
        });
        inside.wait();
        assert_eq!(state.read(|state| *state), 2, "it waits for the other thread");
    });
}

#[test]
fn after_a_panic_in_a_closure_the_thread_may_call_again() {
    let namespace = namespace();
    let state = awkward(&namespace, Awkward::new(1, Mood::Good)).interval(NEVER).spawn().unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| state.update(|_| panic!("in the closure"))));
    assert!(panicked.is_err());
    state.update(|state| state.mood = Mood::Panicking);
    assert!(matches!(state.flush(), Err(PublishError::Encode { .. })));
    state.update(|state| state.mood = Mood::Good);
    state.flush().unwrap();
}
