//! The reading side of a channel that is there.

use std::error::Error;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_utils::Backoff;

use super::attaching::Nap;
use super::description::{Description, read_identity};
use super::options::{Format, ReaderOptions, RetryPolicy};
use super::segments::Segments;
use super::statistics::ReaderStatistics;
use super::{AttachError, ChannelName, SnapshotError};
use crate::checksum;
use crate::clock;
use crate::layout::{Kind, Publication, Side, control};
use crate::liveness::Fate;
use crate::memory::{Memory, Page};
use crate::segment::{self, Backend, ObjectError, Slept};
use crate::seqlock::{
    Attempt, Details, Ending, Generations, Landing, Part, Published, Reader, Reading, Waking,
};

/// How often an attempt follows the writer to a new segment. More in one attempt would take a writer that grows its
/// channel, by system calls, faster than a reader maps it.
const MOST_REMAPS: u32 = 64;

/// A reader of a channel of bytes. Its clones share what is mapped, and go their own ways when it is replaced.
#[derive(Clone, Debug)]
pub(crate) struct ChannelReader<B: Backend> {
    reader: Reader<Page<B::View>, B::View>,
    segments: Arc<Segments<B>>,
    channel: Arc<str>,
    format: Arc<Format>,
    checksum: bool,
    retry: RetryPolicy,
    /// What the typed reader tells. What threads read through one that a hub lends them is not counted.
    pub(super) counts: ReaderStatistics,
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

    /// Number of the latest publication, 0 before the first. One load.
    #[inline]
    pub(crate) fn latest(&self) -> u64 {
        Published::of_channel(self.reader.control()).peek()
    }

    /// The same, and everything that the writer did before announcing it.
    pub(crate) fn latest_acquired(&self) -> u64 {
        // A number that no writer stores is given as it is: who sleeps compares it with what stands there.
        Published::of_channel(self.reader.control()).latest().map_or_else(|| self.latest(), Publication::get)
    }

    /// c1 of a cut: see `seqlock::cut`.
    pub(crate) fn collect(&self) -> Option<Publication> {
        self.reader.collect()
    }

    /// c3 of a cut.
    pub(crate) fn is_still_at(&self, collected: Option<Publication>) -> bool {
        self.reader.is_still_at(collected)
    }

    /// Instance of the registry on whose waiters' page the writer looks, 0 if on none.
    pub(crate) fn waiters_instance(&self) -> u64 {
        self.reader.control().load(control::WAITERS)
    }

    /// How the writer wakes those who wait.
    pub(crate) fn waking(&self) -> Waking {
        Waking::load(self.reader.control())
    }

    /// Sleeps until somebody is woken on the channel, if its latest publication is still `seen`.
    pub(crate) fn sleep_on_published(&self, seen: u64, longest: Duration) -> Slept {
        segment::sleep(self.reader.control().memory(), control::PUBLISHED, seen, longest)
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
        if self.segments.backend.is_claimed(&name, page.memory())? == Some(false) {
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
            Fate::Unknown if self.segments.backend.is_claimed(&name, page.memory())?.is_none() => {
                WriterState::Unknown
            }
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

    /// The channel's name, shared.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.channel
    }

    /// Which instance of its name it reads.
    pub(crate) fn instance(&self) -> u64 {
        self.segments.instance
    }

    /// Whether the channel was removed: what stands under its name by now is another one.
    pub(crate) fn is_removed(&self) -> bool {
        Ending::load(self.reader.control()) == Ending::Removed
    }

    /// Whether the other one has mapped what this one has.
    pub(crate) fn maps_as(&self, other: &ChannelReader<B>) -> bool {
        self.instance() == other.instance() && self.reader.installed() == other.reader.installed()
    }

    /// When the latest publication was published, in nanoseconds of the monotonic clock; `None` before the first, of a
    /// writer that doesn't date them, and if it has just been overwritten.
    pub(crate) fn date_of_latest(&mut self) -> Option<NonZeroU64> {
        let publication = Publication::new(self.latest_acquired())?;
        self.date_of(publication)
    }

    /// The same of any publication that is, or was, the latest one.
    pub(crate) fn date_of(&mut self, publication: Publication) -> Option<NonZeroU64> {
        // Nothing of the payload: a checksum can't be verified of it.
        let nothing = &mut Part { offset: 0, into: &mut [] };
        for _ in 0..MOST_REMAPS {
            match self.reader.attempt_at(publication, nothing) {
                Attempt::Read(_, Reading::Whole(details)) => return NonZeroU64::new(details.time),
                Attempt::Remap { side, generation } => self.remap(side, generation).ok()?,
                _ => return None,
            }
        }
        None
    }

    /// Whether the channel's states have this form.
    pub(crate) fn has_format(&self, expected: &Format) -> Result<(), AttachError> {
        let found = &self.format;
        if found.fingerprint == expected.fingerprint {
            return Ok(());
        }
        Err(AttachError::FormatMismatch {
            channel: self.channel.to_string(),
            found_codec: found.codec.clone(),
            found_schema: found.schema.clone(),
            expected_codec: expected.codec.clone(),
            expected_schema: expected.schema.clone(),
        })
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
