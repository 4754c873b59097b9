//! The control page: its words as values, each with its ordering, and the one validation of a
//! channel's object, which it begins.

mod header;
mod owner;

pub(crate) use header::{ControlHeader, read_text, write_text};
pub(crate) use owner::{is_abandoned, owner_of, store_owner};

use std::num::NonZeroU64;
use std::time::Duration;

use super::ChannelName;
use super::options::{SchemaMark, WriterOptions};
use super::segments::FirstSegments;
use crate::clock::{self, TimestampSource, WriterClock};
use crate::layout::{self, ObjectNames, PAGE_BYTES, Publication, Side, WORD_BYTES, control, pins, segment};
use crate::liveness::ProcessIdentity;
use crate::memory::{Memory, MemoryMut, Page, SharedWords};
use crate::object::ObjectError;
use crate::seqlock::ready::{self, Readiness};
use crate::seqlock::{ChannelState, Generations, Published, Ring, Segment, WakeMode};

/// The bits of [`control::TIMESTAMPS`] that have the source.
const SOURCE: u64 = 3;

/// A control page, and where the first segments lie behind it.
#[derive(Clone, Debug)]
pub(crate) struct ControlPage<M> {
    page: Page<M>,
    /// `None` if the header describes an impossible shape: no writer of ours leaves that.
    first: Option<FirstSegments>,
}

/// Why an object is not a channel's that this version can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PageProblem {
    /// It has this many bytes.
    WrongSize(usize),
    /// Its creator has not finished it: it is at work, or died.
    NotReady,
    /// Another version of the layout made it.
    OtherVersion(u64),
    /// It begins with this word.
    Foreign(u64),
}

impl PageProblem {
    /// The error of an object that is not ours.
    pub(super) fn foreign(self, object: String) -> ObjectError {
        let reason = match self {
            PageProblem::WrongSize(bytes) => format!("it has {bytes} bytes, which are not full pages"),
            PageProblem::NotReady => "its creator has not finished it".into(),
            PageProblem::OtherVersion(found) => return ObjectError::OtherVersion { object, found },
            PageProblem::Foreign(found) => {
                let expected = layout::READY;
                format!(
                    "it begins with {found:#018x}, a control page with {expected:#018x} (64-bit \
                     little-endian words)"
                )
            }
        };
        ObjectError::Foreign { object, reason }
    }
}

/// State and latest publication of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) state: ChannelState,
    pub(crate) publication: u64,
}

impl Progress {
    /// Whether the channel was closed or removed.
    pub(crate) fn has_ended(self) -> bool {
        self.state != ChannelState::Open
    }
}

impl<M: Memory> ControlPage<M> {
    /// The page in `memory`, the channel's object, if it is ready and of this version of the
    /// layout.
    pub(crate) fn validate(memory: M) -> Result<ControlPage<M>, PageProblem> {
        let bytes = memory.len() * WORD_BYTES;
        match ready::check(&memory) {
            // Its pages may have any size.
            Readiness::OtherVersion(version) => Err(PageProblem::OtherVersion(version)),
            _ if bytes < PAGE_BYTES || !bytes.is_multiple_of(PAGE_BYTES) => {
                Err(PageProblem::WrongSize(bytes))
            }
            Readiness::Ready => {
                let first = FirstSegments::read(&memory);
                Ok(ControlPage { page: Page::new(memory), first })
            }
            Readiness::NotReady => Err(PageProblem::NotReady),
            Readiness::Foreign(found) => Err(PageProblem::Foreign(found)),
        }
    }

    /// Where the first segments are, if the object has room for what its header describes.
    pub(super) fn first(&self) -> Option<FirstSegments> {
        self.first
    }

    /// The memory of the channel's object.
    pub(crate) fn memory(&self) -> &M {
        self.page.memory()
    }

    pub(crate) fn header(&self) -> ControlHeader {
        ControlHeader::read(self)
    }

    /// The full name that the page holds, if a channel can have it.
    pub(crate) fn name(&self) -> Option<ChannelName> {
        ChannelName::new(&read_text(self, control::NAMESPACE), &read_text(self, control::CHANNEL)).ok()
    }

    /// The random id of this channel among all channels that had its name.
    pub(crate) fn instance(&self) -> u64 {
        self.load(control::INSTANCE)
    }

    pub(crate) fn schema(&self) -> SchemaMark {
        SchemaMark::read(self)
    }

    #[inline]
    pub(crate) fn state(&self) -> ChannelState {
        ChannelState::load(self)
    }

