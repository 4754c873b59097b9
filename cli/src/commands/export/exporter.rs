//! All channels, again and again.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use tearless::{Namespace, error::AttachError, hub::Hub, inspect::ChannelWatch};

use super::sample::{Listing, Sample, Scrape, Standing};
use super::source::{Source, States};

/// The most threads that read channels at once. Most of the time goes into asking the kernel what has become
/// of writers.
const MAX_THREADS: usize = 4;

/// The fewest channels for which a thread is worth its while.
const MIN_SHARE: usize = 100;

/// Attached to every channel that was there at the last scrape.
#[derive(Debug)]
pub(super) struct Exporter {
    namespace: Namespace,
    /// For the list of names, which it lists anew only when it has changed.
    hub: Hub,
    /// For whether the hub's list is the present one, which it does not tell.
    watch: ChannelWatch,
    listing: Listing,
    pattern: String,
    states: States,
    sources: HashMap<Arc<str>, Source>,
    scrapes: u64,
    /// Of sources that are gone.
    former_retries: u64,
}

impl Exporter {
    /// Of the channels that `pattern` matches.
    pub(super) fn new(namespace: Namespace, pattern: &str, states: States) -> Exporter {
        let hub = namespace.hub();
        let watch = namespace.watch_channels();
        Exporter {
            namespace,
            hub,
            watch,
            listing: Listing::Present,
            pattern: pattern.into(),
            states,
            sources: HashMap::new(),
            scrapes: 0,
            former_retries: 0,
        }
    }

    /// Lists once more where the list has changed, or could not be read.
    fn look_at_listing(&mut self) {
        let listed = match (self.watch.changed(), self.listing) {
            (Ok(false), Listing::Present) => return,
            (Ok(_), _) => self.namespace.channels().map(drop),
            (Err(error), _) => Err(error),
        };
        self.listing = if listed.is_ok() { Listing::Present } else { Listing::Failed };
    }

    /// Reads all of them, on several threads where they are many.
    pub(super) fn scrape(&mut self) -> Scrape {
        let begin = Instant::now();
        self.look_at_listing();
        let mut names = self.hub.channels(&self.pattern);
        names.dedup();
        let mut before = std::mem::take(&mut self.sources);
        let slot =
            |name: Arc<str>| Slot { source: before.remove(&name), name, sample: None, former_retries: 0 };
        let mut slots: Vec<Slot> = names.into_iter().map(slot).collect();
        let (namespace, states) = (&self.namespace, self.states);
        let share = slots.len().div_ceil(processors()).max(MIN_SHARE);
        let look = |share: &mut [Slot]| share.iter_mut().for_each(|slot| slot.look(namespace, states));
        thread::scope(|scope| {
            let mut shares = slots.chunks_mut(share);
            let own = shares.next();
            for share in shares {
                scope.spawn(move || look(share));
            }
            own.into_iter().for_each(look);
        });
        self.former_retries += before.values().map(Source::retries).sum::<u64>();
        self.scrapes += 1;
        self.keep(slots, begin)
    }

    fn keep(&mut self, slots: Vec<Slot>, begin: Instant) -> Scrape {
        let mut samples = Vec::with_capacity(slots.len());
        for slot in slots {
            self.former_retries += slot.former_retries;
            samples.extend(slot.sample);
            self.sources.extend(slot.source.map(|source| (slot.name, source)));
        }
        let retries = self.former_retries + self.sources.values().map(Source::retries).sum::<u64>();
        Scrape { samples, listing: self.listing, duration: begin.elapsed(), scrapes: self.scrapes, retries }
    }
}

/// Threads that may help each other.
fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS)
}

/// One channel during a scrape.
#[derive(Debug)]
struct Slot {
    name: Arc<str>,
    source: Option<Source>,
    /// `None` for one that is in the list no more than by mistake, or for a moment.
    sample: Option<Sample>,
    /// Of a source that was given up.
    former_retries: u64,
}

impl Slot {
    /// A channel that was removed and made anew is attached to anew, once.
    fn look(&mut self, namespace: &Namespace, states: States) {
        if let Some(source) = &mut self.source {
            self.sample = source.sample(states);
            // A closed channel may have a successor under its name.
            if self.sample.as_ref().is_some_and(|sample| sample.standing != Standing::Closed) {
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
