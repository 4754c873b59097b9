//! The slots of a segment: checked once against their memory, and never again.

use std::marker::PhantomData;
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{Ordering, compiler_fence};

use super::{Memory, MemoryMut, ReadOnlyWords, Words};
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
    // At most the capacity and one.
    fits_below: usize,
}

/// One of the slots.
#[derive(Debug)]
pub(crate) struct Slot<'a, M> {
    memory: &'a M,
    // The memory's.
    base: NonNull<u64>,
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
        let mut slots = Slots { memory, geometry, fits_below: 0 };
        slots.admit(Some(usize::MAX));
        slots
    }

    /// Sets the maximum length for [`Slots::slot_for`], which the capacity bounds in any case;
    /// `None` admits no payload.
    pub(crate) fn admit(&mut self, max: Option<usize>) {
        let capacity = self.geometry.capacity();
        self.fits_below = max.map_or(0, |max| max.min(capacity).saturating_add(1));
    }

    /// Whether [`Slots::slot_for`] has a slot for a payload of `len` bytes.
    #[inline(always)]
    pub(crate) fn admits(&self, len: usize) -> bool {
        len < self.fits_below
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
        Slot {
            memory: &self.memory,
            base: self.memory.base(),
            start: self.geometry.slot(turn),
            capacity: self.geometry.capacity(),
        }
    }

    /// The same slot for a payload of `len` bytes, with no other capacity than those: writing the
    /// payload needs no second check. `None` if that length is not admitted.
    #[inline(always)]
    pub(crate) fn slot_for(&self, turn: u64, len: usize) -> Option<Slot<'_, M>> {
        // No more than the capacity (`fits_below`), so in bounds as well.
        self.admits(len).then(|| Slot { capacity: len, ..self.slot(turn) })
    }

    /// The slot of this number, which may be a spare one.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub(crate) fn slot_at(&self, number: usize) -> Slot<'_, M> {
        assert!(number < self.geometry.slots(), "slot {number} is out of bounds");
        // In bounds: as in `slot`.
        let (start, capacity) = (self.geometry.slot_at(number), self.geometry.capacity());
        Slot { memory: &self.memory, base: self.memory.base(), start, capacity }
    }
}

impl<M: Memory> Slot<'_, M> {
    /// Payload bytes that fit.
    #[inline]
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// For models: the memory of all slots.
    #[cfg(test)]
    pub(crate) fn memory(&self) -> &M {
        self.memory
    }

    /// For models: the same slot through another handle onto its memory.
    #[cfg(test)]
    pub(crate) fn through<'a>(&self, memory: &'a M) -> Slot<'a, M> {
        assert_eq!(memory.len(), self.memory.len());
        Slot { memory, base: memory.base(), start: self.start, capacity: self.capacity }
    }

    /// Loads the stamp, as [`Memory::load`] does.
    #[inline]
    pub(crate) fn stamp(&self) -> u64 {
        // SAFETY: a slot's header is in bounds.
        unsafe { self.memory.load_unchecked(self.base, self.start + STAMP) }
    }

    /// Loads the words beside the payload, as [`Memory::load`] does.
    #[inline]
    pub(crate) fn header(&self) -> SlotHeader {
        // SAFETY: a slot's header is in bounds.
        let load = |word| unsafe { self.memory.load_unchecked(self.base, self.start + word) };
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
            return unsafe { self.memory.read_unchecked(self.base, self.start + PAYLOAD + word, into) };
        }
        let (head, rest) = into.split_at_mut(into.len().min(WORD_BYTES - skipped));
        if head.is_empty() {
            return;
        }
        // SAFETY: the copy includes a byte of this word, so the word is within the capacity rounded
        // up to words, which is in bounds.
        let bytes =
            unsafe { self.memory.load_unchecked(self.base, self.start + PAYLOAD + word) }.to_le_bytes();
        head.copy_from_slice(&bytes[skipped..][..head.len()]);
        // SAFETY: the capacity is in bounds; an empty rest begins at most at the end of that word,
        // which is in bounds.
        unsafe { self.memory.read_unchecked(self.base, self.start + PAYLOAD + word + 1, rest) }
    }
}

