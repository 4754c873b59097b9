//! The channels that a hub has attached to, shared by all its threads, and what that costs.

use std::any::TypeId;
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError, Weak};
use std::thread;
use std::time::Duration;

use crossbeam_utils::CachePadded;
use papaya::{Guard, LocalGuard, Operation};

use super::report::{Counts, HubStatistics, QueryError};
use crate::accept::{Accept, Candidate, FieldPlan};
use crate::catalog;
use crate::channel::{
    AttachError, AttachPolicy, ChannelName, ChannelReader, Format, KnownChannels, ReaderOptions,
};
use crate::clock::Timer;
use crate::codec::Decode;
use crate::health::Thresholds;
use crate::object;
use crate::registry::{ChannelWatch, Registry};
use crate::waiting::{NamespaceHandle, WaitPolicy};

type Channels = papaya::HashMap<Arc<str>, Attached, foldhash::fast::RandomState>;

/// The channels that a listing found: name and instance, sorted.
pub(super) type Names = Arc<[(Arc<str>, u64)]>;

/// Whether a channel that is not removed still had its name at a listing. One that has its name and
/// no entry in the registry can be read all the same.
pub(super) fn has_name(reader: &ChannelReader, listed: &[(Arc<str>, u64)]) -> bool {
    match listed.binary_search_by(|(name, _)| (**name).cmp(reader.channel())) {
        Ok(place) => listed[place].1 == reader.instance(),
        Err(_) => !matches!(reader.is_named(), Ok(false)),
    }
}

/// The part of the attached channels that a hub evicts at a time: an eighth.
const EVICTED: usize = 8;

/// How often a query that lacks mappings is repeated. A hundred evictions leave nothing of 60,000
/// channels.
const MAX_REPETITIONS: u32 = 256;

/// How often it waits a millisecond for what the hub has evicted. An entry may stay until a thread
/// that has ended would have freed it.
const MAX_PAUSES: u32 = 20;

/// The options of a hub.
pub(super) struct Options {
    pub(super) reading: ReaderOptions,
    pub(super) wait: WaitPolicy,
    pub(super) thresholds: Thresholds,
    /// The type names that the caller has chosen.
    pub(super) type_names: HashMap<TypeId, String>,
}

/// Attaching without waiting.
pub(super) const AT_ONCE: AttachPolicy = AttachPolicy { missing: Duration::ZERO, not_ready: Duration::ZERO };

/// The part of a hub that its handles share.
pub(super) struct Shared {
    pub(super) handle: NamespaceHandle,
    pub(super) options: Options,
    pub(super) counts: CachePadded<Counts>,
    /// Read without a lock. A changed channel gets a new entry; the old one is freed when no thread
    /// reads it.
    channels: Channels,
    listing: Mutex<Listing>,
    /// When the listing's watch checks names: what has lost its name can't say so.
    check: Arc<Timer>,
    /// Where selections keep their readers between rounds.
    selections: papaya::HashMap<u64, Weak<Mutex<Readers>>>,
    /// Shared by all entries, also those that are no longer in the map and not freed yet.
    entries: Arc<()>,
    /// Held by the thread that evicts channels.
    evicting: Mutex<()>,
    /// How often the listing was made.
    listings: AtomicU64,
}

/// The names of the registry as of the last listing.
struct Listing {
    watch: ChannelWatch,
    /// `None` before the first listing.
    names: Option<Names>,
    /// Whether the watch has seen a change since then.
    is_outdated: bool,
    /// What [`catalog::similar_namespaces`] last returned, and when to ask again.
    others: Option<Vec<String>>,
    list_others: Timer,
}

/// An attached channel as of some moment. It is never changed, only replaced.
pub(super) struct Attached {
    reader: ChannelReader,
    accepted: Option<Accepted>,
    /// The hub's [`Shared::entries`].
    entry: Arc<()>,
    /// The hub's [`Counts::attachments`] when it was last read.
    read_at: AtomicU64,
}

/// The last query that accepted the channel.
#[derive(Clone)]
pub(super) struct Accepted {
    /// Its type, codec and choice ([`accept`](crate::accept)).
    types: TypeId,
    plan: Option<Arc<FieldPlan>>,
}

impl Accepted {
    /// How fields are copied, if not as they are in the payload.
    pub(super) fn plan(&self) -> Option<&FieldPlan> {
        self.plan.as_deref()
    }
}

