//! A large state that comes in pieces: the receiving half of a transfer.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::message::{AskPiece, Piece};

/// Pieces that are outstanding.
pub(super) const WINDOW: usize = 2;
/// How long a piece may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// How many pieces may fail one after the other before the transfer is begun again.
const MAX_FAILED: u32 = 4;

/// A piece that is outstanding.
#[derive(Clone, Copy)]
pub(super) struct PendingPiece {
    /// Where it begins.
    pub(super) offset: u64,
    pub(super) asked_at: Duration,
    /// Bytes of the reply, as the pace was told.
    pub(super) expected: usize,
}

/// A transfer under way.
pub(super) struct Transfer {
    pub(super) key: u32,
    /// The publication for which it was begun. A later one may come.
    pub(super) wanted: u64,
    /// The one that comes; 0 before the first piece.
    pub(super) publication: u64,
    pub(super) payload: Vec<u8>,
    age: Option<Duration>,
    began_at: Duration,
    checksum: u32,
    /// Maximum bytes of a piece.
    max_bytes: u32,
    /// By the requests' numbers.
    outstanding: BTreeMap<u64, PendingPiece>,
    /// The pieces that are still to be asked for begin here.
    next: u64,
    /// Pieces that were lost.
    again: Vec<u64>,
    /// Pieces that have failed since the last one came.
    failed: u32,
    /// Bytes that have come.
    received: u64,
}

impl Transfer {
    pub(super) fn new(key: u32, wanted: u64, max_bytes: u32) -> Transfer {
        Transfer {
            key,
            wanted,
            publication: 0,
            payload: Vec::new(),
            age: None,
            began_at: Duration::ZERO,
            checksum: 0,
            max_bytes,
            outstanding: BTreeMap::new(),
            next: 0,
            again: Vec::new(),
            failed: 0,
            received: 0,
        }
    }

    /// Whether there is a piece to ask for, and room for another request.
    pub(super) fn may_ask(&self) -> bool {
        // The length is not known before the first piece.
        let end = if self.publication == 0 { 1 } else { self.payload.len() as u64 };
        self.outstanding.len() < WINDOW && (!self.again.is_empty() || self.next < end)
    }

    /// The next piece, to be asked for by the request `id`.
    pub(super) fn ask(&mut self, now: Duration, id: u64) -> AskPiece {
        let offset = self.again.pop().unwrap_or_else(|| {
            self.next += u64::from(self.max_bytes);
            self.next - u64::from(self.max_bytes)
        });
        self.outstanding.insert(id, PendingPiece { offset, asked_at: now, expected: self.expected() });
        AskPiece { key: self.key, publication: self.publication, offset, max_bytes: self.max_bytes }
    }

    /// Bytes that a piece is expected to have.
    pub(super) fn expected(&self) -> usize {
        self.max_bytes as usize
    }

    /// Since when a piece is outstanding.
    pub(super) fn asked_at(&self) -> Option<Duration> {
        self.outstanding.values().map(|it| it.asked_at).min()
    }

    /// When the next piece will be late.
    pub(super) fn late_at(&self) -> Option<Duration> {
        self.asked_at().map(|at| at + PATIENCE)
    }

    /// The piece that the request `id` has asked for, which waits no more.
    pub(super) fn take(&mut self, id: u64) -> Option<PendingPiece> {
        self.outstanding.remove(&id)
    }

    /// No piece is waited for any more. Returns the bytes that those outstanding should have had.
    pub(super) fn drop_outstanding(&mut self) -> usize {
        std::mem::take(&mut self.outstanding).into_values().map(|it| it.expected).sum()
    }

    /// A late piece, which waits no more.
    pub(super) fn take_late(&mut self, now: Duration) -> Option<PendingPiece> {
        let late = self.outstanding.iter().find(|(_, it)| it.asked_at + PATIENCE <= now);
        late.map(|(id, _)| *id).and_then(|id| self.take(id))
    }

    /// Asks for a piece again that did not come, unless it is better to begin again: then with
    /// smaller pieces.
    pub(super) fn retry(&mut self, offset: u64) -> bool {
        let may_retry = self.publication != 0 && self.failed < MAX_FAILED;
        if may_retry {
            self.failed += 1;
            self.again.push(offset);
        }
        may_retry
    }

    /// Takes the piece that was to begin at `offset`. Returns whether it fits. Of another
    /// publication than before, no piece may be outstanding.
    pub(super) fn receive(&mut self, now: Duration, offset: u64, piece: &Piece<'_>) -> bool {
        if self.publication != piece.publication {
            // The first piece, or that of a later publication: the others are asked for again.
            self.payload.clear();
            let len = usize::try_from(piece.len).ok();
            let len = len.filter(|len| piece.offset == 0 && self.payload.try_reserve(*len).is_ok());
            let Some(len) = len else { return false };
            self.payload.resize(len, 0);
            (self.publication, self.checksum) = (piece.publication, piece.checksum);
            (self.age, self.began_at) = (piece.age.map(Duration::from_nanos), now);
            (self.received, self.next) = (0, piece.bytes.len() as u64);
            // The source may send less at once than it is asked for.
            let sent = u32::try_from(piece.bytes.len()).unwrap_or(u32::MAX);
            self.max_bytes = self.max_bytes.min(sent.max(1 << 10));
            self.again.clear();
        } else if piece.offset != offset {
            return false;
        }
        let from = usize::try_from(piece.offset).unwrap_or(usize::MAX);
        let until = from.saturating_add(self.max_bytes as usize).min(self.payload.len());
        let into = self.payload.get_mut(from..until).filter(|into| into.len() == piece.bytes.len());
        let Some(into) = into else { return false };
        into.copy_from_slice(piece.bytes);
        self.received += piece.bytes.len() as u64;
        self.failed = 0;
        true
    }

    /// Whether all pieces have come.
    pub(super) fn is_whole(&self) -> bool {
        self.received >= self.payload.len() as u64
    }

    /// Whether the pieces are not those of the state.
    pub(super) fn is_damaged(&self) -> bool {
        crc32c::crc32c(&self.payload) != self.checksum
    }

    /// The age of the state.
    pub(super) fn age(&self, now: Duration) -> Option<Duration> {
        self.age.map(|age| age.saturating_add(now.saturating_sub(self.began_at)))
    }
}
