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

        impl Error {
            /// What kind of error it is.
            #[must_use]
            #[allow(unused_doc_comments, reason = "those of the variants are repeated")]
            pub fn kind(&self) -> ErrorKind {
                match self { $($(#[$attribute])* Error::$variant(error) => error.kind(),)* }
            }
        }

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

/// What kind of error it is: what a program branches on that handles errors of several operations
/// alike, or shows them to another language. The precise errors have more to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// None of the others; often an error of the system.
    Other,
    /// There is no such channel, block, or file, or it is not ready yet.
    NotFound,
    /// Nothing has been published yet.
    Empty,
    /// Another process has it: a channel has one writer.
    InUse,
    /// The channel, or what was called, has ended.
    Closed,
    /// The caller is a fork of the process that it belongs to.
    Forked,
    /// The states are of another type, schema, codec or version.
    TypeMismatch,
    /// A state can't be encoded.
    Encode,
    /// A payload can't be decoded, or memory holds what no writer stores.
    Decode,
    /// There is no memory, or a limit or budget does not allow it.
    Limit,
    /// The system does not permit it.
    Access,
    /// An argument or option is wrong.
    Argument,
    /// The writer was faster than every attempt to copy its state.
    Contended,
}

/// First the variants that have another error of the library as their cause, which has the kind;
/// then the kinds of the others.
macro_rules! kinds {
    ($($(#[$attribute:meta])* $error:ident, $name:literal:
        $($cause:pat => $of:expr,)*; $($variant:ident $kind:ident,)*;)*) => {$(
        $(#[$attribute])*
        impl $error {
            /// What kind of error it is. The kind of an error that has another one as its cause is
            /// the cause's.
            #[must_use]
            pub fn kind(&self) -> ErrorKind {
                self.kind_and_name().0
            }

            /// The precise error by name, as `Attach.NotFound`: for logs and other languages. The
            /// name of an error that has another one as its cause is the cause's.
            #[must_use]
            pub fn name(&self) -> &'static str {
                self.kind_and_name().1
            }

            fn kind_and_name(&self) -> (ErrorKind, &'static str) {
                match self {
                    $($cause => $of.kind_and_name(),)*
                    $($error::$variant { .. } => {
                        (ErrorKind::$kind, concat!($name, ".", stringify!($variant)))
                    })*
                }
            }
        }
    )*};
}

kinds! {
    NameError, "Name":;
        Empty Argument, TooLong Argument, ControlCharacter Argument, Directory Argument, UnknownGroup Argument,;
    ObjectError, "Object":;
        NotFound NotFound, Exists InUse, Unfinished InUse, Claimed InUse, NoSpace Limit, PermissionDenied Access,
        NotOwner Access, NotMember Access, OtherGroup Access, OtherOwner Access, Limit Limit, Full Limit,
        NoHugePages Limit, Foreign Other, OtherVersion Other, OtherNamespace Other, NotSealed Other, Unusable Other,
        Recorded Other, Os Other,;
    CreateError, "Create":
        CreateError::Name(error) => error, CreateError::Object { source, .. } => source,;
        AlreadyOwned InUse, Mirrored InUse, NotMirrored InUse, InvalidOrigin Argument, CapacityAboveLimit Argument,
        TooManyPins Argument, InvalidSize Argument, OverBudget Limit, InvalidPermissions Argument,
        SchemaRefused TypeMismatch, SchemaOfAnotherCodec Argument, NameCollision InUse, LayoutVersion TypeMismatch,
        NoRandomness Other,;
    AttachError, "Attach":
        AttachError::Name(error) => error, AttachError::Object { source, .. } => source,;
        NotFound NotFound, NotReady NotFound, FormatMismatch TypeMismatch, SchemaDiffers TypeMismatch,
        NoSchema TypeMismatch, SchemaCorrupt Decode, SchemaUnknown TypeMismatch, NameCollision InUse,
        LayoutVersion TypeMismatch, UnknownFeatures TypeMismatch, OtherBoot Other,;
    PublishError, "Publish":
        PublishError::Growth { source, .. } => source, PublishError::NamesNotRestored { source, .. } => source,
        PublishError::RegistryNotRestored { source, .. } => source,;
        TooLarge Limit, InvalidNumber Argument, Encode Encode, NamesRemoved Other, Forked Forked, Exhausted Limit, Closed Closed,;
    SnapshotError, "Snapshot":
        SnapshotError::Object { source, .. } => source,;
        Empty Empty, Contended Contended, Closed Closed, Corrupt Decode, WrongLength TypeMismatch,
        BufferTooSmall Limit, OutOfRange Argument, Decode Decode,;
    RemoveError, "Remove":
        RemoveError::Name(error) => error, RemoveError::Left { source, .. } => source,
        RemoveError::Entry { source, .. } => source, RemoveError::Object { source, .. } => source,;
        AlreadyOwned InUse,;
    BlockError, "Block":
        BlockError::Name(error) => error, BlockError::Object { source, .. } => source,;
        AlreadyOwned InUse, NotFound NotFound, OwnerDied NotFound, NotReady NotFound, InvalidSize Argument,
        LabelTooLong Limit, InvalidPermissions Argument, OverBudget Limit, NameCollision InUse,
        LayoutVersion TypeMismatch, UnknownFeatures TypeMismatch, NoRandomness Other,;
    QueryError, "Query":
        QueryError::Attach(error) => error, QueryError::Snapshot(error) => error,
        QueryError::List { source, .. } => source, QueryError::Writer { source, .. } => source,;;
    SpawnError, "Spawn":
        SpawnError::Create(error) => error, SpawnError::Resume(error) => error, SpawnError::Publish(error) => error,;
        IntervalTooShort Argument, Thread Limit,;
    ShutdownError, "Shutdown":
        ShutdownError::Publish { source, .. } => source, ShutdownError::Close { source, .. } => source,;
        AlreadyShutDown Closed,;
    SavedError, "Saved":
        SavedError::Object(error) => error, SavedError::Attach(error) => error,
        SavedError::Create(error) => error, SavedError::Publish(error) => error, SavedError::Close(error) => error,;
        File Other, NoLocks Other, Busy InUse, Foreign Decode, OtherVersion TypeMismatch, Cut Decode, Damaged Decode,
        NoSuchChannel NotFound, NothingToSave NotFound, NoState NotFound,;
    DescriptorError, "Descriptor":;
        Closed Closed, Lost Other, Unexpected Other, Refused Access, Os Other,;
    #[cfg(feature = "schema")]
    SchemaError, "Schema":;
        TooLong Decode, Version Decode, Truncated Decode, Malformed Decode, UnknownTag Decode, LongName Decode,
        SameName Decode, TooDeep Decode, TooManyTypes Decode, NotPlain Decode, Left Decode,;
    #[cfg(feature = "dynamic")]
    DecodeError, "Decode":;
        NoSchema TypeMismatch, Schema Decode, OtherEncoding TypeMismatch, UnknownCodec TypeMismatch, Payload Decode,
        TooDeep Decode, TooManyElements Decode, TooLarge Decode, Left Decode,;
    #[cfg(feature = "dynamic")]
    DynamicError, "Dynamic":
        DynamicError::Snapshot(error) => error, DynamicError::Decode { source, .. } => source,;
        NoSuchField NotFound,;
}

#[cfg(feature = "dynamic")]
impl PathError {
    /// [`ErrorKind::Argument`].
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Argument
    }
}
