//! One named object of shared words: create it, map it, claim it, unlink it. Only the operating
//! system is involved.
//!
//! [`Backend`] is small on purpose: it is all that a channel needs of the place where its objects
//! are. [`SharedMemory`] is the real one. [`Heap`] serves channels inside one process and most
//! tests. `conformance` is the suite that both pass.

#![allow(unsafe_code, reason = "maps objects, and uses locks of the kernel that rustix doesn't offer")]

#[cfg(test)]
mod conformance;
mod error;
mod heap;
#[cfg(test)]
mod hooked;
mod huge_pages;
mod lock;
mod mapping;
mod shm;
mod this_process;
mod threads;

pub use error::{ObjectError, ResourceLimit, quoted};
pub(crate) use error::{RECORDED, cleanup_text};
pub(crate) use heap::Heap;
#[cfg(test)]
pub(crate) use hooked::{hooked, hooked_backend};
pub use huge_pages::HugePages;
pub(crate) use lock::holds_owners_lock;
pub(crate) use mapping::are_scarce as mappings_are_scarce;
pub(crate) use shm::{Sealed, SharedMemory, group_id, passes_processes};
pub(crate) use this_process::{AtExit, ForkToken, OfThisProcess, at_exit, read_clock};
pub(crate) use threads::{Backoff, Slept, issue_barrier, register_for_barriers, sleep, wake};

use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::time::Duration;
use std::{fmt, fs};

use crate::layout::PAGE_BYTES;
use crate::memory::{ObjectId, ReadOnlyWords, TrustedWriters, Words};

/// Permission bits of an object, for example `0o600`.
pub(crate) type Mode = u32;

/// The users that may open an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) mode: Mode,
    /// The group that the permissions are for; `None` for that of this process.
    pub(crate) group: Option<u32>,
}

impl Access {
    /// The owner alone.
    pub(crate) const OWNER: Access = Access { mode: 0o600, group: None };

    /// The group, if the permissions admit it to more than all users.
    pub(crate) fn admitted_group(self) -> Option<u32> {
        ((self.mode >> 3) & !self.mode & 0o7 != 0).then(|| self.any_group())
    }

    fn any_group(self) -> u32 {
        self.group.unwrap_or_else(|| rustix::process::getegid().as_raw())
    }

    /// What admits the users of both; `Err` with both groups if that takes two groups.
    pub(crate) fn with(self, other: Access) -> Result<Access, (u32, u32)> {
        let group = match (self.admitted_group(), other.admitted_group()) {
            (Some(known), Some(wanted)) if known != wanted => return Err((known, wanted)),
            (None, Some(wanted)) => wanted,
            _ => self.any_group(),
        };
        Ok(Access { mode: self.mode | other.mode, group: Some(group) })
    }
}

/// Size of a claimed object.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Size {
    /// Always as many bytes.
    Exactly(usize),
    /// As many bytes when it is new; later those to which it has [grown](Claim::grow).
    AtLeast(usize),
    /// Those that it has, with memory or without: the object of another version.
    Any,
}

impl Size {
    /// Bytes of a new object.
    fn of_new(self) -> usize {
        match self {
            Size::Exactly(bytes) | Size::AtLeast(bytes) => bytes,
            Size::Any => PAGE_BYTES,
        }
    }

    fn map(self, change: impl Fn(usize) -> usize) -> Size {
        match self {
            Size::Exactly(bytes) => Size::Exactly(change(bytes)),
            Size::AtLeast(bytes) => Size::AtLeast(change(bytes)),
            Size::Any => Size::Any,
        }
    }

    /// Whether an object may have this many bytes.
    fn includes(self, bytes: usize) -> bool {
        let is_possible = match self {
            Size::Exactly(expected) => bytes == expected,
            Size::AtLeast(_) | Size::Any => bytes >= self.of_new(),
        };
        is_possible && bytes.is_multiple_of(PAGE_BYTES)
    }

    /// Whether an object of this many bytes, of which `reserved` have memory, is as its creator
    /// left it behind the gate.
    fn is_whole(self, bytes: usize, reserved: usize) -> bool {
        bytes != 0 && (reserved >= bytes || matches!(self, Size::Any))
    }
}

/// Memory that an object uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ObjectSize {
    /// Its length.
    pub(crate) bytes: u64,
    /// The part of it that has memory, in full pages.
    pub(crate) resident: u64,
}

