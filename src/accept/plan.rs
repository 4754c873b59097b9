//! The checks behind the choices, and the plan by which fields are copied.

use crate::channel::{AttachError, ChannelReader, Format};
#[cfg(feature = "schema")]
use crate::{
    codec::{Plain, Pod},
    schema::{Describe, DescribePod, Move, Schema, plan},
};

/// A channel that was attached to, and the codec and type name that the reader expects.
#[derive(Debug)]
pub struct Candidate<'a> {
    reader: &'a ChannelReader,
    expected: &'a Format,
}

impl<'a> Candidate<'a> {
    pub(crate) fn new(reader: &'a ChannelReader, expected: &'a Format) -> Candidate<'a> {
        Candidate { reader, expected }
    }

    pub(super) fn has_format(&self) -> Result<(), AttachError> {
        self.reader.has_format(self.expected)
    }

    #[cfg(any(feature = "schema", feature = "message-pack"))]
    pub(super) fn has_codec(&self) -> Result<(), AttachError> {
        self.reader.has_codec(self.expected)
    }
}

#[cfg(feature = "schema")]
impl Candidate<'_> {
    /// Whether the channel carries this schema; if it carries none, whether it has the format.
    pub(super) fn has_schema(&self, own: &Schema) -> Result<(), AttachError> {
        let Some(schema) = self.reader.schema_bytes()? else { return self.has_format() };
        // A schema of another encoding would differ everywhere. The codec's name is the better
        // error.
        self.has_codec()?;
        let differences = self.schema(&schema)?.differences(own);
        if differences.is_empty() { Ok(()) } else { Err(self.differs(&differences)) }
    }

    /// The plan that copies the fields of `S` from the channel's payloads; `None` if both have one
    /// layout.
    pub(super) fn has_fields<S>(&self) -> Result<Option<FieldPlan<S>>, AttachError>
    where
        S: Plain<Data: DescribePod>,
    {
        let own = <Pod as Describe<S>>::describe();
        let own_len = size_of::<S::Data>();
        if own.fixed_len() != Some(own_len as u64) {
            return Err(self.unknown(&"the reader's DescribePod and its type have different sizes"));
        }
        self.has_codec()?;
        let schema = self.reader.schema_bytes()?;
        let channel = || self.reader.channel().to_owned();
        let schema = self.schema(&schema.ok_or_else(|| AttachError::NoSchema { channel: channel() })?)?;
        let moves = plan(&schema, &own).map_err(|differences| self.differs(&differences))?;
        let size = schema.fixed_len().and_then(|size| usize::try_from(size).ok());
        let payload_len = size.ok_or_else(|| self.unknown(&"it has no size"))?;
        // Whether payload and value are the same bytes.
        let is_same = payload_len == own_len && moves == [Move { from: 0, to: 0, len: own_len }];
        let bytes_of: fn(&mut S) -> &mut [u8] = |state| bytemuck::bytes_of_mut(state.data_mut());
        Ok((!is_same).then_some(FieldPlan { payload_len, moves, bytes_of }))
    }

    fn schema(&self, bytes: &[u8]) -> Result<Schema, AttachError> {
        Schema::from_bytes(bytes).map_err(|error| self.unknown(&error))
    }

    fn unknown(&self, reason: &impl ToString) -> AttachError {
        AttachError::SchemaUnknown { channel: self.reader.channel().into(), reason: reason.to_string() }
    }

    fn differs(&self, differences: &[impl ToString]) -> AttachError {
        let texts: Vec<_> = differences.iter().map(ToString::to_string).collect();
        AttachError::SchemaDiffers { channel: self.reader.channel().into(), differences: texts.join("; ") }
    }
}

/// How the fields of `T` are copied from a payload that has them at other offsets.
#[derive(Debug)]
pub struct FieldPlan<T> {
    payload_len: usize,
    #[cfg(feature = "schema")]
    moves: Vec<Move>,
    /// The bytes of a value; a function, because readers of other types have no `T: Pod`.
    bytes_of: fn(&mut T) -> &mut [u8],
}

impl<T> FieldPlan<T> {
    /// The length of each payload.
    pub(crate) fn payload_len(&self) -> usize {
        self.payload_len
    }

    /// Copies the fields from `payload`, whose length is [`FieldPlan::payload_len`], into `state`.
    pub(crate) fn copy(&self, payload: &[u8], state: &mut T) {
        self.copy_part(payload, 0, (self.bytes_of)(state));
    }

    /// The same for `part`, the bytes of a state from byte `offset` on.
    pub(crate) fn copy_part(&self, payload: &[u8], offset: usize, part: &mut [u8]) {
        // Each move is inside of both: the plan was made from the schemas, whose sizes these are.
        #[cfg(feature = "schema")]
        for Move { from, to, len } in &self.moves {
            let (begin, end) = ((*to).max(offset), (to + len).min(offset + part.len()));
            if begin < end {
                let from = from + (begin - to);
                part[begin - offset..end - offset].copy_from_slice(&payload[from..from + (end - begin)]);
            }
        }
        #[cfg(not(feature = "schema"))]
        part.copy_from_slice(&payload[offset..offset + part.len()]);
    }
}
