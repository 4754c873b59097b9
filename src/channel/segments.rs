//! The segments of one channel that have objects of their own: created and opened by
//! generation-tagged names, checked by their headers.

use std::ops::Range;
use std::sync::Arc;

use crate::layout::segment::slot;
use crate::layout::{
    Geometry, Kind, ObjectNames, PAGE_BYTES, Publication, Side, WORD_BYTES, control, segment,
};
use crate::memory::{Memory, MemoryMut, ObjectId, ReadOnlyWords, SharedWords, Words};
use crate::object::{Access, Backend, Claim, ObjectError};
use crate::seqlock::ready::{self, Readiness};
use crate::seqlock::{Ring, Segment};

/// The shape of both of a channel's first segments, and where in its object they begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FirstSegments {
    pub(super) start: usize,
    pub(super) geometry: Geometry,
}

impl FirstSegments {
    /// What a page of this version says, if the memory has room for it.
    pub(super) fn read(memory: &impl Memory) -> Option<FirstSegments> {
        let start = control::first_slot(memory.load(control::SCHEMA_BYTES))?;
        let [depth, stride, capacity] =
            [control::DEPTH, control::STRIDE, control::CAPACITY].map(|word| memory.load(word));
        let spares = usize::try_from(memory.load(control::PINS)).ok()?;
        let room = memory.len().checked_sub(start)?;
        let geometry = Geometry::check(depth, stride, capacity, spares, room / 2)?;
        let first = FirstSegments { start, geometry };
        (first.object_bytes() <= memory.len() * WORD_BYTES).then_some(first)
    }

    /// Bytes of the channel's object.
    pub(super) fn object_bytes(self) -> usize {
        self.geometry.first_bytes(self.start)
    }

    /// The bytes of the object that the headers of the slots of `side` and payloads of up to `len`
    /// bytes take, in full pages, and the payload bytes for which they have room.
    pub(super) fn used(self, side: Side, len: usize) -> (Vec<Range<usize>>, usize) {
        let stride = self.geometry.stride_words() * WORD_BYTES;
        let begin = (self.start + side.index() * self.geometry.words()) * WORD_BYTES;
        let used = len.saturating_add(slot::HEADER_BYTES).next_multiple_of(PAGE_BYTES);
        let slots = self.geometry.slots();
        // What is left of a slot may not be worth a system call: then all is one range.
        let (len, count, capacity) = match used.saturating_add(PAGE_BYTES) > stride {
            true => (slots * stride, 1, self.geometry.capacity()),
            false => (used, slots, used - slot::HEADER_BYTES),
        };
        let ranges = (0..count).map(|slot| begin + slot * stride).map(|first| first..first + len);
        (ranges.collect(), capacity)
    }

    /// Reserves what payloads of up to `len` bytes take on `side`, and returns the capacity that
    /// the slots then have.
    pub(super) fn reserve(self, claim: &dyn Claim, side: Side, len: usize) -> Result<usize, ObjectError> {
        let (ranges, capacity) = self.used(side, len);
        for range in ranges {
            claim.reserve(range.start, range.len())?;
        }
        Ok(capacity)
    }

    /// Number of pins, which is that of the spare slots.
    pub(super) fn pins(self) -> usize {
        self.geometry.spares()
    }

    /// The first word of the pins, if there are any: that of a page.
    pub(super) fn pins_at(self) -> Option<usize> {
        (self.pins() > 0).then(|| self.geometry.first_end(self.start))
    }
}

/// Creates and opens the segments of one instance of a channel.
#[derive(Clone, Debug)]
pub(super) struct Segments {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) names: ObjectNames,
    /// Every segment carries the instance, so that a re-created channel's segments are never
    /// mistaken for those of this one.
    pub(super) instance: u64,
    /// Spare slots of each segment.
    pub(super) spares: usize,
}

impl Segments {
    pub(super) fn new(
        backend: &Arc<dyn Backend>,
        names: &ObjectNames,
        instance: u64,
        spares: usize,
    ) -> Segments {
        Segments { backend: Arc::clone(backend), names: names.clone(), instance, spares }
    }

    pub(super) fn name(&self, side: Side, generation: u64) -> String {
        self.names.object(Kind::Segment(side, generation))
    }

    /// Whether the name of the channel's object of this kind still means the object `id`.
    pub(super) fn is_named(&self, kind: Kind, id: ObjectId) -> Result<bool, ObjectError> {
        self.backend.is_named(&self.names.object(kind), id)
    }

    /// Creates a segment. Only for the holder of the channel's claim.
    pub(super) fn create(
        &self,
        side: Side,
        generation: u64,
        geometry: Geometry,
        access: Access,
    ) -> Result<Segment<Words>, ObjectError> {
        let memory = self.backend.create(&self.name(side, generation), geometry.object_bytes(), access)?;
        memory.store(segment::INSTANCE, self.instance);
        memory.store(segment::SIDE, side.index() as u64);
        memory.store(segment::GENERATION, generation);
        memory.store(segment::DEPTH, geometry.depth());
        memory.store(segment::STRIDE, geometry.stride_words() as u64);
        memory.store(segment::CAPACITY, geometry.capacity() as u64);
        ready::declare(&memory);
        Ok(Segment { generation, ring: ring(&memory, geometry) })
    }

