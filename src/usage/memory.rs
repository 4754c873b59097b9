//! Sums over the objects that were found.

use std::fmt;
use std::ops::{Add, AddAssign};

use super::change::{MemoryChange, NamespaceMemoryChange};
use super::survey::{Found, Part, Place};
use crate::layout::Side;
use crate::object::ObjectSize;

/// What some objects of shared memory cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct MemoryUsage {
    /// How long they are, in bytes.
    pub bytes: u64,
    /// How many bytes of that have memory. Less than `bytes` for the registry only, which is as long as it can ever
    /// become; of a namespace inside this process always the same.
    pub resident: u64,
    /// How many there are.
    pub objects: u64,
}

impl MemoryUsage {
    /// What is more, or less, than it was at `earlier`.
    #[must_use]
    pub fn diff(&self, earlier: &MemoryUsage) -> MemoryChange {
        MemoryChange {
            bytes: self.bytes.wrapping_sub(earlier.bytes).cast_signed(),
            resident: self.resident.wrapping_sub(earlier.resident).cast_signed(),
            objects: self.objects.wrapping_sub(earlier.objects).cast_signed(),
        }
    }
}

impl Add for MemoryUsage {
    type Output = MemoryUsage;

    fn add(self, other: MemoryUsage) -> MemoryUsage {
        MemoryUsage {
            bytes: self.bytes + other.bytes,
            resident: self.resident + other.resident,
            objects: self.objects + other.objects,
        }
    }
}

/// Resident bytes and the number of objects.
impl fmt::Display for MemoryUsage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let objects = if self.objects == 1 { "object" } else { "objects" };
        write!(formatter, "{} bytes in {} {objects}", self.resident, self.objects)
    }
}

impl AddAssign for MemoryUsage {
    fn add_assign(&mut self, other: MemoryUsage) {
        *self = *self + other;
    }
}

impl From<ObjectSize> for MemoryUsage {
    fn from(size: ObjectSize) -> MemoryUsage {
        MemoryUsage { bytes: size.bytes, resident: size.resident, objects: 1 }
    }
}

/// What one channel costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelMemory {
    /// The channel's name.
    pub channel: String,
    /// Its control page.
    pub control: MemoryUsage,
    /// Segment A, as it is in force.
    pub segment_a: MemoryUsage,
    /// Segment B, as it is in force.
    pub segment_b: MemoryUsage,
    /// The schema that the channel carries, if it does: see [`Reader::schema_bytes`](crate::Reader::schema_bytes).
    pub schema: MemoryUsage,
    /// Segments of another generation than the one in force: one that is being made or replaced at this moment, or that
    /// a killed writer left, which its successor or [`Namespace::clean`](crate::Namespace::clean) removes. Replaced
    /// segments that readers still have mapped have no name any more and are not found.
    pub replaced: MemoryUsage,
}

impl ChannelMemory {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> MemoryUsage {
        self.control + self.segment_a + self.segment_b + self.schema + self.replaced
    }

    fn add(&mut self, part: Part, usage: MemoryUsage) {
        match part {
            Part::Control => self.control += usage,
            Part::Segment(Side::A) => self.segment_a += usage,
            Part::Segment(Side::B) => self.segment_b += usage,
            Part::Schema => self.schema += usage,
            Part::Replaced => self.replaced += usage,
        }
    }
}

/// The channel's name, its total, and the resident bytes of each part.
impl fmt::Display for ChannelMemory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ChannelMemory { channel, control, segment_a, segment_b, schema, replaced } = self;
        let [control, a, b, schema, replaced] =
            [control, segment_a, segment_b, schema, replaced].map(|usage| usage.resident);
        let total = self.total();
        write!(
            formatter,
            "{channel}: {total}: control {control}, A {a}, B {b}, schema {schema}, replaced {replaced}"
        )
    }
}

/// What a namespace costs, by channel and by kind: see [`Namespace::memory`](crate::Namespace::memory).
///
/// `Display` prints one line for each channel, for objects of no channel, and for the total.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamespaceMemory {
    /// The namespace's name.
    pub namespace: String,
    /// Its channels, in the order of their names.
    pub channels: Vec<ChannelMemory>,
    /// Objects of channels that have no control page to name them: just being made, or left over. What is left over,
    /// [`Namespace::clean`](crate::Namespace::clean) removes.
    pub unnamed: MemoryUsage,
    /// The table of channels, and the page on which readers announce that they wait.
    pub registry: MemoryUsage,
    /// Objects under names of this namespace of which this version does not know the kind.
    pub other: MemoryUsage,
}

impl NamespaceMemory {
    pub(super) fn of(namespace: &str, found: &[Found]) -> NamespaceMemory {
        let mut memory = NamespaceMemory { namespace: namespace.into(), ..NamespaceMemory::default() };
        for Found { place, size, .. } in found {
            let usage = MemoryUsage::from(*size);
            match place {
                Place::Channel(channel, part) => memory.channel(channel).add(*part, usage),
                Place::Unnamed => memory.unnamed += usage,
                Place::Registry => memory.registry += usage,
                Place::Other => memory.other += usage,
            }
        }
        memory
    }

    /// The entry of a channel, made if there is none yet, in its place.
    fn channel(&mut self, channel: &str) -> &mut ChannelMemory {
        let place = self.channels.binary_search_by(|entry| entry.channel.as_str().cmp(channel));
        let index = place.unwrap_or_else(|index| {
            self.channels.insert(index, ChannelMemory { channel: channel.into(), ..Default::default() });
            index
        });
        &mut self.channels[index]
    }

    /// All of it.
    #[must_use]
    pub fn total(&self) -> MemoryUsage {
        let channels = self.channels.iter().map(ChannelMemory::total);
        channels.fold(self.unnamed + self.registry + self.other, MemoryUsage::add)
    }

    /// What has become more, or less, since `earlier`.
    #[must_use]
    pub fn diff(&self, earlier: &NamespaceMemory) -> NamespaceMemoryChange {
        NamespaceMemoryChange::between(earlier, self)
    }
}

impl fmt::Display for NamespaceMemory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for channel in &self.channels {
            writeln!(formatter, "{channel}")?;
        }
        let others = [("(unnamed)", self.unnamed), ("(registry)", self.registry), ("(other)", self.other)];
        for (name, usage) in others.into_iter().filter(|(_, usage)| usage.objects > 0) {
            writeln!(formatter, "{name}: {usage}")?;
        }
        write!(formatter, "total: {}", self.total())
    }
}
