//! Schemas: the fields and types of a state, as data. A channel can carry a schema, and a program
//! without the state's type can read it.
//!
//! A [`Schema`] is a tree of [`Type`]s. A codec that knows the schema of a `T` implements
//! [`Describe`]:
//!
//! * [`Postcard`](crate::Postcard), if `T` implements [`postcard_schema::Schema`]: derive that.
//! * [`Pod`](crate::Pod), if `T` implements [`DescribePod`]: name the fields in
//!   [`describe_pod!`](crate::describe_pod).
//! * [`MessagePack`](crate::MessagePack) needs no schema. Its payloads describe themselves.
//!
//! ```
//! use tearless::schema::{Describe, postcard_schema};
//!
//! #[derive(serde::Serialize, serde::Deserialize, postcard_schema::Schema)]
//! # #[postcard(crate = postcard_schema)]
//! struct Job { id: u32, deadline: u64 }
//!
//! #[derive(serde::Serialize, serde::Deserialize, postcard_schema::Schema)]
//! # #[postcard(crate = postcard_schema)]
//! struct State { jobs_done: u64, queue: Vec<Job> }
//!
//! let schema = <tearless::Postcard as Describe<State>>::describe();
//! assert_eq!(schema.to_string(), "\
//! struct State {
//!     jobs_done: u64,
//!     queue: Vec<struct Job {
//!         id: u32,
//!         deadline: u64,
//!     }>,
//! }");
//! let paths: Vec<_> = schema.fields().into_iter().map(|field| field.path).collect();
//! assert_eq!(paths, ["jobs_done", "queue", "queue[].id", "queue[].deadline"]);
//! ```
//!
//! The derive comes from the crate `postcard-schema` 0.2 with its feature `derive`. This module
//! re-exports the crate: with `#[postcard(crate = tearless::schema::postcard_schema)]` a program
//! does not depend on it itself, provided another crate enables the feature.
//!
//! A schema holds what the writer's program was compiled with. The derive sees `#[serde(rename)]`.
//! It does not see `rename_all`, whose names readers don't get, and `skip` and `with`, for which no
//! writer is opened: such a schema differs from the payload.

mod describe;
mod difference;
mod fields;
mod path;
mod tree;
mod wire;

#[cfg(test)]
mod tests;

#[doc(hidden)]
pub use describe::assembly;
pub(crate) use describe::samples;
pub use describe::{Describe, DescribePod};
pub use difference::{Difference, DifferenceKind, PADDING};
pub(crate) use difference::{Move, plan};
pub use fields::{FieldInfo, Located};
#[cfg(feature = "dynamic")]
pub(crate) use path::Trail;
pub use path::{FieldPath, PathError, Step};
pub use postcard_schema;
#[cfg(all(test, feature = "dynamic"))]
pub(crate) use tree::SIZES_COMPUTED;
pub use tree::{Encoding, Field, Fields, Scalar, Schema, Type, Variant};
pub use wire::SchemaError;
#[cfg(feature = "dynamic")]
pub(crate) use wire::{Cursor, Fault};

use crate::layout;

impl Schema {
    /// A schema for a codec of the caller's own, whose payloads are laid out as `encoding` defines:
    /// for its [`Describe`]. Plain data uses the offsets; other encodings set them to 0.
    ///
    /// Cost: encodes and decodes the schema once.
    ///
    /// # Errors
    ///
    /// [`SchemaError`] if a channel cannot carry the schema: see [`Schema::from_bytes`].
    pub fn new(encoding: Encoding, root: Type) -> Result<Schema, SchemaError> {
        // The decoded schema equals the one that a reader gets.
        Schema::from_bytes(&Schema { encoding, root }.to_bytes())
    }

    /// How payloads encode [`Schema::root`].
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The type of the state.
    #[must_use]
    pub fn root(&self) -> &Type {
        &self.root
    }

    /// The size of every payload in bytes, if the schema is of plain data.
    #[must_use]
    pub fn fixed_len(&self) -> Option<u64> {
        match self.encoding {
            Encoding::Postcard => None,
            Encoding::Pod => self.root.size(),
        }
    }

    /// The schema as bytes, as a channel carries them. A derived schema can have more types or
    /// levels than a channel can carry: then [`Schema::from_bytes`] refuses the bytes.
    ///
    /// Cost: visits each type once.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// The schema of these bytes.
    ///
    /// The bytes are untrusted: at most 64 KiB, 64 levels, 10,000 types and variants, and names of
    /// 256 bytes are accepted.
    ///
    /// Cost: reads each byte once; at most some megabytes of memory, for 10,000 types.
    ///
    /// # Errors
    ///
    /// [`SchemaError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Schema, SchemaError> {
        wire::decode(bytes)
    }

    /// A hash of the schema: equal schemas have equal hashes.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        layout::fingerprint(&self.to_bytes())
    }

    /// The differences between this schema, that of a channel, and the schema that `reader` was
    /// compiled with. Without differences, payloads mean the same to both. At most 100 differences
    /// are reported.
    ///
    /// The names of types and the newtypes around a value are not compared: they do not change the
    /// payload. The names of fields and variants are compared: a field of another name is another
    /// field.
    ///
    /// Cost: visits each type of both, and allocates texts for each difference. If one schema has
    /// arrays of arrays and the other has tuples, the cost is the product of their types.
    #[must_use]
    pub fn differences(&self, reader: &Schema) -> Vec<Difference> {
        difference::differences(self, reader)
    }
}
