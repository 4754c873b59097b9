//! The typed reader of a channel.

#[cfg(feature = "schema")]
mod attempts;
#[cfg(feature = "schema")]
mod by_name;
mod format;
mod history;
mod part;
#[cfg(feature = "schema")]
mod with_schema;

#[cfg(feature = "schema")]
pub(crate) use attempts::retry_attach;
#[cfg(feature = "schema")]
pub use by_name::ByName;
use format::Expected;
pub use history::History;
pub use part::Field;

use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use crate::channel::{
    AttachError, AttachPolicy, Backoff, ChannelName, ChannelReader, Format, ReaderOptions, ReaderStatistics,
    RetryPolicy, SnapshotError, SnapshotInfo, WriterState, writer_state,
};
use crate::codec::{CodecError, Decode, Direct, Postcard, Strategy};
use crate::health::{Health, Signs, Thresholds};
use crate::object::ObjectError;
use crate::seqlock::Destination;
use crate::snapshot::Snapshot;
use crate::waiting::{NamespaceHandle, WaitPolicy, Waited, Waiter};

/// How often health is judged again because a new writer has taken the channel over during the look.
const MAX_LOOKS: u32 = 8;

/// A reader of a channel: takes snapshots of states of type `T`, decoded by `C`.
///
/// Made by [`Namespace::reader`](crate::Namespace::reader) or
/// [`Namespace::reader_builder`](crate::Namespace::reader_builder). It maps the channel read-only and holds no file
/// descriptor; whatever it does, or however it dies, the writer does not notice.
pub struct Reader<T, C = Postcard> {
    channel: ChannelReader,
    scratch: Vec<u8>,
    handle: NamespaceHandle,
    wait: WaitPolicy,
    /// Since the first wait.
    waiter: Option<Waiter>,
    types: PhantomData<fn() -> (T, C)>,
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
        if let Strategy::Direct(direct) = C::strategy() {
            let mut state = direct.blank();
            let info = self.snapshot_into(&mut state)?;
            return Ok(Snapshot::new(state, info));
        }
        self.take(Order::Now)
    }

    /// The same, but waits for the first publication, at most for `timeout`.
    ///
    /// It looks again after growing pauses of up to a millisecond.
    ///
    /// # Errors
    ///
    /// As [`Reader::snapshot`]; [`SnapshotError::Empty`] if nothing is published within `timeout`.
    pub fn snapshot_within(&mut self, timeout: Duration) -> Result<Snapshot<T>, SnapshotError> {
        self.take(Order::Within(timeout))
    }

    /// Waits for a publication after number `after`, at most for `timeout`, and copies the latest one; `None` if there
    /// was none. With 0 it waits for the first.
    ///
    /// It spins for a moment ([`WaitPolicy`]) and then sleeps; the writer wakes it, and pays for that with two system
    /// calls, or four, but not while nobody waits. Where the writer can't wake it (it runs under another user, or was built
    /// without [`wake_mode`](crate::WriterBuilder::wake_mode)), it looks again after pauses of up to a millisecond. A writer
    /// that is killed between publishing and waking delays the news by up to 100 ms; its death alone wakes nobody.
    ///
    /// # Errors
    ///
    /// As [`Reader::snapshot`]; [`SnapshotError::Closed`] if the channel has ended, and there will be no later one.
    pub fn wait_after(
        &mut self,
        after: u64,
        timeout: Duration,
    ) -> Result<Option<Snapshot<T>>, SnapshotError> {
        let waiter = self.waiter.get_or_insert_with(|| self.handle.waiter(self.wait));
        match waiter.wait_after(&self.channel, after, timeout) {
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
        if let Strategy::Direct(direct) = C::strategy() {
            return self.channel.snapshot(&mut direct.destination(state));
        }
        self.decode_into(state)
    }

    fn decode_into(&mut self, state: &mut T) -> Result<SnapshotInfo, SnapshotError> {
        let info = self.channel.snapshot(&mut &mut self.scratch)?;
        C::decode_into(&self.scratch, state).map_err(|source| self.undecodable(info, source))?;
        Ok(info)
    }

    fn take(&mut self, order: Order) -> Result<Snapshot<T>, SnapshotError> {
        if let Strategy::Direct(direct) = C::strategy() {
            let mut state = direct.blank();
            let info = order.carry_out(&mut self.channel, &mut direct.destination(&mut state))?;
            return Ok(Snapshot::new(state, info));
        }
        let info = order.carry_out(&mut self.channel, &mut &mut self.scratch)?;
        self.decoded(info)
    }

    #[cold]
    fn undecodable(&self, info: SnapshotInfo, source: CodecError) -> SnapshotError {
        self.channel.undecodable(info.publication(), C::NAME, source)
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
        destination: &mut impl Destination,
    ) -> Result<SnapshotInfo, SnapshotError> {
        match self {
            Order::Now => channel.snapshot(destination),
            Order::Within(timeout) => {
                let begin = Instant::now();
                let mut backoff = Backoff::new();
                while channel.publication() == 0 && begin.elapsed() < timeout && !channel.is_closed() {
                    backoff.wait();
                }
                channel.snapshot(destination)
            }
        }
    }
}

