//! Errors of a channel, one enum for each operation on it.

mod text;

pub(crate) use text::{attempts_text, octal_text, process_text, removed_text, waited_text};

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use super::{KnownChannels, NameError, OverBudget, SizeLimit};
use crate::layout::{Publication, pins};
use crate::object::{ObjectError, cleanup_text};
use text::{
    advised, chain_text, collision_text, mismatch_text, paths_text, slots_text, text_for_removal,
    text_for_writers, version_text,
};

/// Why a writer could not be opened. Nothing has changed that another process could see.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The name can't be used.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Another process, or another writer of this process, writes this channel.
    #[error("channel {channel:?} is already written by {}: a channel has one writer; end that one, \
             or choose another name", process_text(*pid))]
    AlreadyOwned {
        /// The channel.
        channel: String,
        /// The writer's process id, in its own PID namespace; 0 if it is not recorded yet.
        pid: u64,
    },
    /// The channel mirrors one of another host, and only a mirror of that host may write it, also
    /// after a mirror died.
    #[error(
        "channel {channel:?} mirrors the channel of host {host:?}, and only a mirror of that host \
             may write it: choose another name, or end the mirror and remove the channel \
             (`Namespace::remove_channel`, `tearless gc`)"
    )]
    Mirrored {
        /// The channel.
        channel: String,
        /// The name of the host.
        host: String,
    },
    /// A mirror found a channel of this host, which it does not replace, also after its writer
    /// died.
    #[error(
        "channel {channel:?} is one of this host, and a mirror replaces none: mirror under \
             another name, or remove the channel (`Namespace::remove_channel`, `tearless gc`)"
    )]
    NotMirrored {
        /// The channel.
        channel: String,
    },
    /// No channel can have what the origin says of its channel.
    #[error("channel {channel:?} of host {host:?} can't be mirrored: {reason}")]
    InvalidOrigin {
        /// The channel.
        channel: String,
        /// The name of the host.
        host: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The initial capacity is more than the maximum state length.
    #[error(
        "channel {channel:?} can't be created: its initial capacity of {capacity} bytes (by default the \
         size of a plain state) is above its maximum state length of {max_state_len}: lower \
         WriterBuilder::capacity, or raise WriterBuilder::max_state_len"
    )]
    CapacityAboveLimit {
        /// The channel.
        channel: String,
        /// The requested capacity.
        capacity: usize,
        /// The requested maximum state length.
        max_state_len: usize,
    },
    /// No segment can have that size.
    #[error("channel {channel:?} can't be created: no segment can hold states of {bytes} bytes{}: \
             a capacity and a maximum state length have at least 1 byte, a channel has 2 to 131072 \
             slots, and all of them must fit in the address space", slots_text(*slots))]
    InvalidSize {
        /// The channel.
        channel: String,
        /// The requested capacity or maximum state length.
        bytes: usize,
        /// The requested number of slots, if any.
        slots: Option<usize>,
    },
    /// More pins were asked for than a channel can have.
    #[error(
        "channel {channel:?} can't have {pins} pins, the maximum is {}: lower WriterBuilder::pins; \
         readers without a pin copy",
        pins::MAX
    )]
    TooManyPins {
        /// The channel.
        channel: String,
        /// The requested number.
        pins: usize,
    },
    /// A budget has no room for the channel.
    #[error("channel {channel:?} can't be created: {over}")]
    OverBudget {
        /// The channel.
        channel: String,
        /// The budget, and by how much it would be exceeded.
        over: OverBudget,
    },
    /// The permissions would lock out the writer, or have bits beyond permissions.
    #[error("channel {channel:?} can't have permissions {mode:#o}: set only bits of 0o777, 0o600 \
             among them{}", octal_text(*mode))]
    InvalidPermissions {
        /// The channel.
        channel: String,
        /// The requested permissions.
        mode: u32,
    },
    /// Readers would refuse the schema for the channel.
    #[error(
        "channel {channel:?} can't carry the schema of the state's type: {reason}; correct the type's \
         `Schema`, or open the writer without `with_schema`"
    )]
    SchemaRefused {
        /// The channel.
        channel: String,
        /// What is wrong with the schema.
        reason: String,
    },
    /// `with_schema` was called before `codec`.
    #[error(
        "the schema is of another codec: call `codec` first and `with_schema` after it, on the builder \
         of channel {channel:?}"
    )]
    SchemaOfAnotherCodec {
        /// The channel.
        channel: String,
    },
    /// The names of two channels have the same hash.
    #[error("{}", collision_text(channel, other))]
    NameCollision {
        /// The requested channel, with its namespace.
        channel: String,
        /// The existing channel.
        other: String,
    },
    /// Another version of the library made this channel.
    #[error("{}", version_text(channel, *found, *expected))]
    LayoutVersion {
        /// The channel.
        channel: String,
        /// The channel's version.
        found: u64,
        /// This library's version.
        expected: u64,
    },
    /// One of its objects can't be created or opened.
    #[error("channel {channel:?} can't be opened for writing: {}", text_for_writers(source))]
    Object {
        /// The channel.
        channel: String,
        /// The object, and what is wrong with it.
        r#source: ObjectError,
    },
    /// The operating system gave no random number for the id of the channel of this name.
    #[error("channel {0:?} can't be created: the system gave no random number for its id: {1}")]
    NoRandomness(String, String),
}

