//! The last states of a killed worker are shown, problems are found, and leftovers are removed only
//! on request.

mod support;

use std::os::unix::fs::{FileExt, PermissionsExt};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use support::{Fleet, Worker, as_worker, eventually, signal, until_killed};
use tearless::{MessagePack, Namespace};

fn work(namespace: &Namespace) -> ! {
    let mut writer = namespace
        .writer_builder::<Value>("worker-7")
        .codec::<MessagePack>()
        .heartbeat_interval(Duration::from_secs(3_600))
        .open()
        .unwrap();
    for number in 1..=5 {
        writer.publish_if_changed(&json!({ "step": number })).unwrap();
    }
    until_killed()
}

/// The doctor's findings in the fleet, as check and channel. Asserts the exit code that follows
/// from them.
#[track_caller]
fn findings(fleet: &Fleet) -> Vec<(String, Value)> {
    let ran = fleet.run(&["doctor", "--json"]);
    let all: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let problems = all.iter().filter(|finding| finding["severity"] == "problem").count();
    assert_eq!(ran.code, Some(i32::from(problems > 0)), "{ran:?}");
    assert!(all.iter().all(|finding| !finding["advice"].as_str().unwrap().is_empty()));
    let of_fleet = all.iter().filter(|finding| finding["namespace"] == fleet.name());
    of_fleet
        .map(|finding| (finding["check"].as_str().unwrap().to_owned(), finding["channel"].clone()))
        .collect()
}

