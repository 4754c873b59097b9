//! The table, on the heap.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use proptest::prelude::*;

use super::table::Table;
use super::*;
use crate::channel::{ChannelName, CreateError, Format, PublishError, ReaderOptions, WriterOptions};
use crate::layout::PAGE_BYTES;
use crate::liveness::ProcessIdentity;
use crate::memory::{Memory, MemoryMut, Words};
use crate::object::{Heap, SharedMemory, hooked};

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

#[test]
fn what_is_entered_is_listed_until_it_is_removed() {
    let heap = Heap::new();
    assert!(listed(&heap).is_empty());
    let long = "ü".repeat(128);
    register(&heap, &info("a", 1)).unwrap();
    register(&heap, &info(&long, 2)).unwrap();
    assert_eq!(listed(&heap), [info("a", 1), info(&long, 2)]);
    register(&heap, &info("a", 3)).unwrap();
    assert_eq!(listed(&heap), [info("a", 3), info(&long, 2)], "a successor replaces the entry");
    Registry::of(&heap.shared(), NAMESPACE).deregister(&[("a", 1)]).unwrap();
    assert_eq!(listed(&heap).len(), 2, "of another instance");
    Registry::of(&heap.shared(), NAMESPACE).deregister(&[("a", 3)]).unwrap();
    assert_eq!(listed(&heap), [info(&long, 2)]);
    register(&heap, &info("b", 4)).unwrap();
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
        register(&heap, &info("a", round)).unwrap();
        assert!(changed());
        register(&heap, &info("a", round + 10)).unwrap();
        assert!(changed(), "a new writer");
        Registry::of(&heap.shared(), NAMESPACE).deregister(&[("a", round + 10)]).unwrap();
        register(&heap, &info("a", round)).unwrap();
        assert!(changed(), "another table with another count");
        Registry::of(&heap.shared(), NAMESPACE).deregister(&[("a", round)]).unwrap();
        assert!(changed());
    }
}

#[test]
fn as_many_as_promised_fit_and_one_more_is_an_error() {
    let heap = Heap::new();
    register(&heap, &info("first", 1)).unwrap();
    let memory = heap.reopen(&ObjectNames::registry(NAMESPACE)).unwrap();
    // The names are not searched here: that would take quadratic time.
    for index in 0..registry::MAX {
        memory.store(registry::mark(index), 1);
    }
    memory.store(registry::HIGH, registry::MAX as u64);
    let full = register(&heap, &info("one more", 1)).unwrap_err();
    assert!(matches!(full, ObjectError::Full { channels: registry::MAX, .. }), "{full}");
    memory.store(registry::mark(registry::MAX - 1), 0);
    register(&heap, &info("the last", 1)).unwrap();
    assert_eq!(listed(&heap), [info("first", 1), info("the last", 1)]);
}

#[test]
fn entries_lie_apart_and_a_table_has_room_for_as_many_as_its_size_says() {
    let mut end = registry::BLOCKS;
    for index in 0..3 * registry::BLOCK {
        if index.is_multiple_of(registry::BLOCK) {
            assert_eq!(registry::mark(index), end, "a block begins with its marks");
            end += registry::BLOCK;
        }
        assert_eq!(
            (registry::mark(index) % registry::BLOCK, registry::entry(index)),
            (index % registry::BLOCK, end)
        );
        end += registry::entry::WORDS;
        let words = registry::bytes(index + 1) / WORD_BYTES;
        assert!(registry::room(words) > index && registry::room(end - 1) == index && words >= end);
    }
    assert_eq!(registry::room(usize::MAX), registry::MAX);
    assert_eq!(registry::room(0), 0);
}

#[test]
fn a_registry_grows_and_a_view_from_before_is_mapped_again() {
    let backend: Arc<dyn Backend> = Arc::new(SharedMemory::default());
    let namespace = format!("growing-{}", std::process::id());
    let object = ObjectNames::registry(&namespace);
    let registry = Registry::of(&backend, &namespace);
    let names: Vec<String> = (0..700).map(|number| format!("worker-{number}")).collect();
    let mut watch = ChannelWatch::new(Arc::clone(&backend), &namespace);
    let mut sizes = Vec::new();
    let mut early = None;
    for (number, name) in (1..).zip(&names) {
        registry.register(&info(name, number), Access::OWNER).unwrap();
        let view = early.get_or_insert_with(|| registry.view().unwrap().unwrap());
        let is_early = number <= registry::room(view.len()) as u64;
        assert_eq!(Table::new(view).list(false).is_some(), is_early, "{number}");
        assert!(watch.changed().unwrap());
        let size = backend.size(&object).unwrap();
        assert_eq!(size.bytes, size.resident, "nothing is sparse");
        sizes.push(size.bytes);
    }
    sizes.dedup();
    assert_eq!(sizes[0], registry::MIN_BYTES as u64);
    assert!((5..20).contains(&sizes.len()) && sizes[sizes.len() - 1] < 1_200 * 1_024, "{sizes:?}");
    let listed = registry.list().unwrap();
    assert!(listed.iter().map(|info| &info.name).eq(&names));
    // Another process has spoiled the mark: no list is endless.
    let memory = backend.reopen(&object).unwrap();
    memory.store(registry::HIGH, u64::MAX);
    assert_eq!(registry.list().unwrap().len(), names.len());
    let gone: Vec<_> = (1..).zip(&names).map(|(number, name)| (name.as_str(), number)).collect();
    registry.deregister(&gone).unwrap();
    assert!(backend.list(&object).unwrap().is_empty());
}

