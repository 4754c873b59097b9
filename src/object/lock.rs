//! Locks that the kernel holds for a process, and releases when the process dies, however it dies.
//!
//! Open-file-description locks on bytes of the object (`F_OFD_SETLK`, Linux 3.15). Unlike
//! traditional POSIX locks they are not lost when the process opens and closes the same object
//! elsewhere. A forked child shares them, so a byte can stay locked after its owner's death.
//! Therefore every owner locks a byte of its own, after all locked bytes. Whether the owner of a
//! locked byte is alive follows from the identity that it recorded.
//!
//! Byte 0 is the *gate*: a process holds it while it determines or becomes the owner. The bytes
//! from 1 on belong to owners. Far behind them, each reader that pins publications locks a byte, so
//! that others see whether it lives. A byte need not exist in the object to be locked.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;

use rustix::fs::MemfdFlags;

use crate::memory::ObjectId;

const GATE: i64 = 0;
const FIRST_OWNER: i64 = 1;
/// The byte of holder 0. No more owners than this lock bytes at the same time.
const HOLDERS: i64 = 1 << 40;

/// `kcmp` compares whether two threads have the same descriptors.
const KCMP_FILES: libc::c_int = 2;

/// Tries to lock the gate; `false` if another process holds it.
pub(super) fn try_lock_gate(descriptor: BorrowedFd<'_>) -> io::Result<bool> {
    set(descriptor, libc::F_WRLCK, GATE, 1)
}

/// Unlocks the gate, also for forked children that share it.
pub(super) fn unlock_gate(descriptor: BorrowedFd<'_>) {
    // Unlocking can't fail: the descriptor is open, and no range is split.
    let _ = set(descriptor, libc::F_UNLCK, GATE, 1);
}

/// Unlocks everything, also for forked children that share it.
pub(super) fn unlock_all(descriptor: BorrowedFd<'_>) {
    let _ = set(descriptor, libc::F_UNLCK, GATE, 0);
}

/// Whether an owner's byte is locked through another descriptor. A descriptor that is open only for
/// reading is enough.
pub(super) fn is_owned(descriptor: BorrowedFd<'_>) -> io::Result<bool> {
    // A read lock is none of an owner's: whoever may read the object can take one.
    Ok(first_locked(descriptor, libc::F_RDLCK, FIRST_OWNER, HOLDERS - FIRST_OWNER)?.is_some())
}

/// Locks the byte of a holder of pins; `false` if another one has this number. The descriptor must
/// be open for writing.
pub(super) fn try_hold(descriptor: BorrowedFd<'_>, holder: u32) -> io::Result<bool> {
    set(descriptor, libc::F_WRLCK, HOLDERS + i64::from(holder), 1)
}

/// Whether the byte of a holder of pins is locked through another descriptor.
pub(super) fn is_held(descriptor: BorrowedFd<'_>, holder: u32) -> io::Result<bool> {
    Ok(first_locked(descriptor, libc::F_WRLCK, HOLDERS + i64::from(holder), 1)?.is_some())
}

/// The first byte after all bytes that owners have locked. No other process locks it while the
/// caller holds the gate; owners that end in the meantime only free bytes before it.
pub(super) fn vacancy(descriptor: BorrowedFd<'_>) -> io::Result<Vacancy> {
    let mut byte = FIRST_OWNER;
    while let Some(end) = first_locked_from(descriptor, byte)? {
        if end <= byte || end >= HOLDERS {
            // Another program has locked all bytes: no owner of ours does that.
            return Err(io::Error::from_raw_os_error(libc::EAGAIN));
        }
        byte = end;
    }
    Ok(Vacancy { byte })
}

/// A byte for the next owner.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vacancy {
    byte: i64,
}

impl Vacancy {
    /// Whether there is an owner before it.
    pub(super) fn is_behind_another(self) -> bool {
        self.byte != FIRST_OWNER
    }

    /// Locks the byte. Only for the holder of the gate.
    pub(super) fn fill(self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        let is_locked = set(descriptor, libc::F_WRLCK, self.byte, 1)?;
        is_locked.then_some(()).ok_or_else(|| io::Error::from_raw_os_error(libc::EAGAIN))
    }
}

