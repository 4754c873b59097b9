//! One channel, attached for as long as it is there.

use std::sync::Arc;
use std::time::Duration;

use tearless::dynamic::DynamicReader;
use tearless::{
    Namespace,
    error::{AttachError, SnapshotError},
    inspect::WriterState,
};

use super::field::Fields;
use super::sample::{Content, Sample, Standing};
use crate::health;

/// States with longer payloads are not decoded: one scrape must not become everybody's.
pub(super) const MAX_STATE_BYTES: usize = 1 << 20;

/// Which states are exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum States {
    /// Those that a worker still stands for.
    Current,
    /// Also the last ones of those that don't, marked.
    Last,
}

/// A channel that stays attached between scrapes.
#[derive(Debug)]
pub(super) struct Source {
    reader: DynamicReader,
    /// What was decoded last, and of which publication.
    decoded: Option<(u64, Content)>,
}

impl Source {
    /// # Errors
    ///
    /// As `Namespace::dynamic_reader`.
    pub(super) fn attach(namespace: &Namespace, channel: &str) -> Result<Source, AttachError> {
        let reader = namespace.dynamic_reader_builder(channel).attach_within(Duration::ZERO).open()?;
        Ok(Source { reader, decoded: None })
    }

    /// Attempts that had to be made anew, of all snapshots so far.
    pub(super) fn retries(&self) -> u64 {
        self.reader.reader().statistics().retries
    }

    /// How the channel is now. `None` if it is another one by now, or none: then it has to be attached to
    /// anew.
    pub(super) fn sample(&mut self, states: States) -> Option<Sample> {
        let reader = self.reader.reader_mut();
        let writer = reader.writer_state();
        // Nothing is copied: what is wanted is what stands beside the state.
        let info = match reader.read_at(0, &mut []) {
            Ok(info) => Some(info),
            Err(SnapshotError::Closed { .. }) => return None,
            Err(_) => None,
        };
        let age = info.as_ref().and_then(tearless::SnapshotInfo::age);
        let heartbeat = reader.heartbeat_age();
        let silent = [age, heartbeat].into_iter().flatten().min();
        let standing = match writer {
            Ok(WriterState::Dead) => Standing::Dead,
            Ok(WriterState::Closed) => Standing::Closed,
            Ok(WriterState::Stopped) => Standing::Stopped,
            Ok(WriterState::Alive) if health::is_stalled(silent, reader.heartbeat_interval()) => {
                Standing::Stalled
            }
            Ok(WriterState::Alive) => Standing::Alive,
            Ok(_) => Standing::Unknown,
            Err(_) => Standing::Unreadable,
        };
        let mut sample = Sample {
            channel: reader.channel().into(),
            standing,
            publications: reader.publication(),
            age,
            heartbeat,
            incarnation: reader.incarnation(),
            growths: reader.growths(),
            bytes: info.as_ref().map(tearless::SnapshotInfo::payload_len),
            content: Content::None,
        };
        if standing.is_up() || states == States::Last {
            sample.content = self.content(sample.bytes);
        }
        Some(sample)
    }

    fn content(&mut self, bytes: Option<usize>) -> Content {
        match bytes {
            None => Content::None,
            Some(bytes) if bytes > MAX_STATE_BYTES => Content::TooLarge,
            Some(_) => self.decode(),
        }
    }

    /// Decodes the latest state, unless it is the one of the last scrape.
    fn decode(&mut self) -> Content {
        if let Some((publication, content)) = &self.decoded
            && self.reader.reader().publication() <= *publication
        {
            return content.clone();
        }
        let payload = match self.reader.payload() {
            Ok(payload) => payload,
            Err(SnapshotError::Empty { .. }) => return Content::None,
            Err(SnapshotError::Contended { .. }) => return Content::Contended,
            Err(_) => return Content::Unreadable,
        };
        // It may have grown meanwhile.
        let content = match payload.payload_len() > MAX_STATE_BYTES {
            true => Content::TooLarge,
            false => match self.reader.decode(&payload) {
                Ok(state) => Content::Fields(Arc::new(Fields::of(&state))),
                Err(_) => Content::Undecodable,
            },
        };
        self.decoded = Some((payload.publication(), content.clone()));
        content
    }
}
