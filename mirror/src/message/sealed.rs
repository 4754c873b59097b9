//! What every message has around its body: a version before it, and a CRC32C behind it.

use serde::Serialize;

/// The version of these messages. Another one is refused.
pub const VERSION: u8 = 2;

/// Why bytes can't be decoded as a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Longer than any message.
    #[error("the message has {0} bytes, more than any: is the sender a mirror of this version?")]
    TooLong(usize),
    /// Another version's.
    #[error(
        "the message is of version {0}, and this mirror's is {VERSION}: run the same version on both hosts"
    )]
    Version(u8),
    /// Changed on the way, or cut.
    #[error("the message is damaged: its checksum does not match")]
    Damaged,
    /// What no mirror sends.
    #[error("the message is invalid: {0}")]
    Invalid(&'static str),
}

/// The beginning of a message: its version.
pub(super) fn begin() -> Vec<u8> {
    let mut message = Vec::with_capacity(128);
    message.push(VERSION);
    message
}

/// Appends a part of the body.
pub(super) fn append(into: Vec<u8>, message: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(message, into).expect("memory grows, and the messages have lengths")
}

/// Appends the checksum.
pub(super) fn seal(mut message: Vec<u8>) -> Vec<u8> {
    let checksum = crc32c::crc32c(&message);
    message.extend(checksum.to_le_bytes());
    message
}

/// The body, of at most `max` bytes with the rest.
pub(super) fn open(bytes: &[u8], max: usize) -> Result<&[u8], MessageError> {
    if bytes.len() > max {
        return Err(MessageError::TooLong(bytes.len()));
    }
    let (message, checksum) = bytes.split_last_chunk::<4>().ok_or(MessageError::Damaged)?;
    let (version, body) = message.split_first().ok_or(MessageError::Damaged)?;
    // Before the checksum: another version may have another one.
    if *version != VERSION {
        return Err(MessageError::Version(*version));
    }
    if crc32c::crc32c(message) != u32::from_le_bytes(*checksum) {
        return Err(MessageError::Damaged);
    }
    Ok(body)
}
