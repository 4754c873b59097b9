//! What a reader answers without a copy of the whole state: parts of it, its number, the writer,
//! the format.

use std::marker::PhantomData;
use std::time::Duration;

use super::Reader;
use crate::channel::{
    AttachError, OriginInfo, ReaderStatistics, SnapshotError, SnapshotInfo, WriterState, origin_of,
    writer_state,
};
use crate::clock::TimestampSource;
use crate::codec::{Bytes, Decode, Plain, Pod};
use crate::health::{Health, Signs, Thresholds, look_at_one_writer};
use crate::object::ObjectError;
use crate::seqlock::{Beginning, Destination, Part};
use crate::snapshot::Snapshot;
use crate::view::{self, View};

/// A field of type `F` in a plain state of type `S`: its offset. Made by
/// [`field_of!`](crate::field_of).
#[derive(Debug)]
pub struct Field<S, F> {
    offset: usize,
    types: PhantomData<fn(&S) -> F>,
}

impl<S, F> Clone for Field<S, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S, F> Copy for Field<S, F> {}

impl<S, F> Field<S, F> {
    /// For [`field_of!`](crate::field_of). A wrong offset reads another field, or is out of range.
    #[doc(hidden)]
    #[must_use]
    pub const fn at_offset(offset: usize, _get: fn(&S) -> F) -> Field<S, F> {
        Field { offset, types: PhantomData }
    }

    /// Bytes from the beginning of the state.
    #[must_use]
    pub const fn offset(self) -> usize {
        self.offset
    }
}

impl<S, F, const N: usize> Field<S, [F; N]> {
    /// The element of this index.
    ///
    /// # Panics
    ///
    /// If the array has no such element.
    #[must_use]
    #[track_caller]
    pub const fn index(self, index: usize) -> Field<S, F> {
        // Panics with both numbers, which `assert!` can't in a `const fn`.
        let () = [(); N][index];
        Field { offset: self.offset + index * size_of::<F>(), types: PhantomData }
    }
}

impl<T> Reader<T, Bytes>
where
    Bytes: Decode<T>,
{
    /// The latest state, in place if that can be, or as a copy: see [`view`].
    ///
    /// Progress: wait-free, unless it copies; then as [`Reader::snapshot`]. A system call at the
    /// first view, and if the writer replaced a segment since the last one.
    ///
    /// # Errors
    ///
    /// As [`Reader::snapshot`].
    pub fn view(&mut self) -> Result<View<[u8]>, SnapshotError> {
        self.view_of(None)
    }
}

impl<T> Reader<T, Bytes> {
    /// Copies the payload of the latest state to the beginning of `into`;
    /// [`SnapshotInfo::payload_len`] is its length. For a program that has memory of its own for
    /// states, as one that binds another language.
    ///
    /// Progress and cost: as [`Reader::snapshot`]; no allocation.
    ///
    /// # Errors
    ///
    /// As [`Reader::snapshot`]; [`SnapshotError::BufferTooSmall`] if the payload is longer than
    /// `into`. After an error `into` holds unspecified bytes.
    #[inline(always)]
    pub fn snapshot_into_slice(&mut self, into: &mut [u8]) -> Result<SnapshotInfo, SnapshotError> {
        let fast = self.channel.snapshot_fast(&mut Beginning::of(into));
        match fast {
            Ok(info) => Ok(self.remember(info)),
            Err(torn) => match self.slow_into(&mut Beginning::of(into), torn) {
                Ok(info) => Ok(info.by_field()),
                Err(error) => Err(too_small(error)),
            },
        }
    }

    /// The one attempt of [`Reader::snapshot_into_slice`] that mostly succeeds; `None` if that took
    /// more, or ends in an error. For bindings: it neither allocates nor panics.
    #[doc(hidden)]
    #[inline(always)]
    pub fn try_snapshot_into_slice(&mut self, into: &mut [u8]) -> Option<SnapshotInfo> {
        self.try_snapshot(Beginning::of(into))
    }

    /// The same for states of `N` bytes.
    #[doc(hidden)]
    #[inline(always)]
    pub fn try_snapshot_into_array<const N: usize>(&mut self, into: &mut [u8; N]) -> Option<SnapshotInfo> {
        self.try_snapshot(&mut into[..])
    }

    #[inline(always)]
    fn try_snapshot(&mut self, mut into: impl Destination) -> Option<SnapshotInfo> {
        let info = self.channel.snapshot_fast(&mut into).ok()?;
        self.seen = info.publication();
        Some(info)
    }

