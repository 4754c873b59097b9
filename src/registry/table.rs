//! The words of the table, its entries, and how they are listed.

mod change;

pub(super) use change::Obstacle;

use crate::channel::{ChannelWriter, WriterState, read_text};
use crate::layout::registry::{self, CHANGES, COUNT, Chunk, ENDED, HIGH, NAMESPACE, entry};
use crate::layout::{Geometry, WORD_BYTES, control, fingerprint};
use crate::liveness::{ProcessIdentity, ProcessState};
use crate::memory::{Memory, MemoryMut};
use crate::object::ObjectError;
use crate::seqlock::ready::{self, Readiness};
use crate::seqlock::{Attempt, Published, Ring};

/// Attempts to read an entry that is being rewritten; each further one needs another change of the
/// same entry.
const MAX_ATTEMPTS: usize = 1_000;

/// A channel as its entry in the registry describes it: as of the time at which its writer opened
/// it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelInfo {
    /// The channel's name.
    pub name: String,
    /// Process id of its writer, or of the last one, in its own PID namespace.
    pub writer_pid: u64,
    /// Number of writers that it has had.
    pub incarnation: u64,
    /// The codec's name.
    pub codec: String,
    /// Payload bytes that fitted in a slot without growing.
    pub capacity: u64,
    /// Maximum payload bytes of a state.
    pub max_state_len: u64,
    /// Random id of the channel, as [`Inspection::instance`](crate::inspect::Inspection::instance).
    /// If it differs from the channel's, the entry is about another channel of that name.
    pub instance: u64,
    pub(crate) identity: ProcessIdentity,
}

/// Bytes of the payload before the codec's name, and before the channel's name.
const NUMBERS: usize = entry::NUMBERS * WORD_BYTES;
const BEFORE_NAME: usize = NUMBERS + control::CODEC.max;

impl ChannelInfo {
    /// The entry of a channel that this process writes.
    pub(crate) fn of(writer: &ChannelWriter) -> ChannelInfo {
        let identity = ProcessIdentity::of_self();
        ChannelInfo {
            name: writer.channel().into(),
            writer_pid: identity.pid,
            incarnation: writer.incarnation(),
            codec: writer.options().format.codec.clone(),
            capacity: writer.capacity() as u64,
            max_state_len: writer.options().max_state_len as u64,
            instance: writer.instance(),
            identity,
        }
    }

    /// State of the process that opened the channel for writing, as far as `/proc` shows it:
    /// `Alive`, `Stopped`, `Dead`, or `Unknown` if it is in another PID namespace.
    /// [`Reader::writer_state`](crate::Reader::writer_state) queries the channel's lock, too.
    ///
    /// Cost: some system calls, microseconds.
    #[must_use]
    pub fn writer_state(&self) -> WriterState {
        match self.identity.state() {
            ProcessState::Running => WriterState::Alive,
            ProcessState::Stopped => WriterState::Stopped,
            ProcessState::Dead => WriterState::Dead,
            ProcessState::Unknown => WriterState::Unknown,
        }
    }

    fn encode(&self) -> Vec<u8> {
        let codec = &self.codec.as_bytes()[..self.codec.len().min(control::CODEC.max)];
        let ProcessIdentity { pid, start_time, boot_id: [boot_high, boot_low], pid_namespace } =
            self.identity;
        let numbers: [u64; entry::NUMBERS] = [
            self.instance,
            pid,
            start_time,
            boot_high,
            boot_low,
            pid_namespace,
            self.incarnation,
            self.capacity,
            self.max_state_len,
            codec.len() as u64,
        ];
        let mut bytes = [bytemuck::bytes_of(&numbers), codec].concat();
        bytes.resize(BEFORE_NAME, 0);
        bytes.extend_from_slice(self.name.as_bytes());
        bytes
    }

    /// `None` if the bytes are no entry.
    fn decode(bytes: &[u8]) -> Option<ChannelInfo> {
        let (before, name) = bytes.split_at_checked(BEFORE_NAME)?;
        let (numbers, codec) = before.split_first_chunk::<NUMBERS>()?;
        let numbers: [u64; entry::NUMBERS] = bytemuck::pod_read_unaligned(numbers);
        let [instance, pid, start_time, boot_high, boot_low, pid_namespace, rest @ ..] = numbers;
        let [incarnation, capacity, max_state_len, codec_len] = rest;
        let codec = codec.get(..usize::try_from(codec_len).ok()?)?;
        Some(ChannelInfo {
            name: String::from_utf8(name.to_vec()).ok()?,
            writer_pid: pid,
            incarnation,
            codec: String::from_utf8_lossy(codec).into_owned(),
            capacity,
            max_state_len,
            instance,
            identity: ProcessIdentity { pid, start_time, boot_id: [boot_high, boot_low], pid_namespace },
        })
    }
}

