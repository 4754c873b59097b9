//! Tables with a name and a caption, and the texts of figures.

use std::time::Duration;

pub(crate) use testkit::table::{Cell, number, time};

/// One table of figures. The columns' names contain the units.
pub(crate) struct Table {
    /// The name of its file, without the ending.
    pub(crate) name: &'static str,
    /// A sentence above the table.
    pub(crate) caption: String,
    figures: testkit::table::Table,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(name: &'static str, caption: impl Into<String>, columns: &[&'static str]) -> Table {
        Table { name, caption: caption.into(), figures: testkit::table::Table::new(columns) }
    }

    /// Adds a row, which has a cell for each column.
    pub(crate) fn row<const COLUMNS: usize>(&mut self, cells: [Cell; COLUMNS]) {
        self.figures.row(cells);
    }

    /// The table as CSV, with figures in full precision.
    pub(crate) fn csv(&self) -> String {
        self.figures.csv()
    }

    /// The table as Markdown, with figures rounded.
    pub(crate) fn markdown(&self) -> String {
        self.figures.markdown()
    }
}

/// A round time in its best unit: `20 µs`.
pub(crate) fn round_time(nanos: f64) -> String {
    time(nanos).replace(".00 ", " ").replace(".0 ", " ")
}

/// A span that was chosen, and is therefore round.
pub(crate) fn span(span: Duration) -> String {
    round_time(span.as_nanos() as f64)
}
