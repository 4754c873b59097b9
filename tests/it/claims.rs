//! Of all processes that open a channel for writing, exactly one becomes the writer, even if the
//! owner is stopped, or dead and its pid reused.

use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::time::Duration;

use crate::common::{Actor, OwnNamespace, role, rounds, say, wait_for_end};
use rustix::process::{Pid, Signal, kill_process};
use tearless::{Namespace, error::CreateError, inspect::WriterState};
use testkit::fork::{Forked, fork, kill_self};
use testkit::objects::{Objects, PID, START_TIME};

const CONTESTANTS: usize = 64;

/// The outcome of a contestant, as a record of 17 bytes: its own pid if it writes, else the
/// owner's.
fn record(won: bool, pid: u64, owner: u64) -> [u8; 17] {
    let mut record = [u8::from(won); 17];
    record[1..9].copy_from_slice(&pid.to_le_bytes());
    record[9..].copy_from_slice(&owner.to_le_bytes());
    record
}

/// Waits until all processes have closed the pipe's other end.
fn await_close(mut pipe: &PipeReader) {
    assert_eq!(pipe.read(&mut [0]).unwrap(), 0);
}

fn contend(
    namespace: &Namespace,
    start: &PipeReader,
    results: &mut PipeWriter,
    end: &PipeReader,
    dies: bool,
) {
    await_close(start);
    let own = u64::from(std::process::id());
    match namespace.writer::<u64>("worker") {
        Ok(mut writer) => {
            writer.publish(&own).unwrap();
            results.write_all(&record(true, own, own)).unwrap();
            await_close(end);
            if dies {
                kill_self();
            }
            writer.close_lingering().unwrap();
        }
        Err(CreateError::AlreadyOwned { pid, .. }) => {
            results.write_all(&record(false, own, pid)).unwrap();
        }
        Err(error) => panic!("{error}"),
    }
}

/// Lets all contestants open the channel at the same moment. In every third round the channel
/// exists and its writer is dead. In the others it is new.
fn contest(namespace: &Namespace, round: u32) {
    let ((start, starter), (mut results, mut result), (end, ender)) =
        (pipe().unwrap(), pipe().unwrap(), pipe().unwrap());
    let (mut starter, mut ender) = (Some(starter), Some(ender));
    let contestants: Vec<_> = (0..CONTESTANTS)
        .map(|_| {
            Forked::start(|| {
                drop((starter.take(), ender.take()));
                contend(namespace, &start, &mut result, &end, round % 3 == 1);
            })
        })
        .collect();
    drop(starter);
    let mut records = [[0; 17]; CONTESTANTS];
    for record in &mut records {
        results.read_exact(record).unwrap();
    }
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
    let winners: Vec<_> =
        records.iter().filter(|record| record[0] == 1).map(|record| number(&record[1..9])).collect();
    assert_eq!(winners.len(), 1, "round {round}: {winners:?}");
    for record in &records {
        assert_eq!(
            number(&record[9..]),
            winners[0],
            "round {round}: all contestants learn the pid of the writer"
        );
    }
    let mut reader = namespace.reader::<u64>("worker").unwrap();
    assert_eq!((*reader.snapshot().unwrap(), reader.writer_pid()), (winners[0], winners[0]));
    drop(ender);
    for contestant in contestants {
        assert!(contestant.wait().exit_status().is_none_or(|code| code == 0), "a contestant failed");
    }
    assert_eq!(Objects::of(namespace.name(), "worker").listed(), ["c"]);
    if round % 3 != 1 {
        assert!(namespace.remove_channel("worker").unwrap());
    }
}

#[test]
fn of_64_processes_exactly_one_writes() {
    let Some((_, namespace)) = role() else {
        let own = OwnNamespace::new(&["worker"]);
        let mut contest = Actor::start("claims::of_64_processes_exactly_one_writes", "contest", &own);
        println!("{}", contest.await_line_with("rounds"));
        return contest.finish();
    };
    let rounds = rounds(12, 200);
    for round in 0..rounds {
        contest(&namespace, round);
    }
    say(&format!("{rounds} rounds of {CONTESTANTS} processes, one writer in each"));
}

