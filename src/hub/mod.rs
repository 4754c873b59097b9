//! All channels of a namespace, for the main process and for all of its threads.

mod attached;
#[cfg(feature = "async")]
mod changes;
mod cut;
mod query;
mod report;
mod selection;
#[cfg(test)]
mod tests;
mod watch;

use std::any::TypeId;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

pub use crate::health::Health;
#[cfg(feature = "async")]
pub use changes::HubChanges;
pub use cut::{Cut, CutState, CutTime, Skew};
pub use query::HubState;
pub use report::{HubStatistics, QueryError, Status};
pub use selection::{Pattern, Selection};
pub use watch::HubWatch;

#[cfg(feature = "async")]
use crate::accept::Accept;
use crate::accept::SameType;
use crate::channel::{
    AttachPolicy, ChannelReader, ReaderOptions, RetryPolicy, SnapshotInfo, origin_of, writer_state,
};
#[cfg(feature = "async")]
use crate::codec::Decode;
use crate::codec::MessagePack;
use crate::health::{Signs, Thresholds, look_at_one_writer};
use crate::memory::TrustedWriters;
use crate::seqlock::Part;
use crate::waiting::{NamespaceHandle, WaitPolicy};
use attached::{Options, Shared};

/// How long attaching waits for a channel whose creation has begun. Creating takes longer only if
/// the creator is preempted, stopped or killed.
const NOT_READY: Duration = Duration::from_millis(1);

/// All channels of a namespace. The hub attaches to a channel at the first query, and follows its
/// growth, takeover, death and removal.
///
/// Made by [`Namespace::hub`](crate::Namespace::hub). All methods take `&self`. Clones share the
/// attached channels, as do handles with another [`codec`](Hub::with_codec). Threads read without a
/// lock and without waiting for each other.
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
/// for worker in hub.iter::<WorkerState>("worker-*")? {
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
/// [`Hub::get`] of an attached channel costs a look-up by name more than a
/// [`Reader`](crate::Reader); a round over a [`Selection`] costs what readers cost. The first query
/// of a channel attaches, which takes system calls; one of a channel that does not exist also lists
/// the channels if they have changed, up to 1,024 of them, and if there is none, once a second the
/// namespaces of this machine. An attached channel costs one mapping,
/// one more for each side that has grown, and no descriptor. Each thread that reads encoded states
/// keeps a buffer of the size of the largest one.
///
/// When the mappings of this library are 15/16 of `vm.max_map_count`, or this process uses 15/16 of
/// the addresses that `ulimit -v` allows, the hub evicts an eighth of its channels: those that it
/// has not read for longest. A query that still can't map a state, because other code of the
/// process has mappings, too, evicts more, until nothing is left. The next query of an evicted
/// channel attaches again. Watches, cuts and open rounds keep their channels.
pub struct Hub<C = MessagePack, A = SameType> {
    shared: Arc<Shared>,
    query: PhantomData<fn() -> (C, A)>,
}

impl<C, A> Hub<C, A> {
    /// A handle of the same hub for states of another codec.
    #[must_use]
    pub fn with_codec<D>(&self) -> Hub<D, A> {
        Hub { shared: Arc::clone(&self.shared), query: PhantomData }
    }

    /// A handle of the same hub that accepts other channels: see [`accept`](crate::accept).
    #[expect(clippy::needless_pass_by_value, reason = "a unit struct that chooses the type")]
    #[must_use]
    pub fn with_accept<B>(&self, accept: B) -> Hub<C, B> {
        let _ = accept;
        Hub { shared: Arc::clone(&self.shared), query: PhantomData }
    }

    /// The names of the namespace's channels that the [`Pattern`] `pattern` matches, in
    /// alphabetical order. A namespace that does not exist has none: a query of a missing channel
    /// ([`Hub::get`]) proposes namespaces with similar names.
    ///
    /// Cost: a short lock, and a listing of the registry if it has changed. While this process
    /// lacks descriptors or memory for that, the names are those of the last listing.
    ///
    /// # Errors
    ///
    /// [`QueryError::List`] if the registry can't be read, for example for lack of permission.
    pub fn channels(&self, pattern: &str) -> Result<Vec<Arc<str>>, QueryError> {
        let (names, pattern) = (self.shared.names()?, Pattern::new(pattern));
        Ok(names.iter().map(|(name, _)| name).filter(|name| pattern.matches(name)).cloned().collect())
    }

