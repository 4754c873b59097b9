//! What a reply has: of the channels that wait, as many as fit.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use super::progress::{Known, Progress};
use super::{Channel, Entry, Read};
use crate::message::{Content, Item, ItemEncoder, State, nanos};

/// Takes what fits from the front of the sink's queue.
pub(super) fn compose<C: Channel, A>(
    entries: &mut BTreeMap<u32, Entry<C>>,
    sink: &mut Progress<A>,
    now: Duration,
    (max_bytes, inline): (usize, usize),
    payload: &mut Vec<u8>,
) -> (ItemEncoder, Vec<(u32, Known)>) {
    let (mut items, mut sent, mut unread) = (ItemEncoder::default(), Vec::new(), Vec::new());
    while let Some(key) = sink.take_next() {
        let delivery = sink.channels.get_mut(&key);
        let Some((delivery, entry)) = delivery.zip(entries.get_mut(&key)) else { continue };
        let (state, has_unread) = match &mut entry.channel {
            None => (None, false),
            Some(channel) => newest(channel, delivery.sent.publication, inline, payload),
        };
        let is_removed = entry.channel.is_none();
        if has_unread {
            unread.push(key);
        }
        let item = Item {
            key,
            is_removed,
            description: (!delivery.sent.is_described && !is_removed)
                .then_some(Cow::Borrowed(&entry.description)),
            status: (delivery.sent.revision < entry.revision && !is_removed)
                .then(|| entry.status.after(now.saturating_sub(entry.status_at))),
            state,
        };
        let is_new = item.description.is_some() || item.status.is_some() || item.state.is_some();
        if !is_new && (!is_removed || delivery.sent.is_removed) {
            continue;
        }
        if !items.push(&item, max_bytes) {
            sink.put_back(key);
            break;
        }
        // Of what the item has: the rest may be in another round, which is lost.
        let known = Known {
            is_described: item.description.is_some(),
            revision: item.status.map_or(0, |_| entry.revision),
            publication: state.map_or(0, |state| state.publication),
            is_removed,
        };
        if let Some(state) = state {
            let skipped = state.publication - delivery.sent.publication - 1;
            sink.report.conflated += if delivery.sent.publication > 0 { skipped } else { 0 };
            sink.report.states += u64::from(matches!(state.content, Content::Whole(_)));
        }
        delivery.sent = delivery.sent.and(known);
        sent.push((key, known));
    }
    // At the end: others are not to wait for a channel that is written too fast to be read.
    unread.into_iter().for_each(|key| sink.enqueue(key));
    (items, sent)
}

/// The latest state if it is later than the publication `sent`, and whether there is a later one
/// that could not be read.
fn newest<'a, C: Channel>(
    channel: &mut C,
    sent: u64,
    inline: usize,
    payload: &'a mut Vec<u8>,
) -> (Option<State<'a>>, bool) {
    let Some(latest) = channel.latest().filter(|latest| latest.publication > sent) else {
        return (None, false);
    };
    if latest.len > inline as u64 {
        let content = Content::Large(latest.len);
        return (Some(State { publication: latest.publication, age: None, content }), false);
    }
    match channel.read(payload) {
        // It has grown since.
        Some(read) if payload.len() > inline => {
            let content = Content::Large(payload.len() as u64);
            (Some(State { publication: read.publication, age: None, content }), false)
        }
        Some(Read { publication, age }) if publication > sent => {
            let content = Content::Whole(payload);
            (Some(State { publication, age: age.map(nanos), content }), false)
        }
        Some(_) => (None, false),
        None => (None, true),
    }
}
