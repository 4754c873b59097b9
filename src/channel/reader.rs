//! The reading side of an attached channel.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_utils::Backoff as Spins;

use super::control_page::ControlPage;
use super::options::{Format, ReaderOptions, RetryPolicy};
use super::origin::Host;
use super::pins::ReaderPins;
use super::segments::{Segments, checksum_of_publication};
use super::statistics::ReaderStatistics;
use super::{AttachError, ChannelName, SnapshotError, SnapshotInfo};
use crate::layout::{Kind, Publication, Side, WORD_BYTES, segment};
use crate::memory::{ReadOnlyWords, SlotHeader};
use crate::object::{self, ObjectError, Slept};
use crate::seqlock::{Attempt, ChannelState, Destination, Generations, Part, Reader, Ring, Segment};

/// Maximum number of segments that one attempt maps. A writer that grows its channel makes system
/// calls for each growth, so it is not faster than a reader that maps.
const MAX_REMAPS: u32 = 64;

/// Attempts to read the header of the latest publication. One attempt is a few loads; a writer that
/// overwrites the slot during two attempts in a row is unlikely.
const MAX_INFO_ATTEMPTS: u32 = 64;

/// A reader of a channel of bytes. Clones share the mappings until one of them is replaced.
#[derive(Clone, Debug)]
pub(crate) struct ChannelReader {
    pub(super) reader: Reader<ControlPage<ReadOnlyWords>, ReadOnlyWords>,
    pub(super) segments: Arc<Segments>,
    channel: Arc<str>,
    format: Arc<Format>,
    pub(super) checksum: bool,
    /// The host that a mirrored channel is of.
    host: Option<Host>,
    pub(super) pins: ReaderPins,
    /// The lowest channel state, as a word, at which `try_fast` makes no attempt: *removed*, or 0
    /// if snapshots always need more.
    unusual_from: u64,
    pub(super) retry: RetryPolicy,
    /// Counters of the typed reader. A reader that the threads of a hub share counts nothing.
    pub(super) counts: ReaderStatistics,
}

/// Why another attempt may succeed.
enum Retry {
    /// The writer was faster.
    Torn,
    /// The current segment has no name: the channel is being removed, or its names were removed by
    /// hand.
    Unlinked(ObjectError),
}

impl ChannelReader {
    /// A reader of the channel with this page; `None` if its header describes impossible segments.
    pub(super) fn new(
        page: ControlPage<ReadOnlyWords>,
        segments: Segments,
        name: &ChannelName,
        options: &ReaderOptions,
    ) -> Option<ChannelReader> {
        let header = page.header();
        let [Some(first), Some(second)] = Side::BOTH.map(|side| first_segment(&page, &segments, side)) else {
            return None;
        };
        let (has_pins, pins) = (page.pins() > 0, ReaderPins::new(&segments.backend, options.in_place));
        let mut reader = ChannelReader {
            reader: Reader::new(page, [first, second]),
            segments: Arc::new(segments),
            channel: name.channel.as_str().into(),
            format: Arc::new(header.format),
            checksum: header.checksum,
            host: header.mirrored.map(|mirrored| Host::of(&mirrored.host)),
            pins,
            retry: options.retry,
            unusual_from: ChannelState::Removed as u64,
            counts: ReaderStatistics::default(),
        };
        if header.checksum || has_pins {
            reader.leave_fast_path();
        }
        Some(reader)
    }

    /// Of a sealed channel: makes sure that everything but the payloads has memory.
    pub(super) fn admit_headers(&mut self) -> Result<(), ObjectError> {
        let page = self.page();
        // No writer of ours makes a sealed channel with spare slots.
        let first = page.first().filter(|first| first.pins() == 0);
        let first = first.ok_or_else(|| self.segments.impossible_shape(Kind::Control))?;
        let bytes = first.start * WORD_BYTES;
        self.segments.backend.must_have_memory(bytes)?;
        self.segments.backend.populate(page.memory(), 0, bytes)?;
        for side in Side::BOTH {
            self.admit(side, 0)?;
        }
        Ok(())
    }

