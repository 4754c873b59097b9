//! Signals that ask a process to end, for those who have something to clean up.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{ExitStatus, Failure};

/// Whether this process was asked to end: by Ctrl-C, SIGTERM, or the end of its terminal.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on such a signal is noticed instead of ending the process.
    ///
    /// # Errors
    ///
    /// If the system refuses a handler or a thread.
    pub(crate) fn catch() -> Result<Interrupt, Failure> {
        Interrupt::catch_and_then(|_| {})
    }

    /// The same, and at a second signal the process ends after all, once `last` is done: it hangs, perhaps
    /// because nobody reads what it prints.
    ///
    /// # Errors
    ///
    /// As [`Interrupt::catch`].
    pub(crate) fn catch_once(last: impl FnOnce() + Send + 'static) -> Result<Interrupt, Failure> {
        Interrupt::catch_and_then(|caught| {
            caught.wait();
            last();
            std::process::exit(ExitStatus::Failed as i32);
        })
    }

    fn catch_and_then(then: impl FnOnce(&mut Caught) + Send + 'static) -> Result<Interrupt, Failure> {
        let mut caught = Caught::catch()?;
        let flag = Arc::new(AtomicBool::new(false));
        let raised = Arc::clone(&flag);
        let watch = move || {
            caught.wait();
            // Relaxed: nothing else is handed over.
            raised.store(true, Ordering::Relaxed);
            then(&mut caught);
        };
        thread::Builder::new()
            .name("tearless-signals".into())
            .spawn(watch)
            .map_err(|error| refused(&error))?;
        Ok(Interrupt(flag))
    }

    pub(crate) fn is_raised(&self) -> bool {
        // Relaxed: it carries nothing but itself.
        self.0.load(Ordering::Relaxed)
    }
}

fn refused(error: &io::Error) -> Failure {
    Failure::new(ExitStatus::Failed, format!("signals can't be waited for: {error}"))
}

/// The signals that ask a process to end, caught from the moment that this was made.
#[derive(Debug)]
pub(crate) struct Caught {
    runtime: Runtime,
    ends: Ends,
}

impl Caught {
    /// # Errors
    ///
    /// If the system refuses a handler.
    pub(crate) fn catch() -> Result<Caught, Failure> {
        let runtime = Builder::new_current_thread().enable_io().build().map_err(|error| refused(&error))?;
        let inside = runtime.enter();
        let ends = Ends::register().map_err(|error| refused(&error))?;
        drop(inside);
        Ok(Caught { runtime, ends })
    }

    /// Returns when one of them has come that was not waited for before.
    pub(crate) fn wait(&mut self) {
        self.runtime.block_on(self.ends.next());
    }
}

/// The same inside of a runtime.
#[derive(Debug)]
pub(crate) struct Ends {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Ends {
    /// Inside of a runtime.
    ///
    /// # Errors
    ///
    /// If the system refuses a handler.
    pub(crate) fn register() -> io::Result<Ends> {
        Ok(Ends {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Until one of them comes.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
