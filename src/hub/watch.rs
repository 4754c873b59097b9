//! Waiting until any of several workers has changed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::attached::Shared;
use super::{Hub, Pattern};
use crate::channel::{ChannelReader, Progress};
use crate::seqlock::ChannelState;
use crate::waiting::Waiter;

/// Notices which of a hub's channels have changed. Made by [`Hub::watch`].
pub struct HubWatch {
    shared: Arc<Shared>,
    pattern: Pattern,
    waiter: Waiter,
    /// The registry's list that `watched` is of.
    names: Arc<[Arc<str>]>,
    /// Of those, the ones that are to be watched and could not be attached to yet.
    unattached: Vec<Arc<str>>,
    watched: BTreeMap<Arc<str>, Watched>,
}

/// A channel that is watched, and what was seen of it.
struct Watched {
    reader: ChannelReader,
    /// `None`: nothing yet.
    seen: Option<Progress>,
}

impl<C> Hub<C> {
    /// Watches the channels that `pattern` matches, also those that come later. Everything that is there counts as new at
    /// first.
    #[must_use]
    pub fn watch(&self, pattern: &str) -> HubWatch {
        let shared = Arc::clone(&self.shared);
        let waiter = shared.handle.waiter(shared.wait);
        HubWatch {
            shared,
            pattern: Pattern::new(pattern),
            waiter,
            names: Arc::default(),
            unattached: Vec::new(),
            watched: BTreeMap::new(),
        }
    }
}

impl HubWatch {
    /// The channels that have changed since the last call, in alphabetical order: that were published on, came, or ended
    /// (were closed or removed). Waits for nothing.
    ///
    /// The death of a writer changes no channel: [`Hub::status`] finds it. Cost: two loads for each channel that is
    /// watched, and attaching to those that are new.
    pub fn changed(&mut self) -> Vec<Arc<str>> {
        self.follow();
        let mut changed = Vec::new();
        self.watched.retain(|name, watched| {
            let now = watched.reader.page().progress();
            if watched.seen.replace(now) != Some(now) {
                changed.push(Arc::clone(name));
            }
            // By what was just seen, and named: an end that comes now is named the next time.
            now.state != ChannelState::Removed
        });
        changed
    }

    /// Waits until any of the channels has changed, or a new one has come, at most for `timeout`; then says as
    /// [`HubWatch::changed`] which: none, if it was in vain.
    ///
    /// Without a channel to watch it waits for one. It spins for a moment and then sleeps, as
    /// [`Reader::wait_after`](crate::Reader::wait_after) does, and with what is said there: however many channels there
    /// are, it is one sleep. Each writer that publishes while somebody waits makes two system calls for that, or four.
    pub fn wait_any(&mut self, timeout: Duration) -> Vec<Arc<str>> {
        let begin = Instant::now();
        loop {
            let changed = self.changed();
            let waited = begin.elapsed();
            if !changed.is_empty() || waited >= timeout {
                return changed;
            }
            let HubWatch { shared, waiter, names, watched, .. } = self;
            let readers: Vec<&ChannelReader> = watched.values().map(|watched| &watched.reader).collect();
            let has_changed =
                || watched.values().any(Watched::has_changed) || !Arc::ptr_eq(&shared.names(), names);
            let _ = waiter.wait_any(&readers, timeout - waited, has_changed);
        }
    }

    /// Watches what the registry lists by now.
    fn follow(&mut self) {
        let names = self.shared.names();
        if !Arc::ptr_eq(&names, &self.names) {
            let matching = names.iter().filter(|name| self.pattern.matches(name));
            self.unattached = matching.filter(|name| !self.is_watched(name)).cloned().collect();
            self.names = names;
        }
        // What is just being made, has gone again, or is not ours to read is tried again the next time.
        for name in std::mem::take(&mut self.unattached) {
            match self.shared.reader(&name) {
                // Another one of the same name ends thereby.
                Ok(reader) => {
                    let reader = reader.without_segments();
                    drop(self.watched.insert(name, Watched { reader, seen: None }));
                }
                Err(_) => self.unattached.push(name),
            }
        }
    }

    fn is_watched(&self, name: &Arc<str>) -> bool {
        self.watched.get(name).is_some_and(|watched| !watched.reader.is_removed())
    }
}

impl Watched {
    fn has_changed(&self) -> bool {
        self.seen != Some(self.reader.page().progress())
    }
}

impl fmt::Debug for HubWatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HubWatch").field("pattern", &self.pattern.to_string()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bytes, Namespace, Writer};

    type BytesWriter = Writer<Vec<u8>, Bytes>;

    fn setting() -> (impl Fn() -> BytesWriter, HubWatch) {
        let namespace = Namespace::in_process("watched").unwrap();
        let watch = namespace.hub().watch("*");
        (move || namespace.writer_builder("worker").codec::<Bytes>().open().unwrap(), watch)
    }

    fn names(watch: &mut HubWatch) -> Vec<String> {
        watch.changed().iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn a_channel_that_ended_and_came_and_ended_again_is_named() {
        let (open, mut watch) = setting();
        let first = open();
        assert_eq!(names(&mut watch), ["worker"], "it came, though nothing was published");
        assert!(names(&mut watch).is_empty());
        first.close().unwrap();
        let second = open();
        second.close_lingering().unwrap();
        assert_eq!(names(&mut watch), ["worker"]);
        assert!(names(&mut watch).is_empty());
    }

    #[test]
    fn the_end_of_a_channel_is_named_once() {
        let (open, mut watch) = setting();
        let writer = open();
        assert_eq!(names(&mut watch), ["worker"]);
        writer.close().unwrap();
        assert_eq!(names(&mut watch), ["worker"]);
        assert!(names(&mut watch).is_empty());
    }
}