impl Attached {
    /// Whether a query of `types` accepts the channel, and copies the payloads as they are.
    #[inline]
    pub(super) fn holds(&self, types: TypeId) -> bool {
        matches!(&self.accepted, Some(Accepted { types: own, plan: None }) if *own == types)
    }

    /// The same channel with its first segments only.
    fn without_segments(&self) -> Attached {
        Attached {
            reader: self.reader.clone().without_segments(),
            accepted: self.accepted.clone(),
            entry: Arc::clone(&self.entry),
            read_at: self.read_at.load(Ordering::Relaxed).into(),
        }
    }

    /// The channel's reader; notes that it is used when the hub has made that many attachments.
    #[inline]
    pub(super) fn reader_at(&self, attachments: u64) -> &ChannelReader {
        // Relaxed: it orders nothing. Threads store to their common line only after an attachment.
        if self.read_at.load(Ordering::Relaxed) < attachments {
            self.read_at.fetch_max(attachments, Ordering::Relaxed);
        }
        &self.reader
    }
}

/// The readers of a selection. They share mappings with the hub's.
#[derive(Default)]
pub(super) struct Readers {
    /// In the order of the selection's channels; `None` for one that has to be looked up.
    pub(super) all: Vec<Option<ChannelReader>>,
    /// Type, codec and choice that accept the channels.
    pub(super) types: Option<TypeId>,
    /// As [`Attached::read_at`].
    pub(super) read_at: u64,
}

impl Shared {
    pub(super) fn new(handle: NamespaceHandle, options: Options) -> Shared {
        let watch = ChannelWatch::new(handle.backend().clone(), handle.namespace());
        let check = Arc::clone(watch.check());
        let list_others = Timer::new(Duration::from_secs(1));
        let listing = Listing { watch, names: None, is_outdated: true, others: None, list_others };
        Shared {
            handle,
            options,
            counts: CachePadded::default(),
            channels: Channels::default(),
            listing: Mutex::new(listing),
            check,
            selections: papaya::HashMap::default(),
            entries: Arc::default(),
            evicting: Mutex::default(),
            listings: AtomicU64::new(0),
        }
    }

    /// Lets go, four times a second at most, of channels that lost their names. Waits for no
    /// thread: one that lists at this moment does the same.
    #[inline]
    pub(super) fn follow_now_and_then(&self) {
        if self.check.has_expired() {
            self.follow();
        }
    }

    #[cold]
    fn follow(&self) {
        // A panic under this lock leaves an old list.
        self.listing.clear_poison();
        if let Ok(mut listing) = self.listing.try_lock() {
            // The query still has the channels that are known.
            let _ = self.update(&mut listing);
        }
    }

