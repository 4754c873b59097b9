//! The cost of reading a whole fleet in the main process: `cargo bench --bench fleet`.
//!
//! 64 processes publish on 16 channels each, 1,024 in all, states of 256 bytes at 1 Hz to 1 kHz:
//! some 17,000 publications a second. One thread of this process asks, in turns:
//!
//! * *one round*: the latest state of every channel, by `Hub::select`, by `Hub::iter` and by a bare
//!   `Reader` for each channel.
//! * *one state*: `Hub::get` of a channel by its name, in an order that jumps about.
//! * *cut*: `Hub::cut` of 16, 64 and all channels; how many cuts are of an instant, and how many
//!   states were current at the cut's time. For the other states, the cut reports the difference.
//! * *wake-up*: from the timestamp of a publication to the return of the `HubWatch::wait_any` that
//!   waited for it. Only the first publication during each call counts. The time contains waiting
//!   for a processor that is busy with other workers.
//!
//! Between the rounds every state is compared with what was published under its number, and numbers
//! never go back. On a machine with fewer processors than workers, the last percentiles contain
//! preemptions.
//!
//! Memory is that of the objects in `/dev/shm`. Mappings are those of this process while the hub
//! and the bare readers are both attached to every channel.
//!
//! With `--test`, or without `--bench` as under `cargo test --benches`, a small fleet runs for a
//! moment.

mod common;
#[path = "fleet/worker.rs"]
mod worker;

use std::collections::BTreeMap;
use std::fs;
use std::hint::black_box;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use common::{Arguments, histogram, nanos, spread};
use rustix::time::{ClockId, clock_gettime};
use tearless::{
    Namespace, Pod, Reader,
    hub::{CutTime, Hub, Selection, Skew},
};
use testkit::stats::Histogram;
use worker::{Fleet, State, state_of};

/// Where Linux shows POSIX shared memory.
const OBJECTS: &str = "/dev/shm/";

/// Characters that the names of all objects of a namespace begin with.
const PREFIX: usize = 10;

/// Longer than any channel's period: every channel changes within this time.
const MAX: Duration = Duration::from_secs(10);

/// The extent of a run.
struct Scale {
    workers: usize,
    channels: usize,
    rounds: usize,
    gets: usize,
    wakes: usize,
}

const MEASURED: Scale = Scale { workers: 64, channels: 16, rounds: 2_000, gets: 500_000, wakes: 5_000 };
const TRIED: Scale = Scale { workers: 4, channels: 4, rounds: 5, gets: 100, wakes: 5 };

fn main() {
    if worker::run_if_requested() {
        return;
    }
    let arguments = Arguments::read();
    let scale = if arguments.measure { MEASURED } else { TRIED };
    if arguments.measure {
        common::print_machine();
    }
    let namespace = Namespace::open(&common::unique_namespace("fleet")).unwrap();
    let fleet = Fleet::start(&namespace, scale.workers, scale.channels);
    let mut main_process = MainProcess::new(&namespace, fleet.names());
    main_process.run(&scale);
    main_process.print(arguments.measure);
    drop(main_process);
    fleet.end();
    assert!(namespace.channels().unwrap().is_empty(), "a worker left its channels behind");
}

/// The results of cuts of one number of channels.
#[derive(Default)]
struct Cuts {
    cuts: u64,
    instants: u64,
    states: u64,
    current: u64,
}

/// The process that reads the fleet, and its figures.
struct MainProcess {
    hub: Hub<Pod>,
    selection: Selection<Pod>,
    readers: Vec<Reader<State, Pod>>,
    names: Vec<String>,
    latest: Vec<u64>,
    rows: Vec<(String, Histogram<u64>)>,
    cuts: BTreeMap<usize, Cuts>,
}

impl MainProcess {
    fn new(namespace: &Namespace, names: Vec<String>) -> MainProcess {
        let open = |name: &String| namespace.reader_builder(name).codec::<Pod>().open().unwrap();
        let hub = namespace.hub_builder().codec::<Pod>().open();
        MainProcess {
            selection: hub.select("*"),
            hub,
            readers: names.iter().map(open).collect(),
            latest: vec![0; names.len()],
            names,
            rows: Vec::new(),
            cuts: BTreeMap::new(),
        }
    }

    fn run(&mut self, scale: &Scale) {
        // Not timed: the first round attaches to everything.
        self.verify();
        for _ in 0..scale.rounds {
            self.round_by_selection();
            self.round_by_hub();
            self.round_by_readers();
            self.verify();
        }
        for turn in 0..scale.gets {
            self.get(turn);
        }
        let all = self.names.len();
        for many in [16, 64, all] {
            for turn in 0..scale.rounds {
                self.cut(many.min(all), turn);
            }
        }
        let worker = format!("{}*", &self.names[0][..self.names[0].len() - 2]);
        for (what, pattern) in [("one worker's channels", worker.as_str()), ("all channels", "*")] {
            self.wake(what, pattern, scale.wakes);
        }
    }

    fn record(&mut self, what: &str, elapsed: u64) {
        let index = self.rows.iter().position(|(name, _)| name == what).unwrap_or_else(|| {
            self.rows.push((what.into(), histogram()));
            self.rows.len() - 1
        });
        self.rows[index].1.saturating_record(elapsed);
    }

    fn round_by_selection(&mut self) {
        let begin = Instant::now();
        let mut count = 0;
        for state in self.selection.iter::<State>().unwrap() {
            black_box(state.state.unwrap());
            count += 1;
        }
        self.record("one round, Hub::select", nanos(begin.elapsed()));
        assert_eq!(count, self.names.len());
    }

