//! One worker, as a row of the table.

use std::time::Duration;

use tearless::hub::Health;

use super::rate::Rates;
use crate::health;

/// One worker when it was last sampled, as plain data.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    /// The channel's name.
    pub(super) name: String,
    /// The channel's name, escaped.
    pub(super) label: String,
    /// The health of the worker; `None` if the channel can't be read.
    pub(super) health: Option<Health>,
    /// The process of the current or last writer; `None` before the first attach.
    pub(super) pid: Option<u64>,
    pub(super) rates: Rates,
    /// Age of the last state; `None` before the first, and without a timestamp.
    pub(super) age: Option<Duration>,
    /// Length of the last state.
    pub(super) bytes: Option<u64>,
    /// Reads of this program that were repeated because the writer was faster.
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