#[test]
fn a_postmortem_reports_how_a_worker_ended_and_what_it_did_last() {
    let test = "a_postmortem_reports_how_a_worker_ended_and_what_it_did_last";
    if let Some(namespace) = as_worker() {
        work(&namespace);
    }
    let fleet = Fleet::new();
    let worker = Worker::start(test, &fleet);
    let alive = fleet.run(&["postmortem", "worker-7"]).ok();
    assert!(alive.contains("is alive"), "{alive}");
    let pid = worker.kill();
    let text = fleet.run(&["postmortem", "worker-7"]).ok();
    assert!(text.contains(&format!("process {pid} is dead")) && text.contains("killed"), "{text}");
    assert!(
        text.contains(r#"{"step":5}"#) && text.contains(r#"{"step":3}"#) && !text.contains(r#"{"step":2}"#)
    );
    let [document] =
        fleet.run(&["postmortem", "worker-7", "--json", "--last", "9"]).json().try_into().unwrap();
    assert_eq!(
        (&document["writer"], &document["pid"], &document["publication"]),
        (&json!("dead"), &json!(pid), &json!(5))
    );
    assert_eq!(document["states"].as_array().unwrap().len(), 5);
    assert_eq!(document["unfinished"], Value::Null);
    let max = document["died_at_most_seconds_ago"].as_f64().unwrap();
    assert!(max < 3_600.0 && document["died_at_least_seconds_ago"] == 0.0, "{document}");
    assert_eq!(fleet.run(&["get", "worker-7", "-f", "step"]).ok(), "5\n");
    fleet.run(&["get", "worker-7", "--live"]).fails(4);
    assert_eq!(fleet.run(&["ls", "--json"]).json()[0]["writer"], "dead");

    // As if the writer had been killed during the sixth publication: the stamp of its slot, in
    // segment A behind the control page, is odd.
    let object =
        std::fs::OpenOptions::new().read(true).write(true).open(fleet.object("worker-7", "c")).unwrap();
    let mut words = [0; 16];
    object.read_exact_at(&mut words, 64).unwrap();
    let word = |index: usize| u64::from_le_bytes(words[index * 8..][..8].try_into().unwrap());
    let (depth, stride) = (word(0), word(1) * 8);
    object.write_all_at(&11_u64.to_le_bytes(), 1_536 + (6 / 2) % depth * stride).unwrap();
    let text = fleet.run(&["postmortem", "worker-7"]).ok();
    assert!(text.contains("publication 6 was interrupted"), "{text}");
    assert_eq!(fleet.run(&["stat", "worker-7", "--json"]).json()[0]["unfinished"], 6);
    assert_eq!(
        fleet.run(&["get", "worker-7", "-f", "step"]).ok(),
        "5\n",
        "the announced publication is whole"
    );
}

#[test]
fn the_doctor_finds_what_is_wrong_with_writers() {
    let test = "the_doctor_finds_what_is_wrong_with_writers";
    if let Some(namespace) = as_worker() {
        work(&namespace);
    }
    let fleet = Fleet::new();
    let worker = Worker::start(test, &fleet);
    assert_eq!(findings(&fleet), []);
    let of_worker = |check: &str| vec![(check.to_owned(), json!("worker-7"))];
    signal(worker.pid(), Signal::STOP);
    eventually("the worker is stopped", || findings(&fleet) == of_worker("stopped"));
    signal(worker.pid(), Signal::CONT);
    eventually("it continues", || findings(&fleet).is_empty());
    let pid = worker.kill();
    assert_eq!(findings(&fleet), of_worker("dead"));
    let ran = fleet.run(&["doctor"]);
    assert!(
        ran.stdout.contains(&format!("process {pid}, died")) && ran.stdout.contains("postmortem"),
        "{ran:?}"
    );
    assert_eq!(ran.code, Some(1));
}

#[test]
fn the_doctor_finds_stalled_writers_and_objects_that_were_unlinked() {
    let fleet = Fleet::new();
    let late = fleet.writer_builder::<u64>("late").heartbeat_interval(Duration::from_nanos(1));
    let mut late = late.open().unwrap();
    late.publish(&1).unwrap();
    late.touch().unwrap();
    let mut nameless = fleet.writer::<u64>("nameless").unwrap();
    nameless.publish(&1).unwrap();
    let mut cut = fleet.writer::<Vec<u64>>("cut").unwrap();
    // Its segment grows.
    cut.publish(&vec![1; 4_000]).unwrap();
    std::fs::remove_file(fleet.object("cut", "b2")).unwrap();
    std::fs::remove_file(fleet.object("nameless", "c")).unwrap();
    let expected = [("segment-missing", "cut"), ("stalled", "late"), ("nameless", "nameless")];
    assert_eq!(findings(&fleet), expected.map(|(check, channel)| (check.to_owned(), json!(channel))));
}

#[test]
fn the_doctor_finds_corrupt_schemas() {
    let fleet = Fleet::new();
    let mut writer =
        fleet.writer_builder::<u64>("worker-7").codec::<tearless::Postcard>().with_schema().open().unwrap();
    writer.publish(&1).unwrap();
    assert_eq!(findings(&fleet), []);
    // The schema begins behind the control page.
    let object = fleet.object("worker-7", "c");
    std::fs::OpenOptions::new().write(true).open(&object).unwrap().write_all_at(&[0xff; 2], 1_536).unwrap();
    assert_eq!(findings(&fleet), [("schema-corrupt".to_owned(), json!("worker-7"))]);
    assert!(fleet.run(&["doctor"]).stdout.contains("restart its writer"));
    drop(writer);
}

#[test]
fn the_doctor_finds_objects_that_are_not_as_they_should_be() {
    let fleet = Fleet::new();
    let mut writer = fleet.writer::<u64>("worker-7").unwrap();
    writer.publish(&1).unwrap();
    let page = fleet.object("worker-7", "c");
    std::fs::set_permissions(&page, std::fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(findings(&fleet), [("permissions".to_owned(), json!("worker-7"))]);
    std::fs::set_permissions(&page, std::fs::Permissions::from_mode(0o600)).unwrap();
    let orphan = fleet.object("worker-7", "a77");
    std::fs::write(&orphan, vec![0; 4_096]).unwrap();
    // Its writer is alive and may still use it, so nothing may be removed.
    assert!(findings(&fleet).iter().all(|(check, _)| check != "leftovers"));
    writer.close_lingering().unwrap();
    std::fs::write(&orphan, vec![0; 4_096]).unwrap();
    assert!(findings(&fleet).contains(&("leftovers".to_owned(), json!("worker-7"))));
    let message = fleet.run(&["gc"]).ok();
    assert!(
        message.contains("removed channel worker-7") && message.contains("a77") && !orphan.exists(),
        "{message}"
    );
    assert_eq!(findings(&fleet), []);
}

#[test]
fn a_dry_run_removes_nothing_and_says_what_would_be_removed() {
    let test = "a_dry_run_removes_nothing_and_says_what_would_be_removed";
    if let Some(namespace) = as_worker() {
        work(&namespace);
    }
    let fleet = Fleet::new();
    let worker = Worker::start(test, &fleet);
    assert_eq!(
        fleet.run(&["gc", "--dry-run", "--keep", "nothing"]).ok(),
        "nothing to remove\n",
        "its writer is alive"
    );
    let pid = worker.kill();
    let contents =
        || fleet.objects().into_iter().map(|path| (std::fs::read(&path).unwrap(), path)).collect::<Vec<_>>();
    let before = contents();
    let ran = fleet.run(&["gc", "--dry-run"]);
    assert!(
        ran.stderr.starts_with("kept 1 last state of") && ran.stderr.contains("--keep nothing"),
        "{ran:?}"
    );
    assert_eq!(findings(&fleet), [("dead".to_owned(), json!("worker-7"))]);
    assert!(ran.stderr.contains("(`tearless doctor` reports 1)"), "the two agree: {ran:?}");
    assert_eq!(ran.ok(), "nothing to remove\n", "last states are kept");
    let message = fleet.run(&["gc", "--dry-run", "--keep", "nothing"]).ok();
    assert!(
        message.starts_with(&format!("would remove channel worker-7: its writer, process {pid}, is dead")),
        "{message}"
    );
    let [document] = fleet.run(&["gc", "--dry-run", "--keep", "0s", "--json"]).json().try_into().unwrap();
    assert_eq!((&document["channel"], &document["reason"]), (&json!("worker-7"), &json!("dead")));
    assert!(contents() == before, "nothing has changed");
    assert_eq!(
        fleet.run(&["gc", "--dry-run", "--keep", "1h"]).ok(),
        "nothing to remove\n",
        "its last state is young"
    );
    fleet.run(&["gc", "--keep", "soon"]).fails(2);
    let ran = fleet.run(&["gc", "--keep", "nothing"]);
    assert!(ran.stdout.starts_with("removed channel worker-7") && ran.stderr.is_empty(), "{ran:?}");
    assert!(fleet.run(&["gc"]).fails(3).contains("no namespace"));
}

#[test]
fn blocks_are_shown_and_those_of_dead_owners_removed() {
    let test = "blocks_are_shown_and_those_of_dead_owners_removed";
    if let Some(namespace) = as_worker() {
        let _block = namespace.block_builder("prices").label("f64[12800]").create(102_400).unwrap();
        let mut writer = namespace.writer::<u64>("worker-7").unwrap();
        writer.publish(&1).unwrap();
        until_killed()
    }
    let fleet = Fleet::new();
    let worker = Worker::start(test, &fleet);
    let pid = worker.pid();
    let text = fleet.run(&["ls"]).ok();
    let (channels, blocks) = text.split_once("\n\n").expect("two tables");
    assert!(channels.contains("worker-7") && !channels.contains("prices"), "{text}");
    let row: Vec<_> = blocks.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!((row[0], row[1], row[2]), ("prices", "alive", &*pid.to_string()), "{text}");
    assert!(blocks.contains("100 KiB") && blocks.contains("f64[12800]"), "{text}");
    let [_, document] = fleet.run(&["ls", "--json"]).json().try_into().unwrap();
    assert_eq!((&document["block"], &document["bytes"]), (&json!("prices"), &json!(102_400)));
    assert!(fleet.run(&["ls", "pri*"]).ok().starts_with("BLOCK"));
    assert!(!fleet.run(&["ls", "work*"]).ok().contains("BLOCK"));
    let text = fleet.run(&["stat", "prices"]).ok();
    assert!(text.contains(&format!("alive, process {pid}")) && text.contains("102400 bytes"), "{text}");
    let [of_stat] = fleet.run(&["stat", "prices", "--json"]).json().try_into().unwrap();
    assert_eq!((&of_stat["instance"], &of_stat["object"]), (&document["instance"], &document["object"]));
    let top = |arguments: &[&str]| fleet.run(&[&["top", "--once", "--interval", "10ms"], arguments].concat());
    let table = top(&["--sort", "kind"]).ok();
    let rows: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0][..6], ["WORKER", "STATE", "KIND", "PID", "RATE/s", "AGE"], "{table}");
    let pid_text = &*pid.to_string();
    assert_eq!(rows[1], ["prices", "alive", "block", pid_text, "-", "-", "100", "KiB", "-", "-"], "{table}");
    assert_eq!(rows[2][..4], ["worker-7", "alive", "channel", pid_text], "{table}");
    let [of_top] = top(&["--filter", "block", "--json"]).json().try_into().unwrap();
    assert_eq!((&of_top["instance"], &of_top["bytes"]), (&document["instance"], &document["bytes"]));
    fleet.run(&["stat", "worker-7", "--block"]).fails(3);
    let message = fleet.run(&["gc", "prices"]).fails(6);
    assert!(message.contains(&format!("belongs to process {pid}")), "{message}");
    assert!(
        fleet
            .run(&["namespaces", "--json"])
            .json()
            .iter()
            .any(|it| { it["namespace"] == fleet.name() && it["blocks"] == 1 && it["channels"] == 1 })
    );
    assert_eq!(findings(&fleet), []);

    worker.kill();
    assert!(fleet.run(&["ls", "prices"]).ok().contains("dead"));
    assert!(top(&["--filter", "block dead"]).ok().contains("prices"));
    assert!(findings(&fleet).contains(&("leftovers".to_owned(), json!(null))));
    let foreseen = fleet.run(&["gc", "--dry-run"]).ok();
    assert!(foreseen.starts_with(&format!("would remove block prices: its owner, process {pid}, is dead")));
    let [document] = fleet.run(&["gc", "prices", "--json"]).json().try_into().unwrap();
    assert_eq!((&document["block"], &document["channel"]), (&json!("prices"), &json!(null)));
    assert!(fleet.blocks().unwrap().is_empty());
    fleet.run(&["gc", "prices"]).fails(3);
    assert_eq!(fleet.run(&["gc"]).ok(), "nothing to remove\n", "the channel's last state is kept");
}

