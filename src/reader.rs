//! The typed reader of a channel.

mod builder;
#[cfg(feature = "async")]
mod changes;
mod query;

pub use builder::ReaderBuilder;
#[cfg(feature = "async")]
pub use changes::Changes;
#[cfg(feature = "async")]
pub(crate) use changes::Turn;
pub use query::Field;

use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::accept::FieldPlan;
use crate::channel::{AttachError, ChannelReader, ChannelView, SnapshotError, SnapshotInfo};
use crate::codec::{Decode, Direct, MessagePack, Strategy};
use crate::layout::Publication;
use crate::seqlock::Destination;
use crate::snapshot::Snapshot;
use crate::view::View;
use crate::waiting::{NamespaceHandle, WaitPolicy, Waited, Waiter};

/// A reader of a channel: takes snapshots of states of type `T`, decoded by `C`.
///
/// Made by [`Namespace::reader`](crate::Namespace::reader) or
/// [`Namespace::reader_builder`](crate::Namespace::reader_builder). It maps the channel read-only
/// and holds no file descriptor, unless it [views in place](crate::view) or the channel is
/// [sealed](crate::sealed). The writer does not wait for readers, whatever they do and however they
/// end.
///
/// A reader remembers the last publication that it returned: [`has_changed`](Reader::has_changed)
/// and [`changed`](Reader::changed) ask for later ones.
///
/// Clones read the same channel and share its mappings, so that each thread can have a reader. A
/// clone begins with the memory and the statistics of the original.
pub struct Reader<T, C = MessagePack> {
    channel: ChannelReader,
    scratch: Vec<u8>,
    /// Number of the latest publication that the reader returned or `changed` reported.
    seen: u64,
    /// Where the channel has the fields of `T`, if not at the offsets of `T`.
    plan: Option<Arc<FieldPlan>>,
    last_view: Weak<ChannelView>,
    handle: NamespaceHandle,
    wait: WaitPolicy,
    /// Since the first wait.
    waiter: Option<Waiter>,
    types: PhantomData<fn() -> (T, C)>,
}

impl<T, C: Decode<T>> Reader<T, C> {
    /// A reader of the [sealed](crate::sealed) channel that a descriptor leads to, also of another
    /// user or in another container. It is the reader's from here on, and closed with it, or if it
    /// is refused. [`ReaderBuilder::from_descriptor`] has options.
    ///
    /// Nothing is trusted: the kernel must say that the memory is sealed, and all that is read is
    /// checked. No process can make this one fault.
    ///
    /// Cost: some tens of system calls.
    ///
    /// # Errors
    ///
    /// [`AttachError`]: [`AttachError::Object`] with
    /// [`ObjectError::NotSealed`](crate::error::ObjectError::NotSealed) if it leads to anything
    /// else, [`AttachError::FormatMismatch`] if the states are not of type `T`.
    pub fn from_descriptor(descriptor: OwnedFd) -> Result<Self, AttachError> {
        ReaderBuilder::from_descriptor(descriptor)?.codec::<C>().open()
    }

    /// A whole copy of the latest state.
    ///
    /// Progress: each attempt is wait-free and stores nothing in shared memory; the
    /// [`RetryPolicy`](crate::options::RetryPolicy) bounds the number of attempts. No system call,
    /// unless the writer replaced a segment since the last snapshot. Cost: one copy, and decoding.
    /// Plain data ([`Pod`](crate::Pod)) is returned by value, so it crosses the stack several
    /// times: for more than a few hundred bytes [`Reader::snapshot_into`] is faster, and a state
    /// of more than 64 KiB has to be read so, or as a [`Boxed`](crate::Boxed).
    ///
    /// # Errors
    ///
    /// [`SnapshotError`]; [`SnapshotError::Empty`] at once if nothing has been published yet.
    #[inline(always)]
    pub fn snapshot(&mut self) -> Result<Snapshot<T>, SnapshotError> {
        if let Strategy::Direct(direct) = C::strategy() {
            let mut state = direct.blank();
            // Two paths as in `snapshot_into`: what they shared would be moved through memory.
            let fast = self.channel.snapshot_fast(&mut direct.destination(&mut state));
            return match fast {
                Ok(info) => {
                    self.seen = info.publication();
                    Ok(Snapshot::new(state, info))
                }
                Err(torn) => self.slow_value(&direct, torn),
            };
        }
        let info = self.channel.snapshot(&mut &mut self.scratch)?;
        self.decoded(info)
    }

