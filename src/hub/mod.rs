//! All channels of a namespace at a glance: for the main process, from any of its threads.

mod attached;
mod builder;
mod cut;
mod error;
mod pattern;
mod statistics;
mod status;
mod watch;

use std::any::TypeId;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

pub use crate::health::Health;
pub use builder::HubBuilder;
pub use cut::{Cut, CutState, CutTime, Skew};
pub use error::QueryError;
pub use pattern::Pattern;
pub use statistics::HubStatistics;
pub use status::Status;
pub use watch::HubWatch;

use crate::channel::{ChannelReader, SnapshotError, SnapshotInfo};
use crate::codec::{Decode, Direct, MessagePack, Strategy};
use crate::snapshot::Snapshot;
use attached::{Shared, with_scratch};

/// All channels of a namespace: attaches to them when they are asked for, and follows their growth, takeover, death and
/// removal by itself.
///
/// Made by [`Namespace::hub`](crate::Namespace::hub). All methods take `&self`; clones, and handles with another
/// [`codec`](Hub::with_codec), share what is attached. Threads read without a lock and without waiting for each other.
///
/// ```
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct WorkerState { jobs_done: u64 }
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let namespace = tearless::Namespace::open("fleet-of-a-hub")?;
/// # let mut writer = namespace.writer::<WorkerState>("worker-7")?;
/// # writer.publish(&WorkerState { jobs_done: 3 })?;
/// let hub = tearless::Namespace::open("fleet-of-a-hub")?.hub();
/// println!("{} jobs done", hub.get::<WorkerState>("worker-7")?.jobs_done);
/// for worker in hub.iter::<WorkerState>("worker-*") {
///     match worker.state {
///         Ok(state) => println!("{}: {} jobs done", worker.channel, state.jobs_done),
///         Err(error) => println!("{error}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Cost
///
/// [`Hub::get`] of an attached channel costs a look-up by name more than a [`Reader`](crate::Reader); the first one
/// attaches, which takes system calls. An attached channel costs three mappings and no descriptor. Each thread that reads
/// states that have to be decoded keeps a buffer of the size of the largest one that it met.
pub struct Hub<C = MessagePack> {
    shared: Arc<Shared>,
    codec: PhantomData<fn() -> C>,
}

/// What a [`Hub`] says of one channel.
#[derive(Debug)]
#[non_exhaustive]
pub struct HubState<T> {
    /// The channel's name.
    pub channel: Arc<str>,
    /// Its latest state, or why there is none.
    pub state: Result<Snapshot<T>, QueryError>,
}

impl<C> Hub<C> {
    /// A handle onto the same hub for states of another codec.
    #[must_use]
    pub fn with_codec<D>(&self) -> Hub<D> {
        Hub { shared: Arc::clone(&self.shared), codec: PhantomData }
    }

    /// The names of the namespace's channels that `pattern` matches, in alphabetical order: `*` stands for any
    /// characters, `?` for one. A namespace that does not exist yet has none.
    ///
    /// Cost: a short lock, and a listing of the registry if it has changed. If the registry can't be read, they are those
    /// that were known before: [`Namespace::channels`](crate::Namespace::channels) says why.
    #[must_use]
    pub fn channels(&self, pattern: &str) -> Vec<Arc<str>> {
        let (names, pattern) = (self.shared.names(), Pattern::new(pattern));
        names.iter().filter(|name| pattern.matches(name)).cloned().collect()
    }
}