impl<T, C> Reader<T, C> {
    pub(crate) fn new(channel: ChannelReader, handle: NamespaceHandle, wait: WaitPolicy) -> Self {
        Reader { channel, scratch: Vec::new(), handle, wait, waiter: None, types: PhantomData }
    }

    #[cfg(feature = "async")]
    pub(crate) fn handle(&self) -> &NamespaceHandle {
        &self.handle
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
        self.channel.publication() > publication
    }

    /// Number of the latest publication, 0 before the first. Costs one load.
    #[inline]
    #[must_use]
    pub fn publication(&self) -> u64 {
        self.channel.publication()
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
        writer_state(&self.channel)
    }

    /// How the worker is, by its lock, its process, the clock and the interval that it promises: see
    /// [`Health`]. The thresholds are the default ones of a [`Hub`](crate::hub::Hub), which gives the same
    /// answer.
    ///
    /// Cost: that of [`Reader::writer_state`].
    ///
    /// # Errors
    ///
    /// If the system does not let this process look at the control page.
    pub fn health(&mut self) -> Result<Health, ObjectError> {
        for _ in 1..MAX_LOOKS {
            let incarnation = self.incarnation();
            let writer = writer_state(&self.channel)?;
            let health = self.health_with(writer);
            // Otherwise a new writer has taken the channel over, and the answer mixes both writers.
            if self.incarnation() == incarnation {
                return Ok(health);
            }
        }
        let writer = writer_state(&self.channel)?;
        Ok(self.health_with(writer))
    }

    /// The same without a system call, of a writer that [`Reader::writer_state`] found to be
    /// `writer`: for a program that looks at many workers often, and at their processes seldom. The
    /// answer is right for as long as the writer is in that state.
    ///
    /// Cost: some loads and reads of the clock.
    #[must_use]
    pub fn health_with(&mut self, writer: WriterState) -> Health {
        Health::judge(&Signs::of(&mut self.channel, writer), Thresholds::default())
    }

    /// How long ago the present writer last said that it is at work: by [`Writer::touch`](crate::Writer::touch),
    /// [`Writer::publish_if_changed`](crate::Writer::publish_if_changed) or a tick of a [`Syncer`](crate::syncer::Syncer).
    /// `None` if it has not. [`Writer::publish`](crate::Writer::publish) alone does not say so; of that,
    /// [`Snapshot::age`](crate::Snapshot::age) tells.
    ///
    /// An old one proves nothing: the writer may be stopped, slow, or at some other work. Whether it is dead is
    /// [`Reader::writer_state`]'s to say. Costs one load, and one read of the clock.
    #[must_use]
    pub fn heartbeat_age(&self) -> Option<Duration> {
        self.channel.page().heartbeat_age()
    }

