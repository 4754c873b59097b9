//! A sealed object: memory without a name, of one channel.
//!
//! It is a `memfd`. Once the writer has mapped it, seals forbid everybody, also the writer, to
//! change its length, to take memory from it, and to write to it in any other way than by that
//! mapping. So a reader trusts nothing but the kernel: memory that is there once stays.
//!
//! The object has its whole length from the beginning, and memory only as far as it is used:
//! the writer reserves it, and a reader asks the kernel for it, before the first access.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FileType, MemfdFlags, Mode as FileMode, OFlags, SealFlags};
use rustix::io::{Errno, FdFlags};

use super::super::{Access, Backend, Claim, ClaimOptions, Holder, ObjectError, ObjectStatus, lock, mapping};
use super::claim::OwnerLock;
use super::object::{
    check_file_size, extend, failed, failed_io, identity, map, reserve_range, reserved_bytes, size_of_object,
    status_of,
};
use crate::layout::{Kind, ObjectNames, PAGE_BYTES, WORD_BYTES};
use crate::memory::{ObjectId, ReadOnlyWords, Words};

/// Characters of a channel's name that the kernel shows: its limit is 249 bytes.
const SHOWN: usize = 58;

/// The file system of a `memfd` without huge pages.
const TMPFS: i64 = 0x0102_1994;

/// The seals that an object gets.
const SEALS: SealFlags =
    SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::FUTURE_WRITE).union(SealFlags::SEAL);

/// The object of one sealed channel: the backend of its writer, or of a reader.
#[derive(Debug)]
pub(crate) struct Sealed {
    /// What errors call it.
    label: String,
    id: ObjectId,
    /// Of its writer: open only for reading, for readers.
    fd: OwnedFd,
    /// Until the writer claims the object.
    writable: Mutex<Option<OwnedFd>>,
}

impl Sealed {
    /// A new object, empty and not sealed yet, for the writer of `channel`.
    pub(crate) fn create(channel: &str) -> Result<Sealed, ObjectError> {
        let name: String = channel.chars().take(SHOWN).map(|it| if it == '/' { '_' } else { it }).collect();
        let name = format!("tearless-{name}");
        let label = format!("memfd:{name}");
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let create = |flags| rustix::fs::memfd_create(&*name, flags);
        // Linux 6.3; an older one does not know the flag.
        let created = create(flags | MemfdFlags::NOEXEC_SEAL).or_else(|_| create(flags));
        let writable = created.map_err(|errno| match errno {
            Errno::NOSYS | Errno::PERM | Errno::ACCESS => {
                unusable("the system refuses memfd_create: allow it in the filter of system calls")
            }
            errno => failed(&label, "memfd_create", errno),
        })?;
        let path = format!("/proc/self/fd/{}", writable.as_raw_fd());
        let opened = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, FileMode::empty());
        let fd = opened.map_err(|errno| match errno {
            Errno::NOENT | Errno::NOTDIR => unusable(
                "/proc, through which a sealed channel gets its read-only descriptor, is not mounted: \
                 mount -t proc proc /proc",
            ),
            errno => failed(&label, "open", errno),
        })?;
        // Not even this user opens it again for writing, through `/proc`; the seals hold in any
        // case.
        rustix::fs::fchmod(&writable, FileMode::RUSR).map_err(|errno| failed(&label, "fchmod", errno))?;
        let stat = rustix::fs::fstat(&fd).map_err(|errno| failed(&label, "fstat", errno))?;
        Ok(Sealed { label, id: identity(&stat), fd, writable: Mutex::new(Some(writable)) })
    }

    /// The object behind a descriptor that this process was given. Nothing but the kernel says that
    /// it is sealed, so that it never shrinks and keeps its memory.
    pub(crate) fn open(fd: OwnedFd) -> Result<Sealed, ObjectError> {
        let label = format!("descriptor {}", fd.as_raw_fd());
        let refused = |found: String| ObjectError::NotSealed {
            object: label.clone(),
            reason: format!(
                "{found}; pass on what `Writer::descriptor` returns, of a writer that `Writer::sealed` opened"
            ),
        };
        let stat = rustix::fs::fstat(&fd).map_err(|errno| failed(&label, "fstat", errno))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind != FileType::RegularFile {
            let kind = match kind {
                FileType::Directory => "a directory",
                FileType::Fifo => "a pipe",
                FileType::Socket => "a socket",
                FileType::Symlink => "a symbolic link",
                FileType::CharacterDevice | FileType::BlockDevice => "a device",
                _ => "no memory",
            };
            return Err(refused(format!("it is of {kind}")));
        }
        let flags = rustix::fs::fcntl_getfl(&fd).map_err(|errno| failed(&label, "fcntl", errno))?;
        if flags.contains(OFlags::WRONLY) {
            return Err(refused("it is open only for writing".into()));
        }
        let seals = rustix::fs::fcntl_get_seals(&fd);
        let seals = seals.map_err(|_| refused("it is of a file, which can't be sealed".into()))?;
        if !seals.contains(SealFlags::SHRINK | SealFlags::GROW) {
            return Err(refused("its seals admit that a process changes its length".into()));
        }
        if !seals.intersects(SealFlags::FUTURE_WRITE | SealFlags::WRITE) {
            return Err(refused("its seals admit that a process takes its memory".into()));
        }
        // Of others, huge pages, the kernel does not say in advance which have memory.
        let system = rustix::fs::fstatfs(&fd).map_err(|errno| failed(&label, "fstatfs", errno))?;
        if system.f_type != TMPFS {
            return Err(refused("it has huge pages".into()));
        }
        size_of_object(&label, &stat, PAGE_BYTES)?;
        // It may have been inherited.
        rustix::io::fcntl_setfd(&fd, FdFlags::CLOEXEC).map_err(|errno| failed(&label, "fcntl", errno))?;
        Ok(Sealed { label, id: identity(&stat), fd, writable: Mutex::new(None) })
    }

    /// The name by which errors call it.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    fn failed(&self, operation: &'static str, errno: Errno) -> ObjectError {
        failed(&self.label, operation, errno)
    }

    fn not_found<T>(&self) -> Result<T, ObjectError> {
        Err(ObjectError::NotFound { object: self.label.clone() })
    }

    fn bytes(&self) -> Result<usize, ObjectError> {
        let stat = rustix::fs::fstat(&self.fd).map_err(|errno| self.failed("fstat", errno))?;
        size_of_object(&self.label, &stat, PAGE_BYTES)
    }
}

