//! The slots of a segment: checked once against their memory, and never again.

use super::{Memory, MemoryMut};
use crate::layout::segment::slot::{CHECKSUM, LENGTH, PAYLOAD, STAMP, TIME};
use crate::layout::{Geometry, WORD_BYTES};

/// The words beside a payload in its slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SlotHeader {
    /// Payload length in bytes.
    pub(crate) len: u64,
    /// Timestamp of the publication in nanoseconds since the machine's boot; 0 if the writer
    /// records none.
    pub(crate) time: u64,
    /// The publication's checksum, on a channel with checksums.
    pub(crate) checksum: u64,
}

/// Memory that is divided into slots.
#[derive(Clone, Debug)]
pub(crate) struct Slots<M> {
    memory: M,
    geometry: Geometry,
}

/// One of the slots.
#[derive(Debug)]
pub(crate) struct Slot<'a, M> {
    memory: &'a M,
    // In bounds with its header and `capacity` bytes of payload.
    start: usize,
    capacity: usize,
}

impl<M: Memory> Slots<M> {
    /// # Panics
    ///
    /// If the memory is smaller than the geometry. So no later access is out of bounds.
    pub(crate) fn new(memory: M, geometry: Geometry) -> Slots<M> {
        assert!(memory.len() >= geometry.words(), "the geometry was checked against this memory");
        Slots { memory, geometry }
    }

    #[inline]
    pub(crate) fn geometry(&self) -> Geometry {
        self.geometry
    }

    #[inline]
    pub(crate) fn memory(&self) -> &M {
        &self.memory
    }

    /// The slot of the `turn`-th publication of the segment.
    #[inline]
    pub(crate) fn slot(&self, turn: u64) -> Slot<'_, M> {
        // In bounds: all slots of a geometry, each with header and capacity, end within its
        // `words`. The memory has at least that many words (`new`). Neither changes.
        Slot { memory: &self.memory, start: self.geometry.slot(turn), capacity: self.geometry.capacity() }
    }
}

impl<M: Memory> Slot<'_, M> {
    /// Payload bytes that fit.
    #[inline]
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Loads the stamp, as [`Memory::load`] does.
    #[inline]
    pub(crate) fn stamp(&self) -> u64 {
        // SAFETY: a slot's header is in bounds.
        unsafe { self.memory.load_unchecked(self.start + STAMP) }
    }

    /// Loads the words beside the payload, as [`Memory::load`] does.
    #[inline]
    pub(crate) fn header(&self) -> SlotHeader {
        // SAFETY: a slot's header is in bounds.
        let load = |word| unsafe { self.memory.load_unchecked(self.start + word) };
        SlotHeader { len: load(LENGTH), time: load(TIME), checksum: load(CHECKSUM) }
    }

    /// Copies the payload from byte `offset` on, as [`Memory::read`] does.
    ///
    /// # Panics
    ///
    /// If the part reaches beyond the capacity.
    #[inline(always)]
    pub(crate) fn read(&self, offset: usize, into: &mut [u8]) {
        let end = offset.checked_add(into.len());
        assert!(
            end.is_some_and(|end| end <= self.capacity),
            "a payload is no larger than the capacity of its slot"
        );
        let (word, skipped) = (offset / WORD_BYTES, offset % WORD_BYTES);
        if skipped == 0 {
            // SAFETY: the capacity is in bounds.
            return unsafe { self.memory.read_unchecked(self.start + PAYLOAD + word, into) };
        }
        let (head, rest) = into.split_at_mut(into.len().min(WORD_BYTES - skipped));
        if head.is_empty() {
            return;
        }
        // SAFETY: the copy includes a byte of this word, so the word is within the capacity rounded
        // up to words, which is in bounds.
        let bytes = unsafe { self.memory.load_unchecked(self.start + PAYLOAD + word) }.to_le_bytes();
        head.copy_from_slice(&bytes[skipped..][..head.len()]);
        // SAFETY: the capacity is in bounds; an empty rest begins at most at the end of that word,
        // which is in bounds.
        unsafe { self.memory.read_unchecked(self.start + PAYLOAD + word + 1, rest) }
    }
}

impl<M: MemoryMut> Slot<'_, M> {
    /// Stores the stamp, as [`MemoryMut::store`] does.
    #[inline]
    pub(crate) fn set_stamp(&self, stamp: u64) {
        // SAFETY: a slot's header is in bounds.
        unsafe { self.memory.store_unchecked(self.start + STAMP, stamp) }
    }

    /// Stores the words beside the payload, as [`MemoryMut::store`] does.
    #[inline]
    pub(crate) fn set_header(&self, header: SlotHeader) {
        let SlotHeader { len, time, checksum } = header;
        for (word, value) in [(LENGTH, len), (TIME, time), (CHECKSUM, checksum)] {
            // SAFETY: a slot's header is in bounds.
            unsafe { self.memory.store_unchecked(self.start + word, value) }
        }
    }

    /// Copies `from` to the beginning of the payload, as [`MemoryMut::write`] does.
    ///
    /// # Panics
    ///
    /// If `from` is larger than the capacity.
    #[inline(always)]
    pub(crate) fn write(&self, from: &[u8]) {
        assert!(from.len() <= self.capacity, "a payload is no larger than the capacity of its slot");
        // SAFETY: the capacity is in bounds.
        unsafe { self.memory.write_unchecked(self.start + PAYLOAD, from) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Words;
    use super::*;

    fn slots(words_missing: usize) -> Slots<Words> {
        let geometry = Geometry::exact(2, 3);
        Slots::new(Words::zeroed(geometry.words() - words_missing), geometry)
    }

    #[test]
    #[should_panic(expected = "checked against this memory")]
    fn memory_that_ends_within_the_last_slot_is_refused() {
        slots(1);
    }

    #[test]
    #[should_panic(expected = "no larger than the capacity")]
    fn a_payload_that_is_larger_than_its_slot_is_not_written() {
        slots(0).slot(1).write(&[0; 3 * WORD_BYTES + 1]);
    }

    #[test]
    #[should_panic(expected = "no larger than the capacity")]
    fn nor_is_one_read() {
        slots(0).slot(1).read(1, &mut [0; 3 * WORD_BYTES]);
    }

    #[test]
    #[should_panic(expected = "no larger than the capacity")]
    fn nor_one_whose_end_overflows() {
        slots(0).slot(1).read(usize::MAX, &mut [0; 2]);
    }

    #[test]
    fn every_part_of_a_payload_is_that_part() {
        let slots = slots(0);
        let payload: Vec<u8> = (1..).take(3 * WORD_BYTES).collect();
        slots.slot(1).write(&payload);
        for start in 0..=payload.len() {
            for end in start..=payload.len() {
                let mut part = vec![0; end - start];
                slots.slot(1).read(start, &mut part);
                assert_eq!(part, payload[start..end]);
            }
        }
    }

    #[test]
    fn a_full_slot_touches_no_other() {
        let slots = slots(0);
        slots.slot(0).set_stamp(7);
        slots.slot(1).write(&[0xff; 3 * WORD_BYTES]);
        slots.slot(1).set_header(SlotHeader { len: u64::MAX, time: u64::MAX, checksum: u64::MAX });
        assert_eq!((slots.slot(0).stamp(), slots.slot(0).header()), (7, SlotHeader::default()));
        assert_eq!(slots.slot(2).stamp(), 7, "the third turn is the first slot's again");
    }
}