debug_as_display!(CreateError);

/// Why a reader could not attach to a channel.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The name can't be used.
    #[error(transparent)]
    Name(#[from] NameError),
    /// There is no such channel.
    #[error("there is no channel {channel:?} in namespace {namespace:?}{}{}: start its writer, \
             under the same names, or wait longer for it (`attach_within`); a writer that is \
             dropped, also by a panic, removes its channel, unless it lingers",
            waited_text(*waited), known.question(channel))]
    NotFound {
        /// The namespace.
        namespace: String,
        /// The channel.
        channel: String,
        /// How long the reader waited.
        waited: Duration,
        /// The channels that there are.
        known: KnownChannels,
    },
    /// Its creator has not finished it: the creator is at work, stopped, or dead.
    #[error(
        "the creator of channel {channel:?} has not finished it within {waited:.1?}: try again; if the \
         creator is dead, open a writer for the channel, which creates it again"
    )]
    NotReady {
        /// The channel.
        channel: String,
        /// How long the reader waited.
        waited: Duration,
    },
    /// The channel holds states in another format.
    #[error(
        "channel {channel:?} holds {found_type_name:?} encoded as {found_codec}, and not \
         {expected_type_name:?} encoded as {expected_codec}: {}",
        mismatch_text(found_codec, expected_codec)
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
    /// The channel's schema does not fit the reader's type: it differs, or, with
    /// [`MatchingFields`](crate::accept::MatchingFields), lacks fields or has them with other
    /// types.
    #[error(
        "the schema of channel {channel:?} does not fit the reader's type: {differences}; give these \
         fields the same names and types on both sides"
    )]
    SchemaDiffers {
        /// The channel.
        channel: String,
        /// Each field that differs, and how.
        differences: String,
    },
    /// The channel carries no schema, and this reader needs one.
    #[error(
        "channel {channel:?} carries no schema, by which `accept::MatchingFields` finds fields: open its \
         writer with `WriterBuilder::with_schema`"
    )]
    NoSchema {
        /// The channel.
        channel: String,
    },
    /// The channel's schema differs from what its writer wrote.
    #[error(
        "the schema of channel {channel:?} in {object} is corrupt ({reason}): read the states \
         with a reader of their type, or open a writer for the channel, which writes the schema again"
    )]
    SchemaCorrupt {
        /// The channel.
        channel: String,
        /// The path of the channel's object, which holds the schema.
        object: String,
        /// What is wrong with the schema.
        reason: String,
    },
    /// The channel's schema can't be understood, although it is as its writer wrote it.
    #[error(
        "the schema of channel {channel:?} can't be understood: {reason}; use the same version of tearless \
         in all processes, or use the writer's type and `accept::SameType`, which compares only names"
    )]
    SchemaUnknown {
        /// The channel.
        channel: String,
        /// What is wrong with the schema.
        reason: String,
    },
    /// The names of two channels have the same hash.
    #[error("{}", collision_text(channel, other))]
    NameCollision {
        /// The requested channel, with its namespace.
        channel: String,
        /// The existing channel.
        other: String,
    },
    /// Another version of the library made this channel.
    #[error("{}", version_text(channel, *found, *expected))]
    LayoutVersion {
        /// The channel.
        channel: String,
        /// The channel's version.
        found: u64,
        /// This library's version.
        expected: u64,
    },
    /// A later version made this channel, with a feature that this version does not know and must
    /// not ignore.
    #[error(
        "channel {channel:?} uses features that this version does not know (bits {bits:#x}): use the \
         same version of tearless in all processes"
    )]
    UnknownFeatures {
        /// The channel.
        channel: String,
        /// The unknown features.
        bits: u64,
    },
    /// The channel is from before the last boot, and was kept or copied: its timestamps mean
    /// nothing now.
    #[error(
        "channel {channel:?} is from boot {found}, this is boot {expected}: open a writer for it, which \
         creates it again"
    )]
    OtherBoot {
        /// The channel.
        channel: String,
        /// Id of the boot in which it was written, as `/proc/sys/kernel/random/boot_id` shows it.
        found: String,
        /// Id of the present boot.
        expected: String,
    },
    /// Its object can't be opened or is not ours.
    #[error("channel {channel:?} can't be opened for reading: {source}")]
    Object {
        /// The channel.
        channel: String,
        /// The object, and what is wrong with it.
        r#source: ObjectError,
    },
}

