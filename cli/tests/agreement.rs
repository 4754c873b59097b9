//! The hub, a reader, an inspection and each command give the same answer about the health of the
//! same worker, and about the views of its states. The workers are real processes.

mod support;

use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use support::{Fleet, Worker, as_worker, eventually, role, signal, until_killed};
use tearless::{Bytes, Namespace, hub::Health, view::TrustedWriters};

const TEST: &str = "all_judges_agree";

/// The silence that a writer with `promise=1000` may keep: three intervals.
const PATIENCE: Duration = Duration::from_secs(3);

/// More than three intervals of a writer with `promise=1`, less than one of the others.
const MOMENT: Duration = Duration::from_millis(20);

/// What happens to a worker before it is judged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Accident {
    Nothing,
    Stop,
    Kill,
}

/// A channel, its history, and the one right answer.
struct Case {
    channel: &'static str,
    /// Steps of a writer that is killed before the last one opens the channel.
    predecessor: Option<&'static str>,
    /// Steps of the last writer: see [`work`].
    writer: &'static str,
    accident: Accident,
    /// Name of the [`Health`].
    health: &'static str,
    /// The commands' word.
    word: &'static str,
}

const fn case(
    channel: &'static str,
    writer: &'static str,
    accident: Accident,
    health: &'static str,
    word: &'static str,
) -> Case {
    Case { channel, predecessor: None, writer, accident, health, word }
}

const CASES: [Case; 12] = [
    case("fresh", "promise=3600000 publish", Accident::Nothing, "fresh", "alive"),
    case("unchanged", "publish", Accident::Nothing, "unchanged", "alive"),
    case("beating", "promise=1000 publish beat", Accident::Nothing, "unchanged", "alive"),
    case("stalled", "promise=1 publish", Accident::Nothing, "stalled", "stalled"),
    case("stopped", "promise=3600000 publish", Accident::Stop, "stalled", "stopped"),
    case("dead", "promise=3600000 publish", Accident::Kill, "dead", "dead"),
    case("closed", "promise=1 publish close", Accident::Nothing, "closed", "closed"),
    case("opened", "promise=3600000", Accident::Nothing, "empty", "alive"),
    case("opened-hanging", "promise=1", Accident::Nothing, "stalled", "stalled"),
    case("opened-dead", "promise=1", Accident::Kill, "dead", "dead"),
    Case {
        predecessor: Some("promise=1 publish"),
        ..case("successor-hanging", "promise=1", Accident::Nothing, "stalled", "stalled")
    },
    // Its predecessor's publication is older than its own patience.
    Case {
        predecessor: Some("promise=1000 publish"),
        ..case("successor", "promise=1000", Accident::Nothing, "unchanged", "alive")
    },
];

/// A writer: `promise=` milliseconds, `publish`, `beat` (heartbeats from then on), `close`
/// (lingering).
fn work(namespace: &Namespace, role: &str) -> ! {
    let (channel, steps) = role.split_once(' ').unwrap();
    let mut builder = namespace.writer_builder::<u64>(channel);
    if let Some(promise) = steps.split(' ').find_map(|step| step.strip_prefix("promise=")) {
        builder = builder.heartbeat_interval(Duration::from_millis(promise.parse().unwrap()));
    }
    let mut writer = Some(builder.open().unwrap());
    for step in steps.split(' ') {
        match step {
            "publish" => drop(writer.as_mut().unwrap().publish(&7).unwrap()),
            "close" => writer.take().unwrap().close_lingering().unwrap(),
            "beat" => {
                let mut writer = writer.take().unwrap();
                std::thread::spawn(move || {
                    loop {
                        writer.touch().unwrap();
                        sleep(Duration::from_millis(5));
                    }
                });
            }
            promise => assert!(promise.starts_with("promise="), "{promise}?"),
        }
    }
    until_killed()
}

fn start(fleet: &Fleet, case: &Case, steps: &str) -> Worker {
    Worker::start_as(&format!("{} {steps}", case.channel), TEST, fleet)
}

