//! The typed writer of a channel.

mod builder;
mod loan;

pub use builder::WriterBuilder;
pub use loan::{Loan, LoanSink};

use std::marker::PhantomData;
use std::mem;
use std::os::fd::OwnedFd;

use crate::channel::{
    self, AttachError, ChannelWriter, CreateError, Format, PublishError, ReaderOptions, RemoveError,
    SnapshotError, WriterOptions, WriterStatistics,
};
use crate::codec::{Decode, Encode, MessagePack, Postcard};
use crate::object::ObjectError;
use crate::registry::Session;
use crate::snapshot::Snapshot;

/// The one writer of a channel: publishes states of type `T`, encoded by `C`.
///
/// Made by [`Namespace::writer`](crate::Namespace::writer) or
/// [`Namespace::writer_builder`](crate::Namespace::writer_builder). Dropping a writer ends the
/// channel as [`Writer::close`] does, without a result. That removes a former writer's state, too,
/// if this writer has published nothing; [`linger`](crate::WriterBuilder::linger) keeps it. A
/// killed process leaves the channel to its successor, and the last state stays readable.
#[must_use = "dropping a writer ends its channel"]
pub struct Writer<T: ?Sized, C = MessagePack> {
    session: Session,
    scratch: Vec<u8>,
    last_payload: LastPayload,
    types: PhantomData<fn(&T) -> C>,
}

impl<T: ?Sized> Writer<T> {
    /// Options for a writer of a sealed channel: see [`sealed`](crate::sealed). It has no name, and
    /// is read by processes that have its [descriptor](Writer::descriptor). `label` is for people:
    /// errors and `/proc` show it, and it need not be unique.
    pub fn sealed(label: &str) -> WriterBuilder<T> {
        WriterBuilder::new(None, label, WriterOptions::new(Format::new("", "")))
    }
}

impl<T: ?Sized, C: Encode<T>> Writer<T, C> {
    /// Publishes `state` and returns its number: 1 for the channel's first publication, then one
    /// more each time.
    ///
    /// Readers get it from the moment that this returns. Progress: wait-free, without a system call
    /// or an allocation, with two exceptions: the channel grows because the state is larger than
    /// any before; or a process waits ([`Reader::changed`](crate::Reader::changed)) and is woken by
    /// two to four system calls. Cost: encoding, one copy, one read of the clock
    /// ([`TimestampSource`](crate::options::TimestampSource)).
    ///
    /// # Errors
    ///
    /// [`PublishError`]; the last publication stays readable. If the codec panics, nothing is
    /// published.
    #[inline(always)]
    pub fn publish(&mut self, state: &T) -> Result<u64, PublishError> {
        let payload = encode::<T, C>(&mut self.session.channel, state, &mut self.scratch)?;
        self.session.channel.publish(payload)
    }

    /// Publishes `state` unless it encodes to the bytes of the last publication, and reports in
    /// either case that the writer works ([`Writer::touch`]). `None` if nothing was published.
    ///
    /// The comparison is with the last publication of *this writer*: its first call publishes, also
    /// after a takeover. A call after an ordinary [`Writer::publish`] publishes, too, because only
    /// this method keeps a copy of the payload. The copy is private memory; shared memory is never
    /// compared.
    ///
    /// Bytes are compared, not values: a `HashMap` that was built again may encode differently
    /// though it is equal.
    ///
    /// Progress: wait-free but for allocations while states become larger than any before. Cost:
    /// encoding, a comparison, and one read of the clock; two copies and another read of the clock
    /// if it publishes.
    ///
    /// # Errors
    ///
    /// As [`Writer::publish`]: then there is no heartbeat either, so that readers notice. And as
    /// [`Writer::touch`]: then the state is published.
    pub fn publish_if_changed(&mut self, state: &T) -> Result<Option<u64>, PublishError> {
        let published = match self.prepare(state)? {
            Changed::No => None,
            Changed::Yes => Some(self.publish_prepared()?),
        };
        self.touch()?;
        Ok(published)
    }

    /// Encodes `state` for [`Writer::publish_prepared`], unless it encodes to the bytes of the last
    /// publication.
    pub(crate) fn prepare(&mut self, state: &T) -> Result<Changed, PublishError> {
        let payload = encode::<T, C>(&mut self.session.channel, state, &mut self.scratch)?;
        Ok(self.last_payload.prepare(payload, self.session.channel.last()))
    }
}