    /// Replaces `state` by the latest state; the codec may reuse memory that `state` owns.
    ///
    /// # Errors
    ///
    /// As [`Reader::snapshot`]. After an error, a `state` that is decoded is unchanged; one that is
    /// copied directly ([`Pod`](crate::Pod), [`Bytes`](crate::Bytes)) holds unspecified bytes.
    #[inline(always)]
    pub fn snapshot_into(&mut self, state: &mut T) -> Result<SnapshotInfo, SnapshotError> {
        let Strategy::Direct(direct) = C::strategy() else { return self.decode_into(state) };
        // Each path has a destination of its own, and the slow one returns its info by field. What
        // both paths shared would be in memory, and the fast path would have to store it.
        let fast = self.channel.snapshot_fast(&mut direct.destination(state));
        match fast {
            Ok(info) => {
                // The latest publication: numbers don't go back.
                self.seen = info.publication();
                Ok(info)
            }
            Err(torn) => match self.slow_into(&mut direct.destination(state), torn) {
                Ok(info) => Ok(info.by_field()),
                Err(error) => Err(error),
            },
        }
    }

    /// Waits for a publication after number `after`, at most for `timeout`, and copies the latest
    /// state; `None` after the timeout. With 0 it waits for the first publication.
    ///
    /// The reader spins for a moment ([`WaitPolicy`]) and then sleeps until the writer wakes it.
    /// The writer pays two to four system calls for that, but only while a process waits. If the
    /// writer cannot wake the reader (it runs under another user, or with
    /// [`WakeMode::Never`](crate::options::WakeMode::Never)), the reader looks again after pauses
    /// of up to a millisecond. A writer that is killed between publishing and waking delays the
    /// reader by up to 100 ms; the death of a writer wakes no reader.
    ///
    /// # Errors
    ///
    /// As [`Reader::snapshot`]; [`SnapshotError::Closed`] if the channel has ended without a later
    /// publication.
    pub fn wait_after(
        &mut self,
        after: u64,
        timeout: Duration,
    ) -> Result<Option<Snapshot<T>>, SnapshotError> {
        if self.wait(after, timeout)? { self.snapshot().map(Some) } else { Ok(None) }
    }

