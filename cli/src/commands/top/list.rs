//! The rows that are shown, their order, and the selection.

use super::column::Column;
use super::data::Row;

/// The order of the rows: a column's own (numbers descending), or the reverse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sort {
    pub(super) column: Column,
    pub(super) is_reversed: bool,
}

impl Sort {
    pub(super) fn by(column: Column) -> Sort {
        Sort { column, is_reversed: false }
    }

    pub(super) fn reversed(self) -> Sort {
        Sort { is_reversed: !self.is_reversed, ..self }
    }
}

/// The rows that pass the filter, in order. The selection is a worker or block, and follows it when
/// the order changes.
#[derive(Debug, Default)]
pub(super) struct List {
    /// Indices of rows.
    order: Vec<usize>,
    /// Index of the selected row among those that pass the filter.
    pub(super) cursor: usize,
    /// Its key; `None` while no row is shown.
    selected: Option<(&'static str, String)>,
    /// Index of the first visible row.
    pub(super) top: usize,
}

impl List {
    /// Filters and sorts the rows again.
    pub(super) fn arrange(&mut self, rows: &[Row], filter: &str, sort: Sort) {
        let words = words(filter);
        self.order.clear();
        self.order.extend((0..rows.len()).filter(|index| passes(&rows[*index], &words)));
        self.order.sort_by(|one, other| {
            let (one, other) = (&rows[*one], &rows[*other]);
            let by_column = sort.column.compare(one, other);
            let by_name = natural(&one.label).cmp(&natural(&other.label)).then(one.name.cmp(&other.name));
            let by_name = by_name.then(other.kind().cmp(one.kind()));
            match sort.column {
                _ if !sort.is_reversed => by_column.then(by_name),
                Column::Worker => by_name.reverse(),
                _ => by_column.reverse().then(by_name),
            }
        });
        self.reselect(rows);
    }

    /// Drops rows that do not pass the filter any more. The others keep their places.
    pub(super) fn drop_others(&mut self, rows: &[Row], filter: &str) {
        let words = words(filter);
        self.order.retain(|index| passes(&rows[*index], &words));
        self.reselect(rows);
    }

    fn reselect(&mut self, rows: &[Row]) {
        let selected = self.selected.as_ref().map(|(kind, name)| (*kind, name.as_str()));
        let found = self.order.iter().position(|index| Some(rows[*index].key()) == selected);
        self.select(found.unwrap_or(self.cursor), rows);
    }

    /// Selects the row at `position`, or the nearest one.
    pub(super) fn select(&mut self, position: usize, rows: &[Row]) {
        self.cursor = position.min(self.order.len().saturating_sub(1));
        self.selected = self.selected_row(rows).map(|row| (row.kind(), row.name.clone()));
    }

    /// Selects the row `steps` further down, or up.
    pub(super) fn step(&mut self, steps: isize, rows: &[Row]) {
        self.select(self.cursor.saturating_add_signed(steps), rows);
    }

    pub(super) fn selected_row<'a>(&self, rows: &'a [Row]) -> Option<&'a Row> {
        self.order.get(self.cursor).and_then(|index| rows.get(*index))
    }

    /// The number of rows that pass the filter.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// The visible rows of a table `height` rows high, scrolled so that the selected row is among
    /// them.
    pub(super) fn in_sight<'a>(&mut self, rows: &'a [Row], height: usize) -> Vec<&'a Row> {
        let lowest_top = (self.cursor + 1).saturating_sub(height);
        let highest_top = self.order.len().saturating_sub(height);
        self.top = self.top.max(lowest_top).min(self.cursor).min(highest_top);
        self.order.iter().skip(self.top).take(height).filter_map(|index| rows.get(*index)).collect()
    }

    /// All rows that pass the filter.
    pub(super) fn all<'a>(&self, rows: &'a [Row]) -> impl Iterator<Item = &'a Row> {
        self.order.iter().filter_map(|index| rows.get(*index))
    }
}

fn words(filter: &str) -> Vec<String> {
    filter.split_whitespace().map(str::to_lowercase).collect()
}

/// Whether each word is part of the name, or the word for the state or the kind. A `*` in a word,
/// as in the patterns of other commands, is any text.
fn passes(row: &Row, words: &[String]) -> bool {
    let name = || row.label.to_lowercase();
    let has_all = |word: &String| word.split('*').all(|part| name().contains(part));
    words.iter().all(|word| [row.word(), row.kind()].contains(&word.as_str()) || has_all(word))
}

