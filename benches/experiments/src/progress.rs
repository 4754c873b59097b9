//! The progress of a run, on a terminal only.

use std::io::{IsTerminal, Write, stderr};

/// One line on the terminal that is rewritten again and again.
pub(crate) struct Progress {
    is_shown: bool,
}

impl Progress {
    /// Whether the output is a terminal. Nothing is shown elsewhere.
    pub(crate) fn new() -> Progress {
        Progress { is_shown: stderr().is_terminal() }
    }

    /// Shows the next measurement.
    pub(crate) fn say(&self, what: &str) {
        if self.is_shown {
            eprint!("\r\x1b[K{what} …");
            let _ = stderr().flush();
        }
    }

    /// Removes the line.
    pub(crate) fn end(&self) {
        if self.is_shown {
            eprint!("\r\x1b[K");
        }
    }
}
