//! The stream of the states of several workers.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::query::get_with_instance;
use super::{Hub, HubState, HubWatch, Pattern, QueryError};
use crate::accept::Accept;
use crate::channel::SnapshotError;
use crate::codec::Decode;
use crate::reader::Turn;
use crate::snapshot::Snapshot;
use crate::waiting::Ticket;

/// The states of a hub's channels as they are published: a [`Stream`](futures_core::Stream) of
/// [`HubState`]s that never ends. Made by [`Hub::changes`] for one channel, and by
/// [`Hub::changes_of`] for all that a pattern matches.
///
/// The first items are the latest states. States that were overwritten before the stream was polled
/// are skipped. If a state can't be read or decoded, the item has the error; if the writer was too
/// fast ([`SnapshotError::Contended`]), the next item has the state or another such error. When a
/// channel is removed of which the stream has returned a state, one item has an error with
/// [`QueryError::is_gone`](super::QueryError::is_gone); of another channel the stream returns
/// nothing. When a writer creates the channel again, the stream attaches to it and continues.
///
/// A channel that can't be attached (its creator has not finished it, the process has too many open
/// files) is tried again about ten times a second, and so is a registry that can't be read: one
/// item has that error ([`QueryError::List`]), with the pattern in place of a channel's name.
///
/// A poll copies at most one new state. It makes some system calls to attach to each new channel,
/// and does not wait for a channel that is being created. It waits for a writer that is too fast,
/// as the hub's [`RetryPolicy`](crate::options::RetryPolicy) says, and up to a millisecond for a
/// channel that is removed and created again during the poll.
///
/// It works on any executor: see [`Changes`](crate::Changes). Dropping a future or the stream loses
/// nothing, since the latest state stays in the channel.
pub struct HubChanges<T> {
    get: Get<T>,
    watch: HubWatch,
    ticket: Ticket,
    turn: Turn,
    /// Channels that have changed and were not read since.
    changed: VecDeque<Arc<str>>,
    /// Instance and number of the last publication of each channel that the stream has returned.
    returned: HashMap<Arc<str>, (u64, u64)>,
    /// Whether the channels can't be listed, which an item has said.
    is_unlisted: bool,
}

/// The latest state of a channel, and the channel's instance.
type Get<T> = Box<dyn Fn(&str) -> Result<(u64, Snapshot<T>), QueryError> + Send + Sync>;

impl<T: 'static> HubChanges<T> {
    pub(super) fn new<C: Decode<T> + 'static, A: Accept<T, C> + 'static>(
        hub: &Hub<C, A>,
        pattern: Pattern,
    ) -> HubChanges<T> {
        let shared = Arc::clone(&hub.shared);
        HubChanges {
            get: Box::new(move |channel| get_with_instance::<T, C, A>(&shared, channel)),
            watch: HubWatch::new(Arc::clone(&hub.shared), pattern),
            ticket: Ticket::new(Arc::clone(hub.shared.handle.notifier())),
            turn: Turn::default(),
            changed: VecDeque::new(),
            returned: HashMap::new(),
            is_unlisted: false,
        }
    }

    /// The next state, once there is one. Cancellation-safe.
    pub async fn next(&mut self) -> HubState<T> {
        poll_fn(|context| self.poll_turn(context)).await
    }

    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<HubState<T>> {
        let mut turn = mem::take(&mut self.turn);
        let polled = turn.poll(context, |context| self.poll(context));
        self.turn = turn;
        polled
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<HubState<T>> {
        if let Some(state) = self.look() {
            return Poll::Ready(state);
        }
        let change = self.watch.change(self.is_unlisted);
        self.ticket.subscribe_any(self.watch.readers(), change, context.waker());
        // A channel may have changed before the thread knew of this stream.
        self.look().map_or(Poll::Pending, Poll::Ready)
    }

    /// The next state, if there is one.
    fn look(&mut self) -> Option<HubState<T>> {
        loop {
            if self.changed.is_empty() {
                match self.watch.changed() {
                    Ok(changed) => {
                        self.changed = changed.into();
                        self.is_unlisted &= !self.watch.is_listed();
                    }
                    Err(_) if self.is_unlisted => return None,
                    Err(error) => {
                        self.is_unlisted = true;
                        return Some(HubState { channel: self.watch.text(), state: Err(error) });
                    }
                }
            }
            let channel = self.changed.pop_front()?;
            let state = (self.get)(&channel);
            let is_news = match &state {
                Ok((instance, snapshot)) => {
                    let number = (*instance, snapshot.publication());
                    self.returned.insert(Arc::clone(&channel), number) != Some(number)
                }
                Err(error) if error.is_gone() => self.returned.remove(&channel).is_some(),
                Err(QueryError::Snapshot(SnapshotError::Contended { .. })) => {
                    // The publication that was seen has not been returned.
                    self.watch.look_again(&channel);
                    true
                }
                Err(error) => !error.is_empty(),
            };
            if is_news {
                return Some(HubState { channel, state: state.map(|(_, snapshot)| snapshot) });
            }
        }
    }
}

impl<T: 'static> Stream for HubChanges<T> {
    type Item = HubState<T>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<HubState<T>>> {
        self.get_mut().poll_turn(context).map(Some)
    }
}

debug_by!(HubChanges<T>, |it| watch: it.watch);
