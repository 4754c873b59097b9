//! Reading channels without the state's type: payloads become [`serde_json::Value`]s.
//!
//! [`Namespace::dynamic_reader`](crate::Namespace::dynamic_reader) attaches to a channel of any
//! format. A MessagePack payload describes itself; Postcard and plain data need the
//! [schema](crate::schema) that the writer gave the channel. [`decode`] does the same for a payload
//! from another source. [`decode_seed`] and [`Decoder::decode_seed`] pass a payload to any visitor
//! of serde, without the limits of JSON.
//!
//! The value is the one that `serde_json` makes of the state, with these exceptions:
//!
//! | state | value |
//! |---|---|
//! | an integer of more than 64 bits | its digits, as a string |
//! | `NaN`, `inf`, `-inf` | the same text, as a string |
//! | bytes | an array of numbers |
//! | a unit struct in MessagePack | an empty array |
//! | a map whose keys are not strings | an object; each key is its JSON text, at most 4 KiB |
//! | types with another format for people (IP addresses) in Postcard | their compact form |
//!
//! `docs/schemas.md` has a table of what each codec carries.
//!
//! Schemas, payloads and paths are untrusted. Their cost is limited: the elements of lists and maps
//! to the payload's length and 1,024 more; all values to eight times that and one for each type of
//! the schema; memory to a thousand times that and one value of each type of the schema; levels to
//! 128.
//!
//! This module decodes Postcard payloads itself. The crate `postcard-dyn` 0.2.1 panics on a `char`,
//! refuses `NaN`, numbers of more than 64 bits and maps whose keys are not strings, and does not
//! limit elements that take no byte. The tests compare the two wherever that crate can decode.

mod decode;
mod described;
mod error;
mod value;
mod walk;

#[cfg(test)]
mod tests;

pub use decode::{decode, decode_seed};
pub use error::{DecodeError, DynamicError};
pub use walk::{Change, Differences, Leaves, differences, leaves};

use std::sync::Arc;

use serde::de::DeserializeSeed;
use serde_json::Value;

use crate::accept::Any;
use crate::channel::{AttachError, SnapshotError};
use crate::codec::Bytes;
use crate::namespace::Namespace;
use crate::reader::Reader;
use crate::saved::SavedChannel;
use crate::schema::{Encoding, Schema};
pub use crate::schema::{FieldPath, Located, PathError, Step};
use crate::snapshot::Snapshot;

/// A reader of a channel of any format: its states become [`serde_json::Value`]s.
///
/// Made by [`Namespace::dynamic_reader`]. [`DynamicReader::reader`] and
/// [`DynamicReader::reader_mut`] return the [`Reader`] of the payloads, for waiting, the history
/// and the state of the writer.
#[derive(Debug)]
pub struct DynamicReader {
    reader: Reader<Vec<u8>, Bytes>,
    decoder: Arc<Decoder>,
}

impl Namespace {
    /// A reader of the channel's states without their type, with default options.
    ///
    /// # Errors
    ///
    /// [`AttachError`], for example [`AttachError::NotFound`] if the channel does not exist.
    pub fn dynamic_reader(&self, channel: &str) -> Result<DynamicReader, AttachError> {
        Ok(self.reader_builder(channel).codec().accept(Any).open()?.into())
    }
}

/// Of a reader with other options: `reader_builder(…).codec::<Bytes>().accept(Any)`, from
/// [`accept`](crate::accept). The schema, if the channel has one, is read. If it can't be, methods
/// that need it fail with [`DecodeError::Schema`].
impl From<Reader<Vec<u8>, Bytes>> for DynamicReader {
    fn from(reader: Reader<Vec<u8>, Bytes>) -> DynamicReader {
        let schema = match reader.schema_bytes() {
            Err(error) => Err(error.to_string()),
            Ok(None) => Ok(None),
            Ok(Some(bytes)) => Schema::from_bytes(&bytes).map(Some).map_err(|error| error.to_string()),
        };
        let decoder = Decoder { codec: reader.codec_name().into(), schema }.into();
        DynamicReader { reader, decoder }
    }
}

/// How the payloads of a channel become values: by its codec and its schema.
///
/// Made by [`DynamicReader::decoder`], for payloads that are decoded where the reader is not.
#[derive(Debug)]
pub struct Decoder {
    codec: String,
    /// The schema, if the channel carries one, or the reason for which it cannot be read.
    schema: Result<Option<Schema>, String>,
}

impl Decoder {
    /// The value of a payload of the channel.
    ///
    /// # Errors
    ///
    /// [`DecodeError`].
    pub fn decode(&self, payload: &[u8]) -> Result<Value, DecodeError> {
        decode(&self.codec, self.readable_schema()?, payload)
    }

    /// What `seed` makes of a payload of the channel: see the function [`decode_seed`].
    ///
    /// # Errors
    ///
    /// [`DecodeError`].
    pub fn decode_seed<'de, S: DeserializeSeed<'de>>(
        &self,
        payload: &'de [u8],
        seed: S,
    ) -> Result<S::Value, DecodeError> {
        decode_seed(&self.codec, self.readable_schema()?, payload, seed)
    }

    fn readable_schema(&self) -> Result<Option<&Schema>, DecodeError> {
        match &self.schema {
            Ok(schema) => Ok(schema.as_ref()),
            Err(reason) => Err(DecodeError::Schema { reason: reason.clone() }),
        }
    }
}

