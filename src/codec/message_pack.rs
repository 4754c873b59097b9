//! MessagePack: self-describing, for serde types and for readers in other languages.

use std::io::ErrorKind;

use rmp_serde::decode::Error;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Codec, CodecError, Decode, Encode, capped};

/// [MessagePack](https://msgpack.org) with field names: larger and slower than [`Postcard`](super::Postcard), but
/// self-describing, so that fields may be added or reordered on one side, and other languages can read it. The same caps
/// on nesting and elements apply.
#[derive(Clone, Copy, Debug)]
pub struct MessagePack;

impl Codec for MessagePack {
    const NAME: &'static str = "message-pack";
}

impl<T: Serialize + ?Sized> Encode<T> for MessagePack {
    fn encode<'a>(value: &'a T, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], CodecError> {
        scratch.clear();
        rmp_serde::encode::write_named(scratch, value)?;
        Ok(scratch)
    }
}

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
