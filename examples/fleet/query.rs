//! The main process's half: queries every worker in turn, as fast as it can, and checks what it gets.

use std::{
    error::Error,
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use tearless::{Decode, Encode, Hub, Moment, QueryError, Snapshot};

use crate::{
    fleet::{Fleet, Worker},
    state::{
        Coins, State,
        kind::{Assignment, Job},
    },
};

/// How long a worker may take until its first publication.
const START: Duration = Duration::from_secs(10);

/// From one cut to the next.
const CUT_EVERY: Duration = Duration::from_secs(1);

/// Queries one worker, whatever the type of its states.
type Query = Box<dyn Fn(&mut Statistics)>;

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

struct Asking<'a>(&'a Hub);

impl Job for Asking<'_> {
    type Output = Query;

    fn run<T: State, C: Encode<T> + Decode<T> + 'static>(self) -> Query {
        let hub = self.0.codec::<C>();
        Box::new(move |statistics| {
            let begin = Instant::now();
            let answer = hub.get::<T>(&statistics.channel);
            statistics.record(begin.elapsed(), answer);
        })
    }
}

impl Statistics {
    fn new(worker: &Worker) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            channel: worker.options.channel(),
            assignment: worker.options.assignment(),
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

    fn record<T: State>(&mut self, elapsed: Duration, answer: Result<Snapshot<T>, QueryError>) {
        self.queries += 1;
        let snapshot = match answer {
            Ok(snapshot) => snapshot,
            Err(error) => {
                self.failures += 1;
                self.last_failure = Some(error.to_string());
                return;
            }
        };
        self.latency.saturating_record(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX));
        self.retries += u64::from(snapshot.retries());
        let number = snapshot.publication();
        if !snapshot.is_whole(number) || number < self.publication {
            self.torn += 1;
        }
        if number != self.publication {
            self.changes += 1;
            self.publication = number;
            self.payload_len = snapshot.payload_len();
        }
        self.age = snapshot.age();
    }
}

/// All the workers, ready to be queried.
pub(crate) struct Queries<'a> {
    hub: &'a Hub,
    queries: Vec<(Query, Statistics)>,
    /// What was wrong with a cut.
    pub(crate) wrong_cuts: Vec<String>,
}

impl<'a> Queries<'a> {
    /// Waits for all the workers.
    pub(crate) fn of(hub: &'a Hub, fleet: &mut Fleet) -> Result<Self, Box<dyn Error>> {
        let begin = Instant::now();
        let mut watch = hub.watch("*");
        let mut queries = Vec::new();
        for worker in &mut fleet.workers {
            let statistics = Statistics::new(worker)?;
            while hub.status(&statistics.channel).map_or(0, |status| status.publication) == 0 {
                if let Some(status) = worker.ended() {
                    return Err(format!("{} ended before it published: {status}", statistics.channel).into());
                }
                if begin.elapsed() > START {
                    return Err(format!("{} published nothing within {START:?}", statistics.channel).into());
                }
                watch.wait_any(Duration::from_millis(10));
            }
            queries.push((statistics.assignment.run(Asking(hub)), statistics));
        }
        Ok(Self { hub, queries, wrong_cuts: Vec::new() })
    }

    /// Queries them in turn until `duration` is over, cuts every second, and returns how long that took.
    pub(crate) fn run(&mut self, duration: Duration) -> Duration {
        let begin = Instant::now();
        let mut next_cut = Duration::ZERO;
        let mut progress = Progress::new(duration);
        loop {
            for (query, statistics) in &mut self.queries {
                query(statistics);
            }
            let elapsed = begin.elapsed();
            if elapsed >= next_cut {
                next_cut += CUT_EVERY;
                progress.clear();
                self.cut();
            }
            if elapsed >= duration {
                progress.clear();
                return elapsed;
            }
            progress.show(elapsed, &self.queries);
        }
    }

    /// Counts the coins of all workers as of one moment, and says what it found.
    fn cut(&mut self) {
        let cut = Coins::cut(self.hub, self.queries.len());
        let moment = match cut.moment {
            Moment::Instant => "at an instant".to_owned(),
            moment => format!("by their dates ({moment:?})"),
        };
        if !cut.is_consistent() {
            println!("cut: the workers were too fast for one moment, {moment}");
            return;
        }
        match Coins::count(&cut) {
            Ok(Coins { held, in_flight }) => {
                println!(
                    "cut {moment}: {held} coins held, {in_flight} in flight, {} in all",
                    held + in_flight
                );
            }
            Err(error) => self.wrong_cuts.push(format!("cut {moment}: {error}")),
        }
    }

    pub(crate) fn into_statistics(self) -> Vec<Statistics> {
        self.queries.into_iter().map(|(_, statistics)| statistics).collect()
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

    fn show(&mut self, elapsed: Duration, queries: &[(Query, Statistics)]) {
        if !self.is_terminal || elapsed < self.next {
            return;
        }
        self.next = elapsed + Self::EVERY;
        let total = |of: fn(&Statistics) -> u64| queries.iter().map(|(_, one)| of(one)).sum::<u64>();
        let (elapsed, duration) = (elapsed.as_secs_f64(), self.duration.as_secs_f64());
        let (queries, torn) = (total(|one| one.queries), total(|one| one.torn));
        // A terminal that went away is no reason to stop.
        let _ =
            write!(io::stderr(), "\r\x1b[K{elapsed:.1} of {duration:.1} s: {queries} queries, {torn} torn");
    }

    fn clear(&self) {
        if self.is_terminal {
            let _ = io::stderr().write_all(b"\r\x1b[K");
        }
    }
}
