//! Signals that ask a process to end, for those who have something to clean up.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Whether this process was asked to end: by Ctrl-C, SIGTERM, or the end of its terminal.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on such a signal is noticed instead of ending the process.
    ///
    /// # Errors
    ///
    /// If the system refuses a handler or a thread.
    pub(crate) fn catch() -> io::Result<Interrupt> {
        let flag = Arc::new(AtomicBool::new(false));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let ends = {
            let _guard = runtime.enter();
            Ends::register()?
        };
        let raised = Arc::clone(&flag);
        thread::Builder::new().name("tearless-signals".into()).spawn(move || {
            runtime.block_on(ends.wait());
            // Relaxed: nothing else is handed over.
            raised.store(true, Ordering::Relaxed);
        })?;
        Ok(Interrupt(flag))
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The signals that ask a process to end.
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
    pub(crate) async fn wait(mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
