//! Signals that end the program, which is to put the terminal right first.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::screen;

/// Whether one has come.
#[derive(Clone, Debug)]
pub(super) struct Signals {
    pending: Arc<AtomicBool>,
}

impl Signals {
    /// From now on SIGTERM, SIGHUP and SIGINT no longer end the program at once. A second one does.
    pub(super) fn catch() -> io::Result<Signals> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let caught = {
            let _entered = runtime.enter();
            [
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
                signal(SignalKind::interrupt())?,
            ]
        };
        let signals = Signals { pending: Arc::new(AtomicBool::new(false)) };
        let pending = Arc::clone(&signals.pending);
        let watch = move || watch(&runtime, caught, &pending);
        thread::Builder::new().name("tearless-signals".into()).spawn(watch)?;
        Ok(signals)
    }

    /// Whether the program is to end.
    pub(super) fn pending(&self) -> bool {
        // Relaxed: it carries nothing but itself.
        self.pending.load(Ordering::Relaxed)
    }
}

fn watch(runtime: &Runtime, caught: [Signal; 3], pending: &AtomicBool) {
    let [mut terminate, mut hangup, mut interrupt] = caught;
    runtime.block_on(async {
        for round in 0.. {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
                _ = interrupt.recv() => {}
            }
            // Relaxed: it carries nothing but itself.
            pending.store(true, Ordering::Relaxed);
            if round > 0 {
                // The program hangs, perhaps because nobody reads what it prints.
                screen::restore();
                std::process::exit(1);
            }
        }
    });
}
