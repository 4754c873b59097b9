//! A few bytes of a large state.

use std::marker::PhantomData;

use super::Reader;
use crate::channel::{SnapshotError, SnapshotInfo};
use crate::codec::Pod;
use crate::seqlock::Part;
use crate::snapshot::Snapshot;

/// Where a field of type `F` stands in a plain state of type `S`. Made by [`field_of!`](crate::field_of).
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
    /// For [`field_of!`](crate::field_of). A wrong offset reads another field's bytes, or is refused.
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
    pub const fn index(self, index: usize) -> Field<S, F> {
        assert!(index < N, "the array has no such element");
        Field { offset: self.offset + index * size_of::<F>(), types: PhantomData }
    }
}

/// Where a field of a plain state stands, for [`Reader::field`](crate::Reader::field): `field_of!(State, position)`, or
/// `field_of!(State, motor.speed)`. Of an array, [`Field::index`] gives an element.
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
    /// Copies `into.len()` bytes of the latest payload, from byte `offset` on, validated as a snapshot is.
    ///
    /// What [`SnapshotInfo::payload_len`] says is the length of the whole payload. Progress: as
    /// [`Reader::snapshot`]. Cost: that of the bytes asked for; on a channel with checksums that of the whole payload,
    /// which has to be copied to be verified.
    ///
    /// # Errors
    ///
    /// As [`Reader::snapshot`]; [`SnapshotError::OutOfRange`] if the payload has not so many bytes. Then `into` holds
    /// unspecified bytes.
    #[inline(always)]
    pub fn read_at(&mut self, offset: usize, into: &mut [u8]) -> Result<SnapshotInfo, SnapshotError> {
        if self.channel.has_checksum() {
            return self.read_verified(offset, into);
        }
        let mut part = Part { offset, into };
        self.channel.snapshot(&mut part).map_err(|error| out_of_range(error, offset, part.into.len()))
    }

    /// What stands beside the latest state: its number, date and length. Not a byte of the state is copied, nor its
    /// checksum verified. `None` before the first publication, once the channel is removed, and where the writer overwrites
    /// its slots faster than they can be looked at.
    ///
    /// Progress: bounded. Cost: some loads, however large the state is.
    #[must_use]
    pub fn latest_info(&mut self) -> Option<SnapshotInfo> {
        self.channel.latest_info()
    }

    #[cold]
    fn read_verified(&mut self, offset: usize, into: &mut [u8]) -> Result<SnapshotInfo, SnapshotError> {
        let info = self.channel.snapshot(&mut &mut self.scratch)?;
        let part = self.scratch.get(offset..).and_then(|rest| rest.get(..into.len()));
        match part {
            Some(part) => into.copy_from_slice(part),
            None => {
                let channel = self.channel().into();
                let (publication, len, wanted) = (info.publication(), self.scratch.len(), into.len());
                return Err(SnapshotError::OutOfRange { channel, publication, len, offset, wanted });
            }
        }
        Ok(info)
    }
}

/// The error of a payload that lacks the wanted part: the part's destination refused its length.
#[cold]
fn out_of_range(error: SnapshotError, offset: usize, wanted: usize) -> SnapshotError {
    match error {
        SnapshotError::WrongLength { channel, publication, len, .. } => {
            SnapshotError::OutOfRange { channel, publication, len, offset, wanted }
        }
        error => error,
    }
}

impl<T: bytemuck::Pod> Reader<T, Pod> {
    /// A field of the latest state: `reader.field(field_of!(State, position))`. See [`field_of!`](crate::field_of).
    ///
    /// Progress and cost: as [`Reader::read_at`].
    ///
    /// # Errors
    ///
    /// As [`Reader::read_at`].
    #[inline(always)]
    pub fn field<F: bytemuck::Pod>(&mut self, field: Field<T, F>) -> Result<Snapshot<F>, SnapshotError> {
        let mut value = F::zeroed();
        let info = self.read_at(field.offset, bytemuck::bytes_of_mut(&mut value))?;
        Ok(Snapshot::new(value, info))
    }
}
