//! The steps of the protocol as functions of their own, a part of the library in `ci/herd`.

use crate::layout::{Publication, WORD_BYTES};
use crate::memory::{ReadOnlyWords, SlotHeader, Words};
use crate::seqlock::{
    Announcements, Answered, Pins, Published, Reader, Ring, WakeMode, Writer, announce_waiter,
};

/// The steps on the memory that channels use. Nothing runs them: their instructions are compared
/// with the programs beside this file.
pub struct Steps {
    writer: Writer<Words, Words>,
    reader: Reader<ReadOnlyWords, ReadOnlyWords>,
    announcements: Announcements<Words>,
    answered: Answered,
    pins: Pins<Words>,
    /// A ring with spares, as its writer and its readers have it.
    rings: (Ring<Words>, Ring<ReadOnlyWords>),
}

/// A state of two words.
pub type TwoWords = [u8; 2 * WORD_BYTES];

impl Steps {
    /// w1 to w5.
    #[inline(never)]
    pub fn publish(&mut self, state: &TwoWords, time: u64, checksum: u64) {
        self.try_publish(state, time, checksum);
    }

    /// The same as a part of other steps: whether there was a number, and the ring admitted the
    /// state.
    #[inline(always)]
    fn try_publish(&mut self, state: &TwoWords, time: u64, checksum: u64) -> bool {
        let Some(publication) = self.writer.next() else { return false };
        self.writer.try_publish(publication, state, time, checksum)
    }

    /// r1 to r5: whether `into` holds a whole publication.
    #[inline(never)]
    pub fn snapshot(&self, into: &mut TwoWords) -> bool {
        self.reader.try_fast(&mut into.as_mut_slice()).is_ok()
    }

    /// p1, w1 to w5, p2, p3, with a barrier of the writer's own: whether to wake waiters.
    #[inline(never)]
    pub fn publish_with_fence(&mut self, state: &TwoWords, time: u64, checksum: u64) -> bool {
        self.publish_to_waiters(state, time, checksum, WakeMode::Fences)
    }

    /// The same, with the barrier of the waiter.
    #[inline(never)]
    pub fn publish_without_fence(&mut self, state: &TwoWords, time: u64, checksum: u64) -> bool {
        self.publish_to_waiters(state, time, checksum, WakeMode::Barriers)
    }

    #[inline(always)]
    fn publish_to_waiters(
        &mut self,
        state: &TwoWords,
        time: u64,
        checksum: u64,
        wake_mode: WakeMode,
    ) -> bool {
        let before = self.announcements.count();
        self.try_publish(state, time, checksum)
            && self.answered.must_wake(before, self.announcements.count_after(wake_mode))
    }

    /// s1 to s4, without the sleep: whether a waiter for a publication after the latest may sleep.
    #[inline(never)]
    pub fn wait(&self, word: usize) -> bool {
        let published = Published::of_channel(self.reader.control());
        let latest = published.latest().map_or(0, |publication| publication.get());
        announce_waiter(self.announcements.page(), [word]);
        published.peek() == latest
    }

    /// c1 to c3 of a cut of two channels, without the copies: whether no number has moved.
    #[inline(never)]
    pub fn cut(&self, other: &Steps) -> bool {
        let collected = [self, other].map(|steps| steps.reader.collect());
        self.reader.is_still_at(collected[0]) && other.reader.is_still_at(collected[1])
    }

    /// w1 to w5 on a channel with pins of which no reader has announced itself, and x0 of the next
    /// publication, with a barrier of the writer's own: whether a reader may pin.
    #[inline(never)]
    pub fn look_with_fence(&mut self, state: &TwoWords, time: u64, checksum: u64) -> bool {
        self.publish_to_viewers(state, time, checksum, WakeMode::Fences)
    }

    /// The same, with the barrier of the reader.
    #[inline(never)]
    pub fn look_without_fence(&mut self, state: &TwoWords, time: u64, checksum: u64) -> bool {
        self.publish_to_viewers(state, time, checksum, WakeMode::Barriers)
    }

    #[inline(always)]
    fn publish_to_viewers(
        &mut self,
        state: &TwoWords,
        time: u64,
        checksum: u64,
        wake_mode: WakeMode,
    ) -> bool {
        self.try_publish(state, time, checksum) && self.pins.may_be_viewed(wake_mode)
    }

    /// x1 to x3 in a slot that holds publication `held`, then w1, w3 and w4, or the restored stamp.
    #[inline(never)]
    pub fn reuse(&self, state: &TwoWords, slot: usize, held: u64, next: u64) -> bool {
        let (ring, held) = (&self.rings.0, Publication::new(held));
        let Some(next) = Publication::new(next) else { return false };
        if self.pins.is_viewed(ring, slot, held) {
            return false;
        }
        let slot = ring.slot_at(slot);
        slot.set_stamp(next.stamp_writing());
        slot.write(state);
        ring.finish_in(slot, next, SlotHeader::default());
        true
    }

    /// u1, u2, r1, and v1 to v4 with the loads of the view: whether `into` holds what was viewed.
    #[inline(never)]
    pub fn view(&self, into: &mut TwoWords, pin: usize) -> bool {
        self.pins.announce();
        let latest = Published::of_channel(self.reader.control()).latest();
        let pinned = latest.and_then(|latest| self.pins.pin(pin, latest, &self.rings.1));
        pinned.map(|(slot, _)| slot.read(0, into)).map(|()| self.pins.unpin(pin)).is_some()
    }
}
