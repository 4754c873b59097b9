//! The end of the terminal itself: its window was closed, or the connection to it was lost.

use std::fs::File;
use std::io;
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// From now on the program ends with its terminal, in which nothing is left to be put right.
///
/// That is no matter of SIGHUP alone, which only some of a terminal's processes get; and who waits for keys
/// is not told either: `crossterm` reads a terminal that is gone again and again, and does not return.
pub(super) fn end_with_terminal() -> io::Result<()> {
    let terminal = File::open("/dev/tty")?;
    let watch = move || {
        if is_hung_up(&terminal) {
            std::process::exit(0);
        }
    };
    thread::Builder::new().name("tearless-hangup".into()).spawn(watch).map(drop)
}

/// Sleeps until the terminal is gone; `false` if that can't be known.
fn is_hung_up(terminal: &File) -> bool {
    // Of no events at all: a hang-up is told in any case.
    let mut events = [PollFd::new(terminal, PollFlags::empty())];
    loop {
        match poll(&mut events, None) {
            Ok(_) => return events[0].revents().intersects(PollFlags::HUP | PollFlags::ERR),
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}
