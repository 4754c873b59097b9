//! The reading side of a channel that is there.

use crate::memory::ReadOnlyWords;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_utils::Backoff as Spins;

use super::header::ControlHeader;
use super::options::{Format, ReaderOptions, RetryPolicy};
use super::segments::Segments;
use super::statistics::ReaderStatistics;
use super::{ChannelName, SnapshotError};
use crate::checksum;
use crate::layout::{Publication, Side};
use crate::memory::Page;
use crate::object::{Backend, ObjectError};
use crate::seqlock::{Attempt, ChannelState, Destination, Details, Generations, Part, Reader, Reading};

/// How often an attempt follows the writer to a new segment. More in one attempt would take a writer that grows its
/// channel, by system calls, faster than a reader maps it.
const MAX_REMAPS: u32 = 64;

/// A reader of a channel of bytes. Its clones share what is mapped, and go their own ways when it is replaced.
#[derive(Clone, Debug)]
pub(crate) struct ChannelReader {
    pub(super) reader: Reader<Page<ReadOnlyWords>, ReadOnlyWords>,
    pub(super) segments: Arc<Segments>,
    pub(super) channel: Arc<str>,
    pub(super) format: Arc<Format>,
    checksum: bool,
    pub(super) retry: RetryPolicy,
    /// What the typed reader tells. What threads read through one that a hub lends them is not counted.
    pub(super) counts: ReaderStatistics,
}

/// What was received beside the payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    pub(crate) publication: Publication,
    pub(crate) details: Details,
    /// Attempts that were torn, or met a segment that was being replaced, before this one.
    pub(crate) retries: u32,
}

/// Why a snapshot was not had at once.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Missed {
    /// The writer was faster.
    Torn,
    /// It is not the usual course: a checksum, a segment to map, an error.
    Unusual,
}

/// Why an attempt gave no payload.
enum Miss {
    /// The writer was faster; another attempt may succeed.
    Torn,
    /// The current segment has no name: the channel is being removed, or somebody removed its names.
    Vanished(ObjectError),
    /// It would not.
    Failed(SnapshotError),
}

impl ChannelReader {
    /// A reader of the channel whose control page this is.
    pub(super) fn start(
        backend: &Arc<dyn Backend>,
        name: &ChannelName,
        options: &ReaderOptions,
        page: ReadOnlyWords,
        header: &ControlHeader,
    ) -> Self {
        let names = name.objects.clone();
        ChannelReader {
            reader: Reader::new(Page::new(page)),
            segments: Arc::new(Segments { backend: backend.clone(), names, instance: header.instance }),
            channel: name.channel.as_str().into(),
            format: Arc::new(header.format.clone()),
            checksum: header.checksum,
            retry: options.retry,
            counts: ReaderStatistics::default(),
        }
    }

    /// A whole copy of the latest publication. Bounded by the retry policy.
    #[inline]
    pub(crate) fn snapshot(&mut self, destination: &mut impl Destination) -> Result<Received, SnapshotError> {
        match self.try_fast_counted(destination) {
            Ok(received) => Ok(received),
            Err(missed) => self.slow_snapshot(destination, missed),
        }
    }

    /// The usual course of a snapshot, to be compiled in place: one attempt that succeeds. Anything else is for
    /// [`ChannelReader::slow_snapshot`].
    #[inline(always)]
    pub(crate) fn try_fast(&self, destination: &mut impl Destination) -> Result<Received, Missed> {
        if self.checksum || ChannelState::load(self.reader.control()) == ChannelState::Removed {
            return Err(Missed::Unusual);
        }
        match self.reader.attempt(destination) {
            Attempt::Read(publication, Reading::Whole(details)) => {
                Ok(Received { publication, details, retries: 0 })
            }
            Attempt::Read(_, Reading::Torn) => Err(Missed::Torn),
            _ => Err(Missed::Unusual),
        }
    }

    /// The usual course on a channel with checksums.
    pub(crate) fn try_fast_verified(&self, destination: &mut impl Destination) -> Result<Received, Missed> {
        if self.is_removed() {
            return Err(Missed::Unusual);
        }
        match self.reader.attempt(destination) {
            Attempt::Read(_, Reading::Torn) => Err(Missed::Torn),
            Attempt::Read(publication, Reading::Whole(details)) => {
                let verified = self.verified(publication, details, destination);
                let received = |_| Received { publication, details, retries: 0 };
                verified.map(received).map_err(|_| Missed::Unusual)
            }
            _ => Err(Missed::Unusual),
        }
    }

