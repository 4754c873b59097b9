//! What all threads of the test share.

use std::sync::atomic::{AtomicBool, Ordering};

use tearless::{Bytes, Namespace, hub::Hub};

use super::ledger::{Ledger, Tally};

pub(crate) struct Stage {
    pub(crate) namespace: Namespace,
    pub(crate) hub: Hub<Bytes>,
    pub(crate) ledger: Ledger,
    pub(crate) tally: Tally,
    pub(crate) seed: u64,
    pub(crate) is_over: AtomicBool,
}

/// Ends the play when its thread panics. Otherwise the other threads would never end.
pub(crate) struct EndOnPanic<'a>(pub(crate) &'a Stage);

impl Drop for EndOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.is_over.store(true, Ordering::Relaxed);
        }
    }
}
