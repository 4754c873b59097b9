//! Tables of figures, as plain text, as Markdown and as CSV; and figures as text.

use std::fmt;

/// Rows of cells, in columns as wide as their widest cell.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

/// One cell of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Words, aligned to the left.
    Text(String),
    /// A number of things, aligned to the right.
    Count(u64),
    /// A measured value, aligned to the right.
    Number(f64),
    /// A figure with its unit, aligned to the right.
    Figure(String),
    /// A figure that does not exist.
    Nothing,
}

impl Table {
    /// A table with these columns and without rows.
    pub fn new(columns: &[&str]) -> Table {
        Table { columns: columns.iter().map(|&column| column.into()).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    ///
    /// # Panics
    ///
    /// If the row does not have a cell for each column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let cells: Vec<Cell> = cells.into_iter().collect();
        assert_eq!(cells.len(), self.columns.len(), "a row has a cell for each of {:?}", self.columns);
        self.rows.push(cells);
    }

    /// Whether the table has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as Markdown whose columns also line up in the source, with figures rounded.
    pub fn markdown(&self) -> String {
        let widths = self.widths("--:".len());
        let rule = |(column, width): (usize, &usize)| match self.is_text(column) {
            true => "-".repeat(*width),
            false => "-".repeat(width - 1) + ":",
        };
        let rules: Vec<String> = widths.iter().enumerate().map(rule).collect();
        let rows = self.rounded();
        let lines = [&self.columns, &rules].into_iter().chain(&rows);
        lines.map(|cells| format!("| {} |\n", self.aligned(cells, &widths, " | "))).collect()
    }

    /// The table as CSV, with figures in full precision.
    pub fn csv(&self) -> String {
        let rows = self.rows.iter().map(|row| row.iter().map(Cell::exact).collect::<Vec<_>>());
        let lines = [self.columns.clone()].into_iter().chain(rows);
        lines.map(|cells| cells.join(",") + "\n").collect()
    }

    fn rounded(&self) -> Vec<Vec<String>> {
        self.rows.iter().map(|row| row.iter().map(Cell::rounded).collect()).collect()
    }

    fn is_text(&self, column: usize) -> bool {
        self.rows.iter().all(|row| matches!(row[column], Cell::Text(_)))
    }

    fn widths(&self, min: usize) -> Vec<usize> {
        let rows = self.rounded();
        let lines = || [&self.columns].into_iter().chain(&rows);
        let width = |column: usize| lines().map(|row| row[column].chars().count()).fold(min, usize::max);
        (0..self.columns.len()).map(width).collect()
    }

    fn aligned(&self, cells: &[String], widths: &[usize], between: &str) -> String {
        let cells = cells.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
            if self.is_text(column) { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        cells.collect::<Vec<_>>().join(between)
    }
}

/// The table as plain text, with figures rounded.
impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths(0);
        let rows = self.rounded();
        let mut lines = [&self.columns].into_iter().chain(&rows);
        lines.try_for_each(|cells| writeln!(formatter, "{}", self.aligned(cells, &widths, "  ").trim_end()))
    }
}

impl Cell {
    fn exact(&self) -> String {
        match self {
            Cell::Text(text) | Cell::Figure(text) => text.replace(',', ";"),
            Cell::Count(count) => count.to_string(),
            Cell::Number(number) => number.to_string(),
            Cell::Nothing => String::new(),
        }
    }

    fn rounded(&self) -> String {
        match self {
            Cell::Text(text) | Cell::Figure(text) => text.clone(),
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

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(cell: Option<T>) -> Cell {
        cell.map_or(Cell::Nothing, T::into)
    }
}

/// A number with three significant digits, and all digits before the point.
pub fn number(number: f64) -> String {
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
pub fn time(nanos: f64) -> String {
    match nanos {
        short if short < 1e3 => format!("{} ns", number(short)),
        short if short < 1e6 => format!("{} µs", number(short / 1e3)),
        long if long < 1e9 => format!("{} ms", number(long / 1e6)),
        long => format!("{} s", number(long / 1e9)),
    }
}

/// A size in its best binary unit: `64 B`, `1 KiB`, `16 MiB`. Rounded down.
pub fn size(bytes: u64) -> String {
    match bytes {
        bytes if bytes >= 1 << 30 => format!("{} GiB", bytes >> 30),
        bytes if bytes >= 1 << 20 => format!("{} MiB", bytes >> 20),
        bytes if bytes >= 1 << 10 => format!("{} KiB", bytes >> 10),
        bytes => format!("{bytes} B"),
    }
}

/// 1234567 as `1,234,567`.
pub fn grouped(number: u64) -> String {
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

/// The nearest whole number. Figures are far below the largest one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and saturates")]
fn whole(number: f64) -> u64 {
    number.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["what", "ns"]);
        table.row(["read, small".into(), 1.234_56.into()]);
        table.row(["µ".into(), 123_456_u64.into()]);
        table.row(["none".into(), Cell::Nothing]);
        table
    }

    #[test]
    fn columns_line_up() {
        let plain =
            "what              ns\nread, small     1.23\nµ            123,456\nnone               –\n";
        assert_eq!(table().to_string(), plain);
        let markdown = "| what        |      ns |\n| ----------- | ------: |\n| read, small |    1.23 |\n\
                        | µ           | 123,456 |\n| none        |       – |\n";
        assert_eq!(table().markdown(), markdown);
    }

    #[test]
    fn csv_has_full_precision() {
        assert_eq!(table().csv(), "what,ns\nread; small,1.23456\nµ,123456\nnone,\n");
    }

    #[test]
    fn figures_have_the_digits_that_matter() {
        let numbers = [0.0, 0.000_01, 0.5, 1.0, 12.345, 100.4, 1_234_567.0, -1_000.0];
        let texts = ["0", "1.0e-5", "0.5000", "1.00", "12.3", "100", "1,234,567", "-1,000"];
        assert_eq!(numbers.map(number), texts);
        assert_eq!([1.0, 2e3, 3.5e6, 4e9].map(time), ["1.00 ns", "2.00 µs", "3.50 ms", "4.00 s"]);
        assert_eq!([64, 2048, 16 << 20, 3 << 30].map(size), ["64 B", "2 KiB", "16 MiB", "3 GiB"]);
    }
}
