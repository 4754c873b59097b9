//! Waiting to be told to end.

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{ExitStatus, Failure};

/// SIGINT, SIGTERM and SIGHUP, caught from the moment that this was made.
pub(super) struct Signals {
    runtime: Runtime,
    caught: [Signal; 3],
}

impl Signals {
    pub(super) fn catch() -> Result<Signals, Failure> {
        let failed =
            |error| Failure::new(ExitStatus::Failed, format!("signals can't be waited for: {error}"));
        let runtime = Builder::new_current_thread().enable_io().build().map_err(failed)?;
        let inside = runtime.enter();
        let [interrupt, terminate, hangup] =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        let caught = [interrupt.map_err(failed)?, terminate.map_err(failed)?, hangup.map_err(failed)?];
        drop(inside);
        Ok(Signals { runtime, caught })
    }

    /// Returns when one of them has come.
    pub(super) fn wait(self) {
        let Signals { runtime, caught: [mut interrupt, mut terminate, mut hangup] } = self;
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
        });
    }
}
