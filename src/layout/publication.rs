//! The number of a publication, and everything that follows from it.

/// One of the two segments of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The segment of the even publications.
    A,
    /// The segment of the odd publications.
    B,
}

impl Side {
    /// Both sides, in the order of [`Side::index`].
    pub(crate) const BOTH: [Side; 2] = [Side::A, Side::B];

    /// 0 for A, 1 for B.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

/// The number of a publication: 1, 2, 3, … for the whole life of a channel, never reused.
///
/// The number determines where a publication lies: the segment, the turn within the segment's ring,
/// and the two values of the slot's stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Publication(u64);

impl Publication {
    /// The last number. The stamp of the next one would still fit in a word; 146 years at 1 GHz are
    /// enough.
    pub(crate) const MAX: Publication = Publication(1 << 62);

    /// The publication with number `n`; `None` for 0 ("nothing is published yet") and beyond
    /// [`Publication::MAX`].
    #[inline]
    pub(crate) const fn new(n: u64) -> Option<Publication> {
        // In one comparison: 0 wraps.
        if n.wrapping_sub(1) >= Publication::MAX.0 { None } else { Some(Publication(n)) }
    }

    /// The number itself.
    #[inline]
    pub(crate) const fn get(self) -> u64 {
        self.0
    }

    /// The segment that it is written to.
    #[inline]
    pub(crate) const fn side(self) -> Side {
        if self.0 & 1 == 0 { Side::A } else { Side::B }
    }

    /// Number of publications that the same segment got before it. Its slot is this number modulo
    /// the depth.
    #[inline]
    pub(crate) const fn turn(self) -> u64 {
        self.0 >> 1
    }

    /// The stamp while the slot is being written: odd.
    #[inline]
    pub(crate) const fn stamp_writing(self) -> u64 {
        2 * self.0 - 1
    }

    /// The stamp when the slot is whole: even.
    #[inline]
    pub(crate) const fn stamp_whole(self) -> u64 {
        2 * self.0
    }
}

const _: () = assert!(Publication::MAX.0.checked_mul(2).is_some());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_alternate_between_the_sides_and_never_wrap() {
        assert_eq!(Publication::new(0), None);
        assert_eq!(Publication::new(1).unwrap().side(), Side::B);
        assert_eq!(Publication::new(2).unwrap().side(), Side::A);
        assert_eq!(Publication::new(Publication::MAX.get() + 1), None);
        let last = Publication::MAX;
        assert!(last.stamp_writing() % 2 == 1 && last.stamp_whole().is_multiple_of(2));
    }
}
