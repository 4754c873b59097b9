//! What is shown of one worker.

use std::time::Duration;

use tearless::Health;

use super::rate::Rates;
use crate::health;

/// One worker as it was when it was looked at last: plain data.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    /// The channel's name, as it is attached by.
    pub(super) name: String,
    /// The same, fit to be shown.
    pub(super) label: String,
    /// How the worker is; `None` if the channel cannot be read.
    pub(super) health: Option<Health>,
    /// Of the writer, or the last one; `None` before the channel could be attached.
    pub(super) pid: Option<u64>,
    pub(super) rates: Rates,
    /// Of the last state; `None` before the first, and of one that is not dated.
    pub(super) age: Option<Duration>,
    /// Length of the last state.
    pub(super) bytes: Option<u64>,
    /// Attempts of this program that had to be made anew because the writer was faster.
    pub(super) retries: u64,
    /// Segments that were replaced by larger or smaller ones.
    pub(super) growths: u64,
    /// Why nothing can be read.
    pub(super) trouble: Option<String>,
}

impl Row {
    /// The word for how the worker is.
    pub(super) fn word(&self) -> &'static str {
        health::word(self.health)
    }
}
