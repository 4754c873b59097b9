//! What is printed: for people, or as JSON. Nothing that stands in shared memory reaches a terminal as it is.

mod human;
mod json;
mod printable;
pub(crate) mod style;
mod table;
mod writer;

pub(crate) use human::{ago, bytes, duration};
pub(crate) use json::{Layout, json_text, print_json};
pub(crate) use printable::printable;
pub(crate) use table::{Alignment, Table};
pub(crate) use writer::{state_style, state_text};
