//! Postcard: compact, for serde types that both sides compile.

use super::Codec;
#[cfg(feature = "postcard")]
use super::{CodecError, Decode, Encode, capped};

/// [Postcard](https://docs.rs/postcard): compact and fast, for any serde type.
///
/// Without the feature `postcard` it can neither encode nor decode: choose another codec then.
///
/// Not self-describing: both sides must have the same fields in the same order. Payloads that would nest deeper than 128
/// levels or claim more elements than they can hold are refused with a [`CapError`](super::CapError).
#[derive(Clone, Copy, Debug)]
pub struct Postcard;

impl Codec for Postcard {
    const NAME: &'static str = "postcard";
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
