//! A checker for one writer at a time and readers that never store, by the rules of C++20 and
//! without loom.
//!
//! The writer runs once, on [`Recorder`]s: its stores and release fences are the log, and each
//! word's modification order is the order in the log. The reader runs again and again, on
//! [`Oracle`]s. A load may return any store of its word, or the initial zero, that is no older than
//! what the reader loaded from that word before (coherence) and no older than the last store that
//! happened before the load. Only acquire fences add to what happened before: after one, each
//! loaded store hands over what its writer did before the release that belongs to it. The choices
//! are enumerated depth first. One reader is enough, because readers have no effect on other
//! processes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::world::Handle;
use super::{Fault, Operation};
use crate::memory::{CountingMemory, Memory, MemoryMut};

/// A word of an object.
type Location = (usize, usize);

/// A store, in the order of its writer's program; a takeover's stores follow those of the dead
/// writer.
#[derive(Clone, Copy)]
struct Store {
    location: Location,
    value: u64,
    /// Number of stores of the log that happened before the acquire fence of a reader that has
    /// loaded this one.
    hands_over: usize,
}

#[derive(Default)]
struct Stores {
    log: Vec<Store>,
    /// Number of stores before the writer's last release fence.
    fenced: usize,
    objects: usize,
}

/// The stores of the writers.
#[derive(Clone, Default)]
pub(super) struct Log(Rc<RefCell<Stores>>);

impl Log {
    pub(super) fn object(&self, words: &[usize]) -> Recorder {
        let len = words.last().map_or(0, |word| word + 1);
        let mut stores = self.0.borrow_mut();
        stores.objects += 1;
        Recorder { log: self.clone(), object: stores.objects, len, weakened: None }
    }

    /// Number of stores so far.
    pub(super) fn len(&self) -> usize {
        self.0.borrow().log.len()
    }

    /// The writer died after this many stores. Another writer begins; no fence of the dead one
    /// precedes its stores.
    pub(super) fn die_after(&self, stores: usize) {
        let mut log = self.0.borrow_mut();
        log.log.truncate(stores);
        log.fenced = 0;
    }

    fn store(&self, location: Location, value: u64, release: bool) {
        let mut stores = self.0.borrow_mut();
        let hands_over = if release { stores.log.len() + 1 } else { stores.fenced };
        stores.log.push(Store { location, value, hands_over });
    }
}

/// The writer's handle onto an object.
#[derive(Clone)]
pub(super) struct Recorder {
    log: Log,
    object: usize,
    len: usize,
    weakened: Option<Operation>,
}

impl Handle for Recorder {
    fn weakened(&self, operation: Option<Operation>) -> Recorder {
        Recorder { weakened: operation, ..self.clone() }
    }

    fn newest(&self, word: usize) -> u64 {
        self.load(word)
    }

    fn in_place(&self) -> Recorder {
        self.clone()
    }
}

impl Recorder {
    /// The two values that a word had last.
    fn former(&self, word: usize) -> [u64; 2] {
        let stores = self.log.0.borrow();
        let of_word = stores.log.iter().rev().filter(|store| store.location == (self.object, word));
        let mut values = of_word.map(|store| store.value).chain([0; 2]);
        let last = values.next().expect("two more");
        [values.next().expect("one more"), last]
    }
}

impl Memory for Recorder {
    fn len(&self) -> usize {
        self.len
    }

    /// The last store: all stores happened before, whether in this writer or in those before it.
    fn load(&self, word: usize) -> u64 {
        let stores = self.log.0.borrow();
        stores
            .log
            .iter()
            .rev()
            .find(|store| store.location == (self.object, word))
            .map_or(0, |store| store.value)
    }

    fn fence_acquire(&self) {}
}

impl MemoryMut for Recorder {
    fn store(&self, word: usize, value: u64) {
        let missing = self.weakened.map(|it| it.is_missing_in(self.former(word), value));
        if let Some(value) = missing.unwrap_or(Some(value)) {
            self.log.store((self.object, word), value, false);
        }
    }

    fn store_release(&self, word: usize, value: u64) {
        self.log.store((self.object, word), value, self.weakened != Some(Operation::ReleaseStore));
    }

    fn fence_release(&self) {
        if self.weakened != Some(Operation::ReleaseFence) {
            let mut stores = self.log.0.borrow_mut();
            stores.fenced = stores.log.len();
        }
    }
}

/// The log has one writer, which is the only one that stores.
impl CountingMemory for Recorder {
    fn increment(&self, word: usize) {
        self.store(word, self.load(word) + 1);
    }

    fn replace(&self, word: usize, from: u64, to: u64) -> bool {
        let is_replaced = self.load(word) == from;
        if is_replaced {
            self.store(word, to);
        }
        is_replaced
    }

    fn fence_full(&self) {
        self.fence_release();
    }
}

/// All executions of a reader against one log.
#[derive(Clone)]
pub(super) struct Explorer(Rc<RefCell<Execution>>);