debug_as_display!(AttachError);

/// Why a state could not be published. The last published state stays readable.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The state exceeds the maximum state length, or needs a segment for which a budget has no
    /// room.
    #[error("{}", limit.text(channel, *len, *max_state_len))]
    TooLarge {
        /// The channel.
        channel: String,
        /// The state's length in bytes.
        len: usize,
        /// The channel's maximum state length.
        max_state_len: usize,
        /// Which limit was exceeded.
        limit: SizeLimit,
    },
    /// The publication of another host has a number that no publication has.
    #[error(
        "channel {channel:?} mirrors no publication {publication}: numbers are at most {}; the host, or what \
         carries its states, is damaged or hostile: stop mirroring it",
        Publication::MAX.get()
    )]
    InvalidNumber {
        /// The channel.
        channel: String,
        /// The number.
        publication: u64,
    },
    /// The codec can't encode the state.
    #[error("the state of channel {channel:?} can't be encoded as {codec}: {}",
            chain_text(&**source))]
    Encode {
        /// The channel.
        channel: String,
        /// The codec's name.
        codec: &'static str,
        /// The codec's reason.
        r#source: Box<dyn Error + Send + Sync>,
    },
    /// A segment had to grow and could not.
    #[error("channel {channel:?} can't grow to {bytes} bytes: {}", text_for_writers(source))]
    Growth {
        /// The channel.
        channel: String,
        /// Size of the requested segment.
        bytes: usize,
        /// The object, and what is wrong with it.
        r#source: ObjectError,
    },
    /// The channel's names, or some of them, were unlinked or taken over while it was in use.
    #[error(
        "names of channel {channel:?} were removed from shared memory while it was in use; attached readers \
         keep the last state: call `Writer::reopen` and publish again, or open a new writer"
    )]
    NamesRemoved {
        /// The channel.
        channel: String,
    },
    /// The channel's names, or some of them, were unlinked or taken over while its syncer was in
    /// use, which can't create the channel again.
    #[error(
        "names of channel {channel:?} were removed from shared memory while it was in use, and can't be made \
         again: {source}; the syncer tries again each second"
    )]
    NamesNotRestored {
        /// The channel.
        channel: String,
        /// Why not.
        r#source: Arc<CreateError>,
    },
    /// The registry of the channel's namespace was unlinked or taken over while the channel was in
    /// use, and can't be made again. The channel has its names and was published, if asked for.
    #[error(
        "the list of channels, with channel {channel:?}, was removed from shared memory and can't be made \
         again: {}; the channel can be read by its name, and `touch` tries again each second: if another \
         user has taken the list's name, that user or root must remove it",
        text_for_writers(source)
    )]
    RegistryNotRestored {
        /// The channel.
        channel: String,
        /// The registry's object, and what is wrong with it.
        r#source: Arc<ObjectError>,
    },
    /// This process is a fork of the process that opened the writer.
    #[error(
        "the writer of channel {channel:?} belongs to process {owner}, and this process is a fork of it: \
         open a writer for another channel in this process"
    )]
    Forked {
        /// The channel.
        channel: String,
        /// Process id of the owner.
        owner: u64,
    },
    /// No number is left for another publication, or for another segment.
    #[error("the numbers of channel {channel:?} are exhausted: remove it and create it again")]
    Exhausted {
        /// The channel.
        channel: String,
    },
    /// A syncer was shut down and has ended the channel.
    #[error("channel {channel:?} is closed: its syncer was shut down; spawn a new syncer to publish again")]
    Closed {
        /// The channel.
        channel: String,
    },
}

debug_as_display!(PublishError);