    /// A snapshot whose first attempt was torn, or has to be made anew, because it is not the usual course.
    #[inline(never)]
    pub(crate) fn slow_snapshot(
        &mut self,
        destination: &mut impl Destination,
        missed: Missed,
    ) -> Result<Received, SnapshotError> {
        let first = match missed {
            Missed::Torn => Err(Miss::Torn),
            Missed::Unusual => self.attempt(destination),
        };
        let received = match first {
            Ok((publication, details)) => Received { publication, details, retries: 0 },
            Err(miss) => self.retry_snapshot(destination, miss)?,
        };
        self.count(received.details);
        Ok(received)
    }

    /// The attempts after the first.
    #[cold]
    fn retry_snapshot(
        &mut self,
        destination: &mut impl Destination,
        first: Miss,
    ) -> Result<Received, SnapshotError> {
        let mut miss = first;
        let mut retries = 0;
        let begin = Instant::now();
        let mut patient_since = None;
        let spins = Spins::new();
        loop {
            if let Miss::Failed(error) = miss {
                return Err(error);
            }
            retries += 1;
            if retries < self.retry.attempts {
                spins.spin();
            } else {
                if patient_since.get_or_insert_with(Instant::now).elapsed() >= self.retry.deadline {
                    return Err(self.given_up(miss, retries, begin.elapsed()));
                }
                spins.snooze();
            }
            self.counts.retries += 1;
            match self.attempt(destination) {
                Ok((publication, details)) => return Ok(Received { publication, details, retries }),
                Err(next) => miss = next,
            }
        }
    }

    /// One attempt: at the protocol, at mapping a new segment if that is what it takes, at the checksum.
    fn attempt(&mut self, destination: &mut impl Destination) -> Result<(Publication, Details), Miss> {
        if ChannelState::load(self.reader.control()) == ChannelState::Removed {
            return Err(Miss::Failed(self.closed()));
        }
        let mut attempt = self.reader.attempt(destination);
        for _ in 0..MAX_REMAPS {
            let Attempt::Remap { side, generation } = attempt else { break };
            self.remap(side, generation)?;
            attempt = self.reader.attempt(destination);
        }
        let (publication, reading) = match attempt {
            Attempt::Read(publication, reading) => (publication, reading),
            Attempt::Remap { .. } => return Err(Miss::Torn),
            Attempt::Empty => {
                return Err(Miss::Failed(SnapshotError::Empty { channel: self.channel.to_string() }));
            }
        };
        self.accept(publication, reading, destination)
    }

    /// What a reading is worth.
    fn accept(
        &self,
        publication: Publication,
        reading: Reading,
        destination: &impl Destination,
    ) -> Result<(Publication, Details), Miss> {
        match reading {
            Reading::Whole(details) if !self.checksum => Ok((publication, details)),
            Reading::Whole(details) => self.verified(publication, details, destination),
            Reading::Torn => Err(Miss::Torn),
            Reading::Refused { len } => {
                Err(Miss::Failed(self.wrong_length(publication, len, destination.bytes().len())))
            }
            Reading::Implausible { len } => {
                Err(Miss::Failed(self.corrupt(publication, &format!("its slot has no room for {len} bytes"))))
            }
        }
    }

    /// A whole copy of a publication that is, or was, the latest one: [`ChannelReader::latest_acquired`] has given this
    /// number, or a later one. `None` if it has been overwritten, or its segment replaced.
    pub(crate) fn read_publication(
        &mut self,
        publication: Publication,
        destination: &mut impl Destination,
    ) -> Result<Option<Received>, SnapshotError> {
        for _ in 0..MAX_REMAPS {
            let details = match self.reader.attempt_at(publication, destination) {
                Attempt::Read(publication, reading) => self.accept(publication, reading, destination),
                Attempt::Remap { side, generation } => match self.remap(side, generation) {
                    Ok(()) => continue,
                    Err(miss) => Err(miss),
                },
                Attempt::Empty => Err(Miss::Torn),
            };
            return match details {
                Ok((publication, details)) => {
                    self.count(details);
                    Ok(Some(Received { publication, details, retries: 0 }))
                }
                Err(Miss::Torn | Miss::Vanished(_)) => Ok(None),
                Err(Miss::Failed(error)) => Err(error),
            };
        }
        Ok(None)
    }

