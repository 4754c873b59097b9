//! `--once`: a table as plain text.

use std::thread;

use anstyle::Style;
use serde_json::{Value, json};

use super::column::{Column, Side};
use super::row::Row;
use super::session::Session;
use crate::error::Failure;
use crate::health;
use crate::output::{Alignment, Table, print_json, style};

/// Columns that are bars are not for scripts.
fn columns() -> impl Iterator<Item = Column> {
    Column::ALL.into_iter().filter(|column| *column != Column::Trend)
}

/// Looks twice, an interval apart, as rates need.
pub(super) fn look(session: &mut Session) {
    session.tick();
    thread::sleep(session.interval());
    session.tick();
}

/// Prints the rows that pass the filter as a table.
pub(super) fn print_table(session: &Session) -> Result<(), Failure> {
    let alignment = |column: Column| match column.side() {
        Side::Left => Alignment::Left,
        Side::Right => Alignment::Right,
    };
    let titles: Vec<_> = columns().map(|column| (column.title(), alignment(column))).collect();
    let mut table = Table::new(&titles);
    for row in session.rows() {
        table.row(columns().map(|column| (column.text(row), style_of(column, row))));
    }
    Ok(table.print()?)
}

fn style_of(column: Column, row: &Row) -> Style {
    match column {
        Column::Worker => style::STRONG,
        Column::State => health::style(row.health),
        _ => style::PLAIN,
    }
}

/// Prints them as JSON, one object a line.
pub(super) fn print_documents(session: &Session) -> Result<(), Failure> {
    session.rows().try_for_each(|row| Ok(print_json(&document(row))?))
}

fn document(row: &Row) -> Value {
    json!({
        "channel": row.name,
        "state": row.word(),
        "pid": row.pid,
        "rate": row.rates.per_second(),
        "age_seconds": row.age.map(|age| age.as_secs_f64()),
        "bytes": row.bytes,
        "retries": row.retries,
        "growths": row.growths,
        "trouble": row.trouble,
    })
}
