//! Looking at one channel: often at what costs a few loads, seldom at what costs system calls.

use std::time::Duration;

use tearless::{Bytes, Namespace, Reader, SnapshotInfo, error::AttachError, inspect::WriterState};

use super::row::{Row, State};
use crate::health;
use crate::output::printable;

/// What is kept between two looks at a channel.
#[derive(Debug)]
pub(super) struct Probe {
    /// `None` while the channel can't be attached to.
    reader: Option<Reader<Vec<u8>, Bytes>>,
    /// What the writer was found to be by the last look that made system calls.
    writer: WriterState,
    /// Which writer that was.
    incarnation: u64,
    /// When another writer was seen to have come: it has not been silent for longer than that.
    came: Option<Duration>,
    /// What stands beside the latest state.
    info: Option<SnapshotInfo>,
    /// Retries of readers of this channel that were replaced.
    former_retries: u64,
    /// Since when the channel is in the list no more.
    pub(super) unlisted: Option<Duration>,
}

impl Probe {
    /// Attaches to a channel. Whether that succeeds is the row's to say.
    pub(super) fn attach(namespace: &Namespace, row: &mut Row) -> Probe {
        let mut probe = Probe {
            reader: None,
            writer: WriterState::Unknown,
            incarnation: 0,
            came: None,
            info: None,
            former_retries: 0,
            unlisted: None,
        };
        probe.retry_attach(namespace, row);
        probe
    }

    /// Attaches anew: for a channel that has ended, and stands in the list again.
    pub(super) fn retry_attach(&mut self, namespace: &Namespace, row: &mut Row) {
        self.former_retries += self.reader.as_ref().map_or(0, |reader| reader.statistics().retries);
        self.unlisted = None;
        self.info = None;
        match open(namespace, &row.name) {
            Ok(reader) => {
                row.trouble = None;
                self.reader = Some(reader);
                self.look(row);
            }
            Err(error) => {
                row.trouble = Some(printable(&error.to_string()).into_owned());
                self.reader = None;
            }
        }
    }

    /// Whether the channel that was attached to is no longer written.
    pub(super) fn has_ended(&self) -> bool {
        self.reader.as_ref().is_none_or(Reader::is_closed)
    }

    /// The seldom look: at the writer's lock, and at `/proc`.
    pub(super) fn look(&mut self, row: &mut Row) {
        let Some(reader) = &self.reader else { return };
        self.incarnation = reader.incarnation();
        match reader.writer_state() {
            Ok(state) => self.writer = state,
            Err(error) => {
                self.writer = WriterState::Unknown;
                row.trouble = Some(printable(&error.to_string()).into_owned());
            }
        }
    }

    /// The frequent look: some loads, and of a channel that has published since, the header of a slot.
    pub(super) fn sample(&mut self, at: Duration, row: &mut Row) {
        let Some(reader) = &self.reader else {
            row.state = State::Unreadable;
            return;
        };
        let latest = reader.publication();
        if reader.incarnation() != self.incarnation {
            self.came = Some(at);
            self.look(row);
        }
        self.inform(latest);
        let Some(reader) = &self.reader else { return };
        row.rates.add(at, latest);
        row.pid = Some(reader.writer_pid());
        row.age = self.info.and_then(|info| info.age());
        row.bytes = self.info.map(|info| info.payload_len() as u64);
        row.retries = self.former_retries + reader.statistics().retries;
        row.growths = reader.growths();
        row.state = self.state(reader, at, row.age);
    }

    /// Reads length and date of the latest state, and not a byte of it.
    fn inform(&mut self, latest: u64) {
        let known = self.info.map_or(0, |info| info.publication());
        let Some(reader) = &mut self.reader else { return };
        if latest != known
            && let Some(info) = reader.latest_info()
        {
            self.info = Some(info);
        }
    }

    fn state(&self, reader: &Reader<Vec<u8>, Bytes>, at: Duration, age: Option<Duration>) -> State {
        if reader.is_closed() {
            return State::Closed;
        }
        match self.writer {
            WriterState::Alive => {}
            WriterState::Stopped => return State::Stopped,
            WriterState::Dead => return State::Dead,
            WriterState::Closed => return State::Closed,
            _ => return State::Unknown,
        }
        let present = self.came.map(|came| at.saturating_sub(came));
        let silent = [age, reader.heartbeat_age()].into_iter().flatten().min();
        let silent = silent.map(|silent| present.map_or(silent, |present| silent.min(present)));
        if health::is_stalled(silent, reader.heartbeat_interval()) { State::Stalled } else { State::Alive }
    }
}

/// A reader of a channel of any format.
fn open(namespace: &Namespace, channel: &str) -> Result<Reader<Vec<u8>, Bytes>, AttachError> {
    namespace.reader_builder::<Vec<u8>>(channel).codec::<Bytes>().accept(tearless::accept::Any).open()
}