impl<M: MemoryMut> Slot<'_, M> {
    /// Stores the stamp, as [`MemoryMut::store`] does.
    #[inline]
    pub(crate) fn set_stamp(&self, stamp: u64) {
        // SAFETY: a slot's header is in bounds.
        unsafe { self.memory.store_unchecked(self.base, self.start + STAMP, stamp) }
    }

    /// Stores the words beside the payload, as [`MemoryMut::store`] does.
    #[inline]
    pub(crate) fn set_header(&self, header: SlotHeader) {
        let SlotHeader { len, time, checksum } = header;
        for (word, value) in [(LENGTH, len), (TIME, time), (CHECKSUM, checksum)] {
            // SAFETY: a slot's header is in bounds.
            unsafe { self.memory.store_unchecked(self.base, self.start + word, value) }
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
        unsafe { self.memory.write_unchecked(self.base, self.start + PAYLOAD, from) }
    }

    /// Copies `from` to the payload from byte `offset` on, as [`MemoryMut::write`] does, and leaves
    /// the other bytes as they are. Words of which it changes a part are loaded first: this process
    /// is the only one that stores to them.
    ///
    /// # Panics
    ///
    /// If the bytes reach beyond the capacity.
    #[inline]
    pub(crate) fn write_at(&self, offset: usize, from: &[u8]) {
        let end = offset.checked_add(from.len());
        assert!(
            end.is_some_and(|end| end <= self.capacity),
            "a payload is no larger than the capacity of its slot"
        );
        let (word, skipped) = (offset / WORD_BYTES, offset % WORD_BYTES);
        let head = if skipped == 0 { 0 } else { from.len().min(WORD_BYTES - skipped) };
        let (head, rest) = from.split_at(head);
        let (whole, tail) = rest.split_at(rest.len() - rest.len() % WORD_BYTES);
        if !head.is_empty() {
            self.merge(word, skipped, head);
        }
        let word = word + usize::from(skipped != 0);
        if !whole.is_empty() {
            // SAFETY: the capacity is in bounds.
            unsafe { self.memory.write_unchecked(self.base, self.start + PAYLOAD + word, whole) }
        }
        if !tail.is_empty() {
            self.merge(word + whole.len() / WORD_BYTES, 0, tail);
        }
    }

    /// Replaces a part of a word of the payload. The part must be within the capacity.
    #[inline]
    fn merge(&self, word: usize, skipped: usize, part: &[u8]) {
        let word = self.start + PAYLOAD + word;
        // SAFETY: a byte of the word is within the capacity, which is in bounds in whole words.
        let mut bytes = unsafe { self.memory.load_unchecked(self.base, word) }.to_le_bytes();
        bytes[skipped..][..part.len()].copy_from_slice(part);
        // SAFETY: the same word.
        unsafe { self.memory.store_unchecked(self.base, word, u64::from_le_bytes(bytes)) }
    }
}

impl Slot<'_, Words> {
    /// The first `len` bytes of the payload, for a reference to them. Only for the writer, between
    /// w2 and w4, and not twice at the same time.
    ///
    /// Where readers of this process load at the same addresses, it is those bytes in `copy`, which
    /// the caller stores before w4.
    ///
    /// # Panics
    ///
    /// If the bytes reach beyond the capacity.
    pub(crate) fn lend<'a, T: ?Sized>(&self, len: usize, copy: &'a mut Option<Vec<u64>>) -> LoanMut<'a, T> {
        assert!(len <= self.capacity, "a payload is no larger than the capacity of its slot");
        let words = len.div_ceil(WORD_BYTES);
        let address = self.memory.own_address(self.start + PAYLOAD, words).unwrap_or_else(|| {
            let copy = copy.get_or_insert_with(|| {
                let mut copy = vec![0; words];
                self.read(0, &mut bytemuck::cast_slice_mut(&mut copy)[..len]);
                copy
            });
            NonNull::from(copy.as_mut_slice()).cast()
        });
        LoanMut::new(address.cast(), len)
    }
}

impl Slot<'_, Words> {
    /// A share of the owner of the payload's memory; `None` where [`lend`](Self::lend) lends a
    /// copy.
    pub(crate) fn keep(&self, len: usize) -> Option<Words> {
        let (start, words) = (self.start + PAYLOAD, len.div_ceil(WORD_BYTES));
        self.memory.own_address(start, words).and_then(|_| self.memory.part(start, words))
    }
}

impl Slot<'_, ReadOnlyWords> {
    /// The first `len` words of the payload, with a share of their owner.
    pub(super) fn payload_words(&self, len: usize) -> ReadOnlyWords {
        self.memory.part(self.start + PAYLOAD, len).expect("a slot is in bounds")
    }
}

/// The memory of a [`Loan`](crate::Loan), for what wants a reference to fill it: a decoder, a
/// camera, `read`. Made by [`Loan::lend`](crate::Loan::lend).
///
/// It holds what the slot held before: bytes of an older publication, or zeroes, and what the loan
/// was filled with so far. In a namespace [in this process](crate::Namespace::in_process), whose
/// readers are threads that load at the same addresses, it is a private copy, and publishing copies
/// it to the slot.
#[derive(Debug)]
pub struct LoanMut<'a, T: ?Sized> {
    // Aligned to words; initialised; valid for `'a`, in which nothing else in this process accesses
    // the bytes.
    start: NonNull<u8>,
    len: usize,
    lent: PhantomData<&'a mut T>,
}

impl<T: ?Sized> LoanMut<'_, T> {
    /// Only for [`Slot::lend`], which keeps what is said of the fields.
    fn new(start: NonNull<u8>, len: usize) -> Self {
        LoanMut { start, len, lent: PhantomData }
    }
}

