//! A writer is known to be alive, stopped, dead or closed at once, never by a timer, also when it
//! forks.

use crate::common::{Actor, OwnNamespace, role, say, wait_for_end};
use rustix::process::{Pid, Signal, kill_process};
use tearless::{
    Namespace, Writer,
    error::{CreateError, PublishError, SnapshotError},
    inspect::WriterState,
};
use testkit::fork::fork;

fn writer(namespace: &Namespace) -> Writer<u64> {
    namespace.writer::<u64>("worker").unwrap()
}

fn pid(actor: &Actor) -> Pid {
    Pid::from_raw(i32::try_from(actor.pid()).unwrap()).unwrap()
}

#[test]
fn one_look_tells_alive_stopped_dead_and_closed() {
    let test = "liveness::one_look_tells_alive_stopped_dead_and_closed";
    if let Some((_, namespace)) = role() {
        let mut writer = writer(&namespace);
        writer.publish(&1).unwrap();
        say("published");
        wait_for_end();
        return writer.close_lingering().unwrap();
    }
    let own = OwnNamespace::new(&["worker"]);
    let mut first = Actor::start(test, "writer", &own);
    first.await_line("published");
    let reader = own.reader::<u64>("worker").unwrap();
    assert_eq!(reader.writer_state().unwrap(), WriterState::Alive);
    kill_process(pid(&first), Signal::STOP).unwrap();
    while reader.writer_state().unwrap() == WriterState::Alive {}
    assert_eq!(reader.writer_state().unwrap(), WriterState::Stopped);
    first.kill();
    assert_eq!(reader.writer_state().unwrap(), WriterState::Dead);
    let mut second = Actor::start(test, "writer", &own);
    second.await_line("published");
    assert_eq!(reader.writer_state().unwrap(), WriterState::Alive);
    second.finish();
    assert_eq!(reader.writer_state().unwrap(), WriterState::Closed);
}

#[test]
fn a_look_at_ones_own_channel_leaves_the_lock() {
    let own = OwnNamespace::new(&["worker"]);
    let _writer = writer(&own);
    for _ in 0..100 {
        let reader = own.reader::<u64>("worker").unwrap();
        assert_eq!(reader.writer_state().unwrap(), WriterState::Alive);
        drop(reader);
        assert!(matches!(own.writer::<u64>("worker"), Err(CreateError::AlreadyOwned { .. })));
    }
}

#[test]
fn a_fork_stores_nothing_and_removes_nothing() {
    if let Some((_, namespace)) = role() {
        let mut writer = writer(&namespace);
        writer.publish(&1).unwrap();
        let child = fork(|| {
            let refused = matches!(writer.publish(&2), Err(PublishError::Forked { .. }));
            let owned = matches!(namespace.writer::<u64>("worker"), Err(CreateError::AlreadyOwned { .. }));
            // A child that returns from main does the same.
            drop(namespace);
            say(&format!("refused {refused}, owned {owned}"));
        });
        rustix::process::waitpid(Some(child), rustix::process::WaitOptions::empty()).unwrap();
        say("child is gone");
        wait_for_end();
        writer.publish(&3).unwrap();
        say("published");
        // A harness that reads more input would not end with its killed child.
        return std::thread::park();
    }
    let own = OwnNamespace::new(&["worker"]);
    let mut worker = Actor::start("liveness::a_fork_stores_nothing_and_removes_nothing", "forking", &own);
    worker.await_line("refused true, owned true");
    worker.await_line("child is gone");
    let mut reader = own.reader::<u64>("worker").unwrap();
    assert_eq!(*reader.snapshot().unwrap(), 1);
    worker.close_input();
    worker.await_line("published");
    assert_eq!(*reader.snapshot().unwrap(), 3);
}

#[test]
fn the_exit_of_a_fork_that_drops_the_writer_ends_nothing() {
    if let Some((_, namespace)) = role() {
        let mut writer = Some(writer(&namespace));
        writer.as_mut().unwrap().publish(&1).unwrap();
        let child = fork(|| drop(writer.take()));
        rustix::process::waitpid(Some(child), rustix::process::WaitOptions::empty()).unwrap();
        say("child is gone");
        return wait_for_end();
    }
    let own = OwnNamespace::new(&["worker"]);
    let mut worker =
        Actor::start("liveness::the_exit_of_a_fork_that_drops_the_writer_ends_nothing", "forking", &own);
    worker.await_line("child is gone");
    let mut reader = own.reader::<u64>("worker").unwrap();
    assert_eq!(*reader.snapshot().unwrap(), 1);
    assert_eq!(reader.writer_state().unwrap(), WriterState::Alive);
    assert!(matches!(own.writer::<u64>("worker"), Err(CreateError::AlreadyOwned { .. })));
    worker.finish();
    assert!(matches!(reader.snapshot(), Err(SnapshotError::Closed { .. })));
}

#[test]
fn a_channel_whose_owner_was_killed_is_free_though_a_fork_lives_on() {
    if let Some((_, namespace)) = role() {
        let mut writer = writer(&namespace);
        writer.publish(&1).unwrap();
        let child = fork(|| {
            say(&format!("orphan is {}", std::process::id()));
            loop {
                std::thread::park();
            }
        });
        let _ = child;
        return wait_for_end();
    }
    let own = OwnNamespace::new(&["worker"]);
    let test = "liveness::a_channel_whose_owner_was_killed_is_free_though_a_fork_lives_on";
    let mut worker = Actor::start(test, "forking", &own);
    let line = worker.await_line_with("orphan is ");
    let orphan = line.rsplit(' ').next().unwrap().parse().ok().and_then(Pid::from_raw).unwrap();
    let mut reader = own.reader::<u64>("worker").unwrap();
    assert!(matches!(own.writer::<u64>("worker"), Err(CreateError::AlreadyOwned { .. })));
    worker.kill();
    rustix::process::test_kill_process(orphan).expect("the orphan lives, and shares the lock");
    assert_eq!(reader.writer_state().unwrap(), WriterState::Dead);
    let mut successor = writer(&own);
    assert_eq!(successor.publish(&2).unwrap(), 2);
    assert_eq!(*reader.snapshot().unwrap(), 2);
    assert_eq!(reader.writer_state().unwrap(), WriterState::Alive);
    assert!(matches!(own.writer::<u64>("worker"), Err(CreateError::AlreadyOwned { .. })));
    kill_process(orphan, Signal::KILL).unwrap();
    assert!(
        matches!(own.writer::<u64>("worker"), Err(CreateError::AlreadyOwned { .. })),
        "the successor's lock stays"
    );
}

#[test]
fn a_clean_end_frees_the_channel_though_a_fork_lives_on() {
    if let Some((_, namespace)) = role() {
        let mut writer = writer(&namespace);
        writer.publish(&1).unwrap();
        let child = fork(|| {
            loop {
                std::thread::park();
            }
        });
        writer.close_lingering().unwrap();
        say("closed");
        wait_for_end();
        return kill_process(child, Signal::KILL).unwrap();
    }
    let own = OwnNamespace::new(&["worker"]);
    let mut worker =
        Actor::start("liveness::a_clean_end_frees_the_channel_though_a_fork_lives_on", "forking", &own);
    worker.await_line("closed");
    assert_eq!(writer(&own).publish(&2).unwrap(), 2);
    worker.finish();
}
