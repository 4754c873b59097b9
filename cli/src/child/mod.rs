//! This program once more, as other processes: what they are told, and how they talk with their parent.
//!
//! A child says that it is ready on a line of its standard output, works until its standard input ends, which
//! it also does when the parent has died, and may say what it has counted on other lines.

mod worker;

use std::io::{Write, stdin, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, getppid};
use tearless::{Namespace, cleanup::Retention};

pub(crate) use worker::{End, Worker};

/// The hidden option that makes a process a child of another one, with its task.
pub(crate) const CHILD: &str = "--child";

/// What a child says when it is at work.
pub(crate) const READY: &str = "ready";

/// How often the children of a parent that has died look whether there is something to be removed.
const LOOKS: u32 = 20;
/// How long they wait in between.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a child works.
#[derive(Debug)]
pub(crate) struct Lifetime {
    is_over: Arc<AtomicBool>,
    parent: Option<Pid>,
}

impl Lifetime {
    pub(crate) fn begin() -> Lifetime {
        let is_over = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_over);
        thread::spawn(move || {
            // An error of reading is an end, too.
            let _ = std::io::copy(&mut stdin().lock(), &mut std::io::sink());
            // Relaxed: nothing else is handed over.
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

    /// Where the parent was killed, nobody else removes what a killed writer has left.
    pub(crate) fn clean_if_orphaned(&self, namespace: &Namespace) {
        if !self.is_orphaned() {
            return;
        }
        for _ in 0..LOOKS {
            thread::sleep(PAUSE);
            // There is nobody left to tell about an error.
            let _ = namespace.clean(Retention::Nothing);
        }
    }
}

/// Tells the parent, if there still is one.
pub(crate) fn say(line: &str) {
    let _ = writeln!(stdout(), "{line}");
}

/// An error in words, as a child can say it.
pub(crate) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
