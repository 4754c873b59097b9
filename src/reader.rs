//! The typed reader of a channel.

#[cfg(feature = "schema")]
mod attempts;
#[cfg(feature = "schema")]
mod by_name;
#[cfg(feature = "schema")]
mod described;
mod format;
mod history;
mod part;

#[cfg(feature = "schema")]
pub(crate) use attempts::attach_again;
#[cfg(feature = "schema")]
pub use by_name::ByName;
use format::Expected;
pub use history::History;
pub use part::Field;

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use crate::channel::{
    AttachError, AttachPolicy, ChannelName, ChannelReader, Format, ReaderOptions, ReaderStatistics, Received,
    RetryPolicy, SnapshotError, WriterState,
};
use crate::codec::{CodecError, Decode, Postcard};
use crate::segment::ObjectError;
use crate::seqlock::Landing;
use crate::snapshot::{Snapshot, SnapshotInfo};
use crate::waiting::{Place, WaitPolicy, Waited, Waiter};

/// A reader of a channel: takes snapshots of states of type `T`, decoded by `C`.
///
/// Made by [`Namespace::reader`](crate::Namespace::reader) or
/// [`Namespace::reader_builder`](crate::Namespace::reader_builder). It maps the channel read-only and holds no file
/// descriptor; whatever it does, or however it dies, the writer does not notice.
pub struct Reader<T, C = Postcard> {
    channel: ChannelReader,
    scratch: Vec<u8>,
    place: Place,
    wait: WaitPolicy,
    /// Since the first wait.
    waiter: Option<Waiter>,
    form: PhantomData<fn() -> (T, C)>,
}

impl<T, C: Decode<T>> Reader<T, C> {
    /// A whole copy of the latest state.
    ///
    /// Progress: each attempt is wait-free and stores nothing in shared memory; how many are made is bounded by the
    /// [`RetryPolicy`]. It makes no system call unless the writer has grown the channel since the last snapshot. Cost:
    /// one copy and decoding. A [`Pod`](crate::Pod) is copied into a zeroed value, which is then returned, that is moved:
    /// for plain data of more than a few hundred bytes prefer [`Reader::snapshot_into`], which copies once.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`]; [`SnapshotError::Empty`] at once if nothing has been published yet.
    #[inline(always)]
    pub fn snapshot(&mut self) -> Result<Snapshot<T>, SnapshotError> {
        if C::IS_DIRECT
            && let Some(mut state) = C::blank()
        {
            let info = self.snapshot_into(&mut state)?;
            return Ok(Snapshot::new(state, info));
        }
        self.take(Order::Now)
    }

    /// The same, but waits for the first publication, at most for `longest`.
    ///
    /// It looks again after growing pauses of up to a millisecond.
    ///
    /// # Errors
    ///
    /// As [`Reader::snapshot`]; [`SnapshotError::Empty`] if nothing is published within `longest`.
    pub fn snapshot_within(&mut self, longest: Duration) -> Result<Snapshot<T>, SnapshotError> {
        self.take(Order::Within(longest))
    }

    /// Waits for a publication after number `after`, at most for `longest`, and copies the latest one; `None` if there
    /// was none. With 0 it waits for the first.
    ///
    /// It spins for a moment ([`WaitPolicy`]) and then sleeps; the writer wakes it, and pays for that with two system
    /// calls, or four, but not while nobody waits. Where the writer can't wake it (it runs under another user, or was built
    /// without [`waking`](crate::WriterBuilder::waking)), it looks again after pauses of up to a millisecond. A writer
    /// that is killed between publishing and waking delays the news by up to 100 ms; its death alone wakes nobody.
    ///
    /// # Errors
    ///
    /// As [`Reader::snapshot`]; [`SnapshotError::Closed`] if the channel has ended, and there will be no later one.
    pub fn wait_newer(
        &mut self,
        after: u64,
        longest: Duration,
    ) -> Result<Option<Snapshot<T>>, SnapshotError> {
        let waiter = self.waiter.get_or_insert_with(|| self.place.waiter(self.wait));
        match waiter.wait_newer(&self.channel, after, longest) {
            Waited::Newer => self.snapshot().map(Some),
            Waited::Ended => Err(self.channel.closed()),
            Waited::TimedOut => Ok(None),
        }
    }

