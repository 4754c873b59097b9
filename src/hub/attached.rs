//! The channels that a hub has attached to, for all its threads.

use std::any::TypeId;
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use papaya::{Guard, LocalGuard};

use super::QueryError;
use super::statistics::Counts;
use crate::channel::{AttachError, ChannelName, ChannelReader, Format, ReaderOptions};
use crate::codec::Decode;
use crate::health::Thresholds;
use crate::registry::{self, ChannelWatch};
use crate::waiting::{NamespaceHandle, WaitPolicy};

type Channels = papaya::HashMap<Arc<str>, Attached, foldhash::fast::RandomState>;

/// The schemas that were named, by the type whose they are.
pub(super) type Schemas = HashMap<TypeId, String>;

/// What the handles of a hub share.
pub(super) struct Shared {
    pub(super) handle: NamespaceHandle,
    options: ReaderOptions,
    pub(super) wait: WaitPolicy,
    pub(super) thresholds: Thresholds,
    type_names: Schemas,
    pub(super) counts: Counts,
    /// Read without a lock. What is found to have changed is replaced whole, and freed when no thread looks at it.
    channels: Channels,
    listing: Mutex<Listing>,
}

/// The registry, as it was last listed.
struct Listing {
    watch: ChannelWatch,
    names: Arc<[Arc<str>]>,
    state: ListState,
}

/// What `Listing::names` is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ListState {
    /// It is of when the watch has looked last.
    Listed,
    /// The watch has noticed a change, and the registry could not be listed since.
    Outdated,
}

/// A channel that is attached to, as of some moment: never changed, but replaced.
pub(super) struct Attached {
    reader: ChannelReader,
    /// Codec and type that the channel's form was compared with, and found to be the same.
    types: Option<TypeId>,
}

impl Attached {
    /// Whether the states are known to be of type `T`, encoded by `C`.
    #[inline]
    pub(super) fn holds<C: 'static, T: 'static>(&self) -> bool {
        self.types == Some(TypeId::of::<(C, T)>())
    }

    #[inline]
    pub(super) fn reader(&self) -> &ChannelReader {
        &self.reader
    }
}

impl Shared {
    pub(super) fn new(
        handle: NamespaceHandle,
        options: ReaderOptions,
        wait: WaitPolicy,
        thresholds: Thresholds,
        type_names: Schemas,
    ) -> Shared {
        let watch = ChannelWatch::new(handle.backend().clone(), handle.namespace());
        let listing = Mutex::new(Listing { watch, names: Arc::default(), state: ListState::Outdated });
        let channels = Channels::default();
        Shared { handle, options, wait, thresholds, type_names, counts: Counts::default(), channels, listing }
    }

