//! Pins: publications that readers view in place, and the slots that the writer leaves alone
//! for them.
//!
//! ```text
//! READER, before it pins              WRITER  n is to go to a slot that holds q
//!   u1  viewers := viewers + 1         x0  full barrier, if u2 is none here
//!   u2  full barrier, in all writers       viewers = 0: w1 ... w5 as without pins
//! READER  p := published (r1)              otherwise, from now on:
//!   v1  pin := p        Release        x1  stamp := 2q-1   Relaxed
//!   v2  full fence                     x2  full fence
//!   v3  stamp = 2p ?    Relaxed        x3  is a pin q ?    Relaxed, then fence Acquire
//!       no: v4, and r1 again               yes: stamp := 2q, and x1 with the next slot
//!   v4  pin := 0        Release        w1  stamp := 2n-1, then w3 ... w5 as ever
//!
//! READER without a pin
//!   h1  holder = 0: holder := own      by one compare-and-exchange, Acquire
//!   h2  all have holders: does the kernel say that one is dead?
//!   h3  holder = that: holder := own   as h1
//! READER with a pin that is unpinned (v4)
//!   h4  holder := 0     Release
//! ```
//!
//! `docs/protocol.md` has the proof. u1 to x0 are the handshake of waiting. A pin is a number, and
//! numbers are never used again, so a pin that a dead reader has left keeps one slot from being
//! written, and no other one ever.

use std::collections::{BTreeSet, VecDeque};

use super::{Announcements, Ring, WakeMode, announce_waiter};
use crate::layout::{Publication, Side, pins};
use crate::memory::{CountingMemory, Memory, Slot, SlotHeader};

/// The pins of a channel: words that its readers store to, each of which one reader has at a time.
#[derive(Clone, Debug)]
pub(crate) struct Pins<M> {
    memory: M,
    count: usize,
    viewers: Announcements<M>,
}

impl<M: CountingMemory + Clone> Pins<M> {
    /// # Panics
    ///
    /// If the memory is no page of pins.
    pub(crate) fn new(memory: M, count: usize) -> Pins<M> {
        Pins { viewers: Announcements::new(memory.clone(), pins::VIEWERS), memory, count }
    }
}

impl<M: CountingMemory> Pins<M> {
    /// u1, u2: announces a reader that is going to pin. It may do so once the writer has run a full
    /// barrier, too, if the channel's wake mode asks for one: that is loaded after this call.
    pub(crate) fn announce(&self) {
        // The full fence precedes the load of the wake mode, too. Pairs with the full fence of
        // `has_viewers`.
        announce_waiter(&self.memory, [pins::VIEWERS]);
    }

    /// Whether a reader has announced itself.
    pub(crate) fn has_viewers(&self) -> bool {
        // Full: a reader that loaded the wake mode before it was stored has announced itself before
        // this load. Pairs with the full fence of `announce`.
        self.memory.fence_full();
        self.viewers.count() != 0
    }

    /// x0: whether a reader may pin what the writer reuses for its next publication, or later.
    #[inline]
    pub(crate) fn may_be_viewed(&self, wake_mode: WakeMode) -> bool {
        // As p2 and p3. A reader that this misses loads `published` (r1) after its barrier, and
        // finds the writer's last publication: this one reuses a slot that holds an older one.
        self.viewers.count_after(wake_mode) != 0
    }

    /// x3: whether a reader may be viewing publication `number`.
    fn has(&self, number: u64) -> bool {
        let is_pinned = (0..self.count).any(|pin| self.memory.load(pins::PINS + pin) == number);
        // Acquire: what is stored to the slot from here on must not become visible to the loads of
        // a view that has ended. Pairs with the release stores of v1 and v4: the pin has the value
        // of one of them that follows the view.
        self.memory.fence_acquire();
        is_pinned
    }

