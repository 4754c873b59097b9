//! The parent's side: starts the worker processes, kills writers, and collects the counts of the
//! readers.

use std::process::ExitStatus;
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{fs, io, mem};

use serde::Serialize;
use tearless::dynamic::DynamicReader;
use tearless::{Namespace, cleanup::Retention};

use super::combination::COMBINATIONS;
use super::content::scramble;
use super::leftovers::Place;
use super::tally::{MAX_NOTES, Tally};
use super::writer::Share;
use super::{Role, Task};
use crate::child::{Worker, text};
use crate::directory::Directory;
use crate::interrupt::Interrupt;

/// The time limit for the workers to begin, and to end.
const PATIENCE: Duration = Duration::from_secs(40);

/// The shortest and the longest time between two kills, in milliseconds.
const BETWEEN_KILLS: (u64, u64) = (10, 300);

/// How often the parent checks whether the time is over.
const LOOK: Duration = Duration::from_millis(10);

/// The most faults of workers that are described. Each of them fails the whole run.
const MAX_FAULTS: usize = 10;

/// The numbers of processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Size {
    pub(super) writers: usize,
    pub(super) readers: usize,
}

/// The results of a run.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// In the order of [`COMBINATIONS`].
    pub(super) channels: [Tally; COMBINATIONS.len()],
    pub(super) kills: u64,
    /// Objects that were left in shared memory after the end of all workers.
    pub(super) leftovers: u64,
    /// Other faults.
    pub(super) faults: Vec<String>,
}

/// What all workers have in common.
pub(super) struct Setup<'a> {
    pub(super) directory: &'a Directory,
    pub(super) namespace: Namespace,
    pub(super) seed: u64,
    pub(super) size: Size,
    pub(super) interrupt: &'a Interrupt,
}

/// All workers. None of them, and none of their channels, outlives this value.
pub(super) struct Workers<'a> {
    setup: Setup<'a>,
    writers: Vec<Worker>,
    readers: Vec<Worker>,
    /// The parent's own readers, which know the number of publications after the channels are
    /// removed.
    observers: Vec<DynamicReader>,
    place: Place,
    outcome: Outcome,
}

