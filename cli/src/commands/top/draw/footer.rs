//! The line at the bottom: the keys, or the filter while it is typed.

use super::Scene;
use super::canvas::Canvas;
use crate::commands::top::view::{Flow, Mode, Pane, View};
use crate::output::printable;

pub(super) fn draw(canvas: &mut Canvas<'_>, view: &View, scene: &Scene<'_>) {
    let palette = scene.palette;
    if view.mode == Mode::Typing {
        let filter = format!("{}▏", printable(&view.filter));
        let texts = [
            ("/", palette.accent()),
            (&filter, palette.strong()),
            ("  Enter keeps the filter, Esc clears it", palette.dim()),
        ];
        return canvas.line(0, &texts);
    }
    let freeze = if view.flow == Flow::Live { "freeze" } else { "go on" };
    let fields = if view.pane == Pane::Shown { "hide fields" } else { "show fields" };
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
    let mut texts = Vec::with_capacity(keys.len() * 4);
    for (key, meaning) in keys {
        texts.extend([(key, palette.accent()), (" ", palette.normal()), (meaning, palette.dim())]);
        texts.push(("  ", palette.normal()));
    }
    canvas.line(0, &texts);
}
