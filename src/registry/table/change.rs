//! Changes of a table, by the process that has claimed it. None takes longer with more entries,
//! except the one that adds a chunk, and a repair.
//!
//! The hash index of the last chunk finds the entries of all. A free entry's mark leads to the next
//! one. Both follow from the entries and their marks. A process that is killed during a change
//! leaves the table *dirty*, and the next one makes them again.

use std::io;

use super::{ChannelInfo, Chunks, ChunksMut, Table, mark_of};
use crate::channel::write_text;
use crate::layout::Publication;
use crate::layout::registry::{
    self, CHANGES, COUNT, CURSOR, Chunk, DIRTY, ENDED, FREE, HIGH, LAST, NAMESPACE, waiters,
};
use crate::memory::{CountingMemory, MemoryMut, Words};
use crate::object::{self, ObjectError};
use crate::seqlock::ready::{self, Readiness};

/// How many entries a look for dead writers considers, used or not.
const LOOKED_THROUGH: usize = 64;
/// How many used ones it returns.
const LOOKED_AT: usize = 4;

/// Bits of an index word for the number of an entry, plus one. The rest is that of the mark.
const NUMBER_BITS: u32 = registry::MAX.ilog2() + 1;

/// Why a change was not made.
#[derive(Debug)]
pub(in crate::registry) enum Obstacle {
    /// The words contradict one another: a chunk was removed, or another process has spoiled them.
    Damaged,
    /// There is no room.
    Full,
    /// A chunk can't be used.
    Object(ObjectError),
}

impl From<ObjectError> for Obstacle {
    fn from(error: ObjectError) -> Obstacle {
        Obstacle::Object(error)
    }
}

/// The part of a mark, and of an index word, by which the index finds an entry.
fn tag_of(mark: u64) -> u64 {
    mark >> NUMBER_BITS
}

/// The index word of an entry.
fn index_word(mark: u64, index: usize) -> u64 {
    tag_of(mark) << NUMBER_BITS | (index as u64 + 1)
}

/// The entry of an index word.
fn number_of(word: u64) -> Option<usize> {
    let number = usize::try_from(word & ((1 << NUMBER_BITS) - 1)).ok()?;
    number.checked_sub(1).filter(|index| *index < registry::MAX)
}

/// The hash index of a chunk: a power of two of words, 0 if free. An entry has the first free word
/// from that of its tag on.
struct Index<'a, M> {
    memory: &'a M,
    chunk: Chunk,
}

impl<M: MemoryMut> Index<'_, M> {
    /// The word of `tag`.
    fn first(&self, tag: u64) -> usize {
        usize::try_from(tag & self.mask() as u64).unwrap_or(0)
    }

    fn mask(&self) -> usize {
        self.chunk.index_words() - 1
    }

    /// The words from that of `tag` on, and what they hold.
    fn from(&self, tag: u64) -> impl Iterator<Item = (usize, u64)> {
        let words = (0..=self.mask()).map(move |step| (self.first(tag) + step) & self.mask());
        words.map(|word| (word, self.memory.load(self.chunk.index() + word)))
    }

    fn store(&self, word: usize, value: u64) {
        self.memory.store(self.chunk.index() + word, value);
    }

    fn insert(&self, mark: u64, index: usize) -> Result<(), Obstacle> {
        let (free, _) = self.from(tag_of(mark)).find(|(_, found)| *found == 0).ok_or(Obstacle::Damaged)?;
        self.store(free, index_word(mark, index));
        Ok(())
    }

    /// Removes an entry. What follows it moves up, so that a look-up can end at the first free
    /// word.
    fn erase(&self, mark: u64, index: usize) -> Result<(), Obstacle> {
        let own = index_word(mark, index);
        let mut words = self.from(tag_of(mark)).skip_while(|(_, found)| *found != own);
        let (mut hole, _) = words.next().ok_or(Obstacle::Damaged)?;
        for (word, found) in words.take_while(|(_, found)| *found != 0) {
            // It may move to any word between that of its tag and its present one.
            let distance = |from: usize| word.wrapping_sub(from) & self.mask();
            if distance(self.first(tag_of(found))) >= distance(hole) {
                self.store(hole, found);
                hole = word;
            }
        }
        self.store(hole, 0);
        Ok(())
    }
}

