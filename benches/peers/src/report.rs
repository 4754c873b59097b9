//! All figures of a run by name, and tables for people.

use std::collections::BTreeMap;

use testkit::table::{Cell, grouped};

/// The figures by name, such as `uncontended/64 B/iceoryx2/read ns`.
#[derive(Default)]
pub(crate) struct Report {
    figures: BTreeMap<String, f64>,
}

impl Report {
    /// Adds a figure.
    pub(crate) fn add(&mut self, id: String, value: f64) {
        self.figures.insert(id, value);
    }

    /// A figure, if it was measured.
    pub(crate) fn get(&self, id: &str) -> Option<f64> {
        self.figures.get(id).copied()
    }

    /// Whether nothing was measured.
    pub(crate) fn is_empty(&self) -> bool {
        self.figures.is_empty()
    }

    /// All figures.
    pub(crate) fn figures(&self) -> &BTreeMap<String, f64> {
        &self.figures
    }
}

/// A table in Markdown. The first column is text, the others are figures.
pub(crate) struct Table {
    columns: usize,
    table: testkit::table::Table,
}

impl Table {
    /// A table with these columns and without rows.
    pub(crate) fn new(columns: &[&str]) -> Table {
        Table { columns: columns.len(), table: testkit::table::Table::new(columns) }
    }

    /// Adds a row. Figures that are missing at its end do not exist.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        let mut texts = cells.into_iter();
        let first = texts.next().map(Cell::Text);
        let cells = first.into_iter().chain(texts.map(Cell::Figure));
        self.table.row(cells.chain(std::iter::repeat(Cell::Nothing)).take(self.columns));
    }

    /// Prints the table, with an empty line after it.
    pub(crate) fn print(&self) {
        println!("{}", self.table.markdown());
    }
}

/// A figure with its significant digits: `1.87`, `28.9`, `46,012`.
pub(crate) fn figure(value: f64) -> String {
    match value.abs() {
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => with_commas(value),
    }
}

fn with_commas(value: f64) -> String {
    let sign = if value < 0.0 { "-" } else { "" };
    // Figures are far below the largest number.
    format!("{sign}{}", grouped(value.abs().round() as u64))
}

/// The value in the middle; 0 without values.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    if values.is_empty() { 0.0 } else { testkit::stats::median(&mut values) }
}
