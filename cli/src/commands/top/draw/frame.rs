//! The parts around table and pane: two lines at the top, one at the bottom, and the help over
//! everything.

use ratatui::layout::Rect;
use tearless::hub::Health;

use super::canvas::Canvas;
use crate::commands::top::data::Row;
use crate::commands::top::view::{Mode, Scene, View};
use crate::health;
use crate::output::{self, Side, bytes, printable};

/// Namespace, number of workers by state and of blocks, rates and memory.
pub(super) fn draw_header(canvas: &mut Canvas<'_>, view: &View, scene: &Scene<'_>) {
    let palette = scene.palette;
    let namespace = printable(scene.namespace);
    let all_blocks = scene.rows.iter().filter(|row| row.block.is_some()).count();
    let count = counted(scene.rows.len() - all_blocks, "worker");
    let mut texts = vec![
        ("tearless top ", palette.accent),
        (&*namespace, palette.strong),
        ("  ", palette.normal),
        (&count, palette.strong),
    ];
    let [workers, blocks] = ["channel", "block"].map(|kind| states(scene, kind));
    let all_blocks = counted(all_blocks, "block");
    for (states, kind) in [(&workers, None), (&blocks, Some(&*all_blocks))] {
        if let (Some(kind), false) = (kind, states.is_empty()) {
            texts.extend([("; ", palette.normal), (kind, palette.strong)]);
        }
        for (index, (health, count)) in states.iter().enumerate() {
            texts.push((if index == 0 { ": " } else { ", " }, palette.normal));
            texts.push((count, palette.health(*health)));
        }
    }
    canvas.line(0, &texts);
    let flow = match view.is_frozen {
        true => " FROZEN ".into(),
        false => format!("every {}", humantime::format_duration(scene.interval)),
    };
    let width = u16::try_from(flow.chars().count()).unwrap_or(u16::MAX);
    let second = second_line(view, scene);
    let style = if scene.trouble.is_some() { palette.trouble } else { palette.normal };
    let room = canvas.area().width.saturating_sub(width + 2);
    canvas.cell((0, 1), room, &second, Side::Left, style);
    let style = if view.is_frozen { palette.frozen } else { palette.dim };
    canvas.cell((room + 2, 1), width, &flow, Side::Right, style);
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The number of rows of a kind for each word, the least urgent word first, with a health of that
/// word.
fn states(scene: &Scene<'_>, kind: &str) -> Vec<(Option<Health>, String)> {
    let rows = |word: &&'static str| {
        let has = |row: &&Row| row.word() == *word && row.kind() == kind;
        let rows: Vec<_> = scene.rows.iter().filter(has).collect();
        let first = rows.first()?;
        Some((first.health, format!("{} {word}", rows.len())))
    };
    health::WORDS.iter().rev().filter_map(rows).collect()
}

fn second_line(view: &View, scene: &Scene<'_>) -> String {
    if let Some(trouble) = scene.trouble {
        return trouble.into();
    }
    let rate: f64 = scene.rows.iter().filter_map(|row| row.rates.per_second()).sum();
    let mut line = format!("{} publications/s", output::rate(rate));
    if let Some(memory) = scene.memory {
        line += &format!("  {} in {} objects", bytes(memory.resident), memory.objects);
    }
    if !view.filter.is_empty() {
        line += &format!("  {} match {}", view.list.len(), printable(&view.filter));
    }
    line
}

/// The keys, or the filter while the user types it.
pub(super) fn draw_footer(canvas: &mut Canvas<'_>, view: &View, scene: &Scene<'_>) {
    let palette = scene.palette;
    if view.mode == Mode::Typing {
        let filter = format!("{}▏", printable(&view.filter));
        let texts = [
            ("/", palette.accent),
            (&filter, palette.strong),
            ("  Enter keeps the filter, Esc clears it", palette.dim),
        ];
        return canvas.line(0, &texts);
    }
    let freeze = if view.is_frozen { "continue" } else { "freeze" };
    let fields = if view.is_pane_hidden { "show fields" } else { "hide fields" };
    let keys = [
        ("?", "help"),
        ("q", "quit"),
        ("/", "filter"),
        ("s", "sort"),
        ("r", "reverse"),
        ("space", freeze),
        ("tab", "switch"),
        ("enter", fields),
    ];
    let texts = keys.into_iter().flat_map(|(key, meaning)| {
        [(key, palette.accent), (" ", palette.normal), (meaning, palette.dim), ("  ", palette.normal)]
    });
    canvas.line(0, &texts.collect::<Vec<_>>());
}

const KEYS: [(&str, &str); 13] = [
    ("up down, j k", "select a row; so do the wheel and a click"),
    ("PgUp PgDn Home End", "move by pages, to the ends"),
    ("/", "filter: words in names, a state such as dead, or block"),
    ("s S, > <", "sort by the next column, the previous column"),
    ("1 to 9", "sort by that column; again: reverse"),
    ("click on a head", "the same"),
    ("r", "reverse the order"),
    ("space", "freeze, continue"),
    ("enter", "show or hide the worker's fields"),
    ("tab", "switch between workers and fields"),
    ("Ctrl-Z", "suspend"),
    ("Esc", "leave the fields, clear the filter, quit"),
    ("q, Ctrl-C", "quit"),
];

const STATES: [(&str, &str); 7] = [
    ("alive", "the process of the writer, or of a block's owner, is alive"),
    ("stalled", "alive, but silent for 3 of its intervals"),
    ("stopped", "by a signal or a debugger"),
    ("dead", "ended without closing; the last state is shown"),
    ("closed", "closed the channel, and left the last state"),
    ("VIEWS", "pins that readers hold, of all that the channel has"),
    ("RETRIES", "reads of this program that met a faster writer"),
];

const WIDTH: u16 = 76;

pub(super) fn draw_help(canvas: &mut Canvas<'_>, scene: &Scene<'_>) {
    let whole = canvas.area();
    let lines = u16::try_from(KEYS.len() + STATES.len() + 3).unwrap_or(u16::MAX);
    let (width, height) = (WIDTH.min(whole.width), lines.min(whole.height));
    let (x, y) = (whole.x + (whole.width - width) / 2, whole.y + (whole.height - height) / 2);
    let mut canvas = canvas.part(Rect { x, y, width, height });
    let palette = scene.palette;
    canvas.clear();
    canvas.part(Rect { x, y, width, height: 1 }).style(palette.head);
    canvas.cell((0, 0), width, "  tearless top: any key closes the help", Side::Left, palette.head);
    let gap = [("", "")];
    for (y, (key, meaning)) in (1..).zip(KEYS.iter().chain(&gap).chain(&STATES)) {
        canvas.cell((2, y), 19, key, Side::Left, palette.accent);
        canvas.cell((22, y), width.saturating_sub(23), meaning, Side::Left, palette.normal);
    }
}
