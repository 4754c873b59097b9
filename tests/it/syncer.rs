//! A worker with a syncer, as other processes see it: its heartbeat while nothing changes, and its
//! last state, however it ends.

use std::panic::resume_unwind;
use std::time::{Duration, Instant};

use crate::common::{Actor, OwnNamespace, eventually, orders, role, say, wait_for_end};
use tearless::{
    Namespace, Pod, Reader,
    error::{PublishError, ShutdownError},
    hub::Skew,
    inspect::WriterState,
    syncer::Syncer,
};
use testkit::fork::{fork, wait};

type Count = Syncer<u64, Pod>;

/// So long that no tick occurs during a test.
const NEVER: Duration = Duration::from_secs(3_600);
const OFTEN: Duration = Duration::from_millis(1);

fn count(namespace: &Namespace, interval: Duration) -> Count {
    let channel = namespace.writer_builder("worker").codec::<Pod>().linger(true);
    channel.syncer(0).interval(interval).spawn().unwrap()
}

fn reader(namespace: &Namespace) -> Reader<u64, Pod> {
    namespace.reader_builder("worker").codec::<Pod>().open().unwrap()
}

/// Sets the count to the number of each order.
fn do_as_ordered(count: &Count) {
    for command in orders() {
        count.replace(command.parse().unwrap());
        say("done");
    }
}

fn set(worker: &mut Actor, count: u64) {
    worker.order(&count.to_string());
    worker.await_line("done");
}

#[test]
fn the_last_state_is_readable_after_a_clean_shutdown() {
    if let Some((_, namespace)) = role() {
        let count = count(&namespace, NEVER);
        say("ready");
        do_as_ordered(&count);
        assert_eq!(count.shutdown().unwrap().published, 2);
        return;
    }
    let own = OwnNamespace::new(&["worker"]);
    let mut worker =
        Actor::start("syncer::the_last_state_is_readable_after_a_clean_shutdown", "worker", &own);
    worker.await_line("ready");
    let mut reader = reader(&own);
    set(&mut worker, 6);
    set(&mut worker, 7);
    assert_eq!(*reader.snapshot().unwrap(), 0, "no tick yet");
    worker.finish();
    assert_eq!(reader.writer_state().unwrap(), WriterState::Closed);
    let snapshot = reader.snapshot().unwrap();
    assert_eq!((*snapshot, snapshot.publication()), (7, 2));
}

#[test]
fn the_last_state_is_readable_after_a_panic() {
    if let Some((_, namespace)) = role() {
        let count = count(&namespace, NEVER);
        say("ready");
        do_as_ordered(&count);
        // Bypasses the panic hook, whose report would look like a failure.
        resume_unwind(Box::new("as the test requires"));
    }
    let own = OwnNamespace::new(&["worker"]);
    let mut worker = Actor::start("syncer::the_last_state_is_readable_after_a_panic", "worker", &own);
    worker.await_line("ready");
    let mut reader = reader(&own);
    set(&mut worker, 7);
    worker.close_input();
    assert!(!worker.wait().success());
    assert_eq!(reader.writer_state().unwrap(), WriterState::Closed);
    assert_eq!(*reader.snapshot().unwrap(), 7);
}

#[test]
fn the_heartbeat_continues_while_nothing_changes() {
    if let Some((_, namespace)) = role() {
        let _count = count(&namespace, OFTEN);
        say("ready");
        return wait_for_end();
    }
    let own = OwnNamespace::new(&["worker"]);
    let mut worker = Actor::start("syncer::the_heartbeat_continues_while_nothing_changes", "worker", &own);
    worker.await_line("ready");
    let reader = reader(&own);
    assert_eq!(reader.heartbeat_interval(), Some(OFTEN));
    for _ in 0..5 {
        let begin = Instant::now();
        eventually("there is another heartbeat", || reader.heartbeat_age().unwrap() < begin.elapsed());
    }
    assert_eq!(reader.publication(), 1);
    worker.finish();
}

#[test]
fn a_kill_leaves_the_state_of_the_last_tick() {
    if let Some((_, namespace)) = role() {
        let count = count(&namespace, OFTEN);
        say("ready");
        return do_as_ordered(&count);
    }
    let own = OwnNamespace::new(&["worker"]);
    let mut worker = Actor::start("syncer::a_kill_leaves_the_state_of_the_last_tick", "worker", &own);
    worker.await_line("ready");
    let mut reader = reader(&own);
    set(&mut worker, 7);
    eventually("a tick has published it", || *reader.snapshot().unwrap() == 7);
    worker.kill();
    assert_eq!(reader.writer_state().unwrap(), WriterState::Dead);
    let snapshot = reader.snapshot().unwrap();
    assert_eq!((*snapshot, snapshot.publication()), (7, 2));
}

#[test]
fn cuts_know_that_a_killed_syncers_state_may_lag_until_a_successor_publishes() {
    if let Some((_, namespace)) = role() {
        let _count = count(&namespace, NEVER);
        say("ready");
        return wait_for_end();
    }
    let own = OwnNamespace::new(&["worker"]);
    let test = "syncer::cuts_know_that_a_killed_syncers_state_may_lag_until_a_successor_publishes";
    let mut worker = Actor::start(test, "worker", &own);
    worker.await_line("ready");
    let hub = own.hub_builder().codec::<Pod>().open();
    let found = || {
        let cut = hub.cut::<u64>(["worker"]);
        assert_eq!(cut.is_consistent(), cut.states[0].skew == Skew::None);
        (cut.states[0].skew, own.inspect("worker").unwrap().deferred)
    };
    assert_eq!(found(), (Skew::Deferred, u64::MAX));
    worker.kill();
    assert_eq!(found(), (Skew::Deferred, u64::MAX));
    let mut writer = own.writer_builder::<u64>("worker").codec::<Pod>().open().unwrap();
    assert_eq!(found(), (Skew::Deferred, 1), "the state is still the syncer's");
    writer.publish(&1).unwrap();
    assert_eq!(found(), (Skew::None, 1));
}

#[test]
fn a_fork_publishes_nothing_and_ends_nothing() {
    if let Some((_, namespace)) = role() {
        let mut count = Some(count(&namespace, NEVER));
        let mut shut_down = Some(count_of_another_channel(&namespace));
        let child = fork(|| {
            let forked = count.take().unwrap();
            forked.replace(6);
            let refused = matches!(forked.flush(), Err(PublishError::Forked { .. }));
            drop(forked);
            let error = shut_down.take().unwrap().shutdown().unwrap_err();
            let refused_too =
                matches!(error, ShutdownError::Publish { source: PublishError::Forked { .. }, .. });
            say(&format!("refused {refused} {refused_too}"));
        });
        wait(child);
        say("child is gone");
        do_as_ordered(count.as_ref().unwrap());
        return;
    }
    let own = OwnNamespace::new(&["worker", "other"]);
    let mut worker = Actor::start("syncer::a_fork_publishes_nothing_and_ends_nothing", "worker", &own);
    let answer = worker.await_line_with("refused");
    assert!(answer.ends_with("refused true true"), "{answer}");
    worker.await_line("child is gone");
    let mut reader = reader(&own);
    assert_eq!(*reader.snapshot().unwrap(), 0);
    assert!(!reader.is_closed());
    set(&mut worker, 7);
    worker.finish();
    assert_eq!(*reader.snapshot().unwrap(), 7, "the owner's syncer continues");
}

fn count_of_another_channel(namespace: &Namespace) -> Count {
    namespace.writer_builder("other").codec::<Pod>().syncer(0).interval(NEVER).spawn().unwrap()
}