/// Whether the kernel adds a descriptor of the sender to each message that is received, which
/// no other code closes (`SO_PASSPIDFD`, Linux 6.5).
pub(crate) fn passes_processes(socket: BorrowedFd<'_>) -> bool {
    /// Of `asm-generic/socket.h`; `libc` does not have it.
    const SO_PASSPIDFD: libc::c_int = 76;
    let mut value: libc::c_int = 0;
    let mut len = libc::socklen_t::try_from(size_of_val(&value)).unwrap_or(0);
    // SAFETY: the descriptor is open (borrowed), and the kernel writes at most `len` bytes, those
    // of `value`.
    let answer = unsafe {
        let value = (&raw mut value).cast();
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, SO_PASSPIDFD, value, &raw mut len)
    };
    answer == 0 && value != 0
}

fn unusable(problem: &str) -> ObjectError {
    ObjectError::Unusable { problem: problem.into() }
}

/// The channel has one object. All other names mean nothing.
impl Backend for Sealed {
    fn path(&self, _object: &str) -> String {
        self.label.clone()
    }

    fn is_sealed(&self) -> bool {
        true
    }

    fn descriptor(&self) -> Result<OwnedFd, ObjectError> {
        rustix::io::fcntl_dupfd_cloexec(&self.fd, 0).map_err(|errno| self.failed("dup", errno))
    }

    fn view(&self, object: &str) -> Result<ReadOnlyWords, ObjectError> {
        let kind = ObjectNames::of_object(object).and_then(|names| names.kind_of(object));
        if kind != Some(Kind::Control) {
            return self.not_found();
        }
        let bytes = self.bytes()?;
        let words = mapping::read_only(self.fd.as_fd(), bytes, self.id);
        let words = words.map_err(|errno| self.failed("mmap", errno))?;
        self.must_have_memory(PAGE_BYTES)?;
        self.populate(&words, 0, PAGE_BYTES)?;
        Ok(words)
    }

    /// To ask for memory that is not there would take it: a sparse object could announce more than
    /// this machine has.
    fn must_have_memory(&self, bytes: usize) -> Result<(), ObjectError> {
        let stat = rustix::fs::fstat(&self.fd).map_err(|errno| self.failed("fstat", errno))?;
        if reserved_bytes(&stat) >= bytes {
            return Ok(());
        }
        let reason = "its writer announces more than it has reserved".into();
        Err(ObjectError::Foreign { object: self.label.clone(), reason })
    }

    fn populate(&self, words: &ReadOnlyWords, start: usize, bytes: usize) -> Result<(), ObjectError> {
        let foreign =
            |reason: &str| Err(ObjectError::Foreign { object: self.label.clone(), reason: reason.into() });
        let Some(part) = words.part(start / WORD_BYTES, bytes / WORD_BYTES) else {
            return foreign("it is shorter than it says");
        };
        match mapping::populate(&part) {
            Ok(()) => Ok(()),
            // Nothing else says which part of it has memory: a count of blocks includes those
            // beyond its end.
            Err(Errno::INVAL) => Err(unusable("readers of sealed channels need Linux 5.14")),
            Err(Errno::FAULT | Errno::NOMEM) => {
                Err(ObjectError::NoSpace { object: self.label.clone(), bytes })
            }
            Err(errno) => Err(self.failed("madvise", errno)),
        }
    }

