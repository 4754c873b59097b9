//! Tables for people, and names with their values in two columns.

use super::printable::printable;
use super::style;
use anstyle::Style;
use std::borrow::Cow;
use std::io::{self, Write};
use unicode_width::UnicodeWidthStr;

/// The side of a column on which its texts begin or end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// For words.
    Left,
    /// For numbers.
    Right,
}

/// Name and side of a column. As in a format string, `>` before the name aligns it to the right.
pub(crate) fn heading(text: &'static str) -> (&'static str, Side) {
    text.strip_prefix('>').map_or((text, Side::Left), |name| (name, Side::Right))
}

/// A cell without a style.
pub(crate) fn plain(text: String) -> (String, Style) {
    (text, style::PLAIN)
}

/// Rows of cells in columns that are as wide as their widest cell. Every text is made
/// [`printable`].
pub(crate) struct Table {
    sides: Vec<Side>,
    /// The first row has the names of the columns.
    rows: Vec<Vec<(String, Style)>>,
}

impl Table {
    /// A table with these [`heading`]s and rows. A column without a cell stays empty.
    pub(crate) fn new<R: IntoIterator<Item = (String, Style)>>(
        headings: impl IntoIterator<Item = &'static str>,
        rows: impl IntoIterator<Item = R>,
    ) -> Table {
        let (names, sides): (Vec<_>, _) = headings.into_iter().map(heading).unzip();
        let shown = |text: &str| match text.trim_matches(' ') == text {
            true => printable(text).into_owned(),
            false => format!("\"{}\"", printable(text)),
        };
        let cell = |(text, style): (String, Style)| (shown(&text), style);
        let head = names.into_iter().map(|name| (name.to_owned(), style::STRONG)).collect();
        let rows = rows.into_iter().map(|row| row.into_iter().map(cell).collect());
        Table { sides, rows: [head].into_iter().chain(rows).collect() }
    }

    /// Prints the names of the columns and the rows.
    pub(crate) fn print(&self) -> io::Result<()> {
        let mut output = anstream::stdout().lock();
        self.write(&mut output)?;
        output.flush()
    }

    fn write(&self, output: &mut impl Write) -> io::Result<()> {
        // In cells of a terminal; some characters take two cells, and some none.
        let width = |index: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(index));
            cells.map(|(text, _)| text.width()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.sides.len()).map(width).collect();
        for row in &self.rows {
            // One write for a line, so that no other process's line comes between its parts.
            let mut line = String::new();
            for (index, ((text, style), width)) in row.iter().zip(&widths).enumerate() {
                let space = width.saturating_sub(text.width());
                let gap = if index == 0 { "" } else { "  " };
                line += &match self.sides[index] {
                    Side::Left if index + 1 == widths.len() => format!("{gap}{style}{text}{style:#}"),
                    Side::Left => format!("{gap}{style}{text}{style:#}{:space$}", ""),
                    Side::Right => format!("{gap}{:space$}{style}{text}{style:#}", ""),
                };
            }
            writeln!(output, "{}", line.trim_end())?;
        }
        Ok(())
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

    /// The names and texts of all lines, for output elsewhere.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&'static str, Cow<'_, str>)> {
        self.0.iter().map(|(name, text, _)| (*name, printable(text)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_terminals_show_them() {
        let row = |name: &str| [name, "7"].map(|text| (text.to_owned(), style::PLAIN));
        let table = Table::new(["NAME", ">N"], ["工作者甲", "e\u{301}", "worker"].map(row));
        let mut output = Vec::new();
        table.write(&mut output).unwrap();
        let text = anstream::adapter::strip_bytes(&output).into_vec();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "NAME      N\n工作者甲  7\ne\u{301}         7\nworker    7\n"
        );
    }
}