impl<T, C: Decode<T>> Writer<T, C> {
    /// The channel's latest state, `None` before the first publication. After a takeover it is the
    /// predecessor's last state, from which a successor can resume. Plain data is returned by
    /// value, unless the writer's states are [`Boxed`](crate::Boxed). A state that can't be decoded
    /// stays for another program only if this writer lingers, or is killed.
    ///
    /// Cost: attaches a reader, which takes system calls, and a snapshot.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`]: [`SnapshotError::Closed`] if the channel's names were removed,
    /// [`SnapshotError::Decode`] if the predecessor's state has other fields.
    pub fn latest(&self) -> Result<Option<Snapshot<T>>, SnapshotError> {
        let (session, channel, last) = (&self.session, self.channel().to_owned(), self.publication());
        if last == 0 {
            return Ok(None);
        }
        let mut reader = match channel::attach(&session.backend, &session.name, &ReaderOptions::default()) {
            Ok(reader) if reader.instance() == session.channel.instance() => reader,
            Err(AttachError::Object { source, .. }) => return Err(SnapshotError::Object { channel, source }),
            // The name is that of another channel or of none.
            _ => return Err(SnapshotError::Closed { channel, last }),
        };
        let mut payload = Vec::new();
        let info = reader.snapshot(&mut &mut payload)?;
        Snapshot::decoded(C::decode(&payload), C::NAME, &channel, info).map(Some)
    }
}

impl<T: ?Sized, C> Writer<T, C> {
    /// Reports that the writer works and that its last publication is still its state: a heartbeat,
    /// see [`Reader::heartbeat_age`](crate::Reader::heartbeat_age).
    ///
    /// Once a second at most, it also checks that the channel's objects and the namespace's
    /// registry still have their names in their directory: by a system call (`stat`) for each. A
    /// registry without a name is made again, and has the channel again: by some more system calls.
    ///
    /// Progress: wait-free: it waits for no process, and gives the registry up for a second if
    /// another process is changing it. Cost: one read of the precise clock, one of the coarse one,
    /// and a store.
    ///
    /// # Errors
    ///
    /// [`PublishError::NamesRemoved`] if no other process can attach to the channel any more, and
    /// [`PublishError::RegistryNotRestored`] if none can list it. The heartbeat was given: attached
    /// readers can see it. Each call until the next check returns the same.
    ///
    /// [`PublishError::Forked`] in a fork of the process that opened the writer: the parent has the
    /// channel.
    pub fn touch(&mut self) -> Result<(), PublishError> {
        self.session.touch()
    }

    /// Creates the channel again with the same options, after one of its names was removed
    /// ([`PublishError::NamesRemoved`]). The new channel is empty until the next publication, which
    /// has number 1. Readers of the old channel see its end, as after [`Writer::close`]. If a copy
    /// of the old channel has its name, for example a restored backup, the new channel replaces it.
    ///
    /// # Errors
    ///
    /// [`CreateError`]; readers stay attached to the old channel, and the next call tries again.
    /// [`CreateError::AlreadyOwned`] if this channel has all of its names, or if another channel
    /// has its name, even one without a writer. [`CreateError::Object`] for a
    /// [sealed](Writer::sealed) channel, which has no name.
    pub fn reopen(&mut self) -> Result<(), CreateError> {
        self.session.reopen()?;
        self.last_payload = LastPayload::default();
        Ok(())
    }

    /// Publishes what [`Writer::prepare`] found changed, and returns its number. Does not touch.
    pub(crate) fn publish_prepared(&mut self) -> Result<u64, PublishError> {
        let publication = self.session.channel.publish(&self.last_payload.payload)?;
        self.last_payload.publication = Some(publication);
        Ok(publication)
    }

    /// The last publication has the final state of a worker that defers its publications.
    pub(crate) fn end_deferral(&mut self) {
        self.session.channel.end_deferral();
    }

    /// Bytes of what was prepared last.
    pub(crate) fn prepared_len(&self) -> usize {
        self.last_payload.payload.len()
    }

    /// A descriptor of a [sealed](Writer::sealed) channel, to hand out to a reader: open only for
    /// reading, and closed in programs that this process executes. The channel's memory exists as
    /// long as one of them, or of their copies, is open.
    ///
    /// Cost: a system call, and a descriptor of this process until it is dropped.
    ///
    /// # Errors
    ///
    /// [`ObjectError::NotSealed`] if the channel has a name, [`ObjectError::Limit`] if this process
    /// may open no more descriptors.
    pub fn descriptor(&self) -> Result<OwnedFd, ObjectError> {
        self.session.backend.descriptor()
    }

    /// The channel's name.
    #[must_use]
    pub fn channel(&self) -> &str {
        self.session.channel.channel()
    }

    /// Number of the last publication, 0 before the first. Continues where a former writer ended.
    #[must_use]
    pub fn publication(&self) -> u64 {
        self.session.channel.last()
    }

