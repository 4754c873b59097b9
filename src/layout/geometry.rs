//! The shape of a segment: number of slots, distance between them, capacity of each.

use super::pins;
use super::registry::entry;
use super::segment::{SLOTS, slot};
use super::{LINE_BYTES, LINE_WORDS, PAGE_BYTES, WORD_BYTES};

/// Default minimum of slots in a segment, for states of up to [`SMALL`] and for larger ones.
const MIN_DEPTH: [usize; 2] = [4, 2];

/// Copying a state of this many bytes takes no longer than a few publications of another one: with
/// fewer slots a writer that publishes all the time would lap its readers.
const SMALL: usize = 1 << 10;

/// Maximum number of slots in a segment.
const MAX_DEPTH: usize = 1 << 16;

/// The shape of one segment's slots. Immutable; every value has been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    mask: u64,
    stride_words: usize,
    capacity: usize,
    spares: usize,
}

impl Geometry {
    /// The shape of a segment with an object of its own, for payloads of `capacity` bytes, with
    /// `depth` slots (rounded up to a power of two). If `depth` is `None`: at least four, or two
    /// for states of more than 1 KiB, and as many as fill the last page. The slots share the rest
    /// of the last page. `None` if capacity or depth is zero, or if their product does not fit in
    /// the address space.
    pub(crate) fn fit(capacity: usize, depth: Option<usize>) -> Option<Geometry> {
        Geometry::fit_behind(SLOTS, 1, capacity, depth)
    }

    /// The same for each of a channel's first segments, which share an object, behind its first
    /// `words`.
    pub(crate) fn fit_first(words: usize, capacity: usize, depth: Option<usize>) -> Option<Geometry> {
        Geometry::fit_behind(words, 2, capacity, depth)
    }

    fn fit_behind(words: usize, segments: usize, capacity: usize, depth: Option<usize>) -> Option<Geometry> {
        if capacity == 0 || depth == Some(0) || depth > Some(MAX_DEPTH) {
            return None;
        }
        let before = words.checked_mul(WORD_BYTES)?;
        let stride = Geometry::stride_for(capacity)?;
        let room = |depth: usize| {
            let slots = stride.checked_mul(segments)?.checked_mul(depth)?;
            let bytes = slots.checked_add(before)?.checked_next_multiple_of(PAGE_BYTES)?;
            isize::try_from(bytes).is_ok().then_some((bytes - before) / segments)
        };
        let depth = match depth {
            Some(depth) => depth.next_power_of_two(),
            // The largest power of two that fits in the pages of the minimum.
            None => 1 << (room(MIN_DEPTH[usize::from(capacity > SMALL)])? / stride).ilog2(),
        };
        let stride = room(depth)? / depth / LINE_BYTES * LINE_BYTES;
        Some(Geometry::new(depth, stride / WORD_BYTES, stride - slot::HEADER_BYTES))
    }

    /// The shape that the words of a header describe, if it fits in `room`, the words that there
    /// are for the segment's slots. `None` if the words contradict one another or that.
    pub(crate) fn check(
        depth: u64,
        stride: u64,
        capacity: u64,
        spares: usize,
        room: usize,
    ) -> Option<Geometry> {
        let word = |value: u64| usize::try_from(value).ok();
        let (depth, stride, capacity) = (word(depth)?, word(stride)?, word(capacity)?);
        let fits = depth.is_power_of_two()
            && depth <= MAX_DEPTH
            && stride.is_multiple_of(LINE_WORDS)
            && stride > slot::PAYLOAD
            && capacity > 0
            && capacity <= stride.saturating_sub(slot::PAYLOAD).saturating_mul(WORD_BYTES)
            && stride.checked_mul(depth).is_some_and(|slots| slots <= room);
        let ring = fits.then(|| Geometry::new(depth, stride, capacity))?;
        ring.with_spares(spares).filter(|all| all.words() <= room)
    }

    /// This shape with `spares` more slots, which take turns with those of the ring, and the table
    /// that leads to them. `None` if there are too many, or if they don't fit in the address space.
    pub(crate) fn with_spares(self, spares: usize) -> Option<Geometry> {
        let depth = usize::try_from(self.depth()).ok()?;
        let slots = depth.checked_add(spares).filter(|_| spares <= pins::MAX)?;
        let words = slots.checked_mul(self.stride_words)?.checked_add(depth + LINE_WORDS)?;
        isize::try_from(words.checked_mul(4 * WORD_BYTES)?).ok()?;
        Some(Geometry { spares, ..self })
    }

