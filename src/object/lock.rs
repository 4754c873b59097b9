//! The locks that the kernel holds for a process and releases when the process dies, however it dies.
//!
//! Open-file-schema locks on bytes of the object (`F_OFD_SETLK`, Linux 3.15). Unlike traditional POSIX locks they
//! are not lost when the process opens and closes the same object elsewhere. A forked child shares them, so a byte can
//! stay locked after its owner's death; therefore every owner locks a byte of its own, behind all that are locked, and
//! whether the owner of a locked byte lives is asked of the identity that it recorded.
//!
//! Byte 0 is the *gate*: held for the moments in which an owner is found out or appointed. The bytes from 1 on are
//! owners'. Bytes need not exist in the object to be locked.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

const GATE: i64 = 0;
const FIRST_OWNER: i64 = 1;

/// Tries to lock the gate; `false` if somebody else has it.
pub(super) fn try_lock_gate(descriptor: BorrowedFd<'_>) -> io::Result<bool> {
    set(descriptor, libc::F_WRLCK, GATE, 1)
}

/// Unlocks the gate, for forked children that share it, too.
pub(super) fn unlock_gate(descriptor: BorrowedFd<'_>) {
    // It can't fail: the descriptor is open, and unlocking splits no range.
    let _ = set(descriptor, libc::F_UNLCK, GATE, 1);
}

/// Unlocks everything, for forked children that share it, too.
pub(super) fn unlock_all(descriptor: BorrowedFd<'_>) {
    let _ = set(descriptor, libc::F_UNLCK, GATE, 0);
}

/// Whether any owner's byte is locked through another descriptor. Works on a descriptor that is open for reading only.
pub(super) fn is_owned(descriptor: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(first_locked_from(descriptor, FIRST_OWNER)?.is_some())
}

/// The first byte behind all that owners have locked. Nobody else locks it for as long as the caller holds the gate;
/// owners that end meanwhile leave more room.
pub(super) fn vacancy(descriptor: BorrowedFd<'_>) -> io::Result<Vacancy> {
    let mut byte = FIRST_OWNER;
    while let Some(end) = first_locked_from(descriptor, byte)? {
        if end <= byte || end == i64::MAX {
            // Somebody locks all there is: none of ours does.
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

    /// Locks it. Only for who holds the gate.
    pub(super) fn fill(self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        match set(descriptor, libc::F_WRLCK, self.byte, 1)? {
            true => Ok(()),
            false => Err(io::Error::from_raw_os_error(libc::EAGAIN)),
        }
    }
}

/// Sets or clears the lock of `len` bytes from `byte` on; `false` if somebody else has one of them.
fn set(descriptor: BorrowedFd<'_>, kind: libc::c_int, byte: i64, len: i64) -> io::Result<bool> {
    let mut request = request(kind, byte, len);
    loop {
        // SAFETY: the descriptor is open (borrowed), and F_OFD_SETLK takes a pointer to a `flock`, which it reads.
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

/// Where the first lock ends that somebody else has at or behind `byte`.
fn first_locked_from(descriptor: BorrowedFd<'_>, byte: i64) -> io::Result<Option<i64>> {
    let mut request = request(libc::F_WRLCK, byte, 0);
    // SAFETY: the descriptor is open (borrowed), and F_OFD_GETLK takes a pointer to a `flock`, which it reads and writes.
    let answer = unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_OFD_GETLK, &raw mut request) };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    let free = libc::c_int::from(request.l_type) == libc::F_UNLCK;
    let end = match request.l_len {
        // To the end of everything.
        0 => i64::MAX,
        len => request.l_start.saturating_add(len),
    };
    Ok((!free).then_some(end))
}

/// A request for `len` bytes from `byte` on; a length of 0 is all of them.
fn request(kind: libc::c_int, byte: i64, len: i64) -> libc::flock {
    // `l_pid` must be 0 for open-file-description locks.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the constants fit in the fields that they are made for"
    )]
    libc::flock { l_type: kind as i16, l_whence: libc::SEEK_SET as i16, l_start: byte, l_len: len, l_pid: 0 }
}
