//! The errors of a block.

use std::time::Duration;

use crate::channel::{NameError, OverBudget, octal_text, process_text, waited_text};
use crate::layout::block;
use crate::object::ObjectError;

/// Why a block can't be created, opened or removed.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// The name can't be used.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A living process owns the block.
    #[error("block {block:?} already belongs to {}: open it by `BlockBuilder::open_mut`, end that \
             process, or choose another name", process_text(*pid))]
    AlreadyOwned {
        /// The block.
        block: String,
        /// The owner's process id, in its own PID namespace; 0 if it is not recorded yet.
        pid: u64,
    },
    /// There is no such block.
    #[error("there is no block {block:?} in namespace {namespace:?}{}: {}create it under the same names, or \
             wait longer for it (`BlockBuilder::attach_within`); an owner that is dropped removes its block",
            waited_text(*waited), channel_text(*is_channel))]
    NotFound {
        /// The namespace.
        namespace: String,
        /// The block.
        block: String,
        /// How long the process waited.
        waited: Duration,
        /// Whether there is a channel of that name, which is no block.
        is_channel: bool,
    },
    /// Its owner died, and no other process has created it again.
    #[error(
        "block {block:?} has lost its owner: process {pid} died{}; create it again, which replaces what that \
         process has left, or wait for its successor (`BlockBuilder::attach_within`)", waited_text(*waited)
    )]
    OwnerDied {
        /// The block.
        block: String,
        /// The dead process's id, in its own PID namespace.
        pid: u64,
        /// How long this process waited for another owner.
        waited: Duration,
    },
    /// Its creator has not finished it: the creator is at work, stopped, or dead.
    #[error(
        "the creator of block {block:?} has not finished it within {waited:.1?}: try again; if the creator is \
         dead, create the block again"
    )]
    NotReady {
        /// The block.
        block: String,
        /// How long the process waited.
        waited: Duration,
    },
    /// No object can have that size.
    #[error("block {block:?} can't have {bytes} bytes: they must fit in the address space")]
    InvalidSize {
        /// The block.
        block: String,
        /// The requested bytes.
        bytes: usize,
    },
    /// The label has more bytes than the header has room for.
    #[error(
        "the label of block {block:?} has {len} bytes, the maximum is {}: shorten it, or keep what it says in \
         the block",
        block::LABEL.max
    )]
    LabelTooLong {
        /// The block.
        block: String,
        /// The label's bytes.
        len: usize,
    },
    /// The permissions would lock out the owner, or have bits beyond permissions.
    #[error("block {block:?} can't have permissions {mode:#o}: set only bits of 0o777, 0o600 \
             among them{}", octal_text(*mode))]
    InvalidPermissions {
        /// The block.
        block: String,
        /// The requested permissions.
        mode: u32,
    },
    /// The namespace's budget has no room for the block.
    #[error("block {block:?} can't be created: {over}")]
    OverBudget {
        /// The block.
        block: String,
        /// The budget, and by how much it would be exceeded.
        over: OverBudget,
    },
    /// The names of two blocks have the same hash.
    #[error(
        "block {block:?} has the same object name as block {other:?}: choose another name for one of them"
    )]
    NameCollision {
        /// The requested block.
        block: String,
        /// The existing block, with its namespace.
        other: String,
    },
    /// Another version of the library made the block.
    #[error(
        "block {block:?} was made with layout version {found}, this library uses version {expected}: use the \
         same version of tearless in all processes; if no process owns the block, `tearless gc` (with its \
         --directory) or `Namespace::clean` removes it"
    )]
    LayoutVersion {
        /// The block.
        block: String,
        /// The block's version.
        found: u64,
        /// This library's version.
        expected: u64,
    },
    /// A later version made the block, with a feature that this version does not know and must not
    /// ignore.
    #[error(
        "block {block:?} uses features that this version does not know (bits {bits:#x}): use the same version \
         of tearless in all processes"
    )]
    UnknownFeatures {
        /// The block.
        block: String,
        /// The unknown features.
        bits: u64,
    },
    /// Its object can't be created, opened or removed.
    #[error("block {block:?} can't be used: {source}")]
    Object {
        /// The block.
        block: String,
        /// The object, and what is wrong with it.
        r#source: ObjectError,
    },
    /// The operating system gave no random number for the id of the block of this name.
    #[error("block {0:?} can't be created: the system gave no random number for its id: {1}")]
    NoRandomness(String, String),
}

debug_as_display!(BlockError);

fn channel_text(is_channel: bool) -> &'static str {
    if is_channel { "that is the name of a channel, which a reader opens; " } else { "" }
}
