//! A namespace that does not exist, or that this user may not read, is never reported as healthy.

mod support;

use std::os::unix::fs::chown;
use std::path::PathBuf;

use support::{Fleet, Ran, Worker, as_worker, eventually, tearless, until_killed};

/// Another user, if this process may give files to another user.
const OTHER_USER: u32 = 65_534;

fn run(namespace: &str, arguments: &[&str]) -> Ran {
    Ran::of(tearless(&[&["-n", namespace], arguments].concat()).output().unwrap())
}

const LOOKS: [&[&str]; 6] = [
    &["ls"],
    &["gc"],
    &["gc", "--dry-run"],
    &["doctor"],
    &["export", "--prometheus", "--once"],
    &["top", "--once", "--interval", "10ms"],
];

#[test]
fn a_mistyped_namespace_is_not_found() {
    let fleet = Fleet::new();
    let _writer = fleet.writer::<u64>("worker-7").unwrap();
    let mistyped = format!("{}x", fleet.name());
    for arguments in LOOKS {
        let ran = run(&mistyped, arguments);
        assert_eq!(ran.stdout, "", "{arguments:?}");
        let message = ran.fails(3);
        assert!(
            message.contains("no namespace") && message.contains(fleet.name()),
            "{arguments:?}: {message}"
        );
        let mut command = tearless(arguments);
        command.env("TEARLESS_NAMESPACE", &mistyped);
        Ran::of(command.output().unwrap()).fails(3);
    }
}

/// Objects that belong to another user while this value lives.
struct GivenAway(Vec<PathBuf>);

impl GivenAway {
    /// All objects of a namespace, with its registry; `None` if this process can't give files to
    /// another user.
    fn all_of(fleet: &Fleet) -> Option<GivenAway> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let given = GivenAway(fleet.objects());
        given.0.iter().for_each(|path| chown(path, Some(OTHER_USER), None).unwrap());
        Some(given)
    }
}

impl Drop for GivenAway {
    fn drop(&mut self) {
        let own = rustix::process::geteuid().as_raw();
        self.0.iter().for_each(|path| drop(chown(path, Some(own), None)));
    }
}

#[test]
fn another_users_namespace_is_not_taken_for_an_empty_one() {
    let fleet = Fleet::new();
    let mut writer = fleet.writer::<u64>("worker-7").unwrap();
    writer.publish(&1).unwrap();
    let Some(_given) = GivenAway::all_of(&fleet) else { return };
    let hint = format!("--trust-owner {OTHER_USER}");
    for arguments in [&["ls"][..], LOOKS[4], LOOKS[5], &["export", "--prometheus", "--listen", "127.0.0.1:0"]]
    {
        let ran = run(fleet.name(), arguments);
        assert_eq!(ran.stdout, "", "{arguments:?}");
        let message = ran.fails(1);
        assert!(message.contains(&hint) && !message.contains("::"), "{arguments:?}: {message}");
    }
    // The hint is a note, and printed once.
    let ran = run(fleet.name(), &["doctor", "--json"]);
    let findings: Vec<serde_json::Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_fleet: Vec<_> = findings.iter().filter(|finding| finding["namespace"] == fleet.name()).collect();
    let [note] = of_fleet.as_slice() else { panic!("{ran:?}") };
    assert_eq!((&note["severity"], &note["check"]), (&"note".into(), &"other-user".into()));
    assert!(note["advice"].as_str().unwrap().contains(&hint) && !ran.stdout.contains("::"), "{ran:?}");
    for trusting in LOOKS {
        run(fleet.name(), &[trusting, &["--trust-owner", &OTHER_USER.to_string()]].concat()).ok();
    }
}

#[test]
fn objects_without_a_namespace_are_not_reported_for_one() {
    let fleet = Fleet::new();
    let _writer = fleet.writer::<u64>("worker-7").unwrap();
    let stray = PathBuf::from(format!("/dev/shm/tl_{:07x}_stray", std::process::id()));
    std::fs::write(&stray, "another program's").unwrap();
    let (all, named) = (Ran::of(tearless(&["doctor"]).output().unwrap()), run(fleet.name(), &["doctor"]));
    std::fs::remove_file(&stray).unwrap();
    let name = stray.file_name().unwrap().to_str().unwrap();
    assert!(all.stdout.contains(name) && !named.stdout.contains(name), "{all:?}, {named:?}");
}