    /// Of a sealed channel: makes sure that slots of `side` have memory for payloads of up to `len`
    /// bytes, and reads such payloads from here on. `false` if no slot has room for them.
    ///
    /// The object is sparse, and its writer is not trusted to have reserved what it announces: to
    /// load what has no memory could kill this process, and to ask for it could take all there is.
    pub(super) fn admit(&mut self, side: Side, len: u64) -> Result<bool, ObjectError> {
        let (page, backend) = (self.reader.control(), &self.segments.backend);
        let first = page.first().filter(|_| backend.is_sealed()).zip(page.first_segment(side));
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let Some((first, Segment { generation, ring })) =
            first.filter(|(first, _)| len <= first.geometry.capacity())
        else {
            return Ok(false);
        };
        let (ranges, capacity) = first.used(side, len);
        backend.must_have_memory(ranges.iter().map(ExactSizeIterator::len).sum())?;
        for range in ranges {
            backend.populate(page.memory(), range.start, range.len())?;
        }
        self.reader.install(side, generation, ring.with_capacity(capacity));
        Ok(true)
    }

    /// From here on, [`ChannelReader::try_fast`] never succeeds: each snapshot takes more than one
    /// copy.
    pub(crate) fn leave_fast_path(&mut self) {
        self.unusual_from = 0;
    }

    /// A whole copy of the latest publication. Bounded by the retry policy.
    #[inline(always)]
    pub(crate) fn snapshot(
        &mut self,
        destination: &mut impl Destination,
    ) -> Result<SnapshotInfo, SnapshotError> {
        match self.snapshot_fast(destination) {
            Ok(info) => Ok(info),
            Err(torn) => Ok(self.slow(destination, torn)?.by_field()),
        }
    }

    /// [`ChannelReader::try_fast`], counted.
    #[inline(always)]
    pub(crate) fn snapshot_fast(&mut self, destination: &mut impl Destination) -> Result<SnapshotInfo, u32> {
        let info = self.try_fast(destination)?;
        self.count(info);
        Ok(info)
    }

    /// The fast path of a snapshot, compiled in place: one attempt that succeeds. Otherwise returns
    /// the number of torn attempts, 0 or 1, for [`ChannelReader::slow`].
    #[inline(always)]
    pub(crate) fn try_fast(&self, destination: &mut impl Destination) -> Result<SnapshotInfo, u32> {
        if ChannelState::word(self.page()) >= self.unusual_from {
            return Err(0);
        }
        match self.reader.try_fast(destination) {
            Ok((publication, header)) => Ok(self.info(publication, header)),
            Err(Some(side)) if self.reader.is_current(side) => Err(1),
            Err(_) => Err(0),
        }
    }

    /// A snapshot after `torn` attempts, 0 or 1, that the fast path lost to the writer.
    #[inline(never)]
    pub(crate) fn slow(
        &mut self,
        destination: &mut impl Destination,
        torn: u32,
    ) -> Result<SnapshotInfo, SnapshotError> {
        let first = if torn == 0 { self.attempt(destination)? } else { Err(Retry::Torn) };
        let info = match first {
            Ok(info) => info,
            Err(retry) => self.retry(destination, retry)?,
        };
        self.count(info);
        Ok(info)
    }

    /// The attempts after the first.
    #[cold]
    fn retry(
        &mut self,
        destination: &mut impl Destination,
        first: Retry,
    ) -> Result<SnapshotInfo, SnapshotError> {
        let mut retry = first;
        let mut retries = 0;
        let begin = Instant::now();
        let mut last_attempt = None;
        let spins = Spins::new();
        loop {
            retries += 1;
            if retries < self.retry.attempts {
                spins.spin();
            } else {
                if last_attempt.get_or_insert_with(Instant::now).elapsed() >= self.retry.deadline {
                    return Err(self.given_up(retry, retries, begin.elapsed()));
                }
                spins.snooze();
            }
            self.counts.retries += 1;
            match self.attempt(destination)? {
                Ok(info) => return Ok(info.after(retries)),
                Err(next) => retry = next,
            }
        }
    }

