//! Memory and work: what a namespace occupies, and what its writers and readers have done.
//!
//! * [`Namespace::memory`](crate::Namespace::memory): the [`NamespaceMemory`], by channel and by
//!   kind of object; the difference of two of them is a [`NamespaceMemoryChange`].
//! * [`Namespace::peak_memory`](crate::Namespace::peak_memory): the [`PeakMemory`] over time.
//! * [`WriterStatistics`] and [`ReaderStatistics`]: counters of one writer and one reader.
//!
//! A measurement finds objects by their names. It takes no lock and changes nothing; each object is
//! measured at a moment of its own, and an object that is removed before is left out.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Add, AddAssign};
use std::sync::Arc;

use crate::catalog::{self, Object, Part, Role};
pub use crate::channel::{ReaderStatistics, WriterStatistics};
use crate::layout::Side;
use crate::object::{Backend, ObjectError, ObjectSize};

/// The memory of a namespace now.
pub(crate) fn measure(backend: &Arc<dyn Backend>, namespace: &str) -> Result<NamespaceMemory, ObjectError> {
    Ok(NamespaceMemory::of(namespace, &catalog::objects(backend.as_ref(), namespace)?))
}

/// The memory of some objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct MemoryUsage {
    /// Their lengths, in bytes.
    pub bytes: u64,
    /// Bytes of memory that they take: fewer than `bytes` only while an object is being created;
    /// more where the kernel's pages are larger than 4 KiB, because each object takes whole pages.
    /// In a namespace inside this process always equal to `bytes`.
    pub resident: u64,
    /// The number of objects.
    pub objects: u64,
}

impl MemoryUsage {
    /// The change since `earlier`.
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

/// The memory of one channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelMemory {
    /// The channel's name.
    pub channel: String,
    /// Its object: control page, schema and first segments.
    pub control: MemoryUsage,
    /// The current segment A, once it has grown.
    pub segment_a: MemoryUsage,
    /// The current segment B, once it has grown.
    pub segment_b: MemoryUsage,
    /// Segments of another generation than the current one: a segment that is being made or
    /// replaced at this moment, or a leftover of a killed writer, which its successor or
    /// [`Namespace::clean`](crate::Namespace::clean) removes. Replaced segments that readers still
    /// have mapped are unlinked and not counted.
    pub replaced: MemoryUsage,
}

impl ChannelMemory {
    /// The sum over all parts.
    #[must_use]
    pub fn total(&self) -> MemoryUsage {
        self.control + self.segment_a + self.segment_b + self.replaced
    }

    fn add(&mut self, part: Part, usage: MemoryUsage) {
        match part {
            Part::Control => self.control += usage,
            Part::Segment(Side::A) => self.segment_a += usage,
            Part::Segment(Side::B) => self.segment_b += usage,
            Part::Replaced => self.replaced += usage,
        }
    }
}

/// The channel's name, its total, and the resident bytes of each part.
impl fmt::Display for ChannelMemory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ChannelMemory { channel, control, segment_a, segment_b, replaced } = self;
        let [control, a, b, replaced] = [control, segment_a, segment_b, replaced].map(|usage| usage.resident);
        let total = self.total();
        write!(formatter, "{channel}: {total}: control {control}, A {a}, B {b}, replaced {replaced}")
    }
}

/// The memory of one [block](crate::block).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockMemory {
    /// The block's name.
    pub block: String,
    /// Its object: a page of header, and the contents.
    pub usage: MemoryUsage,
}

/// The memory of a namespace, by channel and by kind: see
/// [`Namespace::memory`](crate::Namespace::memory).
///
/// `Display` prints one line for each channel, for objects of no channel, and for the total.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamespaceMemory {
    /// The namespace's name.
    pub namespace: String,
    /// Its channels, sorted by name.
    pub channels: Vec<ChannelMemory>,
    /// Its blocks, sorted by name.
    pub blocks: Vec<BlockMemory>,
    /// Objects of channels and blocks that no control page or header claims: those that are being
    /// made, and leftovers, which [`Namespace::clean`](crate::Namespace::clean) removes.
    pub unnamed: MemoryUsage,
    /// The registry: the table of channels, and the page on which readers announce that they wait.
    pub registry: MemoryUsage,
    /// Objects in this namespace whose kind this version does not know.
    pub other: MemoryUsage,
}

