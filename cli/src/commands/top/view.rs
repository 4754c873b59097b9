//! The inputs of drawing: the user's choices, and the data to show.

use std::time::Duration;

use ratatui::layout::Rect;
use tearless::usage::MemoryUsage;

use super::column::Column;
use super::data::{Detail, Row};
use super::list::{List, Sort};
use super::palette::Palette;

/// Everything that keys and mouse change.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) sort: Sort,
    /// Words that the rows in the table must match.
    pub(super) filter: String,
    pub(super) mode: Mode,
    /// Whether the arrow keys move in the pane instead of the table.
    pub(super) is_pane_focused: bool,
    /// Whether the selected worker's fields are hidden.
    pub(super) is_pane_hidden: bool,
    /// Whether no new frames are taken.
    pub(super) is_frozen: bool,
    pub(super) list: List,
    /// The first visible line of the pane.
    pub(super) pane_top: usize,
    pub(super) places: Places,
}

/// The meaning of keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    /// They are commands.
    #[default]
    Commands,
    /// They are typed into the filter.
    Typing,
    /// The help is shown; any key closes it.
    Help,
}

/// Where the last frame has its parts, for the mouse and for paging keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    /// The table's rows, without its head.
    pub(super) rows: Rect,
    /// The head's cells.
    pub(super) heads: Vec<(Column, Rect)>,
    /// The lines of the pane.
    pub(super) pane: Rect,
    /// The number of the pane's lines, visible or not.
    pub(super) pane_lines: usize,
}

/// Everything that a frame shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene<'a> {
    pub(super) namespace: &'a str,
    pub(super) rows: &'a [Row],
    pub(super) detail: &'a Detail,
    /// The memory of the namespace's objects, once it is measured.
    pub(super) memory: Option<MemoryUsage>,
    /// Why the channels can't be listed.
    pub(super) trouble: Option<&'a str>,
    /// The message that the namespace does not exist.
    pub(super) missing: Option<&'a str>,
    pub(super) interval: Duration,
    /// The time since the program began.
    pub(super) at: Duration,
    pub(super) palette: Palette,
}

impl View {
    /// Filters and sorts the rows again.
    pub(super) fn arrange(&mut self, rows: &[Row]) {
        self.list.arrange(rows, &self.filter, self.sort);
    }

    /// Sorts by `column`; reverses the direction if the rows are already sorted by it.
    pub(super) fn sort_by(&mut self, column: Column, rows: &[Row]) {
        self.sort = if self.sort.column == column { self.sort.reversed() } else { Sort::by(column) };
        self.arrange(rows);
    }

    /// Scrolls the pane, or selects another row.
    pub(super) fn step(&mut self, is_in_pane: bool, steps: isize, rows: &[Row]) {
        if is_in_pane { self.scroll_pane(steps) } else { self.list.step(steps, rows) }
    }

    /// Scrolls the pane, as far as it has lines.
    pub(super) fn scroll_pane(&mut self, lines: isize) {
        let max = self.places.pane_lines.saturating_sub(usize::from(self.places.pane.height));
        self.pane_top = self.pane_top.saturating_add_signed(lines).min(max);
    }
}
