//! `tearless top` as a user runs it: the real program, in a real terminal, with real workers.

mod cost;
mod picture;
mod tmux;
mod workers;

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use tmux::Tmux;
use workers::{OwnNamespace, Pace, Worker, play};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tearless");

/// How often the workers publish.
const PACE: Pace = Pace { pause: Duration::from_millis(5), swell: 0 };

/// Runs `tearless top` without a terminal.
fn top(own: &OwnNamespace, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(["-n", own.0.name(), "top"]).args(arguments).stdin(Stdio::null());
    command.output().unwrap()
}

/// A duration in seconds, which `TEARLESS_TOP_SECONDS` overrides.
fn seconds(usual: u64) -> Duration {
    let seconds = std::env::var("TEARLESS_TOP_SECONDS").ok();
    let seconds = seconds.map(|text| text.parse().expect("TEARLESS_TOP_SECONDS is a whole number"));
    Duration::from_secs(seconds.unwrap_or(usual))
}

/// Starts `top` in a terminal.
fn start(tmux: &Tmux, own: &OwnNamespace, arguments: &str) {
    tmux.shell(&format!("clear; '{PROGRAM}' -n {} top {arguments}", own.0.name()));
}

/// The number after `key = ` on the screen.
fn number(screen: &str, key: &str) -> Option<u64> {
    let (_, rest) = screen.split_once(&format!("{key} = "))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[test]
#[ignore = "needs tmux; ci/top runs it"]
fn a_session_from_the_first_frame_to_the_prompt() {
    if play() {
        return;
    }
    let test = "a_session_from_the_first_frame_to_the_prompt";
    let own = OwnNamespace::new();
    let worker = |channel| Worker::start(test, &own, &[channel], PACE);
    let (_first, second, third) = (worker("alpha-1"), worker("alpha-2"), worker("beta-1"));
    let tmux = Tmux::start(130, 30);
    start(&tmux, &own, "");
    tmux.wait_for("all three workers are listed", |screen| screen.contains("3 workers: 3 alive"));

    select_the_last(&tmux);
    filter_and_sort(&tmux);

    // Workers die, stop and start.
    third.kill();
    tmux.wait_for("beta-1 is dead and comes first", |screen| {
        screen.contains("2 alive, 1 dead")
            && screen.lines().nth(3).is_some_and(|line| line.starts_with("beta-1"))
    });
    second.signal(Signal::STOP);
    tmux.wait_for("alpha-2 is stopped", |screen| screen.contains("1 alive, 1 stopped, 1 dead"));
    second.signal(Signal::CONT);
    tmux.wait_for("it continues", |screen| screen.contains("2 alive, 1 dead"));
    let _fourth = worker("gamma-1");
    tmux.wait_for("another worker is listed", |screen| screen.contains("4 workers: 3 alive, 1 dead"));

    freeze(&tmux, || worker("delta-1"));
    resize_and_ask_for_help(&tmux);
    tmux.types("q");
    tmux.assert_restored();
}

#[test]
#[ignore = "needs tmux; ci/top runs it"]
fn blocks_are_beside_workers_and_their_owners_die() {
    if play() {
        return;
    }
    let test = "blocks_are_beside_workers_and_their_owners_die";
    let own = OwnNamespace::new();
    let _live = Worker::start(test, &own, &["alpha", "block:table"], PACE);
    let other = Worker::start(test, &own, &["beta", "block:vast"], PACE);
    // No cell is to spare.
    let tmux = Tmux::start(80, 30);
    start(&tmux, &own, "--sort kind");
    let screen = tmux.wait_for("workers and blocks are listed", |screen| {
        screen.contains("2 workers: 2 alive; 2 blocks: 2 alive") && screen.contains("owner: alive, process")
    });
    let rows: Vec<Vec<&str>> = screen.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[2], ["WORKER", "STATE", "KIND▼", "PID", "RATE/s", "AGE", "BYTES", "LAST", "MINUTE"]);
    assert_eq!(
        (&rows[3][..3], &rows[3][4..]),
        (&["table", "alive", "block"][..], &["-", "-", "100", "KiB", "-"][..])
    );
    assert_eq!((rows[4][0], rows[5][0], rows[6][0]), ("vast", "alpha", "beta"), "{screen}");
    other.kill();
    tmux.key("Down");
    tmux.wait_for("the owner of the second block is dead", |screen| {
        screen.contains("1 alive, 1 dead; 2 blocks: ") && screen.contains("owner: dead, process")
    });
    tmux.types("/block");
    tmux.key("Enter");
    tmux.wait_for("only blocks are left", |screen| {
        screen.contains("2 match block") && !screen.contains("alpha")
    });
    tmux.types("q");
    tmux.assert_restored();
}