impl NamespaceMemory {
    fn of(namespace: &str, objects: &[Object]) -> NamespaceMemory {
        let mut memory = NamespaceMemory { namespace: namespace.into(), ..NamespaceMemory::default() };
        let mut channels = BTreeMap::<&str, ChannelMemory>::new();
        for Object { role, size, .. } in objects {
            let usage = MemoryUsage::from(*size);
            match role {
                Role::Channel(channel, part) => channels.entry(channel).or_default().add(*part, usage),
                Role::Block(block) => memory.blocks.push(BlockMemory { block: block.clone(), usage }),
                Role::Unnamed => memory.unnamed += usage,
                Role::Registry => memory.registry += usage,
                Role::Other => memory.other += usage,
            }
        }
        let named = |(channel, memory)| ChannelMemory { channel: String::from(channel), ..memory };
        memory.channels = channels.into_iter().map(named).collect();
        memory.blocks.sort_by(|one, other| one.block.cmp(&other.block));
        memory
    }

    /// The sum over all objects.
    #[must_use]
    pub fn total(&self) -> MemoryUsage {
        let channels = self.channels.iter().map(ChannelMemory::total);
        channels.fold(self.of_blocks() + self.unnamed + self.registry + self.other, MemoryUsage::add)
    }

    /// The sum over its blocks.
    pub(crate) fn of_blocks(&self) -> MemoryUsage {
        self.blocks.iter().map(|block| block.usage).fold(MemoryUsage::default(), MemoryUsage::add)
    }

    /// The change since `earlier`.
    #[must_use]
    pub fn diff(&self, earlier: &NamespaceMemory) -> NamespaceMemoryChange {
        let mut usages = BTreeMap::<&str, [MemoryUsage; 2]>::new();
        for (moment, memory) in [earlier, self].into_iter().enumerate() {
            for channel in &memory.channels {
                usages.entry(&channel.channel).or_default()[moment] = channel.total();
            }
        }
        let changes = usages.into_iter().map(|(channel, [before, after])| ChannelMemoryChange {
            channel: channel.into(),
            change: after.diff(&before),
        });
        NamespaceMemoryChange {
            channels: changes.filter(|channel| !channel.change.is_zero()).collect(),
            blocks: self.of_blocks().diff(&earlier.of_blocks()),
            unnamed: self.unnamed.diff(&earlier.unnamed),
            registry: self.registry.diff(&earlier.registry),
            other: self.other.diff(&earlier.other),
            total: self.total().diff(&earlier.total()),
        }
    }
}

impl fmt::Display for NamespaceMemory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for channel in &self.channels {
            writeln!(formatter, "{channel}")?;
        }
        for BlockMemory { block, usage } in &self.blocks {
            writeln!(formatter, "block {block}: {usage}")?;
        }
        let others = [("(unnamed)", self.unnamed), ("(registry)", self.registry), ("(other)", self.other)];
        for (name, usage) in others.into_iter().filter(|(_, usage)| usage.objects > 0) {
            writeln!(formatter, "{name}: {usage}")?;
        }
        write!(formatter, "total: {}", self.total())
    }
}

/// A change of memory; negative where it has shrunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct MemoryChange {
    /// Change of the lengths, in bytes.
    pub bytes: i64,
    /// Change of the bytes that have memory.
    pub resident: i64,
    /// Change of the number of objects.
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

/// The change of a channel's memory: all of it for a new channel, minus all of it for a removed
/// one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelMemoryChange {
    /// The channel's name.
    pub channel: String,
    /// The change of its total.
    pub change: MemoryChange,
}

/// The change of a namespace's memory between two measurements: see [`NamespaceMemory::diff`].
///
/// `Display` prints a line, in resident bytes, for everything that has changed, and a line for the
/// total.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamespaceMemoryChange {
    /// The channels that changed, were added or were removed, sorted by name.
    pub channels: Vec<ChannelMemoryChange>,
    /// Change of all blocks.
    pub blocks: MemoryChange,
    /// Change of the objects without a channel.
    pub unnamed: MemoryChange,
    /// Change of the registry.
    pub registry: MemoryChange,
    /// Change of the objects of unknown kind.
    pub other: MemoryChange,
    /// Change of the total.
    pub total: MemoryChange,
}

