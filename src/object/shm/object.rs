//! Steps on one object: system calls, and the meaning of their failures. Here, an object is named
//! by its path.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use rustix::fs::{
    Access as Permissions, AtFlags, CWD, FallocateFlags, FileType, Gid, Mode as FileMode, OFlags, Stat,
};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use shared_memory::{ShmemConf, ShmemError};

use super::super::mapping;
use super::super::{
    Access, DEFAULT_DIRECTORY, Mode, ObjectError, ObjectSize, ObjectStatus, ResourceLimit, directory_of,
    lock, quoted, threads,
};
use super::MAX_TRIES;
use super::directory::{Directory, HUGETLBFS, missing_text};
use crate::layout::PAGE_BYTES;
use crate::memory::{ObjectId, Words};

/// Permissions of a claimed object until its owner sets others; an owner needs these.
pub(super) const OWNER_ONLY: Mode = 0o600;

/// Operations that map memory.
const MAPS: [&str; 2] = ["mmap", "shm_open"];

/// Creates the object without memory. In `/dev/shm`, through the `shared_memory` crate, which knows
/// no other directory: sized, and without that crate's mapping.
pub(super) fn create_exclusively(object: &str, bytes: usize) -> Result<(), ObjectError> {
    check_file_size(object, bytes)?;
    let Some(name) =
        object.strip_prefix(DEFAULT_DIRECTORY).filter(|_| directory_of(object) == DEFAULT_DIRECTORY)
    else {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = || rustix::fs::open(object, flags, FileMode::RUSR | FileMode::WUSR);
        let created = rustix::io::retry_on_intr(create).map(drop);
        return created.map_err(|errno| failed(object, "open", errno));
    };
    let errno = |code: u32| Errno::from_raw_os_error(i32::try_from(code).unwrap_or(0));
    match ShmemConf::new().os_id(name).size(bytes).create() {
        Ok(mut created) => {
            created.set_owner(false);
            Ok(())
        }
        Err(ShmemError::MappingIdExists) => Err(ObjectError::Exists { object: object.into() }),
        Err(ShmemError::MapCreateFailed(code) | ShmemError::UnknownOsError(code)) => {
            Err(failed(object, "shm_open", errno(code)))
        }
        Err(other) => Err(ObjectError::Os {
            object: object.into(),
            operation: "shm_open",
            source: io::Error::other(other.to_string()),
        }),
    }
}