impl<M: MemoryMut> Table<M> {
    /// Makes the table if its creator did not finish it; `false` if the table has ended and its
    /// names are to be unlinked.
    pub(in crate::registry) fn prepare(&self, namespace: &str, object: &str) -> Result<bool, ObjectError> {
        if ready::check(&self.head) == Readiness::NotReady {
            (0..self.head.len()).for_each(|word| self.head.store(word, 0));
            let instance = random(object)?;
            self.head.store(registry::INSTANCE, instance);
            self.head.store(waiters::START + waiters::INSTANCE, instance);
            write_text(&self.head, NAMESPACE, namespace);
            ready::declare(&self.head);
        }
        self.is_usable(namespace, object)
    }

    /// The number of the last chunk.
    pub(in crate::registry) fn last(&self) -> Chunk {
        Chunk(self.number(LAST, Chunk::MAX.0))
    }

    /// Makes a change. First repairs the table if a process was killed during one, and once more if
    /// the change finds damage.
    pub(in crate::registry) fn attempt<T>(
        &mut self,
        objects: &impl ChunksMut<M>,
        mut change: impl FnMut(&mut Self) -> Result<T, Obstacle>,
    ) -> Result<T, Obstacle> {
        if self.head.load(DIRTY) != 0 {
            self.repair(objects)?;
        }
        match change(self) {
            Err(Obstacle::Damaged) => {
                self.repair(objects)?;
                change(self)
            }
            result => result,
        }
    }

    /// Enters a channel, or its new writer. Returns the entry's number.
    pub(in crate::registry) fn enter(
        &mut self,
        info: &ChannelInfo,
        objects: &impl ChunksMut<M>,
    ) -> Result<usize, Obstacle> {
        if let Some(index) = self.find(&info.name, objects)? {
            self.change(|table| table.write_entry(index, info))?;
            return Ok(index);
        }
        let (index, high) = (self.free_entry(objects)?, self.high());
        self.change(|table| {
            let (mark, next) = (mark_of(&info.name), table.mark(index) >> 1);
            // The name lies beside both slots: readers that still copy the former channel's must
            // find that it is void. w2 of the new version orders this before the name.
            if let Some(ring) = table.ring(index) {
                ring.void_after(0);
            }
            table.write_entry(index, info)?;
            table.set_mark(index, mark);
            table.index(table.last())?.insert(mark, index)?;
            match index == high {
                true => table.head.store(HIGH, index as u64 + 1),
                false => table.head.store(FREE, next),
            }
            table.head.store(COUNT, table.count() as u64 + 1);
            Ok(index)
        })
    }

    /// Removes the entry of this instance of a channel, if there is one.
    pub(in crate::registry) fn remove(
        &mut self,
        channel: &str,
        instance: u64,
        objects: &impl ChunksMut<M>,
    ) -> Result<(), Obstacle> {
        let Some(index) = self.find(channel, objects)? else { return Ok(()) };
        if self.entry(index, 1).is_none_or(|entry| entry.instance != instance) {
            return Ok(());
        }
        self.change(|table| {
            table.index(table.last())?.erase(mark_of(channel), index)?;
            table.set_mark(index, table.head.load(FREE) << 1);
            table.head.store(FREE, index as u64 + 1);
            table.head.store(COUNT, table.count().saturating_sub(1) as u64);
            Ok(())
        })
    }

    /// A few of the channels, from the cursor on.
    pub(in crate::registry) fn next_few(&mut self, objects: &impl Chunks<M>) -> Vec<ChannelInfo> {
        let high = self.high();
        let from = Some(self.number(CURSOR, registry::MAX)).filter(|from| *from < high).unwrap_or(0);
        let chunk = Chunk::of_entry(from);
        let end = chunk.end().min(high).min(from + LOOKED_THROUGH);
        // What can't be opened is passed over.
        let _ = self.map(chunk, objects);
        let used: Vec<usize> = (from..end).filter(|index| self.is_used(*index)).take(LOOKED_AT).collect();
        let next = used.get(LOOKED_AT - 1).map_or(end, |last| last + 1);
        self.head.store(CURSOR, next as u64);
        used.into_iter().filter_map(|index| self.entry(index, 1)).collect()
    }

