//! The table, on the heap.

use std::cell::Cell;

use super::table::Table;
use super::*;
use crate::channel::{ChannelName, CreateError, Format, ReaderOptions, WriterOptions};
use crate::layout::PAGE_BYTES;
use crate::liveness::ProcessIdentity;
use crate::memory::{Memory, MemoryMut, Words};
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

fn listed(heap: &Heap) -> Vec<ChannelInfo> {
    Registry::of(&heap.shared(), NAMESPACE).list().unwrap()
}

#[test]
fn what_is_entered_is_listed_until_it_is_removed() {
    let heap = Heap::new();
    assert!(listed(&heap).is_empty());
    let long = "ü".repeat(128);
    Registry::of(&heap.shared(), NAMESPACE).register(&info("a", 1)).unwrap();
    Registry::of(&heap.shared(), NAMESPACE).register(&info(&long, 2)).unwrap();
    assert_eq!(listed(&heap), [info("a", 1), info(&long, 2)]);
    Registry::of(&heap.shared(), NAMESPACE).register(&info("a", 3)).unwrap();
    assert_eq!(listed(&heap), [info("a", 3), info(&long, 2)], "a successor replaces the entry");
    Registry::of(&heap.shared(), NAMESPACE).deregister(&[("a", 1)]).unwrap();
    assert_eq!(listed(&heap).len(), 2, "of another instance");
    Registry::of(&heap.shared(), NAMESPACE).deregister(&[("a", 3)]).unwrap();
    assert_eq!(listed(&heap), [info(&long, 2)]);
    Registry::of(&heap.shared(), NAMESPACE).register(&info("b", 4)).unwrap();
    assert_eq!(listed(&heap), [info("b", 4), info(&long, 2)], "the free entry is used again");
    Registry::of(&heap.shared(), NAMESPACE).deregister(&[("b", 4)]).unwrap();
    Registry::of(&heap.shared(), NAMESPACE).deregister(&[(&long, 2)]).unwrap();
    Registry::of(&heap.shared(), NAMESPACE).deregister(&[(&long, 2)]).unwrap();
    assert!(heap.names().is_empty(), "the last entry takes the table with it");
}

#[test]
fn a_watch_notices_every_change_also_across_tables() {
    let heap = Heap::new();
    let mut watch = ChannelWatch::new(heap.shared(), NAMESPACE);
    let mut changed = || {
        let first = watch.changed().unwrap();
        assert!(!watch.changed().unwrap(), "only once");
        first
    };
    assert!(changed() && !changed());
    for round in 0..3 {
        Registry::of(&heap.shared(), NAMESPACE).register(&info("a", round)).unwrap();
        assert!(changed());
        Registry::of(&heap.shared(), NAMESPACE).register(&info("a", round + 10)).unwrap();
        assert!(changed(), "a new writer");
        Registry::of(&heap.shared(), NAMESPACE).deregister(&[("a", round + 10)]).unwrap();
        Registry::of(&heap.shared(), NAMESPACE).register(&info("a", round)).unwrap();
        assert!(changed(), "another table with another count");
        Registry::of(&heap.shared(), NAMESPACE).deregister(&[("a", round)]).unwrap();
        assert!(changed());
    }
}

#[test]
fn as_many_as_promised_fit_and_one_more_is_an_error() {
    let memory = Words::zeroed(registry::BYTES / WORD_BYTES);
    let table = Table::new(&memory);
    assert!(table.prepare(NAMESPACE, "object").unwrap());
    // The names are not searched here: that would take quadratic time.
    for index in 0..registry::MAX {
        memory.store(registry::MARKS + index, 1);
    }
    memory.store(registry::HIGH, registry::MAX as u64);
    assert!(table.enter(&info("one more", 1), |_, _| Ok(())).is_err());
    memory.store(registry::MARKS + registry::MAX - 1, 0);
    table.enter(&info("the last", 1), |_, _| Ok(())).unwrap();
    assert_eq!(table.list(), [info("the last", 1)]);
}

#[test]
fn a_table_without_entries_or_half_made_is_removed_and_others_are_not() {
    let heap = Heap::new();
    let object = ObjectNames::registry(NAMESPACE);
    heap.create(&object, registry::BYTES, 0o600).unwrap();
    Registry::of(&heap.shared(), NAMESPACE).deregister(&[]).unwrap();
    assert!(heap.names().is_empty(), "half-made");
    Registry::of(&heap.shared(), NAMESPACE).register(&info("a", 1)).unwrap();
    Registry::of(&heap.shared(), NAMESPACE).deregister(&[]).unwrap();
    assert_eq!(listed(&heap), [info("a", 1)]);
    let memory = heap.reopen(&object).unwrap();
    memory.store(registry::MARKS, 0);
    Registry::of(&heap.shared(), NAMESPACE).deregister(&[]).unwrap();
    assert!(heap.names().is_empty(), "killed after the last entry was struck");
    Registry::of(&heap.shared(), NAMESPACE).deregister(&[]).unwrap();
    Registry::of(&heap.shared(), NAMESPACE).register(&info("a", 1)).unwrap();
    heap.reopen(&object).unwrap().store(registry::ENDED, 1);
    assert!(listed(&heap).is_empty());
    Registry::of(&heap.shared(), NAMESPACE).register(&info("b", 2)).unwrap();
    assert_eq!(listed(&heap), [info("b", 2)], "killed between ending and removing");
}

