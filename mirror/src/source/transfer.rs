//! A large state that a sink asks for in pieces: the sending half of a transfer.

use std::time::Duration;

use super::Read;
use crate::message::{AskPiece, MAX_REPLY_BYTES, Piece, nanos};

/// How long a large state is kept for the next piece.
const KEPT: Duration = Duration::from_secs(15);

/// A transfer under way.
pub(super) struct Transfer {
    key: u32,
    read: Read,
    read_at: Duration,
    asked_at: Duration,
    checksum: u32,
    payload: Vec<u8>,
}

impl Transfer {
    /// Of a state that was read now.
    pub(super) fn new(now: Duration, key: u32, read: Read, payload: Vec<u8>) -> Transfer {
        let checksum = crc32c::crc32c(&payload);
        Transfer { key, read, read_at: now, asked_at: now, checksum, payload }
    }

    /// The memory of the payload, for another one.
    pub(super) fn into_payload(self) -> Vec<u8> {
        self.payload
    }

    /// Whether this is what the sink has a piece of.
    pub(super) fn is_of(&self, ask: &AskPiece) -> bool {
        self.key == ask.key && self.read.publication == ask.publication
    }

    /// Whether nothing was asked for in a long time.
    pub(super) fn is_over(&self, now: Duration) -> bool {
        now.saturating_sub(self.asked_at) >= KEPT
    }

    /// The piece that is asked for. Of another publication than the sink has a piece of, it needs
    /// the first one.
    pub(super) fn piece(&mut self, now: Duration, session: u64, ask: &AskPiece) -> Piece<'_> {
        self.asked_at = now;
        let len = self.payload.len();
        let offset = if self.is_of(ask) { usize::try_from(ask.offset).unwrap_or(len).min(len) } else { 0 };
        let max = (ask.max_bytes as usize).clamp(1 << 10, MAX_REPLY_BYTES / 2);
        Piece {
            session,
            key: self.key,
            publication: self.read.publication,
            age: self.read.age.map(|age| nanos(age + now.saturating_sub(self.read_at))),
            len: len as u64,
            checksum: self.checksum,
            offset: offset as u64,
            bytes: &self.payload[offset..len.min(offset + max)],
        }
    }
}
