//! The slots of a segment as a ring: writing a slot, one attempt to read a slot, and inspecting
//! one.

use std::collections::BTreeSet;

use super::Destination;
use crate::layout::{Geometry, Publication, Side};
use crate::memory::{Memory, MemoryMut, Slot, SlotHeader, Slots};

/// The slots of one segment.
#[derive(Clone, Debug)]
pub(crate) struct Ring<M>(Slots<M>);

/// One generation of one side: a ring of slots.
#[derive(Clone, Debug)]
pub(crate) struct Segment<M> {
    pub(crate) generation: u64,
    pub(crate) ring: Ring<M>,
}

/// Status of a slot according to its stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotStatus {
    /// Nothing was ever written to the slot, or a successor or a dropped loan took it back.
    Empty,
    /// The writer is writing this publication, or died there.
    Writing(Publication),
    /// The slot holds this publication, whole.
    Whole(Publication),
    /// A stamp that no writer stores in this slot.
    Implausible(u64),
}

/// The result of one attempt to copy a publication. Every result but `Torn` is verified by the
/// stamp: it is what the writer published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// The destination holds the whole payload of this publication.
    Whole {
        /// Its number.
        publication: Publication,
        /// The words beside the payload.
        header: SlotHeader,
    },
    /// The writer reused the slot during the copy. The contents of the destination mean nothing.
    Torn,
    /// The destination refuses a payload of this length.
    Refused {
        /// The publication's number.
        publication: Publication,
        /// The payload's length in bytes.
        len: usize,
    },
    /// The slot claims a payload larger than itself: no writer of ours stores that.
    Implausible {
        /// The publication's number.
        publication: Publication,
        /// The length that the slot claims.
        len: u64,
    },
    /// Nothing is published yet.
    Empty,
    /// The current segment of `side` is not the mapped one: map it, `Reader::install` it, retry.
    Remap {
        /// Which side.
        side: Side,
        /// Its current generation.
        generation: u64,
    },
}

/// Why an attempt copied nothing whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotCopied {
    /// The slot does not hold the publication, or not any more.
    Stamp,
    /// The slot or the destination has no room for the length that was loaded, which may be of
    /// another publication.
    Length,
}

impl<M: Memory> Ring<M> {
    /// # Panics
    ///
    /// If the memory is smaller than the geometry.
    pub(crate) fn new(memory: M, geometry: Geometry) -> Ring<M> {
        Ring(Slots::new(memory, geometry))
    }

    #[inline]
    pub(crate) fn geometry(&self) -> Geometry {
        self.0.geometry()
    }

    #[inline]
    pub(crate) fn memory(&self) -> &M {
        self.0.memory()
    }

    /// The same ring, for payloads of at most `capacity` bytes.
    pub(crate) fn with_capacity(&self, capacity: usize) -> Ring<M>
    where
        M: Clone,
    {
        Ring::new(self.memory().clone(), self.geometry().with_capacity(capacity))
    }

    /// Sets which payloads [`Ring::try_write`] writes: those of up to `max` bytes that fit, or, if
    /// that is `None`, none.
    pub(crate) fn admit(&mut self, max: Option<usize>) {
        self.0.admit(max);
    }

    /// Whether [`Ring::try_write`] writes a payload of `len` bytes.
    #[inline]
    pub(crate) fn admits(&self, len: usize) -> bool {
        self.0.admits(len)
    }

