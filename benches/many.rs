//! The costs that could grow with the number of channels: `cargo bench --bench many`, or `ci/many`.
//!
//! Several processes, because each writer holds a descriptor, open 60,000 channels of 64 B in one
//! namespace. One process reads them all by a hub, round after round, another by a `Reader` for
//! each channel. One writer is killed, one channel grows, and in the end all are removed.
//!
//! * *create*: opening a writer, its entry in the registry included, and the first publication; of
//!   the first and the last thousand channels.
//! * *a worker starts*: opening the namespace and a writer, publishing and closing, beside the same
//!   in an empty namespace.
//! * *attach*: the first round of the hub.
//! * *round*: one state of each channel, by `Hub::select`, by `Hub::iter` and by a `Reader` for
//!   each. The two processes take turns.
//! * *wait_any*: from the timestamp of a publication to the return of the call that waited for it,
//!   among all channels and for one alone; and a call that finds a publication.
//! * *memory*: of all objects in `/dev/shm`, for each channel.
//!
//! Every state is checked, before and after the rounds. `--channels N` takes another number.
//!
//! With `--test`, or without `--bench` as under `cargo test --benches`, a few channels are used for
//! a moment.

mod common;
#[path = "many/process.rs"]
mod process;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use common::Arguments;
use process::{Actor, Role, State, state_of};
use tearless::{Namespace, Pod, cleanup::Retention};
use testkit::stats::median;

/// The most channels of one process: each takes a descriptor.
const PER_PROCESS: usize = 10_000;

/// Descriptors that a process has for other things.
const OTHERS: usize = 50;

/// How often each thing is measured.
struct Scale {
    channels: usize,
    rounds: usize,
}

const MEASURED: Scale = Scale { channels: 60_000, rounds: 51 };
const TRIED: Scale = Scale { channels: 300, rounds: 5 };

fn main() {
    if process::run_if_requested() {
        return;
    }
    let arguments = Arguments::read();
    let Scale { channels, rounds } = if arguments.measure { MEASURED } else { TRIED };
    let channels = channels_of_command_line().unwrap_or(channels);
    common::print_machine();
    let namespace = Namespace::open(&common::unique_namespace("many")).unwrap();
    let empty = Namespace::open(&common::unique_namespace("few")).unwrap();
    let mut fleet = Fleet::start(&namespace, channels);
    let mut figures = Figures::default();
    fleet.create(&mut figures);
    start_workers(&mut figures, [&namespace, &empty], rounds);
    figures.print("memory per channel, KiB", memory_of(&namespace) / channels as f64 / 1024.0);
    fleet.rounds(&mut figures, rounds);
    fleet.waits(&mut figures, rounds);
    fleet.events(&namespace);
    fleet.end(&namespace);
    figures.print_goals();
}

/// The value of `--channels`.
fn channels_of_command_line() -> Option<usize> {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--channels");
    arguments.nth(1).map(|number| number.parse().expect("--channels takes a number"))
}

/// What was measured, by its name.
#[derive(Default)]
struct Figures(Vec<(String, f64)>);

impl Figures {
    fn print(&mut self, what: &str, value: f64) {
        println!("{what:<44} {value:>12.3}");
        self.0.push((what.into(), value));
    }

    fn get(&self, what: &str) -> f64 {
        self.0.iter().find(|(name, _)| name == what).expect("it was measured").1
    }

    /// The goals. Machines differ: a missed one is no failure.
    fn print_goals(&self) {
        let ratio = |what, beside| self.get(what) / self.get(beside);
        let goals = [
            ("a worker starts, beside an empty namespace", ratio(STARTS, STARTS_ALONE), 2.0),
            ("hub's round beside readers' round", ratio(BY_SELECTION, BY_READERS), 1.33),
            ("attaching a hub, s", self.get(ATTACHING), 1.0),
            ("wait_any among all after one alone, µs", self.get(WAKE) - self.get(WAKE_ALONE), 20.0),
            ("memory per channel, KiB", self.get("memory per channel, KiB"), 5.0),
        ];
        println!("\n## Goals\n\n{:<44} {:>12} {:>8}", "goal", "here", "at most");
        for (what, here, max) in goals {
            let verdict = if here <= max { "met" } else { "missed" };
            println!("{what:<44} {here:>12.2} {max:>8.2}  {verdict}");
        }
    }
}

const STARTS: &str = "a worker starts, µs";
const STARTS_ALONE: &str = "a worker starts in an empty namespace, µs";
const BY_SELECTION: &str = "round, Hub::select, ns a channel";
const BY_READERS: &str = "round, a Reader each, ns a channel";
const ATTACHING: &str = "attaching a hub to all, s";
const WAKE: &str = "wake-up by wait_any, all channels, µs";
const WAKE_ALONE: &str = "wake-up by wait_any, one channel, µs";

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The time of a worker's start and end, in each namespace in turn.
fn start_workers(figures: &mut Figures, namespaces: [&Namespace; 2], times: usize) {
    let mut measured = [Vec::new(), Vec::new()];
    for _ in 0..times {
        for (namespace, measured) in namespaces.iter().zip(&mut measured) {
            let begin = Instant::now();
            let namespace = Namespace::open(namespace.name()).unwrap();
            let mut writer = namespace.writer_builder::<State>("another").codec::<Pod>().open().unwrap();
            writer.publish(&state_of(0, 1)).unwrap();
            writer.close().unwrap();
            measured.push(micros(begin.elapsed()));
        }
    }
    let [among_all, alone] = &mut measured;
    figures.print(STARTS, median(among_all));
    figures.print(STARTS_ALONE, median(alone));
}