    /// The state and the number of the latest publication: if the channel has ended, the number is
    /// its last.
    pub(crate) fn progress(&self) -> Progress {
        let state = ChannelState::load_before_number(self);
        Progress { state, publication: self.publication_acquired() }
    }

    /// Number of the latest publication, 0 before the first. One load.
    #[inline]
    pub(crate) fn publication(&self) -> u64 {
        Published::of_channel(self).peek()
    }

    /// Number of the latest publication, ordered after everything that the writer did before
    /// announcing it. A number that no writer stores is returned unchanged, because a waiter
    /// compares it with the word that it sleeps on.
    pub(crate) fn publication_acquired(&self) -> u64 {
        Published::of_channel(self).latest().map_or_else(|| self.publication(), Publication::get)
    }

    /// The current generation of `side`, if it is one that a writer can store.
    pub(crate) fn generation(&self, side: Side) -> Option<u64> {
        let generation = Generations(self).current(side);
        (1..=ObjectNames::MAX_GENERATION).contains(&generation).then_some(generation)
    }

    /// The current generations as stored, whether plausible or not.
    pub(crate) fn generations(&self) -> [u64; 2] {
        Side::BOTH.map(|side| Generations(self).current(side))
    }

    /// Identity of the process that writes, or wrote last.
    pub(crate) fn owner(&self) -> ProcessIdentity {
        let owner = owner_of(self);
        // Acquire: the promises that a reader loads after the owner must be this owner's or a later
        // one's, or it would judge a new writer by its predecessor's. Pairs with the release fence
        // in `begin_incarnation`.
        self.fence_acquire();
        owner
    }

    /// Number of writers that the channel has had.
    pub(crate) fn incarnation(&self) -> u64 {
        self.load(control::INCARNATION)
    }

    /// The same, and the number that the channel of another host has had, if this is a copy of it:
    /// these differ as soon as a successor writes, here or there.
    pub(crate) fn writers(&self) -> [u64; 2] {
        [self.incarnation(), self.load(control::ORIGIN_INCARNATION)]
    }

    /// Number of segments that were replaced by larger or smaller ones, by all writers that the
    /// channel has had.
    pub(crate) fn growths(&self) -> u64 {
        self.load(control::GROWTHS)
    }

    // The loads below are Relaxed: each word carries nothing but itself.

    /// Number of pins, and of the spare slots of each segment.
    pub(crate) fn pins(&self) -> usize {
        self.first.map_or(0, FirstSegments::pins)
    }

    /// Payload bytes that a state may have at most.
    pub(crate) fn max_state_len(&self) -> u64 {
        self.load(control::MAX_STATE_LEN)
    }

    /// Payload bytes that fit in a slot of the first segments.
    pub(crate) fn initial_capacity(&self) -> u64 {
        self.first.map_or(0, |first| first.geometry.capacity() as u64)
    }

    /// Time since the writer opened the channel; `None` if it is not known.
    pub(crate) fn opened_ago(&self) -> Option<Duration> {
        NonZeroU64::new(self.load(control::OPENED)).map(clock::age)
    }

    /// Where the timestamps of the present writer's publications come from.
    pub(crate) fn timestamps(&self) -> TimestampSource {
        TimestampSource::of_word(self.load(control::TIMESTAMPS) & SOURCE)
    }

    /// Whether the timestamp of `publication` is one to the nanosecond.
    ///
    /// Relaxed: the caller has acquired the publication. Its writer stored this word before it, and
    /// every later value covers it, too, if its timestamp is to the tick.
    pub(crate) fn is_precise(&self, publication: Publication) -> bool {
        let word = self.load(control::TIMESTAMPS);
        let source = TimestampSource::of_word(word & SOURCE);
        source != TimestampSource::Coarse && publication.get() > word / (SOURCE + 1)
    }

    /// Time since the writer's last heartbeat; `None` before the first.
    pub(crate) fn heartbeat_age(&self) -> Option<Duration> {
        NonZeroU64::new(self.load(control::HEARTBEAT)).map(clock::age)
    }

    /// The heartbeat interval that the writer promises, if any.
    pub(crate) fn heartbeat_interval(&self) -> Option<Duration> {
        NonZeroU64::new(self.load(control::HEARTBEAT_INTERVAL)).map(|it| Duration::from_nanos(it.get()))
    }

