//! What several test files need: a namespace of their own, and real child processes.
#![allow(dead_code, reason = "every test file uses its part")]

pub mod counting;

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

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
    /// A namespace in which the test uses `channels`.
    pub fn new(channels: &[&'static str]) -> OwnNamespace {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        OwnNamespace { namespace: Namespace::open(&name).unwrap(), channels: channels.to_vec() }
    }
}

impl Drop for OwnNamespace {
    fn drop(&mut self) {
        for channel in &self.channels {
            let _ = self.namespace.remove_channel(channel);
        }
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
    Some((role, Namespace::open(&namespace).unwrap()))
}

/// A process that runs the same test again in another role. Killed when dropped.
pub struct Actor {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Actor {
    /// Starts `test` (its full name) in `role`.
    pub fn start(test: &str, role: &str, namespace: &Namespace) -> Actor {
        let mut child = Command::new(std::env::current_exe().unwrap())
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

/// Waits until the test closes this process's standard input.
pub fn until_told_to_end() {
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
}
