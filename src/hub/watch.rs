//! Waiting for a change of any of several workers.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::attached::{AT_ONCE, Names, Shared, has_name};
use super::report::QueryError;
use super::selection::Pattern;
use crate::channel::{ChannelReader, ControlPage, Progress};
use crate::layout::registry::waiters;
use crate::memory::ReadOnlyWords;
use crate::seqlock::ChannelState;
use crate::waiting::{AnyWaiter, Channels, Scope, Waited};

/// How long a channel that could not be attached waits for the next attempt. Nothing wakes a waiter
/// when its creator finishes it, or when the process may open one more file.
const RETRY: Duration = Duration::from_millis(100);

/// Finds out which of a hub's channels have changed. Made by [`Hub::watch`](super::Hub::watch).
pub struct HubWatch {
    waiter: AnyWaiter,
    watching: Watching,
}

/// The watched channels, and what was found out about them.
struct Watching {
    shared: Arc<Shared>,
    /// The channels that the watch is about.
    pattern: Pattern,
    /// The list of the registry that the following fields follow.
    names: Names,
    /// Whether the registry could be read at the last look.
    is_listed: bool,
    /// Matching channels that the hub could not attach to yet.
    unattached: Vec<Arc<str>>,
    /// By their groups, each in alphabetical order.
    watched: BTreeMap<usize, Vec<Watched>>,
    /// Whether the list is another one, or the hub has attached, since a waiter asked.
    are_others: bool,
    /// Channels that have changed or lost their names since a caller was told.
    changed: Vec<Arc<str>>,
    /// Why new channels could not be found at the last look.
    error: Option<QueryError>,
}

/// A watched channel, and its progress at the last look: what a look needs lies together.
#[derive(Clone)]
struct Watched {
    page: ControlPage<ReadOnlyWords>,
    /// `None` before the first look.
    seen: Option<Progress>,
    name: Arc<str>,
    reader: Box<ChannelReader>,
}

impl HubWatch {
    pub(super) fn new(shared: Arc<Shared>, pattern: Pattern) -> HubWatch {
        let waiter = AnyWaiter::new(shared.handle.waiter(shared.options.wait));
        let watching = Watching {
            shared,
            pattern,
            names: Arc::default(),
            is_listed: false,
            unattached: Vec::new(),
            watched: BTreeMap::new(),
            are_others: true,
            changed: Vec::new(),
            error: None,
        };
        HubWatch { waiter, watching }
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
        self.watching.follow();
        self.watching.compare(&Scope::All);
        self.watching.take_changes()
    }

    /// Waits until any of the channels has changed or a new one has come, at most for `timeout`.
    /// Returns the same as [`HubWatch::changed`]: nothing after the timeout.
    ///
    /// A writer may be stopped, killed or preempted between its publication and waking those that
    /// wait. If another channel's change ends the wait before that, a later call names that
    /// publication: at the latest the first call that begins after
    /// [`WaitPolicy::slice`](crate::options::WaitPolicy::slice), or that ends with nothing else.
    ///
    /// Without a channel to watch it waits for one, also in a namespace whose name is mistyped:
    /// [`Hub::get`](super::Hub::get) of a missing channel proposes similar namespaces. It spins for
    /// a moment and then sleeps, as [`Reader::wait_after`](crate::Reader::wait_after) does and with
    /// the same limits. One sleep is enough for any number of channels. A writer that publishes
    /// while a process waits makes two to four system calls for it.
    ///
    /// Cost: two loads for each watched channel at the first wait, after a change of the list, ten
    /// times a second, and at the timeout. Otherwise the writers say where to look: one channel in
    /// a thousand for each that was published on.
    ///
    /// # Errors
    ///
    /// As [`HubWatch::changed`], without waiting.
    pub fn wait_any(&mut self, timeout: Duration) -> Result<Vec<Arc<str>>, QueryError> {
        let begin = Instant::now();
        loop {
            self.watching.follow();
            let rest = timeout.saturating_sub(begin.elapsed());
            let longest = if self.watching.unattached.is_empty() { rest } else { rest.min(RETRY) };
            let waited = self.waiter.wait(&mut self.watching, longest);
            if waited == Waited::Newer || longest == rest {
                return self.watching.take_changes();
            }
        }
    }
}

