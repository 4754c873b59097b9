//! The fields of the selected worker.

use ratatui::layout::Rect;

use super::canvas::Canvas;
use crate::commands::top::data::Line;
use crate::commands::top::text;
use crate::commands::top::view::{Scene, View};
use crate::output::Side;

/// Empty cells before a line.
const INDENT: u16 = 2;

pub(super) fn draw(canvas: &mut Canvas<'_>, view: &mut View, scene: &Scene<'_>) {
    let area = canvas.area();
    let height = area.height.saturating_sub(1);
    let width = area.width.saturating_sub(INDENT);
    let fields = &scene.detail.lines;
    let trouble = || view.list.selected_row(scene.rows).and_then(|row| row.trouble.as_ref());
    let note = scene.detail.note.as_ref().or_else(trouble);
    let note = note.map_or_else(Vec::new, |note| text::wrapped(note, width.into()));
    view.places.pane = Rect { y: area.y + 1, height, ..area };
    view.places.pane_lines = fields.len() + note.len();
    // There may be fewer lines than before.
    view.scroll_pane(0);
    draw_title(canvas, view, scene);
    for (y, index) in (1..=height).zip(view.pane_top..) {
        if let Some(line) = fields.get(index) {
            draw_line(canvas, scene, y, line);
        } else if let Some(line) = note.get(index - fields.len()) {
            canvas.cell((INDENT, y), width, line, Side::Left, scene.palette.dim);
        }
    }
}

fn draw_title(canvas: &mut Canvas<'_>, view: &View, scene: &Scene<'_>) {
    let (area, detail) = (canvas.area(), scene.detail);
    let style = scene.palette.head;
    canvas.part(Rect { height: 1, ..area }).style(style);
    let mark = if view.is_pane_focused { "▶ " } else { "  " };
    let title = match detail.label.as_str() {
        "" => format!("{mark}no worker is selected"),
        label => format!("{mark}{label}  #{}  {}", detail.publication, detail.format),
    };
    let place = match view.places.pane_lines {
        lines if lines <= usize::from(view.places.pane.height) => String::new(),
        lines => {
            let last = (view.pane_top + usize::from(view.places.pane.height)).min(lines);
            format!(" {}-{last} of {lines}", view.pane_top + 1)
        }
    };
    let width = u16::try_from(place.chars().count()).unwrap_or(u16::MAX);
    let room = area.width.saturating_sub(width);
    canvas.cell((0, 0), room, &title, Side::Left, style);
    canvas.cell((room, 0), width, &place, Side::Right, style);
}

fn draw_line(canvas: &mut Canvas<'_>, scene: &Scene<'_>, y: u16, line: &Line) {
    let palette = scene.palette;
    let value = if line.is_fresh(scene.at) { palette.fresh } else { palette.normal };
    canvas.line(
        y,
        &[("  ", palette.normal), (&line.path, palette.normal), (" = ", palette.dim), (&line.value, value)],
    );
}
