//! What the user has chosen to see, and where it was drawn.

use ratatui::layout::{Position, Rect};

use super::column::Column;
use super::list::{List, Sort};
use super::row::Row;

/// All that keys and mouse change.
#[derive(Debug)]
pub(super) struct View {
    pub(super) sort: Sort,
    /// Words that the rows in the table must match.
    pub(super) filter: String,
    pub(super) mode: Mode,
    pub(super) focus: Focus,
    pub(super) pane: Pane,
    pub(super) flow: Flow,
    pub(super) list: List,
    /// The first of the pane's lines that is in sight.
    pub(super) pane_top: usize,
    pub(super) places: Places,
}

/// What keys mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// They command.
    Commands,
    /// They are typed into the filter.
    Typing,
    /// The help is shown; any key ends it.
    Help,
}

/// What the arrow keys move in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Focus {
    Table,
    Pane,
}

/// Whether the selected worker's fields are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pane {
    Shown,
    Hidden,
}

/// Whether the picture goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Live,
    Frozen,
}

/// Where things were drawn last, for the mouse and for keys that go by pages.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    /// The table's rows, without its head.
    pub(super) rows: Rect,
    /// The head's cells.
    pub(super) heads: Vec<(Column, Rect)>,
    /// The lines of the pane.
    pub(super) pane: Rect,
    /// How many lines the pane has, in sight or not.
    pub(super) pane_lines: usize,
}

impl View {
    pub(super) fn new(sort: Sort, filter: &str) -> View {
        View {
            sort,
            filter: filter.into(),
            mode: Mode::Commands,
            focus: Focus::Table,
            pane: Pane::Shown,
            flow: Flow::Live,
            list: List::default(),
            pane_top: 0,
            places: Places::default(),
        }
    }

    /// Filters and sorts anew.
    pub(super) fn arrange(&mut self, rows: &[Row]) {
        self.list.arrange(rows, &self.filter, self.sort);
    }

    /// Sorts by `column`; if it is sorted by it already, in the reverse direction.
    pub(super) fn sort_by(&mut self, column: Column, rows: &[Row]) {
        self.sort = if self.sort.column == column { self.sort.reversed() } else { Sort::by(column) };
        self.arrange(rows);
    }

    pub(super) fn is_live(&self) -> bool {
        self.flow == Flow::Live
    }

    /// Scrolls the pane.
    pub(super) fn scroll_pane(&mut self, lines: isize) {
        let max = self.places.pane_lines.saturating_sub(usize::from(self.places.pane.height));
        self.pane_top = self.pane_top.saturating_add_signed(lines).min(max);
    }
}

impl Places {
    /// The column whose head is at this place.
    pub(super) fn head_at(&self, place: Position) -> Option<Column> {
        self.heads.iter().find(|(_, area)| area.contains(place)).map(|(column, _)| *column)
    }
}
