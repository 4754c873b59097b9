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
//! Every message says what happened, to which channel or object, why, and what to do about it.
//!
//! * `Display` writes all of that, on one line. `source` therefore returns nothing, and a program
//!   that prints the sources, too, prints no cause twice. The causes are fields of the variants.
//! * `Debug` writes the same text, because a `main` that returns an error prints its `Debug`, as
//!   `unwrap` does.

#[cfg(test)]
mod tests;

pub use crate::block::BlockError;
pub use crate::channel::{
    AttachError, BudgetScope, CreateError, KnownChannels, NameError, OverBudget, PublishError, RemoveError,
    SizeLimit, SnapshotError,
};
pub use crate::codec::CodecError;
#[cfg(any(feature = "postcard", feature = "message-pack"))]
pub use crate::codec::{CapError, EncodeError};
#[cfg(feature = "dynamic")]
pub use crate::dynamic::{DecodeError, DynamicError, PathError};
pub use crate::hub::QueryError;
pub use crate::object::{ObjectError, ResourceLimit};
pub use crate::saved::SavedError;
#[cfg(feature = "schema")]
pub use crate::schema::SchemaError;
pub use crate::sealed::DescriptorError;
pub use crate::syncer::{ShutdownError, SpawnError};

macro_rules! any_of {
    ($($(#[$attribute:meta])* $variant:ident($error:ty),)*) => {
        /// Any error of the library: `?` converts each of them into it. Its text is that of the
        /// error inside, which is boxed: a `Result` with this error is as small as one with an
        /// `io::Error`.
        #[derive(thiserror::Error)]
        #[error(transparent)]
        #[non_exhaustive]
        pub enum Error {
            $($(#[$attribute])* $variant(Box<$error>),)*
        }

        debug_as_display!(Error);

        $($(#[$attribute])* impl From<$error> for Error {
            fn from(error: $error) -> Error {
                Error::$variant(Box::new(error))
            }
        })*
    };
}

any_of! {
    /// A name can't be used.
    Name(NameError),
    /// A writer could not be opened.
    Create(CreateError),
    /// A reader could not be attached.
    Attach(AttachError),
    /// A state could not be published.
    Publish(PublishError),
    /// A snapshot could not be taken.
    Snapshot(SnapshotError),
    /// A hub has no state of a channel.
    Query(QueryError),
    /// A channel could not be removed or closed.
    Remove(RemoveError),
    /// A block could not be created, opened or removed.
    Block(BlockError),
    /// A syncer could not be started.
    Spawn(SpawnError),
    /// A syncer could not publish its last state or end its channel.
    Shutdown(ShutdownError),
    /// An object of shared memory could not be used.
    Object(ObjectError),
    /// Channels could not be saved to a file, or restored.
    Saved(SavedError),
    /// A descriptor could not be sent or received.
    Descriptor(DescriptorError),
    /// Bytes are not a schema.
    #[cfg(feature = "schema")]
    Schema(SchemaError),
    /// A payload could not be decoded without its type.
    #[cfg(feature = "dynamic")]
    Decode(DecodeError),
    /// A dynamic reader has no value.
    #[cfg(feature = "dynamic")]
    Dynamic(DynamicError),
    /// A text is not a path of a field.
    #[cfg(feature = "dynamic")]
    Path(PathError),
}