    /// Replaces `state` by the latest one, reusing the memory that it owns where the codec can.
    ///
    /// # Errors
    ///
    /// As [`Reader::snapshot`]. Then a decoded `state` is unchanged, while one that is copied directly
    /// ([`Pod`](crate::Pod), [`Bytes`](crate::Bytes)) holds unspecified bytes.
    #[inline(always)]
    pub fn snapshot_into(&mut self, state: &mut T) -> Result<SnapshotInfo, SnapshotError> {
        if C::IS_DIRECT {
            let at_once = self.channel.counted_at_once(&mut C::landing(state));
            let received = match at_once {
                Ok(received) => received,
                Err(missed) => self.channel.snapshot_otherwise(&mut C::landing(state), missed)?,
            };
            return Ok(SnapshotInfo::new(&received));
        }
        self.decode_into(state)
    }

    fn decode_into(&mut self, state: &mut T) -> Result<SnapshotInfo, SnapshotError> {
        let received = self.channel.snapshot(&mut &mut self.scratch)?;
        C::decode_into(&self.scratch, state).map_err(|source| self.undecodable(&received, source))?;
        Ok(SnapshotInfo::new(&received))
    }

    fn take(&mut self, order: Order) -> Result<Snapshot<T>, SnapshotError> {
        if C::IS_DIRECT
            && let Some(mut state) = C::blank()
        {
            let received = order.carry_out(&mut self.channel, &mut C::landing(&mut state))?;
            return Ok(Snapshot::new(state, SnapshotInfo::new(&received)));
        }
        let received = order.carry_out(&mut self.channel, &mut &mut self.scratch)?;
        self.decoded(&received)
    }

    #[cold]
    fn undecodable(&self, received: &Received, source: CodecError) -> SnapshotError {
        self.channel.undecodable(received.publication, C::NAME, source)
    }
}

/// Which snapshot is asked for.
#[derive(Clone, Copy)]
enum Order {
    Now,
    Within(Duration),
}

impl Order {
    #[inline]
    fn carry_out(
        self,
        channel: &mut ChannelReader,
        landing: &mut impl Landing,
    ) -> Result<Received, SnapshotError> {
        match self {
            Order::Now => channel.snapshot(landing),
            Order::Within(longest) => channel.snapshot_within(longest, landing),
        }
    }
}

impl<T, C> Reader<T, C> {
    pub(crate) fn new(channel: ChannelReader, place: Place, wait: WaitPolicy) -> Self {
        Reader { channel, scratch: Vec::new(), place, wait, waiter: None, form: PhantomData }
    }

    #[cfg(feature = "async")]
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// The channel without its type.
    #[cfg(feature = "async")]
    pub(crate) fn bytes(&self) -> &ChannelReader {
        &self.channel
    }

    /// Whether there is a publication after number `publication`. Costs one load.
    #[inline]
    #[must_use]
    pub fn changed_since(&self, publication: u64) -> bool {
        self.channel.latest() > publication
    }

    /// Number of the latest publication, 0 before the first. Costs one load.
    #[inline]
    #[must_use]
    pub fn latest(&self) -> u64 {
        self.channel.latest()
    }

    /// Whether the writer has closed the channel. A killed writer has not.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.channel.is_closed()
    }

    /// What has become of the writer: one look at its lock, and at `/proc` if somebody has the lock. Never a timer: a
    /// writer that is stopped or slow is not dead, and one that was killed is dead at once.
    ///
    /// Cost: some system calls, microseconds.
    ///
    /// # Errors
    ///
    /// If the system does not let the control page be looked at.
    pub fn writer_state(&self) -> Result<WriterState, ObjectError> {
        self.channel.writer_state()
    }

    /// How long ago the present writer last said that it is at work: by [`Writer::touch`](crate::Writer::touch),
    /// [`Writer::publish_if_changed`](crate::Writer::publish_if_changed) or a tick of a [`Syncer`](crate::Syncer).
    /// `None` if it has not. [`Writer::publish`](crate::Writer::publish) alone does not say so; of that,
    /// [`Snapshot::age`](crate::Snapshot::age) tells.
    ///
    /// An old one proves nothing: the writer may be stopped, slow, or at some other work. Whether it is dead is
    /// [`Reader::writer_state`]'s to say. Costs one load, and one read of the clock.
    #[must_use]
    pub fn heartbeat(&self) -> Option<Duration> {
        self.channel.heartbeat()
    }

    /// The longest time between two signs of life that the present writer promised
    /// ([`WriterBuilder::interval`](crate::WriterBuilder::interval)); `None` if it promised nothing. Costs one load.
    ///
    /// Allow for several of them before you conclude anything from an old [`Reader::heartbeat`].
    #[must_use]
    pub fn interval(&self) -> Option<Duration> {
        self.channel.interval()
    }

    /// How many writers the channel has had so far, one after the other.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.channel.incarnation()
    }

    /// Process id of the writer, or of the last one, in its own PID namespace.
    #[must_use]
    pub fn writer_pid(&self) -> u64 {
        self.channel.writer_pid()
    }

    /// How often a segment of the channel was replaced by a larger or smaller one.
    #[must_use]
    pub fn growths(&self) -> u64 {
        self.channel.growths()
    }

    /// What this reader has done since it was attached. Costs some loads of its own memory.
    #[must_use]
    pub fn statistics(&self) -> ReaderStatistics {
        self.channel.statistics()
    }

    /// The channel's name.
    #[must_use]
    pub fn channel(&self) -> &str {
        self.channel.channel()
    }
}

