//! The styles of the screen, with colours and without.

use ratatui::style::{Color, Modifier, Style};
use tearless::hub::Health;

use crate::health;

/// Whether colours are used. Without them, bold and reversed text makes the same distinctions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Palette {
    Coloured,
    Plain,
}

impl Palette {
    fn coloured(self, style: Style, color: Color) -> Style {
        if self == Palette::Coloured { style.fg(color) } else { style }
    }

    pub(super) fn normal(self) -> Style {
        Style::new()
    }

    /// Less important text.
    pub(super) fn dim(self) -> Style {
        self.coloured(Style::new(), Color::DarkGray)
    }

    /// More important text.
    pub(super) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// Names of the program and of keys.
    pub(super) fn accent(self) -> Style {
        self.coloured(self.strong(), Color::Cyan)
    }

    /// The head of the table, and the title of the pane.
    pub(super) fn head(self) -> Style {
        self.accent().add_modifier(Modifier::UNDERLINED)
    }

    /// The row that is selected.
    pub(super) fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// A value that has just changed.
    pub(super) fn fresh(self) -> Style {
        self.coloured(self.strong(), Color::Yellow)
    }

    /// Something wrong.
    pub(super) fn trouble(self) -> Style {
        self.coloured(self.strong(), Color::Red)
    }

    /// The mark of a frozen screen.
    pub(super) fn frozen(self) -> Style {
        self.coloured(self.strong(), Color::Blue).add_modifier(Modifier::REVERSED)
    }

    pub(super) fn bars(self) -> Style {
        self.coloured(Style::new(), Color::Green)
    }

    /// Of the word for a worker's health.
    pub(super) fn health(self, health: Option<Health>) -> Style {
        let style = Style::new();
        match health {
            None | Some(Health::Dead { .. }) => self.trouble(),
            Some(Health::Closed | Health::Exited { .. }) => self.dim(),
            Some(Health::Stalled { is_stopped: true, .. }) => self.coloured(style, Color::Magenta),
            health if health::is_up(health) => self.coloured(style, Color::Green),
            _ => self.coloured(style, Color::Yellow),
        }
    }
}