    /// Copies the payload of the newest publication before number `before` that the channel still
    /// holds to the beginning of `into`; `None` if it holds none. [`u64::MAX`] begins with the
    /// latest, and the number of each publication leads to the one before it, as
    /// [`Reader::history`] does.
    ///
    /// Progress: wait-free, once the segments are mapped. Cost: as a snapshot, for each publication
    /// that is tried.
    ///
    /// # Errors
    ///
    /// As [`Reader::snapshot_into_slice`].
    pub fn history_into_slice(
        &mut self,
        before: u64,
        into: &mut [u8],
    ) -> Result<Option<SnapshotInfo>, SnapshotError> {
        let latest = self.channel.page().publication_acquired();
        let mut number = before.saturating_sub(1).min(latest);
        while let Some(publication) = self.channel.within_reach(number, latest) {
            number -= 1;
            let read = match &self.plan {
                None => self.channel.read_publication(publication, &mut Beginning::of(into)),
                Some(plan) => match self.channel.read_publication(publication, &mut &mut self.scratch)? {
                    Some(info) => plan
                        .copy(self.channel.channel(), info, &self.scratch, &mut Beginning::of(into))
                        .map(Some),
                    None => Ok(None),
                },
            };
            if let Some(info) = read.map_err(too_small)? {
                return Ok(Some(self.remember(info)));
            }
        }
        Ok(None)
    }
}

impl<S: Plain> Reader<S, Pod> {
    /// The latest state, in place if that can be, or as a copy: see [`view`].
    ///
    /// A reader whose fields are at other offsets than the channel's
    /// ([`MatchingFields`](crate::accept::MatchingFields)) copies. A type that needs an alignment
    /// of more than 8 bytes does not compile.
    ///
    /// Progress: wait-free, unless it copies; then as [`Reader::snapshot`]. A system call at the
    /// first view, and if the writer replaced a segment since the last one.
    ///
    /// # Errors
    ///
    /// As [`Reader::snapshot`].
    pub fn view(&mut self) -> Result<View<S::Data>, SnapshotError> {
        const { view::assert_aligned::<S::Data>() }
        self.view_of(Some(size_of::<S::Data>()))
    }
}

/// A field of a plain state, for [`Reader::field`](crate::Reader::field):
/// `field_of!(State, position)` or `field_of!(State, motor.speed)`. [`Field::index`] is an element
/// of an array.
///
/// ```
/// # use tearless::{Namespace, Pod, field_of};
/// #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
/// #[repr(C)]
/// struct Robot { position: [f64; 3], image: [u8; 4096] }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let fleet = Namespace::open("fleet-of-fields")?;
/// let mut writer = fleet.writer_builder::<Robot>("robot").codec::<Pod>().open()?;
/// writer.publish(&Robot { position: [1.0, 2.0, 3.0], image: [0; 4096] })?;
///
/// let mut reader = fleet.reader_builder::<Robot>("robot").codec::<Pod>().open()?;
/// let height = reader.field(field_of!(Robot, position).index(2))?; // copies 8 bytes
/// assert_eq!(*height, 3.0);
/// # Ok(())
/// # }
/// ```
#[macro_export]
macro_rules! field_of {
    ($state:ty, $($field:tt)+) => {
        $crate::Field::<$state, _>::at_offset(
            ::core::mem::offset_of!($state, $($field)+),
            |state: &$state| state.$($field)+,
        )
    };
}

impl<T, C> Reader<T, C> {
    /// Copies `into.len()` bytes of the latest payload, from byte `offset` on, validated as a
    /// snapshot is. The payload is as the channel has it, whatever was [accepted](crate::accept).
    ///
    /// Progress: as [`Reader::snapshot`]. Cost: that of the bytes asked for; on a channel with
    /// checksums that of the whole payload, which is copied to be verified.
    /// [`SnapshotInfo::payload_len`] is the length of the whole payload.
    ///
    /// # Errors
    ///
    /// As [`Reader::snapshot`]; [`SnapshotError::OutOfRange`] if the payload is too short. After an
    /// error `into` holds unspecified bytes.
    #[inline(always)]
    pub fn read_at(&mut self, offset: usize, into: &mut [u8]) -> Result<SnapshotInfo, SnapshotError> {
        if self.channel.has_checksum() {
            return self.read_verified(offset, into);
        }
        let part = &mut Part { offset, into };
        match self.channel.snapshot(part) {
            Ok(info) => Ok(self.remember(info)),
            Err(error) => Err(out_of_range(error, offset, part.into.len())),
        }
    }

