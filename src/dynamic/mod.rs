//! Reading channels without the state's type: payloads become [`serde_json::Value`]s.
//!
//! [`Namespace::dynamic_reader`](crate::Namespace::dynamic_reader) attaches to a channel of any
//! format. A MessagePack payload describes itself; Postcard and plain data need the
//! [schema](crate::schema) that the writer gave the channel. [`decode`] does the same for a payload
//! from another source.
//!
//! The value is the one that `serde_json` makes of the state, with these exceptions:
//!
//! | state | value |
//! |---|---|
//! | an integer of more than 64 bits | its digits, as a string |
//! | `NaN`, `inf`, `-inf` | the same text, as a string |
//! | bytes | an array of numbers |
//! | a unit struct in MessagePack | an empty array |
//! | a map whose keys are not strings | an object; each key is its JSON text, at most 4 KiB |
//! | types with another format for people (IP addresses) in Postcard | their compact form |
//!
//! `docs/schemas.md` has a table of what each codec carries.
//!
//! Schemas, payloads and paths are untrusted. Their cost is limited: the elements of lists and maps
//! to the payload's length and 1,024 more; all values to eight times that and one for each type of
//! the schema; memory to a thousand times that and one value of each type of the schema; levels to
//! 128.
//!
//! This module decodes Postcard payloads itself. The crate `postcard-dyn` 0.2.1 panics on a `char`,
//! refuses `NaN`, numbers of more than 64 bits and maps whose keys are not strings, and does not
//! limit elements that take no byte. The tests compare the two wherever that crate can decode.

mod decode;
mod error;
mod plain;
mod postcard;
mod reader;
mod value;
mod walk;

#[cfg(test)]
mod tests;

pub use decode::decode;
pub use error::{DecodeError, DynamicError};
pub use reader::{DynamicReader, DynamicReaderBuilder};
pub use walk::{Change, Differences, Leaves, differences, leaves};

pub use crate::schema::{FieldPath, Located, PathError, Step};
