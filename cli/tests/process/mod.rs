//! The real program as a process, and a separate namespace for a test.
#![allow(dead_code, reason = "every test file uses its part")]

#[path = "../signals/mod.rs"]
mod signals;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tearless::{Namespace, cleanup::Retention};

/// The output of a process, and its exit status.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit status.
    pub status: ExitStatus,
    /// Its standard output.
    pub output: String,
    /// Its standard error.
    pub errors: String,
}

/// The program with `arguments`, in an environment without a namespace.
pub fn tearless(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tearless"));
    command.args(arguments).env_remove("TEARLESS_NAMESPACE").env_remove("NO_COLOR");
    command
}

/// Runs the program to its end.
pub fn run(arguments: &[&str]) -> Outcome {
    let output = tearless(arguments).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Outcome { status: output.status, output: text(output.stdout), errors: text(output.stderr) }
}

/// A running process. Killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Running {
    /// Starts the program.
    pub fn start(arguments: &[&str]) -> Running {
        signals::with_default_signals();
        let mut child = tearless(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Running { child, output }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line of its output; empty once it has ended.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Writes a line to its standard input.
    pub fn send(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Closes its standard input.
    pub fn close_input(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits for its end, and returns the rest of its output.
    pub fn finish(mut self) -> (ExitStatus, String) {
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap(), rest)
    }

    /// Kills it with SIGKILL and waits for its end.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A namespace that no other test uses. Its leftovers are removed at the end, even if the test
/// fails.
#[derive(Debug)]
pub struct OwnNamespace(Namespace);

impl OwnNamespace {
    /// Opens the namespace.
    #[allow(clippy::new_without_default, reason = "each value is another namespace")]
    pub fn new() -> OwnNamespace {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test-cli-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        OwnNamespace(Namespace::open(&name).unwrap())
    }
}

impl Drop for OwnNamespace {
    fn drop(&mut self) {
        let _ = self.0.clean(Retention::Nothing);
    }
}

impl std::ops::Deref for OwnNamespace {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.0
    }
}

/// Waits until `condition` holds. Panics if it never does.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(60), "timed out, waiting until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
