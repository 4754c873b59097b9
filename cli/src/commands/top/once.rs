//! `--once`: one table as plain text, or JSON.

use std::thread;

use anstyle::Style;
use serde_json::{Value, json};

use super::column::Column;
use super::data::Row;
use super::session::Session;
use crate::blocks;
use crate::error::{ExitStatus, Failure};
use crate::health;
use crate::output::{Table, print_all_json, seconds, style};

/// The columns for scripts: all but the bars.
fn columns(session: &Session) -> Vec<Column> {
    let mut columns = Column::useful(&session.fleet.rows);
    columns.retain(|column| *column != Column::Trend);
    columns
}

/// Samples twice, an interval apart, which gives rates; prints the rows that pass the filter.
pub(super) fn run(session: &mut Session, json: bool) -> Result<(), Failure> {
    session.tick();
    thread::sleep(session.interval);
    session.tick();
    session.arrange();
    match json {
        true => print_all_json(session.rows().map(document))?,
        false => table(session).print()?,
    }
    match session.fleet.trouble() {
        None => Ok(()),
        // The printed rows are incomplete.
        Some(trouble) => Err(Failure::new(ExitStatus::Failed, trouble)),
    }
}

fn table(session: &Session) -> Table {
    let columns = columns(session);
    let cells = |row| columns.iter().map(move |column| (column.text(row), style_of(*column, row)));
    Table::new(columns.iter().map(|column| column.heading()), session.rows().map(cells))
}

fn style_of(column: Column, row: &Row) -> Style {
    match column {
        Column::Worker => style::STRONG,
        Column::State => health::style(row.health),
        _ => style::PLAIN,
    }
}

fn document(row: &Row) -> Value {
    if let Some(block) = &row.block {
        return blocks::document(block);
    }
    let views = health::views(&row.pinned);
    json!({
        "channel": row.name, "state": row.word(), "pid": row.pid, "rate": row.rates.per_second(),
        "age_seconds": seconds(row.age), "bytes": row.bytes, "retries": row.retries, "growths": row.growths,
        "pins": views.map(|(_, all)| all), "views": views.map(|(held, _)| held), "trouble": row.trouble,
    })
}
