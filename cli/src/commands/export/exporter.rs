//! Reads all channels, scrape after scrape.

use std::collections::HashMap;
use std::time::Instant;
use std::{mem, thread};

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
pub(super) struct Exporter {
    namespace: Namespace,
    pattern: Pattern,
    /// Whether the last states of workers that are not up are exported, too.
    last_states: bool,
    /// The most channels of a scrape.
    max: usize,
    /// The channels of the last list, and how many more there were.
    tasks: Vec<Task>,
    left_out: usize,
    scrapes: u64,
    retries: u64,
}

impl Exporter {
    /// Exports the channels that match `pattern`.
    pub(super) fn new(namespace: Namespace, pattern: &str, last_states: bool, max: usize) -> Exporter {
        let (pattern, tasks) = (Pattern::new(pattern), Vec::new());
        Exporter { namespace, pattern, last_states, max, tasks, left_out: 0, scrapes: 0, retries: 0 }
    }

    /// Reads all channels; many channels are shared among several threads.
    pub(super) fn scrape(&mut self) -> Scrape {
        let begin = Instant::now();
        let is_listed = self.list().is_ok();
        let (namespace, last_states) = (&self.namespace, self.last_states);
        let threads = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        let share = self.tasks.len().div_ceil(threads).max(MIN_SHARE);
        let read = |share: &mut [Task]| share.iter_mut().for_each(|task| task.read(namespace, last_states));
        thread::scope(|scope| {
            let mut shares = self.tasks.chunks_mut(share);
            let own = shares.next();
            for share in shares {
                scope.spawn(move || read(share));
            }
            own.into_iter().for_each(read);
        });
        self.scrapes += 1;
        self.retries += self.tasks.iter_mut().map(|task| mem::take(&mut task.retries)).sum::<u64>();
        let samples = self.tasks.iter_mut().filter_map(|task| task.sample.take()).collect();
        let (left_out, scrapes, retries) = (self.left_out, self.scrapes, self.retries);
        Scrape { samples, left_out, is_listed, duration: begin.elapsed(), scrapes, retries }
    }

    /// Lists the channels again. Excess ones are left out, those of ended writers first.
    fn list(&mut self) -> Result<(), ObjectError> {
        let mut channels = self.namespace.channels()?;
        channels.retain(|info| self.pattern.matches(&info.name));
        channels.sort_by(|one, other| one.name.cmp(&other.name));
        channels.dedup_by(|one, other| one.name == other.name);
        self.left_out = channels.len().saturating_sub(self.max);
        if self.left_out > 0 {
            use WriterState::{Alive, Stopped, Unknown};
            channels.sort_by_cached_key(|info| !matches!(info.writer_state(), Alive | Stopped | Unknown));
            channels.truncate(self.max);
        }
        let mut before: HashMap<String, Task> =
            self.tasks.drain(..).map(|task| (task.name.clone(), task)).collect();
        self.tasks.extend(channels.into_iter().map(|info| {
            let source = before.remove(&info.name).and_then(|task| task.source);
            let source = source.filter(|source| source.instance() == info.instance);
            Task { name: info.name, source, sample: None, retries: 0 }
        }));
        Ok(())
    }
}

/// One channel.
struct Task {
    name: String,
    /// It stays attached until the channel is not listed any more.
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