    /// One attempt at the latest publication, which maps new segments.
    fn attempt(
        &mut self,
        destination: &mut impl Destination,
    ) -> Result<Result<SnapshotInfo, Retry>, SnapshotError> {
        for _ in 0..MAX_REMAPS {
            if self.is_removed() {
                return Err(self.closed());
            }
            let attempt = self.reader.attempt(destination);
            if let Some(result) = self.accept(attempt, destination)? {
                return Ok(result);
            }
        }
        Ok(Err(Retry::Torn))
    }

    /// Turns an attempt into a snapshot, a reason to retry or an error. `None` after it has mapped
    /// a segment: the caller attempts again.
    #[inline]
    fn accept(
        &mut self,
        attempt: Attempt,
        destination: &impl Destination,
    ) -> Result<Option<Result<SnapshotInfo, Retry>>, SnapshotError> {
        match attempt {
            Attempt::Whole { publication, header } => {
                if self.checksum && !verifies(publication, header, destination) {
                    return Err(self.corrupt(publication, "its checksum does not match"));
                }
                Ok(Some(Ok(self.info(publication, header))))
            }
            Attempt::Torn => Ok(Some(Err(Retry::Torn))),
            Attempt::Remap { side, generation } => {
                Ok(self.remap(side, generation)?.map(|source| Err(Retry::Unlinked(source))))
            }
            Attempt::Empty => Err(self.empty()),
            Attempt::Refused { publication, len } => {
                Err(self.wrong_length(publication, len, destination.bytes().len()))
            }
            Attempt::Implausible { publication, len } => {
                let admitted = self.admit(publication.side(), len);
                let object = |source| SnapshotError::Object { channel: self.channel.to_string(), source };
                if admitted.map_err(object)? {
                    return Ok(None);
                }
                Err(self.corrupt(publication, &format!("its slot has no room for {len} bytes")))
            }
        }
    }

    /// A whole copy of a publication that is or was the latest:
    /// [`ControlPage::publication_acquired`] returned this number, or a later one. `None` if it is
    /// overwritten, or its segment replaced and no longer mapped.
    pub(crate) fn read_publication(
        &mut self,
        publication: Publication,
        destination: &mut impl Destination,
    ) -> Result<Option<SnapshotInfo>, SnapshotError> {
        for _ in 0..MAX_REMAPS {
            let attempt = self.reader.attempt_at(publication, destination);
            match self.accept(attempt, destination)? {
                Some(Ok(info)) => {
                    self.count(info);
                    return Ok(Some(info));
                }
                Some(Err(Retry::Torn | Retry::Unlinked(_))) => return Ok(None),
                None => {}
            }
        }
        Ok(None)
    }

    /// Maps `generation` of `side`, which an attempt found to be the current one. If it has been
    /// replaced since, returns `None` as well: the next attempt detects that. Returns an object
    /// error if the current segment has no name, which is a reason to retry.
    #[cold]
    pub(super) fn remap(
        &mut self,
        side: Side,
        generation: u64,
    ) -> Result<Option<ObjectError>, SnapshotError> {
        let source = match self.view_segment(side, generation) {
            Ok(ring) => {
                self.reader.install(side, generation, ring);
                self.counts.remaps += 1;
                return Ok(None);
            }
            Err(source) => source,
        };
        // The writer removes a name only after the next generation is current, or the channel has
        // ended; from then on the name may mean an object of another channel.
        if self.is_removed() {
            return Err(self.closed());
        }
        if Generations(self.page()).current(side) != generation {
            return Ok(None);
        }
        match source {
            // The name was removed by hand, or the channel is being removed.
            ObjectError::NotFound { .. } | ObjectError::Unfinished { .. } => Ok(Some(source)),
            source => Err(SnapshotError::Object { channel: self.channel.to_string(), source }),
        }
    }

    /// The latest publication without its payload, unverified; `None` before the first, and if a
    /// busy writer or an unlinked name prevents reading it.
    pub(crate) fn latest_info(&mut self) -> Option<SnapshotInfo> {
        for _ in 0..MAX_INFO_ATTEMPTS {
            let publication = Publication::new(self.page().publication_acquired())?;
            if let Some(info) = self.info_of(publication) {
                return Some(info);
            }
            // It can't be read, unless it has just been overwritten.
            if self.page().publication() == publication.get() {
                return None;
            }
        }
        None
    }

