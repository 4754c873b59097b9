//! A look at a slot by its place, instead of by the publication that is expected in it: for inspection.

use super::Ring;
use crate::layout::{Publication, Side};
use crate::memory::Memory;

/// What stands in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotStatus {
    /// Nothing was ever written here.
    Empty,
    /// This publication is being written, or its writer died there.
    Writing(Publication),
    /// This publication stands here, whole.
    Whole(Publication),
    /// A stamp that no writer stores here.
    Implausible(u64),
}

/// One look at a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) status: SlotStatus,
    /// The payload's length, as the slot says it.
    pub(crate) len: u64,
    /// When it was published, as the slot says it.
    pub(crate) time: u64,
}

impl<M: Memory> Ring<M> {
    /// One look at the `index`-th slot of the ring of `side`. Wait-free; stores nothing.
    ///
    /// Length and time are those of a publication that stands there whole, if it is not later than one that the caller
    /// had from `Published::latest` before. Of all others they mean nothing unless the writer is dead.
    pub(crate) fn look(&self, side: Side, index: u64) -> Look {
        let slot = self.0.slot(index);
        let [len, time, _] = slot.header();
        // Acquire: as r4 of `Ring::read`, the loads of the header must not be satisfied after the stamp's, or a header of
        // a later write could stand beside an earlier number. Pairs with the release fence in `Ring::write` (w2).
        self.memory().fence_acquire();
        Look { status: self.status(side, index, slot.stamp()), len, time }
    }

    fn status(&self, side: Side, index: u64, stamp: u64) -> SlotStatus {
        if stamp == 0 {
            return SlotStatus::Empty;
        }
        let publication = Publication::new(stamp.div_ceil(2));
        let mask = self.geometry().depth() - 1;
        match publication {
            Some(publication) if publication.side() != side || publication.turn() & mask != index => {
                SlotStatus::Implausible(stamp)
            }
            Some(publication) if stamp == publication.stamp_whole() => SlotStatus::Whole(publication),
            Some(publication) => SlotStatus::Writing(publication),
            None => SlotStatus::Implausible(stamp),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{Geometry, segment};
    use crate::memory::{MemoryMut, Words};

    fn ring(depth: usize) -> Ring<Words> {
        let geometry = Geometry::exact(depth, 4);
        Ring::new(Words::zeroed(geometry.object_words()), geometry)
    }

    fn stamp(ring: &Ring<Words>, index: u64, stamp: u64) {
        ring.memory().store(ring.geometry().slot(index) + segment::slot::STAMP, stamp);
    }

    #[test]
    fn what_is_written_is_told_where_it_stands() {
        let ring = ring(2);
        assert_eq!(ring.look(Side::A, 0).status, SlotStatus::Empty);
        for number in [2, 4, 6] {
            ring.write(Publication::new(number).unwrap(), &[7; 5], number * 100, 0);
        }
        let whole = |number| SlotStatus::Whole(Publication::new(number).unwrap());
        assert_eq!(ring.look(Side::A, 0), Look { status: whole(4), len: 5, time: 400 });
        assert_eq!(ring.look(Side::A, 1), Look { status: whole(6), len: 5, time: 600 });
        stamp(&ring, 0, Publication::new(8).unwrap().stamp_writing());
        assert_eq!(ring.look(Side::A, 0).status, SlotStatus::Writing(Publication::new(8).unwrap()));
    }

    #[test]
    fn stamps_that_no_writer_stores_there_are_told_apart() {
        let ring = ring(4);
        let of = |number: u64| Publication::new(number).unwrap().stamp_whole();
        // Of the other side, of another slot, beyond the last number.
        for hostile in [of(3), of(3) - 1, of(4), of(4) - 1, of(1 << 62) + 1, of(1 << 62) + 2, u64::MAX] {
            stamp(&ring, 0, hostile);
            assert_eq!(ring.look(Side::A, 0).status, SlotStatus::Implausible(hostile), "{hostile}");
        }
        stamp(&ring, 0, of(1 << 62));
        assert_eq!(ring.look(Side::A, 0).status, SlotStatus::Whole(Publication::MAX));
    }
}