    /// The same slots for payloads of at most `capacity` bytes, where not all of a slot has memory.
    pub(crate) fn with_capacity(self, capacity: usize) -> Geometry {
        Geometry { capacity: self.capacity.min(capacity), ..self }
    }

    /// The shape of an entry of a registry.
    pub(crate) fn of_entry() -> Geometry {
        Geometry::new(entry::DEPTH, entry::STRIDE, entry::CAPACITY)
    }

    /// For models: a ring of `depth` slots (a power of two) of `capacity_words` words, not rounded
    /// up to pages.
    #[cfg(test)]
    pub(crate) fn exact(depth: usize, capacity_words: usize) -> Geometry {
        assert!(depth.is_power_of_two());
        Geometry::new(depth, slot::PAYLOAD + capacity_words, capacity_words * WORD_BYTES)
    }

    /// The callers have checked these assertions already. They are repeated because `memory::Slots`
    /// omits its bounds checks in reliance on them: a slot's header and its payload, rounded up to
    /// words, end before the next slot begins.
    fn new(depth: usize, stride_words: usize, capacity: usize) -> Geometry {
        assert!(depth.is_power_of_two() && stride_words >= slot::PAYLOAD);
        assert!(capacity.div_ceil(WORD_BYTES) <= stride_words - slot::PAYLOAD);
        assert!(stride_words.checked_mul(depth).is_some());
        Geometry { mask: depth as u64 - 1, stride_words, capacity, spares: 0 }
    }

    fn stride_for(capacity: usize) -> Option<usize> {
        capacity.checked_add(slot::HEADER_BYTES)?.checked_next_multiple_of(LINE_BYTES)
    }

    /// Slots in the ring.
    pub(crate) fn depth(self) -> u64 {
        self.mask + 1
    }

    /// Words from one slot to the next.
    pub(crate) fn stride_words(self) -> usize {
        self.stride_words
    }

    /// Payload bytes that fit in a slot.
    #[inline]
    pub(crate) fn capacity(self) -> usize {
        self.capacity
    }

    /// Slots of the ring, and spare ones.
    pub(crate) fn slots(self) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "64-bit targets only")]
        let depth = self.depth() as usize;
        depth + self.spares
    }

    /// Slots that publications go to in place of a pinned one.
    pub(crate) fn spares(self) -> usize {
        self.spares
    }

    /// Words of all slots, and of the table.
    pub(crate) fn words(self) -> usize {
        // No overflow: `new` and `with_spares` have checked this.
        self.slot_at(self.slots()) + self.table_words()
    }

    /// Words of the table, in full lines: one for each slot of the ring; none without spares.
    fn table_words(self) -> usize {
        if self.spares == 0 { 0 } else { (self.slots() - self.spares).next_multiple_of(LINE_WORDS) }
    }

    /// The word that leads to the slot of the `turn`-th publication of this segment, behind the
    /// slots: 0 if it is the slot of that turn, otherwise the number of a slot, plus one.
    pub(crate) fn entry(self, turn: u64) -> usize {
        self.slot_at(self.slots()) + self.position(turn)
    }

    /// Which slot of the ring the `turn`-th publication has.
    #[inline]
    pub(crate) fn position(self, turn: u64) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "masked to less than the depth, which is a usize"
        )]
        let position = (turn & self.mask) as usize;
        position
    }

    /// The first word of the slot of this number: first those of the ring, then the spare ones.
    #[inline]
    pub(crate) fn slot_at(self, number: usize) -> usize {
        number * self.stride_words
    }

    /// Bytes of a segment's own object: full pages.
    pub(crate) fn object_bytes(self) -> usize {
        ((SLOTS + self.words()) * WORD_BYTES).next_multiple_of(PAGE_BYTES)
    }

    /// Bytes of a channel's object whose first segments have this shape and begin behind `words`:
    /// full pages. With spares, the last one is that of the pins.
    pub(crate) fn first_bytes(self, words: usize) -> usize {
        let pins = if self.spares == 0 { 0 } else { pins::WORDS };
        (self.first_end(words) + pins) * WORD_BYTES
    }

    /// The word at which a channel's first segments end that begin behind `words`: that of a page.
    pub(crate) fn first_end(self, words: usize) -> usize {
        (words + 2 * self.words()).next_multiple_of(PAGE_BYTES / WORD_BYTES)
    }

    /// The first word, among the segment's slots, of the slot for the `turn`-th publication of this
    /// segment. No division: the depth is a power of two.
    #[inline]
    pub(crate) fn slot(self, turn: u64) -> usize {
        self.slot_at(self.position(turn))
    }
}

