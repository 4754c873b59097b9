//! Words of loom.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use loom::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst as Sequential};
use loom::sync::atomic::{AtomicU64, fence};

use super::Operation;
use super::world::Handle;
use crate::memory::{CountingMemory, Memory, MemoryMut, PlainAccess};

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
    /// By a read-modify-write that fails.
    AsNewest,
    /// As a reference would: a race with a store is a fault.
    InPlace,
}

struct Word {
    value: AtomicU64,
    stores: AtomicUsize,
    /// The two values that were stored last, in the order of the stores.
    former: Mutex<[u64; 2]>,
    /// Where loom finds races of plain loads, if the word is viewed in place.
    plain: Option<PlainAccess>,
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
        LoomMemory::holding(words.iter().map(|index| (*index, Word::new([0; 2], false))))
    }

    fn holding(words: impl Iterator<Item = (usize, Word)>) -> LoomMemory {
        let words = Arc::new(words.collect());
        LoomMemory { words, weakened: None, budget: None, loads: Loads::Plainly }
    }

    /// Other words with the same values, which are initial there: what was stored before does not
    /// count for [`MAX_STORES`]. They can be viewed in place. Only while there is one thread.
    pub(super) fn afresh(&self) -> LoomMemory {
        let words = self.words.iter().map(|(index, word)| (*index, Word::new(word.former(), true)));
        LoomMemory { weakened: self.weakened, ..LoomMemory::holding(words) }
    }

    /// This handle's way to the words of another one.
    pub(super) fn onto(&self, other: &LoomMemory) -> LoomMemory {
        LoomMemory { words: Arc::clone(&other.words), ..self.clone() }
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
            let missing = self.weakened.map(|it| it.is_missing_in(word.former(), value));
            let Some(value) = missing.unwrap_or(Some(value)) else { return };
            assert!(word.stores.fetch_add(1, SeqCst) < MAX_STORES, "loom would forget stores of this word");
            word.plain.iter().for_each(PlainAccess::store);
            word.value.store(value, ordering);
            let mut former = word.former.lock().expect("no panic while it is held");
            *former = [former[1], value];
        }
    }
}

impl Word {
    fn new(former: [u64; 2], is_viewed: bool) -> Word {
        let value = AtomicU64::new(former[1]);
        let plain = is_viewed.then(PlainAccess::default);
        Word { value, stores: AtomicUsize::new(1), former: Mutex::new(former), plain }
    }

    fn former(&self) -> [u64; 2] {
        *self.former.lock().expect("no panic while it is held")
    }
}

impl Handle for LoomMemory {
    fn weakened(&self, operation: Option<Operation>) -> LoomMemory {
        LoomMemory { weakened: operation, ..self.clone() }
    }

    /// A read-modify-write sees the newest store. One that fails stores nothing: no word has this
    /// value.
    fn newest(&self, word: usize) -> u64 {
        let failed = self.word(word).value.compare_exchange(u64::MAX, u64::MAX, Relaxed, Relaxed);
        failed.unwrap_or_else(|newest| newest)
    }

    fn in_place(&self) -> LoomMemory {
        LoomMemory { loads: Loads::InPlace, ..self.clone() }
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
            Loads::InPlace => {
                let word = self.word(word);
                word.plain.iter().for_each(PlainAccess::load);
                word.value.load(Relaxed)
            }
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
        // A compare and a store that are two steps.
        let from = if self.orders(Operation::Compare) { from } else { self.newest(word) };
        self.word(word).value.compare_exchange(from, to, Acquire, Relaxed).is_ok()
    }

    fn fence_full(&self) {
        fence(if self.orders(Operation::FullFence) { Sequential } else { Release });
    }
}
