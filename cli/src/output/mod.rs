//! What the command prints, for people or as JSON. A text out of shared memory never reaches a
//! terminal unescaped.

mod human;
mod printable;
mod streams;
mod table;
mod value;

pub(crate) use human::{ago, bytes, clock, duration, rate, seconds, timestamp};
pub(crate) use printable::{escaped, printable};
pub(crate) use streams::{is_hung_up, is_pipe_broken_within, stderr};
pub(crate) use table::{Fields, Side, Table, heading, plain};
pub(crate) use value::{
    hex_dump, hex_lines, hex_start, json_text, print_all_json, print_json, value_line, value_text,
};

/// The colours. They reach only terminals, through `anstream`.
pub(crate) mod style {
    use anstyle::{AnsiColor, Style};

    /// Names of columns, and important text.
    pub(crate) const STRONG: Style = Style::new().bold();
    /// Less important text.
    pub(crate) const DIM: Style = Style::new().dimmed();
    /// Good.
    pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
    /// Unusual.
    pub(crate) const ODD: Style = AnsiColor::Yellow.on_default();
    /// Wrong.
    pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
    /// Without a style.
    pub(crate) const PLAIN: Style = Style::new();
}
