//! Named POSIX shared memory.
//!
//! The `shared_memory` crate creates the objects. What it can't do is done here, on a descriptor of our own: reserve
//! the memory, set the permissions whatever the umask is, map read-only, close the descriptor once mapped, lock, and
//! remove a name only while it means the same object. Its own mapping is dropped at once, not as owner, because an
//! owner unlinks *by name* on drop, when the name may mean a successor's object.

use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, FallocateFlags, FileType, Mode as FileMode, OFlags, Stat};
use rustix::io::Errno;
use shared_memory::{ShmemConf, ShmemError};

#[cfg(test)]
mod tests;

use super::mapping::{Identity, Mapping, ReadOnlyMapping};
use super::{Backend, Claim, Extent, ForkToken, Mode, ObjectError, lock};

/// Where Linux shows POSIX shared memory.
const DIRECTORY: &str = "/dev/shm";

/// How often a step is tried again that somebody else's step or a signal interrupted.
const MOST_TRIES: usize = 1_000;

/// How long somebody else may be in the gate, where nobody stays longer than some system calls unless it is stopped.
const GATE_PATIENCE: Duration = Duration::from_secs(2);
const GATE_PAUSE: Duration = Duration::from_micros(100);

/// Named shared memory of this machine: what channels live in, unless said otherwise.
#[derive(Clone, Debug, Default)]
pub struct SharedMemory {
    trusted_owner: Option<u32>,
}

/// A claimed object: mapped, with the descriptor that holds the lock.
#[derive(Debug)]
pub struct ShmClaim {
    mapping: Mapping,
    object: String,
    lock: OwnerLock,
}

impl SharedMemory {
    /// Accepts objects of this user, too, besides one's own.
    pub(crate) fn trust_owner(&mut self, user: u32) {
        self.trusted_owner = Some(user);
    }

    fn trusts(&self, owner: u32) -> bool {
        owner == rustix::process::geteuid().as_raw() || Some(owner) == self.trusted_owner
    }

    /// Opens an object and makes sure that it is a regular file of a trusted owner.
    fn open(&self, object: &str, access: OFlags) -> Result<(OwnedFd, Stat), ObjectError> {
        // NONBLOCK: opening somebody's FIFO must not block. NOFOLLOW: nor must a symbolic link be followed.
        let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = rustix::io::retry_on_intr(|| rustix::fs::open(path(object), flags, FileMode::empty()))
            .map_err(|errno| failed(object, "open", errno))?;
        let stat = rustix::fs::fstat(&fd).map_err(|errno| failed(object, "fstat", errno))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind != FileType::RegularFile {
            return Err(foreign(object, format!("it is a {kind:?}, not a regular file")));
        }
        if !self.trusts(stat.st_uid) {
            return Err(ObjectError::OtherOwner { object: object.into(), owner: stat.st_uid });
        }
        Ok((fd, stat))
    }

    fn map_new(&self, object: &str, extent: Extent, mode: Mode) -> Result<Mapping, ObjectError> {
        let (fd, stat) = match self.open(object, OFlags::RDWR) {
            // A umask that forbids even us.
            Err(ObjectError::PermissionDenied { .. }) if self.owns(object) => {
                open_up(object, mode)?;
                self.open(object, OFlags::RDWR)?
            }
            opened => opened?,
        };
        finish(&fd, object, extent, mode)?;
        map(&fd, &stat, object, extent.bytes)
    }

    /// One try at opening and locking; `None` if the name meanwhile means another object.
    fn try_lock(
        &self,
        object: &str,
        bytes: usize,
        abandoned: &impl Fn(&Mapping) -> bool,
    ) -> Result<Option<(OwnerLock, Stat)>, ObjectError> {
        let (fd, stat) = self.open(object, OFlags::RDWR)?;
        let Some(lock) = OwnerLock::pass_gate(fd, object)? else {
            return Err(ObjectError::Claimed { object: object.into() });
        };
        // Whoever passed the gate before may have removed the name, and somebody else may have made it anew.
        if !names(object, identity(&stat)) {
            return Ok(None);
        }
        // A half-made leftover is empty; everything else has been given its size by who passed the gate.
        let stat = rustix::fs::fstat(&lock.fd).map_err(|errno| failed(object, "fstat", errno))?;
        if stat.st_size != 0 && usize::try_from(stat.st_size) != Ok(bytes) {
            return Err(foreign(object, format!("it has {} bytes instead of {bytes}", stat.st_size)));
        }
        let os = |source| ObjectError::Os { object: object.into(), operation: "lock", source };
        if lock::is_owned(lock.fd.as_fd()).map_err(os)? {
            let live = !has_memory(&stat) || !abandoned(&map(&lock.fd, &stat, object, bytes)?);
            if live {
                return Err(ObjectError::Claimed { object: object.into() });
            }
        }
        lock::lock_owner(lock.fd.as_fd()).map_err(os)?;
        Ok(Some((lock, stat)))
    }
}

