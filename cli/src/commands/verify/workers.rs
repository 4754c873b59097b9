//! The parent's side: starts the worker processes, kills writers, and gathers what the readers have counted.

use std::io;
use std::process::ExitStatus;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tearless::{Namespace, cleanup::Retention};

use super::channel::TestReader;
use super::child::{Role, Task};
use super::combination::COMBINATIONS;
use super::content::scramble;
use super::leftovers::Prefixes;
use super::tally::Tally;
use crate::child::{End, READY, Worker, text};
use crate::interrupt::Interrupt;

/// How long the workers may take to begin, and to end.
const PATIENCE: Duration = Duration::from_secs(40);

/// The shortest and the longest time between two kills, in milliseconds.
const BETWEEN_KILLS: (u64, u64) = (10, 300);

/// How often the parent checks whether the time is over.
const LOOK: Duration = Duration::from_millis(10);

/// How many faults of workers are described; each of them fails the whole run.
const MAX_FAULTS: usize = 10;

/// How many processes there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) writers: usize,
    pub(super) readers: usize,
}

/// The results of one channel.
#[derive(Clone, Debug, Default)]
pub(super) struct Results {
    pub(super) tally: Tally,
    pub(super) publications: u64,
    pub(super) growths: u64,
    pub(super) takeovers: u64,
}

/// The results of a run.
#[derive(Debug)]
pub(super) struct Outcome {
    /// In the order of [`COMBINATIONS`].
    pub(super) channels: [Results; COMBINATIONS.len()],
    pub(super) kills: u64,
    /// Objects that were left in shared memory after the end of all workers.
    pub(super) leftovers: u64,
    /// What else went wrong.
    pub(super) faults: Vec<String>,
}

impl Outcome {
    pub(super) fn new() -> Outcome {
        Outcome {
            channels: std::array::from_fn(|_| Results::default()),
            kills: 0,
            leftovers: 0,
            faults: Vec::new(),
        }
    }

    /// The sum over all channels.
    pub(super) fn total(&self) -> Results {
        let mut sum = Results::default();
        for channel in &self.channels {
            sum.tally += channel.tally.clone();
            sum.publications += channel.publications;
            sum.growths += channel.growths;
            sum.takeovers += channel.takeovers;
        }
        sum
    }
}

/// All workers. None of them, and none of their channels, outlives this value.
pub(super) struct Workers<'a> {
    task: &'a Task,
    namespace: Namespace,
    interrupt: &'a Interrupt,
    size: Size,
    writers: Vec<Worker>,
    readers: Vec<Worker>,
    /// The parent's own readers, which know how many publications there were after the channels are removed.
    observers: Vec<TestReader>,
    prefixes: Prefixes,
    outcome: Outcome,
}

