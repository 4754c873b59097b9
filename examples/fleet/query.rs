//! The main process's half: queries every worker in turn, as fast as it can, and checks each state.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use tearless::{
    Decode, Snapshot,
    error::QueryError,
    hub::{CutTime, Hub},
};

use crate::{
    fleet::{Fleet, Worker},
    patience::within,
    state::{
        Coins, State, Telling,
        kind::{Assignment, Job},
    },
};

/// How long a worker may take until its first publication.
const START: Duration = Duration::from_secs(10);

/// Time from one cut to the next.
const CUT_EVERY: Duration = Duration::from_secs(1);

/// Queries one worker, whatever the type of its states.
type Query = Box<dyn Fn(&mut Statistics)>;

/// The results of querying one worker.
pub(crate) struct Statistics {
    pub(crate) channel: String,
    pub(crate) assignment: Assignment,
    pub(crate) queries: u64,
    /// Attempts that were repeated because the writer overwrote the slot during the copy.
    pub(crate) retries: u64,
    /// Snapshots that differ from what the worker published under their number.
    pub(crate) torn: u64,
    /// Queries that failed.
    pub(crate) failures: u64,
    pub(crate) last_failure: Option<String>,
    /// Number of different publications seen.
    pub(crate) changes: u64,
    /// Number of the newest publication.
    pub(crate) publication: u64,
    pub(crate) payload_len: usize,
    /// Age of the state at the last query.
    pub(crate) age: Option<Duration>,
    /// Nanoseconds from the call to the decoded state, including two clock readings.
    pub(crate) latency: Histogram<u64>,
}

struct Asking<'a>(&'a Hub);

impl Job for Asking<'_> {
    type Output = Query;

    fn run<T: State, C: Telling<T> + Decode<T> + 'static>(self) -> Query {
        let hub = self.0.with_codec::<C>();
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

/// All workers, ready to be queried, and the results.
pub(crate) struct Queries {
    hub: Hub,
    queries: Vec<(Query, Statistics)>,
    /// Total time spent querying.
    pub(crate) elapsed: Duration,
    /// Errors that are not errors of queries.
    pub(crate) wrong: Vec<String>,
}

impl Queries {
    /// Waits until every worker has published.
    pub(crate) fn of(fleet: &mut Fleet) -> Result<Self, Box<dyn Error>> {
        let hub = fleet.hub.clone();
        let mut queries = Vec::new();
        for worker in &mut fleet.workers {
            let statistics = Statistics::new(worker)?;
            let channel = &statistics.channel;
            let look = || match worker.ended() {
                Some(how) => Err(format!("{channel} ended before it published: {how}")),
                None => Ok(hub.status(channel).ok().filter(|status| status.publication > 0)),
            };
            within(START, hub.watch(channel), look)?
                .ok_or_else(|| format!("{channel} published nothing within {START:?}"))?;
            queries.push((statistics.assignment.run(Asking(&hub)), statistics));
        }
        Ok(Self { hub, queries, elapsed: Duration::ZERO, wrong: Vec::new() })
    }

    /// Queries all workers in turn for `duration`, and takes a cut every second.
    pub(crate) fn run(&mut self, duration: Duration) {
        let begin = Instant::now();
        let mut next_cut = Duration::ZERO;
        while begin.elapsed() < duration {
            self.ask_all();
            if begin.elapsed() >= next_cut {
                next_cut += CUT_EVERY;
                self.cut();
            }
        }
        self.elapsed += begin.elapsed();
    }

    /// Queries each worker once.
    pub(crate) fn ask_all(&mut self) {
        for (query, statistics) in &mut self.queries {
            query(statistics);
        }
    }

    /// Counts the coins of all workers as of one moment, and prints the result.
    fn cut(&mut self) {
        let cut = Coins::cut(&self.hub, self.queries.len());
        let moment = match cut.moment {
            CutTime::Instant => "nothing was published during the cut",
            _ => "by timestamps",
        };
        if !cut.is_consistent() {
            println!("  not counted: the workers published too fast for a cut");
            return;
        }
        match Coins::count(&cut) {
            Ok(Coins { held, in_flight }) => {
                let all = held + in_flight;
                println!("  {all} coins: {held} held, {in_flight} passed on and not yet taken ({moment})");
            }
            Err(error) => self.wrong.push(format!("a cut ({moment}): {error}")),
        }
    }

    pub(crate) fn statistics(&self) -> impl ExactSizeIterator<Item = &Statistics> {
        self.queries.iter().map(|(_, statistics)| statistics)
    }

    /// Whether all snapshots were whole and nothing failed.
    pub(crate) fn are_well(&self) -> bool {
        self.wrong.is_empty() && self.statistics().all(|one| one.torn == 0 && one.failures == 0)
    }
}