/// Maps the first `bytes` of the object `id`.
pub(super) fn map(fd: &OwnedFd, id: ObjectId, object: &str, bytes: usize) -> Result<Words, ObjectError> {
    mapping::writable(fd.as_fd(), bytes, id).map_err(|errno| failed(object, "mmap", errno))
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

/// An error if this process may not make the object that long: the system would kill it (SIGXFSZ).
pub(super) fn check_file_size(object: &str, bytes: usize) -> Result<(), ObjectError> {
    match getrlimit(Resource::Fsize).current {
        Some(max) if bytes as u64 > max => Err(ObjectError::Limit {
            object: object.into(),
            operation: "fallocate",
            limit: ResourceLimit::FileSize(max),
        }),
        _ => Ok(()),
    }
}

/// Takes what an object of `bytes` holds from it.
pub(super) fn empty(fd: &OwnedFd, object: &str, bytes: usize) -> Result<(), ObjectError> {
    if bytes == 0 {
        return Ok(());
    }
    rustix::fs::ftruncate(fd, 0).map_err(|errno| failed(object, "ftruncate", errno))
}

/// Makes the object longer, by `bytes` from its end on, which is at `start`.
pub(super) fn extend(fd: &OwnedFd, object: &str, start: usize, bytes: usize) -> Result<(), ObjectError> {
    let end = start + bytes;
    check_file_size(object, end)?;
    reserve_range(fd, object, start, bytes).and_then(|()| set_size(fd, object, end)).inspect_err(|_| {
        // A disk's file system keeps the part that it could reserve.
        let _ = rustix::fs::ftruncate(fd, start as u64);
    })
}

/// How memory is reserved: in `/dev/shm`, a reservation sets the size at its end. On a disk, it may
/// set others before that, which are no full pages.
fn reservation(object: &str) -> FallocateFlags {
    let is_default = directory_of(object) == DEFAULT_DIRECTORY;
    if is_default { FallocateFlags::empty() } else { FallocateFlags::KEEP_SIZE }
}

/// Sets the size of an object that has memory for it, unless the reservation has done so.
pub(super) fn set_size(fd: &OwnedFd, object: &str, bytes: usize) -> Result<(), ObjectError> {
    if reservation(object).is_empty() {
        return Ok(());
    }
    rustix::fs::ftruncate(fd, bytes as u64).map_err(|errno| failed(object, "ftruncate", errno))
}

/// Reserves `bytes` from `start` on.
pub(super) fn reserve_range(
    fd: &OwnedFd,
    object: &str,
    start: usize,
    bytes: usize,
) -> Result<(), ObjectError> {
    let flags = reservation(object);
    let reserved = match rustix::fs::fallocate(fd, flags, start as u64, bytes as u64) {
        Err(Errno::INTR) => reserve_in_pieces(fd, flags, start, bytes),
        done => done,
    };
    reserved.map_err(|errno| match failed(object, "fallocate", errno) {
        ObjectError::NoSpace { object, .. } => ObjectError::NoSpace { object, bytes },
        other => other,
    })
}

/// The kernel undoes a reservation that a signal interrupts. With a signal every millisecond, a
/// large reservation would never finish in one call. A size that can't fit at all has been refused
/// before.
fn reserve_in_pieces(fd: &OwnedFd, flags: FallocateFlags, start: usize, bytes: usize) -> Result<(), Errno> {
    const PIECE: usize = 1 << 20;
    for offset in (0..bytes).step_by(PIECE) {
        let (begin, len) = ((start + offset) as u64, PIECE.min(bytes - offset) as u64);
        let mut tries = (0..MAX_TRIES).map(|_| rustix::fs::fallocate(fd, flags, begin, len));
        tries.find(|tried| *tried != Err(Errno::INTR)).unwrap_or(Err(Errno::INTR))?;
    }
    Ok(())
}

/// Makes an object of this user accessible that was created under a umask that forbids even the
/// owner, unless another process has just done so.
pub(super) fn open_up(object: &str, mode: Mode) -> Result<(), ObjectError> {
    let is_open = |stat: Stat| stat.st_mode & OWNER_ONLY == OWNER_ONLY;
    if stat_by_name(object).is_ok_and(is_open) {
        return Ok(());
    }
    rustix::fs::chmodat(CWD, object, FileMode::from_raw_mode(mode), AtFlags::empty())
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
        // SAFETY: the name ends with a zero; the call writes no further than the buffer's length,
        // and `group` and `found` are places for what they are passed for.
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

/// Bytes of an object whose size is a multiple of `pages`.
pub(super) fn size_of_object(object: &str, stat: &Stat, pages: usize) -> Result<usize, ObjectError> {
    match usize::try_from(stat.st_size) {
        Ok(0) => Err(ObjectError::Unfinished { object: object.into() }),
        Ok(bytes) if bytes.is_multiple_of(pages) => Ok(bytes),
        _ => Err(foreign(object, format!("it has {} bytes, which are not full pages", stat.st_size))),
    }
}

pub(super) fn remove_if_same(object: &str, ours: ObjectId) -> Result<(), ObjectError> {
    stat_if_named(object, ours)?.map_or(Ok(()), |_| unlink(object))
}

/// Status of the object `id`; `None` if the name means another object or none.
pub(super) fn stat_if_named(object: &str, id: ObjectId) -> Result<Option<Stat>, ObjectError> {
    match stat_by_name(object) {
        Ok(stat) => Ok(Some(stat).filter(|stat| identity(stat) == id)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(failed(object, "stat", errno)),
    }
}

pub(super) fn stat_by_name(object: &str) -> Result<Stat, Errno> {
    rustix::fs::statat(CWD, object, AtFlags::SYMLINK_NOFOLLOW)
}

pub(super) fn status_of(stat: &Stat) -> ObjectStatus {
    let bytes = u64::try_from(stat.st_size).unwrap_or(0);
    ObjectStatus {
        owner: stat.st_uid,
        group: stat.st_gid,
        permissions: stat.st_mode & 0o7777,
        is_regular: FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile,
        // A file system with huge pages counts more than was asked for.
        size: ObjectSize {
            bytes,
            resident: (reserved_bytes(stat) as u64).min(bytes.next_multiple_of(mapping::page_bytes() as u64)),
        },
    }
}

pub(super) fn unlink(object: &str) -> Result<(), ObjectError> {
    match rustix::fs::unlink(object) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(failed(object, "unlink", errno)),
    }
}

pub(super) fn identity(stat: &Stat) -> ObjectId {
    ObjectId { device: stat.st_dev, inode: stat.st_ino }
}

pub(super) fn foreign(object: &str, reason: impl Into<String>) -> ObjectError {
    ObjectError::Foreign { object: object.into(), reason: reason.into() }
}

pub(super) fn failed_io(object: &str, operation: &'static str, error: io::Error) -> ObjectError {
    match Errno::from_io_error(&error) {
        Some(errno) => failed(object, operation, errno),
        None => ObjectError::Os { object: object.into(), operation, source: error },
    }
}

/// The error of a system call on an object.
pub(super) fn failed(object: &str, operation: &'static str, errno: Errno) -> ObjectError {
    let directory = directory_of(object);
    if let Some(limit) = limit_of(directory, operation, errno) {
        return ObjectError::Limit { object: object.into(), operation, limit };
    }
    if let Some(problem) = problem_of(directory, object, operation, errno) {
        return ObjectError::Unusable { problem };
    }
    let owned = || object.to_owned();
    let no_space =
        || ObjectError::NoSpace { object: owned(), bytes: huge_page(directory).unwrap_or(PAGE_BYTES) };
    match errno {
        Errno::NOENT => ObjectError::NotFound { object: owned() },
        Errno::EXIST => ObjectError::Exists { object: owned() },
        Errno::ACCESS | Errno::PERM => {
            let owner = stat_by_name(object).ok().map(|stat| stat.st_uid);
            ObjectError::PermissionDenied { object: owned(), owner }
        }
        Errno::NOSPC | Errno::DQUOT | Errno::FBIG => no_space(),
        // Of hugetlbfs: its pages are of a pool.
        Errno::NOMEM if operation == "fallocate" || MAPS.contains(&operation) => no_space(),
        Errno::LOOP => foreign(object, "it is a symbolic link"),
        Errno::ISDIR => foreign(object, "it is a directory"),
        Errno::NXIO => foreign(object, "it is a socket or a FIFO"),
        errno => ObjectError::Os { object: owned(), operation, source: errno.into() },
    }
}

/// The limit that an operation has reached, if it failed because of one.
fn limit_of(directory: &str, operation: &str, errno: Errno) -> Option<ResourceLimit> {
    let maps = MAPS.contains(&operation);
    match errno {
        Errno::MFILE | Errno::NFILE => Some(ResourceLimit::Descriptors),
        Errno::AGAIN if maps => Some(ResourceLimit::LockedMemory),
        Errno::NOMEM if maps && huge_page(directory).is_none() => Some(ResourceLimit::Mappings),
        Errno::NOSPC if operation != "fallocate" && lacks_inodes(directory) => Some(ResourceLimit::Inodes),
        _ => None,
    }
}

/// What is wrong with the directory itself, if an operation failed because of that, and what to do.
fn problem_of(directory: &str, object: &str, operation: &str, errno: Errno) -> Option<String> {
    if directory.is_empty() {
        // A sealed object.
        return None;
    }
    let is_default = directory == DEFAULT_DIRECTORY;
    let advice = match is_default {
        true => "mount -t tmpfs -o mode=1777 tmpfs /dev/shm",
        false => "use a directory of a tmpfs",
    };
    let user = rustix::process::geteuid().as_raw();
    match errno {
        Errno::NOENT if rustix::fs::stat(directory).is_err() => Some(match is_default {
            true => format!("/dev/shm is not mounted: {advice}"),
            false => missing_text(directory),
        }),
        Errno::NOTDIR => {
            Some(format!("{directory} is not a directory, which has to be there first: {advice}"))
        }
        Errno::NOSPC | Errno::NOMEM if is_default && huge_page(directory).is_some() => {
            Some(format!("the file system of /dev/shm is hugetlbfs: {advice}"))
        }
        Errno::ROFS => Some(format!("{directory} is read-only: mount -o remount,rw {}", quoted(directory))),
        Errno::ACCESS | Errno::PERM => match refused_use(directory, operation) {
            Some(verb) => Some(format!(
                "user {user} may not {verb} names in {directory}: run as its owner, who can let other readers \
                 in (chmod o+rx; a group: chgrp and chmod g+rx)"
            )),
            None if stat_by_name(object).is_err() && !may_create(directory) => {
                let advice =
                    if is_default { "" } else { "run as its owner; or, if all users may publish there, " };
                Some(format!(
                    "user {user} may not create files in {directory}: {advice}chmod 1777 {}",
                    quoted(directory)
                ))
            }
            None => None,
        },
        Errno::OPNOTSUPP | Errno::NOSYS if operation != "lock" => {
            Some(format!("the file system of {directory} can't reserve memory: {advice}"))
        }
        Errno::OPNOTSUPP | Errno::NOSYS | Errno::NOLCK | Errno::INVAL if operation == "lock" => {
            Some(format!(
                "the file system of {directory}, or a filter of system calls, refuses locks (F_OFD_SETLK): {advice}, \
             or allow fcntl"
            ))
        }
        _ => None,
    }
}

/// Bytes of a page on hugetlbfs.
fn huge_page(directory: &str) -> Option<usize> {
    let found = rustix::fs::statfs(directory).ok().filter(|found| found.f_type == HUGETLBFS)?;
    usize::try_from(found.f_bsize).ok()
}

/// Whether there is a limit on the number of files, and it is reached.
fn lacks_inodes(directory: &str) -> bool {
    rustix::fs::statvfs(directory).is_ok_and(|found| found.f_files > 0 && found.f_ffree == 0)
}

/// What this user may not do with names in the directory, if the operation needs it.
fn refused_use(directory: &str, operation: &str) -> Option<&'static str> {
    let is_refused = |needs| rustix::fs::accessat(CWD, directory, needs, AtFlags::EACCESS).is_err();
    match operation {
        _ if is_refused(Permissions::EXEC_OK) => Some("look up"),
        "list" if is_refused(Permissions::READ_OK) => Some("list"),
        _ => None,
    }
}

/// Whether this user may create objects.
fn may_create(directory: &str) -> bool {
    let needs = Permissions::WRITE_OK | Permissions::EXEC_OK;
    rustix::fs::accessat(CWD, directory, needs, AtFlags::EACCESS).is_ok()
}

/// Tries everything once that channels use of the system, on an object that has no name afterwards.
/// The name of each step, and what failed.
pub(super) fn try_steps(directory: &Directory) -> Vec<(&'static str, Option<ObjectError>)> {
    // Containers that share a directory have processes of one id.
    let number = getrandom::u64().unwrap_or_else(|_| std::process::id().into());
    let object = format!("{}/tl_try_{number}", directory.path());
    let bytes = directory.round(PAGE_BYTES);
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mode = FileMode::RUSR | FileMode::WUSR;
    let refused = |what: &str| ObjectError::Unusable { problem: format!("the system refuses {what}") };
    let mut steps = Vec::new();
    // Some file systems can't make a file without a name.
    let created = rustix::fs::open(directory_of(&object), flags | OFlags::TMPFILE, mode).or_else(|_| {
        rustix::fs::open(&object, flags | OFlags::CREATE | OFlags::EXCL, mode)
            .map_err(|errno| failed(&object, "open", errno))
            .and_then(|fd| unlink(&object).map(|()| fd))
    });
    if let Ok(fd) = &created {
        let reserved = extend(fd, &object, 0, bytes);
        let locked = lock::try_lock_gate(fd.as_fd()).map_err(|error| failed_io(&object, "lock", error));
        let stat = rustix::fs::fstat(fd).map_err(|errno| failed(&object, "fstat", errno));
        let mapped = stat.and_then(|stat| map(fd, identity(&stat), &object, bytes));
        if let (Ok(()), Ok(words)) = (&reserved, &mapped) {
            // The word has another value: a system that can sleep returns at once.
            let slept = threads::sleep(words, 0, 1, Duration::ZERO);
            steps.push(("futex", (slept == threads::Slept::Refused).then(|| refused("futex"))));
        }
        steps.extend([("reserve", reserved.err()), ("lock", locked.err()), ("map", mapped.err())]);
    }
    steps.insert(0, ("create", created.err()));
    let has_barriers = threads::register_for_barriers() && threads::issue_barrier();
    steps.push(("membarrier", (!has_barriers).then(|| refused("membarrier"))));
    steps
}
