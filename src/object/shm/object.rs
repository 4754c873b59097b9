//! Steps on one object: system calls, and the meaning of their failures.

use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr;

use rustix::fs::{AtFlags, CWD, FallocateFlags, FileType, Gid, Mode as FileMode, Stat};
use rustix::io::Errno;
use shared_memory::{ShmemConf, ShmemError};

use super::super::mapping;
use super::super::{Access, Mode, ObjectError, ObjectSize, ObjectStatus};
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

/// Gives the object exactly this access, regardless of the umask. The group comes first: the
/// permissions of one group are never those of another.
pub(super) fn set_access(fd: &OwnedFd, stat: &Stat, object: &str, access: Access) -> Result<(), ObjectError> {
    if let Some(group) = access.admitted_group().filter(|group| *group != stat.st_gid) {
        rustix::fs::fchown(fd, None, Some(Gid::from_raw(group))).map_err(|errno| match errno {
            Errno::PERM => ObjectError::NotMember { object: object.into(), group },
            errno => failed(object, "fchown", errno),
        })?;
    }
    if stat.st_mode & 0o7777 == access.mode {
        return Ok(());
    }
    let mode = FileMode::from_raw_mode(access.mode);
    rustix::fs::fchmod(fd, mode).map_err(|errno| failed(object, "fchmod", errno))
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

/// The id of the group of that name, if the system knows it.
pub(crate) fn group_id(name: &str) -> Option<u32> {
    /// More than any group's members need.
    const MAX_BUFFER: usize = 1 << 20;
    let name = CString::new(name).ok()?;
    let mut buffer: Vec<libc::c_char> = vec![0; 1 << 10];
    loop {
        let mut group = MaybeUninit::uninit();
        let mut found = ptr::null_mut();
        // SAFETY: the name ends with a zero; the call writes no further than the buffer's length, and
        // `group` and `found` are places for what they are passed for.
        let errno = unsafe {
            libc::getgrnam_r(
                name.as_ptr(),
                group.as_mut_ptr(),
                buffer.as_mut_ptr(),
                buffer.len(),
                &raw mut found,
            )
        };
        match errno {
            libc::ERANGE if buffer.len() < MAX_BUFFER => buffer.resize(buffer.len() * 2, 0),
            // SAFETY: the call has set `found`, and so it has filled `group`.
            0 if !found.is_null() => return Some(unsafe { group.assume_init() }.gr_gid),
            _ => return None,
        }
    }
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

pub(super) fn status_of(stat: &Stat) -> ObjectStatus {
    let bytes = u64::try_from(stat.st_size).unwrap_or(0);
    ObjectStatus {
        owner: stat.st_uid,
        group: stat.st_gid,
        permissions: stat.st_mode & 0o7777,
        is_regular: FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile,
        size: ObjectSize { bytes, resident: reserved_bytes(stat) as u64 },
    }
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
        Errno::ACCESS | Errno::PERM => {
            let owner = stat_by_name(&object).ok().map(|stat| stat.st_uid);
            ObjectError::PermissionDenied { object, owner }
        }
        Errno::NOENT => ObjectError::NotFound { object },
        Errno::EXIST => ObjectError::Exists { object },
        Errno::NOSPC => ObjectError::NoSpace { object, bytes: 0 },
        Errno::LOOP => foreign(&object, "it is a symbolic link"),
        Errno::ISDIR => foreign(&object, "it is a directory"),
        Errno::NXIO => foreign(&object, "it is a socket or a FIFO"),
        errno => ObjectError::Os { object, operation, source: errno.into() },
    }
}