    /// The slot of `publication`, in a ring without spares or a fresh one: for its writer, between
    /// w2 and w4.
    #[inline]
    pub(crate) fn slot(&self, publication: Publication) -> Slot<'_, M> {
        self.0.slot(publication.turn())
    }

    /// The slot of this number.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub(crate) fn slot_at(&self, number: usize) -> Slot<'_, M> {
        self.0.slot_at(number)
    }

    /// The slot that the ring's table names for `publication`. The entry is loaded after r1, so it
    /// is that of this publication or of a later one. The slot of a later one has another stamp.
    pub(crate) fn find(&self, publication: Publication) -> Slot<'_, M> {
        match self.geometry().spares() {
            0 => self.slot(publication),
            _ => self.slot_at(self.entry(self.geometry().position(publication.turn()))),
        }
    }

    /// The slot of a position. An entry that no writer stores counts as none.
    fn entry(&self, position: usize) -> usize {
        let geometry = self.geometry();
        let stored = usize::try_from(self.memory().load(geometry.entry(position as u64)));
        let slot = stored.ok().and_then(|stored| stored.checked_sub(1));
        slot.filter(|slot| *slot < geometry.slots()).unwrap_or(position)
    }

    /// The slot of each position, in a ring with spares; `None` if two have the same. Meaningful
    /// only while no process writes.
    pub(crate) fn table(&self) -> Option<Vec<usize>> {
        let positions = self.geometry().slots() - self.geometry().spares();
        let table: Vec<usize> = (0..positions).map(|position| self.entry(position)).collect();
        let distinct = table.iter().collect::<BTreeSet<_>>().len();
        (distinct == table.len()).then_some(table)
    }

    /// The slot of `publication` and its header, if it holds that publication, whole. Meaningful
    /// while no process writes, or while the publication is pinned.
    //
    // Inlined as `Pins::pin`.
    #[inline(always)]
    pub(crate) fn holds(&self, publication: Publication) -> Option<(Slot<'_, M>, SlotHeader)> {
        let slot = self.find(publication);
        let header = slot.header();
        let is_whole = slot.stamp() == publication.stamp_whole();
        (is_whole && header.len <= slot.capacity() as u64).then_some((slot, header))
    }

    /// r2 to r5: one attempt to copy `publication` into `destination`. Wait-free; stores nothing in
    /// shared memory.
    #[inline(always)]
    pub(crate) fn copy(
        &self,
        publication: Publication,
        destination: &mut impl Destination,
    ) -> Result<SlotHeader, NotCopied> {
        self.copy_from(self.0.slot(publication.turn()), publication, destination)
    }

    #[inline(always)]
    fn copy_from(
        &self,
        slot: Slot<'_, M>,
        publication: Publication,
        destination: &mut impl Destination,
    ) -> Result<SlotHeader, NotCopied> {
        // r2, r3: up to the fence, the loaded words may belong to different publications. Each is
        // loaded once; every decision is made on the local copy.
        let header = slot.header();
        let len = usize::try_from(header.len).ok().filter(|len| *len <= slot.capacity());
        let len = len.ok_or(NotCopied::Length)?;
        let offset = destination.offset();
        slot.read(offset, destination.buffer(len).ok_or(NotCopied::Length)?);
        // Acquire: the loads of the copy must not be satisfied after the stamp's load below.
        // Otherwise the writer could reuse the slot in between, and the stamp would still look
        // untouched. Pairs with the release fence in `begin` (w2): if any word of the copy came
        // from a later write of the slot, that fence and this one make the odd stamp before that
        // write visible here.
        self.memory().fence_acquire();
        if Stamp(slot).is_whole(publication) { Ok(header) } else { Err(NotCopied::Stamp) }
    }

    /// As [`Ring::copy`], but also in a ring with spares. If a length was not accepted, the attempt
    /// says why, and the stamp verifies that.
    #[inline(always)]
    pub(crate) fn read(&self, publication: Publication, destination: &mut impl Destination) -> Attempt {
        match self.copy_from(self.find(publication), publication, destination) {
            Ok(header) => Attempt::Whole { publication, header },
            Err(NotCopied::Stamp) => Attempt::Torn,
            Err(NotCopied::Length) => self.refuse(publication, destination),
        }
    }

    /// Why a length was not accepted: loads it again, and verifies it by the stamp.
    //
    // The models' readers accept every length, so only tests with threads and processes get here.
    #[cold]
    fn refuse(&self, publication: Publication, destination: &mut impl Destination) -> Attempt {
        let slot = self.find(publication);
        let SlotHeader { len, .. } = slot.header();
        // Acquire: as in `copy`, for the load of the length.
        self.memory().fence_acquire();
        match usize::try_from(len).ok().filter(|len| *len <= slot.capacity()) {
            _ if !Stamp(slot).is_whole(publication) => Attempt::Torn,
            None => Attempt::Implausible { publication, len },
            Some(len) if destination.buffer(len).is_none() => Attempt::Refused { publication, len },
            // Another process has changed the length since.
            Some(_) => Attempt::Torn,
        }
    }

    /// Inspects the `index`-th slot of `side`, whichever publication it holds; spare slots follow
    /// those of the ring. Wait-free; stores nothing.
    ///
    /// If the status is `Whole`, and its publication is not later than a number that the caller got
    /// from `Published::latest` before, the header is that publication's. Otherwise it is
    /// meaningful only if the writer is dead.
    pub(crate) fn look(&self, side: Side, index: usize) -> (SlotStatus, SlotHeader) {
        let slot = self.slot_at(index);
        let header = slot.header();
        // Acquire: as in r4 of `copy`, the loads of the header must not be satisfied after the
        // stamp's, or the header of a later write could be paired with an earlier number. Pairs
        // with the release fence in `begin` (w2).
        self.memory().fence_acquire();
        (self.status(side, index, slot.stamp()), header)
    }

    fn status(&self, side: Side, index: usize, stamp: u64) -> SlotStatus {
        if stamp == 0 {
            return SlotStatus::Empty;
        }
        let publication = Publication::new(stamp.div_ceil(2));
        let geometry = self.geometry();
        let is_elsewhere = |publication: Publication| {
            let position = geometry.position(publication.turn());
            publication.side() != side || geometry.spares() == 0 && position != index
        };
        match publication {
            Some(publication) if is_elsewhere(publication) => SlotStatus::Implausible(stamp),
            Some(publication) if stamp == publication.stamp_whole() => SlotStatus::Whole(publication),
            Some(publication) => SlotStatus::Writing(publication),
            None => SlotStatus::Implausible(stamp),
        }
    }
}