    /// The latest publication without its state: number, age and length. Copies not a byte of the
    /// state and verifies no checksum. `None` before the first publication, once the channel is
    /// removed, and while the writer overwrites its slots faster than the reader can look at them.
    ///
    /// Progress: bounded. Cost: some loads, however large the state is.
    #[must_use]
    pub fn latest_info(&mut self) -> Option<SnapshotInfo> {
        if self.channel.is_removed() { None } else { self.channel.latest_info() }
    }

    /// [`Reader::latest_info`], or why there is none. For bindings.
    #[doc(hidden)]
    pub fn latest_info_or_reason(&mut self) -> Result<SnapshotInfo, SnapshotError> {
        if let Some(info) = self.latest_info() {
            return Ok(info);
        }
        // A state that comes just now is not taken for one that was returned.
        let seen = self.seen;
        let read = self.read_at(0, &mut []);
        self.seen = seen;
        read
    }

    #[cold]
    fn read_verified(&mut self, offset: usize, into: &mut [u8]) -> Result<SnapshotInfo, SnapshotError> {
        let info = self.channel.snapshot(&mut &mut self.scratch)?;
        self.remember(info);
        let Some(part) = self.scratch.get(offset..).and_then(|rest| rest.get(..into.len())) else {
            let (channel, publication) = (self.channel().into(), info.publication());
            let (len, wanted) = (self.scratch.len(), into.len());
            return Err(SnapshotError::OutOfRange { channel, publication, len, offset, wanted });
        };
        into.copy_from_slice(part);
        Ok(info)
    }

    /// Number of the latest publication, 0 before the first. Costs one load.
    #[inline]
    #[must_use]
    pub fn publication(&self) -> u64 {
        self.channel.publication()
    }

    /// The channel's name.
    #[must_use]
    pub fn channel(&self) -> &str {
        self.channel.channel()
    }