    /// How long the machine has slept since the writer's last sign of life.
    pub(crate) fn slept_since_sign(&self) -> Duration {
        let before = Duration::from_nanos(self.load(control::SLEPT));
        // Acquire: the times that are loaded after this must be those of the sign with which it was
        // stored, or of later ones. Otherwise a writer that has just woken with the machine would
        // seem to be silent and awake for all that time. Pairs with the release in `set_slept`.
        self.fence_acquire();
        clock::slept().saturating_sub(before)
    }

    /// Time since the writer closed the channel and left its last state, or since its process
    /// exited without closing it; `None` before that.
    pub(crate) fn ended_ago(&self) -> Option<Duration> {
        NonZeroU64::new(self.load(control::ENDED)).map(clock::age)
    }

    /// Number up to which publications may lag behind their worker's state.
    ///
    /// Relaxed: the caller has acquired a publication. Its writer stored this word before it, and
    /// every later value covers it, too, if it is deferred.
    pub(crate) fn deferred(&self) -> u64 {
        self.load(control::DEFERRED)
    }

    /// Instance of the registry whose waiters' page the writer uses, 0 for none.
    pub(crate) fn waiters_instance(&self) -> u64 {
        self.load(control::WAITERS)
    }

    /// How the writer wakes waiters.
    pub(crate) fn wake_mode(&self) -> WakeMode {
        WakeMode::load(self)
    }
}

/// Changes: only by the process that has claimed the page.
impl<M: MemoryMut> ControlPage<M> {
    /// The page of a new channel, in memory of zeroes that only the claim's holder uses and that
    /// has room for the segments. [`ControlPage::declare_ready`] makes it visible.
    pub(super) fn create(memory: M, header: &ControlHeader, first: FirstSegments) -> ControlPage<M> {
        let page = ControlPage { page: Page::new(memory), first: Some(first) };
        header.write(&page);
        page.store(control::DEPTH, first.geometry.depth());
        page.store(control::STRIDE, first.geometry.stride_words() as u64);
        page.store(control::CAPACITY, first.geometry.capacity() as u64);
        page.store(control::PINS, first.pins() as u64);
        for side in Side::BOTH {
            Generations(&page).replace(side, segment::FIRST);
        }
        page
    }

    pub(super) fn declare_ready(&self) {
        ready::declare(self);
    }

    /// Stores all words of a new writer: its promises, then its identity. They replace all words of
    /// the former writer.
    pub(super) fn begin_incarnation(
        &self,
        owner: ProcessIdentity,
        options: &WriterOptions,
        clock: &mut WriterClock,
    ) {
        self.store(control::MAX_STATE_LEN, options.max_state_len as u64);
        // The former writer's waiters' page, heartbeat and end say nothing about this writer.
        WakeMode::Never.store(self);
        self.store(control::WAITERS, 0);
        self.store(control::HEARTBEAT, 0);
        self.store(control::ENDED, 0);
        let interval = options.heartbeat_interval.unwrap_or_default();
        self.store(control::HEARTBEAT_INTERVAL, clock::nanoseconds(interval));
        // A writer without timestamps and without a promise reads no clock here either.
        let opened = match options.heartbeat_interval {
            Some(_) => clock.precise(),
            None => clock.timestamp(),
        };
        self.store(control::OPENED, opened);
        if let Some(slept) = clock.sign(opened) {
            self.set_slept(slept);
        }
        let coarse = match self.timestamps() {
            TimestampSource::Coarse => self.publication(),
            _ => self.load(control::TIMESTAMPS) / (SOURCE + 1),
        };
        let coarse = coarse.min(u64::MAX / (SOURCE + 1)) * (SOURCE + 1);
        self.store(control::TIMESTAMPS, coarse | options.timestamps as u64);
        // The publications of a former writer stay deferred.
        if options.mirrored.is_some() {
            // Until there are news, the last ones are a former mirror's: the origin's writer may
            // have done anything since.
            self.store(control::OPENED, 0);
            let since = NonZeroU64::new(self.load(control::UNREACHABLE));
            self.store(control::UNREACHABLE, since.map_or(self.load(control::NEWS), NonZeroU64::get));
        }
        let deferred = if options.deferred { u64::MAX } else { self.deferred().min(self.publication()) };
        self.store(control::DEFERRED, deferred);
        // Release: the promises above must not become visible after the owner below. Pairs with the
        // acquire fence in `owner`.
        self.fence_release();
        store_owner(self, owner);
        self.store(control::INCARNATION, self.incarnation().wrapping_add(1));
    }

