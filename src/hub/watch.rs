//! Waiting for a change of any of several workers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::attached::{AT_ONCE, QueryError, Shared};
use super::pattern::Pattern;
use crate::channel::{ChannelReader, Progress};
use crate::seqlock::ChannelState;
use crate::waiting::Waiter;

/// How long a channel that could not be attached waits for the next attempt. Nothing wakes a waiter
/// when its creator finishes it, or when the process may open one more file.
const RETRY: Duration = Duration::from_millis(100);

/// Finds out which of a hub's channels have changed. Made by [`Hub::watch`](super::Hub::watch).
pub struct HubWatch {
    shared: Arc<Shared>,
    pub(super) selection: Selection,
    waiter: Waiter,
    /// The list of the registry that the following two fields follow.
    names: Arc<[Arc<str>]>,
    /// Whether the registry could be read at the last look.
    pub(super) is_listed: bool,
    /// Selected channels that the hub could not attach to yet.
    unattached: Vec<Arc<str>>,
    watched: BTreeMap<Arc<str>, Watched>,
    /// Channels that were watched and have lost their names.
    lost: Vec<Arc<str>>,
}

/// The channels that a watch is about.
#[derive(Debug)]
pub(super) enum Selection {
    /// One channel. A name may have characters that mean something else in a pattern.
    #[cfg(feature = "async")]
    Exactly(String),
    Matching(Pattern),
}

impl Selection {
    #[cfg(feature = "async")]
    pub(super) fn text(&self) -> Arc<str> {
        match self {
            Selection::Exactly(text) => text.as_str().into(),
            Selection::Matching(pattern) => pattern.to_string().into(),
        }
    }

    fn has(&self, name: &str) -> bool {
        match self {
            #[cfg(feature = "async")]
            Selection::Exactly(channel) => channel == name,
            Selection::Matching(pattern) => pattern.matches(name),
        }
    }
}

/// A watched channel, and its progress at the last look.
#[derive(Clone)]
struct Watched {
    reader: ChannelReader,
    /// `None` before the first look.
    seen: Option<Progress>,
}

impl HubWatch {
    pub(super) fn new(shared: Arc<Shared>, selection: Selection) -> HubWatch {
        let waiter = shared.handle.waiter(shared.options.wait);
        HubWatch {
            shared,
            selection,
            waiter,
            names: Arc::default(),
            is_listed: false,
            unattached: Vec::new(),
            watched: BTreeMap::new(),
            lost: Vec::new(),
        }
    }

    /// The channels that have changed since the last call, in alphabetical order: with a new
    /// publication, new in the namespace, closed or removed. Does not wait.
    ///
    /// The death of a writer is no change of its channel: [`Hub::status`](super::Hub::status) finds
    /// it. Cost: two loads for each watched channel, and some system calls for each new one and for
    /// each that could not be attached before.
    ///
    /// # Errors
    ///
    /// [`QueryError::List`] if no watched channel has changed and new ones can't be found: see
    /// [`Hub::channels`](super::Hub::channels).
    pub fn changed(&mut self) -> Result<Vec<Arc<str>>, QueryError> {
        let listed = self.follow();
        let mut changed = std::mem::take(&mut self.lost);
        self.watched.retain(|name, watched| {
            let now = watched.reader.page().progress();
            if watched.seen.replace(now) != Some(now) {
                changed.push(Arc::clone(name));
            }
            // Decided by the progress that was just seen: a later end is a change of the next call.
            now.state != ChannelState::Removed
        });
        changed.sort_unstable();
        if changed.is_empty() { listed.map(|()| changed) } else { Ok(changed) }
    }

    /// Waits until any of the channels has changed or a new one has come, at most for `timeout`.
    /// Returns the same as [`HubWatch::changed`]: nothing after the timeout.
    ///
    /// Without a channel to watch it waits for one. It spins for a moment and then sleeps, as
    /// [`Reader::wait_after`](crate::Reader::wait_after) does and with the same limits. One sleep
    /// is enough for any number of channels. A writer that publishes while a process waits makes
    /// two to four system calls for it.
    ///
    /// # Errors
    ///
    /// As [`HubWatch::changed`], without waiting.
    pub fn wait_any(&mut self, timeout: Duration) -> Result<Vec<Arc<str>>, QueryError> {
        let begin = Instant::now();
        loop {
            let changed = self.changed()?;
            let waited = begin.elapsed();
            if !changed.is_empty() || waited >= timeout {
                return Ok(changed);
            }
            let longest = if self.unattached.is_empty() { timeout } else { RETRY };
            let HubWatch { shared, waiter, names, watched, .. } = self;
            let readers: Vec<&ChannelReader> = watched.values().map(|watched| &watched.reader).collect();
            let has_changed = || watched.values().any(Watched::has_changed) || differ(&shared.names(), names);
            let _ = waiter.wait_any(&readers, longest.min(timeout - waited), has_changed);
        }
    }

    /// Watches the channels that the registry lists now.
    fn follow(&mut self) -> Result<(), QueryError> {
        let listed = self.shared.names();
        self.is_listed = listed.is_ok();
        if let Ok(names) = &listed
            && !Arc::ptr_eq(names, &self.names)
        {
            let matching = names.iter().filter(|name| self.selection.has(name));
            self.unattached = matching.filter(|name| !self.is_watched(name)).cloned().collect();
            let shared = &self.shared;
            let lost = &mut self.lost;
            self.watched.retain(|name, watched| {
                let has_lost_name = !watched.reader.is_removed()
                    && names.binary_search(name).is_err()
                    && shared.instance(name) != Some(watched.reader.instance());
                lost.extend(has_lost_name.then(|| Arc::clone(name)));
                !has_lost_name
            });
            self.names = Arc::clone(names);
        }
        // A channel that is being created, is gone again, or can't be opened is tried again the
        // next time.
        for name in std::mem::take(&mut self.unattached) {
            match self.shared.reader(&name, AT_ONCE) {
                // It replaces a removed channel of the same name.
                Ok(reader) => {
                    let reader = reader.without_segments();
                    drop(self.watched.insert(name, Watched { reader, seen: None }));
                }
                Err(_) => self.unattached.push(name),
            }
        }
        listed.map(drop)
    }