    /// Whether the writer has closed the channel. A killed writer has not.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.channel.is_closed()
    }

    /// State of the channel's writer, from its lock and, if a process holds the lock, from `/proc`.
    /// No timer is involved: a writer that is stopped or slow is not dead, and a writer that was
    /// killed is dead at once.
    ///
    /// Cost: some system calls, microseconds.
    ///
    /// # Errors
    ///
    /// If the system does not let the control page be queried.
    pub fn writer_state(&self) -> Result<WriterState, ObjectError> {
        writer_state(&self.channel)
    }

    /// How the worker is, by its lock, its process, the clock and the interval that it promises:
    /// see [`Health`]. The thresholds are the default ones of a [`Hub`](crate::hub::Hub), which
    /// gives the same answer.
    ///
    /// Cost: that of [`Reader::writer_state`].
    ///
    /// # Errors
    ///
    /// If the system does not let the control page be queried.
    pub fn health(&mut self) -> Result<Health, ObjectError> {
        let look = |channel: &mut _| writer_state(channel).map(|writer| Signs::of(channel, writer));
        let signs = look_at_one_writer(&mut self.channel, look)?;
        Ok(Health::judge(&signs, Thresholds::default()))
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

    /// Time since the current writer last reported that it works: by
    /// [`Writer::touch`](crate::Writer::touch),
    /// [`Writer::publish_if_changed`](crate::Writer::publish_if_changed) or a tick of a
    /// [`Syncer`](crate::syncer::Syncer). `None` if it has not.
    /// [`Writer::publish`](crate::Writer::publish) alone is no heartbeat;
    /// [`Snapshot::age`](crate::Snapshot::age) is the time since a publication.
    ///
    /// An old heartbeat proves nothing: the writer may be stopped, slow, or busy elsewhere.
    /// The age counts time for which the machine slept. [`Reader::writer_state`] says whether the
    /// writer is dead. Costs one load, and one read of the clock.
    #[must_use]
    pub fn heartbeat_age(&self) -> Option<Duration> {
        self.channel.page().heartbeat_age()
    }

    /// The longest time between two heartbeats that the current writer promised
    /// ([`WriterBuilder::heartbeat_interval`](crate::WriterBuilder::heartbeat_interval)); `None` if
    /// it promised none. Costs one load.
    ///
    /// A caller waits for several intervals before it acts on an old [`Reader::heartbeat_age`], or
    /// leaves the judgement to [`Reader::health`], which does not count time asleep.
    #[must_use]
    pub fn heartbeat_interval(&self) -> Option<Duration> {
        self.channel.page().heartbeat_interval()
    }

    /// Random id of the channel. If
    /// [`ChannelInfo::instance`](crate::inspect::ChannelInfo::instance) has another one for its
    /// name, this reader's channel has lost its name: it was removed, or its objects were unlinked
    /// by hand.
    #[must_use]
    pub fn instance(&self) -> u64 {
        self.channel.instance()
    }

    /// How many writers the channel has had so far, one after the other. Of a
    /// [mirrored](crate::mirror) channel: how many mirrors.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.channel.page().incarnation()
    }

    /// Process id of the writer, or of the last one, in its own PID namespace. Of a
    /// [mirrored](crate::mirror) channel: of the mirror on this host.
    #[must_use]
    pub fn writer_pid(&self) -> u64 {
        self.channel.page().owner().pid
    }

    /// What a [mirrored](crate::mirror) channel is a copy of, as far as its host has told; `None`
    /// of any other channel. Costs some loads, and one read of the clock.
    #[must_use]
    pub fn origin_status(&self) -> Option<OriginInfo> {
        origin_of(&self.channel)
    }

    /// How often a segment of the channel was replaced by a larger or smaller one.
    #[must_use]
    pub fn growths(&self) -> u64 {
        self.channel.page().growths()
    }

    /// Counters of this reader since it was attached. Costs some loads of its own memory.
    #[must_use]
    pub fn statistics(&self) -> ReaderStatistics {
        self.channel.statistics()
    }

    /// The name of the writer's codec, from the control page: for people, cut after 64 bytes.
    #[must_use]
    pub fn codec_name(&self) -> &str {
        &self.channel.format().codec
    }

    /// The type name of the writer's states, from the control page: for people, cut after 512
    /// bytes.
    #[must_use]
    pub fn type_name(&self) -> &str {
        &self.channel.format().type_name
    }

    /// Whether the current writer gives its publications timestamps, so that snapshots have an age.
    /// Costs one load.
    #[must_use]
    pub fn has_timestamps(&self) -> bool {
        self.channel.page().timestamps() != TimestampSource::None
    }

    /// The bytes of the schema that the channel carries; `None` if it carries none.
    /// `schema::Schema::from_bytes` reads them (feature `schema`).
    ///
    /// They belong to the channel, not to a publication, and never change. A caller reads them
    /// once.
    ///
    /// Progress: wait-free. Cost: a copy, a fingerprint.
    ///
    /// # Errors
    ///
    /// [`AttachError::SchemaCorrupt`] if the bytes are not those that the writer wrote. Snapshots
    /// can be taken all the same.
    pub fn schema_bytes(&self) -> Result<Option<Vec<u8>>, AttachError> {
        self.channel.schema_bytes()
    }
}

impl<S: Plain> Reader<S, Pod> {
    /// A field of the latest state: `reader.field(field_of!(State, position))`. See
    /// [`field_of!`](crate::field_of).
    ///
    /// Progress and cost: as [`Reader::read_at`]. If the channel has the fields at other offsets
    /// ([`MatchingFields`](crate::accept::MatchingFields)): a copy of the whole payload.
    ///
    /// # Errors
    ///
    /// As [`Reader::read_at`].
    #[inline(always)]
    pub fn field<F: bytemuck::Pod>(
        &mut self,
        field: Field<S::Data, F>,
    ) -> Result<Snapshot<F>, SnapshotError> {
        let mut value = F::zeroed();
        let bytes = bytemuck::bytes_of_mut(&mut value);
        let info = match self.plan {
            None => self.read_at(field.offset(), bytes)?,
            Some(_) => self.slow_into(&mut Part { offset: field.offset(), into: bytes }, 0)?,
        };
        Ok(Snapshot::new(value, info))
    }
}

/// The error for a payload that does not fit in a buffer.
#[cold]
fn too_small(error: SnapshotError) -> SnapshotError {
    match error {
        SnapshotError::WrongLength { channel, publication, len, expected: capacity } if len > capacity => {
            SnapshotError::BufferTooSmall { channel, publication, len, capacity }
        }
        error => error,
    }
}

/// The error for a part of a payload that does not reach so far.
#[cold]
fn out_of_range(error: SnapshotError, offset: usize, wanted: usize) -> SnapshotError {
    match error {
        SnapshotError::WrongLength { channel, publication, len, .. } => {
            SnapshotError::OutOfRange { channel, publication, len, offset, wanted }
        }
        error => error,
    }
}
