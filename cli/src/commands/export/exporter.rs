//! Reads all channels, scrape after scrape.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use tearless::{
    Namespace,
    error::AttachError,
    hub::{Health, Hub},
};

use super::sample::{Listing, Sample, Scrape};
use super::source::{Source, States};

/// The most threads of one scrape. Most of a scrape's time is spent in system calls for the
/// writers' states.
const MAX_THREADS: usize = 4;

/// The fewest channels of a thread. For fewer, starting the thread costs more than it saves.
const MIN_SHARE: usize = 100;

/// Stays attached to the channels of the last scrape.
#[derive(Debug)]
pub(super) struct Exporter {
    namespace: Namespace,
    /// Caches the list of names, and lists them again only if the registry has changed.
    hub: Hub,
    pattern: String,
    states: States,
    sources: HashMap<Arc<str>, Source>,
    scrapes: u64,
    /// Retries of dropped sources.
    former_retries: u64,
}

impl Exporter {
    /// Exports the channels that match `pattern`.
    pub(super) fn new(namespace: Namespace, pattern: &str, states: States) -> Exporter {
        let hub = namespace.hub();
        Exporter {
            namespace,
            hub,
            pattern: pattern.into(),
            states,
            sources: HashMap::new(),
            scrapes: 0,
            former_retries: 0,
        }
    }

    /// Reads all channels; many channels are shared among several threads.
    pub(super) fn scrape(&mut self) -> Scrape {
        let begin = Instant::now();
        // The hub may fall back to its previous list without a report.
        let listed = self.namespace.channels().is_ok();
        let (mut names, listing) = match self.hub.channels(&self.pattern) {
            Ok(names) if listed => (names, Listing::Current),
            Ok(names) => (names, Listing::Failed),
            Err(_) => (self.sources.keys().cloned().collect(), Listing::Failed),
        };
        names.sort_unstable();
        names.dedup();
        let mut before = std::mem::take(&mut self.sources);
        let task =
            |name: Arc<str>| Task { source: before.remove(&name), name, sample: None, former_retries: 0 };
        let mut tasks: Vec<Task> = names.into_iter().map(task).collect();
        let (namespace, states) = (&self.namespace, self.states);
        let share = tasks.len().div_ceil(processors()).max(MIN_SHARE);
        let read = |share: &mut [Task]| share.iter_mut().for_each(|task| task.read(namespace, states));
        thread::scope(|scope| {
            let mut shares = tasks.chunks_mut(share);
            let own = shares.next();
            for share in shares {
                scope.spawn(move || read(share));
            }
            own.into_iter().for_each(read);
        });
        self.former_retries += before.values().map(Source::retries).sum::<u64>();
        self.scrapes += 1;
        self.keep(tasks, listing, begin)
    }

    fn keep(&mut self, tasks: Vec<Task>, listing: Listing, begin: Instant) -> Scrape {
        let mut samples = Vec::with_capacity(tasks.len());
        for task in tasks {
            self.former_retries += task.former_retries;
            samples.extend(task.sample);
            self.sources.extend(task.source.map(|source| (task.name, source)));
        }
        let retries = self.former_retries + self.sources.values().map(Source::retries).sum::<u64>();
        Scrape { samples, listing, duration: begin.elapsed(), scrapes: self.scrapes, retries }
    }
}

/// The number of threads that can run at once.
fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS)
}

/// One channel during a scrape.
#[derive(Debug)]
struct Task {
    name: Arc<str>,
    source: Option<Source>,
    /// `None` if the channel was removed after it was listed.
    sample: Option<Sample>,
    /// Retries of a source that was dropped.
    former_retries: u64,
}

impl Task {
    /// Reads the channel. One that was removed and created again is attached to again, once.
    fn read(&mut self, namespace: &Namespace, states: States) {
        if let Some(source) = &mut self.source {
            self.sample = source.sample(states);
            // A closed channel may have a successor under its name.
            if self.sample.as_ref().is_some_and(|sample| sample.health != Some(Health::Closed)) {
                return;
            }
            self.former_retries = source.retries();
        }
        (self.source, self.sample) = match Source::attach(namespace, &self.name) {
            Ok(mut source) => {
                let sample = source.sample(states);
                (Some(source), sample)
            }
            Err(AttachError::NotFound { .. }) => (None, None),
            Err(_) => (None, Some(Sample::unreadable(&self.name))),
        };
    }
}