impl fmt::Display for NamespaceMemoryChange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ChannelMemoryChange { channel, change } in &self.channels {
            writeln!(formatter, "{channel}: {change}")?;
        }
        let others = [
            ("(blocks)", self.blocks),
            ("(unnamed)", self.unnamed),
            ("(registry)", self.registry),
            ("(other)", self.other),
        ];
        for (name, change) in others {
            if !change.is_zero() {
                writeln!(formatter, "{name}: {change}")?;
            }
        }
        write!(formatter, "total: {}", self.total)
    }
}

/// The largest memory of a namespace at any observation. Made by
/// [`Namespace::peak_memory`](crate::Namespace::peak_memory).
///
/// It measures only when [`observe`](PeakMemory::observe) is called. A peak between two
/// observations is missed: a growth, during which a channel has three segments, takes microseconds.
#[derive(Clone, Debug)]
pub struct PeakMemory {
    backend: Arc<dyn Backend>,
    namespace: String,
    peak: MemoryUsage,
    heap: Option<fn() -> u64>,
    peak_heap: u64,
}

impl PeakMemory {
    pub(crate) fn new(backend: Arc<dyn Backend>, namespace: &str) -> Self {
        PeakMemory {
            backend,
            namespace: namespace.into(),
            peak: MemoryUsage::default(),
            heap: None,
            peak_heap: 0,
        }
    }

    /// Observes the heap of this process as well: `allocated` returns its bytes, as an allocator of
    /// the program counts them.
    ///
    /// ```
    /// use std::alloc::{GlobalAlloc, Layout, System};
    /// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    /// use tearless::{Bytes, Namespace};
    ///
    /// struct Counting;
    /// static BYTES: AtomicU64 = AtomicU64::new(0);
    /// #[global_allocator]
    /// static ALLOCATOR: Counting = Counting;
    ///
    /// // SAFETY: as the system's allocator.
    /// unsafe impl GlobalAlloc for Counting {
    ///     unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
    ///         BYTES.fetch_add(layout.size() as u64, Relaxed);
    ///         // SAFETY: the caller's promise.
    ///         unsafe { System.alloc(layout) }
    ///     }
    ///     unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
    ///         BYTES.fetch_sub(layout.size() as u64, Relaxed);
    ///         // SAFETY: the caller's promise.
    ///         unsafe { System.dealloc(pointer, layout) }
    ///     }
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let fleet = Namespace::open("fleet-with-a-heap")?;
    /// let mut memory = fleet.peak_memory().with_heap(|| BYTES.load(Relaxed));
    /// let mut writer = fleet.writer_builder::<[u8]>("worker-7").codec::<Bytes>().open()?;
    /// let state = vec![7; 1 << 20];
    /// writer.publish(&state)?;
    /// memory.observe()?;
    /// // `3158016 bytes in 3 objects, and 1114514 bytes of heap`, for example.
    /// println!("{}, and {} bytes of heap", memory.peak(), memory.peak_heap());
    /// assert!(memory.peak_heap() >= 1 << 20);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_heap(self, allocated: fn() -> u64) -> PeakMemory {
        PeakMemory { heap: Some(allocated), ..self }
    }

    /// Measures the namespace.
    ///
    /// # Errors
    ///
    /// As [`Namespace::memory`](crate::Namespace::memory).
    pub fn observe(&mut self) -> Result<NamespaceMemory, ObjectError> {
        self.peak_heap = self.peak_heap.max(self.heap.map_or(0, |allocated| allocated()));
        let memory = measure(&self.backend, &self.namespace)?;
        let total = memory.total();
        if total.resident > self.peak.resident {
            self.peak = total;
        }
        Ok(memory)
    }

    /// The total of the observation with the most resident bytes; zeros before the first
    /// observation.
    #[must_use]
    pub fn peak(&self) -> MemoryUsage {
        self.peak
    }

    /// The most bytes of the heap at any observation; 0 without [`with_heap`](Self::with_heap).
    #[must_use]
    pub fn peak_heap(&self) -> u64 {
        self.peak_heap
    }
}
