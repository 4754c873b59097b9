//! The fields of the selected worker, or what the selected block records.

use ratatui::layout::Rect;

use super::canvas::Canvas;
use crate::blocks;
use crate::commands::top::data::{Line, Row};
use crate::commands::top::text;
use crate::commands::top::view::{Scene, View};
use crate::health;
use crate::output::Side;

/// Empty cells before a line.
const INDENT: u16 = 2;

pub(super) fn draw(canvas: &mut Canvas<'_>, view: &mut View, scene: &Scene<'_>) {
    let area = canvas.area();
    let height = area.height.saturating_sub(1);
    let width = area.width.saturating_sub(INDENT);
    let (fields, selected) = (&scene.detail.lines, view.list.selected_row(scene.rows));
    let about = selected.map_or_else(Vec::new, |row| about(row, width.into()));
    let note = scene.detail.note.as_ref().or_else(|| selected?.trouble.as_ref());
    let note = note.map_or_else(Vec::new, |note| text::wrapped(note, width.into()));
    view.places.pane = Rect { y: area.y + 1, height, ..area };
    view.places.pane_lines = about.len() + fields.len() + note.len();
    // There may be fewer lines than before.
    view.scroll_pane(0);
    draw_title(canvas, view, scene);
    for (y, index) in (1..=height).zip(view.pane_top..) {
        let after_about = index.wrapping_sub(about.len());
        if let Some(line) = about.get(index) {
            canvas.cell((INDENT, y), width, line, Side::Left, scene.palette.normal);
        } else if let Some(line) = fields.get(after_about) {
            draw_line(canvas, scene, y, line);
        } else if let Some(line) = note.get(after_about - fields.len()) {
            canvas.cell((INDENT, y), width, line, Side::Left, scene.palette.dim);
        }
    }
}

/// What `tearless stat` says of a block, without its name; of a channel, its pins.
fn about(row: &Row, width: usize) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    if let Some(block) = &row.block {
        let fields = blocks::fields(block);
        texts.extend(fields.lines().skip(1).map(|(name, text)| format!("{name}: {text}")));
    }
    if !row.pinned.is_empty() {
        texts.push(format!("pins: {}", health::pins(&row.pinned)));
    }
    texts.iter().flat_map(|text| text::wrapped(text, width)).collect()
}

fn draw_title(canvas: &mut Canvas<'_>, view: &View, scene: &Scene<'_>) {
    let (area, detail) = (canvas.area(), scene.detail);
    let style = scene.palette.head;
    canvas.part(Rect { height: 1, ..area }).style(style);
    let mark = if view.is_pane_focused { "▶ " } else { "  " };
    let selected = view.list.selected_row(scene.rows);
    let title = match (selected.filter(|row| row.block.is_some()), detail.label.as_str()) {
        (Some(block), _) => format!("{mark}{}  {}", block.label, block.kind()),
        (None, "") => format!("{mark}no worker is selected"),
        (None, label) => format!("{mark}{label}  #{}  {}", detail.publication, detail.format),
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