/// Whether process `pid` holds an owner's lock of this object, or of any object; `None` if the
/// system does not show it.
///
/// Cost: some system calls for each descriptor, and one for each thread, of the process; where the
/// system refuses `kcmp`, for each descriptor of each thread. A process of which a thread has more
/// than `max` descriptors is not examined to the end: it may hold a lock.
pub(crate) fn holds_owners_lock(pid: u64, object: Option<ObjectId>, max: usize) -> Option<bool> {
    let mut examined = None;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let thread = thread.ok()?.path();
        // A thread can have descriptors of its own. Nearly all share those of their process.
        let id = thread.file_name()?.to_str()?.parse().ok()?;
        if examined.is_some_and(|other| share_descriptors(other, id)) {
            continue;
        }
        examined = Some(id);
        let Some(descriptors) = if_there(fs::read_dir(thread.join("fdinfo")))? else { continue };
        let mut left = max;
        for descriptor in descriptors {
            left = left.checked_sub(1)?;
            let Some(descriptor) = if_there(descriptor)? else { continue };
            let Some(info) = if_there(fs::read_to_string(descriptor.path()))? else { continue };
            if info.lines().any(is_owners_lock) && is_of(&thread, &descriptor.file_name(), object)? {
                return Some(true);
            }
        }
    }
    shows_locks().then_some(false)
}

/// Whether two threads are known to have the same descriptors.
fn share_descriptors(thread: libc::pid_t, other: libc::pid_t) -> bool {
    // SAFETY: takes plain numbers, and changes nothing.
    unsafe { libc::syscall(libc::SYS_kcmp, thread, other, KCMP_FILES, 0, 0) == 0 }
}

/// `Some(None)` if a thread or a descriptor has vanished since it was listed; `None` if it may not
/// be examined.
fn if_there<T>(found: io::Result<T>) -> Option<Option<T>> {
    match found {
        Ok(found) => Some(Some(found)),
        Err(error) => matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)).then_some(None),
    }
}

/// Whether a descriptor is of this object, or any is asked for.
fn is_of(thread: &Path, descriptor: &std::ffi::OsStr, object: Option<ObjectId>) -> Option<bool> {
    let Some(object) = object else { return Some(true) };
    let found = if_there(fs::metadata(thread.join("fd").join(descriptor)))?;
    Some(found.is_some_and(|found| ObjectId { device: found.dev(), inode: found.ino() } == object))
}

/// Whether a line of a descriptor's information is about the lock of an owner's byte. The first and
/// the last byte are at its end: `lock: 1: OFDLCK ADVISORY WRITE -1 00:1b:12345 1 1`.
fn is_owners_lock(line: &str) -> bool {
    let mut fields = line.split_ascii_whitespace();
    let is_ours = fields.next() == Some("lock:") && fields.nth(1) == Some("OFDLCK");
    let (end, first) = (fields.next_back(), fields.next_back());
    // A lock without an end is shown as `EOF`.
    let is_behind_gate = |end: &str| end.parse().map_or(end == "EOF", |end: i64| end >= FIRST_OWNER);
    let is_owners = |first: &str| first.parse().is_ok_and(|first: i64| first < HOLDERS);
    is_ours && end.is_some_and(is_behind_gate) && first.is_some_and(is_owners)
}

/// Whether this system shows the locks of a descriptor (Linux 4.1), or at least does not hide them.
fn shows_locks() -> bool {
    static SHOWS: OnceLock<bool> = OnceLock::new();
    let try_one = || {
        let file = rustix::fs::memfd_create(c"tearless-lock", MemfdFlags::CLOEXEC).ok()?;
        Vacancy { byte: FIRST_OWNER }.fill(file.as_fd()).ok()?;
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).ok()?;
        Some(info.lines().any(is_owners_lock))
    };
    *SHOWS.get_or_init(|| try_one().unwrap_or(false))
}

