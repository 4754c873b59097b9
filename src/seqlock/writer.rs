//! The writer's side: publishing, with and without growth.

use super::{Generations, Published, Ring};
use crate::layout::{Publication, Side};
use crate::memory::MemoryMut;

/// The one writer of a channel.
///
/// It keeps its number, its generations and its rings privately: nothing that another process could have changed in
/// shared memory takes part in a decision.
#[derive(Debug)]
pub(crate) struct Writer<C, R> {
    control: C,
    sides: [SideInForce<R>; 2],
    last: u64,
}

#[derive(Debug)]
struct SideInForce<R> {
    generation: u64,
    ring: Ring<R>,
}

/// A fresh segment for the next publication's side, under the generation after the one in force.
#[derive(Debug)]
pub(crate) struct Growth<R> {
    pub(crate) generation: u64,
    pub(crate) ring: Ring<R>,
}

impl<C: MemoryMut, R: MemoryMut> Writer<C, R> {
    /// A writer that goes on after publication `last` (0: none yet) with what is in force on either side.
    ///
    /// The caller is the only writer, and everything that a former one stored happened before (the lock sees to both).
    pub(crate) fn resume(control: C, sides: [Growth<R>; 2], last: u64) -> Writer<C, R> {
        let sides = sides.map(|Growth { generation, ring }| SideInForce { generation, ring });
        Writer { control, sides, last }
    }

    /// The next publication's number; `None` when the numbers are exhausted.
    #[inline]
    pub(crate) fn next(&self) -> Option<Publication> {
        Publication::new(self.last + 1)
    }

    /// The number of the last publication, 0 before the first.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    pub(crate) fn control(&self) -> &C {
        &self.control
    }

    /// The ring in force on `side`.
    #[inline]
    pub(crate) fn ring(&self, side: Side) -> &Ring<R> {
        &self.sides[side.index()].ring
    }

    /// The current generation on `side`.
    pub(crate) fn generation(&self, side: Side) -> u64 {
        self.sides[side.index()].generation
    }

    /// w1 to w5: publishes `payload`, which fits the ring of the publication's side. Wait-free.
    #[inline(always)]
    pub(crate) fn publish(&mut self, publication: Publication, payload: &[u8], time: u64, checksum: u64) {
        self.ring(publication.side()).write(publication, payload, time, checksum);
        self.announce(publication);
    }

    /// Publishes `payload` into a fresh segment that replaces the one of its side, and gives the replaced one back.
    ///
    /// Readers that have the replaced segment mapped keep it; nobody writes to it any more. A crash before w5 leaves
    /// the former publication in force, on the other side. The generation is stored before w5: a successor must find
    /// what readers may have found. The segment has its name before this is called, so that who sees the generation
    /// finds the segment.
    pub(crate) fn publish_grown(
        &mut self,
        publication: Publication,
        growth: Growth<R>,
        payload: &[u8],
        time: u64,
        checksum: u64,
    ) -> Growth<R> {
        let Growth { generation, ring } = growth;
        let side = publication.side();
        ring.write(publication, payload, time, checksum);
        Generations(&self.control).replace(side, generation);
        self.announce(publication);
        let replaced = std::mem::replace(&mut self.sides[side.index()], SideInForce { generation, ring });
        Growth { generation: replaced.generation, ring: replaced.ring }
    }

    #[inline(always)]
    fn announce(&mut self, publication: Publication) {
        Published::of_channel(&self.control).announce(publication);
        self.last = publication.get();
    }
}