    /// How the worker is that writes `channel`. *Dead* is never a guess: see
    /// [`Reader::writer_state`](crate::Reader::writer_state). *Stalled* is one, by the clock,
    /// unless the process is stopped.
    ///
    /// Cost: some system calls, microseconds.
    ///
    /// # Errors
    ///
    /// [`QueryError::Attach`] if there is no such channel, [`QueryError::Writer`] if the system
    /// does not let this process look at the writer's lock.
    pub fn status(&self, channel: &str) -> Result<Status, QueryError> {
        let look = || {
            let mut reader = self.shared.attached(channel, self.shared.options.reading.attach)?;
            // The publication's age is in its segment, which may have to be mapped.
            let map = |reader: &mut ChannelReader| {
                let nothing = &mut Part { offset: 0, into: &mut [] };
                (reader.snapshot(nothing).map_err(QueryError::from), None)
            };
            let both = self.status_with(&mut reader, map);
            self.shared.keep(&reader, None);
            both
        };
        self.with_room(look).map(|(status, _)| status)
    }

    /// Looks at a writer and its state. If the state can't be mapped, the hub evicts channels and
    /// looks again.
    fn with_room<R>(
        &self,
        mut look: impl FnMut() -> Result<(Status, Result<R, QueryError>), QueryError>,
    ) -> Result<(Status, Result<R, QueryError>), QueryError> {
        self.shared.with_room(
            None,
            |both| match both {
                Ok((_, Err(error))) | Err(error) => Some(error),
                Ok(_) => None,
            },
            |_| look(),
        )
    }

    /// The status of one writer, and what `read` finds of the same moment; also the publication
    /// that the status is about, if that is not the latest one after it.
    fn status_with<R>(
        &self,
        reader: &mut ChannelReader,
        mut read: impl FnMut(&mut ChannelReader) -> (R, Option<SnapshotInfo>),
    ) -> Result<(Status, R), QueryError> {
        look_at_one_writer(reader, |reader| {
            let incarnation = reader.page().incarnation();
            let failed = |source| QueryError::Writer { channel: reader.channel().into(), source };
            // First: a dead writer's state is its last.
            let writer = writer_state(reader).map_err(failed)?;
            let (found, info) = read(reader);
            let mut signs = Signs::of(reader, writer);
            if let Some(info) = info {
                (signs.publication, signs.age) = (info.publication(), info.age());
            }
            let status = Status {
                health: Health::judge(&signs, self.shared.options.thresholds),
                publication: signs.publication,
                writer_pid: reader.page().owner().pid,
                incarnation,
                origin: origin_of(reader),
            };
            Ok((status, found))
        })
    }

    /// The channels that the [`Pattern`] `pattern` matches, including later ones, to be read round
    /// after round. Opens nothing: the first round attaches.
    #[must_use]
    pub fn select(&self, pattern: &str) -> Selection<C, A> {
        Selection::new(self.clone(), Pattern::new(pattern))
    }

    /// Watches the channels that the [`Pattern`] `pattern` matches, including later ones. At first,
    /// every channel counts as changed.
    #[must_use]
    pub fn watch(&self, pattern: &str) -> HubWatch {
        HubWatch::new(Arc::clone(&self.shared), Pattern::new(pattern))
    }

    /// What all handles of this hub have done so far, beyond first attempts that succeeded.
    #[must_use]
    pub fn statistics(&self) -> HubStatistics {
        self.shared.counts.read()
    }
}

#[cfg(feature = "async")]
impl<C: 'static, A: 'static> Hub<C, A> {
    /// The states of `channel` as an asynchronous stream that begins with the latest one. It
    /// survives restarts: see [`HubChanges`].
    ///
    /// # Errors
    ///
    /// [`QueryError::Attach`] if there is no such channel ([`Hub::changes_of`] waits for one), or
    /// if its states have another format.
    pub fn changes<T: 'static>(&self, channel: &str) -> Result<HubChanges<T>, QueryError>
    where
        C: Decode<T>,
        A: Accept<T, C>,
    {
        self.shared.reader_of::<T, C, A>(channel, None)?;
        Ok(HubChanges::new(self, Pattern::exactly(channel)))
    }

    /// The states of all channels that the [`Pattern`] `pattern` matches, including later
    /// channels, as one asynchronous stream.
    #[must_use]
    pub fn changes_of<T: 'static>(&self, pattern: &str) -> HubChanges<T>
    where
        C: Decode<T>,
        A: Accept<T, C>,
    {
        HubChanges::new(self, Pattern::new(pattern))
    }
}

