//! Which rounds are outstanding, which have come, and whether they have told all channels.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::message::{MAX_RECEIVED, Round};

/// A request for a round, to which no reply has come.
pub(super) struct PendingRound {
    /// The session that the sink knew.
    pub(super) session: u64,
    pub(super) asked_at: Duration,
    pub(super) until: Duration,
    /// Bytes of the reply, as the pace was told.
    pub(super) expected: usize,
}

/// The rounds of a sink.
#[derive(Default)]
pub(super) struct Rounds {
    /// By the numbers of the requests.
    outstanding: BTreeMap<u64, PendingRound>,
    /// The latest that have come, by their sequence.
    received: VecDeque<u64>,
    /// The last request to which no whole reply of this listing came.
    lost: u64,
    /// The last request to which a reply came.
    replied: u64,
    /// The current listing.
    pub(super) listing: u64,
    /// The round that completes the listing if all before it have come.
    listed_by: Option<u64>,
    is_listed: bool,
}

impl Rounds {
    pub(super) fn ask(&mut self, id: u64, pending: PendingRound) {
        self.outstanding.insert(id, pending);
    }

    /// Number of those that are outstanding.
    pub(super) fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// The first request to which no reply has come.
    pub(super) fn first(&self) -> Option<u64> {
        self.outstanding.first_key_value().map(|(id, _)| *id)
    }

    /// When that was sent.
    pub(super) fn asked_at(&self) -> Option<Duration> {
        self.outstanding.first_key_value().map(|(_, it)| it.asked_at)
    }

    /// When the next one will be late.
    pub(super) fn late_at(&self) -> Option<Duration> {
        self.outstanding.values().map(|it| it.until).min()
    }

    /// The request `id`, which waits no more.
    pub(super) fn take(&mut self, id: u64) -> Option<PendingRound> {
        self.outstanding.remove(&id)
    }

    /// A late request, which waits no more.
    pub(super) fn take_late(&mut self, now: Duration) -> Option<(u64, PendingRound)> {
        let id = self.outstanding.iter().find_map(|(id, it)| (it.until <= now).then_some(*id))?;
        self.take(id).map(|it| (id, it))
    }

    /// The latest that have come, by their sequence.
    pub(super) fn received(&self) -> Vec<u64> {
        self.received.iter().copied().collect()
    }

    /// What this round had will be sent again: the next request tells it.
    pub(super) fn lose(&mut self, id: u64) {
        self.lost = self.lost.max(id);
        self.listed_by = None;
    }

    /// The source has restarted.
    pub(super) fn begin_session(&mut self) {
        self.received.clear();
        (self.listing, self.listed_by, self.is_listed) = (0, None, false);
    }

    /// No reply to the requests until `last` is waited for. Returns the bytes that these should
    /// have had.
    pub(super) fn drop_until(&mut self, last: u64) -> usize {
        self.lose(last);
        std::mem::take(&mut self.outstanding).into_values().map(|it| it.expected).sum()
    }

    /// Takes note of the round's listing. Returns whether it is a new one.
    pub(super) fn begin_listing(&mut self, round: &Round) -> bool {
        let is_new = round.listing > self.listing;
        if is_new {
            (self.listing, self.is_listed) = (round.listing, false);
            self.lose(self.replied);
        }
        is_new
    }

    /// The round that replies to the request `id` has come.
    pub(super) fn receive(&mut self, id: u64, round: &Round, is_whole: bool) {
        self.replied = self.replied.max(id);
        if is_whole {
            self.received.push_back(round.sequence);
            if self.received.len() > MAX_RECEIVED {
                self.received.pop_front();
            }
        }
        if !is_whole || round.listing < self.listing {
            self.lose(id);
        }
        let is_last = round.is_listed && self.lost < round.first && round.listing == self.listing;
        if is_last && self.listed_by.is_none() {
            self.listed_by = Some(id);
        }
    }

    /// Whether the round's listing is the current one, and was whole before.
    pub(super) fn has_listing_of(&self, round: &Round) -> bool {
        self.is_listed && round.listing == self.listing
    }

    /// Whether all rounds of the listing have come now, and had not before.
    pub(super) fn finish_listing(&mut self) -> bool {
        let last = self.listed_by.filter(|_| !self.is_listed);
        let finishes = last.is_some_and(|last| self.outstanding.range(..last).next().is_none());
        self.is_listed |= finishes;
        finishes
    }
}