    /// Whether the channel that has this name now is watched. The hub has let go of one that lost
    /// its name.
    fn is_watched(&self, name: &Arc<str>) -> bool {
        self.watched.get(name).is_some_and(|watched| {
            let is_same = |instance| instance == watched.reader.instance();
            !watched.reader.is_removed() && self.shared.instance(name).is_some_and(is_same)
        })
    }
}

/// Whether the list of the registry is another one now, or can't be read.
fn differ(now: &Result<Arc<[Arc<str>]>, QueryError>, known: &Arc<[Arc<str>]>) -> bool {
    now.as_ref().map_or(true, |now| !Arc::ptr_eq(now, known))
}

impl Watched {
    fn has_changed(&self) -> bool {
        self.seen != Some(self.reader.page().progress())
    }
}

#[cfg(feature = "async")]
impl HubWatch {
    /// Forgets the last look at a channel: the next one finds it changed.
    pub(super) fn look_again(&mut self, channel: &str) {
        if let Some(watched) = self.watched.get_mut(channel) {
            watched.seen = None;
        }
    }

    pub(super) fn readers(&self) -> Vec<ChannelReader> {
        self.watched.values().map(|watched| watched.reader.clone()).collect()
    }

    /// Whether a watched channel or the list of channels has changed since the last look, or a
    /// channel waits for the next attempt to attach, as a function for the thread that sleeps.
    pub(super) fn change(&self, is_unlisted: bool) -> Arc<dyn Fn() -> bool + Send + Sync> {
        let (shared, names) = (Arc::clone(&self.shared), Arc::clone(&self.names));
        let watched: Vec<Watched> = self.watched.values().cloned().collect();
        let retries = is_unlisted || !self.unattached.is_empty();
        let retries_at = retries.then(|| Instant::now() + RETRY);
        Arc::new(move || {
            watched.iter().any(Watched::has_changed)
                || retries_at.is_some_and(|moment| Instant::now() >= moment)
                || (!is_unlisted && differ(&shared.names(), &names))
        })
    }
}

debug_by!(HubWatch<>, |it| selection: it.selection);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::ChannelName;
    use crate::layout::{self, Kind, control};
    use crate::memory::{MemoryMut, Words};
    use crate::object::{Backend, Heap};
    use crate::{Bytes, Namespace, Writer};

    type BytesWriter = Writer<Vec<u8>, Bytes>;

    fn setting() -> (impl Fn() -> BytesWriter, HubWatch) {
        let namespace = Namespace::in_process("watched").unwrap();
        let watch = namespace.hub().watch("*");
        (move || namespace.writer_builder("worker").codec::<Bytes>().open().unwrap(), watch)
    }

    fn names(watch: &mut HubWatch) -> Vec<String> {
        watch.changed().unwrap().iter().map(|name| name.to_string()).collect()
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

    /// A channel whose creator has finished everything but the control page, and that page.
    fn half_made(channel: &str) -> (Namespace, BytesWriter, Words) {
        let heap = Heap::new();
        let namespace = Namespace::on_heap(&heap, "half-made").unwrap();
        let writer = namespace.writer_builder(channel).codec::<Bytes>().open().unwrap();
        let name = ChannelName::new("half-made", channel).unwrap();
        let page = heap.reopen(&name.objects.object(Kind::Control)).unwrap();
        page.store(control::READY, 0);
        (namespace, writer, page)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_channel_that_becomes_ready_later_is_named_while_a_thread_waits() {
        let (namespace, _writer, page) = half_made("worker");
        let mut watch = namespace.hub().watch("*");
        assert!(names(&mut watch).is_empty(), "its creator has not finished it");
        let begin = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(20));
                page.store_release(control::READY, layout::READY);
            });
            assert_eq!(watch.wait_any(LONG).unwrap().len(), 1);
        });
        assert!(begin.elapsed() < LONG / 2);
    }

    #[test]
    #[cfg(feature = "async")]
    fn a_stream_tries_a_channel_again_that_it_could_not_attach() {
        use futures_core::Stream;

        let (namespace, mut writer, page) = half_made("worker");
        writer.publish(&b"state".to_vec()).unwrap();
        let hub = namespace.hub_builder().codec::<Bytes>().open();
        let mut changes = hub.changes_of::<Vec<u8>>("*");
        let attempts = std::cell::Cell::new(0);
        let state = super::super::tests::streams::wait_for(std::future::poll_fn(|context| {
            attempts.set(attempts.get() + 1);
            if attempts.get() == 3 {
                page.store_release(control::READY, layout::READY);
            }
            std::pin::Pin::new(&mut changes).poll_next(context)
        }));
        assert_eq!(*state.unwrap().state.unwrap(), b"state");
        assert_eq!(attempts.get(), 3, "only the time woke it");
    }

    #[test]
    #[cfg(feature = "async")]
    fn a_channel_that_is_looked_at_again_is_named_again() {
        let (open, mut watch) = setting();
        let _writer = open();
        assert_eq!(names(&mut watch), ["worker"]);
        watch.look_again("worker");
        assert_eq!(names(&mut watch), ["worker"]);
        assert!(names(&mut watch).is_empty());
    }
}