#[test]
fn another_namespaces_table_is_refused() {
    let heap = Heap::new();
    Registry::of(&heap.shared(), NAMESPACE).register(&info("a", 1)).unwrap();
    let memory = heap.reopen(&ObjectNames::registry(NAMESPACE)).unwrap();
    memory.store(registry::NAMESPACE.bytes_at(), u64::from_le_bytes(*b"wrong\0\0\0"));
    let error = Registry::of(&heap.shared(), NAMESPACE).list().unwrap_err().to_string();
    assert!(error.contains("wrong"), "{error}");
    assert!(Registry::of(&heap.shared(), NAMESPACE).register(&info("b", 1)).is_err());
}

fn open(heap: &Heap) -> Result<Session, CreateError> {
    let name = ChannelName::new(NAMESPACE, "a").unwrap();
    Session::open(&heap.shared(), &name, &WriterOptions::new(Format::new("bytes", "test")))
}

#[test]
fn a_session_enters_its_channel_and_removes_the_entry_with_it() {
    let heap = Heap::new();
    for (lingering, closed) in [(false, false), (false, true), (true, true)] {
        let mut session = open(&heap).unwrap();
        let [entry] = &listed(&heap)[..] else { panic!("one entry") };
        assert_eq!((entry.name.as_str(), entry.instance), ("a", session.channel.instance()));
        session.channel.publish(b"state").unwrap();
        match (lingering, closed) {
            (true, _) => session.close_lingering().unwrap(),
            (false, true) => session.close().unwrap(),
            (false, false) => {}
        }
        drop(session);
        assert_eq!(listed(&heap).len(), usize::from(lingering));
        assert_eq!(heap.names().is_empty(), !lingering, "{:?}", heap.names());
    }
    open(&heap).unwrap().abandon().unwrap();
    assert_eq!(listed(&heap).len(), 1, "the former writer's state stays, and its entry");
}

#[test]
fn a_session_that_can_not_register_leaves_a_former_writers_state_and_no_empty_channel() {
    let heap = Heap::new();
    let table = ObjectNames::registry(NAMESPACE);
    let corrupt_table = || {
        heap.remove_leftover(&table).unwrap();
        heap.create(&table, PAGE_BYTES, 0o600).unwrap()
    };
    corrupt_table();
    assert!(matches!(open(&heap).map(drop), Err(CreateError::Object { .. })));
    assert_eq!(heap.names(), std::slice::from_ref(&table));
    heap.remove_leftover(&table).unwrap();
    let mut former = open(&heap).unwrap();
    former.channel.publish(b"state").unwrap();
    former.close_lingering().unwrap();
    drop(former);
    corrupt_table();
    assert!(matches!(open(&heap).map(drop), Err(CreateError::Object { .. })));
    let name = ChannelName::new(NAMESPACE, "a").unwrap();
    let mut payload = Vec::new();
    let mut reader = crate::channel::attach(&heap.shared(), &name, &ReaderOptions::default()).unwrap();
    assert_eq!(reader.snapshot(&mut &mut payload).unwrap().publication(), 1);
    assert_eq!(payload, b"state");
}

/// Memory whose writer is killed after some stores.
struct Dying {
    words: Words,
    stores_left: Cell<u32>,
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

#[test]
fn a_kill_after_any_store_leaves_the_old_table_or_the_new_one_and_is_counted() {
    type Change = fn(&Table<'_, Dying>) -> Result<(), ObjectError>;
    let changes: [Change; 3] = [
        |table| table.enter(&info("new", 5), |_, _| Ok(())),
        |table| table.enter(&info("b", 6), |_, _| Ok(())),
        |table| {
            table.strike(&[("b", 2)]);
            Ok(())
        },
    ];
    for change in changes {
        let (mut old_seen, mut new_seen) = (0, 0);
        for stores in 0.. {
            let words = Words::zeroed(registry::BYTES / WORD_BYTES);
            let plain = Table::new(&words);
            plain.prepare(NAMESPACE, "object").unwrap();
            for (name, instance) in [("a", 1), ("b", 2)] {
                plain.change(|table| table.enter(&info(name, instance), |_, _| Ok(()))).unwrap();
            }
            let (old, version) = (plain.list(), plain.version());
            let dying = Dying { words: words.clone(), stores_left: Cell::new(stores) };
            Table::new(&dying).change(change).unwrap();
            let done = dying.stores_left.get() > 0;
            let found = plain.list();
            let unchanged = found == old;
            old_seen += u32::from(unchanged);
            new_seen += u32::from(!unchanged);
            assert!(unchanged || found.len() != old.len() || found.contains(&info("b", 6)), "{found:?}");
            // The next change succeeds, and a process that saw the old version sees another one.
            plain.change(|table| table.enter(&info("next", 9), |_, _| Ok(()))).unwrap();
            assert_eq!(plain.list().len(), found.len() + 1);
            assert_ne!(plain.version(), version);
            if done {
                break;
            }
        }
        assert!(old_seen > 0 && new_seen > 0);
    }
}
