//! `tearless verify` reports the truth: nothing is wrong, or something is.

mod process;

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use process::{OwnNamespace, Running, eventually, run};
use rustix::process::Signal;
use serde_json::{Value, json};
use tearless::Namespace;

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
}

/// Namespaces with objects that belong to the run of process `pid`.
fn left_by(pid: u32) -> Vec<String> {
    let begin = format!("tearless-verify-{pid}-");
    let found = tearless::inspect::namespaces().list().unwrap().into_iter().filter_map(|info| info.name);
    found.filter(|name| name.starts_with(&begin)).collect()
}

#[test]
fn a_short_torture_finds_nothing_wrong_and_counts_what_it_did() {
    let outcome = run(&["verify", "--seconds", "2", "--json"]);
    let report = parse(&outcome.output);
    assert!(outcome.status.success(), "{report:#} {}", outcome.errors);
    assert_eq!(report["verdict"], "fine", "{report:#}");
    for count in ["torn", "backwards", "failures", "leftovers"] {
        assert_eq!(report[count], 0, "{count}");
    }
    let counts = ["snapshots", "fresh", "history", "views", "views_in_place", "bytes", "publications"];
    for count in counts.into_iter().chain(["growths", "kills", "takeovers"]) {
        assert!(report[count].as_u64() > Some(0), "no {count}: {report:#}");
    }
    let channels = report["channels"].as_array().unwrap();
    for count in ["snapshots", "fresh", "publications", "growths"] {
        let sum: u64 = channels.iter().map(|channel| channel[count].as_u64().unwrap()).sum();
        assert_eq!(report[count], sum, "{count}: {report:#}");
    }
    assert!(report["machine"]["kernel"].is_string());
}

#[test]
fn the_text_has_everything_that_a_report_needs() {
    let outcome = run(&["verify", "--seconds", "1", "--writers", "1", "--readers", "1", "--seed", "7"]);
    assert!(outcome.status.success(), "{outcome:?}");
    for text in ["seed 7", "1 writer and 1 reader", "Linux", "torn            0", "nothing is wrong"] {
        assert!(outcome.output.contains(text), "no {text:?} in {}", outcome.output);
    }
}

#[test]
fn an_interrupt_ends_the_run_early_and_removes_everything() {
    // First while the run begins, then after the successor of a killed writer shows that all
    // workers run.
    for (signal, incarnation) in [(Signal::INT, 1), (Signal::TERM, 2)] {
        let running = Running::start(&["verify", "--seconds", "600", "--json"]);
        let pid = running.pid();
        eventually("the run has come that far", || {
            left_by(pid).iter().any(|name| {
                let namespace = Namespace::open(name).unwrap();
                let channels = namespace.channels().unwrap_or_default();
                channels.iter().any(|channel| channel.incarnation >= incarnation)
            })
        });
        running.signal(signal);
        let (status, output) = running.finish();
        assert_eq!(status.code(), Some(1));
        // A run that has not begun has nothing to report.
        if !output.is_empty() || incarnation > 1 {
            assert_eq!(parse(&output)["verdict"], "unfinished", "{output}");
        }
        assert_eq!(left_by(pid), Vec::<String>::new());
    }
}

#[test]
fn the_children_of_a_killed_run_end_and_remove_everything() {
    let running = Running::start(&["verify", "--seconds", "600"]);
    let pid = running.pid();
    eventually("the run is at work", || !left_by(pid).is_empty());
    running.kill();
    eventually("nothing is left", || left_by(pid).is_empty());
    let mentions = |path: std::path::PathBuf| {
        fs::read(path.join("cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&format!("tearless-verify-{pid}-")))
    };
    eventually("no child is left", || {
        !fs::read_dir("/proc").unwrap().any(|entry| mentions(entry.unwrap().path()))
    });
}

/// Real readers, on channels whose real writer publishes the payloads of another seed.
#[test]
fn a_reader_reports_payloads_that_are_not_what_was_published() {
    let namespace = OwnNamespace::new();
    let start = |mut task: Value, seed: u64| {
        task["namespace"] = namespace.name().into();
        task["seed"] = seed.into();
        let mut running = Running::start(&["verify", "--child", &task.to_string()]);
        assert_eq!(running.line(), "ready");
        running
    };
    let mut writer = start(json!({"index": 0, "writers": 1, "life": 1}), 3);
    // The first seed gives the same lengths and other words, the second other lengths.
    let readers = [(2, "words are wrong, the first "), (5, "bytes instead of")]
        .map(|(seed, reason)| (start(json!({"first": 0}), seed), reason));
    sleep(Duration::from_millis(400));
    writer.close_input();
    assert!(writer.finish().0.success());
    for (mut reader, reason) in readers {
        reader.close_input();
        let (status, output) = reader.finish();
        assert!(status.success());
        let tallies = parse(output.trim());
        let sum = |count: &str| -> u64 {
            let counts = tallies.as_array().unwrap().iter().map(|tally| tally[count].as_u64().unwrap());
            counts.sum()
        };
        // Payloads of the same few lengths are rare, and empty payloads can't be wrong.
        assert!(sum("torn") * 10 > sum("snapshots") * 7, "{tallies:#}");
        assert!(tallies.to_string().contains(reason), "{tallies:#}");
        assert_eq!((sum("backwards"), sum("failures")), (0, 0), "{tallies:#}");
    }
    assert_eq!(namespace.memory().unwrap().total().objects, 0);
}

/// A reader waits for a limited time for the end of channels that stay open, and reports each of
/// them.
#[test]
fn a_channel_that_stays_open_is_a_failure() {
    let namespace = OwnNamespace::new();
    let task = |role: Value| {
        let mut task = role;
        task["namespace"] = namespace.name().into();
        task["seed"] = 1.into();
        Running::start(&["verify", "--child", &task.to_string()])
    };
    let mut writer = task(json!({"index": 0, "writers": 1, "life": 1}));
    let mut reader = task(json!({"first": 0}));
    assert_eq!(reader.line(), "ready");
    reader.close_input();
    let (status, output) = reader.finish();
    assert!(status.success());
    for tally in parse(output.trim()).as_array().unwrap() {
        assert_eq!(tally["failures"], 1, "{tally:#}");
        assert!(tally["notes"].to_string().contains("not found closed"), "{tally:#}");
    }
    writer.close_input();
    assert!(writer.finish().0.success());
}

#[test]
fn an_invalid_task_is_refused() {
    let outcome = run(&["verify", "--child", "{}"]);
    assert_eq!(outcome.status.code(), Some(1));
    assert!(outcome.output.contains("not a task"), "{outcome:?}");
}