/// One execution.
struct Execution {
    log: Vec<Store>,
    /// The store that each load took, and among how many. The execution follows these choices, then
    /// appends first choices.
    choices: Vec<Choice>,
    next: usize,
    /// Number of stores that happened before the reader's next step.
    before: usize,
    /// Number of stores that will have happened before, once the reader fences.
    offered: usize,
    /// Number of stores that must have been made: the reader has loaded the last of them.
    made: usize,
    /// Position in the log, counted from 1, of the store that the reader loaded last from each
    /// word; 0 is the initial zero.
    loaded: BTreeMap<Location, usize>,
}

#[derive(Clone, Copy)]
struct Choice {
    taken: usize,
    options: usize,
}

impl Explorer {
    pub(super) fn new(log: &Log) -> Explorer {
        let log = log.0.borrow().log.clone();
        let loaded = BTreeMap::new();
        let (choices, next, before, offered, made) = (Vec::new(), 0, 0, 0, 0);
        Explorer(Rc::new(RefCell::new(Execution { log, choices, next, before, offered, made, loaded })))
    }

    /// A reader's handle onto the recorder's object.
    pub(super) fn oracle(&self, recorder: &Recorder) -> Oracle {
        let &Recorder { object, len, weakened, .. } = recorder;
        Oracle { execution: Rc::clone(&self.0), object, len, weakened }
    }

    /// Runs `reader` in every execution until one fails. Returns the number of executions, and the
    /// fault.
    ///
    /// The first `before` stores happened before the reader began.
    pub(super) fn explore(
        &self,
        before: usize,
        reader: impl Fn() -> Result<(), Fault>,
    ) -> (usize, Option<Fault>) {
        for executions in 1.. {
            self.0.borrow_mut().begin(before);
            let result = reader();
            if result.is_err() || !self.0.borrow_mut().advance() {
                return (executions, result.err());
            }
        }
        unreachable!("each execution is another one, and there are finitely many")
    }

    /// From here on, all stores happened before the reader's next step.
    pub(super) fn everything_happened(&self) {
        let mut execution = self.0.borrow_mut();
        execution.before = execution.log.len();
    }
}

impl Execution {
    fn begin(&mut self, before: usize) {
        (self.next, self.before, self.offered, self.made) = (0, before, 0, before);
        self.loaded.clear();
    }

    /// Advances to the next sequence of choices, if there is one.
    fn advance(&mut self) -> bool {
        while self.choices.pop_if(|last| last.taken + 1 == last.options).is_some() {}
        self.choices.last_mut().map(|last| last.taken += 1).is_some()
    }

    /// The value of a store that a load may see; no older than the last store of the word among the
    /// first `before`.
    fn load(&mut self, location: Location, before: usize) -> u64 {
        let log = &self.log;
        let last_of = |end: usize| (1..=end).rev().find(|at| log[at - 1].location == location).unwrap_or(0);
        let oldest = last_of(before).max(self.loaded.get(&location).copied().unwrap_or(0));
        let newer = (oldest + 1..=log.len()).filter(|at| log[at - 1].location == location);
        let visible: Vec<usize> = std::iter::once(oldest).chain(newer).collect();
        let at = visible[self.choose(visible.len())];
        self.loaded.insert(location, at);
        let Some(store) = at.checked_sub(1).map(|index| self.log[index]) else { return 0 };
        self.offered = self.offered.max(store.hands_over);
        self.made = self.made.max(at);
        store.value
    }

    fn choose(&mut self, options: usize) -> usize {
        if self.next == self.choices.len() {
            self.choices.push(Choice { taken: 0, options });
        }
        let choice = self.choices[self.next];
        assert_eq!(choice.options, options, "the reader decides on nothing but what it loads");
        self.next += 1;
        choice.taken
    }
}

/// A reader's handle onto an object.
#[derive(Clone)]
pub(super) struct Oracle {
    execution: Rc<RefCell<Execution>>,
    object: usize,
    len: usize,
    weakened: Option<Operation>,
}

impl Handle for Oracle {
    fn weakened(&self, operation: Option<Operation>) -> Oracle {
        Oracle { weakened: operation, ..self.clone() }
    }

    fn newest(&self, word: usize) -> u64 {
        let mut execution = self.execution.borrow_mut();
        let made = execution.made.max(execution.before);
        execution.load((self.object, word), made)
    }

    /// The log has no other accesses than those of the writers: a view sees what any load may see.
    fn in_place(&self) -> Oracle {
        self.clone()
    }
}

impl Memory for Oracle {
    fn len(&self) -> usize {
        self.len
    }

    fn load(&self, word: usize) -> u64 {
        let mut execution = self.execution.borrow_mut();
        let before = execution.before;
        execution.load((self.object, word), before)
    }

    fn fence_acquire(&self) {
        if self.weakened != Some(Operation::AcquireFence) {
            let mut execution = self.execution.borrow_mut();
            execution.before = execution.before.max(execution.offered);
        }
    }
}
