//! One named object of shared words: create it, map it, claim it, unlink it. Only the operating
//! system is involved.
//!
//! [`Backend`] is small on purpose: it is all that a channel needs of the place where its objects
//! are. [`SharedMemory`] is the real one. [`Heap`] serves channels inside one process and most
//! tests. `conformance` is the suite that both pass.

#![allow(unsafe_code, reason = "maps objects, and uses locks of the kernel that rustix doesn't offer")]

#[cfg(test)]
mod conformance;
mod fork;
mod heap;
mod lock;
mod mapping;
mod shm;
mod threads;

pub(crate) use fork::ForkToken;
pub(crate) use heap::Heap;
pub(crate) use shm::SharedMemory;
pub(crate) use threads::{Backoff, Slept, issue_barrier, register_for_barriers, sleep, wake};

use std::fmt;
use std::io;
use std::time::Duration;

use crate::memory::{ReadOnlyWords, Words};

/// Permission bits of an object, for example `0o600`.
pub(crate) type Mode = u32;

/// Size of a claimed object, and how much of it gets memory at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) bytes: usize,
    pub(crate) reserved: usize,
}

impl Extent {
    /// All of it gets memory at once.
    pub(crate) fn full(bytes: usize) -> Extent {
        Extent { bytes, reserved: bytes }
    }
}

/// Memory that an object uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ObjectSize {
    /// Its length.
    pub(crate) bytes: u64,
    /// The part of it that has memory.
    pub(crate) resident: u64,
}

/// Status of an object, as the system reports it without opening the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ObjectStatus {
    /// Numeric id of its owner.
    pub(crate) owner: u32,
    pub(crate) permissions: Mode,
    /// Whether it is a regular file. Objects of ours are nothing else.
    pub(crate) is_regular: bool,
    pub(crate) size: ObjectSize,
}

impl ObjectStatus {
    /// Whether this process may remove it: a regular file of this user.
    pub(crate) fn is_ours(&self) -> bool {
        self.is_regular && self.owner == rustix::process::geteuid().as_raw()
    }
}

/// How long to wait for another process to finish a step on an object. A step is a few system
/// calls; only a stopped process takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// How an object is claimed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClaimOptions {
    pub(crate) extent: Extent,
    /// Whether the object is created if there is none.
    pub(crate) create: bool,
    /// How long to wait for another process that is claiming it at the same time.
    pub(crate) patience: Duration,
}

impl ClaimOptions {
    /// Claims an object, and creates it if there is none.
    pub(crate) fn create(extent: Extent) -> ClaimOptions {
        ClaimOptions { extent, create: true, patience: PATIENCE }
    }

    /// Claims an object that must exist.
    pub(crate) fn existing(extent: Extent) -> ClaimOptions {
        ClaimOptions { create: false, ..ClaimOptions::create(extent) }
    }
}

/// An error of one shared-memory object. The texts name the object as `/dev/shm` lists it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// There is no object of that name.
    #[error("shared-memory object {object} does not exist")]
    NotFound {
        /// Its name.
        object: String,
    },
    /// An object of that name exists already.
    #[error("shared-memory object {object} exists already")]
    Exists {
        /// Its name.
        object: String,
    },
    /// Its creator has made the name but not yet the memory.
    #[error(
        "shared-memory object {object} is still empty, its creator has not finished it: retry, or \
         open a writer for its channel if the creator is dead"
    )]
    Unfinished {
        /// Its name.
        object: String,
    },
    /// Another process owns it.
    #[error("shared-memory object {object} is claimed by another process: retry once that process has ended")]
    Claimed {
        /// Its name.
        object: String,
    },
    /// Its memory can't be reserved.
    #[error(
        "no room for {bytes} bytes of shared memory ({object}): free memory in /dev/shm, or \
         enlarge it (mount -o remount,size=… /dev/shm)"
    )]
    NoSpace {
        /// Its name.
        object: String,
        /// Requested bytes.
        bytes: usize,
    },
    /// The system doesn't allow it.
    #[error(
        "no permission for shared-memory object {object}: run as its owner; the writer can give \
         readers permissions (WriterBuilder::permissions)"
    )]
    PermissionDenied {
        /// Its name.
        object: String,
    },
    /// Another program put something else under this name.
    #[error(
        "/dev/shm/{object} is not an object of this library ({reason}): find out which program \
         made it, and remove it"
    )]
    Foreign {
        /// Its name.
        object: String,
        /// Why it is not one of our objects.
        reason: String,
    },
    /// It belongs to another user.
    #[error(
        "shared-memory object {object} belongs to user {owner}, which is not trusted: trust that \
         user explicitly (NamespaceBuilder::trust_owner), or use another namespace"
    )]
    OtherOwner {
        /// Its name.
        object: String,
        /// Numeric id of its owner.
        owner: u32,
    },
    /// The system refused for another reason.
    #[error("{operation} failed for shared-memory object {object}: {source}")]
    Os {
        /// Its name.
        object: String,
        /// The operation that failed.
        operation: &'static str,
        /// The system's reason.
        source: io::Error,
    },
}

