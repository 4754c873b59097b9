//! The reader's side: one attempt to copy a publication.

use super::pins::Pins;
use super::{Attempt, Destination, Generations, NotCopied, Published, Ring, Segment};
use crate::layout::{Publication, Side};
use crate::memory::{CountingMemory, Memory, Slot, SlotHeader};

/// A reader of a channel: the control page, and the segments that it has mapped.
#[derive(Clone, Debug)]
pub(crate) struct Reader<C, R> {
    control: C,
    sides: [Segment<R>; 2],
}

impl<C: Memory, R: Memory> Reader<C, R> {
    /// A reader that has these segments mapped, current or not.
    pub(crate) fn new(control: C, sides: [Segment<R>; 2]) -> Reader<C, R> {
        Reader { control, sides }
    }

    pub(crate) fn control(&self) -> &C {
        &self.control
    }

    /// r1 to r6: one attempt to copy the latest publication. Wait-free; stores nothing in shared
    /// memory.
    #[inline(always)]
    pub(crate) fn attempt(&self, destination: &mut impl Destination) -> Attempt {
        match Published::of_channel(&self.control).latest() {
            Some(publication) => self.attempt_at(publication, destination),
            None => Attempt::Empty,
        }
    }

    /// r1 to r5: an attempt to copy the latest publication that finds all as usual. Otherwise the
    /// side in whose mapped segment the stamp was another one, or `None` for any other reason:
    /// [`Reader::attempt`] says which.
    #[inline(always)]
    pub(crate) fn try_fast(
        &self,
        destination: &mut impl Destination,
    ) -> Result<(Publication, SlotHeader), Option<Side>> {
        let publication = Published::of_channel(&self.control).latest().ok_or(None)?;
        let side = publication.side();
        match self.sides[side.index()].ring.copy(publication, destination) {
            Ok(header) => Ok((publication, header)),
            Err(NotCopied::Stamp) => Err(Some(side)),
            Err(NotCopied::Length) => Err(None),
        }
    }

    /// r2 to r6 for a publication that is or was the latest: the caller got this number, or a later
    /// one, from [`Published::latest`]. A publication that is torn is gone for good. One in a
    /// replaced segment is found as long as that is the mapped one.
    #[inline(always)]
    pub(crate) fn attempt_at(&self, publication: Publication, destination: &mut impl Destination) -> Attempt {
        let side = publication.side();
        match self.sides[side.index()].ring.read(publication, destination) {
            Attempt::Torn => self.torn(side),
            verified => verified,
        }
    }

    /// r1, v1 to v3, and r6: one attempt to pin the latest publication. Its slot keeps it until it
    /// is unpinned. Wait-free; stores only to the pin.
    pub(crate) fn pin<P: CountingMemory>(
        &self,
        pins: &Pins<P>,
        pin: usize,
    ) -> Result<(Publication, Slot<'_, R>, SlotHeader), Attempt> {
        let publication = Published::of_channel(&self.control).latest().ok_or(Attempt::Empty)?;
        let side = publication.side();
        let pinned = pins.pin(pin, publication, &self.sides[side.index()].ring);
        pinned.map(|(slot, header)| (publication, slot, header)).ok_or_else(|| self.torn(side))
    }

    /// r6: an attempt that finds another stamp is torn, unless another generation than the mapped
    /// one is current.
    //
    // No attempt need ask before: a number is in one segment only (`Writer::resume`), and in no
    // other one does a slot have its stamp.
    #[cold]
    fn torn(&self, side: Side) -> Attempt {
        match self.is_current(side) {
            true => Attempt::Torn,
            false => Attempt::Remap { side, generation: Generations(&self.control).current(side) },
        }
    }

    /// Whether the current segment of `side` is mapped.
    #[cold]
    pub(crate) fn is_current(&self, side: Side) -> bool {
        self.installed()[side.index()] == Generations(&self.control).current(side)
    }

    /// The mapped generation of each side.
    pub(crate) fn installed(&self) -> [u64; 2] {
        self.sides.each_ref().map(|mapped| mapped.generation)
    }

    /// Upper bound on how far behind the latest a publication can be and still be in a mapped ring:
    /// the sides take turns.
    pub(crate) fn reach(&self) -> u64 {
        let depths = self.sides.each_ref().map(|mapped| mapped.ring.geometry().depth());
        2 * depths[0].max(depths[1])
    }

    /// Makes `ring` the mapped segment of `side`, in place of the former one.
    pub(crate) fn install(&mut self, side: Side, generation: u64, ring: Ring<R>) {
        self.sides[side.index()] = Segment { generation, ring };
    }
}

// Several channels as of one instant: double collect.
//
// ```text
//   c1  for each channel: p = published.load(Relaxed); fence(Acquire)
//   c2  for each channel: r2 .. r5, the copy of publication p
//   c3  for each channel: published.load(Relaxed) still p?
// ```
//
// *If no number has moved, the copies are the states at one instant*, namely any instant between
// the last load of c1 and the first of c3: numbers never return, so each publication was the
// latest from the first load of its number to the second. In terms of happens-before: let one
// writer publish a, and then another writer, knowing of a, publish b. A cut with b has seen b at
// c1, whose fence makes a visible at c3; so a cut with b and without a finds a moved number. (Afek
// et al., "Atomic snapshots of shared memory", 1993, call it a clean double collect; there the
// values carry the numbers, too.)
//
// It succeeds only if no writer publishes during the copies. It is no loop: the caller decides how
// often to try.

impl<C: Memory, R: Memory> Reader<C, R> {
    /// c1: the latest publication, and everything that its writer did, or knew of, before
    /// announcing it.
    pub(crate) fn collect(&self) -> Option<Publication> {
        // The acquire fence in `latest` keeps the loads of c3 from being satisfied before this one.
        // It pairs with w5 of each writer that published what this channel's writer knew of. (If
        // anything is copied in between, the fences of the copies do so, too.)
        Published::of_channel(self.control()).latest()
    }

    /// c3: whether `collected` is still the latest.
    pub(crate) fn is_still_at(&self, collected: Option<Publication>) -> bool {
        Publication::new(Published::of_channel(self.control()).peek()) == collected
    }
}
