//! The segments that a writer replaces: when, by which, and whether there is room.

use std::mem;

use super::super::PublishError;
use super::super::budget::SizeLimit;
use super::super::segments::Segments;
use super::ChannelWriter;
use crate::layout::{Geometry, Kind, ObjectNames, Publication, Side, segment};
use crate::memory::Words;
use crate::object::ObjectError;
use crate::seqlock::Segment;

impl ChannelWriter {
    /// Schedules both sides for replacement where a former writer's segments are smaller than the
    /// options ask for, or of another depth.
    pub(in crate::channel) fn conform(&mut self) {
        for side in Side::BOTH {
            let found = self.writer.ring(side).geometry();
            let capacity = self.options.capacity.max(found.capacity()).min(self.options.max_state_len);
            let wanted = self.options.geometry(capacity);
            let depth_differs =
                self.options.depth.is_some() && wanted.is_some_and(|it| it.depth() != found.depth());
            if found.capacity() < self.options.capacity || depth_differs {
                self.resizing[side.index()] = Some(capacity);
            }
        }
        self.update_admitted();
    }

    /// Schedules the sides that have grown: the next publication of each goes into a segment no
    /// larger than it needs. The memory of a first segment is the channel's for as long as it
    /// lives.
    pub(crate) fn shrink_to_fit(&mut self) {
        let grown = |side| self.writer.generation(side) != segment::FIRST;
        self.resizing = Side::BOTH.map(|side| grown(side).then_some(1));
        self.update_admitted();
    }

    /// A fresh segment for `publication`, of `len` bytes, or `None` for the current one, in which
    /// it has begun.
    pub(super) fn make_room_unpinned(
        &mut self,
        publication: Publication,
        len: usize,
    ) -> Result<Option<Segment<Words>>, PublishError> {
        let side = publication.side();
        let fresh = self.make_room(side, len)?;
        if fresh.is_some() || self.writer.begin(publication) {
            return Ok(fresh);
        }
        // Readers pin what all slots hold. None can view a fresh segment.
        self.create_affordable(side, self.writer.ring(side).geometry(), len).map(Some)
    }

    /// The segment for a payload of `len` bytes: a fresh one of a fitting size, or `None` for the
    /// current one.
    fn make_room(&mut self, side: Side, len: usize) -> Result<Option<Segment<Words>>, PublishError> {
        let max = self.options.max_state_len;
        if len > max {
            return Err(self.too_large(len, SizeLimit::MaxStateLen));
        }
        let current = self.writer.ring(side).geometry();
        if self.segments.backend.is_sealed() {
            if len > current.capacity() {
                // What is reserved stays: what this state needs comes first. More is a favor to
                // later ones.
                self.widen(side, len)?;
                let _ = self.widen(side, current.capacity().saturating_mul(2).max(len).min(max));
            }
            return Ok(None);
        }
        let capacity = match self.resizing[side.index()] {
            None if len <= current.capacity() => return Ok(None),
            Some(capacity) => len.max(capacity),
            None => len.max(current.capacity().saturating_mul(2)).min(max),
        };
        // `WriterOptions::check` made sure that even the largest state has a geometry.
        let geometry =
            (self.options.geometry(capacity)).ok_or_else(|| self.too_large(len, SizeLimit::MaxStateLen))?;
        let create = || self.create_affordable(side, geometry, len);
        // If the payload fits the current segment, a failure is no error.
        let fits = len <= current.capacity();
        let fresh = match (geometry != current).then(create).transpose() {
            Ok(fresh) => fresh,
            Err(error) if !fits => return Err(error),
            // A budget or the system would refuse again at every publication: the replacement is
            // cancelled.
            Err(PublishError::TooLarge { .. }) => None,
            Err(PublishError::Growth { source: ObjectError::NoHugePages { .. }, .. }) => None,
            // The replacement stays scheduled: the next publication tries again.
            Err(_) => return Ok(None),
        };
        self.resizing[side.index()] = None;
        Ok(fresh)
    }

    /// Reserves more of the slots of `side` of a sealed channel, for payloads of up to `len` bytes.
    fn widen(&mut self, side: Side, len: usize) -> Result<(), PublishError> {
        let page = self.writer.control();
        let Some((first, segment)) = page.first().zip(page.first_segment(side)) else { return Ok(()) };
        let reserved = first.reserve(self.claim.as_ref(), side, len);
        let capacity = reserved.map_err(|source| self.cannot_grow(first.geometry, source))?;
        self.writer.set_ring(side, segment.ring.with_capacity(capacity));
        Ok(())
    }

    /// Creates the next segment of `side`. If a budget has no room for it, but the state needs one,
    /// creates the smallest that holds `len` bytes.
    fn create_affordable(
        &self,
        side: Side,
        geometry: Geometry,
        len: usize,
    ) -> Result<Segment<Words>, PublishError> {
        let created = self.create_next(side, geometry, len);
        let is_needed = len > self.writer.ring(side).geometry().capacity();
        match (created, self.options.geometry(len.max(1))) {
            (Err(PublishError::TooLarge { .. }), Some(smallest)) if is_needed && smallest != geometry => {
                self.create_next(side, smallest, len)
            }
            (created, _) => created,
        }
    }