/// Bytes of all objects of the namespace.
fn memory_of(namespace: &Namespace) -> f64 {
    let prefix = namespace.object_prefix(None);
    let entries = fs::read_dir("/dev/shm").unwrap().filter_map(Result::ok);
    let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix));
    ours.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.blocks() * 512).sum::<u64>() as f64
}

/// The processes.
struct Fleet {
    channels: usize,
    writers: Vec<Actor>,
    hub: Actor,
    readers: Actor,
    mortal: Actor,
}

impl Fleet {
    fn start(namespace: &Namespace, channels: usize) -> Fleet {
        let descriptors = process::max_descriptors().saturating_sub(OTHERS).max(1);
        let many = PER_PROCESS.min(descriptors);
        let start = |first| Actor::start(namespace, Role::Writer, first, many.min(channels - first));
        let writers = (0..channels).step_by(many).map(start);
        Fleet {
            channels,
            writers: writers.collect(),
            hub: Actor::start(namespace, Role::Hub, 0, channels),
            readers: Actor::start(namespace, Role::Readers, 0, channels),
            mortal: Actor::start(namespace, Role::Mortal, 0, 1),
        }
    }

    fn create(&mut self, figures: &mut Figures) {
        let times: Vec<Vec<f64>> = self.writers.iter_mut().map(|writer| writer.ask("create")).collect();
        let all: f64 = times.iter().map(|times| times[0]).sum();
        figures.print("create a channel, µs", all / self.channels as f64);
        figures.print("create one of the first 1,000, µs", times[0][1]);
        figures.print("create one of the last 1,000, µs", times[times.len() - 1][2]);
    }

    fn publish(&mut self) {
        self.writers.iter_mut().for_each(|writer| drop(writer.ask("publish")));
    }

    fn verify(&mut self) {
        for by in [&mut self.hub, &mut self.readers] {
            assert_eq!(by.ask("verify"), [self.channels as f64]);
        }
    }

    fn rounds(&mut self, figures: &mut Figures, rounds: usize) {
        figures.print(ATTACHING, self.hub.ask("attach")[0]);
        figures.print("opening as many readers, s", self.readers.ask("attach")[0]);
        // Both sides of each channel are read.
        for _ in 0..2 {
            self.verify();
            self.publish();
        }
        self.verify();
        let mut times = [const { Vec::new() }; 3];
        for _ in 0..rounds {
            let [by_selection, by_iter, by_readers] = &mut times;
            by_selection.push(self.hub.ask("round")[0]);
            by_iter.push(self.hub.ask("iter")[0]);
            by_readers.push(self.readers.ask("round")[0]);
        }
        let [by_selection, by_iter, by_readers] = &mut times;
        for (what, times) in [
            (BY_SELECTION, by_selection),
            ("round, Hub::iter, ns a channel", by_iter),
            (BY_READERS, by_readers),
        ] {
            figures.print(what, median(times) * 1e9 / self.channels as f64);
        }
        self.publish();
        self.verify();
    }

    fn waits(&mut self, figures: &mut Figures, times: usize) {
        for (what, found, order) in [
            (WAKE, "wait_any that finds it, all channels, µs", "watch all"),
            (WAKE_ALONE, "wait_any that finds it, one channel, µs", "watch one"),
        ] {
            self.hub.ask(order);
            let (mut woken, mut looked) = (Vec::new(), Vec::new());
            for _ in 0..times {
                self.hub.order("wait");
                // Until the process sleeps.
                std::thread::sleep(Duration::from_millis(5));
                self.writers[0].ask("one");
                woken.push(self.hub.answer()[0]);
                self.writers[0].ask("one");
                looked.push(self.hub.ask("look")[0]);
            }
            figures.print(what, median(&mut woken) * 1e6);
            figures.print(found, median(&mut looked) * 1e6);
        }
    }

    /// One channel grows, and the writer of another one is killed.
    fn events(&mut self, namespace: &Namespace) {
        self.writers[0].ask("grow");
        assert_eq!(self.hub.ask("grown"), [process::GROWN as f64]);
        assert_eq!(self.mortal.ask("create").len(), 3);
        assert_eq!(self.hub.ask("mortal"), [0.0], "it lives");
        let mortal = Actor::start(namespace, Role::Mortal, 0, 1);
        std::mem::replace(&mut self.mortal, mortal).kill();
        assert_eq!(self.hub.ask("mortal"), [1.0], "it is dead, and its state can be read");
        self.mortal.ask("create");
        assert_eq!(self.hub.ask("mortal"), [0.0], "it has a successor");
    }

    fn end(self, namespace: &Namespace) {
        let Fleet { writers, mut hub, readers, mortal, .. } = self;
        mortal.kill();
        let begin = Instant::now();
        writers.into_iter().for_each(Actor::finish);
        println!("{:<44} {:>12.3}", "removing all, s", begin.elapsed().as_secs_f64());
        namespace.clean(Retention::Nothing).unwrap();
        assert_eq!(hub.ask("count"), [0.0], "the hub has a removed channel");
        hub.finish();
        readers.finish();
        assert!(namespace.channels().unwrap().is_empty());
        assert_eq!(memory_of(namespace).to_bits(), 0, "an object is left");
    }
}
