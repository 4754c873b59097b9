//! The columns of the table: their texts, their order, and which of them fit into a width.

use std::cmp::Ordering;

use clap::ValueEnum;

use super::data::Row;
use super::{rate, text};
use crate::health;
use crate::output;

/// The widest trend, in cells: one for each second.
const MAX_TREND: u16 = 60;

/// A column, by which the table can be sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Column {
    /// The channel's name.
    #[default]
    Worker,
    /// The worker's state; what needs attention comes first.
    State,
    /// Its process id.
    Pid,
    /// Publications a second.
    Rate,
    /// The age of its last state.
    Age,
    /// The length of its last state.
    Bytes,
    /// Reads of this program that were repeated because the writer was faster.
    Retries,
    /// Segments that were replaced by larger or smaller ones.
    Growths,
    /// Publications in the last minute; shown as bars, the newest at the right.
    Trend,
}

impl Column {
    /// Its heading, its width in cells (for name and trend, the minimum), and its rank: without
    /// room, the columns of the highest ranks are dropped first.
    fn layout(self) -> (&'static str, u16, u8) {
        match self {
            Column::Worker => ("WORKER", 14, 0),
            Column::State => ("STATE", 10, 1),
            Column::Pid => (">PID", 8, 6),
            Column::Rate => (">RATE/s", 8, 2),
            Column::Age => (">AGE", 8, 3),
            Column::Bytes => (">BYTES", 10, 5),
            Column::Retries => (">RETRIES", 8, 8),
            Column::Growths => (">GROWTHS", 8, 7),
            Column::Trend => ("LAST MINUTE", 12, 4),
        }
    }

    pub(super) fn all() -> impl Iterator<Item = Column> {
        Column::value_variants().iter().copied()
    }

    /// As [`Table::new`](crate::output::Table) takes it.
    pub(super) fn heading(self) -> &'static str {
        self.layout().0
    }

    fn width(self) -> u16 {
        self.layout().1
    }

    /// The columns that fit into `width`, with their widths, in order. The least important columns
    /// are dropped first, the name never. The remaining cells go to the name, up to `max`, and
    /// then to the trend, up to a cell for each second.
    pub(super) fn fitting(width: u16, max: u16) -> Vec<(Column, u16)> {
        let mut left = width.saturating_sub(Column::Worker.width());
        let mut chosen = vec![Column::Worker];
        let mut others: Vec<_> = Column::all().skip(1).collect();
        others.sort_by_key(|column| column.layout().2);
        for column in others {
            // One cell for the gap before it.
            let Some(rest) = left.checked_sub(column.width() + 1) else { break };
            left = rest;
            chosen.push(column);
        }
        let name = (Column::Worker.width() + left).min(max.max(Column::Worker.width())).min(width);
        let left = left.saturating_sub(name.saturating_sub(Column::Worker.width()));
        let trend = (Column::Trend.width() + left).min(MAX_TREND);
        let width_of = |column: Column| match column {
            Column::Worker => name,
            Column::Trend => trend,
            column => column.width(),
        };
        let in_order = Column::all().filter(|column| chosen.contains(column));
        in_order.map(|column| (column, width_of(column))).collect()
    }

    /// The text in a cell of this width.
    pub(super) fn text_in(self, row: &Row, width: u16) -> String {
        match self {
            Column::Trend => text::sparkline(row.rates.trend(), rate::SECONDS, usize::from(width)),
            column => column.text(row),
        }
    }

    /// The text for a worker, of any width.
    pub(super) fn text(self, row: &Row) -> String {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        match self {
            Column::Worker => row.label.clone(),
            Column::State => row.word().into(),
            Column::Pid => or_none(row.pid.map(|pid| pid.to_string())),
            Column::Rate => or_none(row.rates.per_second().map(output::rate)),
            Column::Age => or_none(row.age.map(text::age)),
            Column::Bytes => or_none(row.bytes.map(output::bytes)),
            Column::Retries => row.retries.to_string(),
            Column::Growths => row.growths.to_string(),
            Column::Trend => format!("{:.0}", last_minute(row)),
        }
    }

    /// The order of two rows: numbers descending, names and states ascending.
    pub(super) fn compare(self, one: &Row, other: &Row) -> Ordering {
        let rate = |row: &Row| row.rates.per_second().unwrap_or(-1.0);
        match self {
            Column::Worker => Ordering::Equal,
            Column::State => health::urgency(one.health).cmp(&health::urgency(other.health)),
            Column::Pid => one.pid.cmp(&other.pid),
            Column::Rate => rate(other).total_cmp(&rate(one)),
            Column::Age => other.age.cmp(&one.age),
            Column::Bytes => other.bytes.cmp(&one.bytes),
            Column::Retries => other.retries.cmp(&one.retries),
            Column::Growths => other.growths.cmp(&one.growths),
            Column::Trend => last_minute(other).total_cmp(&last_minute(one)),
        }
    }

    /// The column `step` columns further on, around the end.
    pub(super) fn step(self, step: isize) -> Column {
        let all = Column::value_variants();
        let here = all.iter().position(|column| *column == self).unwrap_or(0);
        all[(here.cast_signed() + step).rem_euclid(all.len().cast_signed()).cast_unsigned()]
    }
}

/// Publications in the complete seconds of the last minute.
fn last_minute(row: &Row) -> f64 {
    row.rates.trend().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(width: u16) -> Vec<Column> {
        Column::fitting(width, 30).into_iter().map(|(column, _)| column).collect()
    }

    #[test]
    fn a_width_gets_the_columns_that_matter_most() {
        assert_eq!(columns(200), Column::value_variants());
        assert_eq!(columns(43), [Column::Worker, Column::State, Column::Rate, Column::Age]);
        assert_eq!(columns(20), [Column::Worker]);
        assert_eq!(Column::fitting(5, 30), [(Column::Worker, 5)]);
        assert_eq!(Column::fitting(0, 30), [(Column::Worker, 0)]);
    }

    #[test]
    fn columns_never_take_more_than_there_is() {
        for width in 0..300 {
            let fitting = Column::fitting(width, 40);
            let taken: u16 = fitting.iter().map(|(_, width)| width + 1).sum();
            assert!(taken <= width.max(1) + 1, "{taken} of {width}");
        }
        let widest = Column::fitting(300, 40);
        assert_eq!((widest[0].1, widest[8].1), (40, 60), "a name no wider than the longest, a bar a second");
    }

    #[test]
    fn steps_go_around() {
        assert_eq!(Column::Worker.step(-1), Column::Trend);
        assert_eq!(Column::Trend.step(1), Column::Worker);
        assert_eq!(Column::Pid.step(1), Column::Rate);
    }
}
