//! The objects of a channel beside its control page: segments and the schema.

/// A segment: one line of header, then the slots of its ring.
pub(crate) mod segment {
    use super::super::{LINE_WORDS, WORD_BYTES};

    /// The ready word (`layout::READY`), stored last.
    pub(crate) const READY: usize = 0;
    /// The instance id of the channel it belongs to.
    pub(crate) const INSTANCE: usize = READY + 1;
    /// 0 for A, 1 for B.
    pub(crate) const SIDE: usize = INSTANCE + 1;
    /// Its number among the segments of its side, from 1.
    pub(crate) const GENERATION: usize = SIDE + 1;
    /// Slots in the ring, a power of two.
    pub(crate) const DEPTH: usize = GENERATION + 1;
    /// Words from one slot to the next, a multiple of a line.
    pub(crate) const STRIDE: usize = DEPTH + 1;
    /// Payload bytes that fit in a slot.
    pub(crate) const CAPACITY: usize = STRIDE + 1;
    /// The first slot.
    pub(crate) const SLOTS: usize = LINE_WORDS;

    /// Words of a slot, relative to its start.
    pub(crate) mod slot {
        /// The stamp: 2n−1 while publication n is written, 2n when it is whole, 0 before the first.
        pub(crate) const STAMP: usize = 0;
        /// Payload length in bytes.
        pub(crate) const LENGTH: usize = STAMP + 1;
        /// Timestamp of the publication: nanoseconds of the monotonic clock, 0 for "not recorded".
        pub(crate) const TIME: usize = LENGTH + 1;
        /// CRC32C of number and payload where the channel has checksums, else 0.
        pub(crate) const CHECKSUM: usize = TIME + 1;
        /// The payload, padded to a word.
        pub(crate) const PAYLOAD: usize = CHECKSUM + 1;
        /// Bytes of a slot that are not payload.
        pub(crate) const HEADER_BYTES: usize = PAYLOAD * super::WORD_BYTES;
    }

    const _: () = assert!(CAPACITY < SLOTS, "the header must fit in one line");
    const _: () =
        assert!(slot::PAYLOAD * 2 == LINE_WORDS, "a 32-byte state and its slot header share one line");
}

/// The schema: one line of header, then the bytes. The layout does not define their meaning.
pub(crate) mod schema {
    use super::super::{LINE_WORDS, PAGE_BYTES, WORD_BYTES};

    /// The ready word (`layout::READY`), stored last.
    pub(crate) const READY: usize = 0;
    /// The instance id of the channel it belongs to.
    pub(crate) const INSTANCE: usize = READY + 1;
    /// Length of the schema in bytes.
    pub(crate) const LENGTH: usize = INSTANCE + 1;
    /// CRC32C of the bytes.
    pub(crate) const CHECKSUM: usize = LENGTH + 1;
    /// The first byte.
    pub(crate) const CONTENT: usize = LINE_WORDS;

    /// Maximum bytes of a schema.
    pub(crate) const MAX_BYTES: usize = 64 << 10;

    /// Bytes of the object for a schema of `len` bytes: full pages.
    pub(crate) const fn object_bytes(len: usize) -> usize {
        (CONTENT * WORD_BYTES + len).next_multiple_of(PAGE_BYTES)
    }

    const _: () = assert!(READY == super::super::control::READY && CHECKSUM < CONTENT);
    const _: () = assert!(CONTENT * WORD_BYTES < PAGE_BYTES);
}
