//! Words of loom.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use loom::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst as Sequential};
use loom::sync::atomic::{AtomicU64, fence};

use super::Operation;
use super::world::Handle;
use crate::memory::{CountingMemory, Memory, MemoryMut};

/// Stores that loom remembers of each word, the initial one included. It would forget older ones
/// silently.
const MAX_STORES: usize = 7;

/// Words that loom tracks, shared by the clones. Only those that a model uses exist, because loom
/// visits all of them in every fence.
#[derive(Clone)]
pub(crate) struct LoomMemory {
    words: Arc<BTreeMap<usize, Word>>,
    weakened: Option<Operation>,
    budget: Option<Budget>,
    loads: Loads,
}

/// How a load is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Loads {
    Plainly,
    /// By a read-modify-write that changes nothing.
    AsNewest,
}

struct Word {
    value: AtomicU64,
    stores: AtomicUsize,
}

/// Number of stores that a writer has left before it dies. Loom does not track it: only one writer
/// spends it, in its own order.
#[derive(Clone)]
pub(super) struct Budget(Arc<AtomicUsize>);

impl Budget {
    pub(super) fn of(stores: usize) -> Budget {
        Budget(Arc::new(AtomicUsize::new(stores)))
    }

    pub(super) fn spent_of(&self, stores: usize) -> usize {
        stores - self.0.load(SeqCst)
    }

    fn spend(&self) -> bool {
        self.0.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok()
    }
}

impl LoomMemory {
    pub(crate) fn new(words: &[usize]) -> LoomMemory {
        let word = || Word { value: AtomicU64::new(0), stores: AtomicUsize::new(1) };
        let words = Arc::new(words.iter().map(|index| (*index, word())).collect());
        LoomMemory { words, weakened: None, budget: None, loads: Loads::Plainly }
    }

    /// The same words, for a writer that dies when the budget is spent: none of its stores happens
    /// after that.
    pub(super) fn until(&self, budget: &Budget) -> LoomMemory {
        LoomMemory { budget: Some(budget.clone()), ..self.clone() }
    }

    /// The same words, for a writer that starts while readers are running.
    ///
    /// Its loads can only see the newest stores, because those of all writers happened before. They
    /// are done in a way that loom does not treat as plain loads: loom (0.7) remembers only the
    /// last access of each word, so a plain load between a reader's load and this writer's store
    /// would hide from loom that those two can change places.
    pub(super) fn of_successor(&self) -> LoomMemory {
        LoomMemory { loads: Loads::AsNewest, ..self.clone() }
    }

    fn word(&self, word: usize) -> &Word {
        self.words.get(&word).unwrap_or_else(|| panic!("word {word} is not among those of this model"))
    }

    fn orders(&self, operation: Operation) -> bool {
        self.weakened != Some(operation)
    }

    fn store_unless_dead(&self, word: usize, value: u64, ordering: loom::sync::atomic::Ordering) {
        if self.budget.as_ref().is_none_or(Budget::spend) {
            let word = self.word(word);
            assert!(word.stores.fetch_add(1, SeqCst) < MAX_STORES, "loom would forget stores of this word");
            word.value.store(value, ordering);
        }
    }
}

impl Handle for LoomMemory {
    fn weakened(&self, operation: Option<Operation>) -> LoomMemory {
        LoomMemory { weakened: operation, ..self.clone() }
    }

    /// A read-modify-write sees the newest store.
    fn newest(&self, word: usize) -> u64 {
        let word = self.word(word);
        assert!(word.stores.fetch_add(1, SeqCst) < MAX_STORES, "loom would forget stores of this word");
        word.value.fetch_add(0, Relaxed)
    }
}

impl Memory for LoomMemory {
    fn len(&self) -> usize {
        self.words.last_key_value().map_or(0, |(word, _)| word + 1)
    }

    fn load(&self, word: usize) -> u64 {
        match self.loads {
            Loads::Plainly => self.word(word).value.load(Relaxed),
            Loads::AsNewest => self.newest(word),
        }
    }

    fn fence_acquire(&self) {
        if self.orders(Operation::AcquireFence) {
            fence(Acquire);
        }
    }
}

impl MemoryMut for LoomMemory {
    fn store(&self, word: usize, value: u64) {
        self.store_unless_dead(word, value, Relaxed);
    }

    fn store_release(&self, word: usize, value: u64) {
        let ordering = if self.orders(Operation::ReleaseStore) { Release } else { Relaxed };
        self.store_unless_dead(word, value, ordering);
    }

    fn fence_release(&self) {
        if self.orders(Operation::ReleaseFence) {
            fence(Release);
        }
    }
}

impl CountingMemory for LoomMemory {
    fn increment(&self, word: usize) {
        let word = self.word(word);
        assert!(word.stores.fetch_add(1, SeqCst) < MAX_STORES, "loom would forget stores of this word");
        word.value.fetch_add(1, Relaxed);
    }

    fn replace(&self, word: usize, from: u64, to: u64) -> bool {
        self.word(word).value.compare_exchange(from, to, Acquire, Relaxed).is_ok()
    }

    fn fence_full(&self) {
        fence(Sequential);
    }
}
