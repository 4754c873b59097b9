//! Raw bytes: the user has encoded already.

use super::{Codec, CodecError, Decode, Encode};
use crate::seqlock::Destination;

/// Raw bytes, for those who bring their own encoding: publish `[u8]` or `Vec<u8>`, take snapshots of `Vec<u8>`.
#[derive(Clone, Copy, Debug)]
pub struct Bytes;

/// All types of bytes are the same to readers.
const TYPE_NAME: &str = "bytes";

impl Codec for Bytes {
    const NAME: &'static str = "bytes";
}

impl<T: AsRef<[u8]> + ?Sized> Encode<T> for Bytes {
    fn encode<'a>(value: &'a T, _scratch: &'a mut Vec<u8>) -> Result<&'a [u8], CodecError> {
        Ok(value.as_ref())
    }

    fn type_name() -> String {
        TYPE_NAME.into()
    }
}

impl Decode<Vec<u8>> for Bytes {
    fn decode(payload: &[u8]) -> Result<Vec<u8>, CodecError> {
        Ok(payload.to_vec())
    }

    const IS_DIRECT: bool = true;

    fn blank() -> Option<Vec<u8>> {
        Some(Vec::new())
    }

    fn destination(value: &mut Vec<u8>) -> impl Destination {
        value
    }

    fn type_name() -> String {
        TYPE_NAME.into()
    }
}
