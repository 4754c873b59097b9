//! The words of the table, its entries, and how they change.

use std::collections::HashSet;
use std::io;

use crate::channel::{ChannelWriter, WriterState, read_text, write_text};
use crate::layout::registry::{self, CHANGES, DIRTY, ENDED, HIGH, NAMESPACE, entry, waiters};
use crate::layout::{Geometry, Publication, WORD_BYTES, control, fingerprint, segment};
use crate::liveness::{ProcessIdentity, ProcessState};
use crate::memory::{CountingMemory, Memory, MemoryMut, Words};
use crate::object::{self, ObjectError};
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

/// Numbers of an encoded entry, before its two texts.
const NUMBERS: usize = 10;
const _: () = assert!(NUMBERS * WORD_BYTES + control::CODEC.max + control::CHANNEL.max <= entry::CAPACITY);

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
        let numbers: [u64; NUMBERS] = [
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
        [bytemuck::bytes_of(&numbers), codec, self.name.as_bytes()].concat()
    }

    /// `None` if the bytes are no entry.
    fn decode(bytes: &[u8]) -> Option<ChannelInfo> {
        let (numbers, texts) = bytes.split_first_chunk::<{ NUMBERS * WORD_BYTES }>()?;
        let numbers: [u64; NUMBERS] = bytemuck::pod_read_unaligned(numbers);
        let [instance, pid, start_time, boot_high, boot_low, pid_namespace, rest @ ..] = numbers;
        let [incarnation, capacity, max_state_len, codec_len] = rest;
        let (codec, name) = texts.split_at_checked(usize::try_from(codec_len).ok()?)?;
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

/// The table in some memory.
pub(super) struct Table<'a, M>(&'a M);

/// A version of a table; differs after every change and between tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    instance: u64,
    changes: u64,
}

/// The words of one entry.
struct EntryWords<'a, M> {
    memory: &'a M,
    start: usize,
}

impl<M: Memory> Memory for EntryWords<'_, M> {
    fn len(&self) -> usize {
        entry::WORDS - segment::SLOTS
    }
    fn load(&self, word: usize) -> u64 {
        self.memory.load(self.start + word)
    }
    fn fence_acquire(&self) {
        self.memory.fence_acquire();
    }
    fn read(&self, word: usize, into: &mut [u8]) {
        self.memory.read(self.start + word, into);
    }
}

impl<M: MemoryMut> MemoryMut for EntryWords<'_, M> {
    fn store(&self, word: usize, value: u64) {
        self.memory.store(self.start + word, value);
    }
    fn store_release(&self, word: usize, value: u64) {
        self.memory.store_release(self.start + word, value);
    }
    fn fence_release(&self) {
        self.memory.fence_release();
    }
    fn write(&self, word: usize, from: &[u8]) {
        self.memory.write(self.start + word, from);
    }
}