#[test]
fn a_channel_without_objects_or_writer_is_found_and_its_entry_removed() {
    let test = "a_channel_without_objects_or_writer_is_found_and_its_entry_removed";
    if let Some(namespace) = as_worker() {
        let mut writer = namespace.writer::<u64>("worker-7").unwrap();
        writer.publish(&1).unwrap();
        until_killed()
    }
    let fleet = Fleet::new();
    let worker = Worker::start(test, &fleet);
    std::fs::remove_file(fleet.object("worker-7", "c")).unwrap();
    let pid = worker.kill();
    let listed = fleet.run(&["ls", "--json"]).json();
    assert_eq!((&listed[0]["writer"], listed.len()), (&"dead".into(), 1));
    let ran = fleet.run(&["doctor", "--json"]);
    let nameless =
        ran.stdout.lines().find(|line| line.contains(r#""nameless""#)).expect("the channel is found");
    assert!(nameless.contains(&pid.to_string()) && nameless.contains(" gc"), "{nameless}");
    assert_eq!(ran.code, Some(1));
    let message = fleet.run(&["gc", "--dry-run"]).ok();
    assert!(message.starts_with("would remove the entry of worker-7"), "{message}");
    let [removed] = fleet.run(&["gc", "--json"]).json().try_into().unwrap();
    assert_eq!((&removed["channel"], &removed["reason"]), (&"worker-7".into(), &"nameless".into()));
    fleet.run(&["gc"]).fails(3);
}

#[test]
fn a_process_without_names_is_reported_for_its_namespace_alone() {
    let (fleet, other) = (Fleet::new(), Fleet::new());
    let mut first = fleet.writer::<u64>("worker-7").unwrap();
    first.publish(&1).unwrap();
    let _other = other.writer::<u64>("worker-7").unwrap();
    fleet.objects().iter().for_each(|object| std::fs::remove_file(object).unwrap());
    let lost = || {
        let findings = fleet.run(&["doctor", "--json"]).stdout;
        let of_fleet = findings.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        of_fleet.filter(|it| it["check"] == "nameless" && it["namespace"] == fleet.name()).count()
    };
    assert_eq!(lost(), 1, "without a registry");
    let text = format!("process {} publishes on /dev/shm/tl_", std::process::id());
    let report = fleet.run(&["doctor"]);
    assert!(report.stdout.contains(&text), "{report:?}");
    assert!(!other.run(&["doctor"]).stdout.contains(&text));
    let _second = fleet.writer::<u64>("worker-8").unwrap();
    assert_eq!(lost(), 1, "with a registry of another writer");
    drop(first);
    fleet.run(&["doctor", "--json"]).no_problem();
}

#[test]
fn a_living_channel_that_no_list_has_is_a_problem_until_its_writer_lists_it() {
    let fleet = Fleet::new();
    let mut writer = fleet.writer::<u64>("worker-7").unwrap();
    let registry = fleet.objects().into_iter().find(|path| !path.to_str().unwrap().ends_with('c'));
    std::fs::remove_file(registry.expect("a registry of one object")).unwrap();
    writer.publish(&1).unwrap();
    let ran = fleet.run(&["ls"]);
    assert!(ran.stderr.contains("`tearless doctor` finds") && !ran.stderr.contains("pattern"), "{ran:?}");
    assert_eq!(fleet.run(&["get", "worker-7"]).ok(), "1\n");
    let ran = fleet.run(&["doctor", "--json"]);
    let findings: Vec<serde_json::Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let unlisted: Vec<_> = findings.iter().filter(|it| it["check"] == "unlisted").collect();
    let [found] = unlisted.as_slice() else { panic!("{ran:?}") };
    assert_eq!((&found["namespace"], &found["channel"]), (&fleet.name().into(), &"worker-7".into()));
    assert!(found["advice"].as_str().unwrap().contains("`touch`"), "{found}");
    assert_eq!(ran.code, Some(1));
    eventually("it is listed again", || {
        writer.touch().unwrap();
        fleet.channels().unwrap().len() == 1
    });
    fleet.run(&["doctor", "--json"]).no_problem();
}

#[test]
fn a_channel_that_no_list_has_and_whose_writer_ended_can_be_removed() {
    let fleet = Fleet::new();
    fleet.run_with(&["put", "w", "--linger"], b"1").ok();
    let registry = fleet.objects().into_iter().find(|path| !path.to_str().unwrap().ends_with('c'));
    std::fs::remove_file(registry.expect("a registry of one object")).unwrap();
    let doctor = fleet.run(&["doctor"]).stdout;
    let advice = format!("start its writer, or remove the channel: `tearless -n {} gc w`", fleet.name());
    assert!(doctor.contains(&advice) && !doctor.contains("process"), "{doctor}");
    fleet.run(&["gc", "w"]).ok();
    fleet.run(&["get", "w"]).fails(3);
}

#[test]
fn a_channel_that_lost_its_names_is_not_proposed_in_its_own_place() {
    let fleet = Fleet::new();
    let _writers = ["worker-1", "worker-2"].map(|name| {
        let mut writer = fleet.writer::<u64>(name).unwrap();
        writer.publish(&1).unwrap();
        writer
    });
    std::fs::remove_file(fleet.object("worker-1", "c")).unwrap();
    for command in ["get", "stat", "watch", "history", "postmortem", "gc"] {
        let message = fleet.run(&[command, "worker-1"]).fails(3);
        let writer = format!("its writer (process {}) is alive", std::process::id());
        assert!(message.contains("were removed") && message.contains(&writer), "{command}: {message}");
        assert!(message.contains("`tearless doctor`") && !message.contains("did you mean"), "{message}");
    }
}
