//! MessagePack: self-describing, for serde types and for readers in other languages.

use serde::Serialize;
use serde::de::DeserializeOwned;

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
        let mut rest = payload;
        let value = capped::decode(&mut rmp_serde::Deserializer::new(&mut rest), payload.len())?;
        match rest.len() {
            0 => Ok(value),
            left => Err(format!("{left} bytes are left over after the value").into()),
        }
    }
}