impl<'a, M: Memory> Table<'a, M> {
    /// A table in memory of at least `registry::MIN_BYTES`.
    pub(super) fn new(memory: &'a M) -> Table<'a, M> {
        assert!(memory.len() * WORD_BYTES >= registry::MIN_BYTES, "the size was checked");
        Table(memory)
    }

    /// Whether the table can be read: it is whole, of this namespace, and still current.
    pub(super) fn is_usable(&self, namespace: &str, object: &str) -> Result<bool, ObjectError> {
        let foreign = |reason: String| Err(ObjectError::Foreign { object: object.into(), reason });
        match ready::check(self.0) {
            Readiness::NotReady => Ok(false),
            Readiness::OtherVersion(version) => foreign(format!(
                "it is a registry of layout version {version}; `tearless gc` removes it if no process \
                     uses it"
            )),
            Readiness::Foreign(_) => foreign("it is not a registry".into()),
            Readiness::Ready => match read_text(self.0, NAMESPACE) {
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
        self.0.load(ENDED) != 0
    }

    /// Changes with every modification and differs between tables.
    ///
    /// Relaxed: a process that saw a change calls `list` next, which orders its loads itself.
    pub(super) fn version(&self) -> Version {
        Version { instance: self.0.load(registry::INSTANCE), changes: self.0.load(CHANGES) }
    }

    /// All registered channels; `None` if the object has grown since this memory was mapped, unless
    /// `is_all` says that it can't have: then another process has spoiled the table.
    pub(super) fn list(&self, is_all: bool) -> Option<Vec<ChannelInfo>> {
        let _ = self.0.load(CHANGES);
        // Acquire: the loads of the entries must not be satisfied from before the changes were
        // counted, or a process that lists because of a change could miss it. Pairs with the
        // release store in `count_change`.
        self.0.fence_acquire();
        let high = usize::try_from(self.0.load(HIGH)).unwrap_or(usize::MAX);
        if high > self.room() && !is_all {
            return None;
        }
        let used = (0..high.min(self.room())).filter(|index| self.mark(*index) != 0);
        Some(used.filter_map(|index| self.entry(index)).collect())
    }

    /// The number of entries that this memory has room for.
    pub(super) fn room(&self) -> usize {
        registry::room(self.0.len())
    }

    fn high(&self) -> usize {
        usize::try_from(self.0.load(HIGH)).unwrap_or(usize::MAX).min(self.room())
    }

    fn mark(&self, index: usize) -> u64 {
        self.0.load(registry::mark(index))
    }

    /// The number of used entries.
    pub(super) fn count(&self) -> usize {
        self.used().count()
    }

    /// Up to `count` entries from a `random` place on.
    pub(super) fn some(&self, random: u64, count: usize) -> Vec<ChannelInfo> {
        let used: Vec<usize> = self.used().collect();
        let start = random.checked_rem(used.len() as u64).unwrap_or(0);
        let (before, after) = used.split_at(usize::try_from(start).unwrap_or(0));
        after.iter().chain(before).take(count).filter_map(|index| self.entry(*index)).collect()
    }

    fn used(&self) -> impl Iterator<Item = usize> {
        (0..self.high()).filter(|index| self.mark(*index) != 0)
    }

    /// The entry that `channel` has, or will have.
    pub(super) fn place(&self, channel: &str) -> usize {
        let high = self.high();
        let free = || (0..high).find(|index| self.mark(*index) == 0).unwrap_or(high);
        self.find(channel).unwrap_or_else(free)
    }

    fn find(&self, channel: &str) -> Option<usize> {
        let mark = mark_of(channel);
        let mut marked = (0..self.high()).filter(|index| self.mark(*index) == mark);
        marked.find(|index| self.entry(*index).is_some_and(|entry| entry.name == channel))
    }

    fn words(&self, index: usize) -> EntryWords<'a, M> {
        EntryWords { memory: self.0, start: entry(index) }
    }

    fn ring(&self, index: usize) -> Ring<EntryWords<'a, M>> {
        let memory = EntryWords { memory: self.0, start: entry(index) + segment::SLOTS };
        Ring::new(memory, Geometry::of_entry())
    }

    /// A whole copy of an entry; `None` if it holds nothing.
    fn entry(&self, index: usize) -> Option<ChannelInfo> {
        let (ring, words) = (self.ring(index), self.words(index));
        let mut bytes = Vec::new();
        for _ in 0..MAX_ATTEMPTS {
            let publication = Published::of_entry(&words).latest()?;
            match ring.read(publication, &mut &mut bytes) {
                Attempt::Whole { .. } => return ChannelInfo::decode(&bytes),
                Attempt::Torn => {}
                _ => return None,
            }
        }
        None
    }
}

/// Changes: only by the process that has claimed the object.
impl<M: MemoryMut> Table<'_, M> {
    /// Makes the table if its creator did not finish it; `false` if the table has ended and its
    /// name is to be unlinked.
    pub(super) fn prepare(&self, namespace: &str, object: &str) -> Result<bool, ObjectError> {
        if ready::check(self.0) == Readiness::NotReady {
            (0..registry::BLOCKS).for_each(|word| self.0.store(word, 0));
            let instance = random(object)?;
            self.0.store(registry::INSTANCE, instance);
            self.0.store(waiters::START + waiters::INSTANCE, instance);
            write_text(self.0, NAMESPACE, namespace);
            ready::declare(self.0);
        }
        self.is_usable(namespace, object)
    }