impl DynamicReader {
    /// The latest state.
    ///
    /// Progress: as [`Reader::snapshot`]. Cost: copies and decodes the payload, see [`decode`].
    ///
    /// # Errors
    ///
    /// [`DynamicError`].
    pub fn snapshot(&mut self) -> Result<Snapshot<Value>, DynamicError> {
        let payload = self.payload()?;
        let value =
            self.decode(&payload).map_err(|source| self.undecodable(payload.publication(), source))?;
        Ok(Snapshot::new(value, payload.info()))
    }

    /// The bytes of the latest payload. [`DynamicReader::decode`] decodes them.
    ///
    /// # Errors
    ///
    /// As [`Reader::snapshot`].
    pub fn payload(&mut self) -> Result<Snapshot<Vec<u8>>, SnapshotError> {
        self.reader.snapshot()
    }

    /// The value of a payload of this channel, for example one from its history.
    ///
    /// # Errors
    ///
    /// [`DecodeError`].
    pub fn decode(&self, payload: &[u8]) -> Result<Value, DecodeError> {
        self.decoder.decode(payload)
    }

    /// The decoder of the channel's payloads, which needs no reader.
    #[must_use]
    pub fn decoder(&self) -> &Arc<Decoder> {
        &self.decoder
    }

    /// The value of one field of the latest state.
    ///
    /// For plain data, only the field's bytes are copied ([`Reader::read_at`]). Other payloads are
    /// decoded as a whole.
    ///
    /// # Errors
    ///
    /// [`DynamicError`]; [`DynamicError::NoSuchField`] lists the fields.
    pub fn field(&mut self, path: &FieldPath) -> Result<Snapshot<Value>, DynamicError> {
        if let Some(part) = self.part(path)? {
            return Ok(part);
        }
        let snapshot = self.snapshot()?;
        let value = self.field_of(&snapshot, path)?.clone();
        Ok(Snapshot::new(value, snapshot.info()))
    }

    /// The value of one field of `state`, a state of this channel, for example one from its
    /// history.
    ///
    /// # Errors
    ///
    /// [`DynamicError::NoSuchField`] lists the fields.
    pub fn field_of<'a>(&self, state: &'a Value, path: &FieldPath) -> Result<&'a Value, DynamicError> {
        path.find(state).ok_or_else(|| {
            let (fields, count) = self.schema().map_or_else(|| walk::paths(state), paths_of);
            let (channel, path) = (self.reader.channel().into(), path.to_string());
            DynamicError::NoSuchField { channel, path, fields, count }
        })
    }

    /// A field of plain data alone; `None` if it cannot be read without the rest.
    fn part(&mut self, path: &FieldPath) -> Result<Option<Snapshot<Value>>, DynamicError> {
        let Ok(Some(schema)) = &self.decoder.schema else { return Ok(None) };
        let Some(located) = schema.locate(path) else { return Ok(None) };
        // The schema is untrusted: memory is reserved only for bytes that are in the payload.
        let whole = self.reader.read_at(0, &mut [])?;
        let position = (usize::try_from(located.offset), usize::try_from(located.len));
        let (true, (Ok(offset), Ok(len))) =
            (schema.fixed_len() == Some(whole.payload_len() as u64), position)
        else {
            return Ok(None);
        };
        let mut bytes = vec![0; len];
        let info = self.reader.read_at(offset, &mut bytes)?;
        let value = decode::described_json(Encoding::Pod, located.r#type, &bytes)
            .map_err(|source| self.undecodable(info.publication(), source))?;
        Ok(Some(Snapshot::new(value, info)))
    }

    fn undecodable(&self, publication: u64, source: DecodeError) -> DynamicError {
        DynamicError::Decode { channel: self.reader.channel().into(), publication, source }
    }

    /// The codec's name, as the channel records it.
    #[must_use]
    pub fn codec(&self) -> &str {
        self.reader.codec_name()
    }

    /// The type's name, as the channel records it.
    #[must_use]
    pub fn type_name(&self) -> &str {
        self.reader.type_name()
    }

    /// The channel's schema, if it has one and it can be read.
    #[must_use]
    pub fn schema(&self) -> Option<&Schema> {
        self.decoder.schema.as_ref().ok().and_then(Option::as_ref)
    }

    /// The reader of the channel's payloads.
    #[must_use]
    pub fn reader(&self) -> &Reader<Vec<u8>, Bytes> {
        &self.reader
    }

    /// The reader of the channel's payloads, for methods that change it: waiting, history, parts.
    #[must_use]
    pub fn reader_mut(&mut self) -> &mut Reader<Vec<u8>, Bytes> {
        &mut self.reader
    }
}

impl SavedChannel {
    /// The value of a payload of this channel.
    ///
    /// # Errors
    ///
    /// [`DecodeError`].
    pub fn decode(&self, payload: &[u8]) -> Result<Value, DecodeError> {
        let schema = self.schema.as_deref().map(Schema::from_bytes).transpose();
        let schema = schema.map_err(|error| DecodeError::Schema { reason: error.to_string() })?;
        decode(&self.inspection.codec, schema.as_ref(), payload)
    }
}

/// The paths that lead to fields, and the number of all fields but those that none leads to. The
/// first element is for all of a list; the schema does not know the keys of a map.
fn paths_of(schema: &Schema) -> (Vec<String>, usize) {
    let all = schema.fields();
    let paths = all.iter().map(|field| field.path.replace("[]", "[0]"));
    let paths: Vec<_> = paths.filter(|path| path.parse().is_ok_and(|path| schema.may_have(&path))).collect();
    let count = schema.field_count() + paths.len() - all.len();
    (paths, count)
}