    /// v1 to v3: pins `publication`, which is or was the latest, if a slot of `ring` still holds
    /// it. Then that slot keeps it until [`Pins::unpin`]. Only for the holder of the pin.
    /// Wait-free.
    //
    // Inlined so that `ci/herd` finds the steps of a view in one function.
    #[inline(always)]
    pub(crate) fn pin<'a, R: Memory>(
        &self,
        pin: usize,
        publication: Publication,
        ring: &'a Ring<R>,
    ) -> Option<(Slot<'a, R>, SlotHeader)> {
        // Release: as in `unpin`, for the holder's former view.
        self.memory.store_release(pins::PINS + pin, publication.get());
        // Full: the load of the stamp must not be satisfied before the pin is visible. Otherwise
        // the writer could miss the pin, and the reader the odd stamp. Pairs with the full fence of
        // `is_viewed` (x2): at least one of the two finds the other's store.
        self.memory.fence_full();
        let held = ring.holds(publication);
        if held.is_none() {
            self.unpin(pin);
        }
        held
    }

    /// v4: the slot may be written again.
    pub(crate) fn unpin(&self, pin: usize) {
        // Release: the loads of the view must not be satisfied after the writer has reused the
        // slot. Pairs with the acquire fence of `has` (x3).
        self.memory.store_release(pins::PINS + pin, 0);
    }

    /// x1 to x3: whether a reader views what a slot holds. If not, readers find the slot invalid,
    /// and it may be filled once it has the stamp of the next publication (w1). Wait-free.
    #[inline]
    pub(crate) fn is_viewed<R: CountingMemory>(
        &self,
        ring: &Ring<R>,
        slot: usize,
        held: Option<Publication>,
    ) -> bool {
        let slot = ring.slot_at(slot);
        if let Some(held) = held {
            // Not the stamp of the new publication: if this writer dies before w1, its successor
            // must find what the slot holds, because readers may go on viewing it.
            slot.set_stamp(held.stamp_writing());
        }
        // Full: the loads of the pins must not be satisfied before the stamp is visible. Otherwise
        // a reader could find the stamp whole although this writer has not found its pin. Pairs
        // with the full fence of `pin` (v2). It is w2, too: the new payload must not become visible
        // before the odd stamp. As that, it pairs with the acquire fence in `Ring::copy` (r4).
        ring.memory().fence_full();
        match held {
            Some(held) if self.has(held.get()) => {
                // Relaxed: the slot holds what it held, whatever else a reader sees.
                slot.set_stamp(held.stamp_whole());
                true
            }
            _ => false,
        }
    }

    /// h1: takes a pin that no reader has. Wait-free.
    pub(crate) fn take(&self, holder: u64) -> Option<usize> {
        let mut free = (0..self.count).filter(|pin| self.holder(*pin) == 0);
        free.find(|pin| self.replace(*pin, 0, holder))
    }

    /// h2, h3: takes the pin of a holder that does not exist any more. Wait-free, but for
    /// `exists`, which is called once for each pin at most. All that a dead holder did must have
    /// happened before it returns `false`.
    pub(crate) fn take_over(&self, holder: u64, exists: impl Fn(u64) -> bool) -> Option<usize> {
        let former = |pin| (pin, self.holder(pin));
        let mut dead = (0..self.count).map(former).filter(|(_, former)| *former != 0 && !exists(*former));
        dead.find(|(pin, former)| self.replace(*pin, *former, holder)).map(|(pin, _)| pin)
    }

    /// The holder of a pin, 0 for none. Relaxed: `replace` decides.
    fn holder(&self, pin: usize) -> u64 {
        self.memory.load(pins::HOLDERS + pin)
    }

    fn replace(&self, pin: usize, former: u64, holder: u64) -> bool {
        // Acquire: the former holder's loads precede the writer's stores to the slot also if the
        // writer finds this holder's pin, and not the former one's 0 (x3). Pairs with the release
        // store of `give_back`. (The fence of r1, which comes before v1, would do, too.)
        self.memory.replace(pins::HOLDERS + pin, former, holder)
    }

    /// h4: gives a pin back that is unpinned.
    pub(crate) fn give_back(&self, pin: usize) {
        // Release: the next holder's pin must not be overwritten by this one's `unpin`, and the
        // loads of this one's views precede it. Pairs with the acquire of `replace`.
        self.memory.store_release(pins::HOLDERS + pin, 0);
    }
}

/// Where the publications of a segment with spares go: its writer's private knowledge.
#[derive(Debug)]
pub(crate) struct Places {
    /// The slot that each position of the ring leads to.
    table: Vec<usize>,
    /// The slots to which no position leads, longest unused first.
    spares: VecDeque<usize>,
    /// By slot: the publication that a view of it can show; 0 for none. No number is there twice.
    held: Vec<u64>,
    /// The slot of a publication that has begun.
    begun: Option<usize>,
}

