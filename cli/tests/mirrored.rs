//! A channel of another host: each command names the host, and no news is no death. And commands
//! that are programs of their own.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::{Value, json};
use support::{Fleet, Ran, Worker, as_worker, eventually, signal, tearless, until_killed};
use tearless::inspect::WriterState;
use tearless::mirror::{ChannelFormat, MirrorReader, MirrorWriter, OriginStatus};
use tearless::{Namespace, Pod};

const CHANNEL: &str = "a/worker";

fn format() -> ChannelFormat {
    let there = Namespace::in_process("there").unwrap();
    let _writer = there.writer_builder::<u64>("worker").codec::<Pod>().with_schema().open().unwrap();
    MirrorReader::open(&there, "worker").unwrap().format()
}

fn status(writer: WriterState) -> OriginStatus {
    let (heartbeat_interval, opened_ago) = (None, Some(Duration::from_secs(60)));
    let (heartbeat_age, ended_ago) = (None, Some(Duration::from_secs(5)));
    OriginStatus { incarnation: 3, pid: 12, writer, heartbeat_interval, heartbeat_age, opened_ago, ended_ago }
}

fn open(namespace: &Namespace) -> MirrorWriter {
    let mut mirror = MirrorWriter::open(namespace, CHANNEL, "a", 7, &format()).unwrap();
    mirror.publish(&40_u64.to_le_bytes(), 12, Some(Duration::from_secs(2))).unwrap();
    mirror.set_status(&status(WriterState::Alive));
    mirror
}

#[track_caller]
fn one(ran: Ran) -> Value {
    let [document] = ran.json().try_into().unwrap();
    document
}

#[test]
fn each_command_names_the_host_and_its_writer() {
    let fleet = Fleet::new();
    let mut mirror = open(&fleet);
    let run = |arguments: &[&str]| fleet.run(arguments);
    for document in [
        one(run(&["get", CHANNEL, "--json"])),
        one(run(&["ls", "--json"])),
        one(run(&["stat", CHANNEL, "--json"])),
        one(run(&["postmortem", CHANNEL, "--json"])),
    ] {
        let origin = &document["origin"];
        assert_eq!((&origin["host"], &origin["publication"]), (&json!("a"), &json!(12)), "{document}");
        assert_eq!((&origin["incarnation"], &origin["pid"]), (&json!(3), &json!(12)), "{document}");
        assert!(origin["news_age_seconds"].as_f64().unwrap() < 60.0, "{document}");
        assert_eq!(origin["instance"], "0000000000000007");
        assert_eq!((&document["writer"], &document["publication"]), (&json!("alive"), &json!(1)));
    }
    assert_eq!(one(run(&["get", CHANNEL, "--json"]))["value"], 40);
    let stat = run(&["stat", CHANNEL]).ok();
    assert!(
        stat.contains("publication 12 of host \"a\"") && stat.contains("process 12 of host \"a\""),
        "{stat}"
    );
    let postmortem = run(&["postmortem", CHANNEL]).ok();
    assert!(postmortem.contains("process 12 of host \"a\" is alive"), "{postmortem}");
    run(&["doctor"]).no_problem_of(CHANNEL);

    mirror.set_status(&status(WriterState::Dead));
    assert!(run(&["ls"]).ok().contains("dead"));
    let message = run(&["get", CHANNEL, "--live"]).fails(4);
    assert!(message.contains("process 12 of host \"a\") is dead"), "{message}");
    let doctor = run(&["doctor"]).fails_with_output(1);
    assert!(
        doctor.contains("process 12 of host \"a\", died")
            && !doctor.contains("restart it, or remove its last state: `"),
        "{doctor}"
    );
    let message = run(&["gc", CHANNEL]).fails(6);
    assert!(message.contains(&format!("process {}", std::process::id())), "the mirror lives: {message}");
    let message = fleet.run_with(&["put", CHANNEL], b"1").fails(6);
    assert!(message.contains("host \"a\"") && !message.contains("::"), "{message}");
    assert_eq!(one(run(&["ls", "--json"]))["writer"], "dead");
}

