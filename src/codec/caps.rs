//! Caps on the cost of decoding untrusted payloads. Readers enforce them, and writers refuse what
//! readers would refuse.
//!
//! Two things are counted. *Levels*: a recursive type could nest until the stack is exhausted.
//! Postcard has no limit, and the limit of `rmp_serde` ignores enums, newtypes and options.
//! *Elements*: elements that take no byte of the payload, such as `()`, could be as many as a
//! length can claim, and every length is a capacity to reserve.
//!
//! A level is a type with a name: a struct or an enum. A type without a name (option, sequence,
//! map, tuple) is a level only directly inside of another type without a name. A list of
//! `struct Node { next: Option<Box<Node>> }` has one level for each node, and a tree of
//! `struct Tree { children: Vec<Tree> }` one for each generation.
//!
//! A reader does not know the types of all values: serde buffers what is inside of `tag`,
//! `untagged` and `flatten`, and skips unknown fields. There the reader sees only arrays and maps,
//! and counts each of them as a third of a level. A level that the writer counts has at most three
//! in MessagePack (the map of a variant, its contents, a list in there), so readers accept whatever
//! the writer accepts.
//!
//! A sequence gives its length before its elements, and is charged for all elements at once. If
//! each element takes at least one byte, all sequences together cannot have more elements than the
//! payload has bytes: the payload's length bounds time and memory. Elements that take no byte have
//! a limit of [`MAX_EMPTY_ELEMENTS`].

/// In a program without optimization, a level of MessagePack takes 5 to 16 KiB of stack, and an
/// array or a map that is a third of a level 7 KiB: the deepest payload takes 1.3 MiB of the 2 MiB
/// that a thread has. Half of that is the cost of the codec's crate.
const MAX_LEVELS: u32 = 64;

/// Elements of sequences and maps that a payload may have beyond one for each of its bytes.
pub(super) const MAX_EMPTY_ELEMENTS: usize = 1024;

/// A payload whose decoding would cost too much. It is the `source` in [`SnapshotError::Decode`].
///
/// [`SnapshotError::Decode`]: crate::error::SnapshotError::Decode
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CapError {
    /// The values nest too deep.
    #[error("nested deeper than {} levels", MAX_LEVELS)]
    TooDeep,
    /// The sequences claim more elements than the payload can hold.
    #[error("more elements than a payload of {len} bytes can hold")]
    TooManyElements {
        /// The payload's length in bytes.
        len: usize,
    },
}

debug_as_display!(CapError);

/// The data that a type asks its deserializer for, or gives its serializer.
#[derive(Clone, Copy)]
pub(super) enum Request {
    /// A type with a name.
    Named,
    /// The contents of an enum's variant. The enum has been counted.
    Variant,
    /// A type without a name, whose length the type knows.
    Tuple,
    /// A type without a name, whose length the payload gives.
    Open,
    /// Whatever the payload has there.
    Any,
}

/// A depth: [`LEVEL`] times the level, and one more inside of a type without a name.
#[derive(Clone, Copy)]
pub(super) struct Steps(pub(super) u32);

const LEVEL: u32 = 64;

impl Steps {
    /// At the root, a type without a name is a level, too.
    pub(super) const ROOT: Steps = Steps(1);

    #[inline(always)]
    pub(super) fn inside(self, request: Request) -> Result<Steps, CapError> {
        let steps = match request {
            Request::Named => (self.0 + LEVEL) & !(LEVEL - 1),
            Request::Variant => self.0,
            Request::Tuple | Request::Open => (self.0 + LEVEL - 1) & !(LEVEL - 1) | 1,
            Request::Any => self.0 + LEVEL / 3,
        };
        if steps < (MAX_LEVELS + 1) * LEVEL { Ok(Steps(steps)) } else { Err(CapError::TooDeep) }
    }
}