    /// Maps the segment that is in force on `side`, unless it is replaced meanwhile: then the next look says so.
    #[cold]
    fn remap(&mut self, side: Side, generation: u64) -> Result<(), Miss> {
        let source = match self.segments.view(side, generation) {
            Ok(ring) => {
                self.reader.install(side, generation, ring);
                self.counts.remaps += 1;
                return Ok(());
            }
            Err(source) => source,
        };
        // The writer removes a name only after it has made the next generation current, or has ended the channel; what
        // stands under the name then is none of ours.
        if ChannelState::load(self.reader.control()) == ChannelState::Removed {
            return Err(Miss::Failed(self.closed()));
        }
        if Generations(self.reader.control()).current(side) != generation {
            return Ok(());
        }
        match source {
            // Somebody else removed the name, or the channel is just being removed.
            ObjectError::NotFound { .. } | ObjectError::Unfinished { .. } => Err(Miss::Vanished(source)),
            source => Err(Miss::Failed(SnapshotError::Object { channel: self.channel.to_string(), source })),
        }
    }

    #[inline]
    fn verified(
        &self,
        publication: Publication,
        details: Details,
        destination: &impl Destination,
    ) -> Result<(Publication, Details), Miss> {
        if checksum::of(publication, destination.bytes()) == details.checksum {
            return Ok((publication, details));
        }
        Err(Miss::Failed(self.corrupt(publication, "its checksum does not match")))
    }

    /// How many numbers back a publication can be, at most, to be held still; of the sides that are mapped.
    pub(crate) fn reach(&self) -> u64 {
        self.reader.reach()
    }

    /// Whether publications carry a checksum.
    pub(crate) fn has_checksum(&self) -> bool {
        self.checksum
    }

    /// A reader of the same channel that keeps no segment in memory.
    pub(crate) fn without_segments(mut self) -> Self {
        self.reader.uninstall();
        self
    }

    /// What stands beside a publication that is, or was, the latest one, unverified; `None` also if it has been
    /// overwritten.
    pub(super) fn details_of(&mut self, publication: Publication) -> Option<Details> {
        // Nothing of the payload: a checksum can't be verified of it.
        let nothing = &mut Part { offset: 0, into: &mut [] };
        for _ in 0..MAX_REMAPS {
            match self.reader.attempt_at(publication, nothing) {
                Attempt::Read(_, Reading::Whole(details)) => return Some(details),
                Attempt::Remap { side, generation } => self.remap(side, generation).ok()?,
                _ => return None,
            }
        }
        None
    }

    /// What is said of a channel that has ended.
    #[cold]
    pub(crate) fn closed(&self) -> SnapshotError {
        SnapshotError::Closed { channel: self.channel.to_string(), last: self.publication() }
    }

    /// What is said of a payload that the codec can't decode.
    #[cold]
    pub(crate) fn undecodable(
        &self,
        publication: Publication,
        codec: &'static str,
        source: Box<dyn Error + Send + Sync>,
    ) -> SnapshotError {
        let channel = self.channel.to_string();
        SnapshotError::Decode { channel, publication: publication.get(), codec, source }
    }

    #[cold]
    fn given_up(&mut self, miss: Miss, attempts: u32, waited: Duration) -> SnapshotError {
        self.counts.give_ups += 1;
        let channel = self.channel.to_string();
        match miss {
            Miss::Failed(error) => error,
            Miss::Vanished(source) => SnapshotError::Object { channel, source },
            Miss::Torn => SnapshotError::Contended { channel, attempts, waited },
        }
    }

    #[cold]
    fn corrupt(&self, publication: Publication, reason: &str) -> SnapshotError {
        let channel = self.channel.to_string();
        SnapshotError::Corrupt { channel, publication: publication.get(), reason: reason.into() }
    }

    #[cold]
    fn wrong_length(&self, publication: Publication, len: usize, expected: usize) -> SnapshotError {
        SnapshotError::WrongLength {
            channel: self.channel.to_string(),
            publication: publication.get(),
            len,
            expected,
        }
    }
}
