//! The typed writer of a channel.

mod closing;
mod last_payload;
#[cfg(feature = "schema")]
mod with_schema;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use crate::channel::{CreateError, Format, PublishError, WriterOptions, WriterStatistics};
use crate::clock::TimestampSource;
use crate::codec::{Encode, Postcard};
use crate::object::Backend;
use crate::registry::Session;
use crate::seqlock::WakeMode;
pub(crate) use last_payload::Changed;
use last_payload::LastPayload;

/// The one writer of a channel: publishes states of type `T`, encoded by `C`.
///
/// Made by [`Namespace::writer`](crate::Namespace::writer) or
/// [`Namespace::writer_builder`](crate::Namespace::writer_builder). Dropping it ends the channel as [`Writer::close`]
/// does, but silently; a killed process leaves the channel to its successor, with the last state readable.
pub struct Writer<T: ?Sized, C = Postcard> {
    session: Session,
    scratch: Vec<u8>,
    last_payload: LastPayload,
    types: PhantomData<fn(&T) -> C>,
}

impl<T: ?Sized, C: Encode<T>> Writer<T, C> {
    /// Publishes `state` and returns its number: 1 for the first of the channel's life, then one more each time.
    ///
    /// Readers see it from the moment that this returns. Progress: wait-free, without a system call or an allocation,
    /// except while the channel grows because the state is larger than any before, and while somebody waits for it
    /// ([`Reader::wait_after`](crate::Reader::wait_after)), who is woken by two system calls, or four. Cost: encoding, one copy, one read
    /// of the clock ([`TimestampSource`]).
    ///
    /// # Errors
    ///
    /// [`PublishError`]; what was published before stays readable. A panic in the codec publishes nothing, too.
    #[inline(always)]
    pub fn publish(&mut self, state: &T) -> Result<u64, PublishError> {
        match C::encode(state, &mut self.scratch) {
            Ok(payload) => self.session.channel.publish(payload),
            Err(source) => Err(self.session.channel.failed(PublishError::Encode { codec: C::NAME, source })),
        }
    }

    /// Publishes `state` unless it encodes to the bytes of the last publication, and says in either case that the writer
    /// is at work ([`Writer::touch`]). `None` if it was not published.
    ///
    /// The last publication of *this writer*: the first call of a writer publishes, also after a takeover. It may have
    /// been an ordinary [`Writer::publish`]; then this publishes once more, because what to compare with is kept by this
    /// method only. It is kept in private memory and never read from shared memory.
    ///
    /// It is the bytes that are compared: a `HashMap` that was built anew may encode differently though it is equal.
    ///
    /// Progress: wait-free but for allocations while states become larger than any before. Cost: encoding, a comparison,
    /// and one read of the clock; two copies and another read of the clock if it publishes.
    ///
    /// # Errors
    ///
    /// As [`Writer::publish`]. Then there is no sign of life either: a reader is not told that all is well.
    pub fn publish_if_changed(&mut self, state: &T) -> Result<Option<u64>, PublishError> {
        let published = match self.prepare(state)? {
            Changed::No => None,
            Changed::Yes => Some(self.publish_prepared()?),
        };
        self.touch()?;
        Ok(published)
    }

    /// Encodes `state` for [`Writer::publish_prepared`], unless it encodes to the bytes of the last publication.
    pub(crate) fn prepare(&mut self, state: &T) -> Result<Changed, PublishError> {
        match C::encode(state, &mut self.scratch) {
            Ok(payload) => Ok(self.last_payload.prepare(payload, self.session.channel.last())),
            Err(source) => Err(self.session.channel.failed(PublishError::Encode { codec: C::NAME, source })),
        }
    }
}

impl<T: ?Sized, C> Writer<T, C> {
    /// Says that the writer is at work, and that the last publication is still its state; see
    /// [`Reader::heartbeat_age`](crate::Reader::heartbeat_age).
    ///
    /// Progress: wait-free, without a system call. Cost: one read of the clock, which is the precise one, and one store.
    ///
    /// # Errors
    ///
    /// [`PublishError::Forked`] in a fork of the process that opened the writer: who is at work is the parent.
    pub fn touch(&mut self) -> Result<(), PublishError> {
        self.session.channel.touch()
    }

    /// Publishes what [`Writer::prepare`] found changed, and returns its number. Does not touch.
    pub(crate) fn publish_prepared(&mut self) -> Result<u64, PublishError> {
        let publication = self.session.channel.publish(self.last_payload.payload())?;
        self.last_payload.is_published_as(publication);
        Ok(publication)
    }

