//! Draws a frame from plain data onto a buffer of any size.

mod canvas;
mod frame;
mod pane;
mod table;
#[cfg(test)]
mod tests;

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};

use self::canvas::Canvas;
use super::text;
use super::view::{Mode, Places, Scene, View};
use crate::output::Side;

/// The smallest size of a frame.
const MIN_SIZE: (u16, u16) = (32, 7);

/// The width from which the fields are beside the table instead of below it.
const BESIDE: u16 = 120;

/// The height from which the table and the pane below it are both shown.
const BOTH: u16 = 12;

/// Draws a frame, and records in `view` where its parts are.
pub(super) fn draw(buffer: &mut Buffer, view: &mut View, scene: &Scene<'_>) {
    let area = buffer.area;
    let mut canvas = Canvas::new(buffer, area);
    view.places = Places::default();
    if area.width < MIN_SIZE.0 || area.height < MIN_SIZE.1 {
        return too_small(&mut canvas, scene);
    }
    let parts = Layout::vertical([Constraint::Length(2), Constraint::Fill(1), Constraint::Length(1)]);
    let [head, body, foot] = parts.areas(area);
    frame::draw_header(&mut canvas.part(head), view, scene);
    let (table, pane) = split(body, view.is_pane_hidden);
    table::draw(&mut canvas.part(table), view, scene);
    match pane {
        Some(pane) => pane::draw(&mut canvas.part(pane), view, scene),
        None => view.is_pane_focused = false,
    }
    frame::draw_footer(&mut canvas.part(foot), view, scene);
    if view.mode == Mode::Help {
        frame::draw_help(&mut canvas, scene);
    }
}

/// The areas of the table and of the pane.
fn split(body: Rect, is_pane_hidden: bool) -> (Rect, Option<Rect>) {
    if is_pane_hidden || (body.width < BESIDE && body.height < BOTH) {
        return (body, None);
    }
    let [table, pane] = match body.width {
        BESIDE.. => Layout::horizontal([Constraint::Percentage(64), Constraint::Fill(1)]).areas(body),
        _ => Layout::vertical([Constraint::Percentage(55), Constraint::Fill(1)]).areas(body),
    };
    (table, Some(pane))
}

fn too_small(canvas: &mut Canvas<'_>, scene: &Scene<'_>) {
    let Rect { width, height, .. } = canvas.area();
    let text = format!("too small: {width}x{height}, needs {}x{}", MIN_SIZE.0, MIN_SIZE.1);
    for (y, line) in (0..).zip(text::wrapped(&text, width.into())) {
        canvas.cell((0, y), width, &line, Side::Left, scene.palette.trouble);
    }
}
