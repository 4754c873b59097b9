//! Checks of one channel: often if they cost a few loads, seldom if they cost system calls.

use std::time::Duration;

use tearless::{Bytes, Namespace, Reader, SnapshotInfo, inspect::WriterState};

use super::data::Row;
use crate::output::escaped;

/// The data that is kept between two checks of a channel.
#[derive(Debug, Default)]
pub(super) struct Probe {
    /// `None` while the channel can't be attached to.
    reader: Option<Reader<Vec<u8>, Bytes>>,
    /// State of the writer at the last check that made system calls, unless it failed.
    writer: Option<WriterState>,
    /// The writer's number at that check.
    incarnation: u64,
    /// Number, length and timestamp of the latest state.
    info: Option<SnapshotInfo>,
    /// Whether its channel has pins, once that is known.
    has_pins: Option<bool>,
    /// Retries of readers of this channel that were replaced.
    former_retries: u64,
    /// When the channel left the registry.
    pub(super) unlisted: Option<Duration>,
}

impl Probe {
    /// Attaches to a channel, also after it has ended and a new one of its name is in the registry.
    /// `row.trouble` says why if that fails.
    pub(super) fn attach(&mut self, namespace: &Namespace, row: &mut Row) {
        self.former_retries += self.reader.as_ref().map_or(0, |reader| reader.statistics().retries);
        self.unlisted = None;
        self.info = None;
        (self.has_pins, row.pinned) = (None, Vec::new());
        let builder = namespace.reader_builder::<Vec<u8>>(&row.name).codec::<Bytes>();
        match builder.accept(tearless::accept::Any).open() {
            Ok(reader) => {
                row.trouble = None;
                self.reader = Some(reader);
                self.look(namespace, row);
            }
            Err(error) => {
                row.trouble = Some(escaped(&error));
                self.reader = None;
            }
        }
    }

    /// Whether it is attached to this one of the channels of its name, which has not ended.
    pub(super) fn follows(&self, instance: u64) -> bool {
        self.reader.as_ref().is_some_and(|reader| !reader.is_closed() && reader.instance() == instance)
    }

    /// The rare check, with system calls: the writer's lock and `/proc`, and the pins.
    pub(super) fn look(&mut self, namespace: &Namespace, row: &mut Row) {
        let Some(reader) = &self.reader else { return };
        self.incarnation = reader.incarnation();
        let state = reader.writer_state();
        self.writer = state.map_err(|error| row.trouble = Some(escaped(&error))).ok();
        // Only an inspection shows the pins, and a channel never changes their number.
        if self.has_pins.unwrap_or(true)
            && let Ok(found) = namespace.inspect(&row.name)
            && found.instance == reader.instance()
        {
            row.pinned = found.pinned;
            self.has_pins = Some(!row.pinned.is_empty());
        }
    }

    /// The frequent check: a few loads, and no system call unless another writer has taken over.
    pub(super) fn sample(&mut self, namespace: &Namespace, at: Duration, row: &mut Row) {
        if self.reader.as_ref().is_some_and(|reader| reader.incarnation() != self.incarnation) {
            self.look(namespace, row);
        }
        let Some(reader) = &mut self.reader else {
            row.health = None;
            return;
        };
        let latest = reader.publication();
        if latest != self.info.map_or(0, |info| info.publication()) {
            self.info = reader.latest_info().or(self.info);
        }
        row.rates.add(at, latest);
        row.pid = Some(reader.writer_pid());
        row.age = self.info.and_then(|info| info.age());
        row.bytes = self.info.map(|info| info.payload_len() as u64);
        row.retries = Some(self.former_retries + reader.statistics().retries);
        row.growths = Some(reader.growths());
        row.health = Some(reader.health_with(self.writer.unwrap_or(WriterState::Unknown)));
    }
}