/// The result of looking at an object by its name; `None` if the object does not exist, or no
/// longer does.
pub(crate) fn if_exists<T>(result: Result<T, ObjectError>) -> Result<Option<T>, ObjectError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(ObjectError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The place where named objects are.
///
/// Names are made by `layout`. Objects are never empty, always full pages, and zero when they are
/// new.
///
/// Held as `Arc<dyn Backend>`: every method makes system calls, beside which a dynamic call costs
/// nothing. The words, which are loaded and stored all the time, have the same concrete types for
/// every backend.
pub(crate) trait Backend: fmt::Debug + Send + Sync {
    /// Creates `object` exclusively, with reserved memory and exactly the permissions of `mode`.
    fn create(&self, object: &str, bytes: usize, mode: Mode) -> Result<Words, ObjectError>;

    /// Maps `object` read-only.
    fn view(&self, object: &str) -> Result<ReadOnlyWords, ObjectError>;

    /// Maps `object` read-only, although only a part of it has memory. The caller accesses only
    /// that part.
    fn view_sparse(&self, object: &str, extent: Extent) -> Result<ReadOnlyWords, ObjectError>;

    /// Maps `object` of a dead process to resume it.
    fn reopen(&self, object: &str) -> Result<Words, ObjectError>;

    /// Maps a part of `object`, full pages, that readers may store to as well. `Unfinished` if the
    /// part has no memory yet.
    fn part(&self, object: &str, start: usize, bytes: usize) -> Result<Words, ObjectError>;

    /// Memory that an object of `bytes` takes: the kernel's pages may be larger than the layout's.
    fn memory_of(&self, bytes: usize) -> usize {
        bytes
    }

    /// Unlinks the name `object` if it still means `memory`. Does nothing if it means another
    /// object or none.
    fn remove(&self, object: &str, memory: &Words) -> Result<(), ObjectError>;

    /// Unlinks the name `object`, whichever object of ours it means, and returns whether there was
    /// one. Only for the holder of the claim that the name belongs to.
    fn remove_leftover(&self, object: &str) -> Result<bool, ObjectError>;

    /// Opens `object`, or creates it if `options` say so, and claims it. The lock ends with this
    /// process, however it ends.
    ///
    /// If another process still has the lock, `abandoned` decides from the object's words whether
    /// its owner is known to be dead nevertheless: a fork of the owner shares the lock and may
    /// outlive the owner.
    fn claim(
        &self,
        object: &str,
        options: ClaimOptions,
        abandoned: &dyn Fn(&Words) -> bool,
    ) -> Result<Box<dyn Claim>, ObjectError>;

    /// The names of all objects that begin with `prefix`, in any order.
    fn list(&self, prefix: &str) -> Result<Vec<String>, ObjectError>;

    /// Size of the object named `object`, without opening it. It may belong to any user and be of
    /// any type.
    fn size(&self, object: &str) -> Result<ObjectSize, ObjectError>;

    /// Status of the object named `object`, without opening it.
    fn status(&self, object: &str) -> Result<ObjectStatus, ObjectError>;

    /// Whether a process has the lock of the object that `view` maps; `None` if `object` no longer
    /// means it.
    fn is_claimed(&self, object: &str, view: &ReadOnlyWords) -> Result<Option<bool>, ObjectError>;
}

/// A claimed object. Dropping it releases the claim and leaves the object.
pub(crate) trait Claim: fmt::Debug + Send + Sync {
    /// Its words.
    fn memory(&self) -> &Words;

    /// Opens the gate: other processes may now determine the owner. Called once the words that
    /// `abandoned` reads are stored; until then other processes wait.
    fn settle(&self);

    /// Sets exactly these permissions, regardless of the umask.
    fn set_mode(&self, mode: Mode) -> Result<(), ObjectError>;

    /// Reserves the `bytes` from `start` on, so that no access to them can fail.
    fn reserve(&self, start: usize, bytes: usize) -> Result<(), ObjectError>;

    /// Whether the name still means this object.
    fn is_named(&self) -> bool;

    /// Unlinks the name if it still means this object. The claim is kept until it is dropped.
    fn remove(&self) -> Result<(), ObjectError>;
}
