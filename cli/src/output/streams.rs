//! Standard error, and a standard output without a reader.

use std::fmt::Arguments;
use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// Prints a line on standard error. Unlike `eprintln!`, it does not panic if that stream is closed.
pub(crate) fn stderr(line: Arguments<'_>) {
    let _ = writeln!(anstream::stderr().lock(), "{line}");
}

/// Waits for `longest`, or until standard output loses its last reader; returns whether it has.
///
/// A command that prints notices a broken pipe by itself. This is for a command that has nothing to
/// print at the moment.
pub(crate) fn is_pipe_broken_within(longest: Duration) -> bool {
    let (begin, stdout) = (Instant::now(), io::stdout());
    // `poll` reports a closed other end even if no events are requested.
    let mut events = [PollFd::new(&stdout, PollFlags::empty())];
    loop {
        let left = longest.saturating_sub(begin.elapsed());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(&mut events, Some(&timeout)) {
            Ok(_) => return events[0].revents().intersects(PollFlags::ERR | PollFlags::HUP),
            Err(Errno::INTR) => {}
            // The state of the stream is unknown; the wait still takes its time.
            Err(_) => {
                thread::sleep(left);
                return false;
            }
        }
    }
}
