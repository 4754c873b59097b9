//! This program as child processes: their tasks, and the lines that they exchange with the parent.
//!
//! A child reports on a line of its standard output that it is ready, works until its standard
//! input ends, and may print counts on other lines. The input also ends when the parent dies.

mod worker;

use std::io::{Write, stdin, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, getppid};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tearless::{Namespace, cleanup::Retention};

use crate::directory::Directory;
use crate::error::{ExitStatus, Failure};
pub(crate) use worker::Worker;

/// The hidden option that starts a process as a child, with its task.
pub(crate) const CHILD: &str = "--child";

/// The line that a child prints when it is at work.
pub(crate) const READY: &str = "ready";

/// How often the children of a dead parent check for leftovers.
const LOOKS: u32 = 20;
/// The pause between two checks.
const PAUSE: Duration = Duration::from_millis(100);

/// The argument of a child.
#[derive(Deserialize, Serialize)]
struct Order<T> {
    namespace: String,
    #[serde(flatten)]
    task: T,
}

/// Runs `work` as a child whose argument is `order`. Its error is a message, which the parent
/// reads.
pub(crate) fn run<T: DeserializeOwned>(
    order: &str,
    directory: &Directory,
    work: impl FnOnce(T, &Namespace, &Lifetime) -> Result<(), String>,
) -> Result<(), Failure> {
    let lifetime = Lifetime::begin();
    let done = serde_json::from_str(order).map_err(|error| format!("not a task: {error}"));
    let done = done.and_then(|Order { namespace, task }| {
        let namespace = directory.open(&namespace).map_err(text)?;
        let done = work(task, &namespace, &lifetime);
        lifetime.clean_if_orphaned(&namespace);
        done
    });
    done.map_err(|reason| {
        say(&reason);
        Failure::silent(ExitStatus::Failed)
    })
}

/// How long a child works.
pub(crate) struct Lifetime {
    is_over: Arc<AtomicBool>,
    parent: Option<Pid>,
}

impl Lifetime {
    fn begin() -> Lifetime {
        let is_over = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_over);
        thread::spawn(move || {
            // An error of reading is an end, too.
            let _ = std::io::copy(&mut stdin().lock(), &mut std::io::sink());
            // Relaxed: the flag publishes no other data.
            flag.store(true, Ordering::Relaxed);
        });
        Lifetime { is_over, parent: getppid() }
    }

    /// Whether the parent has closed this process's standard input, or has died.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Whether the parent has died.
    pub(crate) fn is_orphaned(&self) -> bool {
        getppid() != self.parent
    }

    /// If the parent was killed, no other process removes what a killed writer has left.
    fn clean_if_orphaned(&self, namespace: &Namespace) {
        if !self.is_orphaned() {
            return;
        }
        for _ in 0..LOOKS {
            thread::sleep(PAUSE);
            // The parent that could receive an error is dead.
            let _ = namespace.clean(Retention::Nothing);
        }
    }
}

/// The microseconds since 1970: no two runs of one process have the same.
pub(crate) fn number_of_run() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_secs() * 1_000_000 + u64::from(now.subsec_micros())
}

/// Prints a line for the parent. Does nothing if the parent has died.
pub(crate) fn say(line: &str) {
    let _ = writeln!(stdout(), "{line}");
}

/// The text of an error, as a child reports it.
pub(crate) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
