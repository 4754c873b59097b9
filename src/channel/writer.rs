//! The writing side of a channel.

use crate::memory::Words;
use std::time::Duration;

use super::budget::SizeLimit;
use super::header::write_identity;
use super::options::WriterOptions;
use super::segments::Segments;
use super::statistics::{WriterCounts, WriterNumbers};
use super::wake::Waker;
use super::{ChannelName, PublishError};
use crate::checksum;
use crate::clock::TimestampSource;
use crate::layout::{Geometry, ObjectNames, Publication, Side, control};
use crate::liveness::ProcessIdentity;
use crate::memory::{Memory, MemoryMut};
use crate::object::{Claim, ForkToken, ObjectError};
use crate::seqlock::{Growth, WakeMode, Writer};

/// The one writer of a channel of bytes.
pub(crate) struct ChannelWriter {
    pub(super) writer: Writer<ClaimedPage, Words>,
    pub(super) segments: Segments,
    channel: String,
    pub(super) options: WriterOptions,
    pub(super) owner: ForkToken,
    /// Wakes those who wait; `None` for a writer that wakes nobody.
    pub(super) waker: Option<Waker>,
    /// Sides whose segment is to be replaced at the next publication by one of this capacity, or of the payload's.
    resizing: [Option<usize>; 2],
    /// Payloads of fewer bytes than that are simply published, by side.
    fits_below: [usize; 2],
    growths: u64,
    pub(super) counts: WriterCounts,
    /// Replaced segments whose names could not be removed yet.
    pub(super) unremoved: Vec<String>,
    /// Nothing of the channel is left to be ended.
    pub(super) has_ended: bool,
    /// The object with the channel's schema, if it has one: to be removed with it.
    pub(super) schema: Option<Words>,
}

/// The control page, with the claim that makes this process its only writer.
pub(super) struct ClaimedPage(pub(super) Box<dyn Claim>);

impl Memory for ClaimedPage {
    fn len(&self) -> usize {
        self.0.memory().len()
    }
    #[inline]
    fn load(&self, word: usize) -> u64 {
        self.0.memory().load(word)
    }
    #[inline]
    fn fence_acquire(&self) {
        self.0.memory().fence_acquire();
    }
}

impl MemoryMut for ClaimedPage {
    #[inline]
    fn store(&self, word: usize, value: u64) {
        self.0.memory().store(word, value);
    }
    #[inline]
    fn store_release(&self, word: usize, value: u64) {
        self.0.memory().store_release(word, value);
    }
    #[inline]
    fn fence_release(&self) {
        self.0.memory().fence_release();
    }
}

impl ChannelWriter {
    /// Begins to write after publication `last` with what is in force on either side.
    pub(super) fn start(
        page: ClaimedPage,
        sides: [Growth<Words>; 2],
        name: &ChannelName,
        segments: Segments,
        options: WriterOptions,
        last: u64,
    ) -> Self {
        write_identity(&page, ProcessIdentity::of_self());
        page.store(control::LIMIT, options.limit as u64);
        // Whose page the former writer looked at says nothing about this one.
        WakeMode::Nobody.store(&page);
        // The former writer's sign of life is none of this one.
        page.store(control::HEARTBEAT, 0);
        page.store(control::INTERVAL, nanoseconds(options.heartbeat_interval));
        // Who doesn't date publications asks no clock here either.
        page.store(control::OPENED, options.timestamps.now());
        page.store(control::DATING, options.timestamps.to_word());
        page.0.settle();
        let growths = page.load(control::GROWTHS);
        let writer = Writer::resume(page, sides, last);
        let channel = name.channel.clone();
        let mut writer = ChannelWriter {
            writer,
            segments,
            channel,
            options,
            owner: ForkToken::take(),
            waker: None,
            resizing: [None; 2],
            fits_below: [0; 2],
            growths,
            counts: WriterCounts::from(WriterNumbers { last, growths }),
            unremoved: Vec::new(),
            has_ended: false,
            schema: None,
        };
        writer.work_out_what_fits();
        writer
    }

    /// Lets both sides become what the options ask for, where what a former writer left is less or of another depth.
    pub(super) fn conform(&mut self) {
        for side in Side::BOTH {
            let found = self.writer.ring(side).geometry();
            let capacity = self.options.capacity.max(found.capacity()).min(self.options.limit);
            let wanted = Geometry::fit(capacity, self.options.depth);
            let depth_differs =
                self.options.depth.is_some() && wanted.is_ok_and(|it| it.depth() != found.depth());
            if found.capacity() < self.options.capacity || depth_differs {
                self.resizing[side.index()] = Some(capacity);
            }
        }
        self.work_out_what_fits();
    }