/// A part of a name, so that worker-9 comes before worker-10.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Piece<'a> {
    /// Digits without leading zeros, ordered by their count and then as text: of any length.
    Number(usize, &'a [u8]),
    Text(&'a [u8]),
}

/// The name in pieces, cut wherever digits begin or end.
fn natural(name: &str) -> Vec<Piece<'_>> {
    let bytes = name.as_bytes();
    let pieces = bytes.chunk_by(|one, next| one.is_ascii_digit() == next.is_ascii_digit());
    let kinds = pieces.map(|piece| {
        let zeros = piece.iter().take_while(|byte| **byte == b'0').count();
        match piece[0].is_ascii_digit() {
            true => Piece::Number(piece.len() - zeros, &piece[zeros..]),
            false => Piece::Text(piece),
        }
    });
    kinds.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tearless::hub::Health;

    fn rows(names: &[&str]) -> Vec<Row> {
        let row = |name: &&str| Row { name: (*name).into(), label: (*name).into(), ..Row::default() };
        names.iter().map(row).collect()
    }

    fn shown(list: &List, rows: &[Row]) -> Vec<String> {
        list.all(rows).map(|row| row.name.clone()).collect()
    }

    #[test]
    fn names_are_sorted_as_people_count() {
        let rows = rows(&["w-10", "w-9", "a", "w-010", "w"]);
        let mut list = List::default();
        list.arrange(&rows, "", Sort::by(Column::Worker));
        assert_eq!(shown(&list, &rows), ["a", "w", "w-9", "w-010", "w-10"]);
        list.arrange(&rows, "", Sort::by(Column::Worker).reversed());
        assert_eq!(shown(&list, &rows)[0], "w-10");
    }

    #[test]
    fn a_filter_is_of_names_and_states() {
        let mut rows = rows(&["Alpha-1", "alpha-2", "beta-1"]);
        rows[2].health = Some(Health::Dead { since: None });
        let mut list = List::default();
        list.arrange(&rows, "ALPHA", Sort::by(Column::Worker));
        assert_eq!(shown(&list, &rows), ["Alpha-1", "alpha-2"]);
        list.arrange(&rows, "al*-2 *", Sort::by(Column::Worker));
        assert_eq!(shown(&list, &rows), ["alpha-2"]);
        list.arrange(&rows, "1 dead", Sort::by(Column::Worker));
        assert_eq!(shown(&list, &rows), ["beta-1"]);
        list.arrange(&rows, "dea", Sort::by(Column::Worker));
        assert_eq!(list.len(), 0, "a state must match as a whole word");
        assert!(list.selected_row(&rows).is_none());
        list.arrange(&rows, "", Sort::by(Column::Worker).reversed());
        list.select(1, &rows);
        rows[2].health = Some(Health::Empty);
        list.drop_others(&rows, "alpha");
        assert_eq!(shown(&list, &rows), ["alpha-2", "Alpha-1"], "in their order");
        assert_eq!(list.selected_row(&rows).unwrap().name, "alpha-2");
    }

    #[test]
    fn the_selection_goes_with_its_worker() {
        let mut rows = rows(&["a", "b", "c"]);
        let mut list = List::default();
        list.arrange(&rows, "", Sort::by(Column::Bytes));
        list.select(1, &rows);
        rows[2].bytes = Some(7);
        list.arrange(&rows, "", Sort::by(Column::Bytes));
        assert_eq!(shown(&list, &rows), ["c", "a", "b"]);
        assert_eq!((list.cursor, list.selected_row(&rows).unwrap().name.as_str()), (2, "b"));
        rows.remove(1);
        list.arrange(&rows, "", Sort::by(Column::Bytes));
        assert_eq!(list.selected_row(&rows).unwrap().name, "a", "the row in the place of the removed one");
    }

    #[test]
    fn the_selected_row_is_always_visible() {
        let rows = rows(&["a", "b", "c", "d", "e"]);
        let mut list = List::default();
        list.arrange(&rows, "", Sort::by(Column::Worker));
        let seen = |list: &mut List, height| -> String {
            list.in_sight(&rows, height).iter().map(|row| row.name.as_str()).collect()
        };
        assert_eq!(seen(&mut list, 2), "ab");
        list.step(3, &rows);
        assert_eq!(seen(&mut list, 2), "cd");
        list.step(-1, &rows);
        assert_eq!(seen(&mut list, 2), "cd", "it doesn't scroll without need");
        list.step(isize::MIN, &rows);
        assert_eq!(seen(&mut list, 2), "ab");
        list.step(isize::MAX, &rows);
        assert_eq!(seen(&mut list, 2), "de");
        assert_eq!(seen(&mut list, 4), "bcde", "a taller table is filled");
        assert_eq!(seen(&mut list, 0), "");
        assert_eq!(seen(&mut list, 9), "abcde");
    }
}
