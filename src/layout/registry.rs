//! The registry: one object for each namespace, the table of its channels.
//!
//! A page of header, the waiters' page, a word for each entry that says whether it is in use, and the entries. The
//! object is as large as the table can become, but only as much of it is ever given memory as was needed.

use super::{LINE_WORDS, PAGE_BYTES, WORD_BYTES};

/// The ready word (`layout::READY`), stored last.
pub(crate) const READY: usize = 0;
/// Random: tells one table of the namespace from the next.
pub(crate) const INSTANCE: usize = READY + 1;
/// The hot line: read by who wants to know whether anything has changed.
pub(crate) const HOT: usize = 2 * LINE_WORDS;
/// Counts the changes of the table.
pub(crate) const CHANGES: usize = HOT;
/// How many entries have ever been in use: none is behind that.
pub(crate) const HIGH: usize = CHANGES + 1;
/// 1 when the object is, or is about to be, without a name.
pub(crate) const ENDED: usize = HIGH + 1;
/// 1 while a change is being made: who finds it then has found a change that was not finished.
pub(crate) const DIRTY: usize = HOT + 2 * LINE_WORDS;
/// The namespace's full name: its length in bytes, then the bytes.
pub(crate) const NAMESPACE: super::control::Text =
    super::control::Text { word: DIRTY + LINE_WORDS, max: 128 };

/// Channels that a namespace can have.
pub(crate) const MAX: usize = 1 << 16;
/// For each entry: 0 if it is free, else the hash of its channel's name, with the lowest bit set.
pub(crate) const MARKS: usize = waiters::START + waiters::WORDS;
/// The first entry.
pub(crate) const ENTRIES: usize = MARKS + MAX;
/// Bytes of the whole object.
pub(crate) const BYTES: usize = (ENTRIES + MAX * entry::WORDS) * WORD_BYTES;

/// What has memory from the beginning: header and waiters' page.
pub(crate) const RESERVED: usize = MARKS * WORD_BYTES;

/// The page that readers, too, may store to: the only one. Its words are relative to its start.
pub(crate) mod waiters {
    use super::super::{LINE_WORDS, PAGE_BYTES, WORD_BYTES, fingerprint};

    /// Where the page starts in the object.
    pub(crate) const START: usize = PAGE_BYTES / WORD_BYTES;
    /// Words of the page.
    pub(crate) const WORDS: usize = PAGE_BYTES / WORD_BYTES;
    /// The table's instance again: tells whose page it is.
    pub(crate) const INSTANCE: usize = 0;
    /// Counts how often anybody was woken: who waits for several channels sleeps on it.
    pub(crate) const RUNG: usize = LINE_WORDS;
    /// The announcements of those who wait for a channel.
    pub(crate) const FIRST: usize = 2 * LINE_WORDS;

    /// The word that counts the announcements of those who wait for `channel`. Two channels may share one: then waiting
    /// for one of them wakes a little too much.
    pub(crate) fn of_channel(channel: &str) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "less than a page")]
        let index = (fingerprint(channel) % (WORDS - FIRST) as u64) as usize;
        FIRST + index
    }
}

/// Words of an entry, relative to its start.
pub(crate) mod entry {
    /// Number of the latest version of the entry, twice counted: 2, 4, 6, …; its slots take turns.
    pub(crate) const PUBLISHED: usize = 0;
    /// Words from one entry to the next.
    pub(crate) const WORDS: usize = 128;
    /// Slots of an entry: the one that is in force, and the one that is being written.
    pub(crate) const DEPTH: usize = 2;
    /// Words from one slot to the next.
    pub(crate) const STRIDE: usize = 56;
    /// Payload bytes of a slot.
    pub(crate) const CAPACITY: usize = (STRIDE - super::super::segment::slot::PAYLOAD) * super::WORD_BYTES;
}

const _: () = assert!(READY == super::segment::READY && ENDED < HOT + LINE_WORDS);
const _: () = assert!(NAMESPACE.bytes_at() + NAMESPACE.max / WORD_BYTES <= waiters::START);
const _: () = assert!(super::segment::SLOTS + entry::DEPTH * entry::STRIDE <= entry::WORDS);
const _: () = assert!((ENTRIES * WORD_BYTES).is_multiple_of(PAGE_BYTES) && BYTES.is_multiple_of(PAGE_BYTES));
