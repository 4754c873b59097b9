//! All figures of a run, by name; and tables for people.

use std::collections::BTreeMap;

/// What was measured: `uncontended/64 B/iceoryx2/read ns` and the like.
#[derive(Default)]
pub(crate) struct Report {
    figures: BTreeMap<String, f64>,
}

impl Report {
    /// Keeps a figure.
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

    /// All of them.
    pub(crate) fn figures(&self) -> &BTreeMap<String, f64> {
        &self.figures
    }
}

/// A table in Markdown whose columns also line up as they are.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// With these headings. The first column is text, the others are figures.
    pub(crate) fn new(headings: &[&str]) -> Table {
        Table { rows: vec![headings.iter().map(|heading| (*heading).into()).collect()] }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Prints it, with an empty line after it.
    pub(crate) fn print(&self) {
        let widths: Vec<usize> = (0..self.rows[0].len()).map(|column| self.width(column)).collect();
        for (number, row) in self.rows.iter().enumerate() {
            println!("| {} |", joined(row, &widths));
            if number == 0 {
                println!("|{}|", rule(&widths));
            }
        }
        println!();
    }

    fn width(&self, column: usize) -> usize {
        self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    }
}

fn joined(row: &[String], widths: &[usize]) -> String {
    let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column {
        0 => format!("{cell:<width$}"),
        _ => format!("{cell:>width$}"),
    });
    cells.collect::<Vec<_>>().join(" | ")
}

fn rule(widths: &[usize]) -> String {
    let dashes = widths.iter().enumerate().map(|(column, width)| match column {
        0 => "-".repeat(width + 2),
        _ => format!("{}:", "-".repeat(width + 1)),
    });
    dashes.collect::<Vec<_>>().join("|")
}

/// A figure with as many digits as mean anything: `1.87`, `28.9`, `46,012`.
pub(crate) fn figure(value: f64) -> String {
    match value.abs() {
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => with_commas(value),
    }
}

fn with_commas(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 { format!("-{text}") } else { text }
}

/// The middle one; of an even number, the upper one of the two in the middle. 0 of none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