/// The answers of the library.
fn libraries_answers(fleet: &Fleet, channel: &str) -> Vec<(&'static str, Health)> {
    let mut reader = fleet.reader::<u64>(channel).unwrap();
    let state = reader.writer_state().unwrap();
    vec![
        ("Hub::status", fleet.hub().status(channel).unwrap().health),
        ("Reader::health", reader.health().unwrap()),
        ("Reader::health_with", reader.health_with(state)),
        ("Inspection::health", fleet.inspect(channel).unwrap().health()),
    ]
}

/// The answers of the commands about a channel; `None` from `doctor`, which only reports problems.
fn commands_answers(fleet: &Fleet, channel: &str) -> Vec<(&'static str, Option<String>)> {
    let word = |arguments: &[&str], key: &str| {
        let documents = fleet.run(arguments).json();
        let [document] = &documents[..] else { panic!("{arguments:?}: {documents:?}") };
        document[key].as_str().map(str::to_owned)
    };
    // The output also has channels whose names contain this one.
    let top = fleet.run(&["top", "--once", "--json", "--interval", "50ms", "--filter", channel]).json();
    let top = top.iter().find(|row| row["channel"] == channel).unwrap();
    vec![
        ("ls", word(&["ls", "--json", channel], "writer")),
        ("stat", word(&["stat", "--json", channel], "writer")),
        ("postmortem", word(&["postmortem", "--json", channel], "writer")),
        ("top", top["state"].as_str().map(str::to_owned)),
        ("doctor", doctors_answer(fleet, channel)),
        ("export", exporters_answer(fleet, channel)),
    ]
}

fn doctors_answer(fleet: &Fleet, channel: &str) -> Option<String> {
    let output = fleet.run(&["-n", fleet.name(), "doctor", "--json"]).stdout;
    let findings = output.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut checks = findings.filter(|finding| finding["channel"] == channel);
    let check = checks.next()?["check"].as_str().map(str::to_owned);
    assert!(checks.next().is_none(), "two findings about {channel}: {output}");
    check
}

/// The exporter's word. The exporter reports the channel as up if the word is `alive`, and only
/// then.
fn exporters_answer(fleet: &Fleet, channel: &str) -> Option<String> {
    let text = fleet.run(&["export", "--prometheus", "--once", channel]).ok();
    let up = format!("tearless_up{{channel={channel:?}}} ");
    let up = text.lines().find_map(|line| line.strip_prefix(&up)).map(str::to_owned);
    let state = format!("tearless_writer{{channel={channel:?},state=\"");
    let word = text.lines().find_map(|line| line.strip_prefix(&state)?.strip_suffix("\"} 1"));
    assert_eq!(up.as_deref() == Some("1"), word == Some("alive"), "{text}");
    word.map(str::to_owned)
}

/// Whether all answers are right, as one text for a failure.
fn disagreements(fleet: &Fleet, case: &Case) -> String {
    let mut wrong = String::new();
    for (judge, health) in libraries_answers(fleet, case.channel) {
        let is_stopped = matches!(health, Health::Stalled { is_stopped: true, .. });
        if health.name() != case.health || is_stopped != (case.word == "stopped") {
            wrong += &format!("{judge} says {health:?}; ");
        }
    }
    for (judge, word) in commands_answers(fleet, case.channel) {
        let is_silent = judge == "doctor" && !["dead", "stopped", "stalled"].contains(&case.word);
        let expected = if is_silent { None } else { Some(case.word) };
        if word.as_deref() != expected {
            wrong += &format!("{judge} says {word:?}; ");
        }
    }
    wrong
}