    /// Bytes of what was prepared last.
    pub(crate) fn prepared_len(&self) -> usize {
        self.last_payload.payload().len()
    }

    /// The channel's name.
    #[must_use]
    pub fn channel(&self) -> &str {
        self.session.channel.channel()
    }

    /// Number of the last publication, 0 before the first. Goes on counting where a former writer ended.
    #[must_use]
    pub fn publication(&self) -> u64 {
        self.session.channel.last()
    }

    /// Payload bytes that fit without growing, whichever segment is next: after a first large state only one of the two
    /// has grown.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.session.channel.capacity()
    }

    /// Slots of both segments together: a reader is lapped only by a writer that publishes more often than that during
    /// one copy.
    #[must_use]
    pub fn depth(&self) -> u64 {
        self.session.channel.slots()
    }

    /// How often a segment of the channel was replaced by a larger or smaller one, by former writers too.
    #[must_use]
    pub fn growths(&self) -> u64 {
        self.session.channel.growths()
    }

    /// What this writer has done since it was opened. Costs some loads of its own memory.
    #[must_use]
    pub fn statistics(&self) -> WriterStatistics {
        self.session.channel.statistics()
    }

    /// Gives memory back: each of the next two publications goes into a segment no larger than it needs, also below the
    /// initial capacity. Where there is no room for the small segment beside the large one, it is put off.
    pub fn shrink_to_fit(&mut self) {
        self.session.channel.shrink_to_fit();
        self.scratch.shrink_to_fit();
        self.last_payload.forget();
    }
}

impl<T: ?Sized, C> fmt::Debug for Writer<T, C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Writer")
            .field("channel", &self.channel())
            .field("publication", &self.publication())
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

/// Chooses what a [`Writer`] is like. Made by [`Namespace::writer_builder`](crate::Namespace::writer_builder).
#[must_use = "a builder does nothing until `open` is called"]
pub struct WriterBuilder<T: ?Sized, C> {
    backend: Arc<dyn Backend>,
    namespace: String,
    channel: String,
    capacity: Option<usize>,
    type_name: Option<String>,
    options: WriterOptions,
    types: PhantomData<fn(&T) -> C>,
}

impl<T: ?Sized, C> WriterBuilder<T, C> {
    /// What [`WriterBuilder::heartbeat_interval`] was given.
    pub(crate) fn promised(&self) -> Option<Duration> {
        self.options.heartbeat_interval
    }

    pub(crate) fn new(backend: Arc<dyn Backend>, namespace: &str, channel: &str) -> Self {
        WriterBuilder {
            backend,
            namespace: namespace.into(),
            channel: channel.into(),
            capacity: None,
            type_name: None,
            options: WriterOptions::new(Format::new("", "")),
            types: PhantomData,
        }
    }

    /// Encodes states by another codec. Whatever the channel was described by before is forgotten.
    pub fn codec<D: Encode<T>>(self) -> WriterBuilder<T, D> {
        let WriterBuilder { backend, namespace, channel, capacity, type_name, mut options, .. } = self;
        options.schema = None;
        WriterBuilder { backend, namespace, channel, capacity, type_name, options, types: PhantomData }
    }

    /// Payload bytes that fit without growing. Default: the size of `T` for [`Pod`](crate::Pod), else 928, for which
    /// four slots fill a page; more than asked for where pages would be left unused.
    pub fn capacity(mut self, bytes: usize) -> Self {
        self.capacity = Some(bytes);
        self
    }

    /// Slots in each of the two segments (half of what [`Writer::depth`] says), rounded up to a power of two. Default: as many as fit in the first page, at
    /// least 2. With 1, the channel is a classic double buffer, whose readers are lapped by a fast writer.
    pub fn depth(mut self, slots: usize) -> Self {
        self.options.depth = Some(slots);
        self
    }

    /// Payload bytes that a state may have at most. Default: 64 MiB.
    pub fn max_state_len(mut self, bytes: usize) -> Self {
        self.options.max_state_len = bytes;
        self
    }