    /// While the guard lives, no entry that was found with it is freed.
    #[inline]
    pub(super) fn guard(&self) -> LocalGuard<'_> {
        self.channels.guard()
    }

    /// The channel of this name, if it is attached.
    #[inline]
    pub(super) fn find<'g>(&self, channel: &str, guard: &'g impl Guard) -> Option<&'g Attached> {
        self.channels.get(channel, guard)
    }

    /// The instance of the channel that is attached under this name.
    pub(super) fn instance(&self, channel: &str) -> Option<u64> {
        self.find(channel, &self.guard()).map(|attached| attached.reader.instance())
    }

    /// A reader for the caller. Attaches if the channel is not attached, or was removed and created
    /// again.
    pub(super) fn reader(&self, channel: &str, policy: AttachPolicy) -> Result<ChannelReader, QueryError> {
        let reader = self.attached(channel, policy)?;
        if reader.is_removed() { Err(reader.closed().into()) } else { Ok(reader) }
    }

    /// [`Shared::reader`] of a channel that `A` accepts for states of type `T`, encoded by `C`.
    pub(super) fn reader_of<T: 'static, C: Decode<T> + 'static, A: Accept<T, C> + 'static>(
        &self,
        channel: &str,
        round: Option<&mut Readers>,
    ) -> Result<(ChannelReader, Accepted), QueryError> {
        let types = TypeId::of::<(T, C, A)>();
        let (reader, is_new) = self.find_or_attach(channel, self.options.reading.attach, round)?;
        if reader.is_removed() {
            return Err(reader.closed().into());
        }
        let guard = self.guard();
        let known = self.find(channel, &guard).filter(|known| known.reader.instance() == reader.instance());
        let accepted = known.and_then(|known| known.accepted.clone());
        if let Some(accepted) = accepted.filter(|accepted| accepted.types == types) {
            return Ok((reader, accepted));
        }
        let type_name = self.options.type_names.get(&TypeId::of::<T>()).cloned().unwrap_or_else(C::type_name);
        let checked = A::check(&Candidate::new(&reader, &Format::new(C::NAME, &type_name)));
        let accepted = checked.map(|plan| Accepted { types, plan: plan.map(Arc::new) });
        if is_new {
            self.insert(&reader, accepted.as_ref().ok().cloned(), &guard);
        }
        Ok((reader, accepted?))
    }

    /// [`Shared::reader`]; the channel may be a removed one.
    pub(super) fn attached(&self, channel: &str, policy: AttachPolicy) -> Result<ChannelReader, QueryError> {
        let (reader, is_new) = self.find_or_attach(channel, policy, None)?;
        if is_new {
            self.insert(&reader, None, &self.guard());
        }
        Ok(reader)
    }

    /// The same. If it attaches, the caller inserts the reader.
    fn find_or_attach(
        &self,
        channel: &str,
        policy: AttachPolicy,
        round: Option<&mut Readers>,
    ) -> Result<(ChannelReader, bool), QueryError> {
        self.follow_now_and_then();
        let now = self.counts.attachments();
        let found = self.find(channel, &self.guard()).map(|attached| attached.reader_at(now).clone());
        let Some(reader) = found else { return Ok((self.attach(channel, policy, round)?, true)) };
        if !reader.is_removed() {
            return Ok((reader, false));
        }
        self.forget(&reader);
        match self.attach(channel, policy, round) {
            Err(QueryError::Attach(AttachError::NotFound { .. })) => Ok((reader, false)),
            successor => successor.map(|successor| (successor, true)),
        }
    }

    fn attach(
        &self,
        channel: &str,
        policy: AttachPolicy,
        mut round: Option<&mut Readers>,
    ) -> Result<ChannelReader, QueryError> {
        let name = ChannelName::new(self.handle.namespace(), channel).map_err(AttachError::from)?;
        let options = ReaderOptions { attach: policy, ..self.options.reading };
        if object::mappings_are_scarce() {
            self.evict(round.as_deref_mut());
        }
        let attach = |_: Option<&mut Readers>| {
            crate::channel::attach(self.handle.backend(), &name, &options).map_err(QueryError::from)
        };
        let mut attached = self.with_room(round, |attached| attached.as_ref().err(), attach);
        // Waits for no thread: one that lists at this moment leaves the error without. A large
        // namespace is not listed for an error that would compare no names, and the other
        // namespaces are listed once a second at most.
        if let Err(QueryError::Attach(AttachError::NotFound { known, .. })) = &mut attached
            && let Ok(mut listing) = self.listing.try_lock()
            && listing.names.as_ref().is_none_or(|names| names.len() <= KnownChannels::MAX_COMPARED)
        {
            known.0 = self.update(&mut listing).unwrap_or_default();
            if known.0.is_empty() && (listing.others.is_none() || listing.list_others.is_due()) {
                let (backend, namespace) = (self.handle.backend(), self.handle.namespace());
                listing.others = catalog::similar_namespaces(backend, namespace);
            }
            known.1 = listing.others.clone().filter(|_| known.0.is_empty());
        }
        let reader = attached?;
        self.counts.add(HubStatistics { attachments: 1, ..HubStatistics::default() });
        Ok(reader)
    }

    /// Keeps a reader with its mappings, and the query that accepted it, for the next query. If two
    /// threads do so, the last one wins: the next query finds out whether an entry is outdated. An
    /// entry of another instance stays: the reader's channel has lost its name.
    pub(super) fn keep(&self, reader: &ChannelReader, accepted: Option<Accepted>) {
        let guard = self.guard();
        let Some(known) = self.find(reader.channel(), &guard) else { return };
        if reader.is_removed() || known.reader.instance() != reader.instance() {
            return;
        }
        let accepted = accepted.or_else(|| known.accepted.clone());
        let types = |accepted: &Option<Accepted>| accepted.as_ref().map(|accepted| accepted.types);
        if !known.reader.maps_as(reader) || types(&known.accepted) != types(&accepted) {
            self.insert(reader, accepted, &guard);
        }
    }

    fn insert(&self, reader: &ChannelReader, accepted: Option<Accepted>, guard: &LocalGuard<'_>) {
        let read_at = AtomicU64::new(self.counts.attachments());
        let attached =
            Attached { reader: reader.clone(), accepted, entry: Arc::clone(&self.entries), read_at };
        if self.channels.insert(Arc::clone(reader.name()), attached, guard).is_some() {
            // The replaced entry may map large segments: it is freed now and not in a batch. That
            // takes a barrier in all threads.
            guard.flush();
        }
    }

    pub(super) fn forget(&self, removed: &ChannelReader) {
        let same = |_: &Arc<str>, found: &Attached| found.reader.instance() == removed.instance();
        let guard = self.guard();
        let _ = self.channels.remove_if(removed.channel(), same, &guard);
        guard.flush();
    }

    /// Drops a selection's reader unless the hub has attached its channel.
    pub(super) fn release(&self, reader: &mut Option<ChannelReader>) {
        reader.take_if(|reader| self.instance(reader.channel()) != Some(reader.instance()));
    }

    /// A place for the readers of a selection, and its number.
    pub(super) fn add_selection(&self) -> (u64, Arc<Mutex<Readers>>) {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let (number, place) = (NEXT.fetch_add(1, Ordering::Relaxed), Arc::default());
        self.selections.pin().insert(number, Arc::downgrade(&place));
        (number, place)
    }

    pub(super) fn remove_selection(&self, number: u64) {
        self.selections.pin().remove(&number);
    }

    /// Does `work`. If it fails at a limit on mappings, the hub evicts channels and does it again,
    /// until there is nothing left to evict, and what it has evicted is unmapped. `round` has the
    /// readers of the selection that this thread reads.
    pub(super) fn with_room<R>(
        &self,
        mut round: Option<&mut Readers>,
        error: fn(&R) -> Option<&QueryError>,
        mut work: impl FnMut(Option<&mut Readers>) -> R,
    ) -> R {
        let mut pauses = 0;
        for _ in 0..MAX_REPETITIONS {
            let result = work(round.as_deref_mut());
            if !error(&result).is_some_and(QueryError::is_out_of_mappings) {
                return result;
            }
            if !self.evict(round.as_deref_mut()) {
                if pauses == MAX_PAUSES || Arc::strong_count(&self.entries) - 1 <= self.channels.len() {
                    return result;
                }
                pauses += 1;
                // A thread that was preempted while it read an evicted channel still has it.
                thread::sleep(Duration::from_millis(1));
            }
        }
        work(round)
    }

    /// Lets go of an eighth of the channels: those that were not read for longest. Of one that a
    /// watch, a cut or another thread's round has, only the segments that the channel has grown by
    /// can be unmapped: these come last. Returns whether there was any, or another thread did the
    /// same.
    #[cold]
    fn evict(&self, round: Option<&mut Readers>) -> bool {
        let _only_one = match self.evicting.try_lock() {
            Err(TryLockError::WouldBlock) => {
                drop(self.evicting.lock());
                return true;
            }
            lock => lock,
        };
        let guard = self.guard();
        let mut has_evicted = false;
        let mut take_back = |readers: &mut Readers, read_at| {
            for reader in readers.all.iter_mut().filter_map(Option::take) {
                has_evicted = true;
                if let Some(attached) = self.find(reader.channel(), &guard) {
                    attached.reader_at(read_at);
                }
            }
        };
        for place in self.selections.pin().values().filter_map(Weak::upgrade) {
            // There are none of a round that is open.
            if let Ok(mut readers) = place.try_lock() {
                let read_at = readers.read_at;
                take_back(&mut readers, read_at);
            }
        }
        if let Some(readers) = round {
            take_back(readers, self.counts.attachments());
        }
        let all = self.channels.iter(&guard);
        let evictable =
            all.filter(|(_, attached)| !attached.reader.is_shared() || attached.reader.has_grown());
        let read_at = |attached: &Attached| attached.read_at.load(Ordering::Relaxed);
        let mut oldest: Vec<_> = evictable
            .map(|(name, attached)| (attached.reader.is_shared(), read_at(attached), name))
            .collect();
        let many = oldest.len().div_ceil(EVICTED);
        if many > 0 {
            oldest.select_nth_unstable(many - 1);
        }
        for (.., name) in &oldest[..many] {
            let evict = |found: Option<(_, &Attached)>| match found {
                None => Operation::Abort(()),
                Some((_, attached)) if attached.reader.is_shared() => {
                    Operation::Insert(attached.without_segments())
                }
                Some(_) => Operation::Remove,
            };
            self.channels.compute(Arc::clone(name), evict, &guard);
        }
        guard.flush();
        has_evicted | (many > 0)
    }

    /// The names of the namespace's channels, sorted. While this process lacks descriptors or
    /// memory, those of the last listing.
    pub(super) fn names(&self) -> Result<Names, QueryError> {
        self.listed().map(|(names, _)| names)
    }

    /// How often the names were listed. What loses its name by hand is noticed by one listing only.
    pub(super) fn listings(&self) -> u64 {
        self.listings.load(Ordering::Relaxed)
    }

    /// The same, and whether they are those of now.
    pub(super) fn listed(&self) -> Result<(Names, bool), QueryError> {
        // A panic under this lock leaves an old list.
        let mut listing = self.listing.lock().unwrap_or_else(PoisonError::into_inner);
        self.update(&mut listing).map(|names| (names, !listing.is_outdated))
    }

    fn update(&self, listing: &mut Listing) -> Result<Names, QueryError> {
        if listing.watch.changed().unwrap_or(true) {
            // The watch returns this once, and the listing may fail.
            listing.is_outdated = true;
        }
        if listing.is_outdated {
            let listed = Registry::of(self.handle.backend(), self.handle.namespace()).list();
            let infos = match (listed, &listing.names) {
                (Ok(infos), _) => infos,
                (Err(source), Some(names)) if source.may_pass() => return Ok(Arc::clone(names)),
                (Err(source), _) => {
                    let namespace = self.handle.namespace().into();
                    return Err(QueryError::List { namespace, source });
                }
            };
            let mut names: Vec<_> =
                infos.into_iter().map(|info| (Arc::from(info.name), info.instance)).collect();
            names.sort_unstable();
            // A channel that has lost its name lost it to a removal by hand.
            let stays = |found: &ChannelReader| !found.is_removed() && has_name(found, &names);
            let guard = self.guard();
            self.channels.retain(|_, attached| stays(&attached.reader), &guard);
            guard.flush();
            (listing.names, listing.is_outdated) = (Some(names.into()), false);
            self.listings.fetch_add(1, Ordering::Relaxed);
        }
        Ok(listing.names.clone().unwrap_or_default())
    }
}