impl Watching {
    /// Watches the channels that the registry lists now.
    fn follow(&mut self) {
        let listed = self.shared.names();
        self.is_listed = listed.is_ok();
        if let Ok(names) = &listed
            && !Arc::ptr_eq(names, &self.names)
        {
            for channels in self.watched.values_mut() {
                channels.retain(|Watched { name, reader, .. }| {
                    let has_lost_name = !reader.is_removed() && !has_name(reader, names);
                    self.changed.extend(has_lost_name.then(|| Arc::clone(name)));
                    !has_lost_name
                });
            }
            let matching = names.iter().map(|(name, _)| name).filter(|name| self.pattern.matches(name));
            self.unattached = matching.filter(|name| !self.is_watched(name)).cloned().collect();
            (self.names, self.are_others) = (Arc::clone(names), true);
        }
        // A channel that is being created, is gone again, or can't be opened is tried again the
        // next time.
        let mut unattached = mem::take(&mut self.unattached).into_iter();
        while let Some(name) = unattached.next() {
            match self.shared.reader(&name, AT_ONCE) {
                // It replaces a removed channel of the same name.
                Ok(reader) => {
                    let reader = Box::new(reader.without_segments());
                    let channels = self.watched.entry(waiters::group_of(&name)).or_default();
                    let place = find(channels, &name);
                    if let Ok(known) = place {
                        drop(channels.remove(known));
                    }
                    let (Ok(place) | Err(place)) = place;
                    channels.insert(place, Watched { page: reader.page().clone(), seen: None, name, reader });
                    self.are_others = true;
                }
                Err(error) => {
                    self.unattached.push(name);
                    if error.is_out_of_mappings() {
                        // What comes after it can't be mapped either.
                        self.unattached.extend(unattached.by_ref());
                    }
                }
            }
        }
        self.error = listed.err();
    }

    /// Whether the channel that has this name now is watched: those that lost theirs are not. The
    /// hub may have evicted it.
    fn is_watched(&self, name: &Arc<str>) -> bool {
        let channels = self.watched.get(&waiters::group_of(name)).map_or(&[][..], Vec::as_slice);
        find(channels, name).is_ok_and(|place| !channels[place].reader.is_removed())
    }

    /// Compares the progress of the channels of these groups with that at the last look.
    fn compare(&mut self, scope: &Scope) {
        let changed = &mut self.changed;
        let mut compare = |channels: &mut Vec<Watched>| {
            channels.retain_mut(|watched| {
                let now = watched.page.progress();
                if watched.seen.replace(now) != Some(now) {
                    changed.push(Arc::clone(&watched.name));
                }
                // Decided by the progress that was just seen: a later end is a change of the next
                // look.
                now.state != ChannelState::Removed
            });
        };
        match scope {
            Scope::All => self.watched.values_mut().for_each(compare),
            Scope::Groups(groups) => {
                groups.iter().for_each(|group| self.watched.get_mut(group).map_or((), &mut compare));
            }
        }
    }

    fn take_changes(&mut self) -> Result<Vec<Arc<str>>, QueryError> {
        let mut changed = mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        match self.error.take() {
            Some(error) if changed.is_empty() => Err(error),
            _ => Ok(changed),
        }
    }
}

impl Channels for Watching {
    fn look(&mut self, scope: &Scope) -> bool {
        let is_another_list = differ(&self.shared.names(), &self.names);
        if is_another_list {
            self.follow();
        }
        self.compare(if is_another_list { &Scope::All } else { scope });
        !self.changed.is_empty() || self.error.is_some()
    }

    fn each(&self, scope: &Scope, visit: &mut dyn FnMut(usize, &ChannelReader)) {
        let mut visit = |group: &usize, channels: &Vec<Watched>| {
            channels.iter().for_each(|watched| visit(*group, &watched.reader));
        };
        match scope {
            Scope::All => self.watched.iter().for_each(|(group, channels)| visit(group, channels)),
            Scope::Groups(groups) => groups
                .iter()
                .for_each(|group| self.watched.get(group).map_or((), |channels| visit(group, channels))),
        }
    }

