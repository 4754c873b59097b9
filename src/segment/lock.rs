//! The lock that the kernel holds for a process and releases when the process dies, however it dies.
//!
//! An open-file-description lock on the first byte of the object (`F_OFD_SETLK`, Linux 3.15). Unlike a traditional
//! POSIX lock it is not lost when the process opens and closes the same object elsewhere. A forked child shares it;
//! the identity in the control page tells that case apart.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Tries to lock; `false` if somebody else has it.
pub(super) fn try_lock(descriptor: BorrowedFd<'_>) -> io::Result<bool> {
    let mut request = first_byte(libc::F_WRLCK);
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

fn first_byte(kind: libc::c_int) -> libc::flock {
    // `l_pid` must be 0 for open-file-description locks.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the constants fit in the fields that they are made for"
    )]
    libc::flock { l_type: kind as i16, l_whence: libc::SEEK_SET as i16, l_start: 0, l_len: 1, l_pid: 0 }
}
