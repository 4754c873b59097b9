//! One channel, attached for as long as it exists.

use std::sync::Arc;
use std::time::Duration;

use tearless::dynamic::DynamicReader;
use tearless::{
    Namespace, SnapshotInfo,
    accept::Any,
    error::{AttachError, SnapshotError},
    hub::Health,
};

use super::sample::{Content, Fields, Sample};

/// States with longer payloads are not decoded: one channel must not slow the whole scrape down.
pub(super) const MAX_STATE_BYTES: usize = 1 << 20;

/// A channel that stays attached between scrapes.
pub(super) struct Source {
    reader: DynamicReader,
    /// The content that was decoded last, and its publication.
    decoded: Option<(u64, Content)>,
}

impl Source {
    /// # Errors
    ///
    /// As `Namespace::dynamic_reader`.
    pub(super) fn attach(namespace: &Namespace, channel: &str) -> Result<Source, AttachError> {
        let reader = namespace.reader_builder(channel).codec().accept(Any).attach_within(Duration::ZERO);
        Ok(Source { reader: reader.open()?.into(), decoded: None })
    }

    /// Which of the channels of its name this is.
    pub(super) fn instance(&self) -> u64 {
        self.reader.reader().instance()
    }

    /// Retries of all snapshots so far.
    pub(super) fn retries(&self) -> u64 {
        self.reader.reader().statistics().retries
    }

    /// The channel as it is now; `None` if it was removed. Then the next channel of this name has
    /// to be attached to. If the worker is not up, its last state counts only with `last_states`.
    pub(super) fn sample(&mut self, last_states: bool) -> Option<Sample> {
        let reader = self.reader.reader_mut();
        let health = reader.health().ok();
        // Copies no payload, also on a channel with checksums.
        let info = reader.latest_info();
        if health == Some(Health::Closed) && info.is_none() && reader.publication() > 0 {
            return None;
        }
        let mut sample = Sample {
            channel: reader.channel().into(),
            health,
            publications: reader.publication(),
            age: info.as_ref().and_then(SnapshotInfo::age),
            heartbeat_age: reader.heartbeat_age(),
            incarnation: reader.incarnation(),
            growths: reader.growths(),
            bytes: info.as_ref().map(SnapshotInfo::payload_len),
            content: Content::None,
        };
        if sample.is_up() || last_states {
            sample.content = match sample.bytes {
                None => Content::None,
                Some(bytes) if bytes > MAX_STATE_BYTES => Content::Missing("too large"),
                Some(_) => self.decode(),
            };
        }
        Some(sample)
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
            Err(SnapshotError::Contended { .. }) => return Content::Missing("contended"),
            Err(_) => return Content::Missing("unreadable"),
        };
        // It may be a later and longer state than the one above.
        let content = match payload.payload_len() > MAX_STATE_BYTES {
            true => Content::Missing("too large"),
            false => match self.reader.decode(&payload) {
                Ok(state) => Content::Fields(Arc::new(Fields::of(&state))),
                Err(_) => Content::Missing("undecodable"),
            },
        };
        self.decoded = Some((payload.publication(), content.clone()));
        content
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tearless::{Bytes, Namespace};

    use super::{Content, MAX_STATE_BYTES, Source};

    #[test]
    fn a_scrape_copies_no_payload_to_learn_its_age() {
        let name = format!("test-export-source-{}", std::process::id());
        let namespace = Namespace::open(&name).unwrap();
        let builder = namespace.writer_builder::<[u8]>("worker").codec::<Bytes>().checksum(true);
        let mut writer = builder.heartbeat_interval(Duration::from_nanos(1)).open().unwrap();
        writer.publish(&[7; 100]).unwrap();
        let mut source = Source::attach(&namespace, "worker").unwrap();
        // The writer is stalled: its state is not exported.
        let sample = source.sample(false).unwrap();
        assert_eq!((sample.bytes, sample.age.is_some(), sample.is_up()), (Some(100), true, false));
        // Exported, but too large to be decoded.
        writer.publish(&vec![7; MAX_STATE_BYTES + 1]).unwrap();
        let sample = source.sample(true).unwrap();
        assert_eq!(sample.bytes, Some(MAX_STATE_BYTES + 1));
        assert!(matches!(sample.content, Content::Missing("too large")), "{sample:?}");
        let statistics = source.reader.reader().statistics();
        assert_eq!((statistics.snapshots, statistics.bytes), (0, 0), "{statistics:?}");
        writer.close().unwrap();
    }
}
