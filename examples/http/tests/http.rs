//! Runs the program as a process, beside worker processes of the example `fleet`, and queries it
//! over HTTP. The workers are this test program, started again, so the test has a `main` instead of
//! a harness.

mod asking;
#[path = "../../fleet/fleet.rs"]
#[allow(dead_code, reason = "the example uses all of it")]
mod fleet;
#[path = "../../fleet/options.rs"]
#[allow(dead_code, reason = "the example uses all of it")]
mod options;
#[path = "../../fleet/patience.rs"]
mod patience;
#[path = "../../fleet/state/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the example uses all of it")]
mod state;
#[path = "../../fleet/worker.rs"]
mod worker;

use std::{
    env, process,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;
use tearless::Namespace;

use asking::{Server, State};
use fleet::Fleet;
use options::Command;
use state::{Purse, kind::Choice};

/// How long an event may take until an answer shows it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A test case in a namespace of its own.
type Test = fn(&str);

fn main() {
    if let Ok(Command::Worker(options)) = options::parse(env::args().skip(1)) {
        worker::run(&options).expect("the worker has sampled and published");
        return;
    }
    let tests: [(&str, Test); 6] = [
        ("a_live_fleet_is_shown_as_it_changes", a_live_fleet_is_shown_as_it_changes),
        ("dead_and_stopped_workers_are_shown_with_their_last_state", dead_and_stopped_workers),
        ("unknown_names_are_errors_as_json", unknown_names_are_errors_as_json),
        ("cuts_have_all_coins", cuts_have_all_coins),
        ("changes_come_as_events_until_ctrl_c", changes_come_as_events_until_ctrl_c),
        ("a_namespace_without_workers_is_empty", a_namespace_without_workers_is_empty),
    ];
    for (number, (name, test)) in tests.iter().enumerate() {
        test(&format!("http-test-{}-{number}", process::id()));
        println!("test {name} ... ok");
    }
}

/// A fleet of workers that have all published, and the program.
fn start(namespace: &str, workers: usize) -> (Fleet, Server) {
    let namespace = Namespace::open(namespace).unwrap();
    let fleet = Fleet::start(&namespace, workers, Choice::Mixed).unwrap();
    let server = Server::start(namespace.name());
    until("all workers have published", || {
        let all = server.get("/workers").json();
        let published = all.as_array().unwrap().iter().filter(|worker| worker["publication"].is_u64());
        (published.count() == workers).then_some(())
    });
    (fleet, server)
}

/// The result of `look`, as soon as there is one.
fn until<R>(what: &str, mut look: impl FnMut() -> Option<R>) -> R {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn a_live_fleet_is_shown_as_it_changes(namespace: &str) {
    let (fleet, server) = start(namespace, 8);
    let all = server.get("/workers").json();
    let kinds = ["processors", "processes", "usage", "memory", "network", "disks", "pressure", "load"];
    for (index, (worker, kind)) in all.as_array().unwrap().iter().zip(kinds).enumerate() {
        assert_eq!(worker["name"], format!("worker-{index}"));
        assert_eq!(worker["kind"], kind);
        assert!(matches!(worker["health"].as_str(), Some("fresh" | "unchanged")), "{worker}");
        assert!(worker["age_ms"].as_f64().unwrap() >= 0.0 && worker["state"].is_object(), "{worker}");
        assert_eq!(worker["error"], Value::Null);
    }
    assert_eq!(all.as_array().unwrap().len(), kinds.len());
    let first = server.get("/workers/worker-0").json();
    assert_eq!(first["state"]["front"], first["publication"], "one whole state, under its own number");
    until("a later state is shown", || {
        let later = server.get("/workers/worker-0").json();
        (later["publication"].as_u64() > first["publication"].as_u64()).then_some(())
    });
    assert!(fleet.stop().is_empty());
    until("workers that have ended are no longer shown", || {
        (server.get("/workers").json() == Value::Array(Vec::new())).then_some(())
    });
    assert_eq!(server.get("/workers/worker-0").status, 404);
}

fn dead_and_stopped_workers(namespace: &str) {
    let (mut fleet, server) = start(namespace, 2);
    fleet.kill(0).unwrap();
    let dead = server.get("/workers/worker-0").json();
    assert_eq!(dead["health"], "dead");
    assert!(dead["silent_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(dead["state"]["front"], dead["publication"], "its last state");
    fleet.signal(1, Signal::STOP).unwrap();
    until("a stopped worker is stalled", || {
        let stopped = server.get("/workers/worker-1").json();
        (stopped["health"] == "stalled" && stopped["state"].is_object()).then_some(())
    });
    fleet.signal(1, Signal::CONT).unwrap();
    fleet.restart(0).unwrap();
    let successor = until("the killed worker is alive again", || {
        let now = server.get("/workers/worker-0").json();
        (now["health"] == "fresh").then_some(now)
    });
    assert!(
        successor["publication"].as_u64() > dead["publication"].as_u64(),
        "it resumes with the next number"
    );
    assert_eq!(successor["incarnation"], 2);
    assert!(fleet.stop().is_empty());
}

fn unknown_names_are_errors_as_json(namespace: &str) {
    let (fleet, server) = start(namespace, 1);
    // The channel purse-0 exists, but is not a worker.
    for path in
        ["/workers/worker-1", "/workers/worker-", "/workers/purse-0", "/workers/worker-1/changes", "/", "/x"]
    {
        let answer = server.get(path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.json()["error"].as_str().unwrap().contains("no "), "{path}: {}", answer.body);
    }
    let answer = server.ask("POST", "/workers");
    assert_eq!((answer.status, answer.json()["error"].as_str()), (405, Some("only GET is allowed")));
    let too_long = server.get(&format!("/workers/worker-{}", "x".repeat(1_000)));
    assert_eq!(too_long.status, 404, "{}", too_long.body);
    assert!(fleet.stop().is_empty());
}

fn cuts_have_all_coins(namespace: &str) {
    let (mut fleet, server) = start(namespace, 3);
    let mut publications = Vec::new();
    for round in 0..60 {
        let cut = until("the workers are slow enough for a cut", || {
            let cut = server.get("/cut").json();
            (!cut["coins"].is_null()).then_some(cut)
        });
        let coins = &cut["coins"];
        let all = coins["held"].as_u64().unwrap() + coins["in_flight"].as_u64().unwrap();
        assert_eq!(all, 3 * Purse::FULL.held, "{cut}");
        let purses = cut["purses"].as_array().unwrap();
        let held: u64 = purses.iter().map(|purse| purse["state"]["held"].as_u64().unwrap()).sum();
        assert_eq!(coins["held"], held, "{cut}");
        publications.push(purses[0]["publication"].as_u64().unwrap());
        match round {
            // The worker that passes on coins without pause: its successor must not start with a
            // full purse.
            20 => fleet.kill(2).unwrap(),
            30 => {
                fleet.restart(2).unwrap();
                until("the successor has published", || {
                    let now = server.get("/workers/worker-2").json();
                    (now["health"] == "fresh" && now["incarnation"] == 2).then_some(())
                });
            }
            _ => std::thread::sleep(Duration::from_millis(2)),
        }
    }
    assert!(
        publications.is_sorted() && publications[0] < publications[59],
        "the coins move: {publications:?}"
    );
    assert!(fleet.stop().is_empty());
}

fn changes_come_as_events_until_ctrl_c(namespace: &str) {
    let (fleet, server) = start(namespace, 1);
    let mut events = server.events("/workers/worker-0/changes");
    let mut last = 0;
    for _ in 0..5 {
        let event = events.next_state();
        assert!(event.id > last, "{} after {last}", event.id);
        assert_eq!(event.data["publication"], event.id);
        assert_eq!(event.data["state"]["front"], event.id);
        last = event.id;
    }
    // The open stream must not keep the server from ending.
    assert_eq!(server.end_by(Signal::INT), State::Exited(0));
    events.read_to_end();
    assert!(fleet.stop().is_empty());
}

fn a_namespace_without_workers_is_empty(namespace: &str) {
    let server = Server::start(namespace);
    assert!(server.address.starts_with("127.0.0.1:"), "the loopback's by default: {}", server.address);
    assert_eq!(server.get("/workers").json(), Value::Array(Vec::new()));
    assert_eq!(server.get("/workers/worker-0").status, 404);
    assert_eq!(server.get("/cut").json()["purses"], Value::Array(Vec::new()));
    assert_eq!(server.end_by(Signal::INT), State::Exited(0));
}
