//! Readers of states that have changed: by the names of their fields.

use std::fmt;
use std::marker::PhantomData;

use super::{Reader, ReaderBuilder, retry_attach};
use crate::channel::SnapshotInfo;
use crate::channel::{AttachError, Format, SnapshotError};
use crate::codec::{Bytes, Pod};

use crate::schema::{Describe, DescribePod, Move, Schema, plan};
use crate::snapshot::Snapshot;

/// A reader of plain data that takes each field of `T` from where the channel has it. Made by
/// [`ReaderBuilder::open_by_name`].
pub struct ByName<T> {
    reader: Reader<Vec<u8>, Bytes>,
    /// The length of each payload.
    payload: usize,
    moves: Vec<Move>,
    scratch: Vec<u8>,
    state: PhantomData<fn() -> T>,
}

impl<T: DescribePod> ReaderBuilder<T, Pod> {
    /// Attaches to a channel whose plain data has all fields of `T`, by name and type. It may have more of them, and
    /// have them in another order: a program goes on reading while its workers are replaced by newer ones.
    ///
    /// The channel must be [described](crate::WriterBuilder::with_schema). Elements of arrays and tuple structs are told by
    /// their positions, and must be equally many.
    ///
    /// Cost: as a described reader's; besides, the copies are planned once. In an array `[Part; n]` whose elements have other
    /// fields, or reordered ones, each element takes one copy for each run of fields that stand together in both: so many
    /// are kept in memory, 24 bytes each, and made by each snapshot.
    ///
    /// # Errors
    ///
    /// [`AttachError`]; [`AttachError::NoSchema`] if the channel carries no schema, [`AttachError::SchemaDiffers`] with
    /// the fields that it lacks or has with other types.
    pub fn open_by_name(self) -> Result<ByName<T>, AttachError> {
        let own = <Pod as Describe<T>>::describe();
        if own.fixed_len() != Some(size_of::<T>() as u64) {
            let reason = "the reader's DescribePod says another size than its type has".into();
            return Err(AttachError::SchemaUnknown { channel: self.channel, reason });
        }
        retry_attach(|| self.clone().attach_by_name(&own))
    }

    fn attach_by_name(self, own: &Schema) -> Result<ByName<T>, AttachError> {
        let ReaderBuilder { handle, channel, attach, retry, wait, .. } = self;
        let builder = ReaderBuilder::<Vec<u8>, Bytes>::new(handle, &channel);
        let reader = builder
            .attach_policy(attach)
            .retry_policy(retry)
            .wait_policy(wait)
            .accept(crate::accept::Any)
            .open()?;
        reader.channel.has_codec(&Format::new(Pod::NAME, &own.to_string()))?;
        let schema_bytes = reader.schema_bytes()?;
        let schema_bytes = schema_bytes.ok_or_else(|| AttachError::NoSchema { channel: channel.clone() })?;
        let unknown = |reason| AttachError::SchemaUnknown { channel: channel.clone(), reason };
        let schema = Schema::from_bytes(&schema_bytes).map_err(|error| unknown(error.to_string()))?;
        let moves = plan(&schema, own).map_err(|differences| {
            let texts: Vec<_> = differences.iter().map(ToString::to_string).collect();
            AttachError::SchemaDiffers { channel: channel.clone(), differences: texts.join("; ") }
        })?;
        let size = schema.fixed_len().and_then(|size| usize::try_from(size).ok());
        let payload = size.ok_or_else(|| unknown("it has no size".into()))?;
        Ok(ByName { reader, payload, moves, scratch: Vec::new(), state: PhantomData })
    }
}

impl<T: DescribePod> ByName<T> {
    /// A whole copy of the latest state, with the fields that `T` has.
    ///
    /// Progress: as [`Reader::snapshot`]. Cost: one copy of the payload, and one of each field, or of neighbouring ones
    /// together.
    ///
    /// # Errors
    ///
    /// As [`Reader::snapshot`].
    pub fn snapshot(&mut self) -> Result<Snapshot<T>, SnapshotError> {
        let mut state = T::zeroed();
        let info = self.snapshot_into(&mut state)?;
        Ok(Snapshot::new(state, info))
    }

    /// The same into a value that exists.
    ///
    /// # Errors
    ///
    /// As [`Reader::snapshot`]; then `state` is unchanged.
    pub fn snapshot_into(&mut self, state: &mut T) -> Result<SnapshotInfo, SnapshotError> {
        let info = self.reader.snapshot_into(&mut self.scratch)?;
        if self.scratch.len() != self.payload {
            return Err(SnapshotError::WrongLength {
                channel: self.reader.channel().into(),
                publication: info.publication(),
                len: self.scratch.len(),
                expected: self.payload,
            });
        }
        // Every move is inside of both: the plan was made of their schemas, whose sizes these are.
        let bytes = bytemuck::bytes_of_mut(state);
        for Move { from, to, len } in &self.moves {
            bytes[*to..to + len].copy_from_slice(&self.scratch[*from..from + len]);
        }
        Ok(info)
    }

    /// The reader of the channel's payloads.
    #[must_use]
    pub fn reader(&self) -> &Reader<Vec<u8>, Bytes> {
        &self.reader
    }

    /// The reader of the channel's payloads, for what changes it: waiting, history.
    #[must_use]
    pub fn reader_mut(&mut self) -> &mut Reader<Vec<u8>, Bytes> {
        &mut self.reader
    }
}

impl<T> fmt::Debug for ByName<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ByName").field("reader", &self.reader).field("moves", &self.moves).finish()
    }
}