    fn are_others(&mut self) -> bool {
        mem::take(&mut self.are_others)
    }
}

/// The place that a channel has among those of its group, or will have.
fn find(channels: &[Watched], name: &str) -> Result<usize, usize> {
    channels.binary_search_by(|watched| (*watched.name).cmp(name))
}

/// Whether the list of the registry is another one now, or can't be read.
fn differ(now: &Result<Names, QueryError>, known: &Names) -> bool {
    now.as_ref().map_or(true, |now| !Arc::ptr_eq(now, known))
}

#[cfg(feature = "async")]
impl Watched {
    fn has_changed(&self) -> bool {
        self.seen != Some(self.page.progress())
    }
}

#[cfg(feature = "async")]
impl HubWatch {
    /// What the watch is about, as text.
    pub(super) fn text(&self) -> Arc<str> {
        self.watching.pattern.to_string().into()
    }

    /// Whether the registry could be read at the last look.
    pub(super) fn is_listed(&self) -> bool {
        self.watching.is_listed
    }

    /// Forgets the last look at a channel: the next one finds it changed.
    pub(super) fn look_again(&mut self, channel: &str) {
        let group = self.watching.watched.get_mut(&waiters::group_of(channel));
        let mut channels = group.into_iter().flatten();
        if let Some(watched) = channels.find(|watched| *watched.name == *channel) {
            watched.seen = None;
        }
    }

    fn watched(&self) -> impl Iterator<Item = &Watched> {
        self.watching.watched.values().flatten()
    }

    pub(super) fn readers(&self) -> Vec<ChannelReader> {
        self.watched().map(|watched| ChannelReader::clone(&watched.reader)).collect()
    }

    /// Whether a watched channel or the list of channels has changed since the last look, or a
    /// channel waits for the next attempt to attach, as a function for the thread that sleeps.
    pub(super) fn change(&self, is_unlisted: bool) -> Arc<dyn Fn() -> bool + Send + Sync> {
        let Watching { shared, names, unattached, .. } = &self.watching;
        let (shared, names) = (Arc::clone(shared), Arc::clone(names));
        let watched: Vec<Watched> = self.watched().cloned().collect();
        let retries = is_unlisted || !unattached.is_empty();
        let retries_at = retries.then(|| Instant::now() + RETRY);
        Arc::new(move || {
            watched.iter().any(Watched::has_changed)
                || retries_at.is_some_and(|moment| Instant::now() >= moment)
                || (!is_unlisted && differ(&shared.names(), &names))
        })
    }
}

