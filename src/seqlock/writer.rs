//! The writer's side: publishing, with and without growth.

use super::{Generations, Published, Ring, Segment};
use crate::layout::{Publication, Side};
use crate::memory::{MemoryMut, SlotHeader};

/// The one writer of a channel.
///
/// It keeps its number, its generations and its rings in private memory: no decision depends on
/// anything that another process can change.
#[derive(Debug)]
pub(crate) struct Writer<C, R> {
    control: C,
    sides: [Segment<R>; 2],
    last: u64,
}

impl<C: MemoryMut, R: MemoryMut> Writer<C, R> {
    /// A writer that continues after publication `last` (0: none yet) with the current segments.
    ///
    /// The caller is the only writer, and everything that a former writer stored happened before
    /// (the lock ensures both).
    pub(crate) fn resume(control: C, sides: [Segment<R>; 2], last: u64) -> Writer<C, R> {
        sides.iter().for_each(|segment| segment.ring.void_after(last));
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

    /// The current ring of `side`.
    #[inline]
    pub(crate) fn ring(&self, side: Side) -> &Ring<R> {
        &self.sides[side.index()].ring
    }

    /// The current generation of `side`.
    pub(crate) fn generation(&self, side: Side) -> u64 {
        self.sides[side.index()].generation
    }

    /// w1 to w5: publishes `payload`, which fits the current ring of the publication's side.
    /// Wait-free.
    #[inline(always)]
    pub(crate) fn publish(&mut self, publication: Publication, payload: &[u8], time: u64, checksum: u64) {
        self.ring(publication.side()).write(publication, payload, time, checksum);
        self.announce(publication);
    }

    /// The same for a payload that the ring admits, after a call of `time`. Otherwise does nothing,
    /// and returns `false`.
    #[inline(always)]
    pub(crate) fn try_publish(
        &mut self,
        publication: Publication,
        payload: &[u8],
        time: impl FnOnce() -> u64,
        checksum: u64,
    ) -> bool {
        let written = self.ring(publication.side()).try_write(publication, payload, time, checksum);
        if written {
            self.announce(publication);
        }
        written
    }

    /// Sets which payloads [`Writer::try_publish`] publishes in the current ring of `side`
    /// ([`Ring::admit`]).
    pub(crate) fn admit(&mut self, side: Side, max: Option<usize>) {
        self.sides[side.index()].ring.admit(max);
    }

    /// w1 to w5 with a fresh segment, of the generation after the current one, that replaces the
    /// one of the publication's side. Returns the replaced segment.
    ///
    /// Readers that have the replaced segment mapped keep it; no process writes to it any more. A
    /// crash before w5 leaves the former publication current, on the other side. The generation is
    /// stored before w5: a successor must find what readers may have found. The segment has its
    /// name before this call, so that a reader that sees the generation finds the segment.
    pub(crate) fn publish_grown(
        &mut self,
        publication: Publication,
        fresh: Segment<R>,
        payload: &[u8],
        time: u64,
        checksum: u64,
    ) -> Segment<R> {
        fresh.ring.write(publication, payload, time, checksum);
        self.announce_in(publication, fresh)
    }

    /// w3's header to w5, for a publication that has begun and whose payload is in the current ring
    /// of its side. Wait-free.
    #[inline]
    pub(crate) fn publish_loan(&mut self, publication: Publication, header: SlotHeader) {
        self.ring(publication.side()).finish(publication, header);
        self.announce(publication);
    }

    /// The same with a fresh segment, as [`Writer::publish_grown`] has it.
    pub(crate) fn publish_grown_loan(
        &mut self,
        publication: Publication,
        fresh: Segment<R>,
        header: SlotHeader,
    ) -> Segment<R> {
        fresh.ring.finish(publication, header);
        self.announce_in(publication, fresh)
    }

    /// Makes `fresh`, in which `publication` is whole, the current segment, then w5.
    fn announce_in(&mut self, publication: Publication, fresh: Segment<R>) -> Segment<R> {
        let side = publication.side();
        Generations(&self.control).replace(side, fresh.generation);
        self.announce(publication);
        std::mem::replace(&mut self.sides[side.index()], fresh)
    }

    #[inline(always)]
    fn announce(&mut self, publication: Publication) {
        Published::of_channel(&self.control).announce(publication);
        self.last = publication.get();
    }
}
