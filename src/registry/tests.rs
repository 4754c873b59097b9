//! The table, on the heap.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use proptest::prelude::*;

use super::*;
use crate::channel::{ChannelName, CreateError, Format, PublishError, ReaderOptions, WriterOptions};
use crate::layout::PAGE_BYTES;
use crate::layout::registry::{CHANGES, COUNT, DIRTY, FREE, HIGH, LAST, entry};
use crate::liveness::ProcessIdentity;
use crate::memory::{MemoryMut, Words};
use crate::object::{Heap, Sealed, SharedMemory, hooked, hooked_backend};
use crate::seqlock::models::{Handle, LoomMemory, Operation};

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
    let backend = heap.shared();
    let registry = Registry::of(&backend, NAMESPACE);
    register(&heap, &info("first", 0)).unwrap();
    let mut held = registry.claim(false).unwrap();
    for number in 1..registry::MAX as u64 {
        let new = info(&format!("worker-{number}"), number);
        held.change(|table, objects| table.enter(&new, objects)).unwrap();
    }
    drop(held);
    let full = register(&heap, &info("one more", 1)).unwrap_err();
    assert!(matches!(full, ObjectError::Full { channels: registry::MAX, .. }), "{full}");
    registry.deregister(&[("worker-40000", 40_000)]).unwrap();
    register(&heap, &info("the last", 1)).unwrap();
    register(&heap, &info("worker-1", 7)).expect("a successor needs no room");
    assert!(register(&heap, &info("one more", 1)).is_err());
    let listed = listed(&heap);
    assert_eq!(
        (listed.len(), &listed[0], &listed[1]),
        (registry::MAX, &info("first", 0), &info("worker-1", 7))
    );
    assert_eq!(listed[40_000], info("the last", 1));
    // The promise of docs/layout.md about 60,000 channels, which need all chunks.
    let bytes: u64 = heap.names().iter().map(|object| heap.size(object).unwrap().bytes).sum();
    assert!(bytes < 60_000 * 768, "{bytes}");
}

#[test]
fn no_two_parts_of_a_table_overlap_and_all_lie_in_their_objects() {
    let mut next = 0;
    for chunk in (0..=Chunk::MAX.0).map(Chunk) {
        assert_eq!((chunk.start(), Chunk::of_entry(chunk.start())), (next, chunk));
        next = chunk.end();
        assert_eq!(Chunk::of_entry(next - 1), chunk);
        assert!(chunk.mark(chunk.start()) > registry::NUMBER && chunk.mark(next) == chunk.index());
        assert_eq!(chunk.index() + chunk.index_words(), chunk.entry(chunk.start()));
        let end = if chunk.0 == 0 { waiters::START } else { chunk.bytes() / WORD_BYTES };
        assert!(chunk.entry(next) <= end, "{chunk:?}");
    }
    assert_eq!(next, registry::MAX);
    // The ring's words of both slots, and of nothing else, are in the entry; they share the name.
    let of_slot = |slot: usize| {
        let start = entry::RING_WORDS - (entry::DEPTH - slot) * entry::STRIDE;
        (start..start + entry::OWN + entry::NAME).map(entry::word).collect::<Vec<_>>()
    };
    let [first, second] = [0, 1].map(of_slot);
    assert_eq!(first[entry::OWN..], second[entry::OWN..]);
    let mut all = [&[entry::PUBLISHED], &first[..], &second[..entry::OWN]].concat();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..entry::WORDS));
}

