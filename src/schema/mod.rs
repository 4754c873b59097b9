//! Schemas: what a state consists of, as data that a channel can carry and that a program without the state's type can
//! read.
//!
//! A [`Schema`] is a tree of [`Type`]s. A codec that can say what the bytes of a `T` mean implements [`Describe`]:
//!
//! * [`Postcard`](crate::Postcard), where `T` has a [`postcard_schema::Schema`]: derive that.
//! * [`Pod`](crate::Pod), where `T` has a [`DescribePod`]: name its fields in [`describe_pod!`](crate::describe_pod).
//! * [`MessagePack`](crate::MessagePack) needs none. Its payloads describe themselves.
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
//! The derive comes from the crate `postcard-schema` with its feature `derive`, version 0.2: it is re-exported, so that
//! `#[postcard(crate = tearless::schema::postcard_schema)]` saves a dependency where another one switches that feature on.
//!
//! What a schema is worth: it says what the writer's program was compiled with. The derive sees `#[serde(rename)]`; it
//! does not see `rename_all`, `skip`, `flatten` or `with`, and then describes something else than what is published.

mod cursor;
mod describe;
mod difference;
mod display;
mod error;
mod field;
mod plain;
mod plan;
mod postcard;
#[cfg(feature = "dynamic")]
mod size;
mod tree;
mod wire;

#[cfg(test)]
mod tests;

#[cfg(feature = "dynamic")]
pub(crate) use cursor::{Cursor, Fault};
pub use describe::Describe;
pub use difference::{Difference, DifferenceKind};
pub use error::SchemaError;
pub use field::FieldInfo;
#[cfg(feature = "dynamic")]
pub(crate) use field::named_step;
pub use plain::DescribePod;
#[doc(hidden)]
pub use plain::assembly;
pub(crate) use plan::{Move, plan};
pub use postcard_schema;
#[cfg(feature = "dynamic")]
pub(crate) use size::Strides;
#[cfg(all(test, feature = "dynamic"))]
pub(crate) use tree::LOOKS;
pub use tree::{Encoding, Field, Fields, Scalar, Schema, Type, Variant};
