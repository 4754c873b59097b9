//! Reads all channels, scrape after scrape.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use tearless::{
    Namespace,
    error::AttachError,
    hub::{Health, Hub},
    inspect::WriterState,
};

use super::sample::{Sample, Scrape};
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
    /// The most channels of a scrape.
    max_channels: usize,
    sources: HashMap<Arc<str>, Source>,
    scrapes: u64,
    retries: u64,
}

impl Exporter {
    /// Exports the channels that match `pattern`.
    pub(super) fn new(namespace: Namespace, pattern: &str, states: States, max_channels: usize) -> Exporter {
        let hub = namespace.hub();
        Exporter {
            namespace,
            hub,
            pattern: pattern.into(),
            states,
            max_channels,
            sources: HashMap::new(),
            scrapes: 0,
            retries: 0,
        }
    }

    /// Reads all channels; many channels are shared among several threads.
    pub(super) fn scrape(&mut self) -> Scrape {
        let begin = Instant::now();
        // The hub may fall back to its previous list without a report.
        let registered = self.namespace.channels();
        for info in registered.iter().flatten() {
            if self.sources.get(&*info.name).is_some_and(|source| source.instance() != info.instance) {
                self.sources.remove(&*info.name);
            }
        }
        let is_listed = registered.is_ok();
        let listed = self.hub.channels(&self.pattern);
        let is_listed = is_listed && listed.is_ok();
        let mut names = listed.unwrap_or_else(|_| self.sources.keys().cloned().collect());
        names.sort_unstable();
        names.dedup();
        let left_out = self.limit(&mut names);
        let mut before = std::mem::take(&mut self.sources);
        let task = |name: Arc<str>| Task { source: before.remove(&name), name, sample: None, retries: 0 };
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
        let mut samples = Vec::with_capacity(tasks.len());
        for task in tasks {
            self.retries += task.retries;
            samples.extend(task.sample);
            self.sources.extend(task.source.map(|source| (task.name, source)));
        }
        self.scrapes += 1;
        let (scrapes, retries) = (self.scrapes, self.retries);
        Scrape { samples, left_out, is_listed, duration: begin.elapsed(), scrapes, retries }
    }

    /// Leaves out excess channels, those of ended writers first; returns their number.
    fn limit(&self, names: &mut Vec<Arc<str>>) -> usize {
        let excess = names.len().saturating_sub(self.max_channels);
        if excess > 0 {
            use WriterState::{Alive, Stopped, Unknown};
            let mut ended = self.namespace.channels().unwrap_or_default();
            ended.retain(|info| !matches!(info.writer_state(), Alive | Stopped | Unknown));
            let ended: HashSet<&str> = ended.iter().map(|info| &*info.name).collect();
            names.sort_by_key(|name| ended.contains(&**name));
            names.truncate(self.max_channels);
        }
        excess
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
    retries: u64,
}

impl Task {
    /// Reads the channel. One that was removed and created again is attached to again, once.
    fn read(&mut self, namespace: &Namespace, states: States) {
        self.sample(states);
        // A closed channel may have a successor under its name.
        if self.sample.as_ref().is_some_and(|sample| sample.health != Some(Health::Closed)) {
            return;
        }
        match Source::attach(namespace, &self.name) {
            Ok(source) => {
                self.source = Some(source);
                self.sample(states);
            }
            Err(AttachError::NotFound { .. }) => (self.source, self.sample) = (None, None),
            Err(_) => (self.source, self.sample) = (None, Some(Sample::unreadable(&self.name))),
        }
    }

    fn sample(&mut self, states: States) {
        let Some(source) = &mut self.source else { return };
        let before = source.retries();
        self.sample = source.sample(states);
        self.retries += source.retries() - before;
    }
}
