//! Named shared memory: POSIX shared memory, or files in another directory. And memory without a
//! name: [`Sealed`].
//!
//! In `/dev/shm`, the `shared_memory` crate creates the objects that are not claimed; it knows no
//! other directory. This room does what that crate can't, on a descriptor of its own: reserve the
//! memory, set the permissions regardless of the umask, map read-only, close the descriptor once
//! mapped, lock, and unlink a name only while it means the same object. The crate's mapping is
//! dropped at once, not as owner, because an owner unlinks *by name* on drop, when the name may
//! mean a successor's object. For the same reason claimed objects, which several processes may
//! create at the same time, are created without the crate.

mod claim;
mod directory;
mod object;
mod sealed;
#[cfg(test)]
mod tests;

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::thread;

use rustix::fs::{Access as Permissions, AtFlags, CWD, FileType, Mode as FileMode, OFlags, Stat};

use super::huge_pages::collapse;
use super::mapping;
use super::{
    Access, Backend, Claim, ClaimOptions, Holder, ObjectError, ObjectStatus, directory_of, if_exists,
    is_own_user, lock,
};
use crate::layout::{WORD_BYTES, version_of};
use crate::memory::{ObjectId, ReadOnlyWords, Words};
use claim::ShmClaim;
use directory::Directory;
pub(crate) use object::group_id;
use object::{
    OWNER_ONLY, create_exclusively, failed, failed_io, foreign, identity, map, open_up, remove_if_same,
    reserve_range, reserved_bytes, set_access, set_size, size_of_object, stat_by_name, stat_if_named,
    status_of, unlink,
};
pub(crate) use sealed::{Sealed, passes_processes};

/// Maximum tries of a step that another process or a signal interrupts.
const MAX_TRIES: usize = 1_000;

/// Named shared memory of this machine: the backend of every namespace that is not inside one
/// process.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedMemory {
    directory: Directory,
    trusted: Vec<u32>,
}

impl SharedMemory {
    /// Keeps the objects in this directory instead of `/dev/shm`, if they can be there and no
    /// untrusted user can take their names; otherwise says what to do. Called after
    /// [`SharedMemory::trust_owner`].
    pub(crate) fn move_to(&mut self, directory: &Path) -> Result<(), String> {
        self.directory = Directory::of(directory, |owner| owner == 0 || self.trusted.contains(&owner))?;
        Ok(())
    }

    /// Accepts objects of this user in addition to one's own. An id of several users has no effect:
    /// it would accept the objects of all of them.
    pub(crate) fn trust_owner(&mut self, user: u32) {
        self.trusted.extend(Some(user).filter(|user| !super::may_be_unmapped(*user)));
    }

    /// Whether objects of this user are accepted.
    pub(crate) fn trusts(&self, owner: u32) -> bool {
        owner == rustix::process::geteuid().as_raw() || self.trusted.contains(&owner)
    }

    /// Whether the permissions of an object let this process read it.
    pub(crate) fn may_read(&self, object: &str) -> bool {
        rustix::fs::accessat(CWD, self.path(object), Permissions::READ_OK, AtFlags::EACCESS).is_ok()
    }

    /// Tries everything once that channels use of the system: the name of each step, and what
    /// failed.
    pub(crate) fn try_steps(&self) -> Vec<(&'static str, Option<ObjectError>)> {
        object::try_steps(&self.directory)
    }

    /// Opens the object at a path and checks that it is a regular file of a trusted owner.
    fn open(&self, object: &str, access: OFlags) -> Result<(OwnedFd, Stat), ObjectError> {
        // NONBLOCK: opening a FIFO of another program must not block. NOFOLLOW: a symbolic link
        // must not be followed.
        let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd =
            rustix::io::retry_on_intr(|| rustix::fs::open(object, flags, FileMode::RUSR | FileMode::WUSR))
                .map_err(|errno| failed(object, "open", errno))?;
        let stat = rustix::fs::fstat(&fd).map_err(|errno| failed(object, "fstat", errno))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind != FileType::RegularFile {
            return Err(foreign(object, format!("it is a {kind:?}, not a regular file")));
        }
        // If other users are shown with this process's id, too, the system tells: only a file's own
        // user may set this flag.
        let is_own = |owner| is_own_user(owner) || rustix::fs::fcntl_setfl(&fd, OFlags::NOATIME).is_ok();
        if !self.trusts(stat.st_uid) || !self.trusted.contains(&stat.st_uid) && !is_own(stat.st_uid) {
            return Err(ObjectError::OtherOwner { object: object.into(), owner: stat.st_uid });
        }
        Ok((fd, stat))
    }

