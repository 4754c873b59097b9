//! Drawing: a frame out of plain data, onto a buffer of any size.

mod canvas;
mod footer;
mod header;
mod help;
mod pane;
mod table;
#[cfg(test)]
mod tests;

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use tearless::usage::MemoryUsage;

use self::canvas::Canvas;
use super::column::Side;
use super::detail::Detail;
use super::palette::Palette;
use super::row::Row;
use super::text;
use super::view::{Focus, Mode, Pane, Places, View};

/// Below this size there is nothing to be seen.
pub(super) const MIN: (u16, u16) = (32, 7);

/// From this width on the fields stand beside the table, and not below.
const BESIDE: u16 = 120;

/// Height of table and pane together from which on both are shown, one below the other.
const BOTH: u16 = 12;

/// All that is to be shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene<'a> {
    pub(super) namespace: &'a str,
    pub(super) rows: &'a [Row],
    pub(super) detail: &'a Detail,
    /// What the namespace's objects take, once that was measured.
    pub(super) memory: Option<MemoryUsage>,
    /// What is wrong with the namespace as a whole.
    pub(super) trouble: Option<&'a str>,
    /// That there is no such namespace, and which one may be meant.
    pub(super) missing: Option<&'a str>,
    pub(super) interval: Duration,
    /// Now, since the program began.
    pub(super) at: Duration,
    pub(super) palette: Palette,
}

/// Draws a frame, and notes in `view` where what is.
pub(super) fn draw(buffer: &mut Buffer, area: Rect, view: &mut View, scene: &Scene<'_>) {
    let mut canvas = Canvas::new(buffer, area);
    view.places = Places::default();
    if area.width < MIN.0 || area.height < MIN.1 {
        return too_small(&mut canvas, scene);
    }
    let parts = Layout::vertical([Constraint::Length(2), Constraint::Fill(1), Constraint::Length(1)]);
    let [head, body, foot] = parts.areas(area);
    header::draw(&mut canvas.part(head), view, scene);
    let (table, pane) = split(body, view.pane);
    table::draw(&mut canvas.part(table), view, scene);
    match pane {
        Some(pane) => pane::draw(&mut canvas.part(pane), view, scene),
        None => view.focus = Focus::Table,
    }
    footer::draw(&mut canvas.part(foot), view, scene);
    if view.mode == Mode::Help {
        help::draw(&mut canvas, scene);
    }
}

/// Where the table is, and where the pane.
fn split(body: Rect, pane: Pane) -> (Rect, Option<Rect>) {
    if pane == Pane::Hidden || (body.width < BESIDE && body.height < BOTH) {
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
    let text = format!("too small: {width}x{height}, needs {}x{}", MIN.0, MIN.1);
    for (y, line) in (0..).zip(text::wrapped(&text, width.into())) {
        canvas.cell((0, y), width, &line, Side::Left, scene.palette.trouble());
    }
}