#[test]
fn a_table_without_entries_or_half_made_is_removed_and_others_are_not() {
    let heap = Heap::new();
    let object = ObjectNames::registry(NAMESPACE);
    heap.create(&object, registry::MIN_BYTES, Access::OWNER).unwrap();
    Registry::of(&heap.shared(), NAMESPACE).deregister(&[]).unwrap();
    assert!(heap.names().is_empty(), "half-made");
    register(&heap, &info("a", 1)).unwrap();
    Registry::of(&heap.shared(), NAMESPACE).deregister(&[]).unwrap();
    assert_eq!(listed(&heap), [info("a", 1)]);
    let memory = heap.reopen(&object).unwrap();
    memory.store(registry::mark(0), 0);
    Registry::of(&heap.shared(), NAMESPACE).deregister(&[]).unwrap();
    assert!(heap.names().is_empty(), "killed after the last entry was struck");
    Registry::of(&heap.shared(), NAMESPACE).deregister(&[]).unwrap();
    register(&heap, &info("a", 1)).unwrap();
    heap.reopen(&object).unwrap().store(registry::ENDED, 1);
    assert!(listed(&heap).is_empty());
    register(&heap, &info("b", 2)).unwrap();
    assert_eq!(listed(&heap), [info("b", 2)], "killed between ending and removing");
}

