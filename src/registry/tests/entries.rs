//! Entries of a table: what is entered is listed, and when a table is full or ends.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use super::*;
use crate::object::hooked;

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