    /// Opens an object to claim it; creates it, empty, if there is none and `create` says so.
    /// Not through the `shared_memory` crate: if that fails half-way it
    /// unlinks the *name*, which another process may have claimed in the meantime.
    fn open_to_claim(&self, object: &str, create: bool) -> Result<(OwnedFd, Stat), ObjectError> {
        let flags = if create { OFlags::RDWR | OFlags::CREATE } else { OFlags::RDWR };
        match self.open(object, flags) {
            // The system may refuse to open another user's file so as to create it
            // (fs.protected_regular): the error is that of opening it. If there is none, creating
            // is what this process may not.
            Err(refused @ ObjectError::PermissionDenied { .. }) if create => {
                if_exists(self.open(object, OFlags::RDWR))?.ok_or(refused)
            }
            opened => opened,
        }
    }

    /// Gives access and memory to an object that was just created, and maps it.
    fn map_new(&self, object: &str, bytes: usize, access: Access) -> Result<Words, ObjectError> {
        let (fd, stat) = match self.open(object, OFlags::RDWR) {
            Err(ObjectError::PermissionDenied { .. }) if self.owns_path(object)? => {
                open_up(object, access.mode)?;
                self.open(object, OFlags::RDWR)?
            }
            opened => opened?,
        };
        set_access(&fd, &stat, object, access)?;
        reserve_range(&fd, object, 0, bytes)?;
        set_size(&fd, object, bytes)?;
        map(&fd, identity(&stat), object, bytes)
    }

    /// Maps a part of an open object.
    fn map_part(
        &self,
        (fd, stat): (&OwnedFd, &Stat),
        object: &str,
        start: usize,
        bytes: usize,
    ) -> Result<Words, ObjectError> {
        let end = start + bytes;
        if size_of_object(object, stat, self.directory.unit())? < end || reserved_bytes(stat) < end {
            return Err(ObjectError::Unfinished { object: object.into() });
        }
        mapping::shared(fd.as_fd(), start, bytes, identity(stat), self.directory.pages())
            .map_err(|errno| failed(object, "mmap", errno))
    }

    /// Whether this process may remove the object at a path.
    fn owns_path(&self, object: &str) -> Result<bool, ObjectError> {
        let stat = stat_by_name(object).map_err(|errno| failed(object, "stat", errno));
        let Some(status) = if_exists(stat)?.map(|stat| status_of(&stat)) else { return Ok(false) };
        // Whose it is shows once it is open if other users have this id, too.
        let is_own = || status.must_be_ours(object).is_ok() && self.open(object, OFlags::RDONLY).is_ok();
        // The system refuses root nothing.
        let is_roots = rustix::process::geteuid().is_root() && self.trusted.contains(&status.owner);
        Ok(status.is_ours() || status.is_regular && (is_roots || is_own()))
    }
}

/// Why an object that lacks memory can't be mapped: an access could fault. Its creator is between
/// sizing and reserving it, or died there; or it is another version's registry, which was sparse.
fn without_memory(fd: &OwnedFd, object: &str) -> ObjectError {
    let mut word = [0; WORD_BYTES];
    let len = rustix::io::pread(fd, &mut word, 0).unwrap_or(0);
    match version_of(u64::from_le_bytes(word)).filter(|_| len == WORD_BYTES) {
        Some(found) => ObjectError::OtherVersion { object: object.into(), found },
        None => ObjectError::Unfinished { object: object.into() },
    }
}

/// The number of a holder of pins, whose byte is locked as long as its descriptor is open.
#[derive(Debug)]
struct ShmHolder {
    fd: OwnedFd,
    number: u32,
}

impl Holder for ShmHolder {
    fn number(&self) -> u64 {
        self.number.into()
    }

    fn exists(&self, number: u64) -> bool {
        // A number that no holder has: another program stored it.
        let Ok(number) = u32::try_from(number) else { return false };
        number == self.number || lock::is_held(self.fd.as_fd(), number).unwrap_or(true)
    }
}

impl Backend for SharedMemory {
    fn directory(&self) -> Option<&str> {
        Some(self.directory.path())
    }

    fn create(&self, object: &str, bytes: usize, access: Access) -> Result<Words, ObjectError> {
        let (object, bytes) = (&*self.path(object), self.directory.round(bytes));
        create_exclusively(object, bytes)?;
        self.map_new(object, bytes, access).inspect_err(|_| {
            let _ = unlink(object);
        })
    }

    fn view(&self, object: &str) -> Result<ReadOnlyWords, ObjectError> {
        let object = &*self.path(object);
        let (fd, stat) = self.open(object, OFlags::RDONLY)?;
        let bytes = size_of_object(object, &stat, self.directory.unit())?;
        if reserved_bytes(&stat) < bytes {
            return Err(without_memory(&fd, object));
        }
        mapping::read_only(fd.as_fd(), bytes, identity(&stat)).map_err(|errno| failed(object, "mmap", errno))
    }

    fn reopen(&self, object: &str) -> Result<Words, ObjectError> {
        let object = &*self.path(object);
        let (fd, stat) = self.open(object, OFlags::RDWR)?;
        let bytes = size_of_object(object, &stat, self.directory.unit())?;
        reserve_range(&fd, object, 0, bytes)?;
        map(&fd, identity(&stat), object, bytes)
    }