impl<T, C> fmt::Debug for Reader<T, C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Reader")
            .field("channel", &self.channel())
            .field("latest", &self.latest())
            .finish_non_exhaustive()
    }
}

/// Chooses what a [`Reader`] is like. Made by [`Namespace::reader_builder`](crate::Namespace::reader_builder).
#[must_use = "a builder does nothing until `open` is called"]
pub struct ReaderBuilder<T, C> {
    place: Place,
    channel: String,
    schema: Option<String>,
    expected: Expected,
    attach: AttachPolicy,
    retry: RetryPolicy,
    wait: WaitPolicy,
    form: PhantomData<fn() -> (T, C)>,
}

impl<T, C> ReaderBuilder<T, C> {
    pub(crate) fn new(place: Place, channel: &str) -> Self {
        ReaderBuilder {
            place,
            channel: channel.into(),
            schema: None,
            expected: Expected::Named,
            attach: AttachPolicy::default(),
            retry: RetryPolicy::default(),
            wait: WaitPolicy::default(),
            form: PhantomData,
        }
    }

    /// Decodes states by another codec.
    pub fn codec<D: Decode<T>>(self) -> ReaderBuilder<T, D> {
        let ReaderBuilder { place, channel, schema, expected, attach, retry, wait, .. } = self;
        let expected = expected.of_another_codec();
        ReaderBuilder { place, channel, schema, expected, attach, retry, wait, form: PhantomData }
    }

    /// Waits up to `longest` for the channel to be there and ready. Default: see [`AttachPolicy`].
    pub fn attach_within(mut self, longest: Duration) -> Self {
        self.attach = AttachPolicy { missing: longest, not_ready: longest };
        self
    }

    /// How long to wait for which state of a channel that is not there yet.
    pub fn attach_policy(mut self, attach: AttachPolicy) -> Self {
        self.attach = attach;
        self
    }

    /// How often and how long a snapshot tries again.
    pub fn retry_policy(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// How [`Reader::wait_newer`] waits.
    pub fn wait_policy(mut self, wait: WaitPolicy) -> Self {
        self.wait = wait;
        self
    }

    /// Names the schema, as the writer has.
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = Some(schema.into());
        self
    }
}

impl<T, C: Decode<T>> ReaderBuilder<T, C> {
    /// Attaches to the channel.
    ///
    /// # Errors
    ///
    /// [`AttachError`]; [`AttachError::NotFound`] at once unless it is told to wait.
    pub fn open(self) -> Result<Reader<T, C>, AttachError> {
        let name = ChannelName::new(self.place.namespace(), &self.channel)?;
        let named = Format::new(C::NAME, &self.schema.unwrap_or_else(C::schema));
        let options = ReaderOptions { attach: self.attach, retry: self.retry, format: None };
        let channel = self.expected.attach(self.place.backend(), &name, &options, named)?;
        Ok(Reader::new(channel, self.place, self.wait))
    }
}

impl<T, C> Clone for ReaderBuilder<T, C> {
    fn clone(&self) -> Self {
        ReaderBuilder {
            place: self.place.clone(),
            channel: self.channel.clone(),
            schema: self.schema.clone(),
            expected: self.expected.clone(),
            attach: self.attach,
            retry: self.retry,
            wait: self.wait,
            form: PhantomData,
        }
    }
}

impl<T, C> fmt::Debug for ReaderBuilder<T, C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = (self.place.namespace(), &self.channel);
        formatter.debug_struct("ReaderBuilder").field("name", &name).field("retry", &self.retry).finish()
    }
}