/// Lends `work` a buffer of this thread, which keeps its memory between calls.
#[inline]
pub(super) fn with_scratch<R>(work: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    thread_local! {
        static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }
    // Taken and put back: a codec may call the hub.
    let mut scratch = SCRATCH.take();
    let result = work(&mut scratch);
    SCRATCH.set(scratch);
    result
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use crate::{Namespace, Pod, options::RetryPolicy};

    #[test]
    fn what_is_beside_the_usual_course_is_counted_and_the_usual_is_not() {
        let namespace = Namespace::in_process("counted").unwrap();
        let retry = RetryPolicy::default().attempts(1).deadline(Duration::ZERO);
        let hub = namespace.hub_builder().codec::<Pod>().retry_policy(retry).open();
        let mut writer = namespace.writer_builder::<u64>("worker").codec::<Pod>().open().unwrap();
        assert!(hub.get::<u64>("worker").unwrap_err().is_empty());
        let empty = hub.statistics();
        assert_eq!((empty.attachments, empty.slow_queries, empty.remaps), (1, 1, 0));
        for number in 0..10 {
            writer.publish(&number).unwrap();
            assert_eq!(*hub.get::<u64>("worker").unwrap(), number);
        }
        let later = hub.statistics().diff(&empty);
        // The first segments came with the channel.
        assert_eq!((later.attachments, later.slow_queries, later.remaps, later.give_ups), (0, 0, 0, 0));
        assert_eq!(hub.clone().statistics(), hub.statistics(), "handles share it");
        assert!(hub.statistics().to_string().contains("1 attachments"));
    }

    #[test]
    fn a_hub_follows_also_after_a_panic_while_it_listed() {
        let hub = Namespace::in_process("poisoned").unwrap().hub();
        let shared = Arc::clone(&hub.shared);
        let listing = std::thread::spawn(move || {
            let _held = shared.listing.lock().unwrap();
            panic!("as in a listing");
        });
        assert!(listing.join().is_err());
        hub.shared.follow();
        assert!(hub.shared.listing.lock().unwrap().names.is_some());
    }
}
