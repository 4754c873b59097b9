//! Standard error, and a standard output without a reader.

use std::fmt::Arguments;
use std::io::{self, Write};
use std::os::fd::AsFd;
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
    is_hung_up(io::stdout(), Some(longest))
}

/// Waits for `longest`, or until the other end of `stream` is gone; returns whether it is.
pub(crate) fn is_hung_up(stream: impl AsFd, longest: Option<Duration>) -> bool {
    let begin = Instant::now();
    // `poll` reports a closed other end even if no events are requested.
    let mut events = [PollFd::new(&stream, PollFlags::empty())];
    loop {
        let left = longest.map(|longest| longest.saturating_sub(begin.elapsed()));
        // A time that is too long for the system becomes endless.
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut events, timeout.as_ref()) {
            Ok(_) => return events[0].revents().intersects(PollFlags::ERR | PollFlags::HUP),
            Err(Errno::INTR) => {}
            Err(_) => {
                // The state of the stream is unknown; the wait still takes its time.
                thread::sleep(left.unwrap_or(Duration::MAX));
                return false;
            }
        }
    }
}