impl Places {
    /// The places of the segment of `side`, in which a former writer has announced `last`, or a
    /// number before it.
    pub(super) fn resume<M: Memory>(ring: &Ring<M>, side: Side, last: u64) -> Places {
        let slots = ring.geometry().slots();
        // The table has been checked. If another program has changed it since, the slots are used
        // as in a fresh segment.
        let table = ring.table().unwrap_or_else(|| (0..slots - ring.geometry().spares()).collect());
        let mut is_led_to = vec![false; slots];
        table.iter().for_each(|slot| is_led_to[*slot] = true);
        let spares = (0..slots).filter(|slot| !is_led_to[*slot]).collect();
        let (mut held, mut known) = (vec![0; slots], BTreeSet::new());
        for (slot, held) in held.iter_mut().enumerate() {
            // A writer that died between x1 and w1 leaves the odd stamp of what the slot holds.
            let number = ring.slot_at(slot).stamp().div_ceil(2);
            let is_possible = Publication::new(number).is_some_and(|it| it.side() == side) && number <= last;
            // Only another program stores a number to two slots.
            *held = if is_possible && known.insert(number) { number } else { 0 };
        }
        Places { table, spares, held, begun: None }
    }

    /// Whether each position leads to its own slot, as without pins.
    pub(super) fn are_own(&self) -> bool {
        self.table.iter().enumerate().all(|(position, slot)| position == *slot)
    }

    /// The places of a fresh segment, in which `publication` is whole.
    pub(super) fn fresh<M: Memory>(ring: &Ring<M>, publication: Publication) -> Places {
        let geometry = ring.geometry();
        let first_spare = geometry.slots() - geometry.spares();
        let mut held = vec![0; geometry.slots()];
        held[geometry.position(publication.turn())] = publication.get();
        let (table, spares) = ((0..first_spare).collect(), (first_spare..geometry.slots()).collect());
        Places { table, spares, held, begun: None }
    }

    /// x1 to x3, and w1: finds the slot for `publication`, which may be filled from here on.
    /// Returns how many slots were passed over because they are pinned, or `None` if all are.
    /// Wait-free.
    ///
    /// There is one slot more than pins, and no two hold the same number. So not all are pinned,
    /// but a pin can move from one that was looked at to the next: that is what the second round is
    /// for. It fails only beside another program that changes the pins at the same time, or a
    /// reader that pins a number that it loaded long ago.
    pub(super) fn begin<M: CountingMemory>(
        &mut self,
        ring: &Ring<M>,
        publication: Publication,
        pins: &Pins<M>,
    ) -> Option<u64> {
        self.give_up(ring);
        let own = self.table[ring.geometry().position(publication.turn())];
        let all = std::iter::once(own).chain(self.spares.iter().copied());
        let is_viewed = |slot: usize| pins.is_viewed(ring, slot, Publication::new(self.held[slot]));
        let found = all.clone().chain(all).zip(0..).find(|(slot, _)| !is_viewed(*slot));
        let (slot, passed) = found?;
        ring.slot_at(slot).set_stamp(publication.stamp_writing());
        self.held[slot] = 0;
        self.begun = Some(slot);
        Some(passed)
    }

    /// The slot of the publication that has begun.
    pub(super) fn begun(&self) -> Option<usize> {
        self.begun
    }

    /// Before w5, after w4: readers of `publication` are led to the slot in which it has begun.
    pub(super) fn lead<M: CountingMemory>(&mut self, ring: &Ring<M>, publication: Publication) {
        let position = ring.geometry().position(publication.turn());
        let Some(slot) = self.begun.take() else { return };
        self.held[slot] = publication.get();
        let replaced = std::mem::replace(&mut self.table[position], slot);
        if replaced != slot {
            self.spares.retain(|spare| *spare != slot);
            self.spares.push_back(replaced);
            // Relaxed: w5 orders it before the announcement. A reader that finds it earlier comes
            // for an older publication, and finds another stamp.
            ring.set_entry(position, slot);
        }
    }

