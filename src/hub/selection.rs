//! The channels that a pattern matches, kept ready to be read round after round.

use std::any::TypeId;
use std::marker::PhantomData;
use std::mem;
use std::sync::{Arc, Mutex};

use super::attached::{QueryError, Readers, with_scratch};
use super::query::{HubState, decoded, slow_receive};
use super::{Hub, Pattern};
use crate::accept::{Accept, SameType};
use crate::channel::SnapshotInfo;
use crate::codec::{Decode, Direct, MessagePack, Strategy};
use crate::registry::ChannelWatch;
use crate::seqlock::Destination;
use crate::snapshot::Snapshot;

/// The channels of a [`Hub`] that a [`Pattern`] matches, to be read round after round. Made by
/// [`Hub::select`].
///
/// A selection works out once which channels it has, and again when the list of the namespace's
/// channels changes. Like a [`Reader`](crate::Reader) it is read by one thread at a time; its
/// clones read the same channels, share their mappings, and never wait for each other.
///
/// ```
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct WorkerState { jobs_done: u64 }
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let fleet = tearless::Namespace::in_process("fleet")?;
/// # let mut writer = fleet.writer::<WorkerState>("worker-7")?;
/// # writer.publish(&WorkerState { jobs_done: 3 })?;
/// let mut workers = fleet.hub().select("worker-*");
/// // every 10 milliseconds:
/// let mut jobs_done = 0;
/// for worker in workers.iter::<WorkerState>()? {
///     match worker.state {
///         Ok(state) => jobs_done += state.jobs_done,
///         Err(error) => println!("{}: {error}", worker.channel),
///     }
/// }
/// # assert_eq!(jobs_done, 3);
/// # Ok(())
/// # }
/// ```
pub struct Selection<C = MessagePack, A = SameType> {
    hub: Hub<C, A>,
    pattern: Pattern,
    watch: ChannelWatch,
    /// Whether the watch has seen a change since the hub's listing was `listed`.
    is_outdated: bool,
    listed: Arc<[Arc<str>]>,
    /// [`Shared::listings`](super::attached::Shared::listings) at the last look.
    listings: u64,
    /// The names of the listing that the pattern matches.
    names: Vec<Arc<str>>,
    /// Where the readers are between rounds, so that the hub can let go of their channels.
    place: Arc<Mutex<Readers>>,
    number: u64,
}

impl<C, A> Selection<C, A> {
    pub(super) fn new(hub: Hub<C, A>, pattern: Pattern) -> Selection<C, A> {
        let handle = &hub.shared.handle;
        let watch = ChannelWatch::new(handle.backend().clone(), handle.namespace());
        let (number, place) = hub.shared.add_selection();
        let (listed, names) = (Arc::default(), Vec::new());
        Selection { hub, pattern, watch, is_outdated: true, listed, listings: 0, names, place, number }
    }

    /// The names of the channels, in alphabetical order, for example for a [`Hub::cut`].
    ///
    /// Cost: two loads and a read of the coarse clock; if the list of the namespace's channels has
    /// changed, as [`Hub::channels`].
    ///
    /// # Errors
    ///
    /// As [`Hub::channels`].
    pub fn channels(&mut self) -> Result<&[Arc<str>], QueryError> {
        let mut readers = take(&self.place);
        let followed = self.follow(&mut readers);
        put(&self.place, readers);
        followed.map(|()| &*self.names)
    }

    /// Follows the list of the namespace's channels.
    fn follow(&mut self, readers: &mut Readers) -> Result<(), QueryError> {
        let shared = &self.hub.shared;
        shared.follow_now_and_then();
        let listings = shared.listings();
        // The watch returns this once, and the listing may fail.
        self.is_outdated |= self.watch.changed().unwrap_or(true);
        self.is_outdated |= mem::replace(&mut self.listings, listings) != listings;
        if !self.is_outdated {
            return Ok(());
        }
        let (listed, is_current) = shared.listed()?;
        self.is_outdated = !is_current;
        if Arc::ptr_eq(&listed, &self.listed) {
            return Ok(());
        }
        let names: Vec<_> = listed.iter().filter(|name| self.pattern.matches(name)).cloned().collect();
        let mut known = self.names.iter().zip(mem::take(&mut readers.all)).peekable();
        let reader_of = |name: &Arc<str>| {
            while known.next_if(|(known, _)| *known < name).is_some() {}
            let mut reader = known.next_if(|(known, _)| *known == name)?.1;
            shared.release(&mut reader);
            reader
        };
        readers.all = names.iter().map(reader_of).collect();
        (self.listed, self.names) = (listed, names);
        Ok(())
    }
}