    fn claim(
        &self,
        object: &str,
        options: ClaimOptions,
        _abandoned: &dyn Fn(&Words) -> bool,
    ) -> Result<Box<dyn Claim>, ObjectError> {
        let claimed = || ObjectError::Claimed { object: self.path(object) };
        let fd = self.writable.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or_else(claimed)?;
        let lock = OwnerLock::pass_gate(fd, &self.label, options.patience)?.ok_or_else(claimed)?;
        let locked = lock::vacancy(lock.fd.as_fd()).and_then(|vacancy| vacancy.fill(lock.fd.as_fd()));
        locked.map_err(|error| failed_io(&self.label, "lock", error))?;
        let bytes = self.memory_of(PAGE_BYTES);
        extend(&lock.fd, &self.label, 0, bytes)?;
        let words = map(&lock.fd, self.id, &self.label, bytes)?;
        Ok(Box::new(SealedClaim { words, label: self.label.clone(), lock }))
    }

    fn memory_of(&self, bytes: usize) -> usize {
        bytes.next_multiple_of(mapping::page_bytes())
    }

    fn status(&self, _object: &str) -> Result<ObjectStatus, ObjectError> {
        rustix::fs::fstat(&self.fd).map(|stat| status_of(&stat)).map_err(|errno| self.failed("fstat", errno))
    }

    fn is_claimed(&self, _object: &str, _view: &ReadOnlyWords) -> Result<Option<bool>, ObjectError> {
        lock::is_owned(self.fd.as_fd()).map(Some).map_err(|error| failed_io(&self.label, "lock", error))
    }

    /// Its memory is sparse, and huge pages would fill it.
    fn collapse(&self, object: &str, _words: &Words) -> Result<(), ObjectError> {
        Err(ObjectError::NoHugePages { object: self.path(object), reason: "it is sealed".into() })
    }

    /// The descriptor is the object's name.
    fn is_named(&self, _object: &str, _id: ObjectId) -> Result<bool, ObjectError> {
        Ok(true)
    }

    fn list(&self, _prefix: &str) -> Result<Vec<String>, ObjectError> {
        Ok(Vec::new())
    }

    fn remove(&self, _object: &str, _memory: &Words) -> Result<(), ObjectError> {
        Ok(())
    }

    fn remove_leftover(&self, _object: &str) -> Result<bool, ObjectError> {
        Ok(false)
    }

    fn create(&self, _object: &str, _bytes: usize, _access: Access) -> Result<Words, ObjectError> {
        self.not_found()
    }

    fn reopen(&self, _object: &str) -> Result<Words, ObjectError> {
        self.not_found()
    }

    fn part(&self, _object: &str, _start: usize, _bytes: usize) -> Result<Words, ObjectError> {
        self.not_found()
    }

    fn hold(
        &self,
        _object: &str,
        _id: ObjectId,
        _start: usize,
        _bytes: usize,
    ) -> Result<(Words, Box<dyn Holder>), ObjectError> {
        self.not_found()
    }
}

/// The claim of the one writer that a sealed object ever has.
#[derive(Debug)]
struct SealedClaim {
    words: Words,
    label: String,
    lock: OwnerLock,
}

impl Claim for SealedClaim {
    fn memory(&self) -> &Words {
        &self.words
    }

    fn settle(&self) {
        lock::unlock_gate(self.lock.fd.as_fd());
    }

    /// No process opens it by a name, to which permissions would apply.
    fn set_access(&self, _access: Access) -> Result<(), ObjectError> {
        Ok(())
    }

    fn status(&self) -> Result<ObjectStatus, ObjectError> {
        self.lock.stat(&self.label).map(|stat| status_of(&stat))
    }

    /// Gives the object its length for good, and maps and seals it. Of a large one, only the first
    /// page has memory then.
    fn grow(&mut self, bytes: usize) -> Result<(), ObjectError> {
        let (fd, bytes) = (&self.lock.fd, bytes.next_multiple_of(mapping::page_bytes()));
        let failed = |operation, errno| failed(&self.label, operation, errno);
        check_file_size(&self.label, bytes)?;
        rustix::fs::ftruncate(fd, bytes as u64).map_err(|errno| failed("ftruncate", errno))?;
        if bytes <= mapping::POPULATED {
            // It is mapped with all its pages.
            reserve_range(fd, &self.label, 0, bytes)?;
        }
        self.words = map(fd, self.words.object(), &self.label, bytes)?;
        rustix::fs::fcntl_add_seals(fd, SEALS).map_err(|errno| match errno {
            Errno::INVAL => unusable("this kernel can't seal memory against later writers: use Linux 5.1"),
            errno => failed("fcntl", errno),
        })
    }

    fn reserve(&self, start: usize, bytes: usize) -> Result<(), ObjectError> {
        reserve_range(&self.lock.fd, &self.label, start, bytes)
    }

    fn remove(&self) -> Result<(), ObjectError> {
        Ok(())
    }
}