/// A version of a table; differs after every change and between tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    instance: u64,
    changes: u64,
}

/// The words of one entry, as the ring counts them: with the name in each slot.
struct EntryWords<'a, M> {
    memory: &'a M,
    start: usize,
}

impl<M> EntryWords<'_, M> {
    fn word(&self, word: usize) -> usize {
        self.start + entry::word(word)
    }
}

impl<M: Memory> Memory for EntryWords<'_, M> {
    fn len(&self) -> usize {
        entry::RING_WORDS
    }
    fn load(&self, word: usize) -> u64 {
        self.memory.load(self.word(word))
    }
    fn fence_acquire(&self) {
        self.memory.fence_acquire();
    }
    fn read(&self, word: usize, into: &mut [u8]) {
        let (own, name) = into.split_at_mut(into.len().min(entry::before_name(word) * WORD_BYTES));
        self.memory.read(self.word(word), own);
        if !name.is_empty() {
            self.memory.read(self.word(word + own.len() / WORD_BYTES), name);
        }
    }
}

impl<M: MemoryMut> MemoryMut for EntryWords<'_, M> {
    fn store(&self, word: usize, value: u64) {
        self.memory.store(self.word(word), value);
    }
    fn store_release(&self, word: usize, value: u64) {
        self.memory.store_release(self.word(word), value);
    }
    fn fence_release(&self) {
        self.memory.fence_release();
    }
}

/// Where a table finds its chunks.
pub(super) trait Chunks<M> {
    /// Maps a chunk of the table `instance`; `None` if there is none.
    fn open(&self, chunk: Chunk, instance: u64) -> Result<Option<M>, ObjectError>;
}

/// The same, for the process that has claimed the table.
pub(super) trait ChunksMut<M>: Chunks<M> {
    /// Creates a chunk of zeroes, in place of a leftover of its name.
    fn create(&self, chunk: Chunk) -> Result<M, ObjectError>;

    /// Removes whatever has the name of the chunk, and returns whether there was anything.
    fn remove(&self, chunk: Chunk) -> Result<bool, ObjectError>;
}

/// Whether an object is a whole chunk of the table `instance`.
pub(super) fn is_chunk(memory: &impl Memory, chunk: Chunk, instance: u64) -> bool {
    memory.len() * WORD_BYTES >= chunk.bytes()
        && ready::check(memory) == Readiness::Ready
        && memory.load(registry::INSTANCE) == instance
        && memory.load(registry::NUMBER) == chunk.0 as u64
}

/// A table, as far as it is mapped.
#[derive(Debug)]
pub(super) struct Table<M> {
    head: M,
    /// The chunks behind the first object, from chunk 1 on.
    chunks: Vec<Option<M>>,
}

impl<M: Memory> Table<M> {
    /// A table whose first object has at least the size of one.
    pub(super) fn new(head: M) -> Table<M> {
        assert!(head.len() * WORD_BYTES >= Chunk(0).bytes(), "the size was checked");
        Table { head, chunks: Vec::new() }
    }

    /// Whether the table can be read: it is whole, of this namespace, and still current.
    pub(super) fn is_usable(&self, namespace: &str, object: &str) -> Result<bool, ObjectError> {
        match ready::check(&self.head) {
            Readiness::NotReady => Ok(false),
            Readiness::OtherVersion(found) => Err(ObjectError::OtherVersion { object: object.into(), found }),
            Readiness::Foreign(_) => {
                let reason = "it is not a registry".into();
                Err(ObjectError::Foreign { object: object.into(), reason })
            }
            Readiness::Ready => match read_text(&self.head, NAMESPACE) {
                own if own == namespace => Ok(!self.has_ended()),
                other => {
                    let (object, namespace) = (object.into(), namespace.into());
                    Err(ObjectError::OtherNamespace { object, namespace, other: other.into() })
                }
            },
        }
    }

    /// Whether this table has been, or is about to be, unlinked.
    pub(super) fn has_ended(&self) -> bool {
        self.head.load(ENDED) != 0
    }