    /// Counts the writers that a restored channel had before this one, and marks those of its
    /// publications that lag behind their worker's state.
    pub(super) fn add_past(&self, writers: u64, deferred: u64) {
        self.store(control::INCARNATION, self.incarnation().wrapping_add(writers));
        self.store(control::DEFERRED, deferred.min(self.publication()));
    }

    /// Opens a channel again that a former writer closed or left.
    pub(super) fn reopen(&self) {
        // Release: a reader that finds the channel open again must find its present owner.
        // Otherwise it would take the former owner, which has closed the channel and ended, for one
        // that died. Pairs with the acquire fence in `writer_state`.
        self.fence_release();
        ChannelState::Open.store(self);
    }

    /// Relaxed: the word carries nothing but itself, and this process is its only writer.
    pub(super) fn set_heartbeat(&self, time: u64) {
        self.store(control::HEARTBEAT, time);
    }

    /// Stores how long the machine had slept at a sign of life, after the sign.
    pub(super) fn set_slept(&self, nanoseconds: u64) {
        // Release: it must not become visible before the sign. Pairs with the acquire fence in
        // `slept_since_sign`.
        self.store_release(control::SLEPT, nanoseconds);
    }

    /// Relaxed: a process that examines the end has found the channel closed, or the lock of an
    /// exited process free, which order its loads after this.
    pub(super) fn set_ended(&self) {
        self.store(control::ENDED, clock::now());
    }

    /// Publication `last` has the worker's final state: it is not deferred, unlike all before it.
    pub(super) fn end_deferral(&self, last: u64) {
        self.store(control::DEFERRED, last.saturating_sub(1));
    }

    /// Relaxed, and a plain counter: this process is its only writer.
    pub(super) fn set_growths(&self, growths: u64) {
        self.store(control::GROWTHS, growths);
    }

    pub(super) fn set_waiters(&self, registry: u64, wake_mode: WakeMode) {
        self.store(control::WAITERS, registry);
        wake_mode.store(self);
    }
}

impl<const W: bool> ControlPage<SharedWords<W>> {
    /// The memory of the pins, if there are any.
    pub(super) fn pins_memory(&self) -> Option<SharedWords<W>> {
        self.memory().part(self.first?.pins_at()?, pins::WORDS)
    }

    /// By pin: the publication that its holder views, 0 for none. Each is loaded once, Relaxed: the
    /// words are for people.
    pub(crate) fn pinned(&self) -> Vec<u64> {
        let pinned =
            |memory: SharedWords<W>| (0..self.pins()).map(|pin| memory.load(pins::PINS + pin)).collect();
        self.pins_memory().map_or_else(Vec::new, pinned)
    }

    /// The first segments, which are current as long as the channel has not grown; `None` if the
    /// object has no room for what its header describes.
    pub(super) fn first_segments(&self) -> Option<[Segment<SharedWords<W>>; 2]> {
        Some([self.first_segment(Side::A)?, self.first_segment(Side::B)?])
    }

    /// The first segment of `side`, which is current as long as that side has not grown; `None` if
    /// the object has no room for what its header describes.
    pub(crate) fn first_segment(&self, side: Side) -> Option<Segment<SharedWords<W>>> {
        let FirstSegments { start, geometry } = self.first?;
        let slots = self.memory().part(start + side.index() * geometry.words(), geometry.words())?;
        Some(Segment { generation: segment::FIRST, ring: Ring::new(slots, geometry) })
    }
}

impl<M: Memory> Memory for ControlPage<M> {
    fn len(&self) -> usize {
        self.page.len()
    }
    #[inline(always)]
    fn load(&self, word: usize) -> u64 {
        self.page.load(word)
    }
    #[inline]
    fn fence_acquire(&self) {
        self.page.fence_acquire();
    }
}

impl<M: MemoryMut> MemoryMut for ControlPage<M> {
    #[inline(always)]
    fn store(&self, word: usize, value: u64) {
        self.page.store(word, value);
    }
    #[inline(always)]
    fn store_release(&self, word: usize, value: u64) {
        self.page.store_release(word, value);
    }
    #[inline]
    fn fence_release(&self) {
        self.page.fence_release();
    }
}

/// The instance that the page in `memory` names, also one that is not ready or damaged; `None` if
/// the memory is too small for it.
pub(crate) fn instance_of(memory: &impl Memory) -> Option<u64> {
    (control::INSTANCE < memory.len()).then(|| memory.load(control::INSTANCE))
}
