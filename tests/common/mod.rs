//! What several test files need: a namespace of their own, and real child processes.
#![allow(dead_code, reason = "every test file uses its part")]

pub mod counting;
pub mod fork;
pub mod objects;
pub mod seccomp;
pub mod trace;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tearless::Namespace;

const ROLE: &str = "TEARLESS_TEST_ROLE";
const NAMESPACE: &str = "TEARLESS_TEST_NAMESPACE";

/// A namespace that no other test uses; its channels are removed at the end, however the test ends.
pub struct OwnNamespace {
    /// The namespace.
    pub namespace: Namespace,
    channels: Vec<&'static str>,
}

impl OwnNamespace {
    /// A namespace in which the test uses `channels`. Not cleaned when it is opened, here and by its actors: what a test
    /// finds is what its processes left.
    pub fn new(channels: &[&'static str]) -> OwnNamespace {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        OwnNamespace { namespace: open(&name), channels: channels.to_vec() }
    }
}

impl Drop for OwnNamespace {
    fn drop(&mut self) {
        for channel in &self.channels {
            let _ = self.namespace.remove_channel(channel);
        }
        let _ = self.namespace.clean(tearless::cleanup::Retention::Nothing);
    }
}

impl std::ops::Deref for OwnNamespace {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.namespace
    }
}

/// The role that this process was started for, and the namespace to play it in; `None` in the test itself.
pub fn role() -> Option<(String, Namespace)> {
    let role = std::env::var(ROLE).ok()?;
    let namespace = std::env::var(NAMESPACE).expect("a role comes with a namespace");
    fork::end_after(rounds(300, 36_000));
    Some((role, open(&namespace)))
}

fn open(name: &str) -> Namespace {
    Namespace::open(name).unwrap()
}

/// How often to do something: `long` if `TEARLESS_LONG` is set, else `short`.
pub fn rounds(short: u32, long: u32) -> u32 {
    if std::env::var_os("TEARLESS_LONG").is_some() { long } else { short }
}

/// Whether this process is root, which what `needs` says takes; says so if it is not.
pub fn is_root(needs: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped: needs root, {needs}");
    }
    root
}

/// Waits until `condition` holds. Panics if it never does.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(60), "it never came true that {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Tells the process that started this one.
pub fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").unwrap();
    stdout.flush().unwrap();
}

/// A process that runs the same test again in another role. Killed when dropped.
pub struct Actor {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Actor {
    /// Starts `test` (its full name) in `role`.
    pub fn start(test: &str, role: &str, namespace: &Namespace) -> Actor {
        Actor::start_by(&["env"], test, role, namespace)
    }

    /// Starts it by way of `wrapper`, a command that runs the one that follows it.
    pub fn start_by(wrapper: &[&str], test: &str, role: &str, namespace: &Namespace) -> Actor {
        let mut child = Command::new(wrapper[0])
            .args(&wrapper[1..])
            .arg(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .envs([(ROLE, role), (NAMESPACE, namespace.name())])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Actor { child, output }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Writes a line to its standard input.
    pub fn tell(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Waits for its end, and returns the signal that it died of.
    pub fn death(mut self) -> Option<i32> {
        self.wait().signal()
    }

    /// Reads what it prints until a line that ends with `line`. Panics if it ends before.
    pub fn await_line(&mut self, line: &str) {
        while !self.await_line_with(line).ends_with(line) {}
    }

    /// Reads what it prints until a line that contains `part`, and returns that line. Panics if it ends before.
    pub fn await_line_with(&mut self, part: &str) -> String {
        loop {
            let mut read = String::new();
            assert!(self.output.read_line(&mut read).unwrap() > 0, "ended without saying {part:?}");
            if read.contains(part) {
                return read.trim_end().to_owned();
            }
        }
    }

    /// Closes its standard input, and leaves it running.
    pub fn close_input(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// What it has printed that was not read yet. Waits for its end.
    pub fn rest_of_output(&mut self) -> String {
        let mut rest = String::new();
        let _ = self.output.read_to_string(&mut rest);
        rest
    }

    /// Kills it with SIGKILL and waits for its end.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Closes its standard input and waits for its end, which must be a success.
    pub fn finish(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A state of `len` bytes that shows by itself whether it is whole.
pub fn pattern(len: usize) -> Vec<u8> {
    vec![u8::try_from(len % 251).unwrap(); len]
}

/// Whether `state` was made by [`pattern`].
pub fn is_pattern(state: &[u8]) -> bool {
    state.iter().all(|byte| usize::from(*byte) == state.len() % 251)
}

/// Waits until the test closes this process's standard input.
pub fn until_told_to_end() {
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
}

/// What the test tells this process, line by line.
pub fn commands() -> impl Iterator<Item = String> {
    std::io::stdin().lines().map(Result::unwrap)
}
