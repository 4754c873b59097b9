//! Threads of other processes: pauses while one of them takes a step, sleeping until one of them
//! stores to a word, waking them, and running a barrier in them.
//!
//! Sleeping uses Linux's futex, shared between processes. The kernel compares the word and sleeps
//! in one step. It only reads the word, so a read-only mapping is enough.
//!
//! Barriers use Linux's `membarrier` in its global expedited form (4.16). When any process issues a
//! barrier, every registered process runs a full barrier in each of its running threads. The
//! process that rarely needs the order of another process's store and load pays a system call; the
//! process that stores and loads all the time pays nothing.

use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::thread;
use std::time::Duration;

use crossbeam_utils::Backoff as Spins;
use rustix::io::Errno;
use rustix::thread::futex::{self, Flags, Timespec};
use rustix::thread::{MembarrierCommand, membarrier};

use crate::memory::SharedWords;

/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_millis(1);

/// First spins, then sleeps of up to a millisecond.
pub(crate) struct Backoff {
    spins: Spins,
    pause: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Backoff {
        Backoff { spins: Spins::new(), pause: Duration::from_micros(10) }
    }

    pub(crate) fn wait(&mut self) {
        if !self.spins.is_completed() {
            return self.spins.snooze();
        }
        thread::sleep(self.pause);
        self.pause = (self.pause * 2).min(MAX_PAUSE);
    }
}

/// Outcome of a futex wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slept {
    /// The word had changed, the time-out passed, or a process woke this thread: look again.
    LookAgain,
    /// The system does not allow sleeping on this word.
    Refused,
}

/// Sleeps if the low half of `word` is still that of `seen`, until a process wakes this thread or
/// `timeout` has passed.
pub(crate) fn sleep<const W: bool>(
    words: &SharedWords<W>,
    word: usize,
    seen: u64,
    timeout: Duration,
) -> Slept {
    // A time-out beyond the kernel's numbers is none.
    let timeout = Timespec::try_from(timeout).ok();
    // The kernel compares 32 bits. If exactly 2^32 publications pass between the caller's load and
    // this comparison, the time-out ends the sleep.
    #[expect(clippy::cast_possible_truncation, reason = "the low half is what is compared")]
    let low = seen as u32;
    match futex::wait(low_half(&words.words()[word]), Flags::empty(), low, timeout.as_ref()) {
        Ok(()) | Err(Errno::AGAIN | Errno::INTR | Errno::TIMEDOUT) => Slept::LookAgain,
        Err(_) => Slept::Refused,
    }
}

/// Wakes all threads that sleep on `word`, in any process.
pub(crate) fn wake<const W: bool>(words: &SharedWords<W>, word: usize) {
    const ALL: u32 = i32::MAX.cast_unsigned();
    let _ = futex::wake(low_half(&words.words()[word]), Flags::empty(), ALL);
}

/// The low half of a word, first in little-endian order, for the kernel alone: this process
/// accesses words as a whole.
fn low_half(word: &AtomicU64) -> &AtomicU32 {
    // SAFETY: the half is aligned as the word is, and readable as long as the word is borrowed. A
    // reference to an atomic allows changes by others. It is passed to futex calls only, which
    // only read. `AtomicU32::from_ptr` requires writable memory: the word may be mapped read-only.
    unsafe { &*ptr::from_ref(word).cast::<AtomicU32>() }
}

/// Registers this process: barriers of other processes run in it from now on. `false` if the system
/// has none.
pub(crate) fn register_for_barriers() -> bool {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    *REGISTERED.get_or_init(|| membarrier(MembarrierCommand::RegisterGlobalExpedited).is_ok())
}

/// Runs a full barrier in this thread, and in every registered process. `false` if the system has
/// none.
pub(crate) fn issue_barrier() -> bool {
    membarrier(MembarrierCommand::GlobalExpedited).is_ok()
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::memory::{MemoryMut, Words};

    const FOREVER: Duration = Duration::from_secs(60);

    #[test]
    fn a_thread_that_has_seen_another_number_does_not_sleep() {
        let words = Words::zeroed(2);
        words.store(1, 7);
        assert_eq!(sleep(&words, 1, 6, FOREVER), Slept::LookAgain);
        assert_eq!(sleep(&words, 1, 7, Duration::from_millis(1)), Slept::LookAgain, "but not for ever");
    }

    #[test]
    fn a_sleeping_thread_is_woken() {
        let words = Words::zeroed(1);
        let sleeper = thread::spawn({
            let words = words.clone();
            move || {
                while words.words()[0].load(std::sync::atomic::Ordering::Relaxed) == 0 {
                    assert_eq!(sleep(&words, 0, 0, FOREVER), Slept::LookAgain);
                }
            }
        });
        words.store(0, 1);
        while !sleeper.is_finished() {
            wake(&words, 0);
        }
        sleeper.join().unwrap();
    }
}
