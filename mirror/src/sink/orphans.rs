//! Copies of an origin's former session, until the new one has told which channels there are, or
//! needs their room.

use std::collections::BTreeMap;

use super::Mirrored;

/// A channel of the origin, by its names there.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Name {
    pub(super) namespace: String,
    pub(super) channel: String,
}

struct Orphan<C> {
    instance: u64,
    copy: C,
    /// Memory of this host that it counts for.
    bytes: u64,
}

/// All of them.
pub(super) struct Orphans<C> {
    copies: BTreeMap<Name, Orphan<C>>,
    /// Memory of this host that they count for.
    bytes: u64,
}

impl<C: Mirrored> Orphans<C> {
    pub(super) fn new() -> Orphans<C> {
        Orphans { copies: BTreeMap::new(), bytes: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.copies.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn copies_mut(&mut self) -> impl Iterator<Item = &mut C> {
        self.copies.values_mut().map(|orphan| &mut orphan.copy)
    }

    pub(super) fn insert(&mut self, name: Name, instance: u64, copy: C, bytes: u64) {
        self.bytes += bytes;
        self.copies.insert(name, Orphan { instance, copy, bytes });
    }

    /// The copy of this channel, and the memory that it counts for. That of another instance is
    /// removed.
    pub(super) fn take(&mut self, name: &Name, instance: u64) -> Option<(C, u64)> {
        let orphan = self.copies.remove(name)?;
        self.bytes -= orphan.bytes;
        if orphan.instance == instance {
            return Some((orphan.copy, orphan.bytes));
        }
        orphan.copy.remove();
        None
    }

    /// Removes one of them, if there is one.
    pub(super) fn remove_one(&mut self) -> bool {
        let Some((_, orphan)) = self.copies.pop_first() else { return false };
        self.bytes -= orphan.bytes;
        orphan.copy.remove();
        true
    }

    pub(super) fn remove_all(&mut self) {
        while self.remove_one() {}
    }
}
