//! What can go wrong without a type.

use crate::channel::SnapshotError;
use crate::schema::Encoding;

/// Why a payload has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Payloads of this codec can't be understood without a schema.
    #[error("payloads of the codec {codec:?} need a schema: let the writer describe the channel")]
    NoSchema {
        /// The codec.
        codec: String,
    },
    /// The channel has a schema that this program can't use.
    #[error("the channel's schema can't be used: {reason}")]
    Schema {
        /// Why.
        reason: String,
    },
    /// The schema is of another codec's payloads.
    #[error("the schema is of {found:?} payloads, these are of the codec {codec:?}")]
    OtherEncoding {
        /// The codec.
        codec: String,
        /// What the schema describes.
        found: Encoding,
    },
    /// Only the writer's program knows this codec.
    #[error("the codec {codec:?} is not known here: take the payload's bytes")]
    UnknownCodec {
        /// The codec.
        codec: String,
    },
    /// The payload is not what the schema or the codec says.
    #[error("at byte {at}: {reason}")]
    Payload {
        /// Where in the payload.
        at: usize,
        /// What is wrong.
        reason: String,
    },
    /// Its values nest too deep.
    #[error("nested deeper than {} levels", super::budget::MAX_LEVELS)]
    TooDeep,
    /// It claims more values than it can hold.
    #[error("more elements than a payload of {len} bytes can hold")]
    TooManyElements {
        /// The payload's length in bytes.
        len: usize,
    },
    /// Its value would take too much memory: its schema has long names for what takes few bytes.
    #[error(
        "the value would take more than {} bytes for each of the payload's {len}: give the fields shorter names",
        super::budget::MEMORY
    )]
    TooLarge {
        /// The payload's length in bytes.
        len: usize,
    },
    /// There is something behind the value.
    #[error("{bytes} bytes are left over behind the value")]
    Left {
        /// How many.
        bytes: usize,
    },
}

/// Why a [`DynamicReader`](super::DynamicReader) gave no value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DynamicError {
    /// There is no payload to be had.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The payload has no value.
    #[error("channel {channel:?}, publication {publication}: {source}")]
    Decode {
        /// The channel.
        channel: String,
        /// The publication whose payload it is.
        publication: u64,
        /// Why.
        source: DecodeError,
    },
    /// The state has no such field.
    #[error("channel {channel:?} has no field {path}: {}", listed(fields, *count))]
    NoSuchField {
        /// The channel.
        channel: String,
        /// What was asked for.
        path: String,
        /// The first 20 of the fields that there are, by the schema, or in the value where there is none.
        fields: Vec<String>,
        /// How many there are.
        count: usize,
    },
}

/// Most fields that an error lists.
pub(super) const MAX_LISTED: usize = 20;

fn listed(fields: &[String], count: usize) -> String {
    let more = match count.saturating_sub(fields.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    match fields {
        [] if count == 0 => "it has no fields".into(),
        [] => format!("it has {count} others"),
        fields => format!("it has {}{more}", fields.join(", ")),
    }
}

/// Why a text is no [`FieldPath`](super::FieldPath).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column} of the path: {reason}")]
#[non_exhaustive]
pub struct PathError {
    /// Where, in characters from 1.
    pub column: usize,
    /// What is wrong, and what is right.
    pub reason: &'static str,
}