    /// Does `work` as one change, and counts it. Also counts a change in which a former holder of
    /// the claim was killed.
    pub(super) fn change(&self, work: impl FnOnce(&Self)) {
        if self.0.load(DIRTY) != 0 {
            self.count_change();
        }
        self.0.store(DIRTY, 1);
        // Release: the stores of the change must not become visible before the mark, nor the
        // cleared mark before the stores: a process that is killed in between must leave the mark.
        // The next change pairs with both through the lock.
        self.0.fence_release();
        work(self);
        self.count_change();
        self.0.store_release(DIRTY, 0);
    }

    fn count_change(&self) {
        let next = self.0.load(CHANGES).wrapping_add(1);
        // Release: the stores of the change must not sink below this one, or a process that sees
        // the new count could list the old table and take it for the new one. Pairs with the
        // acquire fence in `list`.
        self.0.store_release(CHANGES, next);
    }

    /// Enters a channel at its [place](Table::place), for which there is room.
    pub(super) fn enter(&self, index: usize, info: &ChannelInfo) {
        let (ring, words) = (self.ring(index), self.words(index));
        let last = Published::of_entry(&words).peek();
        // Even numbers only, so that the two slots take turns.
        let publication = Publication::new((last & !1).wrapping_add(2)).or(Publication::new(2));
        if let Some(publication) = publication {
            ring.write(publication, &info.encode(), 0, 0);
            Published::of_entry(&words).announce(publication);
        }
        self.0.store(registry::mark(index), mark_of(&info.name));
        if index >= self.high() {
            self.0.store(HIGH, index as u64 + 1);
        }
    }

    /// Removes the entries of these instances of channels.
    pub(super) fn strike(&self, gone: &[(&str, u64)]) {
        let marks: HashSet<u64> = gone.iter().map(|(channel, _)| mark_of(channel)).collect();
        for index in (0..self.high()).filter(|index| marks.contains(&self.mark(*index))) {
            let Some(entry) = self.entry(index) else { continue };
            if gone.contains(&(entry.name.as_str(), entry.instance)) {
                self.0.store(registry::mark(index), 0);
            }
        }
        let high = (0..self.high()).rev().find(|index| self.mark(*index) != 0).map_or(0, |index| index + 1);
        self.0.store(HIGH, high as u64);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.used().next().is_none()
    }
}

impl Table<'_, Words> {
    /// Marks the table as ended, and wakes the processes that sleep on it: only by the process that
    /// has claimed it.
    pub(super) fn end(&self) {
        self.0.store(ENDED, 1);
        self.0.store(waiters::START + waiters::INSTANCE, 0);
        self.wake_waiters();
    }

    /// After a change: wakes the processes that wait for any channel.
    pub(super) fn wake_waiters(&self) {
        // Full: a process that sees the wake-up must see the change that caused it, or it would
        // sleep again, perhaps on a page that no process uses any more. Pairs with the full fence
        // of `Waiter::register`, which lies between two loads of the page.
        self.0.fence_full();
        self.0.increment(waiters::START + waiters::RUNG);
        object::wake(self.0, waiters::START + waiters::RUNG);
    }
}

fn random(object: &str) -> Result<u64, ObjectError> {
    let os = |error: getrandom::Error| ObjectError::Os {
        object: object.into(),
        operation: "getrandom",
        source: io::Error::other(error.to_string()),
    };
    getrandom::u64().map_err(os)
}

/// Never 0, which means "free".
fn mark_of(channel: &str) -> u64 {
    fingerprint(channel) | 1
}