    /// Whether the budgets have room for another segment of `side`, beside the one that it
    /// replaces. A smaller one gives memory back, unless it replaces a first one, and is not
    /// refused for the moment in which both exist.
    fn afford(&self, side: Side, geometry: Geometry, len: usize) -> Result<(), PublishError> {
        let bytes = geometry.object_bytes();
        let has_object = self.writer.generation(side) != segment::FIRST;
        if has_object && bytes < self.writer.ring(side).geometry().object_bytes() {
            return Ok(());
        }
        let Segments { backend, names, .. } = &self.segments;
        let exceeded = self.options.budgets.exceeded(backend, names, backend.memory_of(bytes) as u64);
        match exceeded.map_err(|source| self.cannot_grow(geometry, source))? {
            Some(over) => Err(self.too_large(len, SizeLimit::Budget(over))),
            None => Ok(()),
        }
    }

    /// Creates the segment of the next generation of `side`.
    fn create_next(
        &self,
        side: Side,
        geometry: Geometry,
        len: usize,
    ) -> Result<Segment<Words>, PublishError> {
        let generation = self.writer.generation(side) + 1;
        if generation > ObjectNames::MAX_GENERATION {
            return Err(PublishError::Exhausted { channel: self.channel().into() });
        }
        // If our control page has been unlinked, another writer may already use these segment
        // names.
        let check_name = || match self.is_named() {
            Ok(true) => Ok(()),
            Ok(false) => Err(PublishError::NamesRemoved { channel: self.channel().into() }),
            Err(source) => Err(self.cannot_grow(geometry, source)),
        };
        check_name()?;
        self.afford(side, geometry, len)?;
        // A process that has changed its user would create a segment that readers refuse.
        let Segments { names, backend, .. } = &self.segments;
        let page = backend.path(&names.object(Kind::Control));
        let status = self.claim.status().and_then(|status| status.must_be_ours(&page));
        status.map_err(|source| self.cannot_grow(geometry, source))?;
        let create = || self.segments.create(side, generation, geometry, self.options.access);
        let created = match create() {
            Err(ObjectError::Exists { .. }) => {
                check_name()?;
                let leftover = names.object(Kind::Segment(side, generation));
                backend.remove_leftover(&leftover).and_then(|_| create())
            }
            created => created,
        };
        let required = created.and_then(|segment| {
            let object = names.object(Kind::Segment(side, generation));
            match self.options.huge_pages.require(backend, &object, segment.ring.memory()) {
                Ok(()) => Ok(segment),
                Err(error) => {
                    let _ = self.segments.unlink(side, &segment);
                    Err(error)
                }
            }
        });
        let created = required.map_err(|source| self.cannot_grow(geometry, source))?;
        self.ask_for_huge_pages(Kind::Segment(side, generation), created.ring.memory());
        Ok(created)
    }

    /// Asks for the huge pages that the options want, and don't require, of one object.
    fn ask_for_huge_pages(&self, kind: Kind, words: &Words) {
        let Segments { names, backend, .. } = &self.segments;
        self.options.huge_pages.ask(backend, &names.object(kind), words);
    }

    /// The same of all objects, once the channel is open.
    pub(crate) fn ask_for_all_huge_pages(&self) {
        self.ask_for_huge_pages(Kind::Control, self.claim.memory());
        self.own_segments().for_each(|(kind, words)| self.ask_for_huge_pages(kind, words));
    }

    /// After a growth of `side`: counts it, and unlinks the replaced segment.
    #[cold]
    pub(super) fn count_growth(&mut self, side: Side, replaced: &Segment<Words>) {
        self.growths = self.growths.wrapping_add(1);
        self.writer.control().set_growths(self.growths);
        if self.segments.unlink(side, replaced).is_err() {
            self.linked.push(self.segments.name(side, replaced.generation));
        }
        let linked = mem::take(&mut self.linked);
        self.linked = linked.into_iter().filter(|name| self.remove_linked(name).is_err()).collect();
    }

    /// Unlinks a replaced segment whose name is still ours.
    pub(super) fn remove_linked(&self, name: &str) -> Result<(), ObjectError> {
        if self.is_named()? {
            self.segments.backend.remove_leftover(name)?;
        }
        Ok(())
    }

    #[cold]
    fn cannot_grow(&self, geometry: Geometry, source: ObjectError) -> PublishError {
        PublishError::Growth { channel: self.channel.clone(), bytes: geometry.object_bytes(), source }
    }

    #[cold]
    fn too_large(&self, len: usize, limit: SizeLimit) -> PublishError {
        let (channel, max_state_len) = (self.channel.clone(), self.options.max_state_len);
        PublishError::TooLarge { channel, len, max_state_len, limit }
    }
}
