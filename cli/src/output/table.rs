//! Tables for people, and names with their values in two columns.

use super::printable::printable;
use super::style;
use anstyle::Style;
use std::io::{self, Write};
use unicode_width::UnicodeWidthStr;

/// The side of a column on which its texts begin or end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alignment {
    /// For words.
    Left,
    /// For numbers.
    Right,
}

#[derive(Debug)]
struct Cell {
    text: String,
    style: Style,
}

/// Rows of cells in columns that are as wide as their widest cell. Every text is made
/// [`printable`].
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<(&'static str, Alignment)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows. As in a format string, `>` before a column's name aligns it to the
    /// right.
    pub(crate) fn new(columns: impl IntoIterator<Item = &'static str>) -> Table {
        let column = |name: &'static str| match name.strip_prefix('>') {
            Some(name) => (name, Alignment::Right),
            None => (name, Alignment::Left),
        };
        Table { columns: columns.into_iter().map(column).collect(), rows: Vec::new() }
    }

    /// Adds a row; a column without a cell stays empty.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = (String, Style)>) {
        let cells = cells.into_iter();
        self.rows
            .push(cells.map(|(text, style)| Cell { text: printable(&text).into_owned(), style }).collect());
    }

    /// Prints the names of the columns and the rows.
    pub(crate) fn print(&self) -> io::Result<()> {
        let widths = self.widths();
        let mut output = anstream::stdout().lock();
        let names = self.columns.iter().map(|(name, _)| (*name, style::STRONG));
        self.line(&mut output, &widths, names)?;
        for row in &self.rows {
            self.line(&mut output, &widths, row.iter().map(|cell| (cell.text.as_str(), cell.style)))?;
        }
        output.flush()
    }

    /// Widths in cells of a terminal; some characters take two cells, and some none.
    fn widths(&self) -> Vec<usize> {
        let width = |(index, (name, _)): (usize, &(&str, Alignment))| {
            let cells = self.rows.iter().filter_map(|row| row.get(index));
            cells.map(|cell| cell.text.width()).chain([name.len()]).max().unwrap_or(0)
        };
        self.columns.iter().enumerate().map(width).collect()
    }

    fn line<'a>(
        &self,
        output: &mut impl Write,
        widths: &[usize],
        cells: impl Iterator<Item = (&'a str, Style)>,
    ) -> io::Result<()> {
        // One write for a line, so that no other process's line comes between its parts.
        let mut line = String::new();
        for (index, (text, style)) in cells.enumerate().take(widths.len()) {
            let space = widths[index].saturating_sub(text.width());
            let gap = if index == 0 { "" } else { "  " };
            let padded = match self.columns[index].1 {
                Alignment::Left if index + 1 == widths.len() => format!("{gap}{style}{text}{style:#}"),
                Alignment::Left => format!("{gap}{style}{text}{style:#}{:space$}", ""),
                Alignment::Right => format!("{gap}{:space$}{style}{text}{style:#}", ""),
            };
            line.push_str(&padded);
        }
        writeln!(output, "{}", line.trim_end())
    }
}

/// Names and their values in two columns. Every text is made [`printable`].
#[derive(Debug, Default)]
pub(crate) struct Fields(Vec<(&'static str, String, Style)>);

impl Fields {
    /// Adds a line; an empty name continues the line before.
    pub(crate) fn add(&mut self, name: &'static str, text: impl Into<String>) {
        self.styled(name, text, style::PLAIN);
    }

    /// Adds a line in a colour.
    pub(crate) fn styled(&mut self, name: &'static str, text: impl Into<String>, style: Style) {
        self.0.push((name, text.into(), style));
    }

    /// Prints all lines.
    pub(crate) fn print(&self) -> io::Result<()> {
        let width = self.0.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
        let mut output = anstream::stdout().lock();
        let strong = style::STRONG;
        for (name, text, style) in &self.0 {
            writeln!(output, "{strong}{name:width$}{strong:#}  {style}{}{style:#}", printable(text))?;
        }
        output.flush()
    }
}

#[test]
fn columns_are_as_wide_as_terminals_show_them() {
    let mut table = Table::new(["NAME", ">N"]);
    for name in ["工作者甲", "e\u{301}", "worker"] {
        table.row([(name.to_owned(), style::PLAIN), ("7".to_owned(), style::PLAIN)]);
    }
    let (widths, mut output) = (table.widths(), Vec::new());
    for row in &table.rows {
        let cells = row.iter().map(|cell| (cell.text.as_str(), cell.style));
        table.line(&mut output, &widths, cells).unwrap();
    }
    assert_eq!(String::from_utf8(output).unwrap(), "工作者甲  7\ne\u{301}         7\nworker    7\n");
}
