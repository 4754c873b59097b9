//! A process that is killed during a change leaves the old table or the new one.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::layout::registry::DIRTY;
use crate::object::{SharedMemory, hooked_backend};

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
