//! A killed worker, one that exited and one that was stopped for a deployment are distinguished.

mod support;

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use support::{Fleet, Worker, as_worker, eventually, role, signal};
use tearless::{Namespace, syncer::Syncer};

/// Handles SIGTERM as the role says. Its last state is published by no tick.
fn work(namespace: &Namespace) -> ! {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let terminate = tokio::signal::unix::SignalKind::terminate();
    let mut stop = tokio::signal::unix::signal(terminate).unwrap();
    let builder = namespace.writer_builder("worker-7").linger(true);
    let state: Syncer<Value> =
        builder.syncer(json!({ "step": 0 })).interval(Duration::from_secs(3_600)).spawn().unwrap();
    state.replace(json!({ "step": 7 }));
    println!("published");
    runtime.block_on(stop.recv());
    match role().as_str() {
        "closes" => _ = state.shutdown().unwrap(),
        "panics" => {
            let panicking = std::thread::spawn(move || {
                let _dropped = state;
                panic!("the worker fails");
            });
            assert!(panicking.join().is_err());
        }
        "aborts" => std::process::abort(),
        _ => {}
    }
    // Its destructor does not run: as if it were in a `static`.
    std::process::exit(0)
}

#[test]
fn a_kill_an_exit_and_a_deployment_are_distinguished() {
    let test = "a_kill_an_exit_and_a_deployment_are_distinguished";
    if let Some(namespace) = as_worker() {
        work(&namespace);
    }
    let rows = [
        ("killed", Signal::KILL, "dead", "it was killed, or it crashed", 0),
        ("exits", Signal::TERM, "exited", "without closing the channel: it was not killed", 7),
        ("closes", Signal::TERM, "closed", "left its last state on purpose", 7),
        // It unwinds, which drops the syncer: an end like any other.
        ("panics", Signal::TERM, "closed", "left its last state on purpose", 7),
        ("aborts", Signal::TERM, "dead", "it was killed, or it crashed", 0),
    ];
    for (role, end, word, verdict, step) in rows {
        let fleet = Fleet::new();
        let worker = Worker::start_as(role, test, &fleet);
        let writer = |command: &[&str]| fleet.run(command).json()[0]["writer"].clone();
        assert_eq!(writer(&["ls", "--json"]), "alive");
        signal(worker.pid(), end);
        eventually("it has ended", || writer(&["ls", "--json"]) == word);
        for command in [&["get", "worker-7", "--json"][..], &["stat", "worker-7", "--json"]] {
            assert_eq!(writer(command), word);
        }
        let [document] = fleet.run(&["postmortem", "worker-7", "--json"]).json().try_into().unwrap();
        assert_eq!(
            (&document["writer"], &document["states"][0]["value"]["step"]),
            (&json!(word), &json!(step))
        );
        assert!(document["verdict"].as_str().unwrap().contains(verdict), "{document}");
        assert_eq!(document["ended_seconds"].is_number(), word != "dead", "{document}");
        assert_eq!(document["died_at_most_seconds_ago"].is_number(), word == "dead", "{document}");
        let metrics = fleet.run(&["export", "--prometheus", "--once"]).ok();
        assert!(metrics.contains(&format!("tearless_writer{{channel=\"worker-7\",state=\"{word}\"}} 1\n")));
        let doctor = fleet.run(&["doctor", "--json"]);
        let is_problem =
            doctor.stdout.lines().any(|line| line.contains(fleet.name()) && line.contains("dead"));
        assert_eq!(is_problem, word == "dead", "{doctor:?}");
        let reason = fleet.run(&["gc", "--keep", "nothing", "--json"]).json()[0]["reason"].clone();
        assert_eq!(reason, if word == "closed" { "lingered" } else { word });
    }
}

#[test]
fn people_see_a_time_of_day() {
    let fleet = Fleet::new();
    fleet.run_with(&["put", "worker-7", "--linger"], b"3").ok();
    let is_time = |text: &Value| {
        let text = text.as_str().unwrap();
        text.len() == 24 && text.ends_with('Z') && humantime::parse_rfc3339(text).is_ok()
    };
    for command in [
        &["ls", "--json"][..],
        &["get", "worker-7", "--json"],
        &["history", "worker-7", "--json"],
        &["stat", "worker-7", "--json"],
        &["postmortem", "worker-7", "--json"],
    ] {
        let document = &fleet.run(command).json()[0];
        assert!(is_time(&document["published_at"]), "{document}");
        let published = humantime::parse_rfc3339(document["published_at"].as_str().unwrap()).unwrap();
        let age = std::time::SystemTime::now().duration_since(published).unwrap_or_default();
        assert!(age < Duration::from_secs(60), "{age:?}");
    }
    for command in ["ls", "history worker-7", "stat worker-7", "postmortem worker-7"] {
        let text = fleet.run(&command.split(' ').collect::<Vec<_>>()).ok();
        let is_time = |word: &str| {
            let word = word.trim_matches(['(', ')', ',']);
            word.len() == 9 && word.ends_with('Z') && word.matches(':').count() == 2
        };
        assert!(text.split_whitespace().any(is_time), "{text}");
    }
}
