//! Tables for people.

use std::io::{self, Write};

use anstyle::Style;
use unicode_width::UnicodeWidthStr;

use super::printable;
use super::style;

/// Where the text of a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alignment {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

#[derive(Debug)]
struct Cell {
    text: String,
    style: Style,
}

/// Rows of cells in columns that are as wide as they need to be. Every text is made [`printable`].
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<(&'static str, Alignment)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(columns: &[(&'static str, Alignment)]) -> Table {
        Table { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; a column without a cell stays empty.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = (String, Style)>) {
        let cells = cells.into_iter();
        self.rows
            .push(cells.map(|(text, style)| Cell { text: printable(&text).into_owned(), style }).collect());
    }

    /// Prints the table with its columns' names.
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

    /// In cells of a terminal, of which some characters take two, and some none.
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
        // Written at once, so that no other process's line gets between.
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

#[test]
fn columns_are_as_wide_as_terminals_show_them() {
    let mut table = Table::new(&[("NAME", Alignment::Left), ("N", Alignment::Right)]);
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
