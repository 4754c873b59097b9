//! Steps on one object: system calls, and the meaning of their failures.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, FallocateFlags, Mode as FileMode, Stat};
use rustix::io::Errno;
use shared_memory::{ShmemConf, ShmemError};

use super::super::mapping;
use super::super::{Mode, ObjectError};
use super::MAX_TRIES;
use crate::memory::{ObjectId, Words};

/// Permissions of a claimed object until its owner sets others; an owner needs these.
pub(super) const OWNER_ONLY: Mode = 0o600;

/// Where Linux shows POSIX shared memory.
pub(super) const DIRECTORY: &str = "/dev/shm";

/// Creates the object through the `shared_memory` crate, sized but not reserved, and drops that
/// crate's mapping.
pub(super) fn create_exclusively(object: &str, bytes: usize) -> Result<(), ObjectError> {
    let errno = |code: u32| Errno::from_raw_os_error(i32::try_from(code).unwrap_or(0));
    match ShmemConf::new().os_id(format!("/{object}")).size(bytes).create() {
        Ok(mut created) => {
            created.set_owner(false);
            Ok(())
        }
        Err(ShmemError::MappingIdExists) => Err(ObjectError::Exists { object: object.into() }),
        Err(ShmemError::MapCreateFailed(code) | ShmemError::UnknownOsError(code)) => {
            let error = failed(object, "shm_open", errno(code));
            Err(match error {
                ObjectError::NoSpace { .. } => ObjectError::NoSpace { object: object.into(), bytes },
                other => other,
            })
        }
        Err(other) => Err(ObjectError::Os {
            object: object.into(),
            operation: "shm_open",
            source: std::io::Error::other(other.to_string()),
        }),
    }
}

pub(super) fn map(fd: &OwnedFd, stat: &Stat, object: &str, bytes: usize) -> Result<Words, ObjectError> {
    mapping::writable(fd.as_fd(), bytes, identity(stat)).map_err(|errno| failed(object, "mmap", errno))
}

/// Sets exactly these permissions, regardless of the umask.
pub(super) fn set_mode(fd: &OwnedFd, object: &str, mode: Mode) -> Result<(), ObjectError> {
    rustix::fs::fchmod(fd, FileMode::from_raw_mode(mode)).map_err(|errno| failed(object, "fchmod", errno))
}

/// Reserves `bytes` from `start` on.
pub(super) fn reserve_range(
    fd: &OwnedFd,
    object: &str,
    start: usize,
    bytes: usize,
) -> Result<(), ObjectError> {
    let reserved = match rustix::fs::fallocate(fd, FallocateFlags::empty(), start as u64, bytes as u64) {
        Err(Errno::INTR) => reserve_in_pieces(fd, start, bytes),
        done => done,
    };
    reserved.map_err(|errno| match errno {
        Errno::NOSPC | Errno::NOMEM | Errno::DQUOT | Errno::FBIG => {
            ObjectError::NoSpace { object: object.into(), bytes }
        }
        errno => failed(object, "fallocate", errno),
    })
}

/// The kernel undoes a reservation that a signal interrupts. With a signal every millisecond, a
/// large reservation would never finish in one call. A size that can't fit at all has been refused
/// before.
fn reserve_in_pieces(fd: &OwnedFd, start: usize, bytes: usize) -> Result<(), Errno> {
    const PIECE: usize = 1 << 20;
    for offset in (0..bytes).step_by(PIECE) {
        reserve_piece(fd, (start + offset) as u64, PIECE.min(bytes - offset) as u64)?;
    }
    Ok(())
}

fn reserve_piece(fd: &OwnedFd, offset: u64, len: u64) -> Result<(), Errno> {
    for _ in 0..MAX_TRIES {
        match rustix::fs::fallocate(fd, FallocateFlags::empty(), offset, len) {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
    Err(Errno::INTR)
}

/// Makes an object of this user accessible that was created under a umask that forbids even the
/// owner, unless another process has just done so.
pub(super) fn open_up(object: &str, mode: Mode) -> Result<(), ObjectError> {
    let is_open = |stat: Stat| stat.st_mode & OWNER_ONLY == OWNER_ONLY;
    if stat_by_name(object).is_ok_and(is_open) {
        return Ok(());
    }
    rustix::fs::chmodat(CWD, path(object), FileMode::from_raw_mode(mode), AtFlags::empty())
        .map_err(|errno| failed(object, "chmod", errno))
}

/// Bytes that have memory: no access to them can fail.
pub(super) fn reserved_bytes(stat: &Stat) -> usize {
    usize::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512)
}

pub(super) fn size_of_object(object: &str, stat: &Stat) -> Result<usize, ObjectError> {
    match usize::try_from(stat.st_size) {
        Ok(0) => Err(ObjectError::Unfinished { object: object.into() }),
        Ok(bytes) if bytes.is_multiple_of(crate::layout::PAGE_BYTES) => Ok(bytes),
        _ => Err(foreign(object, format!("it has {} bytes, which are not full pages", stat.st_size))),
    }
}

pub(super) fn remove_if_same(object: &str, ours: ObjectId) -> Result<(), ObjectError> {
    if names(object, ours) { unlink(object) } else { Ok(()) }
}

pub(super) fn names(object: &str, ours: ObjectId) -> bool {
    stat_by_name(object).is_ok_and(|stat| identity(&stat) == ours)
}

pub(super) fn stat_by_name(object: &str) -> Result<Stat, Errno> {
    rustix::fs::statat(CWD, path(object), AtFlags::SYMLINK_NOFOLLOW)
}

pub(super) fn unlink(object: &str) -> Result<(), ObjectError> {
    match rustix::fs::unlink(path(object)) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(failed(object, "unlink", errno)),
    }
}

pub(super) fn identity(stat: &Stat) -> ObjectId {
    ObjectId { device: stat.st_dev, inode: stat.st_ino }
}

pub(super) fn path(object: &str) -> String {
    format!("{DIRECTORY}/{object}")
}

pub(super) fn foreign(object: &str, reason: impl Into<String>) -> ObjectError {
    ObjectError::Foreign { object: object.into(), reason: reason.into() }
}

pub(super) fn failed(object: &str, operation: &'static str, errno: Errno) -> ObjectError {
    let object = object.to_owned();
    match errno {
        Errno::NOENT => ObjectError::NotFound { object },
        Errno::EXIST => ObjectError::Exists { object },
        Errno::ACCESS | Errno::PERM => ObjectError::PermissionDenied { object },
        Errno::NOSPC => ObjectError::NoSpace { object, bytes: 0 },
        Errno::LOOP => foreign(&object, "it is a symbolic link"),
        Errno::ISDIR => foreign(&object, "it is a directory"),
        Errno::NXIO => foreign(&object, "it is a socket or a FIFO"),
        errno => ObjectError::Os { object, operation, source: errno.into() },
    }
}