    /// For as long as it lives, nothing that was found is freed.
    #[inline]
    pub(super) fn guard(&self) -> LocalGuard<'_> {
        self.channels.guard()
    }

    /// The channel of this name, if it is attached to.
    #[inline]
    pub(super) fn find<'g>(&self, channel: &str, guard: &'g impl Guard) -> Option<&'g Attached> {
        self.channels.get(channel, guard)
    }

    /// A reader of one's own; attaches if need be, also to what has the name of a removed channel by now.
    pub(super) fn reader(&self, channel: &str) -> Result<ChannelReader, QueryError> {
        let reader = self.reader_or_removed(channel)?;
        if reader.is_removed() { Err(reader.closed().into()) } else { Ok(reader) }
    }

    /// The same, of a channel whose states are of type `T`, encoded by `C`.
    pub(super) fn reader_of<C: Decode<T> + 'static, T: 'static>(
        &self,
        channel: &str,
    ) -> Result<ChannelReader, QueryError> {
        let reader = self.reader(channel)?;
        let guard = self.guard();
        let known = self.find(channel, &guard).filter(|known| known.reader.instance() == reader.instance());
        if !known.is_some_and(Attached::holds::<C, T>) {
            let type_name = self.type_names.get(&TypeId::of::<T>()).cloned().unwrap_or_else(C::type_name);
            reader.has_format(&Format::new(C::NAME, &type_name))?;
        }
        Ok(reader)
    }

    /// The same, or of a channel that was removed.
    pub(super) fn reader_or_removed(&self, channel: &str) -> Result<ChannelReader, AttachError> {
        let found = self.find(channel, &self.guard()).map(|attached| attached.reader.clone());
        match found {
            Some(removed) if removed.is_removed() => Ok(self.successor_of(&removed)?.unwrap_or(removed)),
            Some(reader) => Ok(reader),
            None => self.attach(channel),
        }
    }

    fn attach(&self, channel: &str) -> Result<ChannelReader, AttachError> {
        let name = ChannelName::new(self.handle.namespace(), channel)?;
        let reader = crate::channel::attach(self.handle.backend(), &name, &self.options)?;
        self.counts.attached();
        self.keep(&reader, None);
        Ok(reader)
    }

    /// A reader of the channel that has the name of a removed one, if there is any.
    fn successor_of(&self, removed: &ChannelReader) -> Result<Option<ChannelReader>, AttachError> {
        self.forget(removed);
        match self.attach(removed.channel()) {
            Ok(successor) => Ok(Some(successor)),
            Err(AttachError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps what a reader has found, and codec and type that its states were found to have, for the next one. That of
    /// two threads which comes last wins: what is outdated is found to be so by the next reader.
    pub(super) fn keep(&self, reader: &ChannelReader, types: Option<TypeId>) {
        if reader.is_removed() {
            return;
        }
        let guard = self.guard();
        let same = |known: &&Attached| known.reader.instance() == reader.instance();
        let known = self.find(reader.channel(), &guard).filter(same);
        let types = types.or(known.and_then(|known| known.types));
        let is_known = known.is_some_and(|known| known.reader.maps_as(reader) && known.types == types);
        if !is_known {
            self.channels.insert(
                Arc::clone(reader.name()),
                Attached { reader: reader.clone(), types },
                &guard,
            );
            // What is replaced has segments mapped that may be large: it is not collected with others to be freed.
            guard.flush();
        }
    }

    fn forget(&self, removed: &ChannelReader) {
        let same = |_: &Arc<str>, found: &Attached| found.reader.instance() == removed.instance();
        let guard = self.guard();
        let _ = self.channels.remove_if(removed.channel(), same, &guard);
        guard.flush();
    }

    /// The names of the namespace's channels, sorted.
    pub(super) fn names(&self) -> Arc<[Arc<str>]> {
        // A panic while it is held leaves an old list.
        let mut listing = self.listing.lock().unwrap_or_else(PoisonError::into_inner);
        if listing.watch.changed().unwrap_or(true) {
            // The watch says so once; the listing may fail.
            listing.state = ListState::Outdated;
        }
        if listing.state == ListState::Outdated
            && let Ok(infos) = registry::list(self.handle.backend(), self.handle.namespace())
        {
            let instances: HashMap<&str, u64> =
                infos.iter().map(|info| (info.name.as_str(), info.instance)).collect();
            // Nor what has another one's name by now, because somebody removed its own by hand.
            let stays = |found: &ChannelReader| {
                let entered = instances.get(found.channel());
                !found.is_removed() && entered.is_none_or(|entered| *entered == found.instance())
            };
            let guard = self.guard();
            self.channels.retain(|_, attached| stays(&attached.reader), &guard);
            guard.flush();
            let mut names: Vec<Arc<str>> = infos.iter().map(|info| info.name.as_str().into()).collect();
            names.sort_unstable();
            names.dedup();
            (listing.names, listing.state) = (names.into(), ListState::Listed);
        }
        Arc::clone(&listing.names)
    }
}

/// Lends `work` a buffer of this thread's, which keeps its memory from call to call.
#[inline]
pub(super) fn with_scratch<R>(work: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    thread_local! {
        static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }
    // Taken, and put back: a codec may call the hub again.
    let mut scratch = SCRATCH.take();
    let result = work(&mut scratch);
    SCRATCH.set(scratch);
    result
}
