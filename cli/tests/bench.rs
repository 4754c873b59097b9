//! `tearless bench` measures what its help lists, and leaves no objects.

mod process;

use process::{Running, eventually, run};
use rustix::process::Signal;
use serde_json::Value;

fn left_by(pid: u32) -> Vec<String> {
    let begin = format!("tearless-bench-{pid}-");
    let found = tearless::inspect::namespaces().list().unwrap().into_iter().filter_map(|info| info.name);
    found.filter(|name| name.starts_with(&begin)).collect()
}

#[test]
fn all_figures_are_there_as_json() {
    let measured = || {
        let outcome = run(&["bench", "--seconds", "1", "--json"]);
        assert!(outcome.status.success(), "{outcome:?}");
        serde_json::from_str::<Value>(&outcome.output).unwrap()
    };
    // A busy machine may keep one of the two processes from running during the tenth of a second of
    // a size.
    let both_ran = |report: &Value| {
        let sizes = report["contended"].as_array().unwrap();
        sizes.iter().all(|busy| busy["publications_per_second"] != 0.0 && busy["snapshots"] != 0)
    };
    let report = (0..5).map(|_| measured()).find(both_ran).unwrap_or_else(measured);
    let sizes = [64, 1024, 65_536, 1_048_576];
    for (index, bytes) in sizes.into_iter().enumerate() {
        let (alone, busy) = (&report["uncontended"][index], &report["contended"][index]);
        assert_eq!((&alone["bytes"], &busy["bytes"]), (&bytes.into(), &bytes.into()));
        for figure in ["memcpy_ns", "publish_ns", "publish_ratio", "snapshot_ns", "snapshot_ratio"] {
            assert!(alone[figure].as_f64() > Some(0.0), "{figure}: {alone}");
        }
        for figure in ["p50_ns", "p99_ns", "publications_per_second", "snapshots"] {
            assert!(busy[figure].as_f64() > Some(0.0), "{figure}: {busy}");
        }
    }
    assert!(report["attach_ns"].as_f64() > Some(0.0) && report["query"]["ns"].as_f64() > Some(0.0));
}

#[test]
fn the_text_names_the_machine_and_says_that_ratios_matter() {
    let outcome = run(&["bench", "--seconds", "1"]);
    assert!(outcome.status.success(), "{outcome:?}");
    for text in ["Linux", "processor", "ratios to memcpy", "p99", "1.0 MiB"] {
        assert!(outcome.output.contains(text), "no {text:?} in {}", outcome.output);
    }
}

#[test]
fn an_interrupt_leaves_nothing() {
    let running = Running::start(&["bench", "--seconds", "600"]);
    let pid = running.pid();
    eventually("it measures", || !left_by(pid).is_empty());
    running.signal(Signal::INT);
    let (status, output) = running.finish();
    assert_eq!((status.code(), output.as_str()), (Some(1), ""));
    assert_eq!(left_by(pid), Vec::<String>::new());
}

#[test]
fn what_a_killed_one_has_left_is_removed_by_the_next_one_and_nothing_else() {
    let alive = Running::start(&["bench", "--seconds", "600"]);
    let killed = Running::start(&["bench", "--seconds", "600"]);
    let (pid, left_alone) = (killed.pid(), alive.pid());
    eventually("both measure", || !left_by(pid).is_empty() && !left_by(left_alone).is_empty());
    killed.kill();
    assert_eq!(left_by(pid).len(), 1);
    assert!(run(&["bench", "--seconds", "1"]).status.success());
    assert_eq!(left_by(pid), Vec::<String>::new());
    assert_eq!(left_by(left_alone).len(), 1);
    alive.signal(Signal::INT);
    let _ = alive.finish();
}
