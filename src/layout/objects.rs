//! Segments, and a namespace's registry.

/// A segment. The first of each side is a part of the channel's object, without a header. A later
/// one has an object of its own: one line of header, then the slots of its ring.
pub(crate) mod segment {
    use super::super::{LINE_WORDS, WORD_BYTES};

    /// The generation of the segments in the channel's object.
    pub(crate) const FIRST: u64 = 1;

    /// The ready word (`layout::READY`), stored last.
    pub(crate) const READY: usize = 0;
    /// The instance id of the channel it belongs to.
    pub(crate) const INSTANCE: usize = READY + 1;
    /// 0 for A, 1 for B.
    pub(crate) const SIDE: usize = INSTANCE + 1;
    /// Its number among the segments of its side, from 2.
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
        /// Timestamp of the publication: nanoseconds since the machine's boot, 0 for "not
        /// recorded".
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

pub(crate) mod registry {
    //! The registry: one object for each namespace, the table of its channels.
    //!
    //! A header page, the waiters' page, and blocks of entries, each behind a page of words that
    //! say which of its entries are in use. The object ends behind the entries that were needed so
    //! far; it grows in place, and never shrinks.

    use super::super::{LINE_WORDS, PAGE_BYTES, WORD_BYTES};

    /// The ready word (`layout::READY`), stored last.
    pub(crate) const READY: usize = 0;
    /// Random; differs between the tables of a namespace.
    pub(crate) const INSTANCE: usize = READY + 1;
    /// The hot line: a process reads it to find out whether anything has changed.
    pub(crate) const HOT: usize = 2 * LINE_WORDS;
    /// Counts the changes of the table.
    pub(crate) const CHANGES: usize = HOT;
    /// High-water mark: entries at this index or above have never been used.
    pub(crate) const HIGH: usize = CHANGES + 1;
    /// 1 if this table has been, or is about to be, unlinked.
    pub(crate) const ENDED: usize = HIGH + 1;
    /// 1 during a change. The next process that changes the table finds an interrupted change by
    /// it.
    pub(crate) const DIRTY: usize = HOT + 2 * LINE_WORDS;
    /// The namespace's full name: its length in bytes, then the bytes.
    pub(crate) const NAMESPACE: super::super::control::Text =
        super::super::control::Text { word: DIRTY + LINE_WORDS, max: 128 };

    /// Maximum number of channels in a namespace.
    pub(crate) const MAX: usize = 1 << 16;
    /// The first block.
    pub(crate) const BLOCKS: usize = waiters::START + waiters::WORDS;
    /// Entries of a block.
    pub(crate) const BLOCK: usize = PAGE_BYTES / WORD_BYTES;
    /// Words from one block to the next.
    pub(crate) const BLOCK_WORDS: usize = BLOCK * (1 + entry::WORDS);

    /// Bytes of a new table: one page of entries.
    pub(crate) const MIN_BYTES: usize = bytes(1);
    /// Bytes of a full table.
    pub(crate) const MAX_BYTES: usize = bytes(MAX);

    /// The word of an entry that is 0 if the entry is free, else the hash of its channel's name,
    /// with the lowest bit set.
    pub(crate) const fn mark(index: usize) -> usize {
        BLOCKS + index / BLOCK * BLOCK_WORDS + index % BLOCK
    }

    /// The first word of an entry.
    pub(crate) const fn entry(index: usize) -> usize {
        BLOCKS + index / BLOCK * BLOCK_WORDS + BLOCK + index % BLOCK * entry::WORDS
    }

    /// Bytes of a table that has room for this many entries, at least one: full pages.
    pub(crate) const fn bytes(entries: usize) -> usize {
        ((entry(entries - 1) + entry::WORDS) * WORD_BYTES).next_multiple_of(PAGE_BYTES)
    }

    /// The number of entries that a table of this many words has room for.
    pub(crate) const fn room(words: usize) -> usize {
        let words = words.saturating_sub(BLOCKS);
        let last = (words % BLOCK_WORDS).saturating_sub(BLOCK) / entry::WORDS;
        let room = words / BLOCK_WORDS * BLOCK + last;
        if room < MAX { room } else { MAX }
    }

    /// The one page that readers may store to. Its words are relative to its start.
    pub(crate) mod waiters {
        use super::super::super::{LINE_WORDS, PAGE_BYTES, WORD_BYTES, fingerprint};

        /// First word of the page in the object.
        pub(crate) const START: usize = PAGE_BYTES / WORD_BYTES;
        /// Words of the page.
        pub(crate) const WORDS: usize = PAGE_BYTES / WORD_BYTES;
        /// The table's instance: identifies the registry that the page belongs to.
        pub(crate) const INSTANCE: usize = 0;
        /// Counts wake-ups. A process that waits for several channels sleeps on it.
        pub(crate) const RUNG: usize = LINE_WORDS;
        /// The first of the counters by which processes announce that they wait for a channel.
        pub(crate) const FIRST: usize = 2 * LINE_WORDS;

        /// The word that counts the announcements of processes that wait for `channel`. Two
        /// channels may share a word: then a publication on one of them also wakes waiters of the
        /// other.
        pub(crate) fn of_channel(channel: &str) -> usize {
            #[expect(clippy::cast_possible_truncation, reason = "less than a page")]
            let index = (fingerprint(channel) % (WORDS - FIRST) as u64) as usize;
            FIRST + index
        }
    }

    /// Words of an entry, relative to its start.
    pub(crate) mod entry {
        /// Number of the latest version of the entry, counted in steps of two: 2, 4, 6, …; its
        /// slots take turns.
        pub(crate) const PUBLISHED: usize = 0;
        /// Words from one entry to the next.
        pub(crate) const WORDS: usize = 128;
        /// Slots of an entry: the current one, and the one that is being written.
        pub(crate) const DEPTH: usize = 2;
        /// Words from one slot to the next.
        pub(crate) const STRIDE: usize = 56;
        /// Payload bytes of a slot.
        pub(crate) const CAPACITY: usize =
            (STRIDE - super::super::segment::slot::PAYLOAD) * super::WORD_BYTES;
    }

    const _: () = assert!(READY == super::segment::READY && ENDED < HOT + LINE_WORDS);
    const _: () = assert!(NAMESPACE.bytes_at() + NAMESPACE.max / WORD_BYTES <= waiters::START);
    const _: () = assert!(super::segment::SLOTS + entry::DEPTH * entry::STRIDE <= entry::WORDS);
    const _: () = assert!((BLOCKS * WORD_BYTES).is_multiple_of(PAGE_BYTES));
    const _: () = assert!(room(MIN_BYTES / WORD_BYTES) > 0 && room(MAX_BYTES / WORD_BYTES) == MAX);
}
