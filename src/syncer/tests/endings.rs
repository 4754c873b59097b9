//! However a syncer ends, its last state has been published, and the channel is free.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread;

use super::awkward::Mood;
use super::*;
use crate::error::{CodecError, SnapshotError};
use crate::{Codec, Decode, Encode};

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
fn an_uncaught_panic_in_a_closure_publishes_what_it_left() {
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

/// A state that owns its own syncer.
#[derive(Default)]
struct Owner {
    value: u64,
    own: Mutex<Option<Arc<Syncer<Owner, Dropping>>>>,
}

/// Drops the syncer while it encodes the state, once no other owner has the syncer.
struct Dropping;

impl Codec<Owner> for Dropping {
    const NAME: &'static str = "dropping";
}

impl Encode<Owner> for Dropping {
    fn encode<'a>(state: &'a Owner, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], CodecError> {
        let mut own = state.own.lock().unwrap();
        if own.as_ref().is_some_and(|own| Arc::strong_count(own) > 1) {
            return Err("the test owns the syncer, too".into());
        }
        drop(own.take());
        scratch.clear();
        scratch.extend_from_slice(&state.value.to_le_bytes());
        Ok(scratch)
    }
}

impl Decode<Owner> for Dropping {
    fn decode(payload: &[u8]) -> Result<Owner, CodecError> {
        Ok(Owner { value: u64::from_le_bytes(payload.try_into()?), ..Owner::default() })
    }
}

/// Gives the state its syncer, and waits until the state has dropped it and the channel has ended.
fn drops_itself(
    namespace: &Namespace,
    spawn: impl FnOnce(SyncerBuilder<Owner, Dropping>) -> Syncer<Owner, Dropping>,
) {
    let builder = namespace.writer_builder("worker").codec::<Dropping>().linger(true);
    let state = Arc::new(spawn(builder.syncer(Owner::default()).interval(OFTEN)));
    let mut reader = namespace.reader_builder::<Owner>("worker").codec::<Dropping>().open().unwrap();
    state.update(|owner| {
        owner.value = 6;
        owner.own = Mutex::new(Some(Arc::clone(&state)));
    });
    drop(state);
    eventually("the channel has ended", || reader.is_closed());
    assert_eq!(reader.snapshot().unwrap().value, 6, "the last state is published");
}

#[test]
fn a_state_may_drop_its_own_syncer_in_the_thread_that_ticks() {
    drops_itself(&namespace(), |builder| builder.spawn().unwrap());
}

#[test]
#[cfg(feature = "tokio")]
fn a_state_may_drop_its_own_syncer_in_the_task_that_ticks() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build();
    let runtime = runtime.unwrap();
    drops_itself(&namespace(), |builder| builder.spawn_on(runtime.handle()).unwrap());
}