#[test]
fn another_namespaces_table_is_refused() {
    let heap = Heap::new();
    register(&heap, &info("a", 1)).unwrap();
    let memory = heap.reopen(&ObjectNames::registry(NAMESPACE)).unwrap();
    memory.store(registry::NAMESPACE.bytes_at(), u64::from_le_bytes(*b"wrong\0\0\0"));
    let error = Registry::of(&heap.shared(), NAMESPACE).list().unwrap_err().to_string();
    assert!(error.contains("\"wrong\"") && error.contains("\"tests\""), "{error}");
    assert!(error.contains("choose another name") && !error.contains("remove it"), "{error}");
    assert!(register(&heap, &info("b", 1)).is_err());
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
        heap.create(&table, PAGE_BYTES, Access::OWNER).unwrap()
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

/// Touches until the writer's look at its names has had a consequence.
fn touch_until(session: &mut Session, mut is_seen: impl FnMut(Result<(), PublishError>) -> bool) {
    let begin = Instant::now();
    while !is_seen(session.touch()) {
        assert!(begin.elapsed() < Duration::from_secs(60), "the writer's look has no such consequence");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A heap whose names can't be looked up while the flag is set, and the number of such looks.
fn blind_heap(heap: &Heap) -> (Arc<dyn Backend>, Arc<AtomicBool>, Arc<AtomicU32>) {
    let (is_blind, looks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let (blind, counted) = (Arc::clone(&is_blind), Arc::clone(&looks));
    let backend = hooked(heap, move |call, object| match call {
        "is_named" if blind.load(Ordering::Relaxed) => {
            counted.fetch_add(1, Ordering::Relaxed);
            let source = std::io::Error::from_raw_os_error(libc::EACCES);
            Err(ObjectError::Os { object: object.into(), operation: "stat", source })
        }
        _ => Ok(()),
    });
    (backend, is_blind, looks)
}

fn open_with(backend: &Arc<dyn Backend>) -> Session {
    let name = ChannelName::new(NAMESPACE, "a").unwrap();
    Session::open(backend, &name, &WriterOptions::new(Format::new("bytes", "test"))).unwrap()
}

#[test]
fn a_registry_that_can_not_be_made_again_is_reported_until_it_can() {
    let heap = Heap::new();
    let (backend, is_blind, looks) = blind_heap(&heap);
    let mut session = open_with(&backend);
    let is_reported = |touched| match touched {
        Err(PublishError::RegistryNotRestored { source }) => {
            matches!(*source, ObjectError::Foreign { .. })
        }
        touched => touched.map_or_else(|error| panic!("{error}"), |()| false),
    };
    let table = ObjectNames::registry(NAMESPACE);
    heap.remove_leftover(&table).unwrap();
    heap.create(&table, PAGE_BYTES, Access::OWNER).unwrap();
    touch_until(&mut session, is_reported);
    // Between two checks, and after one that can't look.
    is_blind.store(true, Ordering::Relaxed);
    touch_until(&mut session, |touched| {
        assert!(is_reported(touched), "each call tells it");
        // Of the page, and of the registry.
        looks.load(Ordering::Relaxed) > 1
    });
    is_blind.store(false, Ordering::Relaxed);
    heap.remove_leftover(&table).unwrap();
    touch_until(&mut session, |touched| !is_reported(touched));
    assert_eq!(listed(&heap)[0].instance, session.channel.instance());
    session.touch().unwrap();
    // Closing does not care for a registry that has no entry of the channel.
    heap.remove_leftover(&table).unwrap();
    heap.create(&table, PAGE_BYTES, Access::OWNER).unwrap();
    session.close().unwrap();
    assert_eq!(heap.names(), [table]);
}

#[test]
fn a_lost_name_stays_lost_while_it_can_not_be_looked_up() {
    let heap = Heap::new();
    let (backend, is_blind, looks) = blind_heap(&heap);
    let mut session = open_with(&backend);
    let names = heap.names();
    names.iter().for_each(|object| assert!(heap.remove_leftover(object).unwrap()));
    let is_reported = |touched| matches!(touched, Err(PublishError::NamesRemoved));
    touch_until(&mut session, is_reported);
    is_blind.store(true, Ordering::Relaxed);
    touch_until(&mut session, |touched| {
        assert!(is_reported(touched), "each call tells it");
        looks.load(Ordering::Relaxed) > 0
    });
}

#[test]
fn a_touch_waits_for_no_process_that_holds_the_registry() {
    let (heap, claims) = (Heap::new(), Arc::new(AtomicU32::new(0)));
    let counted = Arc::clone(&claims);
    let backend = hooked(&heap, move |call, _| {
        counted.fetch_add(u32::from(call == "claim"), Ordering::Relaxed);
        Ok(())
    });
    let mut session = open_with(&backend);
    let table = ObjectNames::registry(NAMESPACE);
    heap.remove_leftover(&table).unwrap();
    let held = heap.claim(&table, ClaimOptions::create(SIZE), &|_| false).unwrap();
    let before = claims.load(Ordering::Relaxed);
    touch_until(&mut session, |touched| {
        let is_reported = matches!(touched, Err(PublishError::RegistryNotRestored { .. }));
        assert!(is_reported || touched.is_ok(), "{touched:?}");
        is_reported
    });
    assert_eq!(claims.load(Ordering::Relaxed), before + 1, "the first check tries once");
    held.remove().unwrap();
    drop(held);
    touch_until(&mut session, |touched| touched.is_ok());
    assert_eq!(listed(&heap)[0].instance, session.channel.instance());
}

#[test]
fn a_registry_that_lost_its_name_has_a_successor_whose_waiters_are_woken() {
    let heap = Heap::new();
    let mut session = open(&heap).unwrap();
    let name = ChannelName::new(NAMESPACE, "a").unwrap();
    let reader = crate::channel::attach(&heap.shared(), &name, &ReaderOptions::default()).unwrap();
    let page_of_waiters = || Registry::of(&heap.shared(), NAMESPACE).waiters_page().unwrap();
    let former = page_of_waiters().unwrap().instance;
    assert_eq!(reader.page().waiters_instance(), former);
    heap.remove_leftover(&ObjectNames::registry(NAMESPACE)).unwrap();
    touch_until(&mut session, |touched| {
        touched.unwrap();
        page_of_waiters().is_some()
    });
    assert_eq!(listed(&heap)[0].instance, session.channel.instance());
    let successor = page_of_waiters().unwrap().instance;
    assert!(successor != former && reader.page().waiters_instance() == successor);
    drop(session);
    assert!(heap.names().is_empty());
}

#[test]
fn a_writer_whose_name_a_successor_has_leaves_the_successors_entry() {
    let heap = Heap::new();
    let mut first = open(&heap).unwrap();
    for object in heap.names() {
        heap.remove_leftover(&object).unwrap();
    }
    let second = open(&heap).unwrap();
    touch_until(&mut first, |touched| matches!(touched, Err(PublishError::NamesRemoved)));
    assert!(matches!(first.reopen(), Err(CreateError::AlreadyOwned { .. })));
    drop(first);
    assert_eq!(listed(&heap)[0].instance, second.channel.instance());
}

#[test]
fn a_name_that_can_not_be_looked_up_is_not_lost() {
    let heap = Heap::new();
    let (backend, is_blind, looks) = blind_heap(&heap);
    is_blind.store(true, Ordering::Relaxed);
    let mut session = open_with(&backend);
    let objects = heap.names();
    touch_until(&mut session, |touched| {
        touched.unwrap();
        looks.load(Ordering::Relaxed) > 0
    });
    assert!(matches!(session.reopen(), Err(CreateError::Object { .. })));
    assert_eq!(heap.names(), objects, "nothing is given up");
    drop(session);
    assert!(heap.names().is_empty());
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

fn enter(table: &Table<'_, impl MemoryMut>, channel: &str, instance: u64) {
    table.enter(table.place(channel), &info(channel, instance));
}

#[test]
fn a_kill_after_any_store_leaves_the_old_table_or_the_new_one_and_is_counted() {
    type Change = fn(&Table<'_, Dying>);
    let changes: [Change; 3] =
        [|table| enter(table, "new", 5), |table| enter(table, "b", 6), |table| table.strike(&[("b", 2)])];
    for change in changes {
        let (mut old_seen, mut new_seen) = (0, 0);
        for stores in 0.. {
            let words = Words::zeroed(registry::bytes(8) / WORD_BYTES);
            let plain = Table::new(&words);
            plain.prepare(NAMESPACE, "object").unwrap();
            for (name, instance) in [("a", 1), ("b", 2)] {
                plain.change(|table| enter(table, name, instance));
            }
            let (old, version) = (plain.list(false).unwrap(), plain.version());
            let dying = Dying { words: words.clone(), stores_left: Cell::new(stores) };
            Table::new(&dying).change(change);
            let done = dying.stores_left.get() > 0;
            let found = plain.list(false).unwrap();
            let unchanged = found == old;
            old_seen += u32::from(unchanged);
            new_seen += u32::from(!unchanged);
            assert!(unchanged || found.len() != old.len() || found.contains(&info("b", 6)), "{found:?}");
            // The next change succeeds, and a process that saw the old version sees another one.
            plain.change(|table| enter(table, "next", 9));
            assert_eq!(plain.list(false).unwrap().len(), found.len() + 1);
            assert_ne!(plain.version(), version);
            if done {
                break;
            }
        }
        assert!(old_seen > 0 && new_seen > 0);
    }
}

/// Words that decide something, and what another process stores there.
fn damage() -> impl Strategy<Value = Vec<(usize, u64)>> {
    let word = prop_oneof![
        0..registry::NAMESPACE.word + 4,
        registry::HOT..registry::ENDED + 1,
        waiters::START..waiters::START + 2,
        registry::mark(0)..registry::mark(12),
        registry::entry(0)..registry::entry(2),
    ];
    let value = prop_oneof![any::<u64>(), 0..20_u64, Just(registry::MAX as u64), Just(u64::MAX)];
    proptest::collection::vec((word, value), 0..6)
}

proptest! {
    #[test]
    fn a_damaged_table_is_refused_or_works(damage in damage(), pages in proptest::option::of(0..=12_u64)) {
        const WRITERS: u64 = 10;
        let backend: Arc<dyn Backend> = Arc::new(SharedMemory::default());
        let namespace = format!("damaged-{}", std::process::id());
        let registry = Registry::of(&backend, &namespace);
        backend.remove_leftover(&registry.object).unwrap();
        for number in 0..WRITERS {
            registry.register(&info(&format!("worker-{number}"), number), Access::OWNER).unwrap();
        }
        let memory = backend.reopen(&registry.object).unwrap();
        damage.iter().for_each(|(word, value)| memory.store(*word, *value));
        if let Some(pages) = pages {
            let object = std::fs::File::options().write(true).open(format!("/dev/shm/{}", registry.object));
            object.unwrap().set_len(pages.min((memory.len() * WORD_BYTES / PAGE_BYTES) as u64) * 4096).unwrap();
        }
        let listed = registry.list();
        prop_assert!(listed.as_ref().map_or(0, Vec::len) as u64 <= WRITERS, "{listed:?}");
        let _ = (registry.waiters_page(), ChannelWatch::new(Arc::clone(&backend), &namespace).changed());
        let new = info("one more", 99);
        if registry.register(&new, Access::OWNER).is_ok() {
            prop_assert!(registry.list().unwrap().contains(&new));
            registry.deregister(&[("one more", 99)]).unwrap();
            prop_assert!(!registry.list().unwrap().contains(&new));
        }
        backend.remove_leftover(&registry.object).unwrap();
    }
}
