//! The colours, and the words and colours of writers. Colours reach only terminals, through
//! `anstream`.

use anstyle::{AnsiColor, Style};
use tearless::inspect::WriterState;

/// Names of columns, and important text.
pub(crate) const STRONG: Style = Style::new().bold();
/// Less important text.
pub(crate) const DIM: Style = Style::new().dimmed();
/// Good.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// Unusual.
pub(crate) const ODD: Style = AnsiColor::Yellow.on_default();
/// Wrong.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Without a style.
pub(crate) const PLAIN: Style = Style::new();

/// A writer's state in one word, the same for people and in JSON.
pub(crate) fn state_text(state: WriterState) -> &'static str {
    match state {
        WriterState::Alive => "alive",
        WriterState::Stopped => "stopped",
        WriterState::Dead => "dead",
        WriterState::Exited => "exited",
        WriterState::Closed => "closed",
        _ => "unknown",
    }
}

/// The colour of that word.
pub(crate) fn state_style(state: WriterState) -> Style {
    match state {
        WriterState::Alive => GOOD,
        WriterState::Dead => BAD,
        WriterState::Closed | WriterState::Exited => DIM,
        _ => ODD,
    }
}