#[test]
fn a_registry_grows_by_chunks_of_fixed_size() {
    let backend: Arc<dyn Backend> = Arc::new(SharedMemory::default());
    let namespace = format!("growing-{}", std::process::id());
    let registry = Registry::of(&backend, &namespace);
    let names: Vec<String> = (0..700).map(|number| format!("worker-{number}")).collect();
    let mut watch = ChannelWatch::new(Arc::clone(&backend), &namespace);
    for (number, name) in (1..).zip(&names) {
        registry.register(&info(name, number), Access::OWNER).unwrap();
        assert!(watch.changed().unwrap());
        let chunks = Chunk::of_entry(usize::try_from(number).unwrap() - 1).0 + 1;
        if backend.is_named(&registry.name(Chunk(chunks)), ObjectId { device: 0, inode: 0 }).unwrap() {
            panic!("a chunk more than is needed");
        }
    }
    let objects = backend.list(&ObjectNames::prefix(&namespace)).unwrap();
    assert_eq!(objects.len(), Chunk::of_entry(699).0 + 1);
    for chunk in (0..objects.len()).map(Chunk) {
        let size = backend.size(&registry.name(chunk)).unwrap();
        assert_eq!((size.bytes, size.resident), (chunk.bytes() as u64, size.bytes), "nothing is sparse");
    }
    assert!(registry.list().unwrap().iter().map(|info| &info.name).eq(&names));
    // Another process has spoiled the mark: no list is endless.
    let memory = backend.reopen(&registry.object).unwrap();
    memory.store(HIGH, u64::MAX);
    assert_eq!(registry.list().unwrap().len(), names.len());
    let gone: Vec<_> = (1..).zip(&names).map(|(number, name)| (name.as_str(), number)).collect();
    registry.deregister(&gone).unwrap();
    assert!(backend.list(&ObjectNames::prefix(&namespace)).unwrap().is_empty());
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

#[test]
fn a_chunk_that_was_removed_loses_only_its_own_entries_and_is_made_again() {
    for chunk in (1..=3).map(Chunk) {
        let heap = Heap::new();
        let backend = heap.shared();
        let registry = Registry::of(&backend, NAMESPACE);
        let mut entries = BTreeMap::new();
        for number in 0..30 {
            let new = info(&format!("worker-{number}"), number);
            entries.insert(number, registry.register(&new, Access::OWNER).unwrap().objects);
        }
        heap.remove_leftover(&registry.name(chunk)).unwrap();
        let lost: Vec<u64> = entries
            .iter()
            .filter(|(_, objects)| registry.has_lost(**objects).unwrap())
            .map(|(number, _)| *number)
            .collect();
        assert_eq!(lost, (chunk.start() as u64..chunk.end().min(30) as u64).collect::<Vec<_>>());
        assert_eq!(listed(&heap).len(), 30 - lost.len(), "the others are listed");
        // Their writers enter them again.
        for number in &lost {
            register(&heap, &info(&format!("worker-{number}"), *number)).unwrap();
        }
        let mut instances: Vec<u64> = listed(&heap).iter().map(|info| info.instance).collect();
        instances.sort_unstable();
        assert!(instances.into_iter().eq(0..30), "{chunk:?}");
        for number in 0..30 {
            registry.deregister(&[(&format!("worker-{number}"), number)]).unwrap();
        }
        assert!(heap.names().is_empty(), "{:?}", heap.names());
    }
}

#[test]
fn a_chunk_of_another_table_is_replaced_and_leftover_ones_are_removed_with_the_table() {
    let heap = Heap::new();
    let (backend, _) = (heap.shared(), enter_many(&heap, 30));
    let registry = Registry::of(&backend, NAMESPACE);
    heap.remove_leftover(&registry.object).unwrap();
    let left = heap.names();
    assert_eq!(left.len(), 3);
    assert!(listed(&heap).is_empty());
    let names = enter_many(&heap, 6);
    assert!(listed(&heap).iter().map(|info| &info.name).eq(&names));
    let gone: Vec<_> = names.iter().zip(0..).map(|(name, number)| (name.as_str(), number)).collect();
    registry.deregister(&gone).unwrap();
    assert!(heap.names().is_empty(), "{:?}", heap.names());
    // Without a new table, a cleanup removes them.
    enter_many(&heap, 30);
    heap.remove_leftover(&registry.object).unwrap();
    let namespace = crate::Namespace::on_heap(&heap, NAMESPACE).unwrap();
    let retention = crate::cleanup::Retention::Nothing;
    let would_remove = namespace.would_clean(retention).unwrap();
    let removed = namespace.clean(retention).unwrap();
    for report in [would_remove, removed] {
        assert!(report.failed.is_empty(), "{report}");
        let [removed] = &report.removed[..] else { panic!("{report}") };
        assert_eq!((removed.reason, &removed.objects), (crate::cleanup::RemovalReason::Orphaned, &left));
    }
    assert!(heap.names().is_empty(), "{:?}", heap.names());
    enter_many(&heap, 30);
    assert!(namespace.would_clean(retention).unwrap().removed.is_empty(), "of a table");
}

#[test]
fn all_see_all_channels_by_looking_at_a_few_each() {
    let heap = Heap::new();
    let backend = heap.shared();
    let names = enter_many(&heap, 300);
    let registry = Registry::of(&backend, NAMESPACE);
    let mut seen = BTreeSet::new();
    let mut looks = 0;
    while seen.len() < 300 {
        let few = registry.register(&info("worker-7", 7), Access::OWNER).unwrap().next_few(10);
        assert!(few.len() <= 4);
        seen.extend(few.into_iter().map(|info| info.name));
        looks += 1;
        assert!(looks < 100, "{} of {}", seen.len(), names.len());
    }
    let mut entered = registry.register(&info("worker-7", 7), Access::OWNER).unwrap();
    assert!(entered.next_few(300).is_empty());
}

#[test]
fn a_table_without_entries_or_half_made_is_removed_and_others_are_not() {
    let heap = Heap::new();
    let object = ObjectNames::registry(NAMESPACE);
    heap.create(&object, BYTES, Access::OWNER).unwrap();
    Registry::of(&heap.shared(), NAMESPACE).deregister(&[]).unwrap();
    assert!(heap.names().is_empty(), "half-made");
    register(&heap, &info("a", 1)).unwrap();
    Registry::of(&heap.shared(), NAMESPACE).deregister(&[]).unwrap();
    assert_eq!(listed(&heap), [info("a", 1)]);
    let memory = heap.reopen(&object).unwrap();
    memory.store(Chunk(0).mark(0), 0);
    Registry::of(&heap.shared(), NAMESPACE).deregister(&[]).unwrap();
    assert!(heap.names().is_empty(), "killed after the last entry was removed");
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
fn an_abandoned_sealed_channel_stays_readable() {
    let name = ChannelName::new(NAMESPACE, "a").unwrap();
    let options = WriterOptions::new(Format::new("codec", "type"));
    let mut session = Session::open_sealed(&name, options).unwrap();
    let sealed = Sealed::open(session.backend.descriptor().unwrap()).unwrap();
    let name = crate::channel::name_of_sealed(&sealed).unwrap();
    let backend: Arc<dyn Backend> = Arc::new(sealed);
    let registry = Registry::of(&backend, &name.namespace);
    session.abandon().unwrap();
    let reader = registry.attach(&name, &ReaderOptions::default()).unwrap();
    assert!(reader.is_closed() && !reader.is_removed());
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
        Err(PublishError::RegistryNotRestored { source, .. }) => {
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
    let is_reported = |touched| matches!(touched, Err(PublishError::NamesRemoved { .. }));
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
    let held = heap.claim(&table, ClaimOptions::create(Size::Exactly(BYTES)), &|_| false).unwrap();
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
    touch_until(&mut first, |touched| matches!(touched, Err(PublishError::NamesRemoved { .. })));
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

#[test]
fn a_new_channel_removes_dead_ones_without_a_listing_of_all_objects() {
    let heap = Heap::new();
    // Linux gives no such process ids.
    for pid in [5_000_000, 5_000_001] {
        register(&heap, &info(&format!("dead-{pid}"), pid)).unwrap();
    }
    let asked = Arc::new(Mutex::new(BTreeSet::new()));
    let noted = Arc::clone(&asked);
    let names = ObjectNames::new(NAMESPACE, "dead-5000000");
    let stem = names.stem().to_owned();
    let backend = hooked(&heap, move |call, object| match call {
        "list" => Err(ObjectError::NotFound { object: object.into() }),
        _ => {
            noted.lock().unwrap().extend(object.strip_prefix(&stem).map(str::to_owned));
            Ok(())
        }
    });
    let name = ChannelName::new(NAMESPACE, "a").unwrap();
    let open = |max_dead| {
        let options = WriterOptions { max_dead, ..WriterOptions::new(Format::new("bytes", "test")) };
        Session::open(&backend, &name, &options).unwrap()
    };
    drop(open(3));
    assert_eq!(listed(&heap).len(), 2, "there are few");
    let session = open(2);
    assert_eq!(listed(&heap), [ChannelInfo::of(&session.channel)]);
    let asked: Vec<_> = asked.lock().unwrap().iter().cloned().collect();
    assert_eq!(asked, ["a2", "b2", "c"], "objects that layout 3 has");
}

#[test]
fn a_repair_needs_no_chunk_behind_the_last_and_names_one_that_it_needs() {
    for chunk in (1..=4).map(Chunk) {
        let heap = Heap::new();
        enter_many(&heap, 10);
        let squatted = Registry::of(&heap.shared(), NAMESPACE).name(chunk);
        let name = squatted.clone();
        let backend = hooked(&heap, move |_, object| match object == name {
            true => Err(ObjectError::OtherOwner { object: object.into(), owner: 65_534 }),
            false => Ok(()),
        });
        let registry = Registry::of(&backend, NAMESPACE);
        heap.reopen(&registry.object).unwrap().store(DIRTY, 1);
        match registry.register(&info("new", 99), Access::OWNER) {
            Err(error) => assert!(chunk.0 <= 2 && error.to_string().contains(&squatted), "{error}"),
            Ok(_) => assert!(chunk.0 > 2 && registry.list().unwrap().len() == 11),
        }
    }
}

/// A backend whose process is killed before one of its calls, and the number of calls before that.
fn killed_after(backend: Arc<dyn Backend>, calls: u32) -> (Arc<dyn Backend>, Arc<AtomicU32>) {
    let left = Arc::new(AtomicU32::new(calls));
    let counted = Arc::clone(&left);
    let backend = hooked_backend(backend, move |_, _| {
        let left = counted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        left.map(drop).map_err(|_| ObjectError::Unusable { problem: "killed".into() })
    });
    (backend, left)
}

#[test]
fn a_kill_between_the_objects_of_a_table_is_made_good_by_the_next_change() {
    // Its last entry is removed, or a lost chunk is made again.
    for is_empty in [true, false] {
        for calls in 0.. {
            let heap = Heap::new();
            let (backend, left) = killed_after(heap.shared(), calls);
            let names = enter_many(&heap, 12);
            let all: Vec<_> = names.iter().zip(0..).map(|(name, number)| (name.as_str(), number)).collect();
            let first = Registry::of(&backend, NAMESPACE);
            if !is_empty {
                heap.remove_leftover(&first.name(Chunk(1))).unwrap();
                heap.reopen(&first.object).unwrap().store(DIRTY, 1);
            }
            let killed = first.deregister(if is_empty { &all } else { &[] });
            let is_done = left.load(Ordering::Relaxed) > 0;
            assert!(killed.is_ok() || !is_done);
            let next = Registry::of(&heap.shared(), NAMESPACE).list().unwrap().len();
            let expected = if is_empty { 0..=if is_done { 0 } else { 12 } } else { 8..=8 };
            assert!(expected.contains(&next), "{next}");
            register(&heap, &info("new", 99)).unwrap();
            assert_eq!(listed(&heap).len(), next + 1, "after {calls} calls");
            Registry::of(&heap.shared(), NAMESPACE).deregister(&all).unwrap();
            assert_eq!(listed(&heap), [info("new", 99)]);
            Registry::of(&heap.shared(), NAMESPACE).deregister(&[("new", 99)]).unwrap();
            assert!(heap.names().is_empty(), "after {calls} calls: {:?}", heap.names());
            if is_done {
                break;
            }
        }
    }
}

#[test]
fn a_kill_while_a_registry_admits_more_users_is_made_good_by_the_next_writer() {
    let backend: Arc<dyn Backend> = Arc::new(SharedMemory::default());
    let namespace = format!("admitting-{}", std::process::id());
    let registry = Registry::of(&backend, &namespace);
    let (access, new) = (Access { mode: 0o604, ..Access::OWNER }, info("new", 99));
    for calls in 0.. {
        for number in 0..10 {
            registry.register(&info(&format!("worker-{number}"), number), Access::OWNER).unwrap();
        }
        let (killed, left) = killed_after(Arc::clone(&backend), calls);
        let is_registered = Registry::of(&killed, &namespace).register(&new, access).is_ok();
        let is_done = left.load(Ordering::Relaxed) > 0;
        assert!(is_registered || !is_done);
        registry.register(&new, access).unwrap();
        let mode = |chunk| backend.status(&registry.name(Chunk(chunk))).unwrap().access().mode;
        assert_eq!([0, 1, 2].map(mode), [0o604; 3], "after {calls} calls");
        for info in registry.list().unwrap() {
            registry.deregister(&[(&info.name, info.instance)]).unwrap();
        }
        if is_done {
            break;
        }
    }
}

/// The chunks of a table that has none.
struct NoChunks;

impl<M> Chunks<M> for NoChunks {
    fn open(&self, _: Chunk, _: u64) -> Result<Option<M>, ObjectError> {
        Ok(None)
    }
}

impl<M> ChunksMut<M> for NoChunks {
    fn create(&self, chunk: Chunk) -> Result<M, ObjectError> {
        unreachable!("{chunk:?}");
    }

    fn remove(&self, _: Chunk) -> Result<bool, ObjectError> {
        Ok(false)
    }
}

/// Whether the mark of an entry that is used again leads to its new channel, in any execution.
fn a_mark_shows_its_channel(writer: Option<Operation>, lister: Option<Operation>) -> bool {
    let model = move || {
        let first = Chunk(0);
        let counts = [CHANGES, HIGH, DIRTY, LAST, COUNT, FREE];
        let words = first.mark(0)..first.entry(1);
        let words: Vec<usize> = counts.into_iter().chain(words).chain([BYTES / WORD_BYTES - 1]).collect();
        let memory = LoomMemory::new(&words);
        let mut table = Table::new(memory.weakened(writer));
        table.enter(&info("old", 1), &NoChunks).unwrap();
        table.remove("old", 1, &NoChunks).unwrap();
        let listing = loom::thread::spawn(move || {
            let table = Table::new(memory.weakened(lister));
            table.is_used(0).then(|| table.published(0).unwrap().peek())
        });
        table.enter(&info("new", 2), &NoChunks).unwrap();
        assert!(listing.join().unwrap().is_none_or(|version| version == 4));
    };
    std::panic::catch_unwind(|| loom::model(model)).is_ok()
}

#[test]
fn a_list_shows_nothing_former_of_an_entry_that_is_used_again() {
    assert!(a_mark_shows_its_channel(None, None));
    assert!(!a_mark_shows_its_channel(Some(Operation::ReleaseStore), None));
    assert!(!a_mark_shows_its_channel(None, Some(Operation::AcquireFence)));
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

type Change = fn(&mut Table<Dying>, &Objects) -> Result<(), Obstacle>;

#[test]
fn a_kill_after_any_store_leaves_the_old_table_or_the_new_one_and_is_counted() {
    // Into the first object, into a new chunk, into an entry that was free, over an entry, out of
    // one, and a repair after a chunk was removed.
    let changes: [(u64, Option<&str>, Change); 6] = [
        (12, None, |table, objects| {
            table.head().store(DIRTY, 1);
            objects.remove(Chunk(1))?;
            table.repair(objects)
        }),
        (3, None, |table, objects| table.enter(&info("new", 90), objects).map(drop)),
        (4, None, |table, objects| table.enter(&info("new", 90), objects).map(drop)),
        (7, Some("worker-5"), |table, objects| table.enter(&info("new", 90), objects).map(drop)),
        (6, None, |table, objects| table.enter(&info("worker-4", 90), objects).map(drop)),
        (6, None, |table, objects| table.remove("worker-4", 4, objects)),
    ];
    for (channels, removed, change) in changes {
        let (mut old_seen, mut new_seen) = (0, 0);
        for stores in 0.. {
            let objects = Objects::new();
            objects.table().prepare(NAMESPACE, "object").unwrap();
            for number in 0..channels {
                let new = info(&format!("worker-{number}"), number);
                objects.change(|table, objects| table.enter(&new, objects)).unwrap();
            }
            if let Some(name) = removed {
                objects.change(|table, objects| table.remove(name, 5, objects)).unwrap();
            }
            let (old, version) = (objects.listed(), objects.table().version());
            objects.stores_left.set(stores);
            let killed = objects.change(change);
            let done = objects.stores_left.replace(u32::MAX) > 0;
            assert!(!done || killed.is_ok());
            let found = objects.listed();
            let unchanged = found == old;
            old_seen += u32::from(unchanged);
            new_seen += u32::from(!unchanged);
            let is_new = found.len() != old.len() || found.iter().any(|info| info.instance == 90);
            assert!(unchanged || is_new, "{found:?}");
            // The next change succeeds, and a process that saw the old version sees another one.
            objects.change(|table, objects| table.enter(&info("next", 99), objects)).unwrap();
            assert_ne!(objects.table().version(), version);
            let all = objects.listed();
            assert!(all.len() == found.len() + 1 || (all.len() == found.len() + 2 && !done), "{all:?}");
            assert_eq!(objects.table().count(), all.len());
            // The index finds each.
            for info in all {
                objects.change(|table, objects| table.remove(&info.name, info.instance, objects)).unwrap();
            }
            assert_eq!((objects.listed(), objects.table().count()), (Vec::new(), 0), "after {stores} stores");
            if done {
                break;
            }
        }
        assert!(old_seen > 0 && new_seen > 0);
    }
}

proptest! {
    #[test]
    fn a_table_holds_what_a_map_holds(changes in proptest::collection::vec((0..60_u64, 0..4_u64), 0..400)) {
        let objects = Objects::new();
        objects.table().prepare(NAMESPACE, "object").unwrap();
        let mut model = BTreeMap::new();
        for (number, kind) in changes {
            let name = format!("worker-{number}");
            if kind == 0 {
                let instance = model.remove(&name).unwrap_or(1_000);
                objects.change(|table, objects| table.remove(&name, instance, objects)).unwrap();
            } else {
                objects.change(|table, objects| table.enter(&info(&name, kind), objects)).unwrap();
                model.insert(name, kind);
            }
            prop_assert_eq!(objects.table().count(), model.len());
        }
        let held = objects.listed().into_iter().map(|info| (info.name, info.instance));
        prop_assert_eq!(held.collect::<BTreeMap<_, _>>(), model.clone());
        objects.change(|table, objects| table.repair(objects)).unwrap();
        prop_assert_eq!((objects.listed().len(), objects.table().count()), (model.len(), model.len()));
    }
}

#[test]
fn an_entry_that_changes_hands_is_the_former_channels_the_new_ones_or_nothing() {
    let (former, new) = (info(&"f".repeat(200), 1), info("n", 2));
    for stores in 0.. {
        let objects = Objects::new();
        objects.table().prepare(NAMESPACE, "object").unwrap();
        objects.change(|table, objects| table.enter(&former, objects)).unwrap();
        objects.change(|table, objects| table.remove(&former.name, 1, objects)).unwrap();
        objects.stores_left.set(stores);
        let _ = objects.change(|table, objects| table.enter(&new, objects));
        let done = objects.stores_left.replace(u32::MAX) > 0;
        // As a reader finds it that has seen the former channel's mark.
        let found = objects.table().entry(0, 1);
        assert!(found.as_ref().is_none_or(|found| [&former, &new].contains(&found)), "{stores}: {found:?}");
        if done {
            assert_eq!(found, Some(new));
            break;
        }
    }
}

#[test]
fn a_place_that_changes_hands_shows_no_channel_under_anothers_name() {
    let heap = Heap::new();
    // Names of different lengths, and an instance that says which.
    let of_round = |round: u64| info(&"x".repeat(usize::try_from(round % 250).unwrap() + 1), round);
    register(&heap, &info("stays", 0)).unwrap();
    let is_done = AtomicBool::new(false);
    let seen = thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut seen = 0;
            while !is_done.load(Ordering::Relaxed) {
                for found in listed(&heap).into_iter().filter(|found| found.name != "stays") {
                    assert_eq!(found, of_round(found.instance));
                    seen += 1;
                }
            }
            seen
        });
        for round in 1..3_000 {
            register(&heap, &of_round(round)).unwrap();
            let backend = heap.shared();
            Registry::of(&backend, NAMESPACE).deregister(&[(&of_round(round).name, round)]).unwrap();
        }
        is_done.store(true, Ordering::Relaxed);
        reading.join().unwrap()
    });
    println!("{seen} entries seen");
}

/// Words that decide something, and what another process stores there.
fn damage() -> impl Strategy<Value = Vec<(usize, usize, u64)>> {
    let first = Chunk(0);
    let word = prop_oneof![
        (Just(0), 0..first.entry(2)),
        (Just(0), registry::HOT..registry::CURSOR + 1),
        (Just(0), waiters::START..waiters::START + 2),
        (1..3_usize, 0..Chunk(1).entry(Chunk(1).start() + 1)),
    ];
    let value = prop_oneof![any::<u64>(), 0..20_u64, Just(registry::MAX as u64), Just(u64::MAX)];
    proptest::collection::vec((word, value).prop_map(|((chunk, word), value)| (chunk, word, value)), 0..6)
}

proptest! {
    #[test]
    fn a_damaged_table_is_refused_or_works(
        damage in damage(),
        pages in proptest::option::of((0..3_usize, 0..=6_u64)),
    ) {
        const WRITERS: u64 = 10;
        let backend: Arc<dyn Backend> = Arc::new(SharedMemory::default());
        let namespace = format!("damaged-{}", std::process::id());
        let registry = Registry::of(&backend, &namespace);
        let remove = || {
            for object in backend.list(&ObjectNames::prefix(&namespace)).unwrap() {
                backend.remove_leftover(&object).unwrap();
            }
        };
        remove();
        for number in 0..WRITERS {
            registry.register(&info(&format!("worker-{number}"), number), Access::OWNER).unwrap();
        }
        for (chunk, word, value) in damage {
            backend.reopen(&registry.name(Chunk(chunk))).unwrap().store(word, value);
        }
        if let Some((chunk, pages)) = pages {
            let path = format!("/dev/shm/{}", registry.name(Chunk(chunk)));
            let bytes = (pages * 4096).min(Chunk(chunk).bytes() as u64);
            std::fs::File::options().write(true).open(path).unwrap().set_len(bytes).unwrap();
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
        remove();
    }
}

/// Many processes that register at once are in each other's way.
#[test]
fn a_table_that_others_change_is_waited_for_beyond_the_patience() {
    let (heap, tries) = (Heap::new(), Arc::new(AtomicU32::new(0)));
    let (others, held_until) = (heap.clone(), Arc::clone(&tries));
    let patience = Duration::from_millis(4);
    let backend = hooked(&heap, move |call, object| {
        if call != "claim" || held_until.fetch_add(1, Ordering::Relaxed) >= 20 {
            return Ok(());
        }
        register(&others, &info("other", 1)).unwrap();
        thread::sleep(patience);
        Err(ObjectError::Claimed { object: object.into() })
    });
    let registry = Registry { patience, ..Registry::of(&backend, NAMESPACE) };
    registry.register(&info("a", 2), Access::OWNER).unwrap();
    assert!(tries.load(Ordering::Relaxed) > 20);

    let backend = hooked(&heap, |call, object| match call {
        "claim" => Err(ObjectError::Claimed { object: object.into() }),
        _ => Ok(()),
    });
    for patience in [patience, Duration::ZERO] {
        let registry = Registry { patience, ..Registry::of(&backend, NAMESPACE) };
        let error = registry.register(&info("a", 3), Access::OWNER).map(drop).unwrap_err();
        assert!(matches!(error, ObjectError::Claimed { .. }), "{error}");
    }
}
