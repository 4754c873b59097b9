//! The two lines at the top: which namespace, how many workers of which state, rates and memory.

use tearless::Health;

use super::Scene;
use super::canvas::Canvas;
use crate::commands::top::column::Side;
use crate::commands::top::view::View;
use crate::health;
use crate::output::{self, bytes, printable};

pub(super) fn draw(canvas: &mut Canvas<'_>, view: &View, scene: &Scene<'_>) {
    let palette = scene.palette;
    let namespace = printable(scene.namespace);
    let count = match scene.rows.len() {
        1 => "1 worker".into(),
        count => format!("{count} workers"),
    };
    let mut texts = vec![
        ("tearless top ", palette.accent()),
        (&*namespace, palette.strong()),
        ("  ", palette.normal()),
        (&count, palette.strong()),
    ];
    let states = states(scene);
    for (index, (health, count)) in states.iter().enumerate() {
        texts.push((if index == 0 { ": " } else { ", " }, palette.normal()));
        texts.push((count, palette.health(*health)));
    }
    canvas.line(0, &texts);
    let flow = flow(view, scene);
    let width = u16::try_from(flow.chars().count()).unwrap_or(u16::MAX);
    let second = second_line(view, scene);
    let style = if scene.trouble.is_some() { palette.trouble() } else { palette.normal() };
    let room = canvas.area().width.saturating_sub(width + 2);
    canvas.cell((0, 1), room, &second, Side::Left, style);
    let style = if view.is_live() { palette.dim() } else { palette.frozen() };
    canvas.cell((room + 2, 1), width, &flow, Side::Right, style);
}

/// How many workers each word is about, the least urgent first, each with a health of that word.
fn states(scene: &Scene<'_>) -> Vec<(Option<Health>, String)> {
    let workers = |word: &&'static str| {
        let rows: Vec<_> = scene.rows.iter().filter(|row| row.word() == *word).collect();
        let first = rows.first()?;
        Some((first.health, format!("{} {word}", rows.len())))
    };
    health::WORDS.iter().rev().filter_map(workers).collect()
}

fn flow(view: &View, scene: &Scene<'_>) -> String {
    if view.is_live() {
        format!("every {}", humantime::format_duration(scene.interval))
    } else {
        " FROZEN ".into()
    }
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
