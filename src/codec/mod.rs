//! Codecs: how a state becomes a payload, and how a payload becomes a state.

#[cfg(any(feature = "postcard", feature = "message-pack"))]
mod capped;
mod direct;
mod serde;
mod traits;

#[cfg(any(feature = "postcard", feature = "message-pack"))]
pub use self::capped::CapError;
pub(crate) use self::direct::Plain;
pub use self::direct::{Boxed, Bytes, Pod};
pub use self::serde::{MessagePack, Postcard};
pub use self::traits::{Codec, CodecError, Decode, Encode};
pub(crate) use self::traits::{Direct, Strategy};
