//! What is printed: for people, or as JSON. Nothing that stands in shared memory reaches a terminal as it is.

mod broken_pipe;
mod fields;
mod hex;
mod human;
mod json;
mod path;
mod printable;
mod stderr;
pub(crate) mod style;
mod table;
mod value;
mod writer;

pub(crate) use broken_pipe::is_unread_within;
pub(crate) use fields::Fields;
pub(crate) use hex::{hex_dump, hex_line, hex_lines};
pub(crate) use human::{ago, bytes, duration, rate};
pub(crate) use json::{Layout, json_text, print_json};
pub(crate) use path::step_text;
pub(crate) use printable::printable;
pub(crate) use stderr::print_error;
pub(crate) use table::{Alignment, Table};
pub(crate) use value::{value_line, value_text};
pub(crate) use writer::{state_style, state_text};
