//! Segments, blocks, and the objects of a namespace's registry.

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

/// The pins of a channel: full pages at the end of its object, the only ones of it that readers
/// store to.
pub(crate) mod pins {
    use super::super::{PAGE_BYTES, WORD_BYTES};

    /// Maximum number of pins.
    pub(crate) const MAX: usize = 64;
    /// Words of the page.
    pub(crate) const WORDS: usize = PAGE_BYTES / WORD_BYTES;
    /// The first pin: the number of the publication that its holder views in place, or 0.
    pub(crate) const PINS: usize = 0;
    /// The first pin's holder: the number whose byte a reader has locked, or 0.
    pub(crate) const HOLDERS: usize = PINS + MAX;
    /// Number of announcements of readers that pin.
    pub(crate) const VIEWERS: usize = HOLDERS + MAX;

    const _: () = assert!(VIEWERS < WORDS);
}

/// A block: a page of header, then the bytes that its users share. What the header has in common
/// with a control page is in the same place.
pub(crate) mod block {
    use super::super::control::{self, Text};
    use super::super::{PAGE_BYTES, WORD_BYTES};

    /// The ready word (`layout::READY`), stored last.
    pub(crate) const READY: usize = control::READY;
    /// Random; differs between the blocks that had the same name.
    pub(crate) const INSTANCE: usize = control::INSTANCE;
    /// Bytes of the contents.
    pub(crate) const LEN: usize = INSTANCE + 1;
    /// Required features, as bits: a process that doesn't know one of them must not open the block.
    pub(crate) const FEATURES_REQUIRED: usize = control::FEATURES_REQUIRED;
    /// 2 once the block's name has been, or is about to be, unlinked; else 0.
    pub(crate) const STATE: usize = control::STATE;
    /// Time at which the owner created the block, in nanoseconds since the machine's boot.
    pub(crate) const CREATED: usize = control::OPENED;
    /// The namespace's full name.
    pub(crate) const NAMESPACE: Text = control::NAMESPACE;
    /// The block's full name.
    pub(crate) const NAME: Text = control::CHANNEL;
    /// What the users say about the contents.
    pub(crate) const LABEL: Text = Text { word: control::CODEC.word, max: 2_048 };
    /// The first word of the contents.
    pub(crate) const CONTENTS: usize = PAGE_BYTES / WORD_BYTES;

    const _: () = assert!(LEN < control::FEATURES_REQUIRED && LABEL.word == NAME.end());
    const _: () = assert!(READY == super::segment::READY && STATE < CREATED && LABEL.end() <= CONTENTS);
}

pub(crate) mod registry {
    //! The registry: one table for each namespace, of its channels.
    //!
    //! The table's first object holds the header, the waiters' pages and a few entries. Each
    //! further object, a *chunk*, has room for as many entries as all before it, and a hash index
    //! of the entries of all. No object grows.

    use super::super::{LINE_WORDS, PAGE_BYTES, WORD_BYTES};
    use super::segment::slot;

    /// The ready word (`layout::READY`), stored last, of each object.
    pub(crate) const READY: usize = 0;
    /// Random; differs between the tables of a namespace. Each object has that of its table.
    pub(crate) const INSTANCE: usize = READY + 1;
    /// The chunk's number; 0 in the first object.
    pub(crate) const NUMBER: usize = INSTANCE + 1;
    /// The hot line: a process reads it to find out whether anything has changed.
    pub(crate) const HOT: usize = 2 * LINE_WORDS;
    /// Counts the changes of the table.
    pub(crate) const CHANGES: usize = HOT;
    /// High-water mark: entries at this index or above have never been used.
    pub(crate) const HIGH: usize = CHANGES + 1;
    /// 1 if this table has been, or is about to be, unlinked.
    pub(crate) const ENDED: usize = HIGH + 1;
    /// 1 during a change. The next process that changes the table finds an interrupted change by
    /// it. This word and the next four are used only under the table's lock.
    pub(crate) const DIRTY: usize = HOT + 2 * LINE_WORDS;
    /// The number of the last chunk, which has the index in use.
    pub(crate) const LAST: usize = DIRTY + 1;
    /// The number of used entries.
    pub(crate) const COUNT: usize = LAST + 1;
    /// One more than the first free entry below the high-water mark; 0 if there is none. Its mark
    /// leads to the next one.
    pub(crate) const FREE: usize = COUNT + 1;
    /// The entry from which on the next new channel looks for those of dead writers.
    pub(crate) const CURSOR: usize = FREE + 1;
    /// The namespace's full name: its length in bytes, then the bytes.
    pub(crate) const NAMESPACE: super::super::control::Text =
        super::super::control::Text { word: DIRTY + LINE_WORDS, max: 128 };
    /// The first object's marks.
    pub(crate) const MARKS: usize = 8 * LINE_WORDS;

    /// Maximum number of channels in a namespace.
    pub(crate) const MAX: usize = 1 << 16;
    /// Entries of the first object.
    pub(crate) const FIRST: usize = 4;

    /// One of the table's objects, by its number: the first object is 0.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) struct Chunk(pub(crate) usize);

    impl Chunk {
        /// The chunk with which the table has room for [`MAX`] entries.
        pub(crate) const MAX: Chunk = Chunk::of_entry(MAX - 1);

        /// The chunk of an entry.
        pub(crate) const fn of_entry(index: usize) -> Chunk {
            match (index / FIRST).checked_ilog2() {
                Some(power) => Chunk(power as usize + 1),
                None => Chunk(0),
            }
        }

