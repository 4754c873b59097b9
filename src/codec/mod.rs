//! Codecs: how a state becomes a payload, and how a payload becomes a state.

#[cfg(any(feature = "postcard", feature = "message-pack"))]
mod capped;
#[cfg(any(feature = "postcard", feature = "message-pack"))]
mod checked;
mod direct;
mod serde;
mod traits;

#[cfg(any(feature = "postcard", feature = "message-pack"))]
pub use self::capped::CapError;
#[cfg(feature = "dynamic")]
pub(crate) use self::capped::{EXTENSION_I128, EXTENSION_U128};
#[cfg(any(feature = "postcard", feature = "message-pack"))]
pub use self::checked::EncodeError;
pub use self::direct::{Bytes, Pod};
pub use self::serde::{MessagePack, Postcard};
pub use self::traits::{Codec, CodecError, Decode, Encode};
pub(crate) use self::traits::{Direct, Strategy};