impl<'a> LoanMut<'a, [u8]> {
    /// The bytes of the loan. Cost: none.
    ///
    /// # Safety
    ///
    /// As long as the reference lives, no other process stores to the channel's memory. No process
    /// that uses this library does, because it can't claim the channel. But every process that may
    /// write to the channel's objects could, by default each one of the same user: promise it if
    /// you trust those. A fork of this process must not store through the reference, either.
    ///
    /// Readers need no promise: they only load, at other addresses, and discard what they loaded
    /// from a loan.
    #[must_use]
    pub unsafe fn into_mut(self) -> &'a mut [u8] {
        // The compiler moves no store through the reference above w1 and w2, the stores and the
        // fence that have made readers discard what they load from here on. The stores are plain:
        // no rule of the language keeps them there, because no thread could see the difference.
        compiler_fence(Ordering::SeqCst);
        // SAFETY: the bytes are valid, initialised, and accessed by nothing else in this process
        // for `'a` (the invariant: `lend` has one caller, `ChannelLoan::lend`, which borrows for
        // `'a` the one loan that the writer can have); no other process stores to them (the
        // caller's promise). Any bytes are a value, and one allocation or mapping has them all.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<'a, T: bytemuck::Pod> LoanMut<'a, T> {
    /// The value of the loan. Cost: none.
    ///
    /// A type that needs an alignment of more than 8 bytes does not compile.
    ///
    /// # Safety
    ///
    /// As long as the reference lives, no other process stores to the channel's memory. No process
    /// that uses this library does, because it can't claim the channel. But every process that may
    /// write to the channel's objects could, by default each one of the same user: promise it if
    /// you trust those. A fork of this process must not store through the reference, either.
    #[must_use]
    pub unsafe fn into_mut(self) -> &'a mut T {
        const {
            assert!(align_of::<T>() <= WORD_BYTES, "the memory of a loan is aligned to 8 bytes");
        }
        let bytes = LoanMut::<[u8]>::new(self.start, self.len);
        // SAFETY: the caller's promise is the same.
        bytemuck::from_bytes_mut(unsafe { bytes.into_mut() })
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
    fn only_admitted_lengths_get_a_slot_which_takes_no_more() {
        let (mut slots, capacity) = (slots(0), 3 * WORD_BYTES);
        let admitted = |slots: &Slots<Words>| (0..99).filter(|len| slots.slot_for(1, *len).is_some()).count();
        assert_eq!(admitted(&slots), capacity + 1);
        for (max, lengths) in [(None, 0), (Some(0), 1), (Some(5), 6), (Some(usize::MAX), capacity + 1)] {
            slots.admit(max);
            assert_eq!(admitted(&slots), lengths, "{max:?}");
        }
        let write = |bytes: &[u8]| slots.slot_for(1, 5).unwrap().write(bytes);
        write(&[1; 5]);
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| write(&[1; 6]))).is_err());
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
    fn a_part_that_is_written_changes_no_other_byte() {
        let slots = slots(0);
        for start in 0..=3 * WORD_BYTES {
            for end in start..=3 * WORD_BYTES {
                let mut expected: Vec<u8> = (1..).take(3 * WORD_BYTES).collect();
                slots.slot(1).write(&expected);
                expected[start..end].fill(0xaa);
                slots.slot(1).write_at(start, &vec![0xaa; end - start]);
                let mut found = vec![0; expected.len()];
                slots.slot(1).read(0, &mut found);
                assert_eq!(found, expected, "{start}..{end}");
            }
        }
    }

    #[test]
    fn a_part_beyond_the_capacity_is_not_written() {
        let slots = slots(0);
        for (offset, len) in [(3 * WORD_BYTES, 1), (1, 3 * WORD_BYTES), (usize::MAX, 2)] {
            let write = || slots.slot(1).write_at(offset, &vec![1; len]);
            let written = std::panic::catch_unwind(std::panic::AssertUnwindSafe(write));
            assert!(written.is_err(), "{offset}, {len}");
        }
    }

    /// Words of the heap: readers of this process load them at the same addresses.
    #[test]
    fn a_reference_to_memory_that_threads_read_is_one_to_a_copy() {
        let (slots, mut copy) = (slots(0), None);
        slots.slot(1).write(&[7; 20]);
        // SAFETY: no other process has this memory.
        let lent = unsafe { slots.slot(1).lend::<[u8]>(20, &mut copy).into_mut() };
        assert_eq!(lent, [7; 20]);
        lent.fill(9);
        let mut found = [0; 20];
        slots.slot(1).read(0, &mut found);
        assert_eq!(found, [7; 20]);
        // SAFETY: as above.
        assert_eq!(unsafe { slots.slot(1).lend::<[u8; 20]>(20, &mut copy).into_mut() }, &[9; 20]);
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
