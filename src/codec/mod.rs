//! How a state becomes a payload and back.

mod bytes;
#[cfg(any(feature = "postcard", feature = "message-pack"))]
mod capped;
mod message_pack;
mod pod;
mod postcard;
mod type_name;

pub use self::bytes::Bytes;
#[cfg(any(feature = "postcard", feature = "message-pack"))]
pub use self::capped::CapError;
pub use self::message_pack::MessagePack;
pub use self::pod::Pod;
pub use self::postcard::Postcard;

use std::error::Error;

pub(crate) use type_name::type_name_of;

use crate::seqlock::Destination;

/// What went wrong in a codec.
pub type CodecError = Box<dyn Error + Send + Sync>;

/// A form of payload. Implemented by marker types; the name stands in the control page and is compared on attach.
pub trait Codec {
    /// Its name. It stands in the control page for people, cut after 64 bytes; all of it is compared.
    const NAME: &'static str;
}

/// A codec that can encode a `T`.
pub trait Encode<T: ?Sized>: Codec {
    /// The payload for `value`: either bytes of `value` itself, or what was encoded into `scratch`, which is emptied
    /// first and reused from publish to publish.
    ///
    /// # Errors
    ///
    /// If `value` has no encoding. Then, and if it panics, nothing is published.
    fn encode<'a>(value: &'a T, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], CodecError>;

    /// What tells this type from others: the name of `T` without its modules, by default.
    #[must_use]
    fn type_name() -> String {
        type_name_of::<T>()
    }

    /// The payload's size in bytes, where every `T` has the same.
    #[must_use]
    fn fixed_len() -> Option<usize> {
        None
    }
}

/// A codec that can decode a `T`.
pub trait Decode<T>: Codec {
    /// The value for `payload`, a private and whole copy.
    ///
    /// # Errors
    ///
    /// If `payload` is no encoding of a `T`.
    fn decode(payload: &[u8]) -> Result<T, CodecError>;

    /// Replaces `value` by the one for `payload`, reusing what it owns where the codec can.
    ///
    /// # Errors
    ///
    /// As [`Decode::decode`]; then `value` is unchanged.
    fn decode_into(payload: &[u8], value: &mut T) -> Result<(), CodecError> {
        *value = Self::decode(payload)?;
        Ok(())
    }

    /// A value to copy a payload over, where the codec is direct.
    #[doc(hidden)]
    #[must_use]
    fn blank() -> Option<T> {
        None
    }

    /// The same on the heap, without the value crossing the stack.
    #[doc(hidden)]
    #[must_use]
    fn blank_boxed() -> Option<Box<T>> {
        None
    }

    /// Whether the payload is copied to [`Decode::destination`], and nowhere else: for codecs whose payload is the value's
    /// own bytes.
    #[doc(hidden)]
    const IS_DIRECT: bool = false;

    /// The memory of `value` itself, where the codec is direct.
    #[doc(hidden)]
    fn destination(value: &mut T) -> impl Destination {
        let _ = value;
        <&mut [u8]>::default()
    }

    /// What tells this type from others; must be what [`Encode::type_name`] says.
    #[must_use]
    fn type_name() -> String {
        type_name_of::<T>()
    }
}
