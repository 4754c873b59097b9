//! The child processes: what they are told, and how they talk with their parent.
//!
//! A child is this very program with a hidden argument. It says that it is ready on a line of its standard output, works
//! until its standard input ends, which it also does when the parent has died, and says what it has counted on another.

use std::io::{Write, stdin, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, getppid};
use serde_json::{Value, json};
use tearless::{Keep, Namespace};

use super::{reader, writer};

/// What a child says when it is at work.
pub(super) const READY: &str = "ready";

/// How often the children of a parent that has died look whether they are the last.
const LOOKS: u32 = 20;
/// How long they wait in between.
const PAUSE: Duration = Duration::from_millis(100);

/// What a child does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Writes every channel whose number leaves `index` when divided by `writers`. `life` is 1 for the first process in
    /// this role, and one more for each that follows.
    Writer { index: usize, writers: usize, life: u64 },
    /// Reads all channels.
    Reader,
}

/// Where, and with which contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) namespace: String,
    pub(super) seed: u64,
}

impl Task {
    /// The hidden argument of a child.
    pub(super) fn to_argument(&self, role: Role) -> String {
        let Task { namespace, seed } = self;
        let argument = match role {
            Role::Writer { index, writers, life } => {
                json!({"namespace": namespace, "seed": seed, "index": index, "writers": writers, "life": life})
            }
            Role::Reader => json!({"namespace": namespace, "seed": seed}),
        };
        argument.to_string()
    }

    fn from_argument(argument: &str) -> Option<(Task, Role)> {
        let value: Value = serde_json::from_str(argument).ok()?;
        let number = |name: &str| value.get(name)?.as_u64();
        let task = Task { namespace: value.get("namespace")?.as_str()?.into(), seed: number("seed")? };
        let Some(index) = number("index") else { return Some((task, Role::Reader)) };
        let writers = number("writers")?.max(1);
        let role = Role::Writer {
            index: usize::try_from(index).ok()?,
            writers: usize::try_from(writers).ok()?,
            life: number("life")?,
        };
        Some((task, role))
    }
}

/// Does a child's work, until its standard input ends.
///
/// # Errors
///
/// What went wrong, in words.
pub(super) fn run(argument: &str) -> Result<(), String> {
    let (task, role) = Task::from_argument(argument).ok_or("no task of `tearless verify`")?;
    let namespace = Namespace::builder(&task.namespace).without_cleaning().open().map_err(text)?;
    let shift = Shift::begin();
    let done = match role {
        Role::Writer { index, writers, life } => {
            let share = writer::Share { index, writers, life };
            writer::run(share, &namespace, task.seed, &shift)
        }
        Role::Reader => {
            reader::run(&namespace, task.seed, &shift).map(|tally| say(&tally.to_json().to_string()))
        }
    };
    shift.clean_if_orphaned(&namespace);
    done
}

/// How long a child works.
#[derive(Debug)]
pub(super) struct Shift {
    is_over: Arc<AtomicBool>,
    parent: Option<Pid>,
}

impl Shift {
    fn begin() -> Shift {
        let is_over = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_over);
        thread::spawn(move || {
            // An error of reading is an end, too.
            let _ = std::io::copy(&mut stdin().lock(), &mut std::io::sink());
            // Relaxed: nothing else is handed over.
            flag.store(true, Ordering::Relaxed);
        });
        Shift { is_over, parent: getppid() }
    }

    /// Whether the parent has closed this process's standard input, or has died.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Where the parent was killed, nobody else removes what a killed writer has left.
    fn clean_if_orphaned(&self, namespace: &Namespace) {
        if getppid() == self.parent {
            return;
        }
        for _ in 0..LOOKS {
            thread::sleep(PAUSE);
            // There is nobody left to tell about an error.
            let _ = namespace.clean(Keep::Nothing);
        }
    }
}

/// Tells the parent, if there still is one.
pub(super) fn say(line: &str) {
    let _ = writeln!(stdout(), "{line}");
}

/// An error in words.
pub(super) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[test]
fn a_task_comes_back_from_its_argument() {
    let task = Task { namespace: "verify \"1\"".into(), seed: u64::MAX };
    for role in [Role::Reader, Role::Writer { index: 1, writers: 3, life: 9 }] {
        assert_eq!(Task::from_argument(&task.to_argument(role)), Some((task.clone(), role)));
    }
    assert_eq!(Task::from_argument("{}"), None);
}