/// Sets or clears the lock of `len` bytes from `byte` on; `false` if another process has locked one
/// of them.
fn set(descriptor: BorrowedFd<'_>, kind: libc::c_int, byte: i64, len: i64) -> io::Result<bool> {
    let mut request = request(kind, byte, len);
    loop {
        // SAFETY: the descriptor is open (borrowed), and F_OFD_SETLK takes a pointer to a `flock`,
        // which it reads.
        let answer = unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_OFD_SETLK, &raw mut request) };
        if answer == 0 {
            return Ok(true);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EAGAIN | libc::EACCES) => return Ok(false),
            _ => return Err(error),
        }
    }
}

/// End of the first owner's lock of another descriptor at or after `byte`.
fn first_locked_from(descriptor: BorrowedFd<'_>, byte: i64) -> io::Result<Option<i64>> {
    first_locked(descriptor, libc::F_WRLCK, byte, HOLDERS - byte)
}

/// End of the first lock of another descriptor, among `len` bytes from `byte` on, that forbids one
/// of this kind.
fn first_locked(
    descriptor: BorrowedFd<'_>,
    kind: libc::c_int,
    byte: i64,
    len: i64,
) -> io::Result<Option<i64>> {
    let mut request = request(kind, byte, len);
    // SAFETY: the descriptor is open (borrowed), and F_OFD_GETLK takes a pointer to a `flock`,
    // which it reads and writes.
    let answer = unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_OFD_GETLK, &raw mut request) };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    let free = libc::c_int::from(request.l_type) == libc::F_UNLCK;
    let end = match request.l_len {
        // A lock without an end.
        0 => i64::MAX,
        len => request.l_start.saturating_add(len),
    };
    Ok((!free).then_some(end))
}

