//! The table of workers and blocks.

use ratatui::layout::Rect;
use ratatui::text::Span;

use super::canvas::Canvas;
use crate::commands::top::column::Column;
use crate::commands::top::data::Row;
use crate::commands::top::text;
use crate::commands::top::view::{Scene, View};
use crate::output::{Side, heading};

/// The widest name; a longer one is cut, even if there is space.
const MAX_NAME: u16 = 40;

pub(super) fn draw(canvas: &mut Canvas<'_>, view: &mut View, scene: &Scene<'_>) {
    let area = canvas.area();
    let height = area.height.saturating_sub(1);
    let in_sight = view.list.in_sight(scene.rows, usize::from(height));
    let max = in_sight.iter().map(|row| Span::raw(&row.label).width()).max().unwrap_or(0);
    let max = u16::try_from(max).unwrap_or(u16::MAX).min(MAX_NAME);
    let columns = Column::fitting(&Column::useful(scene.rows), area.width, max);
    view.places.rows = Rect { y: area.y + 1, height, ..area };
    view.places.heads = draw_head(canvas, view, scene, &columns);
    if in_sight.is_empty() {
        let (message, style) = match scene.missing {
            _ if !scene.rows.is_empty() => ("nothing matches the filter: Esc clears it", scene.palette.dim),
            None => ("no channels yet: they appear here when workers open them", scene.palette.dim),
            Some(missing) => (missing, scene.palette.trouble),
        };
        for (y, line) in (1..).zip(text::wrapped(message, area.width.into())) {
            canvas.cell((0, y), area.width, &line, Side::Left, style);
        }
    }
    let selected = view.list.cursor - view.list.top.min(view.list.cursor);
    for (index, row) in (0..).zip(in_sight) {
        draw_row(canvas, scene, &columns, (index + 1, row));
        if usize::from(index) == selected {
            let style = scene.palette.selected;
            let style = if view.is_pane_focused { style.patch(scene.palette.dim) } else { style };
            // The bars are not reversed: they would be upside down.
            let bars = view.places.heads.iter().find(|(column, _)| *column == Column::Trend);
            let width = bars.map_or(area.width, |(_, head)| head.x - area.x);
            canvas.part(Rect { y: area.y + index + 1, height: 1, width, ..area }).style(style);
        }
    }
}

fn draw_head(
    canvas: &mut Canvas<'_>,
    view: &View,
    scene: &Scene<'_>,
    columns: &[(Column, u16)],
) -> Vec<(Column, Rect)> {
    let area = canvas.area();
    canvas.part(Rect { height: 1, ..area }).style(scene.palette.head);
    let mut heads = Vec::with_capacity(columns.len());
    let mut x = 0;
    for (column, width) in columns {
        let mark = match view.sort.column == *column {
            false => "",
            true if view.sort.is_reversed => "▲",
            true => "▼",
        };
        let (name, side) = heading(column.heading());
        canvas.cell((x, 0), *width, &format!("{name}{mark}"), side, scene.palette.head);
        heads.push((*column, Rect { x: area.x + x, width: *width, height: 1, ..area }));
        x += width + 1;
    }
    heads
}

fn draw_row(canvas: &mut Canvas<'_>, scene: &Scene<'_>, columns: &[(Column, u16)], (y, row): (u16, &Row)) {
    let mut x = 0;
    for (column, width) in columns {
        let style = match column {
            Column::State => scene.palette.health(row.health),
            Column::Trend => scene.palette.good,
            Column::Worker => scene.palette.strong,
            _ => scene.palette.normal,
        };
        canvas.cell((x, y), *width, &column.text_in(row, *width), heading(column.heading()).1, style);
        x += width + 1;
    }
}
