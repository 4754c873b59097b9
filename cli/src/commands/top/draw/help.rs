//! The help, over everything else.

use ratatui::layout::Rect;

use super::Scene;
use super::canvas::Canvas;
use crate::commands::top::column::Side;

const KEYS: [(&str, &str); 13] = [
    ("up down, j k", "select a worker; the wheel and a click do, too"),
    ("PgUp PgDn Home End", "by pages, to the ends"),
    ("/", "filter: words that names contain, or a state (dead)"),
    ("s S, > <", "sort by the next column, by the one before"),
    ("1 to 9", "sort by that column; again: the reverse"),
    ("a click on a head", "the same"),
    ("r", "reverse the order"),
    ("space", "freeze, go on"),
    ("enter", "show or hide the worker's fields"),
    ("tab", "keys scroll the fields, keys select workers"),
    ("Ctrl-Z", "suspend"),
    ("Esc", "leave the fields, clear the filter, quit"),
    ("q, Ctrl-C", "quit"),
];

const STATES: [(&str, &str); 6] = [
    ("alive", "the writer's process lives"),
    ("stalled", "it lives, but was silent for 3 of its intervals"),
    ("stopped", "by a signal or a debugger"),
    ("dead", "it ended without closing; the last state is shown"),
    ("closed", "it closed the channel, and the last state is left"),
    ("RETRIES", "looks of this program that met a faster writer"),
];

const WIDTH: u16 = 76;

pub(super) fn draw(canvas: &mut Canvas<'_>, scene: &Scene<'_>) {
    let whole = canvas.area();
    let lines = u16::try_from(KEYS.len() + STATES.len() + 3).unwrap_or(u16::MAX);
    let (width, height) = (WIDTH.min(whole.width), lines.min(whole.height));
    let (x, y) = (whole.x + (whole.width - width) / 2, whole.y + (whole.height - height) / 2);
    let mut canvas = canvas.part(Rect { x, y, width, height });
    let palette = scene.palette;
    canvas.clear();
    canvas.part(Rect { x, y, width, height: 1 }).style(palette.head());
    canvas.cell((0, 0), width, "  tearless top: any key goes back", Side::Left, palette.head());
    let gap = [("", "")];
    for (y, (key, meaning)) in (1..).zip(KEYS.iter().chain(&gap).chain(&STATES)) {
        canvas.cell((2, y), 19, key, Side::Left, palette.accent());
        canvas.cell((22, y), width.saturating_sub(23), meaning, Side::Left, palette.normal());
    }
}
