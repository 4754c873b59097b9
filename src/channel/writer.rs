//! The writing side of a channel.

mod growth;
mod loan;

pub(crate) use loan::ChannelLoan;

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::control_page::ControlPage;
use super::options::WriterOptions;
use super::segments::{Segments, checksum_of_publication};
use super::statistics::WriterCounts;
use super::status::{self, OriginStatus};
use super::wake::{WaitersPage, Waker};
use super::{ChannelName, PublishError, RemoveError, WriterStatistics};
use crate::clock::WriterClock;
use crate::layout::{Kind, Publication, Side, segment};
use crate::liveness::ProcessIdentity;
use crate::memory::{Slot, SlotHeader, Words};
use crate::object::{self, AtExit, Claim, ForkToken, ObjectError};
use crate::seqlock::{ChannelState, Pins, Segment, WakeMode, Writer};

/// The one writer of a channel of bytes.
pub(crate) struct ChannelWriter {
    pub(super) writer: Writer<ControlPage<Words>, Words>,
    pub(super) segments: Segments,
    channel: String,
    options: WriterOptions,
    pub(crate) owner: ForkToken,
    clock: WriterClock,
    exit: Arc<ExitMark>,
    waker: Waker,
    /// For each side, the minimum capacity of the segment with which the next publication there
    /// replaces the current one; `None` if nothing is scheduled.
    resizing: [Option<usize>; 2],
    /// Sides whose publications need nothing more than a look at the pins.
    is_usual_but_for_pins: [bool; 2],
    growths: u64,
    counts: WriterCounts,
    /// Names of replaced segments that could not be unlinked yet.
    linked: Vec<String>,
    /// The segment that a loan needs, until it is published or dropped.
    lent: Option<Lent>,
    /// Segments of dropped loans that could not be unlinked.
    strays: Vec<(Side, Segment<Words>)>,
    /// The channel has ended, and nothing of it is left to unlink.
    has_ended: bool,
    /// Makes this process the only writer until it is dropped.
    pub(crate) claim: Box<dyn Claim>,
}

/// A segment of the next generation, which is not current yet.
struct Lent {
    side: Side,
    segment: Segment<Words>,
    /// What was scheduled for that side.
    resizing: Option<usize>,
}

/// The current segments of a channel.
pub(super) struct CurrentSegments {
    pub(super) sides: [Segment<Words>; 2],
    /// Number of the last publication, 0 before the first. The segments were checked against it, so
    /// the page's word is not loaded again: another process may have changed it since.
    pub(super) last: u64,
}

impl ChannelWriter {
    /// A writer that continues with these segments. Its page says so, and other processes may query
    /// the claim from here on.
    pub(super) fn begin(
        claim: Box<dyn Claim>,
        page: ControlPage<Words>,
        current: CurrentSegments,
        name: &ChannelName,
        segments: Segments,
        options: WriterOptions,
    ) -> Self {
        let mut clock = WriterClock::new(options.timestamps);
        page.begin_incarnation(ProcessIdentity::of_self(), &options, &mut clock);
        claim.settle();
        let exit = Arc::new(ExitMark(Mutex::new(Some(page.clone()))));
        // Of a mirrored channel, the word has the end of the origin's writer.
        if options.mirrored.is_none() {
            object::at_exit(&exit);
        }
        let (last, growths) = (current.last, page.growths());
        let waker = Waker::of_none(page.memory());
        let pins = page.pins_memory().map(|memory| Pins::new(memory, page.pins()));
        let mut writer = ChannelWriter {
            writer: Writer::resume(page, current.sides, last, pins),
            segments,
            channel: name.channel.clone(),
            options,
            owner: ForkToken::take(),
            clock,
            exit,
            waker,
            resizing: [None; 2],
            is_usual_but_for_pins: [false; 2],
            growths,
            counts: WriterCounts::begin(last, growths),
            linked: Vec::new(),
            lent: None,
            strays: Vec::new(),
            has_ended: false,
            claim,
        };
        writer.update_admitted();
        writer
    }