    /// Publishes `payload` and returns its number. Wait-free unless it grows.
    #[inline(always)]
    pub(crate) fn publish(&mut self, payload: &[u8]) -> Result<u64, PublishError> {
        if !self.owner.is_ours() {
            return Err(self.failed(PublishError::Forked { owner: self.owner.pid() }));
        }
        let Some(publication) = self.writer.next() else {
            return Err(self.failed(PublishError::Exhausted));
        };
        if payload.len() >= self.fits_below[publication.side().index()] {
            return self.slow_publish(publication, payload);
        }
        let time = self.options.timestamps.now();
        let checksum = if self.options.checksum { checksum::of(publication, payload) } else { 0 };
        let waiting = self.waker.as_ref().map_or(0, Waker::count);
        self.writer.publish(publication, payload, time, checksum);
        self.counts.bytes += payload.len() as u64;
        self.answer(waiting);
        Ok(publication.get())
    }

    /// After a publication before which so many had announced that they wait: wakes those who do.
    #[inline(always)]
    fn answer(&mut self, waiting: u64) {
        if let Some(waker) = &mut self.waker
            && waker.must_wake(waiting)
        {
            waker.wake(self.writer.control().0.memory(), control::PUBLISHED);
        }
    }

    /// Says that the writer is at work. Wait-free: one look at the clock and one store.
    pub(crate) fn touch(&mut self) -> Result<(), PublishError> {
        if !self.owner.is_ours() {
            return Err(PublishError::Forked { owner: self.owner.pid() });
        }
        // Relaxed: it carries nothing but itself, and this process is its only writer.
        self.writer.control().store(control::HEARTBEAT, TimestampSource::Precise.now());
        Ok(())
    }