    fn round_by_hub(&mut self) {
        let begin = Instant::now();
        let mut count = 0;
        for state in self.hub.iter::<State>("*").unwrap() {
            black_box(state.state.unwrap());
            count += 1;
        }
        self.record("one round, Hub::iter", nanos(begin.elapsed()));
        assert_eq!(count, self.names.len());
    }

    fn round_by_readers(&mut self) {
        let begin = Instant::now();
        for reader in &mut self.readers {
            black_box(reader.snapshot().unwrap());
        }
        self.record("one round, a Reader each", nanos(begin.elapsed()));
    }

    /// A round that is not timed and checks every word.
    fn verify(&mut self) {
        let states: Vec<_> = self.hub.iter::<State>("*").unwrap().collect();
        assert_eq!(states.len(), self.names.len());
        for (index, (state, reader)) in states.into_iter().zip(&mut self.readers).enumerate() {
            assert_eq!(*state.channel, *self.names[index]);
            for snapshot in [state.state.unwrap(), reader.snapshot().unwrap()] {
                let number = snapshot.publication();
                assert_eq!(*snapshot, state_of(&self.names[index], number), "torn: {}", self.names[index]);
                assert!(number >= self.latest[index], "{} went back", self.names[index]);
                self.latest[index] = number;
            }
        }
    }

    fn get(&mut self, turn: usize) {
        let index = usize::try_from(spread(turn as u64) % self.names.len() as u64).unwrap();
        let begin = Instant::now();
        let snapshot = self.hub.get::<State>(&self.names[index]).unwrap();
        self.record("one state, Hub::get", nanos(begin.elapsed()));
        assert_eq!(*snapshot, state_of(&self.names[index], snapshot.publication()));
    }

    /// Cuts `many` channels, a different part of the fleet each time.
    fn cut(&mut self, many: usize, turn: usize) {
        let first = turn * many % (self.names.len() - many + 1);
        let names = &self.names[first..first + many];
        let begin = Instant::now();
        let cut = self.hub.cut::<State>(names);
        let elapsed = nanos(begin.elapsed());
        for (name, state) in names.iter().zip(&cut.states) {
            let snapshot = state.state.as_ref().unwrap();
            assert_eq!(**snapshot, state_of(name, snapshot.publication()));
        }
        let current = cut.states.iter().filter(|state| state.skew == Skew::None).count();
        let is_instant = cut.moment == CutTime::Instant;
        assert!(!is_instant || current == many, "a state of an instant is not current");
        let cuts = self.cuts.entry(many).or_default();
        cuts.cuts += 1;
        cuts.instants += u64::from(is_instant);
        cuts.states += many as u64;
        cuts.current += current as u64;
        self.record(&format!("cut of {many}"), elapsed);
    }

    /// Waits until `wakes` waits have ended by a publication during the wait.
    fn wake(&mut self, what: &str, pattern: &str, wakes: usize) {
        let mut watch = self.hub.watch(pattern);
        watch.changed().unwrap();
        let mut woken = 0;
        while woken < wakes {
            let begin = boottime();
            let named = watch.wait_any(MAX).unwrap();
            let end = boottime();
            assert!(!named.is_empty(), "nothing has changed for {MAX:?}");
            let date = |name: &str| self.hub.get::<State>(name).unwrap().info().monotonic_nanos();
            let came = named.iter().filter_map(|name| date(name)).filter(|date| (begin..end).contains(date));
            if let Some(first) = came.min() {
                self.record(&format!("wake-up, {what}"), end - first);
                woken += 1;
            }
        }
    }

    fn print(&self, measured: bool) {
        let channels = self.names.len();
        let (mappings, prefix) = mappings();
        let bytes = bytes_of(&prefix);
        assert!(mappings >= channels && bytes >= 4096 * channels as u64, "{mappings}, {bytes} bytes");
        if !measured {
            return self.rows.iter().for_each(|(what, _)| println!("{what}: ok"));
        }
        self.print_rows();
        println!("memory: {bytes} bytes, {} a channel", bytes / channels as u64);
        println!("mappings of this process: {mappings}, {:.2} a channel", mappings as f64 / channels as f64);
    }

    fn print_rows(&self) {
        println!("{:<36} {:>8} {:>10} {:>10} {:>10}", "", "times", "p50 µs", "p99 µs", "max µs");
        for (what, times) in &self.rows {
            let [p50, p99, max] =
                [0.5, 0.99, 1.0].map(|quantile| times.value_at_quantile(quantile) as f64 / 1e3);
            println!("{what:<36} {:>8} {p50:>10.2} {p99:>10.2} {max:>10.2}", times.len());
        }
        for (many, cuts) in &self.cuts {
            let percent = |part: u64, of: u64| part as f64 * 100.0 / of as f64;
            println!(
                "cut of {many}: {:.2} % of an instant, {:.4} % of the states current at its time",
                percent(cuts.instants, cuts.cuts),
                percent(cuts.current, cuts.states),
            );
        }
    }
}

/// Nanoseconds of the clock of the publications' timestamps.
fn boottime() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    u64::try_from(now.tv_sec * 1_000_000_000 + now.tv_nsec).expect("it began at 0")
}

/// How many mappings of shared memory this process has, and how the names of the objects begin.
fn mappings() -> (usize, String) {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let names = || maps.lines().filter_map(|line| line.split_once(OBJECTS)).map(|(_, name)| name);
    let first = names().next().expect("something is attached to");
    (names().count(), first[..PREFIX].to_owned())
}

/// Memory of all objects whose names begin with `prefix`.
fn bytes_of(prefix: &str) -> u64 {
    let entries = fs::read_dir(OBJECTS).unwrap().filter_map(Result::ok);
    let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    ours.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.blocks() * 512).sum()
}
