//! `tearless verify` tells the truth: that nothing is wrong, and that something is.

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

/// Namespaces of the torture that have objects, begun by process `pid`.
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
    for count in ["snapshots", "history", "bytes", "publications", "growths", "kills", "takeovers"] {
        assert!(report[count].as_u64() > Some(0), "no {count}: {report:#}");
    }
    assert!(report["machine"]["kernel"].is_string());
}

#[test]
fn the_text_has_what_belongs_into_a_report() {
    let outcome = run(&["verify", "--seconds", "1", "--writers", "1", "--readers", "1", "--seed", "7"]);
    assert!(outcome.status.success(), "{outcome:?}");
    for text in ["seed 7", "1 writer and 1 reader", "Linux", "torn            0", "nothing is wrong"] {
        assert!(outcome.output.contains(text), "no {text:?} in {}", outcome.output);
    }
}

#[test]
fn an_interrupt_ends_it_early_with_everything_removed() {
    // At some moment of its beginning, and when a writer has been killed and succeeded, so that all are at
    // work.
    for (signal, incarnation) in [(Signal::INT, 1), (Signal::TERM, 2)] {
        let running = Running::start(&["verify", "--seconds", "600", "--json"]);
        let pid = running.pid();
        eventually("it has come that far", || {
            left_by(pid).iter().any(|name| {
                let namespace = Namespace::open(name).unwrap();
                let channels = namespace.channels().unwrap_or_default();
                channels.iter().any(|channel| channel.incarnation >= incarnation)
            })
        });
        running.signal(signal);
        let (status, output) = running.finish();
        assert_eq!(status.code(), Some(1));
        // Early on there is nothing to report.
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
    eventually("it is at work", || !left_by(pid).is_empty());
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

/// The real reader, on channels whose real writer publishes something else than it should: of another seed.
#[test]
fn a_reader_reports_payloads_that_are_not_what_was_published() {
    let namespace = OwnNamespace::new();
    let task = |seed: u64| json!({"namespace": namespace.name(), "seed": seed});
    let mut other = task(3);
    for (name, value) in [("index", 0), ("writers", 1), ("life", 1)] {
        other[name] = value.into();
    }
    let mut writer = Running::start(&["verify", "--child", &other.to_string()]);
    assert_eq!(writer.line(), "ready");
    // The same lengths, other words; and another length.
    for (seed, reason) in [(2, "words are wrong, the first "), (5, "bytes instead of")] {
        let mut reader = Running::start(&["verify", "--child", &task(seed).to_string()]);
        assert_eq!(reader.line(), "ready");
        sleep(Duration::from_millis(200));
        reader.close_input();
        let (status, output) = reader.finish();
        assert!(status.success());
        let tally = parse(output.trim());
        // A few have no byte, in which nothing can be wrong.
        let (torn, all) = (&tally["torn"], &tally["snapshots"]);
        assert!(torn.as_u64().unwrap() * 10 > all.as_u64().unwrap() * 8, "{tally:#}");
        assert!(tally["notes"].to_string().contains(reason), "{tally:#}");
    }
    writer.close_input();
    assert!(writer.finish().0.success());
    assert_eq!(namespace.memory().unwrap().total().objects, 0);
}

#[test]
fn a_task_that_is_none_is_refused() {
    let outcome = run(&["verify", "--child", "{}"]);
    assert_eq!(outcome.status.code(), Some(1));
    assert!(outcome.output.contains("no task"), "{outcome:?}");
}
