//! MessagePack: self-describing, for serde types and for readers in other languages.

use super::Codec;
#[cfg(feature = "message-pack")]
use super::{CodecError, Decode, Encode, capped};
#[cfg(feature = "message-pack")]
use rmp_serde::decode::Error;
#[cfg(feature = "message-pack")]
use serde::{Deserialize, Serialize, de::DeserializeOwned};
#[cfg(feature = "message-pack")]
use std::io::ErrorKind;

/// [MessagePack](https://msgpack.org) with field names: larger and slower than [`Postcard`](super::Postcard), but
/// self-describing, so that fields may be added or reordered on one side, and other languages can read it. The same caps
/// on nesting and elements apply. The default codec.
///
/// Without the feature `message-pack` it can neither encode nor decode: choose another codec then.
#[derive(Clone, Copy, Debug)]
pub struct MessagePack;

impl Codec for MessagePack {
    const NAME: &'static str = "message-pack";
}

#[cfg(feature = "message-pack")]
impl<T: Serialize + ?Sized> Encode<T> for MessagePack {
    fn encode<'a>(value: &'a T, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], CodecError> {
        scratch.clear();
        rmp_serde::encode::write_named(scratch, value)?;
        Ok(scratch)
    }
}

#[cfg(feature = "message-pack")]
impl<T: DeserializeOwned> Decode<T> for MessagePack {
    fn decode(payload: &[u8]) -> Result<T, CodecError> {
        let mut deserializer = rmp_serde::Deserializer::from_read_ref(payload);
        let value = capped::decode(&mut deserializer, payload.len())?;
        // It does not say where it stands. But at the end there is no marker to be read.
        match u8::deserialize(&mut deserializer) {
            Err(Error::InvalidMarkerRead(error)) if error.kind() == ErrorKind::UnexpectedEof => Ok(value),
            _ => Err("bytes are left over after the value".into()),
        }
    }
}