    /// The publications that the channel's rings still hold, newest first; also those of a dead
    /// writer.
    ///
    /// The iterator copies and validates each publication when it gets there, and leaves out those
    /// that a busy writer has overwritten. There are up to [`Writer::slots`](crate::Writer::slots)
    /// of them; [`WriterBuilder::slots`](crate::WriterBuilder::slots) chooses how many, each for
    /// the memory of one state. After a growth of the channel, the publications of the replaced
    /// segment are soon gone for a reader.
    ///
    /// Items are errors if a publication can't be decoded or its checksum is wrong; the next item
    /// does not depend on that. Progress: each item is wait-free, once the segments are mapped.
    /// Cost: a snapshot for each.
    pub fn history(&mut self) -> History<'_, T, C> {
        let latest = self.channel.page().publication_acquired();
        History { reader: self, latest, next: latest }
    }

    /// The publication of this number, for example one that another channel refers to. `None` if it
    /// is not published yet, or overwritten, which begins with the publication or loan that takes
    /// its slot. While a reader [views](crate::view) publication q, the later publication n takes
    /// another slot: q is missing for the moment in which the writer looks at the pins, and is
    /// there again until n is published.
    ///
    /// Progress: wait-free, once the segments are mapped. Cost: as a snapshot.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`], if it can't be decoded or its checksum is wrong.
    pub fn snapshot_at(&mut self, number: u64) -> Result<Option<Snapshot<T>>, SnapshotError> {
        match Publication::new(number) {
            Some(publication) if number <= self.channel.page().publication_acquired() => {
                self.read_old(publication)
            }
            _ => Ok(None),
        }
    }

    /// A publication that the writer has announced.
    fn read_old(&mut self, publication: Publication) -> Result<Option<Snapshot<T>>, SnapshotError> {
        if let Strategy::Direct(direct) = C::strategy()
            && self.plan.is_none()
        {
            let mut state = direct.blank();
            let info = self.channel.read_publication(publication, &mut direct.destination(&mut state))?;
            return Ok(info.map(|info| Snapshot::new(state, self.remember(info))));
        }
        match self.channel.read_publication(publication, &mut &mut self.scratch)? {
            Some(info) => self.decoded(info).map(Some),
            None => Ok(None),
        }
    }

    /// The state for the payload in `scratch`.
    fn decoded(&mut self, info: SnapshotInfo) -> Result<Snapshot<T>, SnapshotError> {
        self.remember(info);
        state_of::<T, C>(&self.scratch, self.plan.as_deref(), self.channel(), info)
    }

    /// The latest state, in place or as a copy, of the one length that is expected.
    pub(crate) fn view_of<V: ?Sized>(&mut self, expected: Option<usize>) -> Result<View<V>, SnapshotError> {
        let Reader { channel, plan, scratch, .. } = self;
        let view = match ChannelView::again(channel, &self.last_view) {
            Some(view) => view,
            None => ChannelView::take(channel, expected, plan.is_none(), |channel, copy| match plan {
                Some(plan) => plan.snapshot(channel, scratch, copy),
                None => channel.snapshot(copy),
            })?,
        };
        self.remember(view.info);
        self.last_view = Arc::downgrade(&view);
        Ok(View::new(view))
    }

    /// The states of the channel as an asynchronous stream, beginning with the latest.
    #[cfg(feature = "async")]
    #[must_use]
    pub fn changes(self) -> Changes<T, C> {
        Changes::new(self)
    }

    #[cold]
    #[inline(never)]
    fn slow_value(&mut self, direct: &impl Direct<T>, torn: u32) -> Result<Snapshot<T>, SnapshotError> {
        let mut state = direct.blank();
        let info = self.slow_into(&mut direct.destination(&mut state), torn)?;
        Ok(Snapshot::new(state, info))
    }

    #[inline(never)]
    fn decode_into(&mut self, state: &mut T) -> Result<SnapshotInfo, SnapshotError> {
        let info = self.channel.snapshot(&mut &mut self.scratch)?;
        self.remember(info);
        Snapshot::decoded(C::decode_into(&self.scratch, state), C::NAME, self.channel(), info)
            .map(|done| done.info())
    }
}

impl<T, C> Reader<T, C> {
    /// Takes the snapshot that the fast path did not take. `torn` is its number of torn attempts, 0
    /// or 1. With a plan, copies only the plan's fields of the latest payload.
    #[cold]
    #[inline(never)]
    pub(super) fn slow_into(
        &mut self,
        state: &mut impl Destination,
        torn: u32,
    ) -> Result<SnapshotInfo, SnapshotError> {
        let info = match &self.plan {
            Some(plan) => plan.snapshot(&mut self.channel, &mut self.scratch, state)?,
            None => self.channel.slow(state, torn)?,
        };
        Ok(self.remember(info))
    }

    pub(crate) fn new(
        mut channel: ChannelReader,
        plan: Option<FieldPlan>,
        handle: NamespaceHandle,
        wait: WaitPolicy,
    ) -> Self {
        if plan.is_some() {
            channel.leave_fast_path();
        }
        let (scratch, plan) = (Vec::new(), plan.map(Arc::new));
        let last_view = Weak::new();
        Reader { channel, scratch, seen: 0, plan, last_view, handle, wait, waiter: None, types: PhantomData }
    }