#[cfg(test)]
mod tests {
    use super::super::control;
    use super::*;

    #[test]
    fn small_states_take_one_page_in_all() {
        let first = |capacity| Geometry::fit_first(control::WORDS, capacity, None).unwrap();
        for (capacity, slots, pages) in
            [(1, 16, 1), (64, 8, 1), (256, 4, 1), (928, 4, 3), (1024, 4, 3), (1025, 2, 2), (4096, 2, 5)]
        {
            let geometry = first(capacity);
            assert_eq!((geometry.depth(), geometry.first_bytes(control::WORDS)), (slots, pages * PAGE_BYTES));
            assert!(geometry.capacity() >= capacity);
        }
    }

    #[test]
    fn a_large_state_gets_two_slots_a_segment() {
        let geometry = Geometry::fit(1 << 20, None).unwrap();
        assert_eq!(geometry.depth(), 2);
        assert!(geometry.object_bytes() < (2 << 20) + 2 * PAGE_BYTES);
    }

    #[test]
    fn depth_is_rounded_up_to_a_power_of_two_and_one_is_possible() {
        assert_eq!(Geometry::fit(100, Some(3)).unwrap().depth(), 4);
        assert_eq!(Geometry::fit(100, Some(1)).unwrap().depth(), 1);
    }

    #[test]
    fn nothing_overflows() {
        for capacity in [0, usize::MAX, usize::MAX - 40, isize::MAX as usize] {
            assert_eq!(Geometry::fit(capacity, None), None, "{capacity}");
            assert_eq!(Geometry::fit_first(control::WORDS, capacity, None), None, "{capacity}");
        }
        assert_eq!(Geometry::fit(1 << 40, Some(1 << 16)).map(Geometry::depth), Some(1 << 16));
        assert_eq!(Geometry::fit(1 << 48, Some(1 << 16)), None);
        assert_eq!(Geometry::fit_first(control::WORDS, 1 << 47, Some(1 << 15)), None);
        assert_eq!(Geometry::fit(1, Some(0)), None);
        assert_eq!(Geometry::fit(1, Some(usize::MAX)), None);
    }

    #[test]
    fn what_fit_makes_check_accepts_and_every_slot_is_inside() {
        for capacity in [1, 31, 32, 33, 96, 928, 4000, 4096, 70_001, 1 << 24] {
            for depth in [None, Some(1), Some(2), Some(5), Some(64)] {
                let behind = control::first_slot(777).unwrap();
                let own = Geometry::fit(capacity, depth).unwrap();
                let first = Geometry::fit_first(behind, capacity, depth).unwrap();
                let rooms = [
                    own.object_bytes() / WORD_BYTES - SLOTS,
                    (first.first_bytes(behind) / WORD_BYTES - behind) / 2,
                ];
                for (made, room) in [own, first].into_iter().zip(rooms) {
                    assert!(made.capacity() >= capacity);
                    let stride = made.stride_words() as u64;
                    let read = Geometry::check(made.depth(), stride, made.capacity() as u64, 0, room);
                    assert_eq!(read, Some(made));
                    let last = made.slot(made.depth() - 1);
                    assert!((last + slot::PAYLOAD) * WORD_BYTES + made.capacity() <= room * WORD_BYTES);
                    assert_eq!(made.slot(made.depth()), 0);
                }
            }
        }
    }

    #[test]
    fn implausible_headers_are_refused() {
        let good = (2, 16, 96, 2 * 16);
        assert!(Geometry::check(good.0, good.1, good.2, 0, good.3).is_some());
        let bad = [
            (0, 16, 96, 32),
            (3, 16, 96, 400),
            (2, 17, 96, 400),
            (2, 0, 96, 32),
            (2, 16, 0, 32),
            (2, 16, 97, 32),
            (2, 16, 96, 31),
            (4, 16, 96, 32),
            (2, u64::MAX - 7, 96, 32),
            (1 << 17, 16, 96, usize::MAX),
            (u64::MAX, u64::MAX, u64::MAX, usize::MAX),
        ];
        for (depth, stride, capacity, words) in bad {
            assert_eq!(Geometry::check(depth, stride, capacity, 0, words), None);
        }
    }
}