/// A request for `len` bytes from `byte` on; a length of 0 means all of them.
fn request(kind: libc::c_int, byte: i64, len: i64) -> libc::flock {
    // `l_pid` must be 0 for open-file-description locks.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the constants fit in the fields that they are made for"
    )]
    libc::flock { l_type: kind as i16, l_whence: libc::SEEK_SET as i16, l_start: byte, l_len: len, l_pid: 0 }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    const MAX: usize = 100_000;

    #[test]
    fn the_holder_of_a_lock_is_found_by_its_descriptors() {
        let own = u64::from(std::process::id());
        let file = File::from(rustix::fs::memfd_create(c"tearless-test", MemfdFlags::CLOEXEC).unwrap());
        let metadata = file.metadata().unwrap();
        let object = Some(ObjectId { device: metadata.dev(), inode: metadata.ino() });
        assert!(shows_locks());
        assert_eq!(holds_owners_lock(own, object, MAX), Some(false));
        assert!(try_lock_gate(file.as_fd()).unwrap());
        assert_eq!(holds_owners_lock(own, object, MAX), Some(false), "the gate makes no owner");
        // The kernel shows the two as one lock.
        vacancy(file.as_fd()).unwrap().fill(file.as_fd()).unwrap();
        assert_eq!(holds_owners_lock(own, object, MAX), Some(true));
        unlock_gate(file.as_fd());
        assert_eq!(holds_owners_lock(own, object, MAX), Some(true));
        assert_eq!(holds_owners_lock(own, None, MAX), Some(true));
        let other = object.map(|object| ObjectId { inode: object.inode + 1, ..object });
        assert_eq!(holds_owners_lock(own, other, MAX), Some(false));
        unlock_all(file.as_fd());
        assert_eq!(holds_owners_lock(own, object, MAX), Some(false));
        assert_eq!(holds_owners_lock(u64::MAX, None, MAX), None, "there is no such process");
    }

    #[test]
    fn a_process_with_too_many_descriptors_may_hold_a_lock() {
        let own = u64::from(std::process::id());
        let file = File::from(rustix::fs::memfd_create(c"tearless-test", MemfdFlags::CLOEXEC).unwrap());
        let metadata = file.metadata().unwrap();
        let object = Some(ObjectId { device: metadata.dev(), inode: metadata.ino() });
        assert_eq!(holds_owners_lock(own, object, 3), None, "it has standard streams, and this file");
        assert_eq!(holds_owners_lock(own, object, MAX), Some(false));
    }

    #[test]
    fn a_holder_of_pins_is_no_owner() {
        let file = rustix::fs::memfd_create(c"tearless-test", MemfdFlags::CLOEXEC).unwrap();
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let open = || fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let (one, other) = (open(), open());
        assert!(try_hold(one.as_fd(), 7).unwrap() && !try_hold(other.as_fd(), 7).unwrap());
        assert!(is_held(other.as_fd(), 7).unwrap() && !is_held(other.as_fd(), 8).unwrap());
        assert!(!is_owned(other.as_fd()).unwrap());
        let vacancy = vacancy(other.as_fd()).unwrap();
        assert!(!vacancy.is_behind_another());
        vacancy.fill(other.as_fd()).unwrap();
        assert!(is_owned(one.as_fd()).unwrap());
        drop(one);
        assert!(!is_held(other.as_fd(), 7).unwrap());
    }

    #[test]
    fn the_descriptors_of_a_thread_are_its_own_once_it_has_unshared_them() {
        use rustix::thread::{UnshareFlags, gettid, unshare_unsafe};

        let own = gettid().as_raw_pid();
        let shared = std::thread::spawn(move || {
            let shared_before = share_descriptors(own, gettid().as_raw_pid());
            // SAFETY: this thread ends next, and leaves no descriptor to others.
            unsafe { unshare_unsafe(UnshareFlags::FILES) }.unwrap();
            (shared_before, share_descriptors(own, gettid().as_raw_pid()))
        });
        let is_answered = share_descriptors(own, own);
        assert_eq!(shared.join().unwrap(), (is_answered, false));
    }

    #[test]
    fn without_kcmp_the_descriptors_of_threads_do_not_add_up() {
        use std::io::{Read, stdin};
        use std::process::{Command, Stdio};

        if std::env::var_os("TEARLESS_TEST_CHILD").is_some() {
            std::thread::spawn(std::thread::park);
            println!("ready");
            let _ = stdin().read(&mut [0]);
            return;
        }
        let test = "object::lock::tests::without_kcmp_the_descriptors_of_threads_do_not_add_up";
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args([test, "--exact", "--nocapture", "--test-threads=1"]).env("TEARLESS_TEST_CHILD", "1");
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = Vec::new();
        while !said.ends_with(b"ready\n") {
            let mut byte = [0];
            child.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
            said.extend(byte);
        }
        let pid = u64::from(child.id());
        let count = |folder: &str| fs::read_dir(format!("/proc/{pid}/{folder}")).unwrap().count();
        let (threads, descriptors) = (count("task"), count("fd"));
        assert!(threads > 1 && descriptors > 1);
        let found = std::thread::spawn(move || {
            // The filter is this thread's only.
            testkit::seccomp::forbid(libc::SYS_kcmp);
            let own = rustix::thread::gettid().as_raw_pid();
            assert!(!share_descriptors(own, own));
            [descriptors, descriptors - 1].map(|max| holds_owners_lock(pid, None, max))
        });
        let found = found.join();
        drop(child.stdin.take());
        assert_eq!(found.unwrap(), [Some(false), None]);
        assert!(child.wait().unwrap().success());
    }

    #[test]
    fn only_an_owners_lock_counts() {
        let lock = |rest: &str| is_owners_lock(&format!("lock:\t1: {rest}"));
        assert!(lock("OFDLCK  ADVISORY  WRITE -1 00:1b:12345 1 1"));
        assert!(lock("OFDLCK  ADVISORY  WRITE -1 00:1b:12345 0 2"));
        assert!(lock("OFDLCK  ADVISORY  WRITE -1 00:1b:12345 3 EOF"));
        assert!(!lock("OFDLCK  ADVISORY  WRITE -1 00:1b:12345 0 0"));
        assert!(!lock("POSIX  ADVISORY  WRITE 17 00:1b:12345 1 1"));
        let holder = HOLDERS + 7;
        assert!(!lock(&format!("OFDLCK  ADVISORY  WRITE -1 00:1b:12345 {holder} {holder}")), "of pins");
        assert!(!is_owners_lock("flags:\t02100002") && !is_owners_lock(""));
    }
}