impl<C, A> Clone for Hub<C, A> {
    fn clone(&self) -> Self {
        self.with_codec()
    }
}

debug_by!(Hub<C, A>, |it| namespace: it.shared.handle.namespace());

/// Options of a [`Hub`]. Made by [`Namespace::hub_builder`](crate::Namespace::hub_builder).
#[must_use = "a builder does nothing until `open` is called"]
pub struct HubBuilder<C = MessagePack, A = SameType> {
    handle: NamespaceHandle,
    options: Options,
    query: PhantomData<fn() -> (C, A)>,
}

impl HubBuilder {
    pub(crate) fn new(handle: NamespaceHandle) -> Self {
        let attach = AttachPolicy::default().missing(Duration::ZERO).not_ready(NOT_READY);
        let options = Options {
            reading: ReaderOptions { attach, ..ReaderOptions::default() },
            wait: WaitPolicy::default(),
            thresholds: Thresholds::default(),
            type_names: HashMap::new(),
        };
        HubBuilder { handle, options, query: PhantomData }
    }
}

impl<C, A> HubBuilder<C, A> {
    /// Decodes states by another codec. [`Hub::with_codec`] gives the hub handles for further
    /// codecs.
    pub fn codec<D>(self) -> HubBuilder<D, A> {
        HubBuilder { handle: self.handle, options: self.options, query: PhantomData }
    }

    /// Which channels a query accepts: see [`accept`](crate::accept). Default: [`SameType`]. Others
    /// are a [`QueryError::Attach`]. [`Hub::with_accept`] gives the hub handles for further
    /// choices.
    ///
    /// The hub checks a channel at the first query of a type, codec and choice, and again after a
    /// query of another one. If a plain state has its fields at other offsets
    /// ([`MatchingFields`](crate::accept::MatchingFields)), each query also looks the channel up
    /// once more and copies it twice.
    #[expect(clippy::needless_pass_by_value, reason = "a unit struct that chooses the type")]
    pub fn accept<B>(self, accept: B) -> HubBuilder<C, B> {
        let _ = accept;
        HubBuilder { handle: self.handle, options: self.options, query: PhantomData }
    }

    /// Gives type `T` (and not also [`Boxed<T>`](crate::Boxed)) the name that its writers gave it
    /// ([`WriterBuilder::type_name`](crate::WriterBuilder)).
    pub fn type_name<T: 'static>(mut self, type_name: impl Into<String>) -> Self {
        self.options.type_names.insert(TypeId::of::<T>(), type_name.into());
        self
    }

    /// The hub. It opens nothing: the namespace need not exist yet.
    #[must_use]
    pub fn open(self) -> Hub<C, A> {
        Hub { shared: Arc::new(Shared::new(self.handle, self.options)), query: PhantomData }
    }
}

setters! {
    impl[C, A] HubBuilder<C, A>;

    /// How long the first query of a channel waits for it. Default: not for a missing channel, 1 ms
    /// for one that is being created. Watches and streams never wait in a call.
    pub fn attach_policy(attach: AttachPolicy) { options.reading.attach = attach }

    /// How often and how long a query or a cut retries when a writer is faster. Default: see
    /// [`RetryPolicy`].
    pub fn retry_policy(retry: RetryPolicy) { options.reading.retry = retry }

    /// Lets [views](crate::view) show the memory of the channels' writers. Without this promise,
    /// views are copies, unless the namespace is [in this process](crate::Namespace::in_process).
    pub fn views_in_place(promise: TrustedWriters) { options.reading.in_place = Some(promise) }

    /// How [`HubWatch::wait_any`] waits. Default: see [`WaitPolicy`].
    pub fn wait_policy(wait: WaitPolicy) { options.wait = wait }

    /// A state is [`Health::Fresh`] up to this age. Default: three times the interval that the
    /// channel's writer promises, or a second if it promises none.
    pub fn fresh_within(max_age: Duration) { options.thresholds.fresh_within = Some(max_age) }

    /// A living writer is [`Health::Stalled`] when its last sign of life (a publication, a
    /// heartbeat, or the opening of the channel) is older than this; time for which the machine
    /// slept does not count. Default: three times the interval that it promises. A writer that
    /// promises none is by default never stalled, unless it is stopped, and with this limit not
    /// before the channel's first publication.
    pub fn stalled_after(max_age: Duration) { options.thresholds.stalled_after = Some(max_age) }
}

debug_by!(HubBuilder<C, A>, |it| namespace: it.handle.namespace());
