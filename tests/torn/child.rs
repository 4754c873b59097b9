//! The child processes: what they are told, and how they talk with the parent.
//!
//! A child is this very test binary, told to run one test that does nothing unless [`VARIABLE`] is set. It says `ready`
//! when its channels are open, waits for a line on its standard input, does its work and prints its counts.

use std::io::{Write, stdin, stdout};
use std::os::unix::process::parent_id;
use std::process::exit;
use std::time::{Duration, Instant};

use tearless::Namespace;

use crate::tally::Tally;
use crate::{reader, writer};

/// The environment variable that makes a process a child, and says which.
pub(crate) const VARIABLE: &str = "TEARLESS_TORN_CHILD";

/// What a child says when it is ready, on a line of its own.
pub(crate) const READY: &str = "@ready";
/// What begins a line with counts.
pub(crate) const TALLY: &str = "@tally ";

/// What a child does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Writer(usize),
    Reader(usize),
}

/// What the parent tells all of its children.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) namespace: String,
    pub(crate) seed: u64,
    pub(crate) seconds: u64,
}

impl Task {
    /// The value of [`VARIABLE`] for one child.
    pub(crate) fn to_variable(&self, role: Role) -> String {
        let (role, index) = match role {
            Role::Writer(index) => ("writer", index),
            Role::Reader(index) => ("reader", index),
        };
        format!("{role} {index} {} {} {}", self.namespace, self.seed, self.seconds)
    }

    fn from_variable(value: &str) -> Option<(Role, Task)> {
        let words = value.split(' ').collect::<Vec<_>>();
        let [role, index, namespace, seed, seconds] = words[..] else { return None };
        let role = match role {
            "writer" => Role::Writer(index.parse().ok()?),
            "reader" => Role::Reader(index.parse().ok()?),
            _ => return None,
        };
        let task =
            Task { namespace: namespace.into(), seed: seed.parse().ok()?, seconds: seconds.parse().ok()? };
        Some((role, task))
    }
}

/// How long a child goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shift {
    end: Instant,
    parent: u32,
}

impl Shift {
    fn new(seconds: u64) -> Shift {
        Shift { end: Instant::now() + Duration::from_secs(seconds), parent: parent_id() }
    }

    /// Whether to end: because of the time, or because the parent has died. Then nobody else would clean up.
    pub(crate) fn is_over(self) -> bool {
        Instant::now() >= self.end || self.is_orphaned()
    }

    /// Whether the parent has died.
    pub(crate) fn is_orphaned(self) -> bool {
        parent_id() != self.parent
    }

    /// The same, with some time on top.
    pub(crate) fn extended(self, by: Duration) -> Shift {
        Shift { end: self.end + by, ..self }
    }
}

/// Does a child's work, if this process is one.
pub(crate) fn run_if_told_to() {
    let Ok(value) = std::env::var(VARIABLE) else { return };
    let (role, task) = Task::from_variable(&value).expect("a task that the parent has written");
    let namespace = Namespace::open(&task.namespace).expect("a namespace");
    match role {
        Role::Writer(index) => writer::run(index, &namespace, &task),
        Role::Reader(index) => reader::run(index, &namespace, &task),
    }
    // The test harness has nothing to add, and would complain if the parent had died.
    exit(0);
}

/// Tells the parent that the channels are open, and waits until all of the others' are. `None` if the parent has died.
pub(crate) fn wait_for_start(task: &Task) -> Option<Shift> {
    // The test harness has begun a line of its own.
    say(&format!("\n{READY}"));
    let mut line = String::new();
    let told = stdin().read_line(&mut line).expect("a line from the parent");
    (told > 0).then(|| Shift::new(task.seconds))
}

/// Tells the parent what was counted on a channel.
pub(crate) fn report(index: usize, tally: Tally) {
    say(&format!("{TALLY}{}", tally.to_line(index)));
}

/// Says it to the parent, if there still is one.
fn say(text: &str) {
    let _ = writeln!(stdout(), "{text}");
}

#[test]
fn a_task_comes_back_from_the_variable() {
    let task = Task { namespace: "torn-1".into(), seed: u64::MAX, seconds: 3 };
    let role = Role::Reader(2);
    assert_eq!(Task::from_variable(&task.to_variable(role)), Some((role, task)));
}
