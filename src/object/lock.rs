//! Locks that the kernel holds for a process, and releases when the process dies, however it dies.
//!
//! Open-file-description locks on bytes of the object (`F_OFD_SETLK`, Linux 3.15). Unlike
//! traditional POSIX locks they are not lost when the process opens and closes the same object
//! elsewhere. A forked child shares them, so a byte can stay locked after its owner's death.
//! Therefore every owner locks a byte of its own, after all locked bytes. Whether the owner of a
//! locked byte is alive follows from the identity that it recorded.
//!
//! Byte 0 is the *gate*: a process holds it while it determines or becomes the owner. The bytes
//! from 1 on belong to owners. A byte need not exist in the object to be locked.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

const GATE: i64 = 0;
const FIRST_OWNER: i64 = 1;

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
    Ok(first_locked_from(descriptor, FIRST_OWNER)?.is_some())
}

/// The first byte after all bytes that owners have locked. No other process locks it while the
/// caller holds the gate; owners that end in the meantime only free bytes before it.
pub(super) fn vacancy(descriptor: BorrowedFd<'_>) -> io::Result<Vacancy> {
    let mut byte = FIRST_OWNER;
    while let Some(end) = first_locked_from(descriptor, byte)? {
        if end <= byte || end == i64::MAX {
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
        match set(descriptor, libc::F_WRLCK, self.byte, 1)? {
            true => Ok(()),
            false => Err(io::Error::from_raw_os_error(libc::EAGAIN)),
        }
    }
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

/// End of the first lock of another descriptor at or after `byte`.
fn first_locked_from(descriptor: BorrowedFd<'_>, byte: i64) -> io::Result<Option<i64>> {
    let mut request = request(libc::F_WRLCK, byte, 0);
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
