//! Where every word lies in shared memory: offsets, geometry, names.
//!
//! Every shared object is an array of 64-bit little-endian words. All offsets here are in words
//! unless a name says `BYTES`. They are derived from one another, checked by `const` assertions,
//! and drawn in `docs/layout.md`.

pub(crate) mod control;
#[cfg(test)]
mod diagram;
mod geometry;
mod name;
mod objects;
mod publication;

pub(crate) use geometry::Geometry;
pub(crate) use name::{Kind, ObjectNames, hash as fingerprint};
pub(crate) use objects::{block, pins, registry, segment};
pub(crate) use publication::Publication;
pub use publication::Side;

/// Bytes in a word, the unit of every shared access.
pub(crate) const WORD_BYTES: usize = 8;

/// Words in a cache line of 64 bytes, the unit of alignment of slots.
pub(crate) const LINE_WORDS: usize = 8;

/// Bytes in a cache line.
pub(crate) const LINE_BYTES: usize = LINE_WORDS * WORD_BYTES;

/// Bytes in a page, the smallest size of an object.
pub(crate) const PAGE_BYTES: usize = 4096;

/// The layout's version: changed whenever a word moves or changes its meaning.
pub(crate) const VERSION: u64 = 3;

/// The first six bytes of every ready object, `tearls` read as little-endian.
const MAGIC: u64 = u64::from_le_bytes(*b"tearls\0\0");

/// The "ready" word of an object of this layout: the magic in the low six bytes, the version in the
/// high two.
///
/// Zero means *not ready yet*.
pub(crate) const READY: u64 = MAGIC | (VERSION << 48);

/// The layout version in `word`, if `word` is a ready word.
pub(crate) fn version_of(word: u64) -> Option<u64> {
    let magic = word & ((1 << 48) - 1);
    (magic == MAGIC).then_some(word >> 48)
}

const _: () = assert!(VERSION > 0 && VERSION < 1 << 16);
const _: () = assert!(MAGIC >> 48 == 0 && READY != 0);
const _: () = assert!(PAGE_BYTES.is_multiple_of(LINE_BYTES));
