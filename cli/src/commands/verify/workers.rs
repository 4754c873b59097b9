//! The parent's side: starts the children, kills writers, and gathers what the readers have counted.

use std::io;
use std::process::ExitStatus;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tearless::{Bytes, Namespace, Reader, cleanup::Retention};

use super::child::{Role, Task};
use super::content::scramble;
use super::run::RUNS;
use super::tally::Tally;
use crate::child::{End, READY, Worker, text};
use crate::interrupt::Interrupt;

/// How long children may take to begin, and to end.
const PATIENCE: Duration = Duration::from_secs(40);

/// The shortest and the longest time between two kills, in milliseconds.
const BETWEEN_KILLS: (u64, u64) = (10, 300);

/// How often it is looked whether the time is over.
const LOOK: Duration = Duration::from_millis(10);

/// How many faults of children are described; each of them fails the whole.
const MAX_FAULTS: usize = 10;

/// How many processes there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) writers: usize,
    pub(super) readers: usize,
}

/// What the run came to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) tally: Tally,
    pub(super) publications: u64,
    pub(super) growths: u64,
    pub(super) takeovers: u64,
    pub(super) kills: u64,
    /// Objects that were left when all had ended.
    pub(super) leftovers: u64,
    /// What else went wrong.
    pub(super) faults: Vec<String>,
}

/// All children. Whatever happens, none of them and none of their channels outlives this.
pub(super) struct Workers<'a> {
    task: &'a Task,
    namespace: Namespace,
    interrupt: &'a Interrupt,
    size: Size,
    writers: Vec<Worker>,
    readers: Vec<Worker>,
    /// Of the parent, to know how many publications there were when the channels are gone.
    observers: Vec<Reader<Vec<u8>, Bytes>>,
    outcome: Outcome,
}

impl<'a> Workers<'a> {
    /// Starts writers and readers. All are at work when it returns.
    ///
    /// # Errors
    ///
    /// What kept one of them from it, in words.
    pub(super) fn start(task: &'a Task, size: Size, interrupt: &'a Interrupt) -> Result<Workers<'a>, String> {
        let namespace = Namespace::open(&task.namespace).map_err(text)?;
        let (writers, readers, observers) = (Vec::new(), Vec::new(), Vec::new());
        let outcome = Outcome::default();
        let mut workers = Workers { task, namespace, interrupt, size, writers, readers, observers, outcome };
        for index in 0..size.writers {
            let role = Role::Writer { index, writers: size.writers, life: 1 };
            workers.writers.push(start(task, role).map_err(text)?);
        }
        for _ in 0..size.readers {
            workers.readers.push(start(task, Role::Reader).map_err(text)?);
        }
        let deadline = Instant::now() + PATIENCE;
        for worker in workers.writers.iter_mut().chain(&mut workers.readers) {
            let ready = worker.await_ready(deadline, || interrupt.is_raised());
            ready.map_err(|reason| format!("a child process: {reason}"))?;
        }
        if interrupt.is_raised() {
            return Err("interrupted before it could begin".into());
        }
        let observers = RUNS.iter().map(|run| run.reader(&workers.namespace, || true).map_err(text));
        workers.observers = observers.collect::<Result<_, String>>()?;
        Ok(workers)
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
            Err(error) => self.fault(format!("writer {index} can't be started again: {error}")),
        }
    }

    /// Ends all of them, the writers first, and says what it all came to.
    pub(super) fn finish(mut self) -> Outcome {
        let deadline = Instant::now() + PATIENCE;
        let (mut writers, mut readers) =
            (std::mem::take(&mut self.writers), std::mem::take(&mut self.readers));
        writers.iter_mut().for_each(Worker::tell_to_end);
        for (index, writer) in writers.iter_mut().enumerate() {
            self.end_of(&format!("writer {index}"), writer, deadline);
        }
        for observer in &self.observers {
            self.outcome.publications += observer.publication();
            self.outcome.growths += observer.growths();
            self.outcome.takeovers += observer.incarnation().saturating_sub(1);
        }
        readers.iter_mut().for_each(Worker::tell_to_end);
        for (index, reader) in readers.iter_mut().enumerate() {
            for line in self.end_of(&format!("reader {index}"), reader, deadline) {
                let value = serde_json::from_str(&line).unwrap_or_default();
                match Tally::from_json(&value) {
                    Some(tally) => self.outcome.tally += tally,
                    None => self.fault(format!("reader {index}: {line}")),
                }
            }
        }
        self.count_leftovers();
        std::mem::take(&mut self.outcome)
    }

    /// Waits for a child's end, and gives back what it has said.
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

    fn count_leftovers(&mut self) {
        match self.namespace.memory() {
            Ok(memory) => self.outcome.leftovers = memory.total().objects,
            Err(error) => self.fault(format!("/dev/shm can't be listed: {error}")),
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

fn ending(status: ExitStatus, lines: &[String]) -> String {
    let last = lines.last().map_or("nothing", String::as_str);
    format!("{status}, and its last words are {last:?}")
}

impl Drop for Workers<'_> {
    fn drop(&mut self) {
        self.writers.clear();
        self.readers.clear();
        // Counted before; and where it was not, there is a greater fault to tell.
        let _ = self.namespace.clean(Retention::Nothing);
    }
}
