//! The writer's process: this very binary, told by environment variables what to do; and the reader's handle on it.
//!
//! They talk in lines: the writer says `ready` after its first publication, publishes until it hears anything (or the
//! end of its input, should the reader's process have died), answers with the number of its last publication, and removes
//! the channel when its input ends.

use std::env;
use std::io::{BufRead, BufReader, Write, stdin};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use tearless::{Namespace, Pod};

use super::common::{await_tick, boxed};
use super::cpus::{self, Pair};
use super::scenario::{Scenario, word_of};

/// The name of every channel here; the namespace is the process's own.
pub(crate) const CHANNEL: &str = "state";

const NAMESPACE: &str = "TEARLESS_BENCH_NAMESPACE";
const SCENARIO: &str = "TEARLESS_BENCH_SCENARIO";
const CPU: &str = "TEARLESS_BENCH_CPU";

/// The writer's process as the reader's sees it. However this ends, the process and its channel are gone afterwards.
pub(crate) struct WriterProcess {
    process: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    namespace: Namespace,
}

impl WriterProcess {
    /// Starts it, and waits for its first publication.
    pub(crate) fn start(namespace: &Namespace, scenario: Scenario, cpus: Option<Pair>) -> WriterProcess {
        let mut command = Command::new(env::current_exe().expect("the benchmark knows its own path"));
        command.env(NAMESPACE, namespace.name()).env(SCENARIO, scenario.to_words());
        if let Some(pair) = cpus {
            command.env(CPU, pair.writer.to_string());
        }
        // A group of its own: Ctrl-C ends the reader's process, and the end of its input tells this one to clear up.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("the benchmark can be run once more");
        let orders = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut writer = WriterProcess { process, orders, answers, namespace: namespace.clone() };
        assert_eq!(writer.answer(), "ready");
        writer
    }

    /// Lets it publish no more. The number of its last publication, which stays readable.
    pub(crate) fn stop(&mut self) -> u64 {
        let orders = self.orders.as_mut().expect("it was not ended yet");
        orders.write_all(b"stop\n").expect("the writer listens");
        self.answer().parse().expect("the writer answers with a number")
    }

    /// Lets it close the channel, and waits for it to end.
    pub(crate) fn end(mut self) {
        self.orders = None;
        let status = self.process.wait().expect("it is a child of this process");
        assert!(status.success(), "the writer ended with {status}");
        assert!(!self.namespace.remove_channel(CHANNEL).unwrap(), "the writer left its channel behind");
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        let len = self.answers.read_line(&mut line).expect("the writer's output can be read");
        assert!(len > 0, "the writer's process ended too early");
        line.trim().into()
    }
}

impl Drop for WriterProcess {
    fn drop(&mut self) {
        self.orders = None;
        // Both fail harmlessly if it has been waited for already.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = self.namespace.remove_channel(CHANNEL);
    }
}

/// In the writer's process, publishes until told to stop. `false` in any other process.
pub(crate) fn run_if_told() -> bool {
    let (Ok(namespace), Ok(scenario)) = (env::var(NAMESPACE), env::var(SCENARIO)) else { return false };
    let scenario: Scenario = scenario.parse().unwrap();
    if let Some(cpu) = env::var(CPU).ok().and_then(|cpu| cpu.parse().ok()) {
        cpus::pin(cpu);
    }
    let namespace = Namespace::open(&namespace).unwrap();
    match scenario.words {
        8 => publish::<8>(&namespace, scenario),
        128 => publish::<128>(&namespace, scenario),
        8192 => publish::<8192>(&namespace, scenario),
        words => panic!("there is no scenario of {words} words"),
    }
    true
}

fn publish<const WORDS: usize>(namespace: &Namespace, scenario: Scenario) {
    let mut builder = namespace.writer_builder::<[u64; WORDS]>(CHANNEL).codec::<Pod>();
    if let Some(depth) = scenario.depth {
        builder = builder.slots(2 * depth);
    }
    let mut writer = builder.open().unwrap();
    let mut state = boxed::<WORDS>(|_| word_of(1));
    let mut last = writer.publish(&state).unwrap();
    println!("ready");
    let (stop, end) = listen();
    let mut next = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        if let Some(period) = scenario.pace.period() {
            next = await_tick(next, period);
        }
        state.fill(word_of(last + 1));
        last = writer.publish(&state).unwrap();
    }
    println!("{last}");
    end.recv().expect("the listener says when the input has ended");
    writer.close().unwrap();
}

/// The order to stop, and the end of the input, as they come.
fn listen() -> (Arc<AtomicBool>, Receiver<()>) {
    let stop = Arc::new(AtomicBool::new(false));
    let (ended, end) = channel();
    let told = Arc::clone(&stop);
    thread::spawn(move || {
        let mut line = String::new();
        let _ = stdin().lock().read_line(&mut line);
        told.store(true, Ordering::Relaxed);
        while stdin().lock().read_line(&mut line).is_ok_and(|len| len > 0) {}
        let _ = ended.send(());
    });
    (stop, end)
}