    /// Changes with every modification and differs between tables.
    ///
    /// Relaxed: a process that saw a change calls `list` next, which orders its loads itself.
    pub(super) fn version(&self) -> Version {
        Version { instance: self.instance(), changes: self.head.load(CHANGES) }
    }

    /// The table's first object.
    pub(super) fn head(&self) -> &M {
        &self.head
    }

    fn instance(&self) -> u64 {
        self.head.load(registry::INSTANCE)
    }

    /// A number below `max`, or `max`.
    fn number(&self, word: usize, max: usize) -> usize {
        usize::try_from(self.head.load(word)).unwrap_or(max).min(max)
    }

    /// The number of used entries.
    pub(super) fn count(&self) -> usize {
        self.number(COUNT, registry::MAX)
    }

    fn high(&self) -> usize {
        self.number(HIGH, registry::MAX)
    }

    /// All registered channels, without those in chunks that have lost their names.
    pub(super) fn list(&mut self, objects: &impl Chunks<M>) -> Result<Vec<ChannelInfo>, ObjectError> {
        let _ = self.head.load(CHANGES);
        // Acquire: the loads of the entries must not be satisfied from before the changes were
        // counted, or a process that lists because of a change could miss it. Pairs with the
        // release store in `change`.
        self.head.fence_acquire();
        let (high, mut listed) = (self.high(), Vec::new());
        for chunk in (0..).map(Chunk).take_while(|chunk| chunk.start() < high) {
            let _ = self.map(chunk, objects)?;
            let used = (chunk.start()..chunk.end().min(high)).filter(|index| self.is_used(*index));
            listed.extend(used.filter_map(|index| self.entry(index, MAX_ATTEMPTS)));
        }
        Ok(listed)
    }

    /// Maps a chunk that is not mapped yet; `false` if it does not exist.
    fn map(&mut self, chunk: Chunk, objects: &impl Chunks<M>) -> Result<bool, ObjectError> {
        if self.memory(chunk).is_none() {
            let found = objects.open(chunk, self.instance())?;
            self.keep(chunk, found);
        }
        Ok(self.memory(chunk).is_some())
    }

    fn keep(&mut self, chunk: Chunk, memory: Option<M>) {
        self.chunks.resize_with(self.chunks.len().max(chunk.0), || None);
        self.chunks[chunk.0 - 1] = memory;
    }

    /// The words of a chunk, if it is mapped.
    fn memory(&self, Chunk(number): Chunk) -> Option<&M> {
        number.checked_sub(1).map_or(Some(&self.head), |before| self.chunks.get(before)?.as_ref())
    }

    /// The words of the object of an entry, if it is mapped.
    pub(super) fn memory_of(&self, index: usize) -> Option<&M> {
        self.memory(Chunk::of_entry(index))
    }

    /// The mark of an entry; that of an entry that was never used if its chunk is not mapped.
    fn mark(&self, index: usize) -> u64 {
        self.memory_of(index).map_or(0, |memory| memory.load(Chunk::of_entry(index).mark(index)))
    }

    pub(super) fn is_used(&self, index: usize) -> bool {
        let mark = self.mark(index);
        // Acquire: the number of the entry's version must not be loaded from before the mark. Pairs
        // with the release store in `set_mark`.
        self.head.fence_acquire();
        mark & 1 == 1
    }

    /// The number of an entry's current version.
    pub(super) fn published(&self, index: usize) -> Option<Published<'_, M>> {
        Some(Published::of_entry(self.memory_of(index)?, Chunk::of_entry(index).entry(index)))
    }

    fn ring(&self, index: usize) -> Option<Ring<EntryWords<'_, M>>> {
        let memory = self.memory_of(index)?;
        let start = Chunk::of_entry(index).entry(index);
        Some(Ring::new(EntryWords { memory, start }, Geometry::of_entry()))
    }

    /// A whole copy of an entry; `None` if it holds nothing.
    pub(super) fn entry(&self, index: usize, attempts: usize) -> Option<ChannelInfo> {
        let (ring, published) = (self.ring(index)?, self.published(index)?);
        let mut bytes = Vec::new();
        for _ in 0..attempts {
            let publication = published.latest()?;
            match ring.read(publication, &mut &mut bytes) {
                Attempt::Whole { .. } => return ChannelInfo::decode(&bytes),
                Attempt::Torn => {}
                _ => return None,
            }
        }
        None
    }
}

/// Never an even number, which means "free".
fn mark_of(channel: &str) -> u64 {
    fingerprint(channel) | 1
}
