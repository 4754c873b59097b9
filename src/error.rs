//! Every error of the library, and [`Error`], which any of them converts into.
//!
//! Each operation returns the error that lists what can go wrong in it. A program that calls
//! several operations returns [`tearless::Error`](Error) and uses `?`:
//!
//! ```
//! # use tearless::Namespace;
//! fn last_state(fleet: &str, worker: &str) -> Result<u64, tearless::Error> {
//!     let mut reader = Namespace::open(fleet)?.reader::<u64>(worker)?;
//!     Ok(reader.snapshot()?.into_inner())
//! }
//! ```
//!
//! Every message says what happened, to which channel or object, and what to do about it.

pub use crate::channel::{
    AttachError, BudgetScope, CreateError, NameError, OverBudget, PublishError, RemoveError, SizeLimit,
    SnapshotError,
};
#[cfg(any(feature = "postcard", feature = "message-pack"))]
pub use crate::codec::CapError;
pub use crate::codec::CodecError;
#[cfg(feature = "dynamic")]
pub use crate::dynamic::{DecodeError, DynamicError, PathError};
pub use crate::hub::QueryError;
pub use crate::object::ObjectError;
#[cfg(feature = "schema")]
pub use crate::schema::SchemaError;
pub use crate::syncer::{ShutdownError, SpawnError};

/// Any error of the library: `?` converts each of them into it. Its text is that of the error
/// inside.
///
/// The errors inside are boxed, so a `Result` with this error is as small as one with an
/// `io::Error`.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
#[non_exhaustive]
pub enum Error {
    /// A name can't be used.
    Name(Box<NameError>),
    /// A writer could not be opened.
    Create(Box<CreateError>),
    /// A reader could not be attached.
    Attach(Box<AttachError>),
    /// A state could not be published.
    Publish(Box<PublishError>),
    /// A snapshot could not be taken.
    Snapshot(Box<SnapshotError>),
    /// A hub has no state of a channel.
    Query(Box<QueryError>),
    /// A channel could not be removed or closed.
    Remove(Box<RemoveError>),
    /// A syncer could not be started.
    Spawn(Box<SpawnError>),
    /// A syncer could not publish its last state or end its channel.
    Shutdown(Box<ShutdownError>),
    /// An object of shared memory could not be used.
    Object(Box<ObjectError>),
    /// Bytes are not a schema.
    #[cfg(feature = "schema")]
    Schema(Box<SchemaError>),
    /// A payload could not be decoded without its type.
    #[cfg(feature = "dynamic")]
    Decode(Box<DecodeError>),
    /// A dynamic reader has no value.
    #[cfg(feature = "dynamic")]
    Dynamic(Box<DynamicError>),
    /// A text is not a path of a field.
    #[cfg(feature = "dynamic")]
    Path(Box<PathError>),
}

macro_rules! from {
    ($($(#[$feature:meta])? $variant:ident($error:ty);)*) => {
        $($(#[$feature])? impl From<$error> for Error {
            fn from(error: $error) -> Error {
                Error::$variant(Box::new(error))
            }
        })*
    };
}

from! {
    Name(NameError);
    Create(CreateError);
    Attach(AttachError);
    Publish(PublishError);
    Snapshot(SnapshotError);
    Query(QueryError);
    Remove(RemoveError);
    Spawn(SpawnError);
    Shutdown(ShutdownError);
    Object(ObjectError);
    #[cfg(feature = "schema")]
    Schema(SchemaError);
    #[cfg(feature = "dynamic")]
    Decode(DecodeError);
    #[cfg(feature = "dynamic")]
    Dynamic(DynamicError);
    #[cfg(feature = "dynamic")]
    Path(PathError);
}