impl<M: MemoryMut> Ring<M> {
    /// Takes back the publications after `last` that a former writer finished and did not announce.
    /// Their numbers are used again, perhaps in another segment: readers that have this one mapped
    /// must not take the old slot for the new publication. Relaxed: w5 of the new publication
    /// orders these stores before its announcement.
    ///
    /// In a ring with spares, also takes back a publication that the writer did not finish: its
    /// number may begin again in another slot.
    pub(crate) fn void_after(&self, last: u64) {
        for number in 0..self.geometry().slots() {
            let slot = self.slot_at(number);
            let stamp = slot.stamp();
            let is_voided = stamp.is_multiple_of(2) || self.geometry().spares() > 0;
            if is_voided && stamp.div_ceil(2) > last {
                slot.set_stamp(0);
            }
        }
    }

    /// Leads readers of a position to a slot: before w5.
    pub(super) fn set_entry(&self, position: usize, slot: usize) {
        self.memory().store(self.geometry().entry(position as u64), slot as u64 + 1);
    }

    /// w1 to w4: writes `publication` into its slot. No reader reads the slot under this number
    /// before it is announced. Wait-free.
    ///
    /// # Panics
    ///
    /// If the payload is larger than the geometry's capacity: the caller grows the segment first.
    #[inline(always)]
    pub(crate) fn write(&self, publication: Publication, payload: &[u8], time: u64, checksum: u64) {
        let slot = self.slot(publication);
        assert!(payload.len() <= slot.capacity(), "the segment was grown for this payload");
        self.fill(slot, publication, payload, time, checksum);
    }

    /// The same for a payload that is admitted. Otherwise does nothing, and returns `false`.
    #[inline(always)]
    pub(crate) fn try_write(
        &self,
        publication: Publication,
        payload: &[u8],
        time: u64,
        checksum: u64,
    ) -> bool {
        let slot = self.0.slot_for(publication.turn(), payload.len());
        slot.map(|slot| self.fill(slot, publication, payload, time, checksum)).is_some()
    }

    /// w1 to w4, once it is known that the payload fits.
    #[inline(always)]
    fn fill(&self, slot: Slot<'_, M>, publication: Publication, payload: &[u8], time: u64, checksum: u64) {
        let stamp = self.begin(slot, publication);
        stamp.0.set_header(SlotHeader { len: payload.len() as u64, time, checksum });
        stamp.0.write(payload);
        stamp.finish(publication);
    }

