//! MessagePack: self-describing, for serde types and for readers in other languages.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Codec, CodecError, Decode, Encode};

/// [MessagePack](https://msgpack.org) with field names: larger and slower than [`Postcard`](super::Postcard), but
/// self-describing, so that fields may be added or reordered on one side, and other languages can read it.
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
        let value = rmp_serde::from_read(&mut rest)?;
        match rest.len() {
            0 => Ok(value),
            left => Err(format!("{left} bytes are left over after the value").into()),
        }
    }
}
