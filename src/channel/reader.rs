//! The reading side of a channel that is there.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use crossbeam_utils::Backoff;

use super::attaching::Nap;
use super::description::{Description, read_identity};
use super::options::{ReaderOptions, RetryPolicy};
use super::segments::Segments;
use super::{ChannelName, SnapshotError};
use crate::checksum;
use crate::clock;
use crate::layout::{Kind, Publication, Side, control};
use crate::liveness::Fate;
use crate::memory::Memory;
use crate::segment::{Backend, ObjectError};
use crate::seqlock::{Attempt, Details, Ending, Generations, Landing, Published, Reader, Reading};

/// How often an attempt follows the writer to a new segment. More in one attempt would take a writer that grows its
/// channel, by system calls, faster than a reader maps it.
const MOST_REMAPS: u32 = 64;

/// A reader of a channel of bytes.
#[derive(Debug)]
pub(crate) struct ChannelReader<B: Backend> {
    reader: Reader<B::View, B::View>,
    segments: Segments<B>,
    channel: String,
    checksum: bool,
    retry: RetryPolicy,
}

/// What has become of a channel's writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WriterState {
    /// It lives. Whether it publishes is another question: see [`Snapshot::age`](crate::Snapshot::age).
    Alive,
    /// It lives, but is stopped by a signal or a debugger. The channel stays its own.
    Stopped,
    /// It died without closing the channel. The last state stays readable; the next writer goes on with it.
    Dead,
    /// It closed the channel, or the channel was removed or made anew after its writer was gone.
    Closed,
    /// The channel's names were removed by hand, and the writer is in another PID namespace.
    Unknown,
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

impl<B: Backend> ChannelReader<B> {
    /// A reader of the channel whose control page this is.
    pub(super) fn start(
        backend: &B,
        name: &ChannelName,
        options: &ReaderOptions,
        page: B::View,
        description: &Description,
    ) -> Self {
        let names = name.objects.clone();
        ChannelReader {
            reader: Reader::new(page),
            segments: Segments { backend: backend.clone(), names, instance: description.instance },
            channel: name.channel.clone(),
            checksum: description.checksum,
            retry: options.retry,
        }
    }

    /// A whole copy of the latest publication. Bounded by the retry policy.
    #[inline]
    pub(crate) fn snapshot(&mut self, landing: &mut impl Landing) -> Result<Received, SnapshotError> {
        match self.snapshot_at_once(landing) {
            Ok(received) => Ok(received),
            Err(missed) => self.snapshot_otherwise(landing, missed),
        }
    }

    /// The usual course of a snapshot, to be compiled in place: one attempt that succeeds. Anything else is for
    /// [`ChannelReader::snapshot_otherwise`].
    #[inline(always)]
    pub(crate) fn snapshot_at_once(&mut self, landing: &mut impl Landing) -> Result<Received, Missed> {
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
        match first {
            Ok((publication, details)) => Ok(Received { publication, details, retries: 0 }),
            Err(miss) => self.snapshot_again(landing, miss),
        }
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
                return Err(Miss::Failed(SnapshotError::Empty { channel: self.channel.clone() }));
            }
        };
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

    /// Maps the segment that is in force on `side`, unless it is replaced meanwhile: then the next look says so.
    #[cold]
    fn remap(&mut self, side: Side, generation: u64) -> Result<(), Miss> {
        let source = match self.segments.view(side, generation) {
            Ok(ring) => {
                self.reader.install(side, generation, ring);
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
            source => Err(Miss::Failed(SnapshotError::Object { channel: self.channel.clone(), source })),
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

    /// Number of the latest publication, 0 before the first. One load.
    #[inline]
    pub(crate) fn latest(&self) -> u64 {
        Published::of_channel(self.reader.control()).peek()
    }

    /// Whether the writer has closed the channel.
    pub(crate) fn is_closed(&self) -> bool {
        Ending::load(self.reader.control()) != Ending::Open
    }

    /// What has become of the writer.
    pub(crate) fn writer_state(&self) -> Result<WriterState, ObjectError> {
        let page = self.reader.control();
        if Ending::load(page) != Ending::Open {
            return Ok(WriterState::Closed);
        }
        let name = self.segments.names.object(Kind::Control);
        if self.segments.backend.is_claimed(&name, page)? == Some(false) {
            return Ok(WriterState::Dead);
        }
        // Somebody has the lock: the writer, or a fork of it that outlives it. Or the name is gone, and with it the way
        // to ask for the lock.
        let identity = read_identity(page);
        Ok(match identity.fate() {
            // A lock does not outlive a boot: it is a container with a boot id of its own.
            Fate::Dead if identity.other_boot().is_some() => WriterState::Unknown,
            Fate::Dead => WriterState::Dead,
            Fate::Stopped => WriterState::Stopped,
            Fate::Running => WriterState::Alive,
            Fate::Unknown if self.segments.backend.is_claimed(&name, page)?.is_none() => WriterState::Unknown,
            Fate::Unknown => WriterState::Alive,
        })
    }

    /// How many writers the channel has had.
    pub(crate) fn incarnation(&self) -> u64 {
        self.reader.control().load(control::INCARNATION)
    }

    /// Process id of the writer, in its own PID namespace.
    pub(crate) fn writer_pid(&self) -> u64 {
        self.reader.control().load(control::PID)
    }

    /// Segments that were replaced by larger or smaller ones, by all writers that the channel has had.
    pub(crate) fn growths(&self) -> u64 {
        self.reader.control().load(control::GROWTHS)
    }

    /// How long ago the writer last said that it is at work; `None` if it never has.
    pub(crate) fn heartbeat(&self) -> Option<Duration> {
        // Relaxed: it carries nothing but itself.
        NonZeroU64::new(self.reader.control().load(control::HEARTBEAT)).map(clock::age)
    }

    /// Within what time the writer promises to say so again; `None` if it promises nothing.
    pub(crate) fn interval(&self) -> Option<Duration> {
        // Relaxed: it carries nothing but itself.
        let interval = NonZeroU64::new(self.reader.control().load(control::INTERVAL))?;
        Some(Duration::from_nanos(interval.get()))
    }

    pub(crate) fn channel(&self) -> &str {
        &self.channel
    }

    #[cold]
    fn closed(&self) -> SnapshotError {
        SnapshotError::Closed { channel: self.channel.clone(), last: self.latest() }
    }

    #[cold]
    fn given_up(&self, miss: Miss, attempts: u32, waited: Duration) -> SnapshotError {
        let channel = self.channel.clone();
        match miss {
            Miss::Failed(error) => error,
            Miss::Vanished(source) => SnapshotError::Object { channel, source },
            Miss::Torn => SnapshotError::Contended { channel, attempts, waited },
        }
    }

    #[cold]
    fn corrupt(&self, publication: Publication, reason: &str) -> SnapshotError {
        let channel = self.channel.clone();
        SnapshotError::Corrupt { channel, publication: publication.get(), reason: reason.into() }
    }

    #[cold]
    fn wrong_length(&self, publication: Publication, len: usize, expected: usize) -> SnapshotError {
        SnapshotError::WrongLength {
            channel: self.channel.clone(),
            publication: publication.get(),
            len,
            expected,
        }
    }
}