#[test]
fn all_judges_agree() {
    if let Some(namespace) = as_worker() {
        work(&namespace, &role());
    }
    let fleet = Fleet::new();
    for case in &CASES {
        if let Some(steps) = case.predecessor {
            start(&fleet, case, steps).kill();
        }
    }
    let (successor, others) = CASES.split_last().unwrap();
    let workers: Vec<_> = others.iter().map(|case| (case, Some(start(&fleet, case, case.writer)))).collect();
    // After this pause, the last states are neither fresh nor within a successor's patience.
    sleep(PATIENCE + MOMENT);
    let mut living = Vec::new();
    for (case, worker) in workers {
        let Some(worker) = worker else { continue };
        match case.accident {
            Accident::Nothing => living.push(worker),
            Accident::Kill => drop(worker.kill()),
            Accident::Stop => {
                signal(worker.pid(), Signal::STOP);
                let hub = fleet.hub();
                let is_stopped = |health| matches!(health, Health::Stalled { is_stopped: true, .. });
                eventually("the worker is stopped", || is_stopped(hub.status(case.channel).unwrap().health));
                living.push(worker);
            }
        }
    }
    for case in others {
        assert_eq!(disagreements(&fleet, case), "", "channel {}: {}", case.channel, case.health);
    }
    a_successor_is_judged_by_its_own_silence(&fleet, successor);
}

/// The predecessor was silent for longer than the successor may be. The case is judged within the
/// successor's patience, however slow the machine is: a round that took longer does not count.
fn a_successor_is_judged_by_its_own_silence(fleet: &Fleet, case: &Case) {
    for _ in 0..20 {
        let begin = Instant::now();
        let worker = start(fleet, case, case.writer);
        let wrong = disagreements(fleet, case);
        let is_in_time = begin.elapsed() < PATIENCE;
        worker.kill();
        if is_in_time {
            return assert_eq!(wrong, "", "channel {}: {}", case.channel, case.health);
        }
    }
    panic!("no round of judgements took less than {PATIENCE:?}");
}

#[test]
fn views_are_shown_by_ls_stat_top_and_doctor() {
    let fleet = Fleet::new();
    let builder = fleet.writer_builder::<[u8]>("camera").codec::<Bytes>().capacity(8 << 10).pins(1);
    let mut camera = builder.open().unwrap();
    camera.publish(&[1; 8 << 10]).unwrap();
    let mut plain = fleet.writer_builder::<[u8]>("plain").codec::<Bytes>().open().unwrap();
    plain.publish(&[1]).unwrap();
    let listed = || fleet.run(&["ls", "--json"]).json();
    assert_eq!(listed()[0]["pins"], 1);
    assert_eq!(listed()[0]["views"], 0);
    assert!(listed()[1]["pins"].is_null() && listed()[1]["views"].is_null());
    assert!(fleet.run(&["doctor", "--json"]).no_problem().iter().all(|finding| finding["check"] != "pins"));

    let reader = fleet.reader_builder::<Vec<u8>>("camera").codec::<Bytes>();
    // SAFETY: only the library stores to the channels of this test.
    let mut reader = reader.views_in_place(unsafe { TrustedWriters::new() }).open().unwrap();
    let view = reader.view().unwrap();
    assert!(view.is_in_place());
    assert_eq!(listed()[0]["views"], 1);
    let table = fleet.run(&["ls"]).ok();
    let rows: Vec<&str> = table.lines().map(|line| line.trim_end().rsplit(' ').next().unwrap()).collect();
    assert_eq!(rows, ["VIEWS", "1/1", "-"], "{table}");
    assert_eq!(fleet.run(&["stat", "camera", "--json"]).json()[0]["pinned"][0], 1);
    let top = |arguments: &[&str]| fleet.run(&[&["top", "--once", "--interval", "10ms"], arguments].concat());
    let [camera, plain] = top(&["--json", "--sort", "views"]).json().try_into().unwrap();
    assert_eq!((&camera["views"], &camera["pins"], &plain["pins"]), (&json!(1), &json!(1), &json!(null)));
    let table = top(&[]).ok();
    assert!(table.contains("VIEWS") && table.contains(" 1/1 "), "{table}");
    assert!(fleet.run(&["stat", "camera"]).ok().contains("1; pinned for readers: 1\n"));
    let findings = fleet.run(&["doctor", "--json"]).no_problem();
    let finding = findings.iter().find(|finding| finding["check"] == "pins").expect("all pins are taken");
    assert_eq!((&finding["severity"], &finding["channel"]), (&json!("note"), &json!("camera")));
    drop(view);
    assert_eq!(listed()[0]["views"], 0);
    assert!(!fleet.run(&["ls", "plain"]).ok().contains("VIEWS"));
}
