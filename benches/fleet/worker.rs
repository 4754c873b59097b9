//! A worker's process: this very binary, told by environment variables what to publish; and all of them together.
//!
//! A worker says `ready` when something is published on each of its channels, and removes them when its input ends, be it
//! that the benchmark's process was killed.

use std::env;
use std::io::{BufRead, BufReader, stdin};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tearless::{Namespace, Pod, Writer};

use super::common::spread;

/// 256 bytes: channel, number, and words that belong to both.
pub(crate) type State = [u64; 32];

const NAMESPACE: &str = "TEARLESS_BENCH_NAMESPACE";
const WORKER: &str = "TEARLESS_BENCH_WORKER";
const CHANNELS: &str = "TEARLESS_BENCH_CHANNELS";

/// How often the channels of a worker are published on, in turns of sixteen; the first of every sixteenth worker is the
/// fastest one.
const HERTZ: [u32; 16] = [100, 1, 10, 1, 10, 1, 10, 1, 100, 1, 10, 1, 10, 1, 10, 1];
const FASTEST: u32 = 1_000;

/// How long at least a worker sleeps, so that one wake-up serves several channels.
const SLEEP: Duration = Duration::from_micros(200);

/// All workers. However this ends, their processes and channels are gone afterwards.
pub(crate) struct Fleet {
    workers: Vec<Child>,
    pub(crate) channels: usize,
}

impl Fleet {
    /// Starts them, and waits until all of them have published.
    pub(crate) fn start(namespace: &Namespace, workers: usize, channels: usize) -> Fleet {
        let mut fleet = Fleet { workers: Vec::new(), channels };
        for worker in 0..workers {
            let mut command = Command::new(env::current_exe().expect("the benchmark knows its own path"));
            command.env(NAMESPACE, namespace.name()).env(WORKER, worker.to_string());
            command.env(CHANNELS, channels.to_string());
            // A group of its own: Ctrl-C ends the benchmark, and the end of their input tells the workers to clear up.
            command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
            fleet.workers.push(command.spawn().expect("the benchmark can be run once more"));
        }
        for worker in &mut fleet.workers {
            let mut line = String::new();
            let mut output = BufReader::new(worker.stdout.take().expect("it is piped"));
            output.read_line(&mut line).expect("the worker's output can be read");
            assert_eq!(line, "ready\n", "a worker ended too early");
        }
        fleet
    }

    /// The names of all channels, in alphabetical order.
    pub(crate) fn names(&self) -> Vec<String> {
        let channels = |worker| (0..self.channels).map(move |channel| name(worker, channel));
        (0..self.workers.len()).flat_map(channels).collect()
    }

    /// Lets them remove their channels, and waits for them to end.
    pub(crate) fn end(mut self) {
        for mut worker in self.workers.drain(..) {
            drop(worker.stdin.take());
            let status = worker.wait().expect("it is a child of this process");
            assert!(status.success(), "a worker ended with {status}");
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            drop(worker.stdin.take());
            // It clears up first.
            let _ = worker.wait();
        }
    }
}

fn name(worker: usize, channel: usize) -> String {
    format!("worker-{worker:02}/{channel:02}")
}

/// What publication `number` of the channel of this name is.
pub(crate) fn state_of(channel: &str, number: u64) -> State {
    let id = channel.bytes().fold(1, |hash, byte| spread(hash ^ u64::from(byte)));
    let mut state = [spread(id ^ number); 32];
    (state[0], state[1]) = (id, number);
    state
}

/// A channel and when it is published on next.
struct Paced {
    writer: Writer<State, Pod>,
    period: Duration,
    next: Instant,
}

impl Paced {
    fn open(namespace: &Namespace, worker: usize, channel: usize, channels: usize) -> Paced {
        let name = name(worker, channel);
        let writer = namespace.writer_builder::<State>(&name).codec::<Pod>().open().unwrap();
        let is_fastest = channel == 0 && worker.is_multiple_of(16);
        let hertz = if is_fastest { FASTEST } else { HERTZ[channel % HERTZ.len()] };
        let period = Duration::from_secs(1) / hertz;
        // All at different times.
        let phase = period * u32::try_from(channel).unwrap() / u32::try_from(channels).unwrap();
        Paced { writer, period, next: Instant::now() + phase }
    }

    fn publish(&mut self) {
        let state = state_of(self.writer.channel(), self.writer.publication() + 1);
        self.writer.publish(&state).unwrap();
    }
}

/// In a worker's process, publishes until its input ends. `false` in any other process.
pub(crate) fn run_if_told() -> bool {
    let number = |name| env::var(name).ok().and_then(|number: String| number.parse().ok());
    let (Ok(namespace), Some(worker), Some(channels)) =
        (env::var(NAMESPACE), number(WORKER), number(CHANNELS))
    else {
        return false;
    };
    let over = listen();
    let namespace = Namespace::open(&namespace).unwrap();
    let mut all: Vec<Paced> =
        (0..channels).map(|channel| Paced::open(&namespace, worker, channel, channels)).collect();
    all.iter_mut().for_each(Paced::publish);
    println!("ready");
    // Relaxed: it orders nothing.
    while !over.load(Ordering::Relaxed) {
        let now = Instant::now();
        for due in all.iter_mut().filter(|paced| paced.next <= now) {
            due.publish();
            // What was missed is not caught up on: a burst would follow.
            due.next = (due.next + due.period).max(now);
        }
        let next = all.iter().map(|paced| paced.next).min().expect("a worker has channels");
        thread::sleep(next.saturating_duration_since(now).max(SLEEP));
    }
    all.into_iter().for_each(|paced| paced.writer.close().unwrap());
    true
}

/// Becomes true at the end of the input.
fn listen() -> Arc<AtomicBool> {
    let over = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&over);
    thread::spawn(move || {
        while stdin().lock().read_line(&mut String::new()).is_ok_and(|len| len > 0) {}
        told.store(true, Ordering::Relaxed);
    });
    over
}
