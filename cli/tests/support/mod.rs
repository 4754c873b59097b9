//! For the tests of the command: a separate namespace, the command itself, and real workers.
#![allow(dead_code, reason = "every test file uses its part")]

#[path = "../signals/mod.rs"]
pub mod signals;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tearless::{Namespace, cleanup::Retention};

/// Set in the process of a test's worker: its namespace.
const WORKER: &str = "TEARLESS_CLI_TEST_WORKER";

/// Set beside it: the role of the worker in the test.
const ROLE: &str = "TEARLESS_CLI_TEST_ROLE";

/// A namespace that no other test uses. It is removed at the end, even if the test fails.
pub struct Fleet(pub Namespace);

impl std::ops::Deref for Fleet {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.0
    }
}

impl Fleet {
    pub fn new() -> Fleet {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("cli-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Fleet(open(&name))
    }

    /// The command, in this namespace, without a terminal.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tearless(arguments);
        command.env("TEARLESS_NAMESPACE", self.name());
        command
    }

    /// Runs the command to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    /// Runs the command with this standard input.
    pub fn run_with(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut child = self.start(arguments);
        // The command may end before it has read all of its input.
        let _ = child.stdin.take().unwrap().write_all(input);
        Ran::of(child.wait_with_output().unwrap())
    }

    /// Starts the command with pipes.
    pub fn start(&self, arguments: &[&str]) -> Child {
        signals::with_default_signals();
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// All objects of the namespace, sorted. The namespace must have a channel.
    pub fn objects(&self) -> Vec<PathBuf> {
        let page = self.page_of_any();
        let name = page.file_name().unwrap().to_str().unwrap();
        let mut all: Vec<_> = shared_memory().filter(|path| name_of(path).starts_with(&name[..10])).collect();
        all.sort();
        all
    }

    fn page_of_any(&self) -> PathBuf {
        let is_ours = |path: &PathBuf| name_of(path).ends_with('c') && text_at(path, 512) == self.name();
        shared_memory().find(is_ours).expect("a namespace with a channel has a control page")
    }

    /// The object of a channel of this kind: `c`, `a2`, `b2`, …
    pub fn object(&self, channel: &str, kind: &str) -> PathBuf {
        let is_ours = |path: &PathBuf| {
            name_of(path).ends_with('c') && text_at(path, 512) == self.name() && text_at(path, 648) == channel
        };
        let page = shared_memory().find(is_ours).expect("there is such a channel");
        page.with_file_name(name_of(&page).strip_suffix('c').unwrap().to_owned() + kind)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for info in self.0.channels().unwrap_or_default() {
            let _ = self.0.remove_channel(&info.name);
        }
        let _ = self.0.clean(Retention::Nothing);
    }
}

fn shared_memory() -> impl Iterator<Item = PathBuf> {
    let all = std::fs::read_dir("/dev/shm").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    all.filter(|path| name_of(path).starts_with("tl_") && path.is_file())
}

fn name_of(path: &std::path::Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// A text of the control page; empty if there is none. See docs/layout.md.
fn text_at(path: &std::path::Path, byte: u64) -> String {
    let Ok(file) = std::fs::File::open(path) else { return String::new() };
    let mut len = [0; 8];
    if file.read_exact_at(&mut len, byte).is_err() {
        return String::new();
    }
    let mut text = vec![0; usize::try_from(u64::from_le_bytes(len)).unwrap_or(0).min(256)];
    file.read_exact_at(&mut text, byte + 8).map_or(String::new(), |()| String::from_utf8_lossy(&text).into())
}

/// The command, without a namespace.
pub fn tearless(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tearless"));
    for variable in ["TEARLESS_NAMESPACE", "TEARLESS_DIRECTORY", "NO_COLOR", "CLICOLOR_FORCE"] {
        command.env_remove(variable);
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

fn open(name: &str) -> Namespace {
    Namespace::open(name).unwrap()
}

/// The result of a command.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn of(output: Output) -> Ran {
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Its output. Asserts success.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// Its messages. Asserts failure with this code.
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        self.stderr
    }

    /// The JSON documents of its output, one on each line.
    #[track_caller]
    pub fn json(self) -> Vec<Value> {
        let stdout = self.ok();
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What `doctor --json` found. Asserts that there is no problem, except that the machine of the
    /// tests may lack space or memory.
    #[track_caller]
    pub fn no_problem(self) -> Vec<Value> {
        let findings: Vec<Value> =
            self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let has_problem = findings.iter().any(|it| it["severity"] == "problem");
        assert_eq!(self.code, Some(i32::from(has_problem)), "{self:?}");
        let findings: Vec<Value> = findings
            .into_iter()
            .filter(|it: &Value| !["shm-full", "cgroup-memory"].contains(&it["check"].as_str().unwrap()))
            .collect();
        assert!(findings.iter().all(|it| it["severity"] == "note") && self.stderr.is_empty(), "{self:?}");
        findings
    }
}

/// The namespace of this process, if it is a test's worker. The worker ends by itself if the test
/// does not end it.
pub fn as_worker() -> Option<Namespace> {
    let namespace = std::env::var(WORKER).ok()?;
    std::thread::spawn(|| {
        std::thread::sleep(Duration::from_secs(300));
        std::process::exit(1);
    });
    Some(open(&namespace))
}

/// The role of this process in the test.
pub fn role() -> String {
    std::env::var(ROLE).unwrap_or_default()
}

/// Reports to the test that this worker has published, and waits to be killed.
pub fn until_killed() -> ! {
    println!("published");
    loop {
        std::thread::sleep(Duration::from_secs(60));
    }
}

/// The process of a test's worker. Killed when dropped.
pub struct Worker(Child);

impl Worker {
    /// Starts the worker, and waits until it has published.
    pub fn start(test: &str, fleet: &Fleet) -> Worker {
        Worker::start_as("", test, fleet)
    }

    /// The same for a test whose workers differ: see [`role`].
    pub fn start_as(role: &str, test: &str, fleet: &Fleet) -> Worker {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env(WORKER, fleet.name())
            .env(ROLE, role)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        await_line(&mut BufReader::new(child.stdout.take().unwrap()), "published");
        Worker(child)
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    pub fn kill(mut self) -> u32 {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
        self.pid()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn await_line(output: &mut BufReader<ChildStdout>, part: &str) {
    loop {
        let mut line = String::new();
        assert!(output.read_line(&mut line).unwrap() > 0, "ended without printing {part:?}");
        if line.contains(part) {
            return;
        }
    }
}

/// Waits until `condition` holds. Panics if it never does.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(60), "timed out, waiting until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Sends a signal to a process that this test has started.
pub fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// Pseudorandom numbers, the same in every run.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    pub fn below(&mut self, max: u64) -> usize {
        usize::try_from(self.next() % max).unwrap()
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}
