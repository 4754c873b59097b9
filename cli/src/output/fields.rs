//! Names with what belongs to them, one a line.

use std::io::{self, Write};

use anstyle::Style;

use super::printable;
use super::style;

/// `name  what it is`, in two columns. Every text is made [`printable`].
#[derive(Debug, Default)]
pub(crate) struct Fields(Vec<(&'static str, String, Style)>);

impl Fields {
    /// A line; an empty name goes on with the line before.
    pub(crate) fn add(&mut self, name: &'static str, text: impl Into<String>) {
        self.styled(name, text, style::PLAIN);
    }

    /// A line in a colour.
    pub(crate) fn styled(&mut self, name: &'static str, text: impl Into<String>, style: Style) {
        self.0.push((name, text.into(), style));
    }

    /// Prints them all.
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
