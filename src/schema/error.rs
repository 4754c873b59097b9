//! Why bytes are no schema.

use super::wire::{MAX_BYTES, MAX_LEVELS, MAX_NAME_BYTES, MAX_NODES, VERSION};

/// Why some bytes are no schema, or why a schema can't be carried by a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// There are too many.
    #[error("the schema has {bytes} bytes, and may have {}: describe fewer types", MAX_BYTES)]
    TooLong {
        /// How many bytes it has.
        bytes: usize,
    },
    /// Another version of this library has written it.
    #[error(
        "the schema has version {found}, this program knows version {}: use the writer's version",
        VERSION
    )]
    Version {
        /// The version that stands there.
        found: u8,
    },
    /// It ends too early.
    #[error("the schema is cut off at byte {at}")]
    Truncated {
        /// Where.
        at: usize,
    },
    /// A number or a text is none.
    #[error("byte {at} of the schema begins no valid number or text")]
    Malformed {
        /// Where.
        at: usize,
    },
    /// There is no such type.
    #[error("byte {at} of the schema is {tag}, which stands for no type")]
    UnknownTag {
        /// Where.
        at: usize,
        /// What stands there.
        tag: u8,
    },
    /// A name is too long.
    #[error("a name in the schema has {bytes} bytes, and may have {}: choose a shorter one", MAX_NAME_BYTES)]
    LongName {
        /// How many bytes it has.
        bytes: u64,
    },
    /// Two fields of a struct, or two variants of an enum, have one name.
    #[error(
        "the name that ends at byte {at} of the schema is given twice: rename one of the fields or variants"
    )]
    SameName {
        /// Where the second one ends.
        at: usize,
    },
    /// Its types nest too deep.
    #[error("the schema's types nest deeper than {} levels", MAX_LEVELS)]
    TooDeep,
    /// It has too many types.
    #[error("the schema has more than {} types and variants", MAX_NODES)]
    TooManyTypes,
    /// It claims to be plain data, and has a type that is none, or is larger than any memory.
    #[error("the schema is of plain data, but has a type that can't be that, or no size of 64 bits")]
    NotPlain,
    /// There is something behind it.
    #[error("{bytes} bytes are left over behind the schema")]
    Left {
        /// How many.
        bytes: usize,
    },
}
