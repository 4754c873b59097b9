//! The directory of channels, on the heap and in shared memory.

mod chunks;
mod damage;
mod entries;
mod kills;
mod reuse;
mod sessions;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use super::*;
use crate::liveness::ProcessIdentity;
use crate::memory::MemoryMut;
use crate::object::Heap;

const NAMESPACE: &str = "tests";

fn info(name: &str, instance: u64) -> ChannelInfo {
    ChannelInfo {
        name: name.into(),
        writer_pid: instance,
        incarnation: instance + 1,
        codec: format!("codec {instance}"),
        capacity: instance + 2,
        max_state_len: instance + 3,
        instance,
        identity: ProcessIdentity { pid: instance, ..ProcessIdentity::of_self() },
    }
}

fn register(heap: &Heap, info: &ChannelInfo) -> Result<(), ObjectError> {
    Registry::of(&heap.shared(), NAMESPACE).register(info, Access::OWNER).map(drop)
}

fn listed(heap: &Heap) -> Vec<ChannelInfo> {
    Registry::of(&heap.shared(), NAMESPACE).list().unwrap()
}

/// Enters channels `0..count`; returns their names.
fn enter_many(heap: &Heap, count: u64) -> Vec<String> {
    (0..count)
        .map(|number| {
            let name = format!("worker-{number}");
            register(heap, &info(&name, number)).unwrap();
            name
        })
        .collect()
}

/// Memory whose writer is killed after some stores.
#[derive(Clone, Debug)]
struct Dying {
    words: Words,
    stores_left: Rc<Cell<u32>>,
}

impl Dying {
    fn lives(&self) -> bool {
        let left = self.stores_left.get();
        self.stores_left.set(left.saturating_sub(1));
        left > 0
    }
}

impl Memory for Dying {
    fn len(&self) -> usize {
        self.words.len()
    }
    fn load(&self, word: usize) -> u64 {
        self.words.load(word)
    }
    fn fence_acquire(&self) {}
}

impl MemoryMut for Dying {
    fn store(&self, word: usize, value: u64) {
        if self.lives() {
            self.words.store(word, value);
        }
    }
    fn store_release(&self, word: usize, value: u64) {
        self.store(word, value);
    }
    fn fence_release(&self) {}
}

/// The objects of a table whose changes may be killed.
struct Objects {
    parts: RefCell<BTreeMap<usize, Words>>,
    stores_left: Rc<Cell<u32>>,
}

impl Objects {
    fn new() -> Objects {
        let head = Words::zeroed(BYTES / WORD_BYTES);
        Objects { parts: RefCell::new([(0, head)].into()), stores_left: Rc::new(Cell::new(u32::MAX)) }
    }

    fn dying(&self, words: &Words) -> Dying {
        Dying { words: words.clone(), stores_left: Rc::clone(&self.stores_left) }
    }

    /// The table as a process that starts now maps it.
    fn table(&self) -> Table<Dying> {
        Table::new(self.dying(&self.parts.borrow()[&0]))
    }

    fn change<T>(
        &self,
        change: impl Fn(&mut Table<Dying>, &Objects) -> Result<T, Obstacle>,
    ) -> Result<T, Obstacle> {
        self.table().attempt(self, |table| change(table, self))
    }

    fn listed(&self) -> Vec<ChannelInfo> {
        self.table().list(self).unwrap()
    }
}

impl Chunks<Dying> for Objects {
    fn open(&self, chunk: Chunk, instance: u64) -> Result<Option<Dying>, ObjectError> {
        let parts = self.parts.borrow();
        let found = parts.get(&chunk.0).filter(|words| is_chunk(*words, chunk, instance));
        Ok(found.map(|words| self.dying(words)))
    }
}

impl ChunksMut<Dying> for Objects {
    fn create(&self, chunk: Chunk) -> Result<Dying, ObjectError> {
        let words = Words::zeroed(chunk.bytes() / WORD_BYTES);
        if self.stores_left.get() > 0 {
            self.parts.borrow_mut().insert(chunk.0, words.clone());
        }
        Ok(self.dying(&words))
    }

    fn remove(&self, chunk: Chunk) -> Result<bool, ObjectError> {
        Ok(self.stores_left.get() > 0 && self.parts.borrow_mut().remove(&chunk.0).is_some())
    }
}