/// Why there is no snapshot.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Nothing has been published yet.
    #[error("nothing has been published on channel {channel:?} yet: try again, or wait with `changed`")]
    Empty {
        /// The channel.
        channel: String,
    },
    /// The writer reused the slot during every attempt.
    #[error("the writer of channel {channel:?} was faster than {} in {waited:.1?}: give the \
             channel more slots, or set a retry policy with a longer deadline",
            attempts_text(*attempts))]
    Contended {
        /// The channel.
        channel: String,
        /// How many attempts were made.
        attempts: u32,
        /// How long they took.
        waited: Duration,
    },
    /// The channel was removed: by its writer, which closed it; after its writer's end by a cleanup
    /// or [`Namespace::remove_channel`](crate::Namespace::remove_channel); or by a writer of
    /// another format, which replaced it.
    #[error("{}; attach again, or start its writer (a hub attaches again by itself)",
            removed_text(channel, *last))]
    Closed {
        /// The channel.
        channel: String,
        /// Number of its last publication, 0 if there was none.
        last: u64,
    },
    /// The payload differs from what was published.
    #[error(
        "publication {publication} of channel {channel:?} is corrupt: {reason}; wait for the next \
         publication, and find out which program writes to the channel's objects"
    )]
    Corrupt {
        /// The channel.
        channel: String,
        /// Number of the publication.
        publication: u64,
        /// What is wrong with the payload.
        reason: String,
    },
    /// The payload is whole, but its length is not that of the reader's type.
    #[error(
        "publication {publication} of channel {channel:?} has {len} bytes, but the type to read has \
         {expected}: use the writer's type (`accept` compares fields before)"
    )]
    WrongLength {
        /// The channel.
        channel: String,
        /// Number of the publication.
        publication: u64,
        /// Its payload's length in bytes.
        len: usize,
        /// The length of the reader's type.
        expected: usize,
    },
    /// The payload is whole, but longer than the buffer that was to receive it.
    #[error(
        "publication {publication} of channel {channel:?} has {len} bytes, but the buffer has {capacity}: \
         read it into a larger one"
    )]
    BufferTooSmall {
        /// The channel.
        channel: String,
        /// Number of the publication.
        publication: u64,
        /// Its payload's length in bytes.
        len: usize,
        /// The buffer's length in bytes.
        capacity: usize,
    },
    /// The payload is whole, but lacks the requested bytes.
    #[error(
        "publication {publication} of channel {channel:?} has {len} bytes: it has no {wanted} bytes from \
         byte {offset} on; read a part within its length"
    )]
    OutOfRange {
        /// The channel.
        channel: String,
        /// Number of the publication.
        publication: u64,
        /// Its payload's length in bytes.
        len: usize,
        /// Byte at which the requested part begins.
        offset: usize,
        /// Length of the requested part in bytes.
        wanted: usize,
    },
    /// The payload is whole, but the codec can't decode it.
    #[error("publication {publication} of channel {channel:?} can't be decoded as {codec}: {}",
            advised(chain_text(&**source)))]
    Decode {
        /// The channel.
        channel: String,
        /// Number of the publication.
        publication: u64,
        /// The codec's name.
        codec: &'static str,
        /// The codec's reason.
        r#source: Box<dyn Error + Send + Sync>,
    },
    /// A segment of the channel can't be mapped.
    #[error("a segment of channel {channel:?} can't be mapped: {source}")]
    Object {
        /// The channel.
        channel: String,
        /// The object, and what is wrong with it.
        r#source: ObjectError,
    },
}

debug_as_display!(SnapshotError);

/// Why a channel could not be removed.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// The name can't be used.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A process writes the channel.
    #[error("channel {channel:?} is written by {}: end that writer first", process_text(*pid))]
    AlreadyOwned {
        /// The channel.
        channel: String,
        /// The writer's process id, in its own PID namespace; 0 if it is not recorded yet.
        pid: u64,
    },
    /// The channel has ended for its readers, but some of its objects can't be removed.
    #[error("channel {channel:?} has ended, but {} can't be removed from shared memory ({}): run \
             {} as the objects' owner, which removes them",
            paths_text(source.directory(), objects), text_for_removal(source), cleanup_text(source.directory()))]
    Left {
        /// The channel.
        channel: String,
        /// The names of the objects that are left.
        objects: Vec<String>,
        /// Why the first of them can't be removed.
        r#source: ObjectError,
    },
    /// The channel was removed, and the namespace's list of channels still has its entry.
    #[error(
        "channel {channel:?} was removed, but its entry in the list of channels was not ({source}): \
         {} removes it",
        cleanup_text(source.directory())
    )]
    Entry {
        /// The channel.
        channel: String,
        /// The list's object, and what is wrong with it.
        r#source: ObjectError,
    },
    /// One of its objects can't be opened or removed.
    #[error("channel {channel:?} can't be removed: {}", text_for_removal(source))]
    Object {
        /// The channel.
        channel: String,
        /// The object, and what is wrong with it.
        r#source: ObjectError,
    },
}

debug_as_display!(RemoveError);
