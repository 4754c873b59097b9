//! Pauses that grow while a process waits for another one's step.

use std::thread;
use std::time::Duration;

use crossbeam_utils::Backoff as Spins;

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
