//! One named object of shared words: create it, look at it, claim it, remove it. Operating system only.
//!
//! [`Backend`] is small on purpose: it is all that a channel needs of a place where objects live. [`SharedMemory`] is
//! the real one, [`Heap`] serves channels inside one process and most tests; `conformance` is the suite that both pass.

#![allow(unsafe_code, reason = "maps objects, and asks the kernel for locks that rustix doesn't offer")]

mod barrier;
#[cfg(test)]
mod conformance;
mod error;
mod fork;
mod futex;
mod heap;
mod lock;
mod mapping;
mod shm;

pub(crate) use barrier::{issue as issue_barrier, register as register_for_barriers};
pub use error::ObjectError;
pub(crate) use error::if_exists;
pub(crate) use fork::ForkToken;
pub(crate) use futex::{Slept, sleep, wake};
pub(crate) use heap::Heap;
pub(crate) use shm::SharedMemory;

use std::fmt;
use std::time::Duration;

use crate::memory::{ReadOnlyWords, Words};

/// Permission bits of an object, for example `0o600`.
pub(crate) type Mode = u32;

/// How large a claimed object is, and how much of it is given memory at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) bytes: usize,
    pub(crate) reserved: usize,
}

impl Extent {
    /// All of it is given memory at once.
    pub(crate) fn full(bytes: usize) -> Extent {
        Extent { bytes, reserved: bytes }
    }
}

/// What an object costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ObjectSize {
    /// How long it is.
    pub(crate) bytes: u64,
    /// How much of that has memory.
    pub(crate) resident: u64,
}

/// What the system says about an object without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ObjectStatus {
    /// Numeric id of the user who owns it.
    pub(crate) owner: u32,
    pub(crate) permissions: Mode,
    /// Whether it is a regular file: nothing else is an object of ours.
    pub(crate) is_regular: bool,
    pub(crate) size: ObjectSize,
}

impl ObjectStatus {
    /// Whether it is for this process to remove: a regular file of this user's.
    pub(crate) fn is_ours(&self) -> bool {
        self.is_regular && self.owner == rustix::process::geteuid().as_raw()
    }
}

/// How long somebody else's step with an object is waited for. None takes longer than some system calls, unless who is
/// at it was stopped.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// What is claimed, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClaimOptions {
    pub(crate) extent: Extent,
    /// Whether the object is created if there is none.
    pub(crate) create: bool,
    /// How long somebody who is just claiming it, too, is waited for.
    pub(crate) patience: Duration,
}

impl ClaimOptions {
    /// An object that is created if there is none.
    pub(crate) fn create(extent: Extent) -> ClaimOptions {
        ClaimOptions { extent, create: true, patience: PATIENCE }
    }

    /// An object that must exist.
    pub(crate) fn existing(extent: Extent) -> ClaimOptions {
        ClaimOptions { create: false, ..ClaimOptions::create(extent) }
    }

    pub(crate) fn patience(self, patience: Duration) -> ClaimOptions {
        ClaimOptions { patience, ..self }
    }
}

/// A place where named objects live.
///
/// Names are made by `layout`; objects are never empty, always full pages, and zero when they are new.
///
/// Held as `Arc<dyn Backend>`: every method makes system calls, beside which a dynamic call costs nothing. What is loaded
/// and stored all the time, the words, are the same concrete types for every backend.
pub(crate) trait Backend: fmt::Debug + Send + Sync {
    /// Creates `object` exclusively, with its memory reserved and exactly the permissions of `mode`.
    fn create(&self, object: &str, bytes: usize, mode: Mode) -> Result<Words, ObjectError>;

    /// Opens `object` to look at it.
    fn view(&self, object: &str) -> Result<ReadOnlyWords, ObjectError>;

    /// Opens `object` to look at it, though not all of it has memory: the caller touches only what has.
    fn view_sparse(&self, object: &str, extent: Extent) -> Result<ReadOnlyWords, ObjectError>;

    /// Opens `object` of a dead process to go on with it.
    fn reopen(&self, object: &str) -> Result<Words, ObjectError>;

    /// Opens a part of `object`, full pages, that readers may store to, too. `Unfinished` if it has no memory yet.
    fn part(&self, object: &str, start: usize, bytes: usize) -> Result<Words, ObjectError>;

    /// Removes the name `object` if it still means `memory`, and nothing if it means another object or none.
    fn remove(&self, object: &str, memory: &Words) -> Result<(), ObjectError>;

    /// Removes the name `object`, whatever of ours it means, and says whether there was one. Only for who holds the
    /// claim that the name belongs to.
    fn remove_leftover(&self, object: &str) -> Result<bool, ObjectError>;

    /// Opens `object`, or creates it if `options` say so, and claims it: the lock ends with this process, however it
    /// ends.
    ///
    /// Where another process still has the lock, `abandoned` says from the object's words whether its owner is known
    /// to be dead all the same: a fork of the owner shares its lock and may outlive it.
    fn claim(
        &self,
        object: &str,
        options: ClaimOptions,
        abandoned: &dyn Fn(&Words) -> bool,
    ) -> Result<Box<dyn Claim>, ObjectError>;

    /// The names of all objects that begin with `prefix`, in any order.
    fn list(&self, prefix: &str) -> Result<Vec<String>, ObjectError>;

    /// How large what stands under the name `object` is, without opening it: whoever it belongs to, and whatever it is.
    fn size(&self, object: &str) -> Result<ObjectSize, ObjectError>;

    /// The same, and whose it is.
    fn status(&self, object: &str) -> Result<ObjectStatus, ObjectError>;

    /// Whether somebody has the lock of the object that `view` shows; `None` if `object` no longer means it.
    fn is_claimed(&self, object: &str, view: &ReadOnlyWords) -> Result<Option<bool>, ObjectError>;
}

/// A claimed object. Dropping it gives the claim up and leaves the object.
pub(crate) trait Claim: fmt::Debug + Send + Sync {
    /// Its words.
    fn memory(&self) -> &Words;

    /// Lets others find out who owns the object, once the words that `abandoned` will be asked about say so. Until then
    /// they wait.
    fn settle(&self);

    /// Sets exactly these permissions, whatever the umask was.
    fn set_mode(&self, mode: Mode) -> Result<(), ObjectError>;

    /// Gives memory to the `bytes` from `start` on, so that no access to them can fail.
    fn reserve(&self, start: usize, bytes: usize) -> Result<(), ObjectError>;

    /// Whether the name still means this object.
    fn is_named(&self) -> bool;

    /// Removes the name if it still means this object; the claim is kept until it is dropped.
    fn remove(&self) -> Result<(), ObjectError>;
}
