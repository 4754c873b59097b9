//! `tearless watch` prints new states as they arrive, `tearless history` the ones that the channel
//! holds; a closed pipe is no failure.

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout};

use serde_json::{Value, json};
use support::{Fleet, Ran, eventually};
use tearless::{MessagePack, Writer};

fn writer(fleet: &Fleet) -> Writer<Value, MessagePack> {
    fleet.writer_builder::<Value>("worker-7").codec::<MessagePack>().open().unwrap()
}

struct Lines(Child, BufReader<ChildStdout>);

impl Lines {
    fn of(fleet: &Fleet, arguments: &[&str]) -> Lines {
        let mut child = fleet.start(arguments);
        let output = BufReader::new(child.stdout.take().unwrap());
        Lines(child, output)
    }

    fn next(&mut self) -> String {
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

#[test]
fn each_publication_is_a_line_until_the_channel_is_closed() {
    let fleet = Fleet::new();
    let mut writer = writer(&fleet);
    writer.publish(&json!({"jobs": 1})).unwrap();
    let mut lines = Lines::of(&fleet, &["watch", "worker-7"]);
    assert_eq!(lines.next(), r#"1 {"jobs":1}"#);
    writer.publish(&json!({"jobs": 2})).unwrap();
    assert_eq!(lines.next(), r#"2 {"jobs":2}"#);
    writer.close().unwrap();
    assert_eq!(lines.next(), "");
    let ran = Ran::of(lines.0.wait_with_output().unwrap());
    assert!(ran.stderr.contains("closed after publication 2"), "{ran:?}");
    ran.ok();
}

#[test]
fn diff_prints_only_changes() {
    let fleet = Fleet::new();
    let mut writer = writer(&fleet);
    writer.publish(&json!({"jobs": 1, "queue": ["a"]})).unwrap();
    let mut lines = Lines::of(&fleet, &["watch", "worker-7", "--diff"]);
    let mut documents = Lines::of(&fleet, &["watch", "worker-7", "--diff", "--json"]);
    let mut field = Lines::of(&fleet, &["watch", "worker-7", "--field", "jobs", "--diff"]);
    assert_eq!(lines.next(), r#"1 {"jobs":1,"queue":["a"]}"#);
    let first: Value = serde_json::from_str(&documents.next()).unwrap();
    assert_eq!((&first["value"]["jobs"], &first["missed"]), (&json!(1), &json!(0)));
    assert_eq!(field.next(), "1 1");
    // Equal states print no lines, so the next line has to be the third publication.
    writer.publish(&json!({"jobs": 1, "queue": ["a"]})).unwrap();
    writer.publish(&json!({"jobs": 2, "queue": ["a", "b"]})).unwrap();
    assert!(lines.next().ends_with(r#" jobs: 1 → 2; queue[1]: (new) → "b""#));
    let second: Value = serde_json::from_str(&documents.next()).unwrap();
    let changes = json!([
        {"path": "jobs", "old": 1, "new": 2},
        {"path": "queue[1]", "old": null, "new": "b"}
    ]);
    assert_eq!((&second["publication"], &second["changes"]), (&json!(3), &changes));
    assert!(field.next().ends_with("1 → 2"));
    writer.close().unwrap();
    for mut lines in [lines, documents, field] {
        assert!(lines.0.wait().unwrap().success());
    }
}

#[test]
fn count_limits_the_number_of_lines() {
    let fleet = Fleet::new();
    let mut writer = writer(&fleet);
    writer.publish(&json!("one")).unwrap();
    assert_eq!(fleet.run(&["watch", "worker-7", "--count", "1"]).ok(), "1 \"one\"\n");
}

/// The field of a state that lacks it is `null`, whether an earlier state had it or not.
#[test]
fn a_field_that_comes_and_goes_is_null_while_a_state_lacks_it() {
    let fleet = Fleet::new();
    let mut writer = writer(&fleet);
    writer.publish(&json!({"queue": []})).unwrap();
    let mut lines = Lines::of(&fleet, &["watch", "worker-7", "--field", "queue[0]"]);
    for (state, expected) in [(None, "1 null"), (Some("a"), "2 \"a\""), (None, "3 null"), (None, "4 null")] {
        if expected != "1 null" {
            writer.publish(&json!({"queue": state.map_or(vec![], |it| vec![it])})).unwrap();
        }
        assert_eq!(lines.next(), expected);
    }
    writer.close().unwrap();
    let ran = Ran::of(lines.0.wait_with_output().unwrap());
    assert_eq!(ran.stderr.matches("has no field queue[0]: the length of queue is 0").count(), 1, "{ran:?}");
    assert!(ran.stderr.contains("its fields: queue; printing null"), "{ran:?}");
    ran.ok();
    let described = fleet.writer_builder::<(u8, Vec<u8>)>("described").codec::<tearless::Postcard>();
    let mut described = described.with_schema().open().unwrap();
    described.publish(&(7, vec![])).unwrap();
    let watch = |field| fleet.run(&["watch", "described", "--count", "1", "--field", field]);
    assert_eq!(watch("[1][0]").ok(), "1 null\n");
    let message = watch("[2]").fails(3);
    assert!(message.contains("the states of channel \"described\" have no field [2]"), "{message}");
}

#[test]
fn a_closed_pipe_is_not_reported() {
    let fleet = Fleet::new();
    let mut writer = writer(&fleet);
    writer.publish(&json!(1)).unwrap();
    let mut lines = Lines::of(&fleet, &["watch", "worker-7"]);
    assert_eq!(lines.next(), "1 1");
    let Lines(mut child, output) = lines;
    drop(output);
    eventually("the command ends with the next line", || {
        writer.publish(&json!(2)).unwrap();
        child.try_wait().unwrap().is_some()
    });
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    for arguments in [
        &["ls"][..],
        &["get", "worker-7"],
        &["stat", "worker-7"],
        &["history", "worker-7"],
        &["namespaces"],
        &["man"],
        &["completions", "bash"],
        &["doctor"],
        &["get", "worker-7", "--json"],
        &["gc"],
        &["gc", "--json"],
    ] {
        let mut child = fleet.start(arguments);
        drop(child.stdout.take());
        let ran = Ran::of(child.wait_with_output().unwrap());
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn watching_a_quiet_channel_ends_with_its_reader() {
    let fleet = Fleet::new();
    let mut writer = writer(&fleet);
    writer.publish(&json!(1)).unwrap();
    for options in [&[][..], &["--interval", "1h"]] {
        let mut lines = Lines::of(&fleet, &[&["watch", "worker-7"][..], options].concat());
        assert_eq!(lines.next(), "1 1");
        let Lines(mut child, output) = lines;
        drop(output);
        eventually("the command ends without a next line", || child.try_wait().unwrap().is_some());
        let ran = Ran::of(child.wait_with_output().unwrap());
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{options:?}");
    }
    let mut child = fleet.start(&["watch", "worker-8", "--wait", "60s"]);
    drop(child.stdout.take());
    eventually("the command ends without its channel", || child.try_wait().unwrap().is_some());
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
}

#[test]
fn unchanged_states_are_decoded_at_most_once_an_interval() {
    let fleet = Fleet::new();
    let mut writer = writer(&fleet);
    writer.publish(&json!(0)).unwrap();
    let watch = ["watch", "worker-7", "--diff", "--interval", "200ms", "--json"];
    let mut lines = Lines::of(&fleet, &watch);
    lines.next();
    let mut news = 0;
    eventually("some unchanged states have not been decoded", || {
        // This loop takes longer than an interval, so that one of these states is decoded, and not
        // only the next line's.
        for _ in 0..150 {
            writer.publish(&json!(news)).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        news += 1;
        writer.publish(&json!(news)).unwrap();
        let line: Value = serde_json::from_str(&lines.next()).unwrap();
        line["missed"].as_u64() > Some(5)
    });
    writer.close().unwrap();
    assert!(lines.0.wait().unwrap().success());
}

#[test]
fn errors_without_a_reader_keep_their_exit_code() {
    let fleet = Fleet::new();
    let mut child = fleet.start(&["get", "nothing"]);
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

#[test]
fn the_last_states_are_listed_newest_first() {
    let fleet = Fleet::new();
    let mut writer = writer(&fleet);
    let message = fleet.run(&["history", "worker-7", "--json"]).fails(3);
    assert!(message.contains("nothing has been published on channel \"worker-7\" yet"), "{message}");
    for number in 1..=20 {
        writer.publish(&json!({ "number": number })).unwrap();
    }
    let past = fleet.run(&["history", "worker-7", "--json"]).json();
    let numbers: Vec<u64> = past.iter().map(|state| state["publication"].as_u64().unwrap()).collect();
    let depth = writer.slots();
    assert_eq!(numbers, (21 - depth..=20).rev().collect::<Vec<_>>());
    assert!(
        past.iter().all(|state| state["value"]["number"] == state["publication"] && state["error"].is_null())
    );
    let last = fleet.run(&["history", "worker-7", "--field", "number", "--last", "2"]).ok();
    let states: Vec<&str> = last.lines().skip(1).filter_map(|line| line.split_whitespace().last()).collect();
    assert_eq!(states, ["20", "19"]);
    let message = fleet.run(&["history", "worker-7", "--field", "x", "--last", "1", "--json"]).fails(3);
    assert!(message.contains("no field x") && message.contains("its fields: number"), "{message}");
}

#[test]
fn a_channel_that_lost_its_names_is_followed_by_its_successor() {
    let fleet = Fleet::new();
    let mut first = writer(&fleet);
    first.publish(&json!({"jobs": 1})).unwrap();
    let mut lines = Lines::of(&fleet, &["watch", "worker-7"]);
    assert_eq!(lines.next(), r#"1 {"jobs":1}"#);
    fleet.objects().iter().for_each(|object| std::fs::remove_file(object).unwrap());
    // The doctor finds the process that publishes on it.
    let doctor = fleet.command(&["doctor", "--json"]).env_remove("TEARLESS_NAMESPACE").output().unwrap();
    let findings = String::from_utf8(doctor.stdout).unwrap();
    let text = format!("process {} publishes on /dev/shm/tl_", std::process::id());
    assert!(findings.contains(&text), "{findings}");
    let mut second = writer(&fleet);
    second.publish(&json!({"jobs": 2})).unwrap();
    assert_eq!(lines.next(), r#"1 {"jobs":2}"#);
    // A writer that heals its channel, as a Syncer does.
    fleet.objects().iter().for_each(|object| std::fs::remove_file(object).unwrap());
    second.reopen().unwrap();
    second.publish(&json!({"jobs": 3})).unwrap();
    assert_eq!(lines.next(), r#"1 {"jobs":3}"#);
    second.close().unwrap();
    assert_eq!(lines.next(), "");
    let ran = Ran::of(lines.0.wait_with_output().unwrap());
    assert!(ran.stderr.contains("unlinked by hand"), "{ran:?}");
    ran.ok();
    drop(first);
}