    fn part(&self, object: &str, start: usize, bytes: usize) -> Result<Words, ObjectError> {
        let object = &*self.path(object);
        let (fd, stat) = self.open(object, OFlags::RDWR)?;
        self.map_part((&fd, &stat), object, start, bytes)
    }

    fn hold(
        &self,
        object: &str,
        id: ObjectId,
        start: usize,
        bytes: usize,
    ) -> Result<(Words, Box<dyn Holder>), ObjectError> {
        let object = &*self.path(object);
        let (fd, stat) = self.open(object, OFlags::RDWR)?;
        if identity(&stat) != id {
            return Err(ObjectError::NotFound { object: object.into() });
        }
        let part = self.map_part((&fd, &stat), object, start, bytes)?;
        for _ in 0..MAX_TRIES {
            let number = getrandom::u32().unwrap_or_else(|_| std::process::id()).max(1);
            let held = lock::try_hold(fd.as_fd(), number);
            if held.map_err(|error| failed_io(object, "lock", error))? {
                return Ok((part, Box::new(ShmHolder { fd, number })));
            }
        }
        Err(ObjectError::Claimed { object: object.into() })
    }

    fn memory_of(&self, bytes: usize) -> usize {
        bytes.next_multiple_of(self.directory.pages())
    }

    fn remove(&self, object: &str, memory: &Words) -> Result<(), ObjectError> {
        remove_if_same(&self.path(object), memory.object())
    }

    fn remove_leftover(&self, object: &str) -> Result<bool, ObjectError> {
        let object = &*self.path(object);
        match self.open(object, OFlags::RDONLY) {
            Ok(_) => unlink(object).map(|()| true),
            Err(ObjectError::NotFound { .. }) => Ok(false),
            // Ours, but created with permissions that forbid opening it: half-made under a strict
            // umask.
            Err(ObjectError::PermissionDenied { .. }) if self.owns_path(object)? => {
                unlink(object).map(|()| true)
            }
            Err(error) => Err(error),
        }
    }

    fn claim(
        &self,
        object: &str,
        options: ClaimOptions,
        abandoned: &dyn Fn(&Words) -> bool,
    ) -> Result<Box<dyn Claim>, ObjectError> {
        let object = &*self.path(object);
        for _ in 0..MAX_TRIES {
            let (fd, stat) = match self.open_to_claim(object, options.create) {
                // Unlinked between two steps.
                Err(ObjectError::NotFound { .. }) if options.create => continue,
                // Created by this user under a umask that forbids even the owner.
                Err(ObjectError::PermissionDenied { .. }) if self.owns_path(object)? => {
                    open_up(object, OWNER_ONLY)?;
                    continue;
                }
                opened => opened?,
            };
            match ShmClaim::take((fd, identity(&stat)), object, options, &self.directory, abandoned) {
                Ok(Some(claim)) => return Ok(Box::new(claim)),
                Ok(None) => {}
                Err(error) => {
                    // On a system without locks it has no owner.
                    if stat.st_size == 0 && matches!(error, ObjectError::Unusable { .. }) {
                        let _ = remove_if_same(object, identity(&stat));
                    }
                    return Err(error);
                }
            }
            thread::yield_now();
        }
        Err(ObjectError::Claimed { object: object.into() })
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, ObjectError> {
        let all = self.path(&format!("{prefix}…"));
        let os = |error| failed_io(&all, "list", error);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(directory_of(&all)).map_err(os)? {
            // A name that is not UTF-8 is not one of ours.
            names.extend(entry.map_err(os)?.file_name().into_string().ok());
        }
        names.retain(|name| name.starts_with(prefix));
        Ok(names)
    }

    fn status(&self, object: &str) -> Result<ObjectStatus, ObjectError> {
        let object = &*self.path(object);
        stat_by_name(object).map(|stat| status_of(&stat)).map_err(|errno| failed(object, "stat", errno))
    }

    fn owns(&self, object: &str) -> Result<bool, ObjectError> {
        self.owns_path(&self.path(object))
    }

    fn is_named(&self, object: &str, id: ObjectId) -> Result<bool, ObjectError> {
        Ok(stat_if_named(&self.path(object), id)?.is_some())
    }

    fn collapse(&self, object: &str, words: &Words) -> Result<(), ObjectError> {
        if self.directory.has_huge_pages() { Ok(()) } else { collapse(&self.path(object), words) }
    }

    fn is_claimed(&self, object: &str, view: &ReadOnlyWords) -> Result<Option<bool>, ObjectError> {
        let object = &*self.path(object);
        let Some((fd, stat)) = if_exists(self.open(object, OFlags::RDONLY))? else { return Ok(None) };
        if identity(&stat) != view.object() {
            return Ok(None);
        }
        lock::is_owned(fd.as_fd()).map(Some).map_err(|error| failed_io(object, "lock", error))
    }
}