    /// Does `work` as one change, and counts it. After an error the table stays dirty.
    fn change<T>(&self, work: impl FnOnce(&Self) -> Result<T, Obstacle>) -> Result<T, Obstacle> {
        self.head.store(DIRTY, 1);
        // Release: the stores of the change must not become visible before the mark, nor the
        // cleared mark before the stores: a process that is killed in between must leave the mark.
        // The next change pairs with both through the lock.
        self.head.fence_release();
        let done = work(self)?;
        let next = self.head.load(CHANGES).wrapping_add(1);
        // Release: the stores of the change must not sink below this one, or a process that sees
        // the new count could list the old table and take it for the new one. Pairs with the
        // acquire fence in `list`.
        self.head.store_release(CHANGES, next);
        self.head.store_release(DIRTY, 0);
        Ok(done)
    }

    /// The words of a chunk that the table has.
    fn need(&mut self, chunk: Chunk, objects: &impl Chunks<M>) -> Result<(), Obstacle> {
        if chunk <= self.last() && self.map(chunk, objects)? { Ok(()) } else { Err(Obstacle::Damaged) }
    }

    /// The index of a chunk that is mapped.
    fn index(&self, chunk: Chunk) -> Result<Index<'_, M>, Obstacle> {
        let memory = self.memory(chunk).ok_or(Obstacle::Damaged)?;
        Ok(Index { memory, chunk })
    }

    /// The entry of a channel.
    fn find(&mut self, channel: &str, objects: &impl Chunks<M>) -> Result<Option<usize>, Obstacle> {
        let (last, tag) = (self.last(), tag_of(mark_of(channel)));
        self.need(last, objects)?;
        let words = self.index(last)?;
        let words = words.from(tag).map(|(_, word)| word).take_while(|word| *word != 0);
        for word in words.filter(|word| tag_of(*word) == tag).collect::<Vec<_>>() {
            let index = number_of(word).ok_or(Obstacle::Damaged)?;
            self.need(Chunk::of_entry(index), objects)?;
            let entry = self.entry(index, 1).filter(|_| self.is_used(index)).ok_or(Obstacle::Damaged)?;
            if entry.name == channel {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// An entry for a new channel. Adds a chunk if all are in use.
    fn free_entry(&mut self, objects: &impl ChunksMut<M>) -> Result<usize, Obstacle> {
        let (high, last) = (self.high(), self.last());
        if let Some(index) = self.number(FREE, usize::MAX).checked_sub(1) {
            self.need(Chunk::of_entry(index.min(registry::MAX)), objects)?;
            return if index < high && !self.is_used(index) { Ok(index) } else { Err(Obstacle::Damaged) };
        }
        if high >= registry::MAX {
            return Err(Obstacle::Full);
        }
        match Chunk::of_entry(high) {
            chunk if chunk == Chunk(last.0 + 1) => self.append(chunk, objects)?,
            chunk => self.need(chunk, objects)?,
        }
        if self.is_used(high) { Err(Obstacle::Damaged) } else { Ok(high) }
    }

    /// Adds a chunk, with an index of all entries.
    fn append(&mut self, chunk: Chunk, objects: &impl ChunksMut<M>) -> Result<(), Obstacle> {
        (1..chunk.0).try_for_each(|number| self.need(Chunk(number), objects))?;
        self.create(chunk, objects)?;
        self.fill_index(chunk)?;
        // Release: a process that is killed here must not have announced a chunk with half an
        // index. The next change pairs with it through the lock.
        self.head.store_release(LAST, chunk.0 as u64);
        Ok(())
    }

    fn create(&mut self, chunk: Chunk, objects: &impl ChunksMut<M>) -> Result<(), ObjectError> {
        let memory = objects.create(chunk)?;
        memory.store(registry::INSTANCE, self.instance());
        memory.store(registry::NUMBER, chunk.0 as u64);
        ready::declare(&memory);
        self.keep(chunk, Some(memory));
        Ok(())
    }

    /// Finds out what is there, and makes the rest again: counts, marks, the free entries, the
    /// index. The entries of a chunk that was removed are lost: their writers enter them again.
    pub(in crate::registry) fn repair(&mut self, objects: &impl ChunksMut<M>) -> Result<(), Obstacle> {
        let chunks = (1..=Chunk::MAX.0).map(Chunk);
        let mut last = Chunk(0);
        for chunk in chunks.clone() {
            let found = match objects.open(chunk, self.instance()) {
                // Of another program, or a leftover that can't be opened: the table does not need
                // it.
                Err(_) if chunk > self.last() => None,
                found => found?,
            };
            self.keep(chunk, found);
            last = if self.memory(chunk).is_some() { chunk } else { last };
        }
        for chunk in chunks {
            // A writer whose entry is in a chunk that is not the table's must find that the chunk
            // has lost its name.
            if self.memory(chunk).is_none() && chunk < last {
                self.create(chunk, objects)?;
            } else if chunk > last {
                let _ = objects.remove(chunk);
            }
        }
        self.change(|table| {
            table.head.store(LAST, last.0 as u64);
            let is_whole = |index| {
                let entry = table.entry(index, 1).filter(|_| table.is_used(index));
                entry.is_some_and(|entry| mark_of(&entry.name) == table.mark(index))
            };
            let whole: Vec<bool> = (0..last.end()).map(is_whole).collect();
            let high = whole.iter().rposition(|is_whole| *is_whole).map_or(0, |index| index + 1);
            let mut free = 0;
            for index in (0..last.end()).rev().filter(|index| !whole[*index]) {
                table.set_mark(index, free << 1);
                free = if index < high { index as u64 + 1 } else { 0 };
            }
            let count = whole.iter().filter(|is_whole| **is_whole).count();
            for (word, value) in [(HIGH, high as u64), (FREE, free), (COUNT, count as u64)] {
                table.head.store(word, value);
            }
            table.fill_index(last)
        })
    }

    /// Makes the index of a chunk: of all entries.
    fn fill_index(&self, chunk: Chunk) -> Result<(), Obstacle> {
        let words = self.index(chunk)?;
        (0..chunk.index_words()).for_each(|word| words.store(word, 0));
        let mut used = (0..self.high()).filter(|index| self.is_used(*index));
        used.try_for_each(|index| words.insert(self.mark(index), index))
    }

    fn set_mark(&self, index: usize, mark: u64) {
        if let Some(memory) = self.memory_of(index) {
            // Release: the number of a new channel's version must not become visible after the
            // mark, or a list could show the channel that had the entry before. Pairs with the
            // acquire fence in `is_used`.
            memory.store_release(Chunk::of_entry(index).mark(index), mark);
        }
    }

    /// Writes a version of an entry beside the current one.
    fn write_entry(&self, index: usize, info: &ChannelInfo) -> Result<(), Obstacle> {
        let ring = self.ring(index).ok_or(Obstacle::Damaged)?;
        let published = self.published(index).ok_or(Obstacle::Damaged)?;
        let last = published.peek();
        // Even numbers only, so that the two slots take turns.
        let publication = Publication::new((last & !1).wrapping_add(2)).or(Publication::new(2));
        if let Some(publication) = publication {
            ring.write(publication, &info.encode(), 0, 0);
            published.announce(publication);
        }
        Ok(())
    }
}

impl Table<Words> {
    /// Marks the table as ended, and wakes the processes that sleep on it.
    pub(in crate::registry) fn end(&self) {
        self.head.store(ENDED, 1);
        self.head.store(waiters::START + waiters::INSTANCE, 0);
        self.wake_waiters();
    }

    /// After a change: wakes the processes that wait for any channel.
    pub(in crate::registry) fn wake_waiters(&self) {
        // Full: a process that sees the wake-up must see the change that caused it, or it would
        // sleep again, perhaps on a page that no process uses any more. Pairs with the full fence
        // of `announce_waiter`, between two looks of a waiter.
        self.head.fence_full();
        self.head.increment(waiters::START + waiters::WAKE_UPS);
        object::wake(&self.head, waiters::START + waiters::WAKE_UPS);
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
