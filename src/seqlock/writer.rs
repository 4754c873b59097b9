//! The writer's side: publishing, with and without growth.

use super::pins::{Pins, Places};
use super::{Generations, Published, Ring, Segment, WakeMode};
use crate::layout::{Publication, Side};
use crate::memory::{CountingMemory, MemoryMut, Slot, SlotHeader};

/// The one writer of a channel.
///
/// It keeps its number, its generations and its rings in private memory: no decision depends on
/// anything that another process can change.
#[derive(Debug)]
pub(crate) struct Writer<C, R> {
    control: C,
    sides: [Segment<R>; 2],
    last: u64,
    /// If its publications can be pinned.
    pins: Option<Pins<R>>,
    /// Where its publications go, if a reader may pin one.
    places: Option<[Places; 2]>,
    /// How it notices the first reader that pins, as long as it has no places.
    wake_mode: WakeMode,
    /// Slots that were passed over because they were pinned.
    passed: u64,
}

impl<C: MemoryMut, R: CountingMemory> Writer<C, R> {
    /// A writer that continues after publication `last` (0: none yet) with the current segments,
    /// and with the channel's pins, if it has any.
    ///
    /// The caller is the only writer, and everything that a former writer stored happened before
    /// (the lock ensures both).
    pub(crate) fn resume(
        control: C,
        sides: [Segment<R>; 2],
        last: u64,
        pins: Option<Pins<R>>,
    ) -> Writer<C, R> {
        sides.iter().for_each(|segment| segment.ring.void_after(last));
        let has_pins = pins.is_some();
        let mut writer =
            Writer { control, sides, last, pins, places: None, wake_mode: WakeMode::Never, passed: 0 };
        if has_pins {
            writer.find_places();
        }
        writer
    }

    /// From here on, readers may pin.
    #[cold]
    fn find_places(&mut self) {
        let places = |side: Side| Places::resume(&self.sides[side.index()].ring, side, self.last);
        self.places = Some(Side::BOTH.map(places));
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

    /// Leaves numbers out: the next publication is the one after `last`.
    pub(crate) fn skip_to(&mut self, last: u64) {
        self.last = self.last.max(last);
    }

    pub(crate) fn control(&self) -> &C {
        &self.control
    }

    /// The current ring of `side`.
    #[inline]
    pub(crate) fn ring(&self, side: Side) -> &Ring<R> {
        &self.sides[side.index()].ring
    }

    /// Replaces the ring of `side` by one of the same slots with another capacity.
    pub(crate) fn set_ring(&mut self, side: Side, ring: Ring<R>) {
        self.sides[side.index()].ring = ring;
    }

    /// The current generation of `side`.
    pub(crate) fn generation(&self, side: Side) -> u64 {
        self.sides[side.index()].generation
    }

    /// From here on, looks at the pins only after a reader has announced itself, which it notices
    /// as `wake_mode` says. The page shows that mode already.
    pub(crate) fn await_viewers(&mut self, wake_mode: WakeMode) {
        if self.pins.is_some() && self.places.is_none() {
            // The former mode does not count any more.
            self.find_places();
        }
        let are_own = |places: &[Places; 2]| places.iter().all(Places::are_own);
        if wake_mode != WakeMode::Never
            && self.pins.as_ref().is_some_and(|pins| !pins.has_viewers())
            && self.places.as_ref().is_some_and(are_own)
        {
            (self.places, self.wake_mode) = (None, wake_mode);
        }
    }

    /// x0: looks whether readers may pin, if that is not known.
    #[inline]
    fn notice_viewers(&mut self) {
        let is_unviewed = |pins: &Pins<R>| self.places.is_none() && pins.may_be_viewed(self.wake_mode);
        if self.pins.as_ref().is_some_and(is_unviewed) {
            self.find_places();
        }
    }

    /// Whether its publications can be pinned.
    pub(crate) fn has_pins(&self) -> bool {
        self.pins.is_some()
    }

    /// Slots that were passed over because a reader was viewing what they hold.
    pub(crate) fn passed(&self) -> u64 {
        self.passed
    }

    /// w1 and w2 in the current ring of the publication's side: from here on its
    /// [slot](Writer::slot) may be filled. `false` if readers view what all slots hold: only a
    /// fresh segment has room. Wait-free.
    #[inline]
    pub(crate) fn begin(&mut self, publication: Publication) -> bool {
        self.notice_viewers();
        let side = publication.side().index();
        let ring = &self.sides[side].ring;
        let (Some(pins), Some(places)) = (&self.pins, &mut self.places) else {
            ring.begin(ring.slot(publication), publication);
            return true;
        };
        let found = places[side].begin(ring, publication, pins);
        self.passed += found.unwrap_or(0);
        found.is_some()
    }

    /// The slot of a publication that has begun in the current ring of its side.
    ///
    /// # Panics
    ///
    /// If readers may pin, and none has begun: any slot could be viewed.
    #[inline]
    pub(crate) fn slot(&self, publication: Publication) -> Slot<'_, R> {
        let side = publication.side().index();
        let ring = &self.sides[side].ring;
        match &self.places {
            None => ring.slot(publication),
            Some(places) => ring.slot_at(places[side].begun().expect("the publication has begun")),
        }
    }

    /// Takes back a publication, if it has begun in the current ring of its side.
    pub(crate) fn give_up(&mut self, publication: Publication) {
        let side = publication.side().index();
        let ring = &self.sides[side].ring;
        match &mut self.places {
            None => ring.give_up(publication),
            Some(places) => places[side].give_up(ring),
        }
    }

    /// w1 to w5: publishes `payload` if the current ring of the publication's side admits it.
    /// Otherwise does nothing, and returns `false`. On a channel without pins. Wait-free.
    #[inline(always)]
    pub(crate) fn try_publish(
        &mut self,
        publication: Publication,
        payload: &[u8],
        time: u64,
        checksum: u64,
    ) -> bool {
        let written = self.ring(publication.side()).try_write(publication, payload, time, checksum);
        if written {
            self.announce(publication);
        }
        written
    }

    /// The same on a channel with pins, of which no reader has announced itself. Does nothing, and
    /// returns `false`, if one has, or the payload does not fit.
    #[inline]
    pub(crate) fn try_publish_unviewed(
        &mut self,
        publication: Publication,
        payload: &[u8],
        time: u64,
    ) -> bool {
        self.notice_viewers();
        let ring = &self.sides[publication.side().index()].ring;
        if self.places.is_some() || payload.len() > ring.geometry().capacity() {
            return false;
        }
        ring.write(publication, payload, time, 0);
        self.announce(publication);
        true
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
        let side = publication.side().index();
        self.sides[side].ring.finish_in(self.slot(publication), publication, header);
        if let Some(places) = &mut self.places {
            places[side].lead(&self.sides[side].ring, publication);
        }
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
        if let Some(places) = &mut self.places {
            places[side.index()] = Places::fresh(&fresh.ring, publication);
        }
        std::mem::replace(&mut self.sides[side.index()], fresh)
    }

    #[inline(always)]
    fn announce(&mut self, publication: Publication) {
        Published::of_channel(&self.control).announce(publication);
        self.last = publication.get();
    }
}