impl<'a> Workers<'a> {
    /// Starts writers and readers. All of them are at work when this returns.
    ///
    /// # Errors
    ///
    /// A message: one of them could not start.
    pub(super) fn start(setup: Setup<'a>) -> Result<Workers<'a>, String> {
        let (size, prefix) = (setup.size, setup.namespace.object_prefix(None));
        let place = Place { directory: setup.directory.real_path(), prefix };
        let (writers, readers, observers) = (Vec::new(), Vec::new(), Vec::new());
        let mut workers = Workers { setup, writers, readers, observers, place, outcome: Outcome::default() };
        for index in 0..size.writers {
            workers.writers.push(workers.start_writer(index, 1).map_err(text)?);
        }
        for first in 0..size.readers {
            workers.readers.push(workers.start_one(Role::Reader { first }).map_err(text)?);
        }
        workers.await_ready()?;
        for combination in &COMBINATIONS {
            let observer = workers.setup.namespace.dynamic_reader(combination.channel).map_err(text)?;
            workers.observers.push(observer);
        }
        workers.check_names();
        Ok(workers)
    }

    fn start_writer(&self, index: usize, life: u64) -> io::Result<Worker> {
        self.start_one(Role::Writer(Share { index, writers: self.setup.size.writers, life }))
    }

    fn start_one(&self, role: Role) -> io::Result<Worker> {
        Worker::start(
            "verify",
            (self.setup.directory, &self.setup.namespace),
            &Task { seed: self.setup.seed, role },
        )
    }

    fn await_ready(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        for worker in self.writers.iter_mut().chain(&mut self.readers) {
            let ready = worker.await_ready(deadline, || self.setup.interrupt.is_raised());
            ready.map_err(|reason| format!("a child process: {reason}"))?;
        }
        if self.setup.interrupt.is_raised() {
            Err("interrupted before it could begin".into())
        } else {
            Ok(())
        }
    }

    /// Checks the names of the objects that the writers have mapped: leftovers are counted by them.
    fn check_names(&mut self) {
        for pid in self.writers.iter().map(Worker::pid).collect::<Vec<_>>() {
            match fs::read_to_string(format!("/proc/{pid}/maps")) {
                Ok(maps) if self.place.has_all_of(&maps) => {}
                Ok(_) => self.fault(format!("process {pid} has other objects than {:?}", self.place)),
                Err(error) => self.fault(format!("the mappings of process {pid} cannot be read: {error}")),
            }
        }
    }

    /// Lets the workers run, and now and then kills a writer, whose successor takes its channels
    /// over.
    pub(super) fn torture(&mut self, duration: Duration) {
        let end = Instant::now() + duration;
        let mut lives = vec![1; self.setup.size.writers];
        for turn in 0.. {
            let random = scramble(self.setup.seed, turn);
            let (min, max) = BETWEEN_KILLS;
            let next = Instant::now() + Duration::from_millis(min + random % (max - min));
            while Instant::now() < next.min(end) && !self.setup.interrupt.is_raised() {
                sleep(LOOK.min(next.saturating_duration_since(Instant::now())));
            }
            if Instant::now() >= end || self.setup.interrupt.is_raised() || !self.outcome.faults.is_empty() {
                break;
            }
            let index = usize::try_from(random >> 32).unwrap_or(0) % self.setup.size.writers;
            lives[index] += 1;
            self.replace(index, lives[index]);
        }
    }

    /// Kills a writer and starts its successor.
    fn replace(&mut self, index: usize, life: u64) {
        let writer = &mut self.writers[index];
        if let Some(status) = writer.ended() {
            let lines = writer.lines();
            self.fault(format!("writer {index} has ended by itself: {}", ending(status, &lines)));
            return;
        }
        writer.kill();
        self.outcome.kills += 1;
        match self.start_writer(index, life) {
            Ok(successor) => self.writers[index] = successor,
            Err(error) => self.fault(format!("no successor of writer {index} can be started: {error}")),
        }
    }

    /// Ends all workers, the writers first, and returns the results of the run.
    pub(super) fn finish(mut self) -> Outcome {
        let deadline = Instant::now() + PATIENCE;
        let (writers, readers) = (mem::take(&mut self.writers), mem::take(&mut self.readers));
        self.end("writer", writers, deadline);
        for (tally, observer) in self.outcome.channels.iter_mut().zip(&self.observers) {
            let observer = observer.reader();
            tally.publications = observer.publication();
            tally.growths = observer.growths();
            tally.takeovers = observer.incarnation().saturating_sub(1);
        }
        for (index, lines) in self.end("reader", readers, deadline).into_iter().enumerate() {
            self.count(index, &lines);
        }
        self.count_leftovers();
        mem::take(&mut self.outcome)
    }

    /// Ends some of the workers, and returns the lines that each has printed since it was ready.
    fn end(&mut self, what: &str, mut workers: Vec<Worker>, deadline: Instant) -> Vec<Vec<String>> {
        workers.iter_mut().for_each(Worker::order_to_end);
        let mut printed = Vec::with_capacity(workers.len());
        for (index, worker) in workers.iter_mut().enumerate() {
            let (end, lines) = (worker.await_end(deadline), worker.lines());
            match end {
                Some(status) if status.success() => {}
                Some(status) => self.fault(format!("{what} {index}: {}", ending(status, &lines))),
                None => self.fault(format!("{what} {index} did not end")),
            }
            printed.push(lines);
        }
        printed
    }

    /// Adds the counts that a reader has printed.
    fn count(&mut self, index: usize, lines: &[String]) {
        let tallies = |line: &String| serde_json::from_str::<[Tally; COMBINATIONS.len()]>(line).ok();
        let tallies: Vec<_> = lines.iter().filter_map(tallies).collect();
        let [tallies] = &tallies[..] else {
            return self.fault(format!("reader {index} has not reported its counts once: {lines:?}"));
        };
        for (sum, tally) in self.outcome.channels.iter_mut().zip(tallies) {
            *sum += tally;
            sum.notes.truncate(MAX_NOTES);
        }
    }

    /// Counts the leftovers in the directory, and compares the number with the library's.
    fn count_leftovers(&mut self) {
        match self.place.count_objects() {
            Ok(objects) => self.outcome.leftovers = objects,
            Err(error) => self.fault(format!("the directory cannot be listed: {error}")),
        }
        match self.setup.namespace.memory().map(|memory| memory.total().objects) {
            Ok(objects) if objects == self.outcome.leftovers => {}
            Ok(objects) => {
                let left = self.outcome.leftovers;
                self.fault(format!("the library reports {objects} leftovers and the directory {left}"));
            }
            Err(error) => self.fault(format!("the namespace cannot be inspected: {error}")),
        }
        for combination in &COMBINATIONS {
            match self.setup.namespace.remove_channel(combination.channel) {
                Ok(false) => {}
                Ok(true) => self.fault(format!("channel {:?} was not removed", combination.channel)),
                Err(error) => self.fault(error.to_string()),
            }
        }
    }

    fn fault(&mut self, text: String) {
        if self.outcome.faults.len() < MAX_FAULTS {
            self.outcome.faults.push(text);
        }
    }
}

fn ending(status: ExitStatus, lines: &[String]) -> String {
    let last = lines.last().map_or("nothing", String::as_str);
    format!("{status}, after it printed {last:?}")
}

impl Drop for Workers<'_> {
    fn drop(&mut self) {
        self.writers.clear();
        self.readers.clear();
        // Leftovers are counted before this. If they were not counted, another fault is already
        // reported.
        let _ = self.setup.namespace.clean(Retention::Nothing);
    }
}