/// The descriptor that holds the locks of a claim, and gives them up when it is dropped.
#[derive(Debug)]
struct OwnerLock {
    fd: OwnedFd,
    token: ForkToken,
}

impl OwnerLock {
    /// Waits for the gate; `None` if it is not passed in time.
    fn pass_gate(fd: OwnedFd, object: &str) -> Result<Option<OwnerLock>, ObjectError> {
        let lock = OwnerLock { fd, token: ForkToken::take() };
        let begin = Instant::now();
        while begin.elapsed() < GATE_PATIENCE {
            let passed = lock::try_lock_gate(lock.fd.as_fd());
            let os = |source| ObjectError::Os { object: object.into(), operation: "lock", source };
            if passed.map_err(os)? {
                return Ok(Some(lock));
            }
            thread::sleep(GATE_PAUSE);
        }
        Ok(None)
    }
}

impl Drop for OwnerLock {
    fn drop(&mut self) {
        // Closing the descriptor would leave the locks to forks of this process, which share them; a fork itself must
        // leave them to this process.
        if self.token.is_ours() {
            lock::unlock_all(self.fd.as_fd());
        }
    }
}

impl Backend for SharedMemory {
    type Memory = Mapping;
    type View = ReadOnlyMapping;
    type Claim = ShmClaim;

    fn create(&self, object: &str, bytes: usize, mode: Mode) -> Result<Mapping, ObjectError> {
        create_exclusively(object, bytes)?;
        self.map_new(object, Extent::full(bytes), mode).inspect_err(|_| {
            let _ = unlink(object);
        })
    }

    fn view(&self, object: &str) -> Result<ReadOnlyMapping, ObjectError> {
        let (fd, stat) = self.open(object, OFlags::RDONLY)?;
        let bytes = size_of_object(object, &stat)?;
        if !has_memory(&stat) {
            return Err(ObjectError::Unfinished { object: object.into() });
        }
        ReadOnlyMapping::new(fd.as_fd(), bytes, identity(&stat))
            .map_err(|errno| failed(object, "mmap", errno))
    }

    fn reopen(&self, object: &str) -> Result<Mapping, ObjectError> {
        let (fd, stat) = self.open(object, OFlags::RDWR)?;
        let bytes = size_of_object(object, &stat)?;
        reserve(&fd, object, bytes)?;
        map(&fd, &stat, object, bytes)
    }

    fn remove(&self, object: &str, memory: &Mapping) -> Result<(), ObjectError> {
        remove_if_same(object, memory.identity())
    }

    fn remove_leftover(&self, object: &str) -> Result<bool, ObjectError> {
        match self.open(object, OFlags::RDONLY) {
            Ok(_) => unlink(object).map(|()| true),
            Err(ObjectError::NotFound { .. }) => Ok(false),
            // Ours, but made with permissions that we can't open it with: half-made under a strict umask.
            Err(ObjectError::PermissionDenied { .. }) if self.owns(object) => unlink(object).map(|()| true),
            Err(error) => Err(error),
        }
    }