    /// A publication that is or was the latest, without its payload, unverified; `None` also if it
    /// is overwritten.
    pub(crate) fn info_of(&mut self, publication: Publication) -> Option<SnapshotInfo> {
        let nothing = &mut Part { offset: 0, into: &mut [] };
        for _ in 0..MAX_REMAPS {
            match self.reader.attempt_at(publication, nothing) {
                Attempt::Whole { publication, header } => {
                    return Some(self.info(publication, header));
                }
                Attempt::Remap { side, generation } => {
                    if self.remap(side, generation).ok()?.is_some() {
                        return None;
                    }
                }
                Attempt::Implausible { publication, len } if self.admit(publication.side(), len).ok()? => {}
                _ => return None,
            }
        }
        None
    }

    /// The publication of this number, if the channel may still hold it while `latest` is the
    /// latest one.
    pub(crate) fn within_reach(&self, number: u64, latest: u64) -> Option<Publication> {
        // The first attempt on each side maps the segment that has replaced its mapped one. Until
        // both are mapped, the reach may be too short, so two publications are always tried.
        Publication::new(number).filter(|_| latest - number < self.reader.reach().max(2))
    }

    /// c1 of a cut: see `seqlock::reader`.
    pub(crate) fn collect(&self) -> Option<Publication> {
        self.reader.collect()
    }

    /// c3 of a cut.
    pub(crate) fn is_still_at(&self, collected: Option<Publication>) -> bool {
        self.reader.is_still_at(collected)
    }

    /// Sleeps until a process wakes the channel's waiters, if its latest publication is still
    /// `seen`.
    pub(crate) fn sleep_on_published(&self, seen: u64, timeout: Duration) -> Slept {
        object::sleep(self.page().memory(), crate::layout::control::PUBLISHED, seen, timeout)
    }

    /// The control page.
    #[inline]
    pub(crate) fn page(&self) -> &ControlPage<ReadOnlyWords> {
        self.reader.control()
    }

    /// A segment, current or not. `NotFound` if this instance of the channel has none of that
    /// generation.
    pub(crate) fn view_segment(
        &self,
        side: Side,
        generation: u64,
    ) -> Result<Ring<ReadOnlyWords>, ObjectError> {
        if generation != segment::FIRST {
            return self.segments.view(side, generation);
        }
        let first = first_segment(self.page(), &self.segments, side);
        first.map(|first| first.ring).ok_or_else(|| self.segments.impossible_shape(Kind::Control))
    }

    /// The host that a mirrored channel is of; `None` of any other channel.
    pub(crate) fn host(&self) -> Option<Host> {
        self.host
    }

    /// A publication of this channel, whose slot has this header.
    #[inline(always)]
    pub(super) fn info(&self, publication: Publication, header: SlotHeader) -> SnapshotInfo {
        SnapshotInfo::new(publication, header, self.host)
    }

    /// Whether publications carry a checksum.
    pub(crate) fn has_checksum(&self) -> bool {
        self.checksum
    }

    /// Whether the writer has closed the channel.
    pub(crate) fn is_closed(&self) -> bool {
        self.page().state() != ChannelState::Open
    }

    /// Whether the channel was removed: its name may mean another channel by now.
    #[inline(always)]
    pub(crate) fn is_removed(&self) -> bool {
        self.page().state() == ChannelState::Removed
    }

    /// Number of the latest publication, 0 before the first. One load.
    #[inline]
    pub(crate) fn publication(&self) -> u64 {
        self.page().publication()
    }

    /// A reader of the same channel that has no object mapped but the channel's.
    pub(crate) fn without_segments(mut self) -> Self {
        for side in Side::BOTH {
            if let Some(Segment { generation, ring }) = first_segment(self.page(), &self.segments, side) {
                self.reader.install(side, generation, ring);
            }
        }
        self
    }