    /// Whether there is a publication after the last one that this reader returned. Costs one load.
    ///
    /// Every publication counts as new before the first snapshot.
    #[inline]
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.channel.publication() > self.seen
    }

    /// Waits for a publication after the last one that this reader returned, at most for `timeout`;
    /// `false` after the timeout. Marks the publication as seen and copies nothing, so that the
    /// caller chooses how to read it:
    ///
    /// ```
    /// # use std::time::Duration;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let fleet = tearless::Namespace::in_process("fleet")?;
    /// # let mut writer = fleet.writer_builder::<u64>("worker-7").codec::<tearless::Pod>().open()?;
    /// # writer.publish(&7)?;
    /// # let mut reader = fleet.reader_builder::<u64>("worker-7").codec::<tearless::Pod>().open()?;
    /// let mut state = 0;
    /// while reader.changed(Duration::from_millis(10))? {
    ///     reader.snapshot_into(&mut state)?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// It waits as [`Reader::wait_after`] does.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::Closed`] if the channel has ended without a later publication.
    pub fn changed(&mut self, timeout: Duration) -> Result<bool, SnapshotError> {
        let has_changed = self.wait(self.seen, timeout)?;
        if has_changed {
            self.seen = self.channel.publication();
        }
        Ok(has_changed)
    }

    fn wait(&mut self, after: u64, timeout: Duration) -> Result<bool, SnapshotError> {
        let waiter = self.waiter.get_or_insert_with(|| self.handle.waiter(self.wait));
        match waiter.wait_after(&self.channel, after, timeout) {
            Waited::Newer => Ok(true),
            Waited::TimedOut => Ok(false),
            Waited::Ended => Err(self.channel.closed()),
        }
    }

    /// Notes that this publication was read.
    #[inline(always)]
    fn remember(&mut self, info: SnapshotInfo) -> SnapshotInfo {
        self.seen = self.seen.max(info.publication());
        info
    }
}

/// The state for a whole payload of `channel`, whose fields are where `plan` says.
pub(crate) fn state_of<T, C: Decode<T>>(
    payload: &[u8],
    plan: Option<&FieldPlan>,
    channel: &str,
    info: SnapshotInfo,
) -> Result<Snapshot<T>, SnapshotError> {
    if let (Strategy::Direct(direct), Some(plan)) = (C::strategy(), plan) {
        let mut state = direct.blank();
        plan.copy(channel, info, payload, &mut direct.destination(&mut state))?;
        return Ok(Snapshot::new(state, info));
    }
    Snapshot::decoded(C::decode(payload), C::NAME, channel, info)
}

impl<T, C> Clone for Reader<T, C> {
    fn clone(&self) -> Self {
        let Reader { channel, seen, plan, handle, wait, .. } = self;
        Reader {
            channel: channel.clone(),
            scratch: Vec::new(),
            seen: *seen,
            plan: plan.clone(),
            last_view: self.last_view.clone(),
            handle: handle.clone(),
            wait: *wait,
            waiter: None,
            types: PhantomData,
        }
    }
}

debug_by!(Reader<T, C>, |it|
    channel: it.channel(), publication: it.publication(), has_changed: it.has_changed());

/// The publications that a channel still holds, newest first. Made by [`Reader::history`].
#[derive(Debug)]
pub struct History<'a, T, C> {
    reader: &'a mut Reader<T, C>,
    latest: u64,
    next: u64,
}

impl<T, C: Decode<T>> Iterator for History<'_, T, C> {
    type Item = Result<Snapshot<T>, SnapshotError>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(publication) = self.reader.channel.within_reach(self.next, self.latest) {
            self.next -= 1;
            match self.reader.read_old(publication) {
                Ok(None) => {}
                Ok(Some(snapshot)) => return Some(Ok(snapshot)),
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }
}

impl<T, C: Decode<T>> std::iter::FusedIterator for History<'_, T, C> {}