trait Doctor {
    fn no_problem_of(self, channel: &str);
    fn fails_with_output(self, code: i32) -> String;
}

impl Doctor for Ran {
    #[track_caller]
    fn no_problem_of(self, channel: &str) {
        assert!(!self.stdout.contains(channel), "{self:?}");
    }

    #[track_caller]
    fn fails_with_output(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        self.stdout
    }
}

#[test]
fn a_mirror_that_is_not_at_work_makes_no_worker_dead() {
    if let Some(namespace) = as_worker() {
        let _mirror = open(&namespace);
        until_killed();
    }
    let fleet = Fleet::new();
    let mirror = Worker::start("a_mirror_that_is_not_at_work_makes_no_worker_dead", &fleet);
    let word = || one(fleet.run(&["ls", "--json"]))["writer"].clone();
    assert_eq!(word(), "alive");
    signal(mirror.pid(), rustix::process::Signal::STOP);
    eventually("it is stopped", || word() == "unreachable");
    mirror.kill();
    assert_eq!(word(), "unreachable");
    let exported = fleet.run(&["export", "--prometheus", "--once"]).ok();
    let state = format!("tearless_writer{{channel=\"{CHANNEL}\",state=\"unreachable\"}} 1");
    assert!(exported.contains(&state), "{exported}");
    assert!(exported.contains(&format!("tearless_up{{channel=\"{CHANNEL}\"}} 0")), "{exported}");
    let top = fleet.run(&["top", "--once", "--interval", "50ms"]).ok();
    assert!(top.contains("unreachable"), "{top}");
    let postmortem = fleet.run(&["postmortem", CHANNEL]).ok();
    assert!(postmortem.contains("it may be well"), "{postmortem}");
    let doctor = fleet.run(&["doctor"]).fails_with_output(1);
    assert!(doctor.contains("the last news of host \"a\"") && !doctor.contains("died"), "{doctor}");
    assert_eq!(one(fleet.run(&["get", CHANNEL, "--json"]))["value"], 40, "the last state stays readable");
    let message = fleet.run(&["get", CHANNEL, "--live"]).fails(4);
    assert!(message.contains("is unreachable"), "{message}");
    fleet.run(&["gc", CHANNEL]).ok();
    assert!(fleet.run(&["ls"]).fails(3).contains("no namespace"), "the copy of a dead mirror is removed");
}

#[test]
fn other_programs_are_commands() {
    let folder = std::env::temp_dir().join(format!("tearless-cli-external-{}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    let program = folder.join("tearless-greet");
    fs::write(&program, "#!/bin/sh\necho \"$TEARLESS_NAMESPACE $TEARLESS_DIRECTORY $*\"; exit 41\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = tearless(arguments);
        Ran::of(command.env("PATH", format!("{}:/usr/bin:/bin", folder.display())).output().unwrap())
    };
    let ran = run(&["-n", "fleet", "--directory", "/run/fleet", "greet", "--json", "-n", "x y"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(41), "fleet /run/fleet --json -n x y\n"), "{ran:?}");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(run(&["greet"]).fails(1).contains("can't run \"tearless-greet\""));
    fs::remove_dir_all(&folder).unwrap();
    let message = run(&["mirror", "--check"]).fails(2);
    assert!(message.contains("tearless-mirror") && message.contains("cargo install"), "{message}");
    let message = run(&["gte", "w"]).fails(2);
    assert!(message.contains("no command \"gte\"") && message.contains("`tearless get`?"), "{message}");
    assert!(run(&["../greet"]).fails(2).contains("`tearless --help`"));
    assert!(
        run(&["post", "--help"]).ok().contains("tearless postmortem"),
        "beginnings are commands as before"
    );
}