    fn claim(
        &self,
        object: &str,
        extent: Extent,
        mode: Mode,
        abandoned: impl Fn(&Mapping) -> bool,
    ) -> Result<ShmClaim, ObjectError> {
        let bytes = extent.bytes;
        for _ in 0..MOST_TRIES {
            match create_exclusively(object, bytes) {
                Ok(()) | Err(ObjectError::Exists { .. }) => {}
                Err(error) => return Err(error),
            }
            match self.try_lock(object, bytes, &abandoned) {
                Ok(Some((lock, stat))) => {
                    // From here on the object is ours alone, whoever created it.
                    if let Err(error) = finish(&lock.fd, object, extent, mode) {
                        return Err(discard_if_empty(&lock.fd, object, &stat, error));
                    }
                    let mapping = map(&lock.fd, &stat, object, bytes)?;
                    return Ok(ShmClaim { mapping, object: object.into(), lock });
                }
                Ok(None) | Err(ObjectError::NotFound { .. }) => thread::yield_now(),
                Err(ObjectError::PermissionDenied { .. }) if self.owns(object) => open_up(object, mode)?,
                Err(error) => return Err(error),
            }
        }
        Err(ObjectError::Claimed { object: object.into() })
    }

    fn claim_existing(
        &self,
        object: &str,
        extent: Extent,
        abandoned: impl Fn(&Mapping) -> bool,
    ) -> Result<ShmClaim, ObjectError> {
        let bytes = extent.bytes;
        for _ in 0..MOST_TRIES {
            if let Some((lock, stat)) = self.try_lock(object, bytes, &abandoned)? {
                if !has_memory(&stat) {
                    give_memory(&lock.fd, object, extent)?;
                }
                let mapping = map(&lock.fd, &stat, object, bytes)?;
                return Ok(ShmClaim { mapping, object: object.into(), lock });
            }
        }
        Err(ObjectError::Claimed { object: object.into() })
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, ObjectError> {
        let os =
            |source| ObjectError::Os { object: format!("{prefix}…"), operation: "list /dev/shm", source };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(DIRECTORY).map_err(os)? {
            // A name that is not UTF-8 is none of ours.
            names.extend(entry.map_err(os)?.file_name().into_string().ok());
        }
        names.retain(|name| name.starts_with(prefix));
        Ok(names)
    }

    fn is_claimed(&self, object: &str, view: &ReadOnlyMapping) -> Result<Option<bool>, ObjectError> {
        let (fd, stat) = match self.open(object, OFlags::RDONLY) {
            Ok(opened) => opened,
            Err(ObjectError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        if identity(&stat) != view.identity() {
            return Ok(None);
        }
        let os = |source| ObjectError::Os { object: object.into(), operation: "lock", source };
        lock::is_owned(fd.as_fd()).map(Some).map_err(os)
    }
}

impl SharedMemory {
    /// Whether the name means a regular file of our own, without opening it.
    fn owns(&self, object: &str) -> bool {
        stat_by_name(object).is_ok_and(|stat| {
            FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
                && stat.st_uid == rustix::process::geteuid().as_raw()
        })
    }
}

impl Claim for ShmClaim {
    type Memory = Mapping;

    fn memory(&self) -> &Mapping {
        &self.mapping
    }

    fn settle(&self) {
        lock::unlock_gate(self.lock.fd.as_fd());
    }

    fn reserve(&self, start: usize, bytes: usize) -> Result<(), ObjectError> {
        reserve_range(&self.lock.fd, &self.object, start, bytes)
    }

    fn is_named(&self) -> bool {
        names(&self.object, self.mapping.identity())
    }

    fn remove(&self) -> Result<(), ObjectError> {
        remove_if_same(&self.object, self.mapping.identity())
    }
}

/// Creates the object through the `shared_memory` crate, sized but not reserved, and lets go of its mapping.
fn create_exclusively(object: &str, bytes: usize) -> Result<(), ObjectError> {
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

fn map(fd: &OwnedFd, stat: &Stat, object: &str, bytes: usize) -> Result<Mapping, ObjectError> {
    Mapping::writable(fd.as_fd(), bytes, identity(stat)).map_err(|errno| failed(object, "mmap", errno))
}

/// Gives an object that only we use its permissions, whatever the umask was, and its memory.
fn finish(fd: &OwnedFd, object: &str, extent: Extent, mode: Mode) -> Result<(), ObjectError> {
    rustix::fs::fchmod(fd, FileMode::from_raw_mode(mode)).map_err(|errno| failed(object, "fchmod", errno))?;
    give_memory(fd, object, extent)
}

/// Gives an object its size and the memory that it needs at once.
fn give_memory(fd: &OwnedFd, object: &str, extent: Extent) -> Result<(), ObjectError> {
    if extent.reserved < extent.bytes {
        rustix::io::retry_on_intr(|| rustix::fs::ftruncate(fd, extent.bytes as u64))
            .map_err(|errno| failed(object, "ftruncate", errno))?;
    }
    reserve(fd, object, extent.reserved)
}

/// Reserves all memory of the object, so that no access can fail later, and makes it that large if it is smaller.
fn reserve(fd: &OwnedFd, object: &str, bytes: usize) -> Result<(), ObjectError> {
    reserve_range(fd, object, 0, bytes)
}

/// Reserves `bytes` from `start` on.
fn reserve_range(fd: &OwnedFd, object: &str, start: usize, bytes: usize) -> Result<(), ObjectError> {
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

/// The kernel undoes a reservation that a signal interrupts; with a signal every millisecond a large one would never be
/// done. What can't fit at all has been refused before this.
fn reserve_in_pieces(fd: &OwnedFd, start: usize, bytes: usize) -> Result<(), Errno> {
    const PIECE: usize = 1 << 20;
    for offset in (0..bytes).step_by(PIECE) {
        reserve_piece(fd, (start + offset) as u64, PIECE.min(bytes - offset) as u64)?;
    }
    Ok(())
}

fn reserve_piece(fd: &OwnedFd, offset: u64, len: u64) -> Result<(), Errno> {
    for _ in 0..MOST_TRIES {
        match rustix::fs::fallocate(fd, FallocateFlags::empty(), offset, len) {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
    Err(Errno::INTR)
}

/// A claimed object that could not be given its memory and holds nothing yet is removed again.
fn discard_if_empty(fd: &OwnedFd, object: &str, stat: &Stat, error: ObjectError) -> ObjectError {
    let untouched = rustix::fs::fstat(fd).is_ok_and(|now| now.st_blocks == 0);
    if untouched {
        let _ = remove_if_same(object, identity(stat));
    }
    error
}

/// Makes an object of ours accessible that was created under a umask that forbids even us.
fn open_up(object: &str, mode: Mode) -> Result<(), ObjectError> {
    rustix::fs::chmodat(CWD, path(object), FileMode::from_raw_mode(mode), AtFlags::empty())
        .map_err(|errno| failed(object, "chmod", errno))
}

fn size_of_object(object: &str, stat: &Stat) -> Result<usize, ObjectError> {
    match usize::try_from(stat.st_size) {
        Ok(0) => Err(ObjectError::Unfinished { object: object.into() }),
        Ok(bytes) if bytes.is_multiple_of(crate::layout::PAGE_BYTES) => Ok(bytes),
        _ => Err(foreign(object, format!("it has {} bytes, which are not full pages", stat.st_size))),
    }
}

/// Whether the object's creator has come as far as to reserve memory, from the first page on.
///
/// Before that, a load from it would take memory, and where there is none, end in SIGBUS.
fn has_memory(stat: &Stat) -> bool {
    stat.st_size != 0 && stat.st_blocks != 0
}

fn remove_if_same(object: &str, ours: Identity) -> Result<(), ObjectError> {
    if names(object, ours) { unlink(object) } else { Ok(()) }
}

fn names(object: &str, ours: Identity) -> bool {
    stat_by_name(object).is_ok_and(|stat| identity(&stat) == ours)
}

fn stat_by_name(object: &str) -> Result<Stat, Errno> {
    rustix::fs::statat(CWD, path(object), AtFlags::SYMLINK_NOFOLLOW)
}

fn unlink(object: &str) -> Result<(), ObjectError> {
    match rustix::fs::unlink(path(object)) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(failed(object, "unlink", errno)),
    }
}

fn identity(stat: &Stat) -> Identity {
    Identity { device: stat.st_dev, inode: stat.st_ino }
}

fn path(object: &str) -> String {
    format!("{DIRECTORY}/{object}")
}

fn foreign(object: &str, reason: impl Into<String>) -> ObjectError {
    ObjectError::Foreign { object: object.into(), reason: reason.into() }
}

fn failed(object: &str, operation: &'static str, errno: Errno) -> ObjectError {
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
