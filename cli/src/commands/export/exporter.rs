//! All channels, again and again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use tearless::{AttachError, Hub, Namespace};

use super::sample::{Sample, Scrape};
use super::source::{Source, States};

/// Attached to every channel that was there at the last scrape.
#[derive(Debug)]
pub(super) struct Exporter {
    namespace: Namespace,
    /// For the list of names, which it lists anew only when it has changed.
    hub: Hub,
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
        let (sources, pattern) = (HashMap::new(), pattern.into());
        Exporter { namespace, hub, pattern, states, sources, scrapes: 0, former_retries: 0 }
    }

    /// Reads all of them.
    pub(super) fn scrape(&mut self) -> Scrape {
        let begin = Instant::now();
        let mut names = self.hub.channels(&self.pattern);
        names.dedup();
        let mut before = std::mem::take(&mut self.sources);
        let samples = names
            .iter()
            .filter_map(|name| {
                let (sample, source) = self.sample(name, before.remove(name));
                source.into_iter().for_each(|source| drop(self.sources.insert(Arc::clone(name), source)));
                sample
            })
            .collect();
        before.values().for_each(|source| self.former_retries += source.retries());
        self.scrapes += 1;
        let retries = self.former_retries + self.sources.values().map(Source::retries).sum::<u64>();
        Scrape { samples, duration: begin.elapsed(), scrapes: self.scrapes, retries }
    }

    /// A channel that was removed and made anew is attached to anew, once. One that is in the list no more than by
    /// mistake, or for a moment, has no sample.
    fn sample(&mut self, name: &str, mut source: Option<Source>) -> (Option<Sample>, Option<Source>) {
        if let Some(known) = &mut source {
            match known.sample(self.states) {
                Some(sample) if sample.standing != super::sample::Standing::Closed => {
                    return (Some(sample), source);
                }
                _ => self.former_retries += known.retries(),
            }
        }
        match Source::attach(&self.namespace, name) {
            Ok(mut source) => {
                let sample = source.sample(self.states);
                (sample, Some(source))
            }
            Err(AttachError::NotFound { .. }) => (None, None),
            Err(_) => (Some(Sample::unreadable(name)), None),
        }
    }
}
