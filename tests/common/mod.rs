//! What the tests of several promises need: a namespace of their own, and the same test in other
//! processes.
#![allow(dead_code, unused_imports, reason = "every test program uses its part")]

use std::ops::{Deref, DerefMut};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tearless::Namespace;
use testkit::child::Child;
pub use testkit::child::{orders, say, wait_for_end};

const ROLE: &str = "TEARLESS_TEST_ROLE";
const NAMESPACE: &str = "TEARLESS_TEST_NAMESPACE";

/// What the test harness prints at the end of a process that has run its one test.
const PASSED: &str = "test result: ok. 1 passed;";

/// A namespace that no other test uses. Its channels are removed at the end, however the test ends.
pub struct OwnNamespace {
    /// The namespace.
    pub namespace: Namespace,
    channels: Vec<&'static str>,
}

impl OwnNamespace {
    /// A namespace in which the test uses `channels`. Neither the test nor its actors clean it when
    /// they open it: a test finds everything that its processes left.
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

impl Deref for OwnNamespace {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.namespace
    }
}

/// The role that this process was started for, and its namespace; `None` in the test itself.
pub fn role() -> Option<(String, Namespace)> {
    let role = std::env::var(ROLE).ok()?;
    let namespace = std::env::var(NAMESPACE).expect("a role comes with a namespace");
    testkit::fork::end_after(rounds(300, 36_000));
    Some((role, open(&namespace)))
}

fn open(name: &str) -> Namespace {
    Namespace::open(name).unwrap()
}

/// How often to do something: `long` if `TEARLESS_LONG` is set, else `short`.
pub fn rounds(short: u32, long: u32) -> u32 {
    if std::env::var_os("TEARLESS_LONG").is_some() { long } else { short }
}

/// Whether this process is root. If it is not, prints that the test is skipped, and what `needs`
/// root.
pub fn is_root(needs: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped: needs root, {needs}");
    }
    root
}

/// Waits until `condition` holds.
///
/// # Panics
///
/// If the condition does not hold within a minute.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(60), "it never came true that {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// A process that runs the same test in another role. Killed and reaped when dropped.
pub struct Actor(Child);

impl Actor {
    /// Starts `test` in `role`. The test's full name begins with its module, as in
    /// `hub::a_hub_follows`.
    pub fn start(test: &str, role: &str, namespace: &Namespace) -> Actor {
        Actor::start_by(&["env"], test, role, namespace)
    }

    /// Starts it with `wrapper`, a command that runs the command that follows it.
    pub fn start_by(wrapper: &[&str], test: &str, role: &str, namespace: &Namespace) -> Actor {
        let mut command = Command::new(wrapper[0]);
        command
            .args(&wrapper[1..])
            .arg(Child::this_program().get_program())
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .envs([(ROLE, role), (NAMESPACE, namespace.name())]);
        Actor(Child::start_in_group(command))
    }

    /// Waits for its end, and returns the number of the signal that killed it.
    pub fn death(self) -> Option<i32> {
        self.0.death()
    }

    /// Kills it with SIGKILL, and waits for its end.
    pub fn kill(self) {
        self.0.kill();
    }

    /// Closes its standard input, and waits for its end. Its test must have run, and must have
    /// passed: a wrong name of the test would run none, which is a success for the test harness.
    pub fn finish(mut self) {
        self.close_input();
        self.await_line_with(PASSED);
        self.0.finish();
    }
}

impl Deref for Actor {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Actor {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
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