        /// The first entry.
        pub(crate) const fn start(self) -> usize {
            if self.0 == 0 { 0 } else { FIRST << (self.0 - 1) }
        }

        /// The entry after the last one: as many entries as the table has up to this chunk.
        pub(crate) const fn end(self) -> usize {
            FIRST << self.0
        }

        const fn marks(self) -> usize {
            if self.0 == 0 { MARKS } else { LINE_WORDS }
        }

        /// The word of an entry that says what it is: if the lowest bit is set, the hash of its
        /// channel's name; else the entry is free, and this is twice the next free one's number and
        /// one, or 0.
        pub(crate) const fn mark(self, index: usize) -> usize {
            self.marks() + index - self.start()
        }

        /// The first word of the hash index.
        pub(crate) const fn index(self) -> usize {
            self.marks() + self.end() - self.start()
        }

        /// Words of the hash index: twice as many as entries.
        pub(crate) const fn index_words(self) -> usize {
            2 * self.end()
        }

        /// The first word of an entry.
        pub(crate) const fn entry(self, index: usize) -> usize {
            self.index() + self.index_words() + (index - self.start()) * entry::WORDS
        }

        /// Bytes of the object: full pages.
        pub(crate) const fn bytes(self) -> usize {
            let entries = (self.entry(self.end()) * WORD_BYTES).next_multiple_of(PAGE_BYTES);
            if self.0 == 0 { entries + waiters::WORDS * WORD_BYTES } else { entries }
        }
    }

    /// The pages that readers may store to. Their words are relative to their start.
    pub(crate) mod waiters {
        use super::super::super::{LINE_WORDS, PAGE_BYTES, WORD_BYTES, fingerprint};

        /// The first word in the table's first object.
        pub(crate) const START: usize = PAGE_BYTES / WORD_BYTES;
        /// Words of the pages.
        pub(crate) const WORDS: usize = 4 * PAGE_BYTES / WORD_BYTES;
        /// The table's instance: identifies the registry that the pages belong to.
        pub(crate) const INSTANCE: usize = 0;
        /// Counts wake-ups. A process that waits for several channels sleeps on it.
        pub(crate) const WAKE_UPS: usize = LINE_WORDS;
        /// The number of groups of channels.
        pub(crate) const GROUPS: usize = WORDS / 2 - LINE_WORDS;
        /// The first of the counters by which processes announce that they wait for a channel of a
        /// group.
        pub(crate) const ANNOUNCED: usize = 2 * LINE_WORDS;
        /// The first of the counters of wake-ups by writers of a group's channels.
        pub(crate) const GROUP_WAKE_UPS: usize = ANNOUNCED + GROUPS;

        /// The group of `channel`. A publication on one of the channels of a group also wakes
        /// waiters of the others.
        pub(crate) fn group_of(channel: &str) -> usize {
            #[expect(clippy::cast_possible_truncation, reason = "less than two pages")]
            let group = (fingerprint(channel) % GROUPS as u64) as usize;
            group
        }

        const _: () = assert!(GROUP_WAKE_UPS + GROUPS == WORDS);
    }

    /// Words of an entry: the number of its current version, two slots, and the name, which both
    /// slots share. A ring of slots knows the name as the last words of each slot's payload.
    pub(crate) mod entry {
        use super::super::super::{WORD_BYTES, control};
        use super::slot;

        /// Number of the latest version of the entry, counted in steps of two: 2, 4, 6, …; its
        /// slots take turns.
        pub(crate) const PUBLISHED: usize = 0;
        /// Slots of an entry: the current one, and the one that is being written.
        pub(crate) const DEPTH: usize = 2;
        /// Numbers at the beginning of a payload.
        pub(crate) const NUMBERS: usize = 10;
        /// Words of a slot that it shares with no other: its header, the numbers, the codec's name.
        pub(crate) const OWN: usize = slot::PAYLOAD + NUMBERS + control::CODEC.max / WORD_BYTES;
        /// Words of the channel's name.
        pub(crate) const NAME: usize = control::CHANNEL.max / WORD_BYTES;
        /// Words from one slot to the next, as the ring counts them.
        pub(crate) const STRIDE: usize = 56;
        /// Payload bytes of a slot.
        pub(crate) const CAPACITY: usize = (OWN + NAME - slot::PAYLOAD) * WORD_BYTES;
        /// Words from one entry to the next.
        pub(crate) const WORDS: usize = 1 + DEPTH * OWN + NAME;
        /// Words of an entry as the ring counts them.
        pub(crate) const RING_WORDS: usize = DEPTH * STRIDE;

        /// The word of the entry that is the ring's `word`.
        pub(crate) const fn word(word: usize) -> usize {
            let (slot, at) = (word / STRIDE, word % STRIDE);
            if at < OWN { 1 + slot * OWN + at } else { 1 + DEPTH * OWN + at - OWN }
        }

        /// The number of words from the ring's `word` of a slot to the name.
        pub(crate) const fn before_name(word: usize) -> usize {
            OWN.saturating_sub(word % STRIDE)
        }

        const _: () = assert!(OWN + NAME <= STRIDE);
    }

    const _: () = assert!(READY == super::segment::READY && ENDED < HOT + LINE_WORDS);
    const _: () = assert!(CURSOR < NAMESPACE.word);
    const _: () = assert!(NAMESPACE.bytes_at() + NAMESPACE.max / WORD_BYTES <= MARKS);
    const _: () = assert!(Chunk(0).entry(FIRST) <= waiters::START && Chunk::MAX.end() == MAX);
}
