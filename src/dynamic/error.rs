//! Errors of reading without a type, and the limits that they name.

use crate::channel::SnapshotError;
use crate::schema::Encoding;

/// The most levels of nested values.
pub(super) const MAX_LEVELS: u32 = 128;

/// The most bytes of memory for each element.
pub(super) const MAX_ELEMENT_MEMORY: usize = 1024;

/// The most fields that the text of an error lists.
const MAX_SHOWN: usize = 20;

/// A payload that cannot be decoded.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Payloads of this codec cannot be decoded without a schema.
    #[error("payloads of the codec {codec:?} need a schema: open the writer with its schema")]
    NoSchema {
        /// The codec.
        codec: String,
    },
    /// This program cannot use the channel's schema.
    #[error("cannot use the channel's schema: {reason}")]
    Schema {
        /// The reason.
        reason: String,
    },
    /// The schema is of payloads of another codec.
    #[error("the schema is of {found:?} payloads, but the payload is of the codec {codec:?}")]
    OtherEncoding {
        /// The codec.
        codec: String,
        /// The encoding of the schema.
        found: Encoding,
    },
    /// This crate does not know the codec.
    #[error("cannot decode payloads of the codec {codec:?}: decode the payload's bytes in the program")]
    UnknownCodec {
        /// The codec.
        codec: String,
    },
    /// The payload does not match the schema or the codec.
    #[error("at byte {at}: {reason}")]
    Payload {
        /// The offset of the error in the payload.
        at: usize,
        /// What is wrong.
        reason: String,
    },
    /// The values nest too deep.
    #[error("nested deeper than {} levels", MAX_LEVELS)]
    TooDeep,
    /// The payload claims more values than it can hold.
    #[error("more elements than a payload of {len} bytes can hold")]
    TooManyElements {
        /// The payload's length in bytes.
        len: usize,
    },
    /// The value would take too much memory: the schema has long names for values of few bytes.
    #[error(
        "the value would take more than {} bytes for each of the payload's {len}: give the fields \
         shorter names",
        MAX_ELEMENT_MEMORY
    )]
    TooLarge {
        /// The payload's length in bytes.
        len: usize,
    },
    /// Bytes follow the value.
    #[error("{bytes} bytes are left over after the value")]
    Left {
        /// The number of bytes.
        bytes: usize,
    },
}

debug_as_display!(DecodeError);

/// A [`DynamicReader`](super::DynamicReader) that returned no value.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum DynamicError {
    /// The reader got no payload.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The payload cannot be decoded.
    #[error("channel {channel:?}, publication {publication}: {source}")]
    Decode {
        /// The channel.
        channel: String,
        /// The number of the publication.
        publication: u64,
        /// The reason.
        r#source: DecodeError,
    },
    /// The state has no such field.
    #[error("channel {channel:?} has no field {path}: {}", listed(fields, *count))]
    NoSuchField {
        /// The channel.
        channel: String,
        /// The path that the caller asked for.
        path: String,
        /// The first 1,000 paths that lead to fields, those of lists and structs before what is in
        /// them, with the first element of a list for all of its kind: those of the schema, or
        /// without a schema those of the value. The text has 20 of them.
        fields: Vec<String>,
        /// The number of all fields.
        count: usize,
    },
}

debug_as_display!(DynamicError);

fn listed(fields: &[String], count: usize) -> String {
    let shown = &fields[..fields.len().min(MAX_SHOWN)];
    let more = match count.saturating_sub(shown.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    match shown {
        [] if count == 0 => "it has no fields".into(),
        [] => format!("it has {count} others"),
        shown => format!("it has {}{more}", shown.join(", ")),
    }
}
