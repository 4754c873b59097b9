//! Tables: as CSV for programs, as Markdown for people.

use std::time::Duration;

/// One table of figures. The columns' names contain the units.
pub(crate) struct Table {
    /// What its file is called, without the ending.
    pub(crate) name: &'static str,
    /// What it shows, in a sentence above it.
    pub(crate) caption: String,
    columns: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

/// One figure.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    Text(String),
    Count(u64),
    Number(f64),
    /// There is no such figure.
    Nothing,
}

impl Table {
    /// A table without rows yet.
    pub(crate) fn new(name: &'static str, caption: impl Into<String>, columns: &[&'static str]) -> Table {
        Table { name, caption: caption.into(), columns: columns.into(), rows: Vec::new() }
    }

    /// Adds a row, which has a cell for each column.
    pub(crate) fn row<const COLUMNS: usize>(&mut self, cells: [Cell; COLUMNS]) {
        assert_eq!(COLUMNS, self.columns.len(), "a row of another table than {}", self.name);
        self.rows.push(cells.into());
    }

    /// All of it with full precision, for programs.
    pub(crate) fn csv(&self) -> String {
        let mut text = self.columns.join(",") + "\n";
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(Cell::exact).collect();
            text += &(cells.join(",") + "\n");
        }
        text
    }

    /// All of it with as many digits as one cares for, aligned for those who read it as it is.
    pub(crate) fn markdown(&self) -> String {
        let titles: Vec<String> = self.columns.iter().map(|&title| title.to_owned()).collect();
        let rows: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.iter().map(Cell::rounded).collect()).collect();
        let is_text = |column: usize| self.rows.iter().all(|row| matches!(row[column], Cell::Text(_)));
        let width = |column: usize| {
            let cells = rows.iter().chain([&titles]).map(|row| row[column].chars().count());
            cells.fold("---:".len(), usize::max)
        };
        let line = |cells: &[String]| {
            let aligned =
                cells.iter().enumerate().map(|(column, cell)| match (is_text(column), width(column)) {
                    (true, width) => format!("{cell:<width$}"),
                    (false, width) => format!("{cell:>width$}"),
                });
            format!("| {} |\n", aligned.collect::<Vec<_>>().join(" | "))
        };
        let rule = |column: usize| match width(column) {
            width if is_text(column) => "-".repeat(width),
            width => "-".repeat(width - 1) + ":",
        };
        let rules: Vec<String> = (0..self.columns.len()).map(rule).collect();
        [&titles, &rules].into_iter().chain(&rows).map(|cells| line(cells)).collect()
    }
}

impl Cell {
    /// For programs.
    fn exact(&self) -> String {
        match self {
            Cell::Text(text) => text.replace(',', ";"),
            Cell::Count(count) => count.to_string(),
            Cell::Number(number) => number.to_string(),
            Cell::Nothing => String::new(),
        }
    }

    /// For people.
    fn rounded(&self) -> String {
        match self {
            Cell::Text(text) => text.clone(),
            Cell::Count(count) => grouped(*count),
            Cell::Number(value) => number(*value),
            Cell::Nothing => "–".into(),
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Text(text.into())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::Text(text)
    }
}

impl From<u64> for Cell {
    fn from(count: u64) -> Cell {
        Cell::Count(count)
    }
}

impl From<usize> for Cell {
    fn from(count: usize) -> Cell {
        Cell::Count(count as u64)
    }
}

impl From<f64> for Cell {
    fn from(number: f64) -> Cell {
        Cell::Number(number)
    }
}

/// With three digits that mean something, and all those before the point.
pub(crate) fn number(number: f64) -> String {
    match number.abs() {
        0.0 => "0".into(),
        large if large >= 99.95 => {
            format!("{}{}", if number < 0.0 { "-" } else { "" }, grouped(whole(large)))
        }
        large if large >= 9.995 => format!("{number:.1}"),
        large if large >= 0.9995 => format!("{number:.2}"),
        small if small >= 0.001 => format!("{number:.4}"),
        _ => format!("{number:.1e}"),
    }
}

/// A time in its best unit: `1.23 µs`.
pub(crate) fn time(nanos: f64) -> String {
    match nanos {
        short if short < 1e3 => format!("{} ns", number(short)),
        short if short < 1e6 => format!("{} µs", number(short / 1e3)),
        long if long < 1e9 => format!("{} ms", number(long / 1e6)),
        long => format!("{} s", number(long / 1e9)),
    }
}

/// The same for a round time: `20 µs`.
pub(crate) fn round_time(nanos: f64) -> String {
    time(nanos).replace(".00 ", " ").replace(".0 ", " ")
}

/// A span that was chosen, and therefore is round.
pub(crate) fn span(span: Duration) -> String {
    round_time(span.as_nanos() as f64)
}

/// The nearest whole number; these are far below the largest.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive, and cut off at the largest"
)]
fn whole(number: f64) -> u64 {
    number.round() as u64
}

/// 1234567 as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
