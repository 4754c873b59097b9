//! What the command prints, for people or as JSON. A text out of shared memory never reaches a
//! terminal unescaped.

mod human;
mod printable;
mod streams;
pub(crate) mod style;
mod table;
mod value;

pub(crate) use human::{ago, bytes, clock, duration, rate, timestamp};
pub(crate) use printable::printable;
pub(crate) use streams::{is_pipe_broken_within, stderr};
pub(crate) use style::{state_style, state_text};
pub(crate) use table::{Fields, Table};
pub(crate) use value::{
    Layout, hex_dump, hex_line, hex_lines, json_text, print_json, step_text, value_line, value_text,
};