    /// w1 and w2: from here on `slot`, that of `publication`, may be filled. Wait-free.
    ///
    /// A loan may be dropped after this. Its number then begins again, perhaps in another segment.
    #[inline(always)]
    pub(crate) fn begin<'a>(&self, slot: Slot<'a, M>, publication: Publication) -> Stamp<'a, M> {
        let stamp = Stamp(slot);
        stamp.begin(publication);
        // Release: the stores of the new payload must not become visible before the odd stamp
        // above. Otherwise a reader that is copying the slot's previous publication could take
        // words of the new one and still find the old stamp. A release *store* of the stamp is not
        // enough: it orders earlier accesses, not later ones. Pairs with the acquire fence in
        // `copy` (r4).
        self.memory().fence_release();
        stamp
    }

    /// The header of w3, and w4, of a publication that has begun and whose payload is in its slot.
    /// Wait-free.
    #[inline]
    pub(crate) fn finish(&self, publication: Publication, header: SlotHeader) {
        self.finish_in(self.slot(publication), publication, header);
    }

    /// The same in a slot that the ring's table leads to.
    #[inline]
    pub(crate) fn finish_in(&self, slot: Slot<'_, M>, publication: Publication, header: SlotHeader) {
        let stamp = Stamp(slot);
        stamp.0.set_header(header);
        stamp.finish(publication);
    }

    /// Takes back a publication, if it has begun. It must not be finished later. What the slot held
    /// before is lost. Relaxed: w1 precedes it, and neither stamp is one that readers expect.
    pub(crate) fn give_up(&self, publication: Publication) {
        let slot = self.slot(publication);
        if slot.stamp() == publication.stamp_writing() {
            slot.set_stamp(0);
        }
    }
}

/// The stamp of a slot.
pub(crate) struct Stamp<'a, M>(Slot<'a, M>);

impl<M: Memory> Stamp<'_, M> {
    /// r5: whether the slot still holds `publication`, whole. Meaningful only after the acquire
    /// fence of r4.
    #[inline]
    fn is_whole(&self, publication: Publication) -> bool {
        self.0.stamp() == publication.stamp_whole()
    }
}

impl<M: MemoryMut> Stamp<'_, M> {
    /// w1: marks the slot as invalid. The caller's next step is the fence that makes readers see it
    /// so.
    #[inline]
    fn begin(&self, publication: Publication) {
        self.0.set_stamp(publication.stamp_writing());
    }

    /// w4: marks the slot as whole. Relaxed: w5's release orders it before the announcement, and no
    /// reader checks for this stamp before it has seen the announcement.
    #[inline]
    fn finish(&self, publication: Publication) {
        self.0.set_stamp(publication.stamp_whole());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{Geometry, segment};
    use crate::memory::{MemoryMut, Words};

    fn ring(depth: usize) -> Ring<Words> {
        let geometry = Geometry::exact(depth, 4);
        Ring::new(Words::zeroed(geometry.words()), geometry)
    }

    fn stamp(ring: &Ring<Words>, index: u64, stamp: u64) {
        ring.memory().store(ring.geometry().slot(index) + segment::slot::STAMP, stamp);
    }

    #[test]
    fn inspecting_a_slot_shows_what_was_written_to_it() {
        let ring = ring(2);
        assert_eq!(ring.look(Side::A, 0).0, SlotStatus::Empty);
        for number in [2, 4, 6] {
            ring.write(Publication::new(number).unwrap(), &[7; 5], number * 100, 0);
        }
        let whole = |number| SlotStatus::Whole(Publication::new(number).unwrap());
        assert_eq!(ring.look(Side::A, 0), (whole(4), SlotHeader { len: 5, time: 400, checksum: 0 }));
        assert_eq!(ring.look(Side::A, 1), (whole(6), SlotHeader { len: 5, time: 600, checksum: 0 }));
        stamp(&ring, 0, Publication::new(8).unwrap().stamp_writing());
        assert_eq!(ring.look(Side::A, 0).0, SlotStatus::Writing(Publication::new(8).unwrap()));
    }

    #[test]
    fn stamps_that_no_writer_stores_there_are_implausible() {
        let ring = ring(4);
        let of = |number: u64| Publication::new(number).unwrap().stamp_whole();
        // Of the other side, of another slot, beyond the last number.
        for hostile in [of(3), of(3) - 1, of(4), of(4) - 1, of(1 << 62) + 1, of(1 << 62) + 2, u64::MAX] {
            stamp(&ring, 0, hostile);
            assert_eq!(ring.look(Side::A, 0).0, SlotStatus::Implausible(hostile), "{hostile}");
        }
        stamp(&ring, 0, of(1 << 62));
        assert_eq!(ring.look(Side::A, 0).0, SlotStatus::Whole(Publication::MAX));
    }
}
