//! The chunks of a table: where they lie, when one is added, and what happens if one is removed.

use super::*;
use crate::layout::registry::{DIRTY, HIGH, entry};
use crate::object::{SharedMemory, hooked};

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
