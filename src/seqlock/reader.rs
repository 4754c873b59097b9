//! The reader's side: one attempt to copy a publication.

use super::{Destination, Generations, Published, Ring, Segment};
use crate::layout::{Publication, Side};
use crate::memory::{Memory, SlotHeader};

/// A reader of a channel: the control page, and the segments that it has mapped.
#[derive(Clone, Debug)]
pub(crate) struct Reader<C, R> {
    control: C,
    sides: [Option<Segment<R>>; 2],
}

/// The result of one attempt to copy a publication. Every result but `Torn` is verified by the stamp: it is what the
/// writer published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// The destination holds the whole payload of this publication.
    Whole {
        /// Its number.
        publication: Publication,
        /// The words beside the payload.
        header: SlotHeader,
    },
    /// The writer came back to the slot during the copy. What the destination holds means nothing.
    Torn,
    /// The destination refuses a payload of this length.
    Refused {
        /// The publication's number.
        publication: Publication,
        /// The payload's length in bytes.
        len: usize,
    },
    /// The slot claims a payload larger than itself: no writer of ours wrote that.
    Implausible {
        /// The publication's number.
        publication: Publication,
        /// The length that the slot claims.
        len: u64,
    },
    /// Nothing is published yet.
    Empty,
    /// The current segment of `side` is not the mapped one: map it, [`Reader::install`] it, retry.
    Remap {
        /// Which side.
        side: Side,
        /// Its current generation.
        generation: u64,
    },
}

impl<C: Memory, R: Memory> Reader<C, R> {
    /// A reader that has no segment mapped yet.
    pub(crate) fn new(control: C) -> Reader<C, R> {
        Reader { control, sides: [None, None] }
    }

    pub(crate) fn control(&self) -> &C {
        &self.control
    }

    /// r1 to r5: one attempt to copy the latest publication. Wait-free; stores nothing in shared memory.
    #[inline(always)]
    pub(crate) fn attempt(&self, destination: &mut impl Destination) -> Attempt {
        match Published::of_channel(&self.control).latest() {
            Some(publication) => self.attempt_at(publication, destination),
            None => Attempt::Empty,
        }
    }

    /// r2 to r5 for a publication that is or was the latest: the caller got this number, or a later one, from
    /// [`Published::latest`]. A publication that is torn, or whose segment is replaced, is gone for good.
    #[inline(always)]
    pub(crate) fn attempt_at(&self, publication: Publication, destination: &mut impl Destination) -> Attempt {
        let side = publication.side();
        let generation = Generations(&self.control).current(side);
        match &self.sides[side.index()] {
            Some(mapped) if mapped.generation == generation => mapped.ring.read(publication, destination),
            _ => Attempt::Remap { side, generation },
        }
    }

    /// The mapped generation of each side, 0 for none.
    pub(crate) fn installed(&self) -> [u64; 2] {
        self.sides.each_ref().map(|side| side.as_ref().map_or(0, |mapped| mapped.generation))
    }

    /// Upper bound on how far behind the latest a publication can be and still be in a mapped ring: the sides take turns.
    pub(crate) fn reach(&self) -> u64 {
        let depths = self.sides.iter().flatten().map(|mapped| mapped.ring.geometry().depth());
        depths.max().unwrap_or(0) * 2
    }

    /// Unmaps the segments.
    pub(crate) fn uninstall(&mut self) {
        self.sides = [None, None];
    }

    /// Makes `ring` the mapped segment of `side`, in place of the former one.
    pub(crate) fn install(&mut self, side: Side, generation: u64, ring: Ring<R>) {
        self.sides[side.index()] = Some(Segment { generation, ring });
    }
}