impl<C: 'static, A: 'static> Selection<C, A> {
    /// The latest states of all channels, in the order of their names. Each is read when the
    /// iterator gets there. If a state can't be read, the item has the error.
    ///
    /// Progress and cost: for each channel as [`Reader::snapshot`](crate::Reader::snapshot), once
    /// its first two publications have been read; for the round as [`Selection::channels`].
    ///
    /// # Errors
    ///
    /// As [`Hub::channels`].
    pub fn iter<T: 'static>(&mut self) -> Result<impl ExactSizeIterator<Item = HubState<T, &str>>, QueryError>
    where
        C: Decode<T>,
        A: Accept<T, C>,
    {
        let mut readers = take(&self.place);
        let followed = self.follow(&mut readers);
        let types = Some(TypeId::of::<(T, C, A)>());
        if mem::replace(&mut readers.types, types) != types {
            readers.all.clear();
        }
        readers.all.resize(self.names.len(), None);
        readers.read_at = self.hub.shared.counts.attachments();
        let place = &self.place;
        // Puts the readers back, also after an error.
        let round =
            Round { hub: &self.hub, names: &self.names, readers, next: 0, place, states: PhantomData };
        followed.map(|()| round)
    }
}

/// After how many channels a round follows a hub that lets go of channels.
const FOLLOWS_EVERY: usize = 64;

/// One round over a selection.
struct Round<'a, T, C, A> {
    hub: &'a Hub<C, A>,
    names: &'a [Arc<str>],
    readers: Readers,
    next: usize,
    place: &'a Mutex<Readers>,
    states: PhantomData<fn() -> T>,
}

impl<'a, T: 'static, C: Decode<T> + 'static, A: Accept<T, C> + 'static> Iterator for Round<'a, T, C, A> {
    type Item = HubState<T, &'a str>;

    #[inline]
    fn next(&mut self) -> Option<HubState<T, &'a str>> {
        let index = self.next;
        let channel = &**self.names.get(index)?;
        if index % FOLLOWS_EVERY == 0 {
            self.readers.follow(&self.hub.shared);
        }
        self.next += 1;
        Some(HubState { channel, state: self.read(index, channel) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.names.len() - self.next;
        (left, Some(left))
    }
}

impl<T: 'static, C: Decode<T> + 'static, A: Accept<T, C> + 'static> ExactSizeIterator for Round<'_, T, C, A> {}

impl<T: 'static, C: Decode<T> + 'static, A: Accept<T, C> + 'static> Round<'_, T, C, A> {
    #[inline]
    fn read(&mut self, index: usize, channel: &str) -> Result<Snapshot<T>, QueryError> {
        if let Strategy::Direct(direct) = C::strategy() {
            let mut state = direct.blank();
            let info = self.receive(index, channel, &mut direct.destination(&mut state))?;
            return Ok(Snapshot::new(state, info));
        }
        with_scratch(|scratch| {
            let info = self.receive(index, channel, &mut &mut *scratch)?;
            decoded::<C, T, T>(channel, info, C::decode(scratch))
        })
    }

    #[inline]
    fn receive(
        &mut self,
        index: usize,
        channel: &str,
        destination: &mut impl Destination,
    ) -> Result<SnapshotInfo, QueryError> {
        if let Some(reader) = &self.readers.all[index]
            && let Ok(info) = reader.try_fast(destination)
        {
            return Ok(info);
        }
        self.slow(index, channel, destination)
    }

    /// The same if the channel is not attached, or if the first attempt failed.
    #[cold]
    fn slow(
        &mut self,
        index: usize,
        channel: &str,
        destination: &mut impl Destination,
    ) -> Result<SnapshotInfo, QueryError> {
        // A replaced segment is unmapped when no reader has it.
        self.readers.all[index] = None;
        let round = Some(&mut self.readers);
        let (reader, accepted, info) =
            slow_receive::<T, C, A>(&self.hub.shared, channel, destination, round)?;
        self.readers.all[index] = accepted.plan().is_none().then_some(reader);
        Ok(info)
    }
}

impl<T, C, A> Drop for Round<'_, T, C, A> {
    fn drop(&mut self) {
        self.readers.follow(&self.hub.shared);
        put(self.place, mem::take(&mut self.readers));
    }
}

/// The readers that are in `place`. None if the hub has let go of them, or is about to.
fn take(place: &Mutex<Readers>) -> Readers {
    match place.try_lock() {
        Ok(mut readers) => mem::take(&mut *readers),
        Err(_) => Readers::default(),
    }
}

fn put(place: &Mutex<Readers>, readers: Readers) {
    if let Ok(mut place) = place.try_lock() {
        *place = readers;
    }
}

impl<C, A> Clone for Selection<C, A> {
    fn clone(&self) -> Self {
        Selection::new(self.hub.clone(), self.pattern.clone())
    }
}

impl<C, A> Drop for Selection<C, A> {
    fn drop(&mut self) {
        self.hub.shared.remove_selection(self.number);
    }
}

debug_by!(Selection<C, A>, |it| namespace: it.hub.shared.handle.namespace(), pattern: it.pattern);
