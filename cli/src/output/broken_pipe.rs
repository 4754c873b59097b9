//! Whether anybody is still there for what is printed.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// Waits for that long, but not on when nobody can read standard output any more; whether that is so.
///
/// Who prints notices it by himself. This is for who has nothing to print for now.
pub(crate) fn is_unread_within(timeout: Duration) -> bool {
    let (begin, stdout) = (Instant::now(), io::stdout());
    // Of no events at all: that the other end is gone is told in any case.
    let mut events = [PollFd::new(&stdout, PollFlags::empty())];
    loop {
        let left = timeout.saturating_sub(begin.elapsed());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(&mut events, Some(&timeout)) {
            Ok(_) => return events[0].revents().intersects(PollFlags::ERR | PollFlags::HUP),
            Err(Errno::INTR) => {}
            // Then it is not known.
            Err(_) => {
                thread::sleep(left);
                return false;
            }
        }
    }
}
