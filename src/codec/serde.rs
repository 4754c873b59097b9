//! Codecs for the types of serde.

use super::Codec;
#[cfg(any(feature = "postcard", feature = "message-pack"))]
use super::{CodecError, Decode, Encode, capped};

/// [MessagePack](https://msgpack.org) with names, the default codec. Structs are maps from field
/// names to values, and enums have the names of their variants. Any serde type that has names can
/// be published, and the payload describes itself:
///
/// * A reader ignores fields that it does not know. A field that the writer does not know takes its
///   `#[serde(default)]`. The order of fields does not matter.
/// * Other languages and the `tearless` command can read the payload without a schema.
///
/// Cost: every payload holds all names. In the experiment `formats` (`docs/experiments.md`), a
/// payload takes about twice the bytes, and encoding and decoding about twice the time, of
/// [`Postcard`]; states of short values with long names take more. [`Postcard`] is the choice for
/// states that are published many thousands of times a second, and [`Pod`](super::Pod) for plain
/// data.
///
/// A 128-bit integer becomes its 16 bytes, most significant first: MessagePack has no integers of
/// more than 64 bits.
///
/// Decoding is limited: a payload that nests deeper than 128 levels, or claims more elements than
/// it can hold, is refused with a `CapError`.
///
/// Without the feature `message-pack` this type neither encodes nor decodes.
#[derive(Clone, Copy, Debug)]
pub struct MessagePack;

impl MessagePack {
    /// The codec's name.
    pub const NAME: &'static str = "message-pack";
}

impl<T: ?Sized> Codec<T> for MessagePack {
    const NAME: &'static str = MessagePack::NAME;
}

#[cfg(feature = "message-pack")]
impl<T: serde::Serialize + ?Sized> Encode<T> for MessagePack {
    fn encode<'a>(value: &'a T, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], CodecError> {
        scratch.clear();
        rmp_serde::encode::write_named(scratch, value)?;
        Ok(scratch)
    }
}

#[cfg(feature = "message-pack")]
impl<T: serde::de::DeserializeOwned> Decode<T> for MessagePack {
    fn decode(payload: &[u8]) -> Result<T, CodecError> {
        let mut deserializer = rmp_serde::Deserializer::from_read_ref(payload);
        let value = capped::decode(&mut deserializer, payload.len())?;
        match is_at_end(&mut deserializer) {
            true => Ok(value),
            false => Err("bytes are left over after the value".into()),
        }
    }
}

/// Whether all bytes have been read. The deserializer does not report its position, but at the end
/// it fails to read the marker of another value.
#[cfg(feature = "message-pack")]
fn is_at_end<'de, D>(deserializer: D) -> bool
where
    D: serde::Deserializer<'de, Error = rmp_serde::decode::Error>,
{
    use rmp_serde::decode::Error;
    let next: Result<u8, Error> = serde::Deserialize::deserialize(deserializer);
    matches!(next, Err(Error::InvalidMarkerRead(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof)
}

/// [Postcard](https://docs.rs/postcard): compact and fast, for any serde type.
///
/// A payload holds values only, so writer and reader need the same fields in the same order. A
/// channel can carry the schema of its states beside them (module `schema`).
///
/// Decoding is limited: a payload that nests deeper than 128 levels, or claims more elements than
/// it can hold, is refused with a `CapError`.
///
/// A type whose fields have changed under the same name is read as nonsense, unless the reader's
/// [`accept`](crate::accept) compares fields.
///
/// Without the feature `postcard` this type neither encodes nor decodes.
#[derive(Clone, Copy, Debug)]
pub struct Postcard;

impl Postcard {
    /// The codec's name.
    pub const NAME: &'static str = "postcard";
}

impl<T: ?Sized> Codec<T> for Postcard {
    const NAME: &'static str = Postcard::NAME;
}

#[cfg(feature = "postcard")]
impl<T: serde::Serialize + ?Sized> Encode<T> for Postcard {
    fn encode<'a>(value: &'a T, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], CodecError> {
        scratch.clear();
        postcard::to_io(value, &mut *scratch)?;
        Ok(scratch)
    }
}

#[cfg(feature = "postcard")]
impl<T: serde::de::DeserializeOwned> Decode<T> for Postcard {
    fn decode(payload: &[u8]) -> Result<T, CodecError> {
        let mut deserializer = postcard::Deserializer::from_bytes(payload);
        let value = capped::decode(&mut deserializer, payload.len())?;
        match deserializer.finalize()?.len() {
            0 => Ok(value),
            left => Err(format!("{left} bytes are left over after the value").into()),
        }
    }
}
