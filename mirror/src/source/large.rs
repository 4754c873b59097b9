//! A large state that a sink asks for in pieces: how it is read, kept and sent.

use std::time::Duration;

use super::{Channel, Read};
use crate::message::{AskPiece, Piece, Reply, Request, nanos};

/// How long a large state is kept for the next piece.
const KEPT: Duration = Duration::from_secs(15);

/// A large state that is to be read. That takes long: the source is not needed for it.
pub struct Reading<C, A> {
    pub(super) sink: u64,
    /// The request that asks for it.
    pub(super) id: u64,
    pub(super) answer: A,
    ask: AskPiece,
    channel: C,
    payload: Vec<u8>,
    /// The state, and when it was read.
    read: Option<(Read, Duration)>,
    checksum: u32,
}

impl<C: Channel, A> Reading<C, A> {
    /// A reading that takes over the memory of the state before.
    pub(super) fn new(
        request: &Request,
        ask: AskPiece,
        channel: C,
        former: Option<LargeState>,
        answer: A,
    ) -> Self {
        let payload = former.map(|it| it.payload).unwrap_or_default();
        let (sink, id) = (request.sink, request.id);
        Reading { sink, id, answer, ask, channel, payload, read: None, checksum: 0 }
    }

    /// Reads the latest state. `now` is asked afterwards: the age of the state is of that time.
    pub fn read(&mut self, now: impl FnOnce() -> Duration) {
        self.read = self.channel.read(&mut self.payload).map(|read| (read, now()));
        self.checksum = crc32c::crc32c(&self.payload);
    }

    /// What was asked for, the means to answer, and the state that was read.
    pub(super) fn into_large(self) -> (AskPiece, A, Option<LargeState>) {
        let (key, checksum, payload) = (self.ask.key, self.checksum, self.payload);
        let state = self.read.map(|(read, read_at)| LargeState {
            key,
            read,
            read_at,
            asked_at: read_at,
            checksum,
            payload,
        });
        (self.ask, self.answer, state)
    }
}

/// A large state that is kept for the pieces to come.
pub(super) struct LargeState {
    key: u32,
    read: Read,
    read_at: Duration,
    pub(super) asked_at: Duration,
    checksum: u32,
    payload: Vec<u8>,
}

impl LargeState {
    pub(super) fn len(&self) -> u64 {
        self.payload.len() as u64
    }

    /// Whether this is what the sink has a piece of.
    pub(super) fn is_of(&self, ask: &AskPiece) -> bool {
        ask.publication != 0 && self.key == ask.key && self.read.publication == ask.publication
    }

    /// Whether nothing was asked for in a long time.
    pub(super) fn is_over(&self, now: Duration) -> bool {
        now.saturating_sub(self.asked_at) >= KEPT
    }

    /// The reply with the piece that is asked for. Of another publication than the sink has a piece
    /// of, it needs the first one.
    pub(super) fn piece(&mut self, now: Duration, session: u64, ask: &AskPiece, max_bytes: usize) -> Vec<u8> {
        self.asked_at = now;
        let len = self.payload.len();
        let offset = if self.is_of(ask) { usize::try_from(ask.offset).unwrap_or(len).min(len) } else { 0 };
        let bytes = &self.payload[offset..len.min(offset + max_bytes)];
        Reply::piece(Piece {
            session,
            key: self.key,
            publication: self.read.publication,
            age: self.read.age.map(|age| nanos(age + now.saturating_sub(self.read_at))),
            len: len as u64,
            checksum: self.checksum,
            offset: offset as u64,
            bytes,
        })
    }
}