/// Selects the last worker, whose fields are shown and change.
fn select_the_last(tmux: &Tmux) {
    tmux.key("End");
    let is_third = |screen: &str| screen.contains("beta-1  #") && number(screen, "jobs_done").is_some();
    let screen = tmux.wait_for("the fields of beta-1 are shown", is_third);
    let before = number(&screen, "jobs_done");
    tmux.wait_for("the fields change", |screen| number(screen, "jobs_done") > before);
    assert!(screen.contains("phase = \""), "{screen}");
}

fn filter_and_sort(tmux: &Tmux) {
    tmux.types("/beta");
    tmux.key("Enter");
    tmux.wait_for("only beta-1 is left", |screen| {
        screen.contains("1 match beta") && !screen.contains("alpha-")
    });
    tmux.key("Escape");
    tmux.wait_for("the filter is gone", |screen| screen.contains("alpha-1") && !screen.contains("match"));
    let head = tmux.screen().lines().nth(2).unwrap().chars().collect::<String>();
    let column =
        head.chars().collect::<Vec<_>>().windows(5).position(|five| five == ['S', 'T', 'A', 'T', 'E']);
    tmux.click(column.unwrap() + 1, 3);
    tmux.wait_for("the rows are sorted by state", |screen| screen.contains("STATE▼"));
}

/// On a frozen screen, the fields of a live worker don't change, and a new worker does not appear.
fn freeze(tmux: &Tmux, come: impl FnOnce() -> Worker) {
    tmux.key("End");
    tmux.wait_for("a live worker is selected", |screen| screen.contains("gamma-1  #"));
    tmux.types(" ");
    let frozen = tmux.wait_for("the screen is frozen", |screen| screen.contains("FROZEN"));
    let fifth = come();
    wait_for_frames(tmux, 5);
    assert_eq!(tmux.screen(), frozen, "nothing changes, although a worker has started");
    tmux.types(" ");
    tmux.wait_for("it continues", |screen| screen.contains("5 workers: 4 alive"));
    drop(fifth);
}

/// Waits until this many frames have been due: for each, the program wakes up once or twice.
fn wait_for_frames(tmux: &Tmux, frames: u64) {
    let path = format!("/proc/{}/status", child_of(tmux.shell_pid()));
    let wakes = || -> u64 {
        let status = std::fs::read_to_string(&path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.unwrap().trim().parse().unwrap()
    };
    let before = wakes();
    tmux.wait_for("frames are due", |_| wakes() >= before + 2 * frames);
}

fn resize_and_ask_for_help(tmux: &Tmux) {
    tmux.resize(20, 5);
    tmux.wait_for("it reports that it is too small", |screen| screen.contains("too small"));
    tmux.resize(50, 12);
    tmux.wait_for("the table fits again", |screen| screen.contains("alpha-1") && screen.contains("? help"));
    tmux.resize(110, 30);
    tmux.types("?");
    tmux.wait_for("the help is shown", |screen| screen.contains("any key closes the help"));
    tmux.types("x");
    tmux.wait_for("the help is gone", |screen| !screen.contains("any key closes the help"));
}

/// The only child of a shell.
fn child_of(shell: u32) -> Pid {
    let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
    Pid::from_raw(children.trim().parse().unwrap()).unwrap()
}

#[test]
#[ignore = "needs tmux; ci/top runs it"]
fn a_signal_restores_the_terminal() {
    if play() {
        return;
    }
    let own = OwnNamespace::new();
    let _worker = Worker::start("a_signal_restores_the_terminal", &own, &["worker"], PACE);
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let tmux = Tmux::start(80, 24);
        start(&tmux, &own, "--interval 1h");
        tmux.wait_for("it runs", |screen| screen.contains("1 worker:"));
        kill_process(child_of(tmux.shell_pid()), signal).unwrap();
        tmux.assert_restored();
    }
}