/// Status of an object, as the system reports it without opening the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ObjectStatus {
    /// Numeric id of its owner.
    pub(crate) owner: u32,
    /// Numeric id of its group.
    pub(crate) group: u32,
    pub(crate) permissions: Mode,
    /// Whether it is a regular file. Objects of ours are nothing else.
    pub(crate) is_regular: bool,
    pub(crate) size: ObjectSize,
}

impl ObjectStatus {
    /// Whether this process may remove it: a regular file of this user.
    pub(crate) fn is_ours(&self) -> bool {
        self.is_regular && is_own_user(self.owner)
    }

    /// An error unless this process runs as the owner of `object`, whose status this is.
    pub(crate) fn must_be_ours(&self, object: &str) -> Result<(), ObjectError> {
        let (object, owner, user) = (object.into(), self.owner, rustix::process::geteuid().as_raw());
        if owner == user { Ok(()) } else { Err(ObjectError::NotOwner { object, owner, user }) }
    }

    /// The users that may open the object.
    pub(crate) fn access(&self) -> Access {
        Access { mode: self.permissions, group: Some(self.group) }
    }
}

/// How long to wait for another process to finish a step on an object. A step is a few system
/// calls; only a stopped process takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// How an object is claimed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClaimOptions {
    pub(crate) size: Size,
    /// Whether the object is created if there is none.
    pub(crate) create: bool,
    /// How long to wait for another process that is claiming it at the same time.
    pub(crate) patience: Duration,
}

impl ClaimOptions {
    /// Claims an object, and creates it if there is none.
    pub(crate) fn create(size: Size) -> ClaimOptions {
        ClaimOptions { size, create: true, patience: PATIENCE }
    }

    /// Claims an object that must exist.
    pub(crate) fn existing(size: Size) -> ClaimOptions {
        ClaimOptions { create: false, ..ClaimOptions::create(size) }
    }
}

/// Whether a user is that of this process, and certainly no other one.
pub(crate) fn is_own_user(user: u32) -> bool {
    user == rustix::process::geteuid().as_raw() && !may_be_unmapped(user)
}

