//! The explorer itself, on programs for which the memory model's answer is known.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::Operation;
use super::explorer::{Explorer, Log, Oracle, Recorder};
use super::world::Handle;
use crate::memory::{Memory, MemoryMut};

const X: usize = 0;
const Y: usize = 1;

/// All outcomes that the reader can observe when it runs against the writer.
fn outcomes(writer: impl Fn(&Recorder, &Log), reader: impl Fn(&Oracle) -> [u64; 2]) -> BTreeSet<[u64; 2]> {
    let log = Log::default();
    let memory = log.object(&[X, Y]);
    writer(&memory, &log);
    let explorer = Explorer::new(&log);
    let oracle = explorer.oracle(&memory);
    let found = RefCell::new(BTreeSet::new());
    explorer.explore(0, || {
        found.borrow_mut().insert(reader(&oracle));
        Ok(())
    });
    found.into_inner()
}

/// Loads the flag, fences, loads the message.
fn receive(memory: &Oracle) -> [u64; 2] {
    let flag = memory.load(Y);
    memory.fence_acquire();
    [flag, memory.load(X)]
}

fn receive_without_fence(memory: &Oracle) -> [u64; 2] {
    receive(&memory.weakened(Some(Operation::AcquireFence)))
}

fn send_by_release_store(memory: &Recorder, _: &Log) {
    memory.store(X, 1);
    memory.store_release(Y, 1);
}

fn send_by_release_fence(memory: &Recorder, _: &Log) {
    memory.store(X, 1);
    memory.fence_release();
    memory.store(Y, 1);
}

fn all() -> BTreeSet<[u64; 2]> {
    BTreeSet::from([[0, 0], [0, 1], [1, 0], [1, 1]])
}

/// The outcomes in which a set flag implies the message.
fn all_but_a_flag_without_message() -> BTreeSet<[u64; 2]> {
    BTreeSet::from([[0, 0], [0, 1], [1, 1]])
}

#[test]
fn a_message_passes_with_release_and_acquire() {
    assert_eq!(outcomes(send_by_release_store, receive), all_but_a_flag_without_message());
    assert_eq!(outcomes(send_by_release_fence, receive), all_but_a_flag_without_message());
}

#[test]
fn a_message_gets_lost_without_either() {
    assert_eq!(outcomes(send_by_release_store, receive_without_fence), all());
    assert_eq!(outcomes(send_by_release_fence, receive_without_fence), all());
    for operation in [Operation::ReleaseStore, Operation::ReleaseFence] {
        let weak = |memory: &Recorder| memory.weakened(Some(operation));
        let by_store = operation == Operation::ReleaseStore;
        let send = if by_store { send_by_release_store } else { send_by_release_fence };
        assert_eq!(outcomes(|memory, log| send(&weak(memory), log), receive), all());
    }
}

#[test]
fn an_acquire_fence_before_the_flag_is_too_early() {
    let early = |memory: &Oracle| {
        memory.fence_acquire();
        [memory.load(Y), memory.load(X)]
    };
    assert_eq!(outcomes(send_by_release_store, early), all());
}

#[test]
fn a_release_fence_after_the_flag_is_too_late() {
    let late = |memory: &Recorder, _: &Log| {
        memory.store(X, 1);
        memory.store(Y, 1);
        memory.fence_release();
    };
    assert_eq!(outcomes(late, receive), all());
}

#[test]
fn a_release_store_does_not_order_what_comes_after_it() {
    let opening_mark = |memory: &Recorder, _: &Log| {
        memory.store_release(X, 1);
        memory.store(Y, 1);
    };
    assert_eq!(outcomes(opening_mark, receive), all());
}

#[test]
fn a_later_relaxed_store_of_the_flag_hands_nothing_over() {
    let overwritten = |memory: &Recorder, _: &Log| {
        memory.store(X, 1);
        memory.store_release(Y, 1);
        memory.store(Y, 2);
    };
    let found = outcomes(overwritten, receive);
    assert!(found.contains(&[2, 0]) && !found.contains(&[1, 0]), "{found:?}");
}

#[test]
fn a_word_never_goes_back_and_may_stay_behind() {
    let twice = |memory: &Recorder, _: &Log| {
        memory.store(X, 1);
        memory.store(X, 2);
    };
    let found = outcomes(twice, |memory| [memory.load(X), memory.load(X)]);
    assert_eq!(found, BTreeSet::from([[0, 0], [0, 1], [0, 2], [1, 1], [1, 2], [2, 2]]));
}

#[test]
fn the_newest_is_no_older_than_anything_seen_and_hands_nothing_over() {
    let relaxed = |memory: &Recorder, _: &Log| {
        memory.store(X, 1);
        memory.store(Y, 1);
    };
    assert_eq!(
        outcomes(relaxed, |memory| [memory.load(Y), memory.newest(X)]),
        all_but_a_flag_without_message()
    );
    assert_eq!(outcomes(relaxed, |memory| [memory.newest(Y), memory.load(X)]), all());
}

#[test]
fn a_fence_of_a_dead_writer_does_not_release_its_successors_stores() {
    let taken_over = |memory: &Recorder, log: &Log| {
        memory.store(X, 1);
        memory.fence_release();
        memory.store(Y, 7);
        log.die_after(1);
        memory.store(Y, 1);
    };
    assert_eq!(outcomes(taken_over, receive), all());
}

#[test]
fn a_successors_release_hands_over_what_the_dead_writer_did() {
    let taken_over = |memory: &Recorder, log: &Log| {
        memory.store(X, 1);
        log.die_after(1);
        memory.store_release(Y, 1);
    };
    assert_eq!(outcomes(taken_over, receive), all_but_a_flag_without_message());
}
