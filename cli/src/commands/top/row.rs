//! What is shown of one worker.

use std::time::Duration;

use super::rate::Rates;

/// One worker as it was when it was looked at last: plain data.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    /// The channel's name, as it is attached by.
    pub(super) name: String,
    /// The same, fit to be shown.
    pub(super) label: String,
    pub(super) state: State,
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

/// How a worker is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    /// It died without closing the channel.
    Dead,
    /// The channel can't be read.
    Unreadable,
    /// It is stopped, by a signal or a debugger.
    Stopped,
    /// It lives, but breaks its promise to give a sign of life.
    Stalled,
    /// It can't be told from here.
    #[default]
    Unknown,
    /// It closed the channel.
    Closed,
    Alive,
}

impl State {
    /// From the one that needs attention most to the one that needs none.
    pub(super) const ALL: [State; 7] = [
        State::Dead,
        State::Unreadable,
        State::Stopped,
        State::Stalled,
        State::Unknown,
        State::Closed,
        State::Alive,
    ];

    pub(super) fn label(self) -> &'static str {
        match self {
            State::Dead => "dead",
            State::Unreadable => "unreadable",
            State::Stopped => "stopped",
            State::Stalled => "stalled",
            State::Unknown => "unknown",
            State::Closed => "closed",
            State::Alive => "alive",
        }
    }
}
