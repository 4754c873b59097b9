//! Reading channels whose type is not known: payloads become [`serde_json::Value`]s.
//!
//! [`Namespace::dynamic_reader`](crate::Namespace::dynamic_reader) attaches to a channel in whatever format it is, and finds
//! out what its states consist of: a MessagePack payload says so itself, Postcard and plain data need the
//! [schema](crate::schema) that their writer gave the channel (`WriterBuilder::with_schema`). [`decode`] does the same for a
//! payload that came otherwise.
//!
//! A value looks as `serde_json` would make it from the state, with these exceptions, so that everything has a value:
//!
//! | state | value |
//! |---|---|
//! | an integer beyond 64 bits | its digits, as a string |
//! | `NaN`, `inf`, `-inf` | that, as a string |
//! | bytes | an array of numbers |
//! | a map whose keys are no strings | an object; each key is its value's JSON text, of 4 KiB at most |
//! | types that serialize otherwise for people (IP addresses) | their compact form |
//!
//! Schemas, payloads and paths may be anybody's. What they can cost is limited: the elements of lists and maps by the
//! payload's length and 1,024 more; all values by eight times that and the schema's types; memory by a thousand times
//! that and what one value of each of the schema's types takes; levels to 128.
//!
//! Payloads are walked by this module itself, not by the crate `postcard-dyn`: its version 0.2.1 panics on a `char`,
//! refuses `NaN`, numbers beyond 64 bits and maps whose keys are no strings, and does not limit elements that take no
//! byte. Where it can decode, it is the oracle of our tests.

mod budget;
mod change;
mod error;
mod leaf;
mod locate;
mod message_pack;
mod number;
mod path;
mod plain;
mod postcard;
mod reader;
mod trail;

#[cfg(test)]
mod tests;

pub use change::{Change, Differences, differences};
pub use error::{DecodeError, DynamicError, PathError};
pub use leaf::{Leaves, leaves};
pub use locate::Located;
pub use path::{FieldPath, Step};
pub use reader::{DynamicReader, DynamicReaderBuilder};

use serde_json::Value;

use crate::codec::{Codec, MessagePack, Pod, Postcard};
use crate::schema::{Encoding, Schema};

/// What a payload of `codec` says: with the channel's schema for `postcard` and `pod`, without for `message-pack`.
///
/// Cost: that of the value. A number in an array takes 72 bytes, in an object some 150 and those of its name. A hostile
/// schema with long names may take 1,024 bytes for each of the payload and for 1,024 more, and besides 4 MiB: one value of
/// each of the schema's types. A hostile MessagePack payload may take 300 times its bytes.
///
/// # Errors
///
/// [`DecodeError`].
pub fn decode(codec: &str, schema: Option<&Schema>, payload: &[u8]) -> Result<Value, DecodeError> {
    let described = |encoding| match schema {
        None => Err(DecodeError::NoSchema { codec: codec.into() }),
        Some(schema) if schema.encoding() != encoding => {
            Err(DecodeError::OtherEncoding { codec: codec.into(), found: schema.encoding() })
        }
        Some(schema) => Ok(schema.root()),
    };
    match codec {
        MessagePack::NAME => message_pack::decode(payload),
        Postcard::NAME => postcard::decode(described(Encoding::Postcard)?, payload),
        Pod::NAME => plain::decode(described(Encoding::Pod)?, payload),
        _ => Err(DecodeError::UnknownCodec { codec: codec.into() }),
    }
}
