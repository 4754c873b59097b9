//! What things look like, with colours and without.

use ratatui::style::{Color, Modifier, Style};

use super::row::State;

/// Whether colours are used. Without them bold, dim and reversed text says the same.
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

    /// What matters less.
    pub(super) fn dim(self) -> Style {
        self.coloured(Style::new(), Color::DarkGray)
    }

    /// What matters more.
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

    /// What is wrong.
    pub(super) fn trouble(self) -> Style {
        self.coloured(self.strong(), Color::Red)
    }

    /// That the picture stands still.
    pub(super) fn frozen(self) -> Style {
        self.coloured(self.strong(), Color::Blue).add_modifier(Modifier::REVERSED)
    }

    pub(super) fn bars(self) -> Style {
        self.coloured(Style::new(), Color::Green)
    }

    pub(super) fn state(self, state: State) -> Style {
        let style = Style::new();
        match state {
            State::Alive => self.coloured(style, Color::Green),
            State::Stalled | State::Unknown => self.coloured(style, Color::Yellow),
            State::Stopped => self.coloured(style, Color::Magenta),
            State::Dead | State::Unreadable => self.trouble(),
            State::Closed => self.dim(),
        }
    }
}