    /// Takes back a publication that has begun and was not announced, if there is one.
    pub(super) fn give_up<M: CountingMemory>(&mut self, ring: &Ring<M>) {
        if let Some(slot) = self.begun.take() {
            // Relaxed: neither this stamp nor the odd one is one that readers expect.
            ring.slot_at(slot).set_stamp(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{Geometry, PAGE_BYTES, WORD_BYTES};
    use crate::memory::{MemoryMut, Words};
    use crate::seqlock::{Segment, Writer};

    fn ring() -> Ring<Words> {
        let geometry = Geometry::exact(1, 4).with_spares(1).unwrap();
        Ring::new(Words::zeroed(geometry.words()), geometry)
    }

    fn number(number: u64) -> Publication {
        Publication::new(number).unwrap()
    }

    fn publish(places: &mut Places, ring: &Ring<Words>, pins: &Pins<Words>, publication: u64) -> Option<u64> {
        let passed = places.begin(ring, number(publication), pins)?;
        let slot = places.begun().unwrap();
        ring.finish_in(ring.slot_at(slot), number(publication), SlotHeader::default());
        places.lead(ring, number(publication));
        Some(passed)
    }

    #[test]
    fn there_is_a_slot_unless_all_are_pinned_and_no_stamp_is_lost() {
        let (ring, page) = (ring(), Words::zeroed(pins::WORDS));
        let mut places = Places::resume(&ring, Side::A, 0);
        // More pins than a channel of this shape has, as another program might have it.
        let pins = Pins::new(page.clone(), 2);
        assert_eq!(publish(&mut places, &ring, &pins, 2), Some(0));
        page.store(pins::PINS, 2);
        assert_eq!(publish(&mut places, &ring, &pins, 4), Some(1));
        page.store(pins::PINS + 1, 4);
        assert_eq!(publish(&mut places, &ring, &pins, 6), None);
        let whole = |publication: u64| {
            (0..2).any(|slot| ring.slot_at(slot).stamp() == number(publication).stamp_whole())
        };
        assert!(whole(2) && whole(4));
        page.store(pins::PINS, 0);
        assert_eq!(publish(&mut places, &ring, &pins, 6), Some(1));
        assert!(!whole(2) && whole(4) && whole(6));
    }

    #[test]
    fn a_writer_looks_at_the_pins_once_a_reader_has_announced_itself() {
        let [even, odd] = [ring(), ring()];
        let sides = [even, odd].map(|ring| Segment { generation: 1, ring });
        let (control, page) = (Words::zeroed(PAGE_BYTES / WORD_BYTES), Words::zeroed(pins::WORDS));
        let pins = Pins::new(page.clone(), 1);
        let mut writer = Writer::resume(control, sides, 0, Some(pins.clone()));
        let publish = |writer: &mut Writer<Words, Words>, publications: u64| {
            for _ in 0..publications {
                let publication = writer.next().unwrap();
                assert!(writer.begin(publication));
                writer.publish_loan(publication, SlotHeader::default());
            }
        };
        writer.await_viewers(WakeMode::Barriers);
        publish(&mut writer, 2);
        page.store(pins::PINS, 2);
        publish(&mut writer, 2);
        assert_eq!(writer.passed(), 0, "no reader has announced itself");
        pins.announce();
        page.store(pins::PINS, 4);
        publish(&mut writer, 4);
        assert_eq!(writer.passed(), 1);
        // A successor finds the announcement, whatever it relies on.
        for (wake_mode, passed) in [(WakeMode::Barriers, 2), (WakeMode::Never, 3)] {
            page.store(pins::PINS, writer.last());
            writer.await_viewers(wake_mode);
            publish(&mut writer, 4);
            assert_eq!(writer.passed(), passed);
        }
    }

    #[test]
    fn a_table_that_another_program_has_changed_is_not_followed() {
        let (ring, page) = (ring(), Words::zeroed(pins::WORDS));
        let geometry = Geometry::exact(2, 4).with_spares(1).unwrap();
        let two = Ring::new(Words::zeroed(geometry.words()), geometry);
        two.set_entry(0, 2);
        two.set_entry(1, 2);
        assert_eq!(two.table(), None);
        let mut places = Places::resume(&two, Side::A, 0);
        let pins = Pins::new(page, 1);
        for publication in [2, 4, 6] {
            assert_eq!(publish(&mut places, &two, &pins, publication), Some(0));
        }
        ring.set_entry(0, 99);
        assert_eq!(ring.table(), Some(vec![0]), "no slot has this number");
    }
}
