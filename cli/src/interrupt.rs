//! Signals that ask the process to end, for commands that have something to clean up first.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::error::{ExitStatus, Failure};

/// Whether a signal has asked this process to end: Ctrl-C, SIGTERM, or the end of its terminal.
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on such a signal sets a flag instead of ending the process, and a thread runs
    /// `then` after the first.
    ///
    /// # Errors
    ///
    /// The system refuses a handler or a thread.
    pub(crate) fn catch(then: impl FnOnce(&mut Caught) + Send + 'static) -> Result<Interrupt, Failure> {
        let mut caught = Caught::catch()?;
        let flag = Arc::new(AtomicBool::new(false));
        let raised = Arc::clone(&flag);
        let watch = move || {
            caught.wait();
            // Relaxed: the flag publishes no other data.
            raised.store(true, Ordering::Relaxed);
            then(&mut caught);
        };
        let thread = thread::Builder::new().name("tearless-signals".into()).spawn(watch);
        thread.map(|_| Interrupt(flag)).map_err(|error| refused(&error))
    }

    pub(crate) fn is_raised(&self) -> bool {
        // Relaxed: the flag publishes no other data.
        self.0.load(Ordering::Relaxed)
    }
}

fn refused(error: &io::Error) -> Failure {
    Failure::new(ExitStatus::Failed, format!("can't wait for signals: {error}"))
}

/// Whether the program that started this one wants the signal ignored, as `nohup` does.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|it| it >> (signal - 1) & 1 == 1)
}

/// Waits for the signals that ask the process to end. They are caught from the moment of
/// construction, unless the process was started to ignore them.
pub(crate) struct Caught(Signals);

impl Caught {
    /// # Errors
    ///
    /// The system refuses a handler.
    pub(crate) fn catch() -> Result<Caught, Failure> {
        let caught = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !is_ignored(*signal));
        Signals::new(caught).map(Caught).map_err(|error| refused(&error))
    }

    /// Returns at the next of these signals; one that arrived since the last wait counts.
    pub(crate) fn wait(&mut self) {
        self.0.forever().next();
    }
}