    /// The longest time between two signs of life that the present writer promised
    /// ([`WriterBuilder::heartbeat_interval`](crate::WriterBuilder::heartbeat_interval)); `None` if it promised nothing. Costs one load.
    ///
    /// Allow for several of them before you conclude anything from an old [`Reader::heartbeat_age`].
    #[must_use]
    pub fn heartbeat_interval(&self) -> Option<Duration> {
        self.channel.page().heartbeat_interval()
    }

    /// How many writers the channel has had so far, one after the other.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.channel.page().incarnation()
    }

    /// Process id of the writer, or of the last one, in its own PID namespace.
    #[must_use]
    pub fn writer_pid(&self) -> u64 {
        self.channel.page().owner().pid
    }

    /// How often a segment of the channel was replaced by a larger or smaller one.
    #[must_use]
    pub fn growths(&self) -> u64 {
        self.channel.page().growths()
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
            .field("latest", &self.publication())
            .finish_non_exhaustive()
    }
}

/// Chooses what a [`Reader`] is like. Made by [`Namespace::reader_builder`](crate::Namespace::reader_builder).
#[must_use = "a builder does nothing until `open` is called"]
pub struct ReaderBuilder<T, C> {
    handle: NamespaceHandle,
    channel: String,
    type_name: Option<String>,
    expected: Expected,
    attach: AttachPolicy,
    retry: RetryPolicy,
    wait: WaitPolicy,
    types: PhantomData<fn() -> (T, C)>,
}

impl<T, C> ReaderBuilder<T, C> {
    pub(crate) fn new(handle: NamespaceHandle, channel: &str) -> Self {
        ReaderBuilder {
            handle,
            channel: channel.into(),
            type_name: None,
            expected: Expected::Named,
            attach: AttachPolicy::default(),
            retry: RetryPolicy::default(),
            wait: WaitPolicy::default(),
            types: PhantomData,
        }
    }

    /// Decodes states by another codec.
    pub fn codec<D: Decode<T>>(self) -> ReaderBuilder<T, D> {
        let ReaderBuilder { handle, channel, type_name, expected, attach, retry, wait, .. } = self;
        let expected = expected.of_another_codec();
        ReaderBuilder { handle, channel, type_name, expected, attach, retry, wait, types: PhantomData }
    }

    /// Waits up to `timeout` for the channel to be there and ready. Default: see [`AttachPolicy`].
    pub fn attach_within(mut self, timeout: Duration) -> Self {
        self.attach = AttachPolicy { missing: timeout, not_ready: timeout };
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

    /// How [`Reader::wait_after`] waits.
    pub fn wait_policy(mut self, wait: WaitPolicy) -> Self {
        self.wait = wait;
        self
    }

    /// Gives the states' type the name that the writer has given it.
    pub fn type_name(mut self, type_name: impl Into<String>) -> Self {
        self.type_name = Some(type_name.into());
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
        let name = ChannelName::new(self.handle.namespace(), &self.channel)?;
        let named = Format::new(C::NAME, &self.type_name.unwrap_or_else(C::type_name));
        let options = ReaderOptions { attach: self.attach, retry: self.retry, format: None };
        let channel = self.expected.attach(self.handle.backend(), &name, &options, named)?;
        Ok(Reader::new(channel, self.handle, self.wait))
    }
}

impl<T, C> Clone for ReaderBuilder<T, C> {
    fn clone(&self) -> Self {
        ReaderBuilder {
            handle: self.handle.clone(),
            channel: self.channel.clone(),
            type_name: self.type_name.clone(),
            expected: self.expected.clone(),
            attach: self.attach,
            retry: self.retry,
            wait: self.wait,
            types: PhantomData,
        }
    }
}

impl<T, C> fmt::Debug for ReaderBuilder<T, C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = (self.handle.namespace(), &self.channel);
        formatter.debug_struct("ReaderBuilder").field("name", &name).field("retry", &self.retry).finish()
    }
}
