//! Checksums: of publications, and of what describes them.

use crate::layout::Publication;

/// CRC32C of the publication's number and its payload: a payload that stands under another number is wrong, too.
pub(crate) fn of(publication: Publication, payload: &[u8]) -> u64 {
    let number = crc32c::crc32c(&publication.get().to_le_bytes());
    u64::from(crc32c::crc32c_append(number, payload))
}

/// CRC32C of bytes that are no publication.
pub(crate) fn of_bytes(bytes: &[u8]) -> u64 {
    u64::from(crc32c::crc32c(bytes))
}
