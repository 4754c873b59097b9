//! Which large states are to be transferred: each channel has its turn.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

/// Of each channel, the latest publication.
#[derive(Default)]
pub(super) struct Wanted {
    publications: BTreeMap<u32, u64>,
    /// The channel whose large state was transferred last: the next ones come first.
    last: u32,
}

impl Wanted {
    /// The large state of this channel, from this publication on.
    pub(super) fn want(&mut self, key: u32, publication: u64) {
        let wanted = self.publications.entry(key).or_default();
        *wanted = publication.max(*wanted);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.publications.is_empty()
    }

    pub(super) fn forget(&mut self, key: u32) {
        self.publications.remove(&key);
    }

    pub(super) fn clear(&mut self) {
        self.publications.clear();
    }

    /// The next one that is new: a transfer before may have brought it.
    pub(super) fn take_next(&mut self, is_new: impl Fn(u32, u64) -> bool) -> Option<(u32, u64)> {
        loop {
            let mut next = self.publications.range((Excluded(self.last), Unbounded));
            let next = next.next().or_else(|| self.publications.first_key_value());
            let (key, publication) = next.map(|(key, publication)| (*key, *publication))?;
            self.forget(key);
            if is_new(key, publication) {
                self.last = key;
                return Some((key, publication));
            }
        }
    }
}
