//! `save`, `restore`, and what the commands show of a file.

mod support;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use support::{Fleet, Ran, Worker, as_worker, eventually, until_killed};
use tearless::{Pod, error::CreateError};

/// A directory of the test's own, removed at its end.
struct Directory(PathBuf);

impl Directory {
    fn of(fleet: &Fleet) -> Directory {
        let path = std::env::temp_dir().join(format!("tearless-{}", fleet.name()));
        std::fs::create_dir(&path).unwrap();
        Directory(path)
    }

    fn file(&self) -> String {
        self.0.join("fleet.saved").to_str().unwrap().into()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_fleet_survives_a_reboot_and_its_dead_can_be_examined_elsewhere() {
    let test = "a_fleet_survives_a_reboot_and_its_dead_can_be_examined_elsewhere";
    if let Some(namespace) = as_worker() {
        let mut writer = namespace.writer::<serde_json::Value>("worker-7").unwrap();
        (1..=3).for_each(|step| assert_eq!(writer.publish(&json!({ "step": step })).unwrap(), step));
        until_killed();
    }
    let fleet = Fleet::new();
    let directory = Directory::of(&fleet);
    let file = &*directory.file();
    let pid = Worker::start(test, &fleet).kill();
    eventually("it is dead", || fleet.run(&["ls", "--json"]).json()[0]["writer"] == "dead");
    fleet.run_with(&["put", "text", "--bytes", "--linger"], b"all is well").ok();
    let live = fleet.run(&["postmortem", "worker-7", "--json"]).json().remove(0);
    let report = fleet.run(&["save", file, "--json"]).json().remove(0);
    assert_eq!((&report["channels"], &report["states"]), (&json!(2), &json!(4)), "{report}");
    assert_eq!(report["unsaved"], json!([]));

    // The machine boots, or it is another one.
    fleet.run(&["gc", "--keep", "nothing"]).ok();
    let mut saved = fleet.run(&["postmortem", "worker-7", "--from", file, "--json"]).json().remove(0);
    assert!(saved["saved_at"].is_string() && live["saved_at"].is_null(), "{saved}");
    // Ages are of the save, and of the command.
    let without_times = |document: &mut serde_json::Value| {
        document.as_object_mut().unwrap().retain(|key, value| {
            value.as_array_mut().into_iter().flatten().for_each(|state| {
                state.as_object_mut().unwrap().retain(|key, _| !key.contains("age") && key != "published_at");
            });
            !key.contains("ago") && !key.contains("seconds") && !key.ends_with("_at")
        });
    };
    let mut expected = live.clone();
    assert_eq!(saved["died_at_most_seconds_ago"].is_number(), live["died_at_most_seconds_ago"].is_number());
    without_times(&mut saved);
    without_times(&mut expected);
    assert_eq!(saved, expected);
    let text = fleet.run(&["postmortem", "worker-7", "--from", file]).ok();
    for part in [&*format!("process {pid} is dead"), "saved ", "{\"step\":3}", "ages are of that time"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let text = fleet.run(&["postmortem", "text", "--from", file]).ok();
    assert!(text.contains("all is well"), "{text}");
    let listed = fleet.run(&["ls", "--from", file, "--json"]).json();
    assert_eq!(listed.iter().map(|it| &it["writer"]).collect::<Vec<_>>(), ["closed", "dead"]);
    assert!(fleet.run(&["ls", "work*", "--from", file]).ok().contains("worker-7"));

    let dry = fleet.run(&["restore", file, "--dry-run"]).ok();
    assert!(dry.contains("would restore channel \"worker-7\": publication 3"), "{dry}");
    fleet.run(&["get", "worker-7"]).fails(3);
    let restored = fleet.run(&["restore", file, "--json"]).json();
    assert_eq!(restored.iter().map(|it| &it["outcome"]).collect::<Vec<_>>(), ["restored"; 2]);
    assert_eq!(fleet.run(&["get", "worker-7", "--field", "step"]).ok().trim(), "3");
    assert_eq!(fleet.run(&["get", "text", "--raw"]).ok(), "all is well");
    assert_eq!(fleet.run(&["ls", "--json"]).json()[1]["writer"], "closed");
    fleet.run(&["gc"]).ok();
    let mut writer = fleet.writer::<serde_json::Value>("worker-7").unwrap();
    assert_eq!(writer.publish(&json!({ "step": 4 })).unwrap(), 4);
}

#[test]
fn what_is_left_alone_is_said() {
    let fleet = Fleet::new();
    let directory = Directory::of(&fleet);
    let file = &*directory.file();
    let mut writer = fleet.writer_builder::<u64>("living").codec::<Pod>().open().unwrap();
    writer.publish(&1).unwrap();
    fleet.run_with(&["put", "ended", "--linger"], b"2").ok();
    let text = fleet.run(&["save", file]).ok();
    assert!(text.starts_with("saved 2 channels with 2 states to "), "{text}");
    let text = fleet.run(&["restore", file]).ok();
    let in_use = format!("channel \"living\": left alone: process {} writes it", std::process::id());
    assert!(
        text.contains(&in_use) && text.contains("channel \"ended\": left alone: it has a state"),
        "{text}"
    );
    let outcomes = fleet.run(&["restore", file, "--json"]).json();
    assert_eq!(outcomes.iter().map(|it| &it["outcome"]).collect::<Vec<_>>(), ["exists", "in-use"]);
    fleet.run(&["restore", file, "living"]).fails(6);
    assert!(fleet.run(&["restore", file, "ended"]).fails(1).contains("--overwrite"));
    assert!(fleet.run(&["restore", file, "e*", "--overwrite"]).ok().contains("restored channel"));
    // Into another namespace, beside the fleet.
    let copy = Fleet::new();
    let text = copy.run(&["restore", file, "living"]).ok();
    assert!(text.contains("restored channel \"living\": publication 1"), "{text}");
    assert_eq!(copy.channels().unwrap().len(), 1);
}

#[test]
fn a_restore_beside_a_starting_worker_leaves_the_one_channel_or_the_other() {
    let fleet = Fleet::new();
    let directory = Directory::of(&fleet);
    let file = &*directory.file();
    fleet.run_with(&["put", "worker", "--each-line", "--linger"], b"1\n2\n3\n").ok();
    fleet.run(&["save", file]).ok();
    fleet.remove_channel("worker").unwrap();
    for round in 0_u64..50 {
        let restore = fleet.start(&["restore", file, "--json"]);
        let restorer = u64::from(restore.id());
        // Most of the time, the command starts.
        std::thread::sleep(Duration::from_micros(round * 100));
        let mut writer = loop {
            match fleet.writer_builder::<serde_json::Value>("worker").type_name("json").open() {
                Ok(writer) => break writer,
                Err(CreateError::AlreadyOwned { pid, .. }) => assert!([0, restorer].contains(&pid), "{pid}"),
                Err(error) => panic!("{error}"),
            }
        };
        let first = writer.publish(&json!(4)).unwrap();
        let [outcome] = Ran::of(restore.wait_with_output().unwrap()).json().try_into().unwrap();
        match outcome["outcome"].as_str() {
            Some("restored") => assert_eq!((first, &outcome["publication"]), (4, &json!(3))),
            Some("in-use") => assert_eq!((first, &outcome["pid"]), (1, &json!(std::process::id()))),
            _ => panic!("{outcome}"),
        }
        assert_eq!(writer.publish(&json!(5)).unwrap(), first + 1, "it was not deposed");
        assert_eq!(fleet.run(&["get", "worker"]).ok().trim(), "5");
        writer.close().unwrap();
    }
    assert_eq!(fleet.channels().unwrap().len(), 0);
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let fleet = Fleet::new();
    let directory = Directory::of(&fleet);
    let file = &*directory.file();
    // A namespace without channels does not replace a file.
    std::fs::write(file, b"the former one").unwrap();
    fleet.run(&["save", file]).fails(3);
    assert_eq!(std::fs::read(file).unwrap(), b"the former one");
    let message = fleet.run(&["restore", file]).fails(1);
    assert!(message.contains("is not a file of saved channels: `tearless save` makes one"), "{message}");
    fleet.run_with(&["put", "worker-1", "--linger"], b"2").ok();
    assert!(fleet.run(&["save", file, "worker-2"]).fails(3).contains("no channel \"worker-2\""));
    fleet.run(&["save", "/no/such/directory/file"]).fails(1);
    fleet.run(&["save", file]).ok();
    assert!(fleet.run(&["restore", file, "x"]).fails(3).contains("no channel \"x\""));
    let message = fleet.run(&["postmortem", "worker-2", "--from", file]).fails(3);
    assert!(message.contains("did you mean: worker-1?"), "{message}");
    let whole = std::fs::read(file).unwrap();
    std::fs::write(file, &whole[..whole.len() - 1]).unwrap();
    for command in [&["restore", file][..], &["ls", "--from", file], &["postmortem", "w", "--from", file]] {
        let message = fleet.run(command).fails(1);
        assert!(message.contains("ends too early, in the record at byte"), "{message}");
    }
    fleet.run(&["restore", directory.0.join("none").to_str().unwrap()]).fails(1);
}
