//! Liveness is right across PID namespaces, where a pid means another process or none.
#![cfg(all(feature = "postcard", feature = "message-pack"))]

mod common;

use common::{Actor, OwnNamespace, eventually, is_root, orders, role, say};
use tearless::{Namespace, error::CreateError, inspect::WriterState};

/// Runs the command that follows as the first process of a new PID namespace, and kills it when
/// `unshare` is killed.
const INSIDE: [&str; 4] = ["unshare", "-pf", "--mount-proc", "--kill-child"];

/// Writes the channel or reads it, as ordered.
fn play(role: &str, namespace: &Namespace) {
    let mut writer = (role == "writer").then(|| namespace.writer::<u64>("worker").unwrap());
    if let Some(writer) = &mut writer {
        writer.publish(&1).unwrap();
    }
    let reader = namespace.reader::<u64>("worker").unwrap();
    say(&format!("ready, pid {}", std::process::id()));
    for command in orders() {
        match command.as_str() {
            "look" => say(&format!("saw {:?}", reader.writer_state().unwrap())),
            "publish" => say(&format!("published {}", writer.as_mut().unwrap().publish(&2).unwrap())),
            "contend" => match namespace.writer::<u64>("worker") {
                Ok(_) => say("took over"),
                Err(CreateError::AlreadyOwned { pid, .. }) => say(&format!("owned by {pid}")),
                Err(error) => panic!("{error}"),
            },
            other => panic!("{other}?"),
        }
    }
}

fn answer(actor: &mut Actor, command: &str, part: &str) -> String {
    actor.order(command);
    actor.await_line_with(part)
}

#[test]
fn a_writer_in_another_pid_namespace_is_known_alive_and_dead() {
    let test = "a_writer_in_another_pid_namespace_is_known_alive_and_dead";
    if let Some((role, namespace)) = role() {
        return play(&role, &namespace);
    }
    if !is_root("to make a PID namespace") {
        return;
    }
    let own = OwnNamespace::new(&["worker"]);
    let mut inside = Actor::start_by(&INSIDE, test, "writer", &own);
    let ready = inside.await_line_with("ready");
    assert!(ready.ends_with("pid 1"), "its pid is that of another process out here: {ready}");
    let mut reader = own.reader::<u64>("worker").unwrap();
    assert_eq!(reader.writer_state().unwrap(), WriterState::Alive);
    for _ in 0..100 {
        let error = own.writer::<u64>("worker").map(drop).unwrap_err();
        assert!(matches!(error, CreateError::AlreadyOwned { pid: 1, .. }), "{error}");
    }
    answer(&mut inside, "publish", "published 2");
    assert_eq!(*reader.snapshot().unwrap(), 2, "it was not deposed");
    // The pids of the writer, as this namespace has it, and of `unshare`.
    let children = format!("/proc/{0}/task/{0}/children", inside.pid());
    let pid = std::fs::read_to_string(children).unwrap().trim().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    inside.kill();
    eventually("the killed writer is dead", || reader.writer_state().unwrap() == WriterState::Dead);
    assert_eq!(own.writer::<u64>("worker").unwrap().publish(&3).unwrap(), 3);
}

#[test]
fn a_reader_in_another_pid_namespace_knows_alive_and_dead() {
    let test = "a_reader_in_another_pid_namespace_knows_alive_and_dead";
    if let Some((role, namespace)) = role() {
        return play(&role, &namespace);
    }
    if !is_root("to make a PID namespace") {
        return;
    }
    let own = OwnNamespace::new(&["worker"]);
    let mut outside = Actor::start(test, "writer", &own);
    outside.await_line_with("ready");
    let mut inside = Actor::start_by(&INSIDE, test, "reader", &own);
    inside.await_line_with("ready");
    assert!(answer(&mut inside, "look", "saw").ends_with("Alive"));
    let owned = answer(&mut inside, "contend", "owned by");
    assert!(owned.ends_with(&format!(" {}", outside.pid())), "{owned}");
    answer(&mut outside, "publish", "published 2");
    outside.kill();
    assert!(answer(&mut inside, "look", "saw").ends_with("Dead"));
    answer(&mut inside, "contend", "took over");
    inside.finish();
}