    /// Maps a segment to read it. `NotFound` if it was replaced, or removed with its channel.
    pub(super) fn view(&self, side: Side, generation: u64) -> Result<Ring<ReadOnlyWords>, ObjectError> {
        let name = self.name(side, generation);
        let memory = self.backend.view(&name)?;
        let geometry = self.check_header(&name, &memory, side, generation)?;
        Ok(ring(&memory, geometry))
    }

    /// Maps a segment of a dead writer to resume it.
    pub(super) fn reopen(&self, side: Side, generation: u64) -> Result<Segment<Words>, ObjectError> {
        let name = self.name(side, generation);
        let memory = self.backend.reopen(&name)?;
        let geometry = self.check_header(&name, &memory, side, generation)?;
        Ok(Segment { generation, ring: ring(&memory, geometry) })
    }

    /// Unlinks a segment that a growth replaced, if it has a name. Readers that have it mapped keep
    /// it until they read that side again.
    pub(super) fn unlink(&self, side: Side, replaced: &Segment<Words>) -> Result<(), ObjectError> {
        if replaced.generation == segment::FIRST {
            return Ok(());
        }
        self.backend.remove(&self.name(side, replaced.generation), replaced.ring.memory())
    }

    /// Unlinks the neighbours of a generation: a dead writer can have left nothing else beside the
    /// current one. Only for the holder of the channel's claim.
    pub(super) fn remove_around(&self, side: Side, generation: u64) -> Result<(), ObjectError> {
        for neighbour in [generation.wrapping_sub(1), generation.wrapping_add(1)] {
            if (segment::FIRST + 1..=ObjectNames::MAX_GENERATION).contains(&neighbour) {
                self.backend.remove_leftover(&self.name(side, neighbour))?;
            }
        }
        Ok(())
    }

    /// The error of an object whose header no writer of ours writes.
    pub(super) fn impossible_shape(&self, kind: Kind) -> ObjectError {
        let reason = "its header describes an impossible shape".into();
        ObjectError::Foreign { object: self.backend.path(&self.names.object(kind)), reason }
    }

    /// The geometry in a segment's header, if the header is whole and that of this channel, side
    /// and generation.
    ///
    /// A segment of another instance under this name means that the channel was re-created:
    /// `NotFound`.
    fn check_header(
        &self,
        name: &str,
        memory: &impl Memory,
        side: Side,
        generation: u64,
    ) -> Result<Geometry, ObjectError> {
        let object = || self.backend.path(name);
        let foreign = |reason: &str| ObjectError::Foreign { object: object(), reason: reason.into() };
        match ready::check(memory) {
            Readiness::Ready => {}
            Readiness::NotReady => return Err(ObjectError::Unfinished { object: object() }),
            Readiness::OtherVersion(_) | Readiness::Foreign(_) => {
                return Err(foreign("it has no segment header"));
            }
        }
        if memory.load(segment::INSTANCE) != self.instance {
            return Err(ObjectError::NotFound { object: object() });
        }
        let found = (memory.load(segment::SIDE), memory.load(segment::GENERATION));
        if found != (side.index() as u64, generation) {
            return Err(foreign("its header names another side or generation"));
        }
        let [depth, stride, capacity] =
            [segment::DEPTH, segment::STRIDE, segment::CAPACITY].map(|word| memory.load(word));
        Geometry::check(depth, stride, capacity, self.spares, memory.len() - segment::SLOTS)
            .ok_or_else(|| self.impossible_shape(Kind::Segment(side, generation)))
    }
}

/// The slots behind the header.
fn ring<const W: bool>(memory: &SharedWords<W>, geometry: Geometry) -> Ring<SharedWords<W>> {
    let slots = memory.part(segment::SLOTS, geometry.words());
    Ring::new(slots.expect("the shape was checked against this memory"), geometry)
}

/// CRC32C of the publication's number and its payload: a payload under another number has another
/// checksum.
pub(super) fn checksum_of_publication(publication: Publication, payload: &[u8]) -> u64 {
    let number = crc32c::crc32c(&publication.get().to_le_bytes());
    u64::from(crc32c::crc32c_append(number, payload))
}

/// The same for a payload of `len` bytes, of which `read` copies the part from an offset on.
pub(super) fn checksum_in_parts(
    publication: Publication,
    len: usize,
    read: impl Fn(usize, &mut [u8]),
) -> u64 {
    // A small payload would take less time than the zeroes of a large buffer.
    let (mut small, mut large);
    let buffer: &mut [u8] = if len <= 256 {
        small = [0; 256];
        &mut small
    } else {
        large = [0; 8192];
        &mut large
    };
    let mut sum = crc32c::crc32c(&publication.get().to_le_bytes());
    for offset in (0..len).step_by(buffer.len()) {
        let part = (len - offset).min(buffer.len());
        read(offset, &mut buffer[..part]);
        sum = crc32c::crc32c_append(sum, &buffer[..part]);
    }
    u64::from(sum)
}