#[test]
#[ignore = "needs tmux; ci/top runs it"]
fn top_ends_with_its_terminal() {
    if play() {
        return;
    }
    let own = OwnNamespace::new();
    let _worker = Worker::start("top_ends_with_its_terminal", &own, &["worker"], PACE);
    let tmux = Tmux::start(80, 24);
    start(&tmux, &own, "--interval 20ms");
    tmux.wait_for("it runs", |screen| screen.contains("1 worker:"));
    let program = child_of(tmux.shell_pid());
    drop(tmux);
    let gone = || rustix::process::test_kill_process(program).is_err();
    let begin = std::time::Instant::now();
    while !gone() {
        assert!(begin.elapsed() < Duration::from_secs(60), "it runs without a terminal");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
#[ignore = "needs tmux; ci/top runs it"]
fn top_can_be_suspended_and_continued() {
    if play() {
        return;
    }
    let own = OwnNamespace::new();
    let _worker = Worker::start("top_can_be_suspended_and_continued", &own, &["worker"], PACE);
    let tmux = Tmux::start(80, 24);
    start(&tmux, &own, "");
    tmux.wait_for("it runs", |screen| screen.contains("1 worker:"));
    tmux.key("C-z");
    tmux.assert_restored();
    tmux.shell("fg");
    tmux.wait_for("the program is back", |screen| screen.contains("1 worker:") && screen.contains("? help"));
    tmux.key("C-c");
    tmux.assert_restored();
}

#[test]
fn without_a_terminal_top_says_what_to_do_instead() {
    let own = OwnNamespace::new();
    let output = top(&own, &[]);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        message.contains("not a terminal") && message.contains("--once") && message.contains("ls"),
        "{message}"
    );
    for wrong in [&["--interval", "1ms"][..], &["--sort", "size"], &["--json"]] {
        assert_eq!(top(&own, wrong).status.code(), Some(2), "{wrong:?}");
    }
}

fn words(table: &str) -> Vec<Vec<&str>> {
    table.lines().map(|line| line.split_whitespace().collect()).collect()
}

/// Whether the worker's rate in a table is 0.
fn is_silent(table: &str, worker: &str) -> bool {
    words(table).iter().any(|words| words[0] == worker && words[3] == "0")
}

#[test]
fn once_prints_a_table_and_a_document() {
    if play() {
        return;
    }
    let test = "once_prints_a_table_and_a_document";
    let own = OwnNamespace::new();
    let _live = Worker::start(test, &own, &["alpha", "gamma"], PACE);
    Worker::start(test, &own, &["beta"], PACE).kill();
    let table = || {
        let output = top(&own, &["--once", "--interval", "300ms", "--sort", "state"]);
        String::from_utf8(output.stdout).unwrap()
    };
    // A busy machine may keep a live worker from publishing during a whole sample.
    let is_in_time =
        |text: &String| text.contains("alive") && !text.contains("stalled") && !is_silent(text, "alpha");
    let text = (0..20).map(|_| table()).find(is_in_time).unwrap_or_else(table);
    let words = words(&text);
    assert_eq!(words[0][..3], ["WORKER", "STATE", "PID"], "{text}");
    assert_eq!((words[1][0], words[1][1], words[1][3]), ("beta", "dead", "0"), "{text}");
    assert_eq!((words[2][0], words[3][0], words.len()), ("alpha", "gamma", 4), "{text}");
    assert_ne!(words[2][3], "0", "the live workers have a rate: {text}");

    let output = top(&own, &["--once", "--interval", "50ms", "--filter", "dead", "--json"]);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&document["channel"], &document["state"]), (&"beta".into(), &"dead".into()));
    assert!(
        document["bytes"].as_u64() > Some(0) && document["age_seconds"].as_f64() > Some(0.0),
        "{document}"
    );
}

#[test]
fn names_and_states_cannot_control_the_terminal() {
    let own = OwnNamespace::new();
    let evil = "evil\u{202e}name";
    let builder = own.0.writer_builder::<[u8]>(evil).codec::<tearless::Bytes>();
    let mut writer = builder.type_name("\u{1b}]0;owned\u{7}").open().unwrap();
    writer.publish(b"\x1b[2J\x1b]0;owned\x07").unwrap();
    let output = top(&own, &["--once", "--interval", "50ms"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("evil\\u{202e}name") && !text.contains(['\u{202e}', '\u{1b}']), "{text:?}");
    let tmux = Tmux::start(180, 24);
    start(&tmux, &own, "");
    let screen = tmux.wait_for("the bytes are shown", |screen| screen.contains("1b 5b 32 4a"));
    assert!(screen.contains("\\u{1b}]0;owned\\u{7}"), "{screen}");
    tmux.types("q");
    tmux.assert_restored();
}
