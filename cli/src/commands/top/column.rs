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
    /// The name of the channel or block.
    #[default]
    Worker,
    /// The state of the worker, or of the block's owner; what needs attention comes first.
    State,
    /// Channel or block; shown if there is a block.
    Kind,
    /// The process id of the worker or owner.
    Pid,
    /// Publications a second.
    Rate,
    /// The age of its last state.
    Age,
    /// The length of its last state, or of the block.
    Bytes,
    /// Pins that readers hold, of all; shown if a channel has pins.
    Views,
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
            Column::Worker => ("WORKER", 13, 0),
            Column::State => ("STATE", 11, 1),
            Column::Kind => ("KIND", 7, 2),
            Column::Pid => (">PID", 7, 8),
            Column::Rate => (">RATE/s", 8, 3),
            Column::Age => (">AGE", 7, 4),
            Column::Bytes => (">BYTES", 8, 6),
            Column::Views => (">VIEWS", 6, 7),
            Column::Retries => (">RETRIES", 8, 10),
            Column::Growths => (">GROWTHS", 8, 9),
            Column::Trend => ("LAST MINUTE", 12, 5),
        }
    }

    pub(super) fn all() -> impl Iterator<Item = Column> {
        Column::value_variants().iter().copied()
    }

    /// The columns that have something to show for these rows.
    pub(super) fn useful(rows: &[Row]) -> Vec<Column> {
        let is_useful = |column: &Column| match column {
            Column::Kind => rows.iter().any(|row| row.block.is_some()),
            Column::Views => rows.iter().any(|row| !row.pinned.is_empty()),
            _ => true,
        };
        Column::all().filter(is_useful).collect()
    }

    /// As [`Table::new`](crate::output::Table) takes it.
    pub(super) fn heading(self) -> &'static str {
        self.layout().0
    }

    fn width(self) -> u16 {
        self.layout().1
    }

    /// Those of `columns`, of which the name is the first, that fit into `width`, with their
    /// widths, in order. The least important columns are dropped first, the name never. The
    /// remaining cells go to the name, up to `max`, and then to the trend, up to a cell for each
    /// second.
    pub(super) fn fitting(columns: &[Column], width: u16, max: u16) -> Vec<(Column, u16)> {
        let mut left = width.saturating_sub(Column::Worker.width());
        let mut chosen = vec![Column::Worker];
        let mut others: Vec<_> = columns[1..].to_vec();
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
            Column::Trend if row.block.is_none() => {
                text::sparkline(row.rates.trend(), rate::SECONDS, usize::from(width))
            }
            column => column.text(row),
        }
    }

    /// The text for a worker or block, of any width.
    pub(super) fn text(self, row: &Row) -> String {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        match self {
            Column::Worker => row.label.clone(),
            Column::State => row.word().into(),
            Column::Kind => row.kind().into(),
            Column::Pid => or_none(row.pid.map(|pid| pid.to_string())),
            Column::Rate => or_none(row.rates.per_second().map(output::rate)),
            Column::Age => or_none(row.age.map(text::age)),
            Column::Bytes => or_none(row.bytes.map(output::bytes)),
            Column::Views => or_none(health::views(&row.pinned).map(|(held, all)| format!("{held}/{all}"))),
            Column::Retries => or_none(row.retries.map(|count| count.to_string())),
            Column::Growths => or_none(row.growths.map(|count| count.to_string())),
            Column::Trend if row.block.is_some() => or_none(None),
            Column::Trend => format!("{:.0}", last_minute(row)),
        }
    }

    /// The order of two rows: numbers descending, names and states ascending.
    pub(super) fn compare(self, one: &Row, other: &Row) -> Ordering {
        let rate = |row: &Row| row.rates.per_second().unwrap_or(-1.0);
        match self {
            Column::Worker => Ordering::Equal,
            Column::State => health::urgency(one.health).cmp(&health::urgency(other.health)),
            Column::Kind => one.kind().cmp(other.kind()),
            Column::Pid => one.pid.cmp(&other.pid),
            Column::Rate => rate(other).total_cmp(&rate(one)),
            Column::Age => other.age.cmp(&one.age),
            Column::Bytes => other.bytes.cmp(&one.bytes),
            Column::Views => health::views(&other.pinned).cmp(&health::views(&one.pinned)),
            Column::Retries => other.retries.cmp(&one.retries),
            Column::Growths => other.growths.cmp(&one.growths),
            Column::Trend => last_minute(other).total_cmp(&last_minute(one)),
        }
    }

    /// The one of `columns` that is `step` columns further on, around the end.
    pub(super) fn step(self, step: isize, columns: &[Column]) -> Column {
        let here = columns.iter().position(|column| *column == self).unwrap_or(0);
        columns[(here.cast_signed() + step).rem_euclid(columns.len().cast_signed()).cast_unsigned()]
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
        fitting(&[], width, 30).into_iter().map(|(column, _)| column).collect()
    }

    fn fitting(rows: &[Row], width: u16, max: u16) -> Vec<(Column, u16)> {
        Column::fitting(&Column::useful(rows), width, max)
    }

    #[test]
    fn a_width_gets_the_columns_that_matter_most() {
        use Column::{Age, Bytes, Kind, Pid, Rate, State, Trend, Views, Worker};
        let all = Column::value_variants().iter().copied();
        assert_eq!(columns(200), all.filter(|it| !matches!(it, Kind | Views)).collect::<Vec<_>>());
        assert_eq!(columns(80), [Worker, State, Pid, Rate, Age, Bytes, Trend]);
        let rows = [Row { pinned: vec![0], ..Row::default() }];
        let with_views: Vec<_> = fitting(&rows, 80, 30).into_iter().map(|(column, _)| column).collect();
        assert_eq!(with_views, [Worker, State, Pid, Rate, Age, Bytes, Views, Trend]);
        assert_eq!(columns(43), [Worker, State, Rate, Age]);
        assert_eq!(columns(20), [Worker]);
        assert_eq!(fitting(&[], 5, 30), [(Worker, 5)]);
        assert_eq!(fitting(&[], 0, 30), [(Worker, 0)]);
    }

    #[test]
    fn each_state_fits_into_its_column() {
        let widest = health::WORDS.iter().map(|word| word.len()).max();
        assert_eq!(widest, Some(usize::from(Column::State.width())));
    }

    #[test]
    fn columns_never_take_more_than_there_is() {
        for width in 0..300 {
            let fitting = fitting(&[], width, 40);
            let taken: u16 = fitting.iter().map(|(_, width)| width + 1).sum();
            assert!(taken <= width.max(1) + 1, "{taken} of {width}");
        }
        let widest = fitting(&[], 300, 40);
        assert_eq!((widest[0].1, widest[8].1), (40, 60), "a name no wider than the longest, a bar a second");
    }

    #[test]
    fn steps_go_around() {
        let columns = Column::useful(&[]);
        assert_eq!(Column::Worker.step(-1, &columns), Column::Trend);
        assert_eq!(Column::Trend.step(1, &columns), Column::Worker);
        assert_eq!(Column::State.step(1, &columns), Column::Pid, "there are no blocks");
        assert_eq!(Column::State.step(1, Column::value_variants()), Column::Kind);
    }
}