    /// Publishes `payload` and returns its number. Wait-free unless it grows.
    #[inline(always)]
    pub(crate) fn publish(&mut self, payload: &[u8]) -> Result<u64, PublishError> {
        self.publish_usual(payload).or_else(|read| self.publish_unusual(payload, read))
    }

    /// Publishes what needs no more than a copy into the next slot. Otherwise it has changed
    /// nothing, and returns the time and the count of announcements (p1), if it has read them.
    #[inline(always)]
    pub(crate) fn publish_usual(&mut self, payload: &[u8]) -> Result<u64, Option<(u64, u64)>> {
        let mut read = None;
        if let Some(publication) = self.writer.next()
            && self.owner.is_shown_ours()
        {
            // Before the ring is asked: its answer would occupy registers while the clock is read.
            let (time, waiting) = (self.clock.timestamp(), self.waker.count());
            if self.writer.try_publish(publication, payload, time, 0) {
                // A writer that needs a fence takes the other path.
                return Ok(self.published(publication, payload.len(), time, waiting, WakeMode::Barriers));
            }
            read = Some((time, waiting));
        }
        Err(read)
    }

    /// Publishes what needs more: a checksum, another segment, a fence; or returns why not. `read`
    /// is the time and the count of announcements (p1), if they are known.
    #[cold]
    #[inline(never)]
    fn publish_unusual(&mut self, payload: &[u8], read: Option<(u64, u64)>) -> Result<u64, PublishError> {
        if let (Some((time, waiting)), Some(publication)) = (read, self.writer.next())
            && self.is_usual_but_for_pins[publication.side().index()]
            && payload.len() <= self.options.max_state_len
            && self.writer.try_publish_unviewed(publication, payload, time)
        {
            return Ok(self.published(publication, payload.len(), time, waiting, WakeMode::Barriers));
        }
        let publication = self.begin_unusual()?;
        let side = publication.side();
        let fresh = self.make_room_unpinned(publication, payload.len());
        let published = fresh.map_err(|error| self.failed(error)).map(|fresh| {
            let with_sum = self.options.checksum;
            let checksum = if with_sum { checksum_of_publication(publication, payload) } else { 0 };
            // A growth takes long: what was read before it is outdated.
            let read = read.filter(|_| fresh.is_none());
            let (time, waiting) = read.unwrap_or_else(|| (self.clock.timestamp(), self.waker.count()));
            match fresh {
                None => {
                    self.writer.slot(publication).write(payload);
                    let header = SlotHeader { len: payload.len() as u64, time, checksum };
                    self.writer.publish_loan(publication, header);
                }
                Some(fresh) => {
                    let replaced = self.writer.publish_grown(publication, fresh, payload, time, checksum);
                    self.count_growth(side, &replaced);
                }
            }
            self.published(publication, payload.len(), time, waiting, self.waker.wake_mode)
        });
        self.update_admitted();
        published
    }

    /// The next number, or why this process can't use it.
    fn begin_unusual(&mut self) -> Result<Publication, PublishError> {
        if !self.owner.is_ours() {
            return Err(self.failed(self.forked()));
        }
        // A loan was forgotten, not dropped.
        self.unlink_lent();
        let exhausted = || PublishError::Exhausted { channel: self.channel().into() };
        self.writer.next().ok_or_else(exhausted).map_err(|error| self.failed(error))
    }