    /// Bytes of shared memory that the whole channel may take: its control page (4 KiB), its two segments, and its
    /// schema if there is one; while a segment is replaced by a larger one, both. Default: as much as there is.
    ///
    /// What would go beyond it is not created: [`open`](Self::open) fails with [`CreateError::OverBudget`], growth with
    /// [`PublishError::TooLarge`]. The state published last stays readable, and smaller ones can be published as
    /// before. A channel that is gone on with is never too large, but does not grow; the capacity asked for is given to
    /// it as far as the budget allows. Replacing a segment by a smaller one is not refused. A channel of another format,
    /// which is replaced only after a trial, counts until it is gone: where there is no room for both, remove it first.
    ///
    /// Cost: with a budget, opening and growing list `/dev/shm` once for it.
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.options.budgets.channel = Some(bytes);
        self
    }

    /// Bytes of shared memory that all channels of the namespace may take.
    pub(crate) fn namespace_budget(mut self, bytes: Option<u64>) -> Self {
        self.options.budgets.namespace = bytes;
        self
    }

    /// Whether publications carry a CRC32C that readers verify. Default: no; the protocol excludes torn reads without
    /// it. It finds what the protocol can't: memory that another process overwrote.
    pub fn checksum(mut self, checksum: bool) -> Self {
        self.options.checksum = checksum;
        self
    }

    /// How publications are dated. Default: [`TimestampSource::Precise`].
    pub fn timestamps(mut self, source: TimestampSource) -> Self {
        self.options.timestamps = source;
        self
    }

    /// Permission bits of the channel's objects, whatever the umask is. Default: `0o600`. For readers of other users
    /// `0o640` or `0o644`; they have to trust the owner explicitly, too.
    pub fn permissions(mut self, mode: u32) -> Self {
        self.options.mode = mode;
        self
    }

    /// Promises readers a sign of life at least that often ([`Reader::heartbeat_interval`](crate::Reader::heartbeat_interval)): by
    /// [`Writer::touch`] or [`Writer::publish_if_changed`]. Default: nothing is promised, as with zero.
    ///
    /// The writer does nothing about it by itself. A [`Syncer`](crate::Syncer) does, and takes its interval from here.
    pub fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.options.heartbeat_interval = Some(interval);
        self
    }

    /// Whether the last state stays readable after a clean close. Default: no.
    pub fn linger(mut self, linger: bool) -> Self {
        self.options.linger = linger;
        self
    }

    /// How those who wait for publications are woken. Default: [`WakeMode::Barriers`].
    pub fn wake_mode(mut self, mode: WakeMode) -> Self {
        self.options.wake_mode = mode;
        self
    }

    /// Gives the states' type another name than `T`'s. Readers have to give it the same.
    ///
    /// The default is what `std::any::type_name` says, without modules: it knows no fields, and another version of the
    /// compiler may write it differently. Programs that are not built together give names of their own.
    pub fn type_name(mut self, type_name: impl Into<String>) -> Self {
        self.type_name = Some(type_name.into());
        self
    }
}

impl<T: ?Sized, C: Encode<T>> WriterBuilder<T, C> {
    /// Creates the channel; or goes on with it where a former writer closed it with `linger` or died.
    ///
    /// Attached readers of a channel that is gone on with notice nothing but a new incarnation number. If the former
    /// writer's channel has another codec, type name, schema, checksum setting or permissions, it is removed and a new one
    /// made, after a trial of whether there is room. Capacity and depth that were asked for are given to a channel that is gone
    /// on with at the next publications.
    ///
    /// # Errors
    ///
    /// [`CreateError`]; then nothing was changed.
    pub fn open(self) -> Result<Writer<T, C>, CreateError> {
        let mut options = self.options;
        options.format = Format::new(C::NAME, &self.type_name.unwrap_or_else(C::type_name));
        if let Some(capacity) = self.capacity.or_else(|| C::fixed_len().map(|len| len.max(1))) {
            options.capacity = capacity;
        } else {
            options.capacity = options.capacity.min(options.max_state_len);
        }
        #[cfg(feature = "schema")]
        with_schema::check(&options)?;
        let session = Session::open(&self.backend, &self.namespace, &self.channel, &options)?;
        Ok(Writer { session, scratch: Vec::new(), last_payload: LastPayload::default(), types: PhantomData })
    }
}

impl<T: ?Sized, C> Clone for WriterBuilder<T, C> {
    fn clone(&self) -> Self {
        WriterBuilder {
            backend: self.backend.clone(),
            namespace: self.namespace.clone(),
            channel: self.channel.clone(),
            capacity: self.capacity,
            type_name: self.type_name.clone(),
            options: self.options.clone(),
            types: PhantomData,
        }
    }
}

impl<T: ?Sized, C> fmt::Debug for WriterBuilder<T, C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = (&self.namespace, &self.channel);
        formatter.debug_struct("WriterBuilder").field("name", &name).field("options", &self.options).finish()
    }
}
