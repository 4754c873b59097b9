//! The styles of the screen, with colours and without.

use ratatui::style::{Color, Modifier, Style};
use tearless::hub::Health;

use crate::health;

/// The styles. Without colours, bold and reversed text makes the same distinctions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Palette {
    pub(super) normal: Style,
    /// Less important text.
    pub(super) dim: Style,
    /// More important text.
    pub(super) strong: Style,
    /// Names of the program and of keys.
    pub(super) accent: Style,
    /// The head of the table, and the title of the pane.
    pub(super) head: Style,
    /// The row that is selected.
    pub(super) selected: Style,
    /// A value that has just changed.
    pub(super) fresh: Style,
    /// Something wrong.
    pub(super) trouble: Style,
    /// The mark of a frozen screen.
    pub(super) frozen: Style,
    /// A writer that is well, and bars.
    pub(super) good: Style,
    /// A writer that is stopped.
    stopped: Style,
    /// A writer whose health is unusual in another way.
    odd: Style,
}

impl Palette {
    pub(super) fn new(has_colours: bool) -> Palette {
        let normal = Style::new();
        let strong = normal.add_modifier(Modifier::BOLD);
        let coloured = |style: Style, color| if has_colours { style.fg(color) } else { style };
        let accent = coloured(strong, Color::Cyan);
        Palette {
            normal,
            dim: coloured(normal, Color::DarkGray),
            strong,
            accent,
            head: accent.add_modifier(Modifier::UNDERLINED),
            selected: normal.add_modifier(Modifier::REVERSED),
            fresh: coloured(strong, Color::Yellow),
            trouble: coloured(strong, Color::Red),
            frozen: coloured(strong, Color::Blue).add_modifier(Modifier::REVERSED),
            good: coloured(normal, Color::Green),
            stopped: coloured(normal, Color::Magenta),
            odd: coloured(normal, Color::Yellow),
        }
    }

    /// Of the word for a worker's health.
    pub(super) fn health(self, health: Option<Health>) -> Style {
        match health {
            None | Some(Health::Dead { .. }) => self.trouble,
            Some(Health::Closed | Health::Exited { .. }) => self.dim,
            Some(Health::Stalled { is_stopped: true, .. }) => self.stopped,
            health if health::is_up(health) => self.good,
            _ => self.odd,
        }
    }
}