#[test]
fn a_channel_and_a_block_of_one_name_are_removed_together_or_not_at_all() {
    let test = "a_channel_and_a_block_of_one_name_are_removed_together_or_not_at_all";
    if let Some(namespace) = as_worker() {
        let _block = namespace.block("table", 8).unwrap();
        let mut writers = ["prices", "both"].map(|name| namespace.writer::<u64>(name).unwrap());
        for writer in &mut writers {
            writer.publish(&1).unwrap();
        }
        until_killed()
    }
    let fleet = Fleet::new();
    Worker::start(test, &fleet).kill();
    let writer = fleet.writer::<u64>("table").unwrap();
    assert!(fleet.run(&["gc", "table"]).fails(6).contains("channel \"table\" is written by"));
    assert_eq!(fleet.blocks().unwrap().len(), 1, "nothing is removed");
    drop(writer);
    assert!(fleet.run(&["gc", "table"]).ok().starts_with("removed block table"));
    let block = fleet.block("prices", 8).unwrap();
    assert!(fleet.run(&["gc", "both", "prices"]).fails(6).contains("block \"prices\" belongs to"));
    assert!(["both", "prices"].iter().all(|name| fleet.inspect(name).is_ok()), "nothing is removed");
    drop(block);
    assert_eq!(fleet.run(&["gc", "both", "prices"]).ok().lines().count(), 2);
}