    /// w1 and w2: lends the slot of the next publication, of up to `len` bytes. Wait-free unless it
    /// grows.
    #[inline]
    pub(crate) fn loan(&mut self, len: usize) -> Result<ChannelLoan<'_>, PublishError> {
        let publication = match self.writer.next() {
            Some(publication)
                if self.writer.ring(publication.side()).admits(len) && self.owner.is_shown_ours() =>
            {
                self.writer.begin(publication);
                publication
            }
            _ => self.make_room_for_loan(len)?,
        };
        Ok(ChannelLoan::new(self, publication, len))
    }

    /// w1 and w2 of the next publication, for which there is room, perhaps in a fresh segment.
    #[cold]
    #[inline(never)]
    fn make_room_for_loan(&mut self, len: usize) -> Result<Publication, PublishError> {
        let publication = self.begin_unusual()?;
        let side = publication.side();
        let resizing = self.resizing[side.index()];
        let fresh = self.make_room_unpinned(publication, len).map_err(|error| self.failed(error))?;
        if let Some(fresh) = &fresh {
            fresh.ring.begin(fresh.ring.slot(publication), publication);
        }
        // Stored before the loan exists, so that a forgotten loan does not lose the segment.
        self.lent = fresh.map(|segment| Lent { side, segment, resizing });
        self.update_admitted();
        Ok(publication)
    }

    /// Publishes a state that was published before, with the number and the time that it had.
    /// `fill` stores its `len` bytes.
    pub(crate) fn publish_again<E: From<PublishError>>(
        &mut self,
        publication: Publication,
        time: u64,
        len: usize,
        fill: impl FnOnce(&mut ChannelLoan<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.writer.skip_to(publication.get() - 1);
        let mut loan = self.loan(len)?;
        fill(&mut loan)?;
        loan.publish_at(|_| time, None)?;
        Ok(())
    }

    /// Publishes a state of another host: the publication that has the number `origin` there, and
    /// is `age` old.
    pub(crate) fn publish_mirrored(
        &mut self,
        payload: &[u8],
        origin: u64,
        age: Option<Duration>,
    ) -> Result<u64, PublishError> {
        let mut loan = self.loan(payload.len())?;
        loan.write_at(0, payload);
        loan.publish_mirrored(origin, age)
    }

    /// The number that the last publication of a mirrored channel has on its host; 0 before the
    /// first.
    pub(crate) fn origin_publication(&self) -> u64 {
        let last = Publication::new(self.last());
        last.map_or(0, |last| self.writer.ring(last.side()).slot(last).header().checksum)
    }

    /// Stores what the origin says of its writer. In a fork it does nothing.
    pub(crate) fn set_origin_status(&mut self, status: &OriginStatus) {
        if self.owner.is_ours() {
            let now = self.clock.precise();
            status::store_status(self.writer.control(), status, now);
            self.sign(now);
        }
    }

    /// Stores that the last news of the origin is this old, or that it is reachable again. In a
    /// fork it does nothing.
    pub(crate) fn set_unreachable(&mut self, since: Option<Duration>) {
        if self.owner.is_ours() {
            status::store_unreachable(self.writer.control(), since, self.clock.precise());
        }
    }

    /// [`ControlPage::add_past`].
    pub(crate) fn add_past(&self, writers: u64, deferred: u64) {
        self.writer.control().add_past(writers, deferred);
    }

    /// The slot of a loan.
    #[inline]
    fn slot_of_loan(&self, publication: Publication) -> Slot<'_, Words> {
        let current = || self.writer.slot(publication);
        self.lent.as_ref().map_or_else(current, |lent| lent.segment.ring.slot(publication))
    }

    /// Unlinks the segment that a loan created and did not publish, if there is one.
    fn unlink_lent(&mut self) {
        let Some(Lent { side, segment, resizing }) = self.lent.take() else { return };
        let scheduled = &mut self.resizing[side.index()];
        *scheduled = scheduled.or(resizing);
        self.update_admitted();
        if self.segments.unlink(side, &segment).is_err() {
            self.strays.push((side, segment));
        }
    }

    /// After w5: p2, p3 and a sign of life. Returns the number.
    #[inline(always)]
    fn published(
        &mut self,
        publication: Publication,
        len: usize,
        time: u64,
        waiting: u64,
        wake_mode: WakeMode,
    ) -> u64 {
        self.counts.bytes += len as u64;
        if self.waker.must_wake(waiting, wake_mode) {
            self.waker.wake(self.writer.control().memory());
        }
        self.sign(time);
        publication.get()
    }

    /// A sign of life at `time`; none without a timestamp.
    #[inline(always)]
    fn sign(&mut self, time: u64) {
        if time != 0
            && let Some(slept) = self.clock.sign(time)
        {
            self.writer.control().set_slept(slept);
        }
    }

    /// Decides again which payloads `Writer::try_publish` may write itself: none if each needs
    /// more: a checksum, a look at the pins, another segment or a fence for waiters.
    fn update_admitted(&mut self) {
        for side in Side::BOTH {
            let is_usual = !self.options.checksum
                && self.lent.is_none()
                && self.waker.wake_mode != WakeMode::Fences
                && self.resizing[side.index()].is_none();
            let has_pins = self.writer.has_pins();
            self.is_usual_but_for_pins[side.index()] = is_usual && has_pins;
            self.writer.admit(side, (is_usual && !has_pins).then_some(self.options.max_state_len));
        }
    }

    /// Gives a heartbeat: one read of the clock and one store; after a pause, up to ten of each.
    pub(crate) fn touch(&mut self) -> Result<(), PublishError> {
        if !self.owner.is_ours() {
            return Err(self.forked());
        }
        let time = self.clock.precise();
        self.writer.control().set_heartbeat(time);
        self.sign(time);
        Ok(())
    }

    #[cold]
    fn forked(&self) -> PublishError {
        PublishError::Forked { channel: self.channel().into(), owner: self.owner.pid() }
    }

    /// The last publication has the worker's final state.
    pub(crate) fn end_deferral(&mut self) {
        if self.options.deferred && self.owner.is_ours() {
            self.writer.control().end_deferral(self.last());
        }
    }

    /// From here on, wakes processes that announce on `page` that they wait.
    pub(crate) fn wake_waiters_of(&mut self, page: WaitersPage) {
        let Some(waker) = Waker::new(page, &self.channel, self.options.wake_mode) else { return };
        let page = self.writer.control();
        let is_first = page.incarnation() == 1 && page.waiters_instance() == 0;
        page.set_waiters(waker.instance, waker.wake_mode);
        // Processes that wait for a new writer re-read which waiters' page to use. A channel's
        // first writer has none: before this, its control page named no waiters' page.
        if !is_first {
            waker.wake(page.memory());
        }
        self.writer.await_viewers(waker.wake_mode);
        self.waker = waker;
        self.update_admitted();
    }

    /// A sealed channel lingers in any case: its memory ends with its last holder.
    pub(crate) fn set_linger(&mut self, linger: bool) {
        self.options.linger = linger || self.segments.backend.is_sealed();
    }

    /// Ends the channel as the options say. `drop` does it, too, without a result.
    pub(crate) fn end(&mut self) -> Result<(), RemoveError> {
        // A fork of the owner shares its memory and its lock, and must not end what the owner still
        // uses.
        if self.has_ended || !self.owner.is_ours() {
            return Ok(());
        }
        self.unlink_lent();
        if let Some(next) = self.writer.next() {
            self.writer.give_up(next);
        }
        let page = self.writer.control();
        if self.options.mirrored.is_none() || page.ended_ago().is_none() {
            page.set_ended();
        }
        let state = if self.options.linger { ChannelState::Lingering } else { ChannelState::Removed };
        state.store(page);
        self.waker.wake(page.memory());
        if self.options.linger {
            self.has_ended = true;
            return Ok(());
        }
        let (objects, failures): (Vec<String>, Vec<ObjectError>) = self.unlink_all().into_iter().unzip();
        self.has_ended = failures.is_empty();
        let channel = self.channel.clone();
        let left = |source| Err(RemoveError::Left { channel, objects, source });
        failures.into_iter().next().map_or(Ok(()), left)
    }

    /// Unlinks all objects of the channel, the page last: when its name is free, so are those of
    /// the segments. Returns the objects that are left.
    fn unlink_all(&self) -> Vec<(String, ObjectError)> {
        let Segments { backend, names, .. } = &self.segments;
        let unlink = |(kind, memory)| {
            let name = names.object(kind);
            let removed = backend.remove(&name, memory);
            (name, removed)
        };
        let linked = self.linked.iter().map(|name| (name.clone(), self.remove_linked(name)));
        let strays = self.strays.iter();
        let strays = strays.map(|(side, it)| (Kind::Segment(*side, it.generation), it.ring.memory()));
        let mut all: Vec<_> = self.own_segments().chain(strays).map(unlink).chain(linked).collect();
        all.push((names.object(Kind::Control), self.claim.remove()));
        all.into_iter().filter_map(|(name, removed)| Some((name, removed.err()?))).collect()
    }

    /// The segments that have objects of their own.
    fn own_segments(&self) -> impl Iterator<Item = (Kind, &Words)> {
        let grown = |side: &Side| self.writer.generation(*side) != segment::FIRST;
        Side::BOTH
            .into_iter()
            .filter(grown)
            .map(|side| (Kind::Segment(side, self.writer.generation(side)), self.writer.ring(side).memory()))
    }

    /// Whether all objects of the channel still have their names, so that other processes can open
    /// it: a system call for each.
    pub(crate) fn has_all_names(&self) -> Result<bool, ObjectError> {
        for (kind, memory) in self.own_segments() {
            if !self.segments.is_named(kind, memory.object())? {
                return Ok(false);
            }
        }
        self.is_named()
    }

    /// Counts a state that is not published because of `error`.
    #[cold]
    pub(crate) fn failed(&mut self, error: PublishError) -> PublishError {
        self.count_failure();
        error
    }

    /// Counts a state that is not published.
    #[cold]
    pub(crate) fn count_failure(&mut self) {
        self.counts.failed += 1;
    }

    /// Whether the control page still has its name. If so, the segments' names are ours, too.
    fn is_named(&self) -> Result<bool, ObjectError> {
        self.segments.is_named(Kind::Control, self.claim.memory().object())
    }

    /// The channel's name.
    pub(crate) fn channel(&self) -> &str {
        &self.channel
    }

    /// Number of the last publication, 0 before the first.
    pub(crate) fn last(&self) -> u64 {
        self.writer.last()
    }

    /// Payload bytes that fit on both sides without growing.
    pub(crate) fn capacity(&self) -> usize {
        Side::BOTH.map(|side| self.writer.ring(side).geometry().capacity()).into_iter().min().unwrap_or(0)
    }

    /// Slots of both segments.
    pub(crate) fn slots(&self) -> u64 {
        Side::BOTH.map(|side| self.writer.ring(side).geometry().depth()).iter().sum()
    }

    /// Number of segments that were replaced by larger or smaller ones, by all writers that the
    /// channel has had.
    pub(crate) fn growths(&self) -> u64 {
        self.growths
    }

    /// The random id of this channel among all channels that had its name.
    pub(crate) fn instance(&self) -> u64 {
        self.segments.instance
    }

    /// Number of writers that the channel has had, this one included.
    pub(crate) fn incarnation(&self) -> u64 {
        self.writer.control().incarnation()
    }

    pub(crate) fn options(&self) -> &WriterOptions {
        &self.options
    }

    /// Counters of this writer.
    pub(crate) fn statistics(&self) -> WriterStatistics {
        self.counts.statistics(self.last(), self.growths, self.writer.passed())
    }
}

impl Drop for ChannelWriter {
    fn drop(&mut self) {
        let _ = self.end();
        if self.owner.is_ours() {
            *self.exit.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

/// Marks the end of a writer that its process neither drops nor closes before it exits: its page,
/// or `None` once the writer is dropped, because the page may have another writer by now.
struct ExitMark(Mutex<Option<ControlPage<Words>>>);

impl AtExit for ExitMark {
    fn at_exit(self: Arc<Self>, _done: Sender<()>) {
        // A thread that holds the lock is dropping the writer.
        if let Some(page) = self.0.try_lock().ok().as_deref().and_then(Option::as_ref) {
            page.set_ended();
        }
    }
}
