//! The reader's side: one attempt at the latest publication.

use super::{Destination, Generations, Published, Reading, Ring};
use crate::layout::{Publication, Side};
use crate::memory::Memory;

/// A reader of a channel: the control page, and the segments as far as they are mapped.
#[derive(Clone, Debug)]
pub(crate) struct Reader<C, R> {
    control: C,
    sides: [Option<Mapped<R>>; 2],
}

#[derive(Clone, Debug)]
struct Mapped<R> {
    generation: u64,
    ring: Ring<R>,
}

/// What came of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// Nothing is published yet.
    Empty,
    /// The current segment on `side` is not the one that is mapped: map it, [`Reader::install`] it, try again.
    Remap {
        /// Which side.
        side: Side,
        /// Its current generation.
        generation: u64,
    },
    /// The slot of this publication was read.
    Read(Publication, Reading),
}

impl<C: Memory, R: Memory> Reader<C, R> {
    /// A reader that has no segment mapped yet.
    pub(crate) fn new(control: C) -> Reader<C, R> {
        Reader { control, sides: [None, None] }
    }

    pub(crate) fn control(&self) -> &C {
        &self.control
    }

    /// r1 to r5: one attempt to copy the latest publication into `destination`. Wait-free; stores nothing in shared
    /// memory.
    #[inline(always)]
    pub(crate) fn attempt(&self, destination: &mut impl Destination) -> Attempt {
        match Published::of_channel(&self.control).latest() {
            Some(publication) => self.attempt_at(publication, destination),
            None => Attempt::Empty,
        }
    }

    /// r2 to r5 for a publication that is the latest, or was: the caller has it from [`Published::latest`], or a later
    /// one. If it was read to be torn, or its segment has been replaced, it is gone for ever.
    #[inline(always)]
    pub(crate) fn attempt_at(&self, publication: Publication, destination: &mut impl Destination) -> Attempt {
        let side = publication.side();
        let generation = Generations(&self.control).current(side);
        match &self.sides[side.index()] {
            Some(mapped) if mapped.generation == generation => {
                Attempt::Read(publication, mapped.ring.read(publication, destination))
            }
            _ => Attempt::Remap { side, generation },
        }
    }

    /// The generation of each side that is installed, 0 if none is.
    pub(crate) fn installed(&self) -> [u64; 2] {
        self.sides.each_ref().map(|side| side.as_ref().map_or(0, |mapped| mapped.generation))
    }

    /// How many numbers back a publication can be, at most, to be held still by a ring that is installed: the sides take
    /// turns.
    pub(crate) fn reach(&self) -> u64 {
        let depths = self.sides.iter().flatten().map(|mapped| mapped.ring.geometry().depth());
        depths.max().unwrap_or(0) * 2
    }

    /// Lets go of the segments that are mapped.
    pub(crate) fn uninstall(&mut self) {
        self.sides = [None, None];
    }

    /// Takes the segment of `generation` as what is mapped of `side`, in place of the former one.
    pub(crate) fn install(&mut self, side: Side, generation: u64, ring: Ring<R>) {
        self.sides[side.index()] = Some(Mapped { generation, ring });
    }
}