#[test]
fn a_stopped_writer_is_not_deposed_by_ten_thousand_attempts() {
    if let Some((_, namespace)) = role() {
        let mut writer = namespace.writer::<u64>("worker").unwrap();
        writer.publish(&7).unwrap();
        say("published");
        wait_for_end();
        assert_eq!(writer.publish(&8).unwrap(), 2);
        say("published");
        return std::thread::park();
    }
    let own = OwnNamespace::new(&["worker"]);
    let test = "claims::a_stopped_writer_is_not_deposed_by_ten_thousand_attempts";
    let mut stopped = Actor::start(test, "writer", &own);
    stopped.await_line("published");
    stopped.signal(Signal::STOP);
    let mut attached = own.reader::<u64>("worker").unwrap();
    crate::common::eventually("it is stopped", || attached.writer_state().unwrap() == WriterState::Stopped);
    let mut age = Duration::ZERO;
    for attempt in 0..10_000 {
        let error = own.writer::<u64>("worker").map(drop).unwrap_err();
        let owner = u64::from(stopped.pid());
        assert!(matches!(error, CreateError::AlreadyOwned { pid, .. } if pid == owner), "{error}");
        if attempt % 100 == 0 {
            let late = own.reader::<u64>("worker").unwrap().snapshot().unwrap();
            let snapshot = attached.snapshot().unwrap();
            assert_eq!((*snapshot, *late, attached.incarnation()), (7, 7, 1));
            assert!(snapshot.age().unwrap() > age, "its age grows");
            age = snapshot.age().unwrap();
        }
    }
    assert_eq!(attached.writer_state().unwrap(), WriterState::Stopped);
    stopped.signal(Signal::CONT);
    stopped.close_input();
    stopped.await_line("published");
    assert_eq!(*attached.snapshot().unwrap(), 8);
}

/// Kills a process when dropped.
struct Orphan(Pid);

impl Drop for Orphan {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::KILL);
    }
}

fn own_start_time() -> u64 {
    let pid = std::process::id();
    // qemu-user makes up what `/proc/self/stat` shows.
    let stat = std::fs::read_to_string(format!("/proc/self/task/{pid}/stat")).unwrap();
    stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(19).unwrap().parse().unwrap()
}

#[test]
fn a_dead_writer_whose_pid_was_reused_is_reported_dead() {
    if let Some((_, namespace)) = role() {
        let mut writer = namespace.writer::<u64>("worker").unwrap();
        writer.publish(&1).unwrap();
        let orphan = fork(std::thread::park);
        say(&format!("orphan is {orphan}"));
        return std::thread::park();
    }
    let own = OwnNamespace::new(&["worker"]);
    let mut owner =
        Actor::start("claims::a_dead_writer_whose_pid_was_reused_is_reported_dead", "writer", &own);
    let line = owner.await_line_with("orphan is ");
    let orphan = Orphan(line.rsplit(' ').next().unwrap().parse().ok().and_then(Pid::from_raw).unwrap());
    owner.kill();
    rustix::process::test_kill_process(orphan.0).expect("the orphan holds the owner's lock");
    let objects = Objects::of(own.name(), "worker");
    let mut reader = own.reader::<u64>("worker").unwrap();

    // With this process's pid in the page, the writer counts as alive.
    objects.forge(PID, u64::from(std::process::id()));
    objects.forge(START_TIME, own_start_time());
    assert_eq!(reader.writer_state().unwrap(), WriterState::Alive);
    assert!(matches!(own.writer::<u64>("worker"), Err(CreateError::AlreadyOwned { .. })));

    // A process that had the same pid and started earlier is not this process.
    objects.forge(START_TIME, own_start_time() - 1);
    assert_eq!(reader.writer_state().unwrap(), WriterState::Dead);
    let mut successor = own.writer::<u64>("worker").unwrap();
    assert_eq!(successor.publish(&2).unwrap(), 2);
    assert_eq!((*reader.snapshot().unwrap(), reader.writer_state().unwrap()), (2, WriterState::Alive));
}
