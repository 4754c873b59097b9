//! A worker's process: this program again, with environment variables that say what to publish; and all workers together.
//!
//! A worker is ready when it has published on each of its channels. It closes them when its input ends, which also happens
//! when the benchmark's process is killed.

use std::env;
use std::thread;
use std::time::{Duration, Instant};

use tearless::{Namespace, Pod, Writer};
use testkit::child::{self, Child, Input};

use super::common::spread;

/// 256 bytes: channel, number, and words that belong to both.
pub(crate) type State = [u64; 32];

const NAMESPACE: &str = "TEARLESS_BENCH_NAMESPACE";
const WORKER: &str = "TEARLESS_BENCH_WORKER";
const CHANNELS: &str = "TEARLESS_BENCH_CHANNELS";

/// Publications per second of a worker's channels, which repeat after sixteen. The first channel of every sixteenth worker
/// is the fastest one.
const HERTZ: [u32; 16] = [100, 1, 10, 1, 10, 1, 10, 1, 100, 1, 10, 1, 10, 1, 10, 1];
const FASTEST: u32 = 1_000;

/// The shortest sleep of a worker, so that one wake-up serves several channels.
const SLEEP: Duration = Duration::from_micros(200);

/// How long a worker has to close its channels before it is killed.
const GRACE: Duration = Duration::from_secs(60);

/// All workers. When this is dropped, their processes have ended and closed their channels.
pub(crate) struct Fleet {
    workers: Vec<Child>,
    pub(crate) channels: usize,
}

impl Fleet {
    /// Starts the workers, and waits until all of them have published.
    pub(crate) fn start(namespace: &Namespace, workers: usize, channels: usize) -> Fleet {
        let mut fleet = Fleet { workers: Vec::new(), channels };
        for worker in 0..workers {
            let mut command = Child::this_program();
            command.env(NAMESPACE, namespace.name()).env(WORKER, worker.to_string());
            command.env(CHANNELS, channels.to_string());
            fleet.workers.push(Child::start(command).with_grace(GRACE));
        }
        fleet.workers.iter_mut().for_each(Child::await_ready);
        fleet
    }

    /// The names of all channels, in alphabetical order.
    pub(crate) fn names(&self) -> Vec<String> {
        let channels = |worker| (0..self.channels).map(move |channel| name(worker, channel));
        (0..self.workers.len()).flat_map(channels).collect()
    }

    /// Ends the workers, which close their channels.
    pub(crate) fn end(self) {
        self.workers.into_iter().for_each(Child::finish);
    }
}

fn name(worker: usize, channel: usize) -> String {
    format!("worker-{worker:02}/{channel:02}")
}

/// The state of publication `number` on a channel.
pub(crate) fn state_of(channel: &str, number: u64) -> State {
    let id = channel.bytes().fold(1, |hash, byte| spread(hash ^ u64::from(byte)));
    let mut state = [spread(id ^ number); 32];
    (state[0], state[1]) = (id, number);
    state
}

/// A channel, and the time of its next publication.
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
        // Every channel has another phase.
        let phase = period * u32::try_from(channel).unwrap() / u32::try_from(channels).unwrap();
        Paced { writer, period, next: Instant::now() + phase }
    }

    fn publish(&mut self) {
        let state = state_of(self.writer.channel(), self.writer.publication() + 1);
        self.writer.publish(&state).unwrap();
    }
}

/// In a worker's process: publishes until its input ends. `false` in any other process.
pub(crate) fn run_if_told() -> bool {
    let number = |name| env::var(name).ok().and_then(|number: String| number.parse().ok());
    let (Ok(namespace), Some(worker), Some(channels)) =
        (env::var(NAMESPACE), number(WORKER), number(CHANNELS))
    else {
        return false;
    };
    let input = Input::listen();
    let namespace = Namespace::open(&namespace).unwrap();
    let mut all: Vec<Paced> =
        (0..channels).map(|channel| Paced::open(&namespace, worker, channel, channels)).collect();
    all.iter_mut().for_each(Paced::publish);
    child::ready();
    while !input.has_ended() {
        let now = Instant::now();
        for due in all.iter_mut().filter(|paced| paced.next <= now) {
            due.publish();
            // Skips what was missed: catching up would be a burst.
            due.next = (due.next + due.period).max(now);
        }
        let next = all.iter().map(|paced| paced.next).min().expect("a worker has channels");
        thread::sleep(next.saturating_duration_since(now).max(SLEEP));
    }
    all.into_iter().for_each(|paced| paced.writer.close().unwrap());
    true
}