impl<C: 'static> Hub<C> {
    /// A whole copy of the latest state of `channel`.
    ///
    /// A channel that was removed and made anew is attached to anew. Progress and cost: as
    /// [`Reader::snapshot`](crate::Reader::snapshot), and a look-up.
    ///
    /// # Errors
    ///
    /// [`QueryError`]; at once if there is no such channel, or nothing is published yet.
    #[inline]
    pub fn get<T: 'static>(&self, channel: &str) -> Result<Snapshot<T>, QueryError>
    where
        C: Decode<T>,
    {
        match self.try_fast_get(channel) {
            Some(answer) => answer.map_err(QueryError::from),
            None => self.slow_get(channel),
        }
    }

    /// The latest states of all channels that `pattern` matches, as [`Hub::channels`] lists them; each is read when the
    /// iterator gets there. A state that can't be had is an error in its place: of a channel that vanished meanwhile, of
    /// another type, or of one on which nothing is published yet.
    ///
    /// They are as of as many moments as they are: see [`Hub::cut`] for one moment.
    pub fn iter<T: 'static>(&self, pattern: &str) -> impl Iterator<Item = HubState<T>>
    where
        C: Decode<T>,
    {
        let hub = Hub { shared: Arc::clone(&self.shared), codec: self.codec };
        self.channels(pattern).into_iter().map(move |channel| {
            let state = hub.get(&channel);
            HubState { channel, state }
        })
    }

    /// The states of `channel` as an asynchronous stream, beginning with the one that is there: see
    /// [`Changes`](crate::Changes).
    ///
    /// # Errors
    ///
    /// [`QueryError::Attach`] if there is no such channel, or its states have another format.
    #[cfg(feature = "async")]
    pub fn changes<T: 'static>(&self, channel: &str) -> Result<crate::Changes<T, C>, QueryError>
    where
        C: Decode<T>,
    {
        let reader = self.shared.reader_of::<C, T>(channel)?;
        Ok(crate::Reader::new(reader, None, self.shared.handle.clone(), self.shared.wait).changes())
    }

    /// The usual course: the channel is attached, its states have this type, and the first attempt succeeds.
    #[inline]
    fn try_fast_get<T: 'static>(&self, channel: &str) -> Option<Result<Snapshot<T>, SnapshotError>>
    where
        C: Decode<T>,
    {
        let guard = self.shared.guard();
        let attached = self.shared.find(channel, &guard)?;
        if !attached.holds::<C, T>() {
            return None;
        }
        let reader = attached.reader();
        if let Strategy::Direct(direct) = C::strategy() {
            let mut state = direct.blank();
            let info = reader.try_fast(&mut direct.destination(&mut state)).ok()?;
            return Some(Ok(Snapshot::new(state, info)));
        }
        with_scratch(|scratch| {
            let info = reader.try_fast(&mut &mut *scratch).ok()?;
            Some(decoded::<C, T>(reader, scratch, info))
        })
    }

    /// Anything else: attaching, another try, mapping a segment, an error.
    #[cold]
    fn slow_get<T: 'static>(&self, channel: &str) -> Result<Snapshot<T>, QueryError>
    where
        C: Decode<T>,
    {
        let reader = &mut self.shared.reader_of::<C, T>(channel)?;
        let before = reader.statistics();
        let answer = with_scratch(|scratch| {
            let info = reader.snapshot(&mut &mut *scratch)?;
            decoded::<C, T>(reader, scratch, info)
        });
        self.shared.counts.slow_query(reader.statistics().diff(&before));
        self.shared.keep(reader, Some(TypeId::of::<(C, T)>()));
        Ok(answer?)
    }
}

/// The state for a payload that was received.
fn decoded<C: Decode<T>, T>(
    reader: &ChannelReader,
    payload: &[u8],
    info: SnapshotInfo,
) -> Result<Snapshot<T>, SnapshotError> {
    match C::decode(payload) {
        Ok(state) => Ok(Snapshot::new(state, info)),
        Err(source) => Err(reader.undecodable(info.publication(), C::NAME, source)),
    }
}

impl<C> Clone for Hub<C> {
    fn clone(&self) -> Self {
        self.with_codec()
    }
}

impl<C> fmt::Debug for Hub<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Hub")
            .field("namespace", &self.shared.handle.namespace())
            .finish_non_exhaustive()
    }
}
