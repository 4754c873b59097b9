//! A run of `top` without its terminal: the fleet, the view and the time.

use std::time::{Duration, Instant};

use crossterm::event::Event;
use ratatui::buffer::Buffer;
use tearless::Namespace;

use super::data::Row;
use super::draw;
use super::fleet::Fleet;
use super::input::{self, Next};
use super::inspector::Inspector;
use super::palette::Palette;
use super::view::{Scene, View};
use crate::directory::Directory;

/// How often the rows are sorted. With every frame, similar rows would keep changing places.
const ARRANGE: Duration = Duration::from_secs(1);

/// The fleet and its view.
pub(super) struct Session {
    pub(super) fleet: Fleet,
    view: View,
    inspector: Inspector,
    pub(super) interval: Duration,
    palette: Palette,
    begin: Instant,
    /// When the fleet was last sampled, since `begin`.
    at: Duration,
    /// When the rows were last sorted.
    arranged: Option<Duration>,
}

impl Session {
    pub(super) fn new(
        namespace: Namespace,
        directory: &Directory,
        view: View,
        interval: Duration,
        palette: Palette,
    ) -> Session {
        Session {
            inspector: Inspector::new(namespace.clone()),
            fleet: Fleet::new(namespace, directory),
            view,
            interval,
            palette,
            begin: Instant::now(),
            at: Duration::ZERO,
            arranged: None,
        }
    }

    /// Samples the workers and blocks, unless the screen is frozen.
    pub(super) fn tick(&mut self) {
        if self.view.is_frozen {
            return;
        }
        self.at = self.begin.elapsed();
        let has_other_rows = self.fleet.sample(self.at);
        let is_due = self.arranged.is_none_or(|arranged| self.at.saturating_sub(arranged) >= ARRANGE);
        if is_due || has_other_rows {
            self.arrange();
        } else {
            // A state is a word of the filter, too, and may have changed.
            self.view.list.drop_others(&self.fleet.rows, &self.view.filter);
        }
        self.inspector.look(selected(&self.view, &self.fleet), self.at);
    }

    /// Filters and sorts the rows by the last sample.
    pub(super) fn arrange(&mut self) {
        self.view.arrange(&self.fleet.rows);
        self.arranged = Some(self.at);
    }

    /// Applies an event.
    pub(super) fn handle(&mut self, event: &Event) -> Next {
        let next = input::handle(event, &mut self.view, &self.fleet.rows);
        if self.inspector.is_of_another(selected(&self.view, &self.fleet)) {
            // Even on a frozen screen, the fields of a newly selected worker are read once.
            self.view.pane_top = 0;
            self.inspector.look(selected(&self.view, &self.fleet), self.at);
        }
        next
    }

    /// Draws a frame.
    pub(super) fn draw(&mut self, buffer: &mut Buffer) {
        let scene = Scene {
            namespace: self.fleet.namespace.name(),
            rows: &self.fleet.rows,
            detail: &self.inspector.detail,
            memory: self.fleet.memory,
            trouble: self.fleet.trouble(),
            missing: self.fleet.missing.as_deref(),
            interval: self.interval,
            at: self.at,
            palette: self.palette,
        };
        draw::draw(buffer, &mut self.view, &scene);
    }

    /// The rows that pass the filter, in order.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.view.list.all(&self.fleet.rows)
    }
}

/// The name of the selected worker; `None` also if a block is selected.
fn selected<'a>(view: &View, fleet: &'a Fleet) -> Option<&'a str> {
    let row = view.list.selected_row(&fleet.rows).filter(|row| row.block.is_none());
    row.map(|row| row.name.as_str())
}