    /// Publishes what does not simply go into the current segment, or says why it can't be published.
    #[cold]
    fn slow_publish(&mut self, publication: Publication, payload: &[u8]) -> Result<u64, PublishError> {
        if payload.len() > self.options.limit {
            let refusal = self.too_large(payload.len(), SizeLimit::Limit);
            return Err(self.failed(refusal));
        }
        let time = self.options.timestamps.now();
        let checksum = if self.options.checksum { checksum::of(publication, payload) } else { 0 };
        let waiting = self.waker.as_ref().map_or(0, Waker::count);
        let published = self.publish_resized(publication, payload, time, checksum);
        // Otherwise nothing came that could answer anybody: an announcement would be taken for answered.
        if published.is_ok() {
            self.answer(waiting);
        }
        self.work_out_what_fits();
        match published {
            Ok(()) => {
                self.counts.bytes += payload.len() as u64;
                Ok(publication.get())
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Works out how large a payload may be to be simply published, after what that depends on has changed.
    fn work_out_what_fits(&mut self) {
        for side in Side::BOTH {
            let max = self.writer.ring(side).geometry().capacity().min(self.options.limit);
            let is_usual = self.resizing[side.index()].is_none();
            self.fits_below[side.index()] = if is_usual { max.saturating_add(1) } else { 0 };
        }
    }

    /// Publishes `payload` into a new segment of a fitting size.
    #[cold]
    fn publish_resized(
        &mut self,
        publication: Publication,
        payload: &[u8],
        time: u64,
        checksum: u64,
    ) -> Result<(), PublishError> {
        let side = publication.side();
        let current = self.writer.ring(side).geometry();
        let capacity = match self.resizing[side.index()] {
            Some(capacity) => payload.len().max(capacity),
            None => payload.len().max(current.capacity().saturating_mul(2)).min(self.options.limit),
        };
        // `options.check` made sure that even the limit has a geometry.
        let geometry = Geometry::fit(capacity, self.options.depth)
            .map_err(|_| self.too_large(payload.len(), SizeLimit::Limit))?;
        let fresh = match geometry == current {
            true => None,
            false => match self.create_affordable(side, geometry, payload.len()) {
                Ok(fresh) => Some(fresh),
                // It need not be replaced: this publication fits, and the next one may try again, unless a budget
                // forbids it: that would be asked at every publication.
                Err(error) if payload.len() <= current.capacity() => {
                    if matches!(error, PublishError::TooLarge { .. }) {
                        self.resizing[side.index()] = None;
                    }
                    self.writer.publish(publication, payload, time, checksum);
                    return Ok(());
                }
                Err(error) => return Err(error),
            },
        };
        self.resizing[side.index()] = None;
        let Some(fresh) = fresh else {
            self.writer.publish(publication, payload, time, checksum);
            return Ok(());
        };
        let replaced = self.writer.publish_grown(publication, fresh, payload, time, checksum);
        self.growths = self.growths.wrapping_add(1);
        // Relaxed, and a plain counter: this process is its only writer.
        self.writer.control().store(control::GROWTHS, self.growths);
        self.retire(side, &replaced);
        Ok(())
    }

    /// Removes the name of a replaced segment, and of those for which that has failed before.
    fn retire(&mut self, side: Side, replaced: &Growth<Words>) {
        if self.segments.retire(side, replaced).is_err() {
            self.unremoved.push(self.segments.name(side, replaced.generation));
        }
        if !self.unremoved.is_empty() && self.is_named() {
            self.unremoved.retain(|name| self.segments.backend.remove_leftover(name).is_err());
        }
    }

    pub(super) fn create_next(
        &self,
        side: Side,
        geometry: Geometry,
        len: usize,
    ) -> Result<Growth<Words>, PublishError> {
        let generation = self.writer.generation(side) + 1;
        if generation > ObjectNames::MAX_GENERATION {
            return Err(PublishError::Exhausted);
        }
        let fresh = || self.segments.create(side, generation, geometry, self.options.mode);
        // Who no longer has the name may be followed by a writer that uses the same names for its segments.
        let created = match self.is_named() {
            false => return Err(PublishError::NamesRemoved),
            true => {
                self.afford(side, geometry, len)?;
                fresh()
            }
        };
        let created = match created {
            Err(ObjectError::Exists { .. }) if !self.is_named() => return Err(PublishError::NamesRemoved),
            Err(ObjectError::Exists { object }) => {
                self.segments.backend.remove_leftover(&object).and_then(|_| fresh())
            }
            created => created,
        };
        created.map_err(|source| self.cannot_grow(geometry, source))
    }

    #[cold]
    pub(super) fn cannot_grow(&self, geometry: Geometry, source: ObjectError) -> PublishError {
        PublishError::Growth { channel: self.channel.clone(), bytes: geometry.object_bytes(), source }
    }

    /// Whether the control page still has its name, and the segments' names are ours with it.
    pub(super) fn is_named(&self) -> bool {
        self.writer.control().0.is_named()
    }

    #[cold]
    pub(super) fn too_large(&self, len: usize, bound: SizeLimit) -> PublishError {
        PublishError::TooLarge { channel: self.channel.clone(), len, limit: self.options.limit, bound }
    }

    /// The channel's name.
    pub(crate) fn channel(&self) -> &str {
        &self.channel
    }

    /// Lets the next publication of either side go into a segment no larger than it needs.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.resizing = [Some(1); 2];
        self.work_out_what_fits();
    }

    /// Number of the last publication, 0 before the first.
    pub(crate) fn last(&self) -> u64 {
        self.writer.last()
    }

    /// Payload bytes that fit on both sides without growing.
    pub(crate) fn capacity(&self) -> usize {
        Side::BOTH.map(|side| self.writer.ring(side).geometry().capacity()).into_iter().min().unwrap_or(0)
    }

    /// The random id of this channel among all of its name.
    pub(crate) fn instance(&self) -> u64 {
        self.segments.instance
    }

    /// How many writers the channel has had, this one included.
    pub(crate) fn incarnation(&self) -> u64 {
        self.writer.control().load(control::INCARNATION)
    }

    pub(crate) fn options(&self) -> &WriterOptions {
        &self.options
    }

    /// Slots of the pair.
    pub(crate) fn slots(&self) -> u64 {
        Side::BOTH.map(|side| self.writer.ring(side).geometry().depth()).iter().sum()
    }

    /// Segments that were replaced by larger or smaller ones, by all writers that the channel has had.
    pub(crate) fn growths(&self) -> u64 {
        self.growths
    }

    pub(crate) fn set_linger(&mut self, linger: bool) {
        self.options.linger = linger;
    }
}

/// An interval as it stands in the control page: 0 for none.
fn nanoseconds(interval: Option<Duration>) -> u64 {
    let interval = interval.unwrap_or_default();
    u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX)
}