    /// Payload bytes that fit without growing into either segment. A large state grows only the
    /// segment that it is written to, so the smaller segment counts.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.session.channel.capacity()
    }

    /// Slots of the channel, in both segments together. A copy by a reader is torn only if the
    /// writer publishes about that often during the copy.
    #[must_use]
    pub fn slots(&self) -> u64 {
        self.session.channel.slots()
    }

    /// How often a segment of the channel was replaced by a larger or smaller one, by former
    /// writers too.
    #[must_use]
    pub fn growths(&self) -> u64 {
        self.session.channel.growths()
    }

    /// Counters of this writer since it was opened. Costs some loads of its own memory.
    #[must_use]
    pub fn statistics(&self) -> WriterStatistics {
        self.session.channel.statistics()
    }

    /// Gives back memory that the channel has grown by. For each segment that has grown, its next
    /// publication creates one that is no larger than needed, even below the initial capacity. If
    /// there is no memory for both, the large one stays, and a later publication replaces it.
    pub fn shrink_to_fit(&mut self) {
        self.session.channel.shrink_to_fit();
        self.scratch.shrink_to_fit();
        self.last_payload = LastPayload::default();
    }

    /// Ends the channel: removes its names or, with [`linger`](WriterBuilder::linger), leaves the
    /// last state readable. Attached readers see the end either way.
    ///
    /// In a fork of the process that opened the writer it does nothing.
    ///
    /// # Errors
    ///
    /// [`RemoveError::Left`] names the objects that can't be removed, and [`RemoveError::Entry`]
    /// means that only the registry's entry stays. Everything else has been done.
    pub fn close(mut self) -> Result<(), RemoveError> {
        self.session.close()
    }

    /// Ends the channel and leaves the last state readable, with or without
    /// [`linger`](WriterBuilder::linger).
    ///
    /// # Errors
    ///
    /// As [`Writer::close`].
    pub fn close_lingering(mut self) -> Result<(), RemoveError> {
        self.session.close_lingering()
    }

    /// Ends a channel on which this writer published nothing: the state of a former writer stays as
    /// it was, and an empty channel is removed.
    pub(crate) fn abandon(mut self) {
        // The caller reports why it gave up.
        let _ = self.session.abandon();
    }
}

/// A codec whose writers have loans. For the compiler's error about those that have none.
#[diagnostic::on_unimplemented(
    message = "a writer with the codec `{Self}` has no slot to lend: it encodes in private memory",
    label = "this codec has no loans",
    note = "`Writer::encode` encodes a state now, and its `Loan::publish` publishes it later",
    note = "writers with the codecs `Bytes` and `Pod` have loans"
)]
pub trait Lends<T: ?Sized> {}

impl<T: ?Sized> Writer<T, MessagePack> {
    #[doc(hidden)]
    pub fn loan(&mut self)
    where
        MessagePack: Lends<T>,
    {
    }
}

impl<T: ?Sized> Writer<T, Postcard> {
    #[doc(hidden)]
    pub fn loan(&mut self)
    where
        Postcard: Lends<T>,
    {
    }
}

/// The payload of `state`. An error or a panic of the codec counts as a failure of the writer.
#[inline(always)]
fn encode<'a, T: ?Sized, C: Encode<T>>(
    channel: &mut ChannelWriter,
    state: &'a T,
    scratch: &'a mut Vec<u8>,
) -> Result<&'a [u8], PublishError> {
    let unfinished = Unfinished(channel);
    let encoded = C::encode(state, scratch);
    // Dropped only while a panic unwinds.
    mem::forget(unfinished);
    encoded.map_err(|source| {
        let name = channel.channel().to_owned();
        channel.failed(PublishError::Encode { channel: name, codec: C::NAME, source })
    })
}

/// Counts an encoding that does not return.
struct Unfinished<'a>(&'a mut ChannelWriter);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.0.count_failure();
    }
}

/// Whether a state has to be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// It encodes to the bytes of the last publication.
    No,
    /// It encodes to other bytes, or there is nothing to compare with.
    Yes,
}

/// A private copy of a payload that was published or is about to be. Allocates nothing before its
/// first use.
#[derive(Debug, Default)]
struct LastPayload {
    payload: Vec<u8>,
    /// The number under which `payload` was published; `None` if it is not published. After an
    /// ordinary publish the channel's last number is a later one, and the copy is not compared.
    publication: Option<u64>,
}

impl LastPayload {
    /// Compares `payload` with that of publication `last`, the writer's last one, and keeps it if
    /// it differs.
    fn prepare(&mut self, payload: &[u8], last: u64) -> Changed {
        if self.publication == Some(last) && self.payload == payload {
            return Changed::No;
        }
        // First: a panic during the copy must not leave a mixture that counts as published.
        self.publication = None;
        self.payload.clear();
        self.payload.extend_from_slice(payload);
        Changed::Yes
    }
}

debug_by!(Writer<T: ?Sized, C>, |it|
    channel: it.channel(), publication: it.publication(), capacity: it.capacity());
