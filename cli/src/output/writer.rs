//! What has become of a writer, in a word.

use anstyle::Style;
use tearless::inspect::WriterState;

use super::style;

/// One word, the same for people and in JSON.
pub(crate) fn state_text(state: WriterState) -> &'static str {
    match state {
        WriterState::Alive => "alive",
        WriterState::Stopped => "stopped",
        WriterState::Dead => "dead",
        WriterState::Closed => "closed",
        _ => "unknown",
    }
}

/// Green for who is at work.
pub(crate) fn state_style(state: WriterState) -> Style {
    match state {
        WriterState::Alive => style::GOOD,
        WriterState::Dead => style::BAD,
        WriterState::Closed => style::DIM,
        _ => style::ODD,
    }
}
