//! When all is asked for again, because something could not be applied: the source does not know
//! that.

use std::time::Duration;

/// How soon: at first, and at last.
const FIRST: Duration = Duration::from_secs(5);
const LAST: Duration = Duration::from_secs(300);

/// When, and how long to wait for the next time.
pub(super) struct Refresh {
    pub(super) at: Option<Duration>,
    after: Duration,
}

impl Refresh {
    pub(super) fn new() -> Refresh {
        Refresh { at: None, after: FIRST }
    }

    /// Something could not be applied.
    pub(super) fn later(&mut self, now: Duration) {
        if self.at.is_none() {
            self.at = Some(now + self.after);
            self.after = (self.after * 2).min(LAST);
        }
    }

    /// All was applied, unless something could not be since.
    pub(super) fn settle(&mut self) {
        if self.at.is_none() {
            self.after = FIRST;
        }
    }

    /// Whether it is now.
    pub(super) fn take(&mut self, now: Duration) -> bool {
        self.at.take_if(|at| *at <= now).is_some()
    }
}
