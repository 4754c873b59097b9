//! What `tearless top` costs with many channels: a measurement, not a test.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::tmux::Tmux;
use crate::workers::{OwnNamespace, Pace, Worker, play};
use crate::{number, seconds, start};

/// The default length of the measurement, in seconds.
const SECONDS: u64 = 20;

/// The user and system time of a process so far, in clock ticks.
fn ticks(pid: u32) -> [u64; 2] {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = fields.split(' ').collect();
    [11, 12].map(|index| fields[index].parse().unwrap())
}

/// Prints the processor share of `top` with 200 channels at 10 frames a second, on a terminal of
/// 130 by 40 cells.
///
/// `ci/top` runs it.
#[test]
#[ignore = "a measurement of 30 seconds, which ci/top runs"]
fn cost_with_200_channels() {
    if play() {
        return;
    }
    let own = OwnNamespace::new();
    let names: Vec<String> = (1..=200).map(|number| format!("worker-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let name = "cost::cost_with_200_channels";
    let _worker = Worker::start(name, &own, &names, Pace::steady(Duration::from_millis(20)));
    let tmux = Tmux::start(130, 40);
    start(&tmux, &own, "");
    tmux.wait_for("all workers are listed", |screen| screen.contains("200 workers: 200 alive"));
    sleep(Duration::from_secs(3));
    let shell = tmux.shell_pid();
    let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
    let pid = children.trim().parse().unwrap();
    let (begin, before) = (Instant::now(), ticks(pid));
    sleep(seconds(SECONDS));
    let (after, passed) = (ticks(pid), begin.elapsed().as_secs_f64());
    // The kernel reports ticks of a hundredth of a second, whatever its internal ticks are.
    let [user, system] = [0, 1].map(|index| (after[index] - before[index]) as f64 / passed);
    println!(
        "tearless top, 200 channels, 10 frames a second: {user:.2} % of a processor, and {system:.2} % in the system"
    );
    assert!(number(&tmux.screen(), "jobs_done").is_some(), "the program still runs");
    tmux.types("q");
    tmux.assert_restored();
}
