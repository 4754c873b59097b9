//! Workers named by their process leave many dead channels: what the command prints about them
//! stays short, live workers come first, and one of them can be removed.

mod support;

use std::sync::mpsc::RecvTimeoutError;

use serde_json::{Value, json};
use support::{Fleet, Worker, as_worker, eventually, until_killed};
use tearless::Namespace;

/// More than the doctor names.
const DEAD: usize = 12;

fn work(namespace: &Namespace) -> ! {
    let open = |number| namespace.writer::<Value>(&format!("dead-{number:05}")).unwrap();
    let mut writers: Vec<_> = (0..DEAD).map(open).collect();
    for writer in &mut writers {
        writer.publish(&json!({ "step": 1 })).unwrap();
    }
    until_killed()
}

#[test]
fn one_dead_channel_is_removed_by_name_and_a_live_one_is_not() {
    let test = "one_dead_channel_is_removed_by_name_and_a_live_one_is_not";
    if let Some(namespace) = as_worker() {
        work(&namespace);
    }
    let fleet = Fleet::new();
    let worker = Worker::start(test, &fleet);
    let _live = fleet.writer::<u64>("live").unwrap();
    let names = || -> Vec<_> { fleet.channels().unwrap().into_iter().map(|info| info.name).collect() };
    let pid = worker.pid();
    let message = fleet.run(&["gc", "dead-00001"]).fails(6);
    assert!(message.contains(&format!("written by process {pid}")), "{message}");
    worker.kill();
    fleet.run(&["gc", "dead-00001", "live"]).fails(6);
    fleet.run(&["gc", "dead-00001", "live", "--dry-run"]).fails(6);
    assert!(fleet.run(&["gc", "dead-0000x"]).fails(3).contains("did you mean: dead-00000"));
    fleet.run(&["gc", "dead-00001", "--keep", "1h"]).fails(2);
    let report = fleet.run(&["gc", "dead-00001", "--dry-run"]).ok();
    assert!(report.starts_with("would remove channel dead-00001: ") && names().len() == DEAD + 1, "{report}");

    let ran = fleet.run(&["rm", "dead-00001", "dead-00007"]);
    assert!(ran.stderr.is_empty(), "{ran:?}");
    let report = ran.ok();
    assert_eq!(report.lines().count(), 2, "{report}");
    assert!(report.contains("removed channel dead-00001: its writer, process"), "{report}");
    let left = names();
    assert_eq!(left.len(), DEAD - 1, "{left:?}");
    assert!(!left.contains(&"dead-00001".to_owned()) && !left.contains(&"dead-00007".to_owned()));
    fleet.run(&["get", "dead-00002"]).ok();
    fleet.run(&["get", "dead-00001"]).fails(3);

    // The command that the doctor advises.
    let doctor = fleet.run(&["doctor"]).stdout;
    let advice = format!("`tearless -n {} gc dead-00000`", fleet.name());
    assert!(doctor.contains(&advice), "{doctor}");
}

#[test]
fn the_doctor_names_some_of_many_dead_workers_and_counts_the_others() {
    let test = "the_doctor_names_some_of_many_dead_workers_and_counts_the_others";
    if let Some(namespace) = as_worker() {
        work(&namespace);
    }
    let fleet = Fleet::new();
    Worker::start(test, &fleet).kill();
    let ran = fleet.run(&["doctor"]);
    let own: Vec<_> = ran.stdout.lines().filter(|line| line.contains(fleet.name())).collect();
    let named = own.iter().filter(|line| line.contains("/dead-") && line.contains("died")).count();
    assert_eq!(named, 3, "{ran:?}");
    let others = format!("problem: {}: {} more of this kind: dead", fleet.name(), DEAD - 3);
    assert!(own.contains(&others.as_str()), "{ran:?}");
    assert_eq!(ran.code, Some(1));
    let all = fleet.run(&["doctor", "--json"]).stdout;
    assert_eq!(all.matches("\"check\":\"dead\"").count(), DEAD, "{all}");
}

#[test]
fn an_exposition_has_a_bound_and_leaves_dead_workers_out_first() {
    let test = "an_exposition_has_a_bound_and_leaves_dead_workers_out_first";
    if let Some(namespace) = as_worker() {
        work(&namespace);
    }
    let fleet = Fleet::new();
    Worker::start(test, &fleet).kill();
    // By name, they are behind all others.
    let _live = ["live-1", "live-2"].map(|name| fleet.writer::<u64>(name).unwrap());
    let export =
        |options: &[&str]| fleet.run(&[&["export", "--prometheus", "--once"], options].concat()).ok();
    let text = export(&["--max-channels", "3"]);
    for part in [
        "tearless_up{channel=\"live-1\"} 1\n",
        "tearless_up{channel=\"live-2\"} 1\n",
        "tearless_up{channel=\"dead-00000\"} 0\n",
        "tearless_exporter_channels 3\n",
        &format!("tearless_exporter_channels_left_out {}\n", DEAD - 1),
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(export(&[]).contains("tearless_exporter_channels_left_out 0\n"));
    assert!(export(&["--max-channels", "1", "live-*"]).contains("tearless_exporter_channels_left_out 1\n"));
}

#[test]
fn one_table_of_top_is_sorted_by_the_rates_that_it_has() {
    let fleet = Fleet::new();
    let mut quiet = fleet.writer::<u64>("a-quiet").unwrap();
    quiet.publish(&1).unwrap();
    let mut busy = fleet.writer::<u64>("b-busy").unwrap();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let publishing = std::thread::spawn(move || {
        for number in 0.. {
            busy.publish(&number).unwrap();
            if stopped.recv_timeout(std::time::Duration::from_millis(1)) != Err(RecvTimeoutError::Timeout) {
                break;
            }
        }
    });
    let top = ["top", "--once", "--json", "--interval", "100ms", "--sort", "rate"];
    eventually("the busy worker is the first", || fleet.run(&top).json()[0]["channel"] == "b-busy");
    drop(stop);
    publishing.join().unwrap();
}