/// Whether the system shows several users with this id: those to whom the user namespace of this
/// process gives no id. Such an id can't be trusted.
#[must_use]
pub fn may_be_unmapped(user: u32) -> bool {
    static SHOWN: OnceLock<u32> = OnceLock::new();
    let read = |file| fs::read_to_string(file).unwrap_or_default();
    let shown = || read("/proc/sys/fs/overflowuid").trim().parse().unwrap_or(65_534);
    // Each line has the first id inside, the first one outside, and their number.
    let count = |line: &str| line.split_ascii_whitespace().nth(2)?.parse::<u64>().ok();
    user == *SHOWN.get_or_init(shown)
        && read("/proc/self/uid_map").lines().filter_map(count).sum::<u64>() < u64::from(u32::MAX)
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

/// Where Linux shows POSIX shared memory: the directory of objects unless another one is chosen.
const DEFAULT_DIRECTORY: &str = "/dev/shm";

/// The directory of the object at this path.
pub(crate) fn directory_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
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
    /// The directory that its objects are files of, absolute; `None` if they are no files.
    fn directory(&self) -> Option<&str> {
        None
    }

    /// The promise that no process but the writers changes its objects, where it need not be given
    /// by the user.
    fn trusted(&self) -> Option<TrustedWriters> {
        None
    }

    /// Whether it is the one object of a sealed channel, which has no name. The object is sparse:
    /// nothing is stored before [`Claim::reserve`] has given it memory, and nothing is loaded
    /// before [`Backend::populate`] has.
    fn is_sealed(&self) -> bool {
        false
    }

    /// A descriptor for readers of a sealed channel, open only for reading.
    fn descriptor(&self) -> Result<OwnedFd, ObjectError> {
        let reason = "it has a name, by which readers open it; to hand out a descriptor, open it with \
                      `Writer::sealed`"
            .into();
        Err(ObjectError::NotSealed { object: "the writer".into(), reason })
    }

    /// An error if a sealed object has less memory than this, so that its writer has not reserved
    /// what it announces. Called before [`Backend::populate`], which would take the memory.
    fn must_have_memory(&self, _bytes: usize) -> Result<(), ObjectError> {
        Ok(())
    }

    /// Makes sure that `bytes` from `start` on, of the words of a sealed object, have memory. They
    /// keep it.
    fn populate(&self, _words: &ReadOnlyWords, _start: usize, _bytes: usize) -> Result<(), ObjectError> {
        Ok(())
    }

    /// What errors call `object`: its path, if it is a file.
    fn path(&self, object: &str) -> String {
        self.directory().map_or_else(|| object.into(), |directory| format!("{directory}/{object}"))
    }

    /// Creates `object` exclusively, with reserved memory and exactly this access.
    fn create(&self, object: &str, bytes: usize, access: Access) -> Result<Words, ObjectError>;

    /// Maps `object` read-only.
    fn view(&self, object: &str) -> Result<ReadOnlyWords, ObjectError>;

    /// Maps `object` of a dead process to resume it.
    fn reopen(&self, object: &str) -> Result<Words, ObjectError>;

    /// Maps a part of `object`, full pages, that readers may store to as well. `Unfinished` if the
    /// part has no memory yet.
    fn part(&self, object: &str, start: usize, bytes: usize) -> Result<Words, ObjectError>;

    /// Maps a part of the object `id` as [`Backend::part`] does, for a reader that pins
    /// publications, and gives the reader a number. `NotFound` if `object` no longer means it.
    fn hold(
        &self,
        object: &str,
        id: ObjectId,
        start: usize,
        bytes: usize,
    ) -> Result<(Words, Box<dyn Holder>), ObjectError>;

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

    /// Creates `object` in place of a leftover of that name, if there is one. Only for the holder
    /// of the claim that the name belongs to.
    fn create_over_leftover(&self, object: &str, bytes: usize, access: Access) -> Result<Words, ObjectError> {
        match self.create(object, bytes, access) {
            Err(ObjectError::Exists { .. }) => {
                self.remove_leftover(object)?;
                self.create(object, bytes, access)
            }
            created => created,
        }
    }

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
    fn size(&self, object: &str) -> Result<ObjectSize, ObjectError> {
        self.status(object).map(|status| status.size)
    }

    /// Status of the object named `object`, without opening it.
    fn status(&self, object: &str) -> Result<ObjectStatus, ObjectError>;

    /// Whether the name `object` still means the object `id`. An error says nothing about that.
    fn is_named(&self, object: &str, id: ObjectId) -> Result<bool, ObjectError>;

    /// Whether the name `object` means an object that this process may remove.
    fn owns(&self, object: &str) -> Result<bool, ObjectError> {
        Ok(if_exists(self.status(object))?.is_some_and(|status| status.is_ours()))
    }

    /// Moves what `words`, a mapping of `object`, show to huge pages, as far as it fills them.
    /// Stops when no other words have the mapping.
    fn collapse(&self, object: &str, words: &Words) -> Result<(), ObjectError>;

    /// Whether a process has the lock of the object that `view` maps; `None` if `object` no longer
    /// means it.
    fn is_claimed(&self, object: &str, view: &ReadOnlyWords) -> Result<Option<bool>, ObjectError>;
}

/// The number of a reader that pins publications of a channel. It ends when the value is dropped,
/// and with this process, however it ends.
pub(crate) trait Holder: fmt::Debug + Send + Sync {
    /// The number: not 0, and different from those of all other holders of this object.
    fn number(&self) -> u64;

    /// Whether there is a holder of this number; also if the system does not tell.
    fn exists(&self, number: u64) -> bool;
}

/// A claimed object. Dropping it releases the claim and leaves the object.
pub(crate) trait Claim: fmt::Debug + Send + Sync {
    /// Its words.
    fn memory(&self) -> &Words;

    /// Opens the gate: other processes may now determine the owner. Called once the words that
    /// `abandoned` reads are stored; until then other processes wait.
    fn settle(&self);

    /// Gives the object exactly this access, regardless of the umask.
    fn set_access(&self, access: Access) -> Result<(), ObjectError>;

    /// Status of the object.
    fn status(&self) -> Result<ObjectStatus, ObjectError>;

    /// Makes the object of [`Size::AtLeast`] larger, and maps all of it. What it held
    /// is at the same place, the rest is zero.
    fn grow(&mut self, bytes: usize) -> Result<(), ObjectError>;

    /// Reserves `bytes` of a sealed object, from `start` on.
    fn reserve(&self, _start: usize, _bytes: usize) -> Result<(), ObjectError> {
        Ok(())
    }

    /// Unlinks the name if it still means this object. The claim is kept until it is dropped.
    fn remove(&self) -> Result<(), ObjectError>;
}
