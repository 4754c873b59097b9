//! Arbitrary records, and channels with any values.

use super::format::{self, Before, Kind, head};
use super::{SavedOrigin, load};

/// A file of these records, whose checksums match. The numbers choose the kinds.
fn file_of(records: &[(u8, Vec<u8>)]) -> Vec<u8> {
    const KINDS: [Kind; 5] = [Kind::Origin, Kind::Channel, Kind::State, Kind::Unsaved, Kind::End];
    let mut file = head(format::VERSION).to_vec();
    for ((kind, body), index) in records.iter().zip(0..) {
        let before = Before { kind: KINDS[usize::from(*kind) % 5], index, len: body.len() as u64 };
        let begin = file.len();
        file.extend(before.encode());
        file.extend(body);
        let sum = crc32c::crc32c(&file[begin..]);
        file.extend(sum.to_le_bytes());
    }
    file
}

/// Arbitrary records must be a file or a typed error. What is read is written as it was.
pub(crate) fn arbitrary(records: &[(u8, Vec<u8>)]) {
    let _ = load::check(&file_of(records));
    for (_, body) in records {
        if let Ok(channel) = format::decode_channel(body, "fleet") {
            assert_eq!(&format::encode_channel(&channel), body);
        }
        if let Ok(origin) = SavedOrigin::decode(body) {
            assert_eq!(&origin.encode(), body);
        }
        let _ = load::check(body);
    }
}

#[cfg(test)]
mod properties {
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use proptest::prelude::*;

    use super::*;
    use crate::clock::TimestampSource;
    use crate::inspect::{
        ChannelState, Inspection, SchemaInspection, SegmentInspection, SlotInspection, SlotState, WriterState,
    };
    use crate::object::ObjectError;
    use crate::saved::{SavedChannel, SavedError};
    use crate::seqlock::WakeMode;

    /// Values that are made of numbers, in turn.
    struct Source<'a>(std::iter::Cycle<std::slice::Iter<'a, u64>>);

    impl Source<'_> {
        fn number(&mut self) -> u64 {
            *self.0.next().expect("it is endless")
        }

        fn pick<T: Clone>(&mut self, all: &[T]) -> T {
            all[usize::try_from(self.number() % all.len() as u64).unwrap()].clone()
        }

        fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
            self.number().is_multiple_of(2).then(|| make(self))
        }

        fn text(&mut self) -> String {
            format!("ü{:x}\n", self.number())
        }

        fn duration(&mut self) -> Option<Duration> {
            self.maybe(|source| Duration::from_nanos(source.number()))
        }

        fn small(&mut self) -> u32 {
            u32::try_from(self.number() >> 32).unwrap()
        }

        fn segment(&mut self) -> SegmentInspection {
            let slots = self.number() % 5;
            SegmentInspection {
                generation: self.number(),
                depth: self.number(),
                stride: self.number(),
                capacity: self.number(),
                bytes: self.number(),
                slots: (0..slots).map(|_| self.slot()).collect(),
            }
        }

        fn slot(&mut self) -> SlotInspection {
            use SlotState::{Empty, Implausible, Unannounced, Whole, Writing};
            SlotInspection {
                publication: self.number(),
                state: self.pick(&[Empty, Writing, Unannounced, Whole, Implausible]),
                len: self.number(),
                age: self.duration(),
                origin_publication: None,
                published_at: self.duration().map(|since| SystemTime::UNIX_EPOCH + since),
            }
        }

        fn inspection(&mut self) -> Inspection {
            use WriterState::{Alive, Closed, Dead, Exited, Stopped, Unknown, Unreachable};
            let schema = SchemaInspection::Corrupt { reason: self.text() };
            let sources = [TimestampSource::Precise, TimestampSource::Coarse, TimestampSource::None];
            let segments = [0, 1].map(|_| match self.maybe(Source::segment) {
                Some(segment) => Ok(segment),
                None => {
                    let (object, text, kind) = (self.text(), self.text(), 2 + self.number() % 3);
                    let recorded = self.maybe(|_| ObjectError::Recorded { kind, text });
                    Err(Arc::new(recorded.unwrap_or(ObjectError::NotFound { object })))
                }
            });
            Inspection {
                channel: self.text(),
                namespace: "fleet".into(),
                instance: self.number(),
                codec: self.text(),
                type_name: self.text(),
                fingerprint: self.number(),
                checksum: self.pick(&[true, false]),
                permissions: self.small(),
                max_state_len: self.number(),
                owner_uid: self.small(),
                publication: self.number(),
                generations: [self.number(), self.number()],
                state: self.pick(&[ChannelState::Open, ChannelState::Lingering, ChannelState::Removed]),
                writer_pid: self.number(),
                start_time: self.number(),
                incarnation: self.number(),
                opened_ago: self.duration(),
                heartbeat_age: self.duration(),
                heartbeat_interval: self.duration(),
                slept: Duration::from_nanos(self.number()),
                ended_ago: self.duration(),
                timestamps: self.pick(&sources),
                deferred: self.number(),
                wake_mode: self.pick(&[WakeMode::Barriers, WakeMode::Fences, WakeMode::Never]),
                growths: self.number(),
                pinned: (0..self.number() % 4).map(|_| self.number()).collect(),
                schema_bytes: self.maybe(Source::number),
                schema: self.pick(&[SchemaInspection::None, SchemaInspection::Whole, schema]),
                origin: None,
                writer_state: self.pick(&[Alive, Stopped, Dead, Exited, Closed, Unknown, Unreachable]),
                segments,
                next_segments: [self.maybe(Source::segment), self.maybe(Source::segment)],
            }
        }
    }

    proptest! {
        #[test]
        fn a_channel_is_read_as_it_was_written(numbers in prop::collection::vec(any::<u64>(), 50..200)) {
            let mut source = Source(numbers.iter().cycle());
            let channel = SavedChannel {
                inspection: source.inspection(),
                schema: source.maybe(|source| source.text().into_bytes()),
                problem: source.maybe(Source::text),
                states: Vec::new(),
            };
            let body = format::encode_channel(&channel);
            let read = format::decode_channel(&body, "fleet").unwrap();
            prop_assert_eq!(format!("{read:?}"), format!("{channel:?}"));
            prop_assert!(format::decode_channel(&body[..body.len() - 1], "fleet").is_err());
            arbitrary(&[(0, Vec::new()), (1, body.clone()), (4, body)]);
        }

        #[test]
        fn any_records_are_a_file_or_an_error(
            records in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..100)), 0..10),
        ) {
            arbitrary(&records);
        }
    }

    #[test]
    fn records_have_an_order() {
        let origin = SavedOrigin::of_self("fleet").encode();
        let end = 0_u64.to_le_bytes().to_vec();
        let file = |records: &[(u8, &Vec<u8>)]| {
            let records: Vec<_> = records.iter().map(|(kind, body)| (*kind, (*body).clone())).collect();
            load::check(&file_of(&records))
        };
        assert_eq!(file(&[(0, &origin), (4, &end)]).unwrap(), 0);
        let state = vec![1; 40];
        for wrong in [
            &[(4, &end)][..],
            &[(0, &origin), (0, &origin), (4, &end)],
            &[(0, &origin), (2, &state), (4, &end)],
            &[(0, &origin), (4, &end), (4, &end)],
            &[(0, &origin), (4, &state)],
            &[(0, &origin), (2, &end)],
        ] {
            assert!(matches!(file(wrong), Err(SavedError::Damaged { .. })), "{wrong:?}");
        }
        assert!(matches!(file(&[(0, &origin)]), Err(SavedError::Cut { .. })));
    }
}