debug_by!(HubWatch<>, |it| pattern: it.watching.pattern);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::ChannelName;
    use crate::layout::{self, Kind, control};
    use crate::memory::{Memory, MemoryMut, Words};
    use crate::object::{Backend, Heap};
    use crate::options::WaitPolicy;
    use crate::registry::Registry;
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
    fn a_channel_that_the_hub_evicts_stays_watched_and_has_not_changed() {
        let namespace = Namespace::in_process("evicted").unwrap();
        let open = |channel| namespace.writer_builder(channel).codec::<Bytes>().open().unwrap();
        let mut first: BytesWriter = open("a");
        let mut watch = namespace.hub().watch("*");
        assert_eq!(names(&mut watch), ["a"]);
        let watching = &watch.watching;
        watching.watched.values().flatten().for_each(|watched| watching.shared.forget(&watched.reader));
        let _second: BytesWriter = open("b");
        assert_eq!(names(&mut watch), ["b"], "the list is another one");
        first.publish(&b"state".to_vec()).unwrap();
        assert_eq!(names(&mut watch), ["a"]);
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
    fn a_watch_announces_itself_once_in_each_group_until_it_is_answered() {
        let heap = Heap::new();
        let namespace = Namespace::on_heap(&heap, "announced").unwrap();
        let open = |channel| namespace.writer_builder(channel).codec::<Bytes>().open().unwrap();
        let mut writers: [BytesWriter; 2] = ["a", "b"].map(open);
        let page = Registry::of(&heap.shared(), "announced").waiters_page().unwrap().unwrap();
        let counts =
            || ["a", "b"].map(|channel| page.words.load(waiters::ANNOUNCED + waiters::group_of(channel)));
        let policy = WaitPolicy::default().spin(Duration::ZERO).slice(Duration::from_millis(1));
        let mut watch = namespace.hub_builder().wait_policy(policy).open().watch("*");
        assert_eq!(names(&mut watch), ["a", "b"]);
        let wait_until = |watch: &mut HubWatch, expected| {
            let mut waits = 0;
            while counts() != expected || waits < 3 {
                assert!(watch.wait_any(Duration::from_millis(5)).unwrap().is_empty());
                waits += 1;
                assert!(waits < 1_000 && counts() <= expected, "{:?}", counts());
            }
        };
        wait_until(&mut watch, [1, 1]);
        writers[0].publish(&b"state".to_vec()).unwrap();
        assert_eq!(watch.wait_any(LONG).unwrap().len(), 1);
        wait_until(&mut watch, [2, 1]);
    }

    /// The kernel may take the processor away from a writer that has just published.
    #[test]
    fn a_publication_whose_writer_has_woken_nobody_yet_is_named_at_the_timeout() {
        let heap = Heap::new();
        let namespace = Namespace::on_heap(&heap, "preempted").unwrap();
        let mut writer: BytesWriter = namespace.writer_builder("worker").codec::<Bytes>().open().unwrap();
        writer.publish(&b"state".to_vec()).unwrap();
        let policy = WaitPolicy::default().spin(Duration::ZERO).slice(LONG);
        let mut watch = namespace.hub_builder().wait_policy(policy).open().watch("*");
        assert_eq!(names(&mut watch), ["worker"]);
        let page = Registry::of(&heap.shared(), "preempted").waiters_page().unwrap().unwrap();
        while page.words.load(waiters::ANNOUNCED + waiters::group_of("worker")) == 0 {
            assert!(watch.wait_any(Duration::from_millis(5)).unwrap().is_empty());
        }
        let name = ChannelName::new("preempted", "worker").unwrap();
        let words = heap.reopen(&name.objects.object(Kind::Control)).unwrap();
        words.store(control::PUBLISHED, 2);
        assert_eq!(watch.wait_any(Duration::from_millis(1)).unwrap().len(), 1);
        words.store(control::PUBLISHED, 3);
        assert_eq!(watch.wait_any(Duration::ZERO).unwrap().len(), 1);
    }

    #[test]
    fn a_publication_whose_writer_has_woken_nobody_is_named_after_others() {
        let heap = Heap::new();
        let namespace = Namespace::on_heap(&heap, "stopped").unwrap();
        let open = |channel| namespace.writer_builder(channel).codec::<Bytes>().open().unwrap();
        let mut writers: [BytesWriter; 2] = ["a", "b"].map(open);
        writers.iter_mut().for_each(|writer| assert_eq!(writer.publish(&b"state".to_vec()).unwrap(), 1));
        let policy = WaitPolicy::default().spin(Duration::ZERO).slice(Duration::from_millis(50));
        let mut watch = namespace.hub_builder().wait_policy(policy).open().watch("*");
        assert_eq!(names(&mut watch), ["a", "b"]);
        assert!(watch.wait_any(Duration::from_millis(5)).unwrap().is_empty());
        let name = ChannelName::new("stopped", "a").unwrap();
        let words = heap.reopen(&name.objects.object(Kind::Control)).unwrap();
        words.store(control::PUBLISHED, 2);
        let mut named = Vec::new();
        let begin = Instant::now();
        while !named.contains(&"a".to_owned()) {
            assert!(begin.elapsed() < LONG, "{} changes of the other one", named.len());
            writers[1].publish(&b"other".to_vec()).unwrap();
            named.extend(watch.wait_any(LONG).unwrap().iter().map(|name| name.to_string()));
        }
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
