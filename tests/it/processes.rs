//! What other processes see: the states of a live writer, of a killed writer, and of its successor.

use std::time::Duration;

use crate::common::{Actor, OwnNamespace, role, wait_for_end};
use tearless::{
    Namespace,
    error::{CreateError, SnapshotError},
};

fn publish_and_wait(namespace: &Namespace, states: &[u64]) {
    let mut writer = namespace.writer::<u64>("worker").unwrap();
    for state in states {
        writer.publish(state).unwrap();
    }
    println!("published");
    wait_for_end();
}

#[test]
fn a_state_crosses_processes_and_ends_with_a_clean_exit() {
    if let Some((_, namespace)) = role() {
        return publish_and_wait(&namespace, &[1, 2, 3]);
    }
    let own = OwnNamespace::new(&["worker"]);
    let mut worker =
        Actor::start("processes::a_state_crosses_processes_and_ends_with_a_clean_exit", "worker", &own);
    worker.await_line("published");
    let mut reader = own.reader::<u64>("worker").unwrap();
    let snapshot = reader.snapshot().unwrap();
    assert_eq!((snapshot.publication(), *snapshot), (3, 3));
    assert_eq!(reader.writer_pid(), u64::from(worker.pid()));
    let error = own.writer::<u64>("worker").unwrap_err();
    assert!(
        matches!(error, CreateError::AlreadyOwned { pid, .. } if pid == u64::from(worker.pid())),
        "{error}"
    );
    worker.finish();
    assert!(matches!(reader.snapshot(), Err(SnapshotError::Closed { last: 3, .. })));
    assert!(!own.remove_channel("worker").unwrap(), "nothing is left");
}

#[test]
fn the_state_of_a_killed_writer_stays_and_its_successor_goes_on() {
    if let Some((role, namespace)) = role() {
        return publish_and_wait(&namespace, if role == "first" { &[10, 20] } else { &[30] });
    }
    let test = "processes::the_state_of_a_killed_writer_stays_and_its_successor_goes_on";
    let own = OwnNamespace::new(&["worker"]);
    let mut first = Actor::start(test, "first", &own);
    first.await_line("published");
    let mut attached = own.reader::<u64>("worker").unwrap();
    first.kill();
    assert_eq!(*attached.snapshot().unwrap(), 20);
    assert_eq!(*own.reader::<u64>("worker").unwrap().snapshot().unwrap(), 20, "also to who attaches now");
    let mut second = Actor::start(test, "second", &own);
    second.await_line("published");
    let snapshot = attached.snapshot().unwrap();
    assert_eq!((snapshot.publication(), *snapshot), (3, 30));
    assert_eq!(attached.incarnation(), 2);
    second.kill();
    assert!(own.remove_channel("worker").unwrap());
}

#[test]
fn a_stopped_writer_is_not_deposed() {
    if let Some((_, namespace)) = role() {
        return publish_and_wait(&namespace, &[7]);
    }
    let own = OwnNamespace::new(&["worker"]);
    let mut worker = Actor::start("processes::a_stopped_writer_is_not_deposed", "worker", &own);
    worker.await_line("published");
    let pid = rustix::process::Pid::from_raw(i32::try_from(worker.pid()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    for _ in 0..1_000 {
        assert!(matches!(own.writer::<u64>("worker"), Err(CreateError::AlreadyOwned { .. })));
    }
    let mut reader = own.reader::<u64>("worker").unwrap();
    std::thread::sleep(Duration::from_millis(2));
    let snapshot = reader.snapshot().unwrap();
    assert!(*snapshot == 7 && snapshot.age().unwrap() >= Duration::from_millis(2));
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    worker.finish();
}
