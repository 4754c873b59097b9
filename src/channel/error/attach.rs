//! What can go wrong when a channel is attached to.

use std::time::Duration;

use crate::channel::NameError;
use crate::object::ObjectError;

/// Why a reader could not be attached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The name can't be used.
    #[error(transparent)]
    Name(#[from] NameError),
    /// There is no such channel.
    #[error(
        "there is no channel {channel:?} in namespace {namespace:?}{}: is its writer running, under the same \
         names?", waited_text(*.waited)
    )]
    NotFound {
        /// The namespace.
        namespace: String,
        /// The channel.
        channel: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// It is being created, or its creator died while creating it.
    #[error(
        "channel {channel:?} is still being created after {waited:.1?}: its creator was stopped or killed; open a \
         writer for it, which clears that up"
    )]
    NotReady {
        /// The channel.
        channel: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// It holds states in another format.
    #[error(
        "channel {channel:?} holds {found_type_name:?} encoded as {found_codec}, but this reader expects \
         {expected_type_name:?} encoded as {expected_codec}: use the writer's codec and type, give both sides one \
         `type_name`, or choose by `ReaderBuilder::accept` what else is accepted (`accept::MatchingFields` compares \
         fields instead of type names)"
    )]
    FormatMismatch {
        /// The channel.
        channel: String,
        /// The writer's codec.
        found_codec: String,
        /// The writer's type name.
        found_type_name: String,
        /// The reader's codec.
        expected_codec: String,
        /// The reader's type name.
        expected_type_name: String,
    },
    /// The schema that the channel carries does not fit the reader's type: it differs, or, with
    /// [`MatchingFields`](crate::accept::MatchingFields), lacks fields or has them with other types.
    #[error(
        "channel {channel:?} carries a schema that does not fit the reader's type: {differences}; give these fields \
         the same names and types on both sides"
    )]
    SchemaDiffers {
        /// The channel.
        channel: String,
        /// Each field that differs, and how.
        differences: String,
    },
    /// It carries no schema, and one is needed.
    #[error(
        "channel {channel:?} carries no schema, by which fields are found: open its writer with \
         `WriterBuilder::with_schema`"
    )]
    NoSchema {
        /// The channel.
        channel: String,
    },
    /// The schema that the channel carries is not what its writer wrote.
    #[error(
        "the schema of channel {channel:?} in /dev/shm/{object} is corrupt ({reason}): states can still be read by who \
         knows their type; open a writer for it, which writes it anew"
    )]
    SchemaCorrupt {
        /// The channel.
        channel: String,
        /// The object in which it stands.
        object: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The schema that the channel carries can't be understood, though it is as its writer wrote it.
    #[error(
        "the schema of channel {channel:?} can't be understood: {reason}; use the same version of tearless in all \
         processes, or attach by the writer's own type with a plain reader, which compares names only"
    )]
    SchemaUnknown {
        /// The channel.
        channel: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The channel was removed, or replaced by one of another format, after the reader had attached.
    #[error("channel {channel:?} was removed: attach again if it may have been re-created")]
    Removed {
        /// The channel.
        channel: String,
    },
    /// The names of two channels have the same hash.
    #[error("channel {channel:?} has the same object name as {other:?}: choose another name for one of them")]
    NameCollision {
        /// The channel that was asked for, with its namespace.
        channel: String,
        /// The one that is there.
        other: String,
    },
    /// Another version of the library made this channel.
    #[error(
        "channel {channel:?} was made with layout version {found}, this library speaks version {expected}: use the \
         same version of tearless in all processes"
    )]
    LayoutVersion {
        /// The channel.
        channel: String,
        /// The channel's version.
        found: u64,
        /// Ours.
        expected: u64,
    },
    /// A later version made this channel, with something that this one does not know and must not ignore.
    #[error(
        "channel {channel:?} uses features that this version does not know (bits {bits:#x}): use the same version \
         of tearless in all processes"
    )]
    UnknownFeatures {
        /// The channel.
        channel: String,
        /// The features.
        bits: u64,
    },
    /// It was written before the machine was started last, and kept or copied: its times mean nothing now.
    #[error(
        "channel {channel:?} is from boot {found}, this is boot {expected}: open a writer for it, which makes it anew"
    )]
    OtherBoot {
        /// The channel.
        channel: String,
        /// Id of the boot under which it was written, as `/proc/sys/kernel/random/boot_id` shows it.
        found: String,
        /// Id of the present boot.
        expected: String,
    },
    /// Its control page can't be opened, or is none; or the object with its schema can't.
    #[error("channel {channel:?} can't be opened for reading: {source}")]
    Object {
        /// The channel.
        channel: String,
        /// What is wrong with which object.
        source: ObjectError,
    },
}

fn waited_text(waited: Duration) -> String {
    if waited.is_zero() { String::new() } else { format!(", not even after {waited:.1?}") }
}
