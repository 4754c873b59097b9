//! A channel as an asynchronous stream of snapshots, on any executor.

use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::{FusedStream, Stream};

use super::Reader;
use crate::channel::SnapshotError;
use crate::codec::Decode;
use crate::snapshot::Snapshot;
use crate::waiting::Ticket;

/// The states of a channel as they are published: a [`Stream`] of snapshots. It skips states that
/// were overwritten before the stream was polled, and ends when the channel does. Made by
/// [`Reader::changes`]. The stream of a hub is [`HubChanges`](crate::hub::HubChanges).
///
/// The first item is the latest state, if there is one. An item is an error if a state could not be
/// read or decoded; the stream continues. Dropping a future or the stream loses nothing: the latest
/// state stays in the channel.
///
/// It works on any executor, and lets other tasks run after 64 states in a row. One thread of the
/// namespace, shared by all streams of its readers and hubs, sleeps for them and wakes their tasks.
/// It starts with the first stream that waits, and ends some time after the last.
pub struct Changes<T, C> {
    reader: Reader<T, C>,
    ticket: Ticket,
    seen: u64,
    has_ended: bool,
    turn: Turn,
}

/// States that a stream returns in a row before it lets its executor run other tasks.
const MAX_IN_A_ROW: u32 = 64;

/// The turn of a stream: one that always has a state would not let other tasks run.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    in_a_row: u32,
}

impl Turn {
    /// The result of a poll that calls `next`, which returns a state if there is one, and otherwise
    /// has arranged that the task is woken.
    pub(crate) fn poll<R>(
        &mut self,
        context: &mut Context<'_>,
        next: impl FnOnce(&mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        if self.in_a_row == MAX_IN_A_ROW {
            self.in_a_row = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = next(context);
        self.in_a_row = if polled.is_ready() { self.in_a_row + 1 } else { 0 };
        polled
    }
}

impl<T, C: Decode<T>> Changes<T, C> {
    pub(super) fn new(reader: Reader<T, C>) -> Changes<T, C> {
        let ticket = Ticket::new(Arc::clone(reader.handle.notifier()));
        Changes { reader, ticket, seen: 0, has_ended: false, turn: Turn::default() }
    }

    /// The next state, once there is one; `None` when the channel has ended. Cancellation-safe.
    pub async fn next(&mut self) -> Option<Result<Snapshot<T>, SnapshotError>> {
        poll_fn(|context| self.poll_turn(context)).await
    }

    /// The reader of the stream.
    #[must_use]
    pub fn into_reader(self) -> Reader<T, C> {
        self.reader
    }

    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Snapshot<T>, SnapshotError>>> {
        let mut turn = mem::take(&mut self.turn);
        let polled = turn.poll(context, |context| self.poll(context));
        self.turn = turn;
        polled
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Snapshot<T>, SnapshotError>>> {
        if let Some(item) = self.look() {
            return Poll::Ready(item);
        }
        self.ticket.subscribe(&self.reader.channel, self.seen, context.waker());
        // The state may have changed before the thread knew of this stream.
        self.look().map_or(Poll::Pending, Poll::Ready)
    }

    /// The next item, if there is one by now.
    fn look(&mut self) -> Option<Option<Result<Snapshot<T>, SnapshotError>>> {
        if self.has_ended {
            return Some(None);
        }
        let progress = self.reader.channel.page().progress();
        if progress.publication > self.seen {
            let snapshot = self.reader.snapshot();
            // A publication that could not be read counts, too: another attempt would fail again.
            self.seen = snapshot.as_ref().map_or(progress.publication, Snapshot::publication);
            self.has_ended = matches!(snapshot, Err(SnapshotError::Closed { .. }));
            return Some((!self.has_ended).then_some(snapshot));
        }
        self.has_ended = progress.has_ended();
        self.has_ended.then_some(None)
    }
}

impl<T, C: Decode<T>> Stream for Changes<T, C> {
    type Item = Result<Snapshot<T>, SnapshotError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_turn(context)
    }
}

impl<T, C: Decode<T>> FusedStream for Changes<T, C> {
    fn is_terminated(&self) -> bool {
        self.has_ended
    }
}

// No field is pinned.
impl<T, C> Unpin for Changes<T, C> {}

debug_by!(Changes<T, C>, |it| reader: it.reader, seen: it.seen);
