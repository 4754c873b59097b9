//! The reading side of a channel that is there.

use crate::memory::ReadOnlyWords;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_utils::Backoff;

use super::attaching::Nap;
use super::description::Description;
use super::options::{Format, ReaderOptions, RetryPolicy};
use super::segments::Segments;
use super::statistics::ReaderStatistics;
use super::{ChannelName, SnapshotError};
use crate::checksum;
use crate::layout::{Publication, Side};
use crate::memory::Page;
use crate::segment::{Backend, ObjectError};
use crate::seqlock::{Attempt, Details, Ending, Generations, Landing, Part, Reader, Reading};

/// How often an attempt follows the writer to a new segment. More in one attempt would take a writer that grows its
/// channel, by system calls, faster than a reader maps it.
const MOST_REMAPS: u32 = 64;

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
    /// The segment in force has no name: the channel is being removed, or somebody removed its names.
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
        description: &Description,
    ) -> Self {
        let names = name.objects.clone();
        ChannelReader {
            reader: Reader::new(Page::new(page)),
            segments: Arc::new(Segments { backend: backend.clone(), names, instance: description.instance }),
            channel: name.channel.as_str().into(),
            format: Arc::new(description.format.clone()),
            checksum: description.checksum,
            retry: options.retry,
            counts: ReaderStatistics::default(),
        }
    }

    /// A whole copy of the latest publication. Bounded by the retry policy.
    #[inline]
    pub(crate) fn snapshot(&mut self, landing: &mut impl Landing) -> Result<Received, SnapshotError> {
        match self.counted_at_once(landing) {
            Ok(received) => Ok(received),
            Err(missed) => self.snapshot_otherwise(landing, missed),
        }
    }

    /// The usual course of a snapshot, to be compiled in place: one attempt that succeeds. Anything else is for
    /// [`ChannelReader::snapshot_otherwise`].
    #[inline(always)]
    pub(crate) fn snapshot_at_once(&self, landing: &mut impl Landing) -> Result<Received, Missed> {
        if self.checksum || Ending::load(self.reader.control()) == Ending::Removed {
            return Err(Missed::Unusual);
        }
        match self.reader.attempt(landing) {
            Attempt::Read(publication, Reading::Whole(details)) => {
                Ok(Received { publication, details, retries: 0 })
            }
            Attempt::Read(_, Reading::Torn) => Err(Missed::Torn),
            _ => Err(Missed::Unusual),
        }
    }

    /// The usual course on a channel with checksums.
    pub(crate) fn verified_at_once(&self, landing: &mut impl Landing) -> Result<Received, Missed> {
        if self.is_removed() {
            return Err(Missed::Unusual);
        }
        match self.reader.attempt(landing) {
            Attempt::Read(_, Reading::Torn) => Err(Missed::Torn),
            Attempt::Read(publication, Reading::Whole(details)) => {
                let verified = self.verified(publication, details, landing);
                let received = |_| Received { publication, details, retries: 0 };
                verified.map(received).map_err(|_| Missed::Unusual)
            }
            _ => Err(Missed::Unusual),
        }
    }

    /// A snapshot whose first attempt was torn, or has to be made anew, because it is not the usual course.
    #[inline(never)]
    pub(crate) fn snapshot_otherwise(
        &mut self,
        landing: &mut impl Landing,
        missed: Missed,
    ) -> Result<Received, SnapshotError> {
        let first = match missed {
            Missed::Torn => Err(Miss::Torn),
            Missed::Unusual => self.attempt(landing),
        };
        let received = match first {
            Ok((publication, details)) => Received { publication, details, retries: 0 },
            Err(miss) => self.snapshot_again(landing, miss)?,
        };
        self.count(received.details);
        Ok(received)
    }

    /// The attempts after the first.
    #[cold]
    fn snapshot_again(&mut self, landing: &mut impl Landing, first: Miss) -> Result<Received, SnapshotError> {
        let mut miss = first;
        let mut retries = 0;
        let begin = Instant::now();
        let mut patient_since = None;
        let backoff = Backoff::new();
        loop {
            if let Miss::Failed(error) = miss {
                return Err(error);
            }
            retries += 1;
            if retries < self.retry.attempts {
                backoff.spin();
            } else {
                if patient_since.get_or_insert_with(Instant::now).elapsed() >= self.retry.deadline {
                    return Err(self.given_up(miss, retries, begin.elapsed()));
                }
                backoff.snooze();
            }
            self.counts.retries += 1;
            match self.attempt(landing) {
                Ok((publication, details)) => return Ok(Received { publication, details, retries }),
                Err(next) => miss = next,
            }
        }
    }

    /// One attempt: at the protocol, at mapping a new segment if that is what it takes, at the checksum.
    fn attempt(&mut self, landing: &mut impl Landing) -> Result<(Publication, Details), Miss> {
        if Ending::load(self.reader.control()) == Ending::Removed {
            return Err(Miss::Failed(self.closed()));
        }
        let mut attempt = self.reader.attempt(landing);
        for _ in 0..MOST_REMAPS {
            let Attempt::Remap { side, generation } = attempt else { break };
            self.remap(side, generation)?;
            attempt = self.reader.attempt(landing);
        }
        let (publication, reading) = match attempt {
            Attempt::Read(publication, reading) => (publication, reading),
            Attempt::Remap { .. } => return Err(Miss::Torn),
            Attempt::Empty => {
                return Err(Miss::Failed(SnapshotError::Empty { channel: self.channel.to_string() }));
            }
        };
        self.accept(publication, reading, landing)
    }

    /// What a reading is worth.
    fn accept(
        &self,
        publication: Publication,
        reading: Reading,
        landing: &impl Landing,
    ) -> Result<(Publication, Details), Miss> {
        match reading {
            Reading::Whole(details) if !self.checksum => Ok((publication, details)),
            Reading::Whole(details) => self.verified(publication, details, landing),
            Reading::Torn => Err(Miss::Torn),
            Reading::Refused { len } => {
                Err(Miss::Failed(self.wrong_length(publication, len, landing.landed().len())))
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
        landing: &mut impl Landing,
    ) -> Result<Option<Received>, SnapshotError> {
        for _ in 0..MOST_REMAPS {
            let details = match self.reader.attempt_at(publication, landing) {
                Attempt::Read(publication, reading) => self.accept(publication, reading, landing),
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
        // The writer removes a name only after it has put the next generation in force, or has ended the channel; what
        // stands under the name then is none of ours.
        if Ending::load(self.reader.control()) == Ending::Removed {
            return Err(Miss::Failed(self.closed()));
        }
        if Generations(self.reader.control()).in_force(side) != generation {
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
        landing: &impl Landing,
    ) -> Result<(Publication, Details), Miss> {
        if checksum::of(publication, landing.landed()) == details.checksum {
            return Ok((publication, details));
        }
        Err(Miss::Failed(self.corrupt(publication, "its checksum does not match")))
    }

    /// Waits for the first publication, at most for `longest`, and copies the latest one.
    pub(crate) fn snapshot_within(
        &mut self,
        longest: Duration,
        landing: &mut impl Landing,
    ) -> Result<Received, SnapshotError> {
        let begin = Instant::now();
        let mut nap = Nap::new();
        while self.latest() == 0 && begin.elapsed() < longest {
            if Ending::load(self.reader.control()) != Ending::Open {
                break;
            }
            nap.take();
        }
        self.snapshot(landing)
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
        for _ in 0..MOST_REMAPS {
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
        SnapshotError::Closed { channel: self.channel.to_string(), last: self.latest() }
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
