//! The checks behind the choices, and the plan by which fields are copied.

#[cfg(feature = "schema")]
use crate::channel::AttachError;
use crate::channel::{ChannelReader, Format, SnapshotError, SnapshotInfo};
#[cfg(feature = "schema")]
use crate::schema::{Describe, DescribePod, Move, Schema, plan};
use crate::seqlock::Destination;

/// A channel that was attached to, and the codec and type name that the reader expects.
#[derive(Debug)]
pub struct Candidate<'a> {
    pub(super) reader: &'a ChannelReader,
    pub(super) expected: &'a Format,
    /// The schema that a reader of bytes names.
    #[cfg(feature = "schema")]
    own: Option<&'a Schema>,
}

impl<'a> Candidate<'a> {
    pub(crate) fn new(reader: &'a ChannelReader, expected: &'a Format) -> Candidate<'a> {
        Candidate {
            reader,
            expected,
            #[cfg(feature = "schema")]
            own: None,
        }
    }
}

#[cfg(feature = "schema")]
impl<'a> Candidate<'a> {
    pub(crate) fn with_schema(self, own: Option<&'a Schema>) -> Candidate<'a> {
        Candidate { own, ..self }
    }

    /// The schema that the reader names.
    pub(super) fn own_schema(&self) -> Result<&'a Schema, AttachError> {
        self.own.ok_or_else(|| self.unknown(&"the reader of bytes names none (`ReaderBuilder::schema`)"))
    }

    /// Whether the reader asks for states that describe themselves.
    pub(super) fn is_of_message_pack(&self) -> bool {
        self.expected.codec == crate::codec::MessagePack::NAME
    }

    /// Whether the channel carries this schema; if it carries none, whether it has the format.
    pub(super) fn has_schema(&self, own: &Schema) -> Result<(), AttachError> {
        let Some(schema) = self.reader.schema_bytes()? else { return self.reader.has_format(self.expected) };
        // A schema of another encoding would differ everywhere. The codec's name is the better
        // error.
        self.reader.has_codec(self.expected)?;
        let differences = self.schema(&schema)?.differences(own);
        if differences.is_empty() { Ok(()) } else { Err(self.differs(&differences)) }
    }

    /// [`Candidate::has_fields`] of a type.
    pub(super) fn has_fields_of<T: DescribePod>(&self) -> Result<Option<FieldPlan>, AttachError> {
        let own = <crate::codec::Pod as Describe<T>>::describe();
        if own.fixed_len() != Some(size_of::<T>() as u64) {
            return Err(self.unknown(&"the reader's DescribePod and its type have different sizes"));
        }
        self.has_fields(&own)
    }

    /// The plan that copies the fields of the schema `own` from the channel's payloads; `None` if
    /// both have one layout.
    pub(super) fn has_fields(&self, own: &Schema) -> Result<Option<FieldPlan>, AttachError> {
        let size_of = |schema: &Schema| {
            let size = schema.fixed_len().and_then(|size| usize::try_from(size).ok());
            size.ok_or_else(|| self.unknown(&"it has no size"))
        };
        let state_len = size_of(own)?;
        self.reader.has_codec(self.expected)?;
        let schema = self.reader.schema_bytes()?;
        let channel = || self.reader.channel().to_owned();
        let schema = self.schema(&schema.ok_or_else(|| AttachError::NoSchema { channel: channel() })?)?;
        let moves = plan(&schema, own).map_err(|differences| self.differs(&differences))?;
        let payload_len = size_of(&schema)?;
        // Whether payload and value are the same bytes.
        let all = Move { from: 0, to: 0, len: state_len };
        let is_same = payload_len == all.len && moves == [all];
        Ok((!is_same).then_some(FieldPlan { payload_len, state_len, moves }))
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

/// How the fields of a state are copied from a payload that has them at other offsets.
#[derive(Debug)]
pub struct FieldPlan {
    payload_len: usize,
    state_len: usize,
    #[cfg(feature = "schema")]
    moves: Vec<Move>,
}

impl FieldPlan {
    /// A snapshot whose payload is copied to `scratch`, and its fields to `state`.
    pub(crate) fn snapshot(
        &self,
        channel: &mut ChannelReader,
        scratch: &mut Vec<u8>,
        state: &mut impl Destination,
    ) -> Result<SnapshotInfo, SnapshotError> {
        let info = channel.snapshot(&mut &mut *scratch)?;
        self.copy(channel.channel(), info, scratch, state)
    }

    /// Copies the fields of `payload`, which is the publication of `info`, to `state`, or to the
    /// part of a state that it is.
    pub(crate) fn copy(
        &self,
        channel: &str,
        info: SnapshotInfo,
        payload: &[u8],
        state: &mut impl Destination,
    ) -> Result<SnapshotInfo, SnapshotError> {
        let wrong = |len, expected| {
            let (channel, publication) = (channel.into(), info.publication());
            SnapshotError::WrongLength { channel, publication, len, expected }
        };
        if payload.len() != self.payload_len {
            return Err(wrong(payload.len(), self.payload_len));
        }
        let offset = state.offset();
        let Some(part) = state.buffer(self.state_len) else {
            return Err(wrong(self.state_len, state.bytes().len()));
        };
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
        Ok(info)
    }
}
