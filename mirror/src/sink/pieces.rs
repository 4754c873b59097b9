//! Large states come one after the other, each in pieces.

use std::time::Duration;

use super::Copies;
use super::channels::Channels;
use super::flow::Flow;
use super::transfer::{PendingPiece, Transfer};
use crate::message::{AskPiece, Piece};

/// How long a sink waits before it begins another transfer after one that failed.
const PAUSE: Duration = Duration::from_millis(200);

/// Why a large state that has come whole can't be applied.
pub(super) struct Damaged;

/// The transfer under way.
#[derive(Default)]
pub(super) struct Pieces {
    transfer: Option<Transfer>,
    /// No piece is asked for before.
    at: Duration,
}

impl Pieces {
    /// The next piece to ask for, by the request `id`, if it is its turn.
    pub(super) fn ask<S: Copies>(
        &mut self,
        now: Duration,
        id: u64,
        channels: &mut Channels<S>,
        flow: &mut Flow,
    ) -> Option<AskPiece> {
        if now < flow.ask_at.max(self.at) {
            return None;
        }
        if self.transfer.is_none() {
            let wanted = channels.take_wanted();
            let max_bytes = flow.max_piece_bytes();
            self.transfer = wanted.map(|(key, wanted)| Transfer::new(key, wanted, max_bytes));
        }
        let transfer = self.transfer.as_mut().filter(|it| it.may_ask())?;
        flow.take_piece_turn(now, transfer.expected()).then(|| transfer.ask(now, id))
    }

    /// When the next piece may be asked for, if there is one.
    pub(super) fn due<S: Copies>(
        &self,
        now: Duration,
        channels: &Channels<S>,
        flow: &Flow,
    ) -> Option<Duration> {
        let may_ask = self.transfer.as_ref().map_or(channels.wants_any(), Transfer::may_ask);
        may_ask.then(|| self.at.max(flow.piece_due(now)))
    }

    /// Since when a piece is outstanding.
    pub(super) fn asked_at(&self) -> Option<Duration> {
        self.transfer.as_ref()?.asked_at()
    }

    /// When the next piece will be late.
    pub(super) fn late_at(&self) -> Option<Duration> {
        self.transfer.as_ref()?.late_at()
    }

    /// The piece that the request `id` has asked for, which waits no more.
    pub(super) fn take(&mut self, id: u64) -> Option<PendingPiece> {
        self.transfer.as_mut()?.take(id)
    }

    /// A late piece, which waits no more.
    pub(super) fn take_late(&mut self, now: Duration) -> Option<PendingPiece> {
        self.transfer.as_mut()?.take_late(now)
    }

    /// A piece did not come: it is asked for again, or all of its state.
    pub(super) fn fail<S: Copies>(
        &mut self,
        now: Duration,
        offset: u64,
        channels: &mut Channels<S>,
        flow: &Flow,
    ) {
        self.at = self.at.max(now + PAUSE);
        if !self.transfer.as_mut().is_some_and(|it| it.retry(offset)) {
            self.begin_again(now, channels, flow);
        }
    }

    /// Gives the transfer up for now: the state is wanted still.
    pub(super) fn begin_again<S: Copies>(&mut self, now: Duration, channels: &mut Channels<S>, flow: &Flow) {
        self.at = self.at.max(now + PAUSE);
        if let Some(transfer) = self.end(flow) {
            channels.want(transfer.key, transfer.wanted);
        }
    }

    /// Ends the transfer. No piece is waited for any more.
    pub(super) fn end(&mut self, flow: &Flow) -> Option<Transfer> {
        let mut transfer = self.transfer.take()?;
        flow.pace.refund((transfer.drop_outstanding(), 0));
        Some(transfer)
    }

    /// Whether a state of this channel is under way.
    pub(super) fn is_of(&self, key: u32) -> bool {
        self.transfer.as_ref().is_some_and(|it| it.key == key)
    }

    /// Takes a piece of the state that is under way, which was to begin at `offset`. Returns the
    /// transfer once it is whole.
    pub(super) fn receive<S: Copies>(
        &mut self,
        now: Duration,
        offset: u64,
        piece: &Piece<'_>,
        channels: &mut Channels<S>,
        flow: &Flow,
    ) -> Result<Option<Transfer>, Damaged> {
        if !channels.may_apply(piece.key, piece.publication, piece.len) {
            self.at = self.at.max(now + PAUSE);
            self.end(flow);
            return Ok(None);
        }
        if let Some(of) = self.transfer.as_mut().filter(|it| it.publication != piece.publication) {
            // The other pieces are asked for again.
            flow.pace.refund((of.drop_outstanding(), 0));
        }
        if !self.transfer.as_mut().is_some_and(|it| it.receive(now, offset, piece)) {
            self.begin_again(now, channels, flow);
            return Ok(None);
        }
        if self.transfer.as_ref().is_some_and(|it| it.is_whole() && it.is_damaged()) {
            self.begin_again(now, channels, flow);
            return Err(Damaged);
        }
        Ok(self.transfer.take_if(|it| it.is_whole()))
    }
}
