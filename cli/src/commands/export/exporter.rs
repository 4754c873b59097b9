//! Reads all channels, scrape after scrape.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use tearless::{
    Namespace,
    error::{AttachError, ObjectError},
    hub::{Health, Pattern},
    inspect::WriterState,
};

use super::sample::{Sample, Scrape};
use super::source::Source;

/// The most threads of one scrape. Most of a scrape's time is spent in system calls for the
/// writers' states.
const MAX_THREADS: usize = 4;

/// The fewest channels of a thread. For fewer, starting the thread costs more than it saves.
const MIN_SHARE: usize = 100;

/// Stays attached to the channels of the last scrape.
#[derive(Debug)]
pub(super) struct Exporter {
    namespace: Namespace,
    pattern: Pattern,
    /// Whether the last states of workers that are not up are exported, too.
    last_states: bool,
    /// The most channels of a scrape.
    max_channels: usize,
    /// The channels of the last list, and how many more there were.
    names: Vec<Arc<str>>,
    left_out: usize,
    sources: HashMap<Arc<str>, Source>,
    scrapes: u64,
    retries: u64,
}

impl Exporter {
    /// Exports the channels that match `pattern`.
    pub(super) fn new(
        namespace: Namespace,
        pattern: &str,
        last_states: bool,
        max_channels: usize,
    ) -> Exporter {
        Exporter {
            namespace,
            pattern: Pattern::new(pattern),
            last_states,
            max_channels,
            names: Vec::new(),
            left_out: 0,
            sources: HashMap::new(),
            scrapes: 0,
            retries: 0,
        }
    }

    /// Reads all channels; many channels are shared among several threads.
    pub(super) fn scrape(&mut self) -> Scrape {
        let begin = Instant::now();
        let is_listed = self.list().is_ok();
        let mut before = std::mem::take(&mut self.sources);
        let task = |name: Arc<str>| Task { source: before.remove(&name), name, sample: None, retries: 0 };
        let mut tasks: Vec<Task> = self.names.iter().cloned().map(task).collect();
        let (namespace, last_states) = (&self.namespace, self.last_states);
        let share = tasks.len().div_ceil(processors()).max(MIN_SHARE);
        let read = |share: &mut [Task]| share.iter_mut().for_each(|task| task.read(namespace, last_states));
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
        let (left_out, scrapes, retries) = (self.left_out, self.scrapes, self.retries);
        Scrape { samples, left_out, is_listed, duration: begin.elapsed(), scrapes, retries }
    }

    /// Lists the channels again. Excess ones are left out, those of ended writers first.
    fn list(&mut self) -> Result<(), ObjectError> {
        let mut channels = self.namespace.channels()?;
        for info in &channels {
            if self.sources.get(&*info.name).is_some_and(|source| source.instance() != info.instance) {
                self.sources.remove(&*info.name);
            }
        }
        channels.retain(|info| self.pattern.matches(&info.name));
        channels.sort_by(|one, other| one.name.cmp(&other.name));
        channels.dedup_by(|one, other| one.name == other.name);
        self.left_out = channels.len().saturating_sub(self.max_channels);
        if self.left_out > 0 {
            use WriterState::{Alive, Stopped, Unknown};
            channels.sort_by_cached_key(|info| !matches!(info.writer_state(), Alive | Stopped | Unknown));
            channels.truncate(self.max_channels);
        }
        self.names = channels.into_iter().map(|info| info.name.into()).collect();
        Ok(())
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
    fn read(&mut self, namespace: &Namespace, last_states: bool) {
        self.sample(last_states);
        // A closed channel may have a successor under its name.
        if self.sample.as_ref().is_some_and(|sample| sample.health != Some(Health::Closed)) {
            return;
        }
        match Source::attach(namespace, &self.name) {
            Ok(source) => {
                self.source = Some(source);
                self.sample(last_states);
            }
            Err(AttachError::NotFound { .. }) => (self.source, self.sample) = (None, None),
            Err(_) => (self.source, self.sample) = (None, Some(Sample::unreadable(&self.name))),
        }
    }

    fn sample(&mut self, last_states: bool) {
        let Some(source) = &mut self.source else { return };
        let before = source.retries();
        self.sample = source.sample(last_states);
        self.retries += source.retries() - before;
    }
}
