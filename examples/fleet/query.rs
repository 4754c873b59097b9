//! The main process's half: queries every worker in turn, as fast as it can, and checks what it gets.

use std::{
    error::Error,
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use tearless::{Decode, Encode, Namespace, Reader, WriterState};

use crate::{
    fleet::{Fleet, Worker},
    kind::{Assignment, Job},
    state::State,
};

/// How long a worker may take until its first publication.
const START: Duration = Duration::from_secs(10);

/// What came of querying one worker.
pub(crate) struct Statistics {
    pub(crate) channel: String,
    pub(crate) assignment: Assignment,
    pub(crate) queries: u64,
    /// How often a query found the slot being overwritten while it was copied, and copied again.
    pub(crate) retries: u64,
    /// Snapshots that were not what the worker published under their number.
    pub(crate) torn: u64,
    /// Queries that failed.
    pub(crate) failures: u64,
    pub(crate) last_failure: Option<String>,
    /// How many different publications were seen.
    pub(crate) changes: u64,
    /// The newest publication.
    pub(crate) publication: u64,
    pub(crate) payload_len: usize,
    /// How old the state was when it was last queried.
    pub(crate) age: Option<Duration>,
    /// Nanoseconds from the call until the decoded state is there, two readings of the clock included.
    pub(crate) latency: Histogram<u64>,
}

/// A reader of some worker's channel, whatever the type of its states.
trait Query {
    fn query(&mut self, statistics: &mut Statistics);

    /// A closer look than a query.
    fn sight(&mut self) -> Result<Sighting, Box<dyn Error>>;
}

/// What a closer look at a channel shows.
pub(crate) struct Sighting {
    pub(crate) state: WriterState,
    pub(crate) publication: u64,
    pub(crate) age: Option<Duration>,
    pub(crate) pid: u64,
    pub(crate) incarnation: u64,
}

impl<T: State, C: Decode<T>> Query for Reader<T, C> {
    fn query(&mut self, statistics: &mut Statistics) {
        let begin = Instant::now();
        let result = self.snapshot();
        let elapsed = begin.elapsed();
        statistics.queries += 1;
        let snapshot = match result {
            Ok(snapshot) => snapshot,
            Err(error) => {
                statistics.failures += 1;
                statistics.last_failure = Some(error.to_string());
                return;
            }
        };
        statistics.latency.saturating_record(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX));
        statistics.retries += u64::from(snapshot.retries());
        let number = snapshot.publication();
        let is_whole = snapshot.is_consistent() && snapshot.sequence() == number;
        if !is_whole || number < statistics.publication {
            statistics.torn += 1;
        }
        if number != statistics.publication {
            statistics.changes += 1;
            statistics.publication = number;
            statistics.payload_len = snapshot.payload_len();
        }
        statistics.age = snapshot.age();
    }

    fn sight(&mut self) -> Result<Sighting, Box<dyn Error>> {
        let state = self.writer_state()?;
        let snapshot = self.snapshot()?;
        if !snapshot.is_consistent() {
            return Err(
                format!("publication {} of {} is torn", snapshot.publication(), self.channel()).into()
            );
        }
        let (publication, age) = (snapshot.publication(), snapshot.age());
        Ok(Sighting { state, publication, age, pid: self.writer_pid(), incarnation: self.incarnation() })
    }
}

/// Attaches to the channel of a worker and waits for its first publication.
struct Attaching<'a> {
    fleet: &'a Namespace,
    channel: &'a str,
}

impl Job for Attaching<'_> {
    type Output = Result<Box<dyn Query>, Box<dyn Error>>;

    fn run<T: State + 'static, C: Encode<T> + Decode<T> + 'static>(self) -> Self::Output {
        let mut reader =
            self.fleet.reader_builder::<T>(self.channel).codec::<C>().attach_within(START).open()?;
        reader.snapshot_within(START)?;
        Ok(Box::new(reader))
    }
}

/// All the workers, ready to be queried.
pub(crate) struct Queries {
    queries: Vec<(Box<dyn Query>, Statistics)>,
}

impl Queries {
    /// Attaches to all the workers.
    pub(crate) fn attach(namespace: &Namespace, fleet: &mut Fleet) -> Result<Self, Box<dyn Error>> {
        let mut queries = Vec::new();
        for worker in &mut fleet.workers {
            let job = Attaching { fleet: namespace, channel: &worker.options.channel };
            match worker.options.assignment.run(job) {
                Ok(query) => queries.push((query, Statistics::new(worker)?)),
                Err(error) => return Err(explained(worker, error.as_ref()).into()),
            }
        }
        Ok(Self { queries })
    }

    /// Takes a closer look at the worker of this index.
    pub(crate) fn sight(&mut self, index: usize) -> Result<Sighting, Box<dyn Error>> {
        self.queries[index].0.sight()
    }

    /// Queries them in turn until `duration` is over, and returns how long that took.
    pub(crate) fn run(&mut self, duration: Duration) -> Duration {
        let begin = Instant::now();
        let mut progress = Progress::new(duration);
        loop {
            for (query, statistics) in &mut self.queries {
                query.query(statistics);
            }
            let elapsed = begin.elapsed();
            if elapsed >= duration {
                progress.clear();
                return elapsed;
            }
            progress.show(elapsed, &self.queries);
        }
    }

    pub(crate) fn into_statistics(self) -> Vec<Statistics> {
        self.queries.into_iter().map(|(_, statistics)| statistics).collect()
    }
}

impl Statistics {
    fn new(worker: &Worker) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            channel: worker.options.channel.clone(),
            assignment: worker.options.assignment,
            queries: 0,
            retries: 0,
            torn: 0,
            failures: 0,
            last_failure: None,
            changes: 0,
            publication: 0,
            payload_len: 0,
            age: None,
            latency: Histogram::new_with_bounds(1, 60_000_000_000, 3)?,
        })
    }
}

fn explained(worker: &mut Worker, error: &dyn Error) -> String {
    let channel = &worker.options.channel;
    let message = format!("{channel} can't be attached to: {error}");
    match worker.ended() {
        Some(status) => format!("{message} (the worker ended: {status})"),
        None => message,
    }
}

/// One line on a terminal that is written over and over.
struct Progress {
    is_terminal: bool,
    duration: Duration,
    next: Duration,
}

impl Progress {
    const EVERY: Duration = Duration::from_millis(200);

    fn new(duration: Duration) -> Self {
        Self { is_terminal: io::stderr().is_terminal(), duration, next: Duration::ZERO }
    }

    fn show(&mut self, elapsed: Duration, queries: &[(Box<dyn Query>, Statistics)]) {
        if !self.is_terminal || elapsed < self.next {
            return;
        }
        self.next = elapsed + Self::EVERY;
        let total = |of: fn(&Statistics) -> u64| queries.iter().map(|(_, one)| of(one)).sum::<u64>();
        let line = format!(
            "\r\x1b[K{:.1} of {:.1} s: {} queries, {} torn",
            elapsed.as_secs_f64(),
            self.duration.as_secs_f64(),
            total(|one| one.queries),
            total(|one| one.torn)
        );
        // A terminal that went away is no reason to stop.
        let _ = io::stderr().write_all(line.as_bytes());
    }

    fn clear(&self) {
        if self.is_terminal {
            let _ = io::stderr().write_all(b"\r\x1b[K");
        }
    }
}
