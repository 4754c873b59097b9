//! The schema of a channel: one line of header, then the bytes. What they mean is not the layout's business.

use super::{LINE_WORDS, PAGE_BYTES, WORD_BYTES};

/// The ready word (`layout::READY`), stored last.
pub(crate) const READY: usize = 0;
/// The instance id of the channel it belongs to.
pub(crate) const INSTANCE: usize = READY + 1;
/// How many bytes there are.
pub(crate) const LENGTH: usize = INSTANCE + 1;
/// CRC32C of the bytes.
pub(crate) const CHECKSUM: usize = LENGTH + 1;
/// The first byte.
pub(crate) const CONTENT: usize = LINE_WORDS;

/// Bytes that a schema may have at most.
pub(crate) const MAX_BYTES: usize = 64 << 10;

/// Bytes of the object for a schema of `len` bytes: full pages.
pub(crate) const fn object_bytes(len: usize) -> usize {
    (CONTENT * WORD_BYTES + len).next_multiple_of(PAGE_BYTES)
}

const _: () = assert!(READY == super::control::READY && CHECKSUM < CONTENT);
const _: () = assert!(CONTENT * WORD_BYTES < PAGE_BYTES);
