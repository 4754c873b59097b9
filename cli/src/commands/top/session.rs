//! A run of `top`: the fleet, what is seen of it, and the time that passes.

use std::time::{Duration, Instant};

use crossterm::event::Event;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use tearless::Namespace;

use super::draw::{self, Scene};
use super::fleet::{Fleet, Sampled};
use super::input::{self, Next};
use super::inspector::Inspector;
use super::palette::Palette;
use super::row::Row;
use super::view::View;

/// How often rows are put into order again. With every frame, those that are alike would dance.
const ARRANGE: Duration = Duration::from_secs(1);

/// All but the terminal.
#[derive(Debug)]
pub(super) struct Session {
    fleet: Fleet,
    view: View,
    inspector: Inspector,
    interval: Duration,
    palette: Palette,
    begin: Instant,
    /// When the fleet was sampled last, since `begin`.
    at: Duration,
    /// When the rows were put into order last.
    arranged: Option<Duration>,
}

impl Session {
    pub(super) fn new(
        namespace: Namespace,
        trust: &[u32],
        view: View,
        interval: Duration,
        palette: Palette,
    ) -> Session {
        Session {
            inspector: Inspector::new(namespace.clone()),
            fleet: Fleet::new(namespace, trust),
            view,
            interval,
            palette,
            begin: Instant::now(),
            at: Duration::ZERO,
            arranged: None,
        }
    }

    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    /// Looks at the workers, unless the picture is frozen.
    pub(super) fn tick(&mut self) {
        if !self.view.is_live() {
            return;
        }
        self.at = self.begin.elapsed();
        let sampled = self.fleet.sample(self.at);
        let is_due = self.arranged.is_none_or(|arranged| self.at.saturating_sub(arranged) >= ARRANGE);
        if is_due || sampled == Sampled::OtherRows {
            self.view.arrange(self.fleet.rows());
            self.arranged = Some(self.at);
        }
        self.inspector.look(selected(&self.view, &self.fleet), self.at);
    }

    /// Does what an event says.
    pub(super) fn handle(&mut self, event: &Event) -> Next {
        let next = input::handle(event, &mut self.view, self.fleet.rows());
        if self.inspector.is_of_another(selected(&self.view, &self.fleet)) {
            // Also while frozen: its fields are read once, at this moment.
            self.view.pane_top = 0;
            self.inspector.look(selected(&self.view, &self.fleet), self.at);
        }
        next
    }

    /// Draws a frame.
    pub(super) fn draw(&mut self, buffer: &mut Buffer, area: Rect) {
        let scene = Scene {
            namespace: self.fleet.namespace().name(),
            rows: self.fleet.rows(),
            detail: self.inspector.detail(),
            memory: self.fleet.memory(),
            trouble: self.fleet.trouble(),
            missing: self.fleet.missing(),
            interval: self.interval,
            at: self.at,
            palette: self.palette,
        };
        draw::draw(buffer, area, &mut self.view, &scene);
    }

    /// Why not all is seen that there is.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.fleet.trouble()
    }

    /// The rows that pass the filter, in order.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.view.list.all(self.fleet.rows())
    }
}

/// The name of the selected worker.
fn selected<'a>(view: &View, fleet: &'a Fleet) -> Option<&'a str> {
    view.list.selected_row(fleet.rows()).map(|row| row.name.as_str())
}
