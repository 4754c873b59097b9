//! What has become more, or less.

use std::collections::BTreeSet;
use std::fmt;

use super::memory::{ChannelMemory, MemoryUsage, NamespaceMemory};

/// By how much something has grown; negative where it has shrunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct MemoryChange {
    /// Of the length, in bytes.
    pub bytes: i64,
    /// Of the bytes that have memory.
    pub resident: i64,
    /// Of the number of objects.
    pub objects: i64,
}

impl MemoryChange {
    /// Whether nothing has changed.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == MemoryChange::default()
    }
}

impl fmt::Display for MemoryChange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:+} bytes in {:+} objects", self.resident, self.objects)
    }
}

/// By how much a channel has grown: by all of it if it is new, by minus all of it if it is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelMemoryChange {
    /// The channel's name.
    pub channel: String,
    /// By how much.
    pub change: MemoryChange,
}

/// What has changed between two looks at a namespace: see [`NamespaceMemory::diff`].
///
/// Its text has a line for everything that has changed, in bytes that have memory, and one for the total.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamespaceMemoryChange {
    /// The channels that have changed, came or went, in the order of their names.
    pub channels: Vec<ChannelMemoryChange>,
    /// Of objects without a channel.
    pub unnamed: MemoryChange,
    /// Of the table of channels.
    pub registry: MemoryChange,
    /// Of objects of other kinds.
    pub other: MemoryChange,
    /// Of everything together.
    pub total: MemoryChange,
}

impl NamespaceMemoryChange {
    pub(super) fn between(earlier: &NamespaceMemory, now: &NamespaceMemory) -> NamespaceMemoryChange {
        let both = earlier.channels.iter().chain(&now.channels);
        let names: BTreeSet<&str> = both.map(|entry| entry.channel.as_str()).collect();
        let change = |channel: &str| {
            let change = usage_of(now, channel).diff(&usage_of(earlier, channel));
            (!change.is_zero()).then(|| ChannelMemoryChange { channel: channel.into(), change })
        };
        NamespaceMemoryChange {
            channels: names.into_iter().filter_map(change).collect(),
            unnamed: now.unnamed.diff(&earlier.unnamed),
            registry: now.registry.diff(&earlier.registry),
            other: now.other.diff(&earlier.other),
            total: now.total().diff(&earlier.total()),
        }
    }
}

fn usage_of(memory: &NamespaceMemory, channel: &str) -> MemoryUsage {
    let entry = memory.channels.binary_search_by(|entry| entry.channel.as_str().cmp(channel));
    entry.map_or_else(|_| MemoryUsage::default(), |index| ChannelMemory::total(&memory.channels[index]))
}

impl fmt::Display for NamespaceMemoryChange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ChannelMemoryChange { channel, change } in &self.channels {
            writeln!(formatter, "{channel}: {change}")?;
        }
        let others = [("(unnamed)", self.unnamed), ("(registry)", self.registry), ("(other)", self.other)];
        for (name, change) in others {
            if !change.is_zero() {
                writeln!(formatter, "{name}: {change}")?;
            }
        }
        write!(formatter, "total: {}", self.total)
    }
}