impl<'a> Workers<'a> {
    /// Starts writers and readers. All are at work when it returns.
    ///
    /// # Errors
    ///
    /// What kept one of them from it, in words.
    pub(super) fn start(task: &'a Task, size: Size, interrupt: &'a Interrupt) -> Result<Workers<'a>, String> {
        let mut workers = Workers {
            task,
            namespace: Namespace::open(&task.namespace).map_err(text)?,
            interrupt,
            size,
            writers: Vec::new(),
            readers: Vec::new(),
            observers: Vec::new(),
            prefixes: Prefixes::default(),
            outcome: Outcome::new(),
        };
        for index in 0..size.writers {
            let role = Role::Writer { index, writers: size.writers, life: 1 };
            workers.writers.push(start(task, role).map_err(text)?);
        }
        for first in 0..size.readers {
            workers.readers.push(start(task, Role::Reader { first }).map_err(text)?);
        }
        workers.await_ready()?;
        let observers =
            COMBINATIONS.iter().map(|combination| combination.reader(&workers.namespace, || true));
        workers.observers = observers.collect::<Result<_, _>>().map_err(text)?;
        workers.find_prefixes();
        Ok(workers)
    }

    fn await_ready(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        for worker in self.writers.iter_mut().chain(&mut self.readers) {
            let ready = worker.await_ready(deadline, || self.interrupt.is_raised());
            ready.map_err(|reason| format!("a child process: {reason}"))?;
        }
        match self.interrupt.is_raised() {
            true => Err("interrupted before it could begin".into()),
            false => Ok(()),
        }
    }

    /// Learns from the writers' mappings how the names of their objects begin.
    fn find_prefixes(&mut self) {
        for pid in self.writers.iter().map(Worker::pid).collect::<Vec<_>>() {
            if let Err(error) = self.prefixes.add_mapped_by(pid) {
                self.fault(format!("the mappings of process {pid} cannot be read: {error}"));
            }
        }
        if !self.prefixes.are_of_one_namespace() {
            self.fault(format!("the writers' objects are not those of one namespace: {:?}", self.prefixes));
        }
    }

    /// Lets them work, and kills a writer now and then, whose successor takes its channels over.
    pub(super) fn torture(&mut self, duration: Duration) {
        let end = Instant::now() + duration;
        let mut lives = vec![1; self.size.writers];
        for turn in 0.. {
            let random = scramble(self.task.seed, turn);
            let (min, max) = BETWEEN_KILLS;
            let next = Instant::now() + Duration::from_millis(min + random % (max - min));
            while Instant::now() < next.min(end) && !self.interrupt.is_raised() {
                sleep(LOOK.min(next.saturating_duration_since(Instant::now())));
            }
            if Instant::now() >= end || self.interrupt.is_raised() || !self.outcome.faults.is_empty() {
                break;
            }
            let index = usize::try_from(random >> 32).unwrap_or(0) % self.size.writers;
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
        let role = Role::Writer { index, writers: self.size.writers, life };
        match start(self.task, role) {
            Ok(successor) => self.writers[index] = successor,
            Err(error) => self.fault(format!("no successor of writer {index} can be started: {error}")),
        }
    }

    /// Ends all workers, the writers first, and returns the results of the run.
    pub(super) fn finish(mut self) -> Outcome {
        let deadline = Instant::now() + PATIENCE;
        self.end_writers(deadline);
        for (results, observer) in self.outcome.channels.iter_mut().zip(&self.observers) {
            results.publications = observer.publication();
            results.growths = observer.growths();
            results.takeovers = observer.incarnation().saturating_sub(1);
        }
        self.end_readers(deadline);
        self.count_leftovers();
        std::mem::replace(&mut self.outcome, Outcome::new())
    }

    fn end_writers(&mut self, deadline: Instant) {
        let mut writers = std::mem::take(&mut self.writers);
        writers.iter_mut().for_each(Worker::tell_to_end);
        for (index, writer) in writers.iter_mut().enumerate() {
            self.end_of(&format!("writer {index}"), writer, deadline);
        }
    }

    fn end_readers(&mut self, deadline: Instant) {
        let mut readers = std::mem::take(&mut self.readers);
        readers.iter_mut().for_each(Worker::tell_to_end);
        for (index, reader) in readers.iter_mut().enumerate() {
            let lines = self.end_of(&format!("reader {index}"), reader, deadline);
            let tallies: Vec<_> = lines.iter().filter_map(|line| tallies(line)).collect();
            match &tallies[..] {
                [tallies] => {
                    for (results, tally) in self.outcome.channels.iter_mut().zip(tallies) {
                        results.tally += tally.clone();
                    }
                }
                _ => self.fault(format!("reader {index} has not reported its counts once: {lines:?}")),
            }
        }
    }

    /// Waits for a worker's end, and returns what it has printed.
    fn end_of(&mut self, name: &str, worker: &mut Worker, deadline: Instant) -> Vec<String> {
        let end = worker.await_end(deadline);
        let lines = worker.lines();
        match end {
            End::Ended(status) if status.success() => {}
            End::Ended(status) => self.fault(format!("{name}: {}", ending(status, &lines))),
            End::Overdue => self.fault(format!("{name} did not end")),
        }
        lines.into_iter().filter(|line| line != READY).collect()
    }

    /// Counts what is left according to the directory, and asks the library, which must say the same.
    fn count_leftovers(&mut self) {
        match self.prefixes.objects() {
            Ok(objects) => self.outcome.leftovers = objects.len() as u64,
            Err(error) => self.fault(format!("/dev/shm cannot be listed: {error}")),
        }
        match self.namespace.memory().map(|memory| memory.total().objects) {
            Ok(objects) if objects == self.outcome.leftovers => {}
            Ok(objects) => {
                let left = self.outcome.leftovers;
                self.fault(format!("the library reports {objects} leftovers and the directory {left}"));
            }
            Err(error) => self.fault(format!("the namespace cannot be inspected: {error}")),
        }
        for combination in &COMBINATIONS {
            match self.namespace.remove_channel(combination.channel) {
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

fn start(task: &Task, role: Role) -> io::Result<Worker> {
    Worker::start("verify", &task.to_argument(role))
}

/// A reader's counts of each combination, if `line` has them.
fn tallies(line: &str) -> Option<Vec<Tally>> {
    let value: Value = serde_json::from_str(line).ok()?;
    let tallies: Option<Vec<Tally>> = value.as_array()?.iter().map(Tally::from_json).collect();
    tallies.filter(|tallies| tallies.len() == COMBINATIONS.len())
}

fn ending(status: ExitStatus, lines: &[String]) -> String {
    let last = lines.last().map_or("nothing", String::as_str);
    format!("{status}, after it printed {last:?}")
}

impl Drop for Workers<'_> {
    fn drop(&mut self) {
        self.writers.clear();
        self.readers.clear();
        // Leftovers are counted before. If they were not, another fault is already reported.
        let _ = self.namespace.clean(Retention::Nothing);
    }
}