    /// Whether a clone of this reader exists, which has the control page mapped, too.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.segments) > 1
    }

    /// Whether it maps segments that the channel has grown by.
    pub(crate) fn has_grown(&self) -> bool {
        self.reader.installed() != [segment::FIRST; 2]
    }

    /// Whether `other` has the same segments of the same channel mapped, and the same pins.
    pub(crate) fn maps_as(&self, other: &ChannelReader) -> bool {
        self.instance() == other.instance()
            && self.reader.installed() == other.reader.installed()
            && self.pins.is_same(&other.pins)
    }

    pub(crate) fn channel(&self) -> &str {
        &self.channel
    }

    /// The channel's name, shared.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.channel
    }

    /// Instance of the channel that it reads.
    pub(crate) fn instance(&self) -> u64 {
        self.segments.instance
    }

    /// Whether the channel's name still means this channel, by a system call.
    pub(crate) fn is_named(&self) -> Result<bool, ObjectError> {
        self.segments.is_named(Kind::Control, self.page().memory().object())
    }

    /// Codec and type of the channel's states.
    pub(crate) fn format(&self) -> &Format {
        &self.format
    }

    /// Whether the channel's states have this format.
    pub(crate) fn has_format(&self, expected: &Format) -> Result<(), AttachError> {
        if self.format.fingerprint == expected.fingerprint { Ok(()) } else { Err(self.mismatch(expected)) }
    }

    /// Whether the channel's states are encoded by the codec of this format, as far as the control
    /// page has room for its name.
    #[cfg(any(feature = "schema", feature = "message-pack"))]
    pub(crate) fn has_codec(&self, expected: &Format) -> Result<(), AttachError> {
        let is_same = self.format.codec == crate::layout::control::CODEC.cut(&expected.codec);
        if is_same { Ok(()) } else { Err(self.mismatch(expected)) }
    }

    /// Counters of this reader.
    pub(crate) fn statistics(&self) -> ReaderStatistics {
        self.counts
    }

    /// Counts a whole copy.
    #[inline(always)]
    fn count(&mut self, info: SnapshotInfo) {
        self.counts.snapshots += 1;
        self.counts.bytes += info.payload_len() as u64;
    }

    fn mismatch(&self, expected: &Format) -> AttachError {
        AttachError::FormatMismatch {
            channel: self.channel.to_string(),
            found_codec: self.format.codec.clone(),
            found_type_name: self.format.type_name.clone(),
            expected_codec: expected.codec.clone(),
            expected_type_name: expected.type_name.clone(),
        }
    }

    /// The error of a channel that has ended.
    #[cold]
    pub(crate) fn closed(&self) -> SnapshotError {
        SnapshotError::Closed { channel: self.channel.to_string(), last: self.publication() }
    }

    #[cold]
    fn given_up(&mut self, retry: Retry, attempts: u32, waited: Duration) -> SnapshotError {
        self.counts.give_ups += 1;
        let channel = self.channel.to_string();
        match retry {
            Retry::Unlinked(source) => SnapshotError::Object { channel, source },
            Retry::Torn => SnapshotError::Contended { channel, attempts, waited },
        }
    }

    #[cold]
    pub(super) fn empty(&self) -> SnapshotError {
        SnapshotError::Empty { channel: self.channel.to_string() }
    }

    #[cold]
    pub(super) fn corrupt(&self, publication: Publication, reason: &str) -> SnapshotError {
        let channel = self.channel.to_string();
        SnapshotError::Corrupt { channel, publication: publication.get(), reason: reason.into() }
    }

    #[cold]
    pub(super) fn wrong_length(
        &self,
        publication: Publication,
        len: usize,
        expected: usize,
    ) -> SnapshotError {
        let channel = self.channel.to_string();
        SnapshotError::WrongLength { channel, publication: publication.get(), len, expected }
    }
}

/// The first segment of `side`. That of a sealed channel has no room until a reader has made sure
/// of its memory: see [`ChannelReader::admit`].
fn first_segment(
    page: &ControlPage<ReadOnlyWords>,
    segments: &Segments,
    side: Side,
) -> Option<Segment<ReadOnlyWords>> {
    let Segment { generation, ring } = page.first_segment(side)?;
    let ring = if segments.backend.is_sealed() { ring.with_capacity(0) } else { ring };
    Some(Segment { generation, ring })
}

/// Whether the checksum of a whole copy is that of its header.
#[inline(never)]
fn verifies(publication: Publication, header: SlotHeader, destination: &impl Destination) -> bool {
    checksum_of_publication(publication, destination.bytes()) == header.checksum
}
