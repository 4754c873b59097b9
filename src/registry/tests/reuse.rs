//! An entry that is used again shows its former channel, its new one, or nothing.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::layout::registry::{CHANGES, COUNT, DIRTY, FREE, HIGH, LAST};
use crate::seqlock::models::{Handle, LoomMemory, Operation};

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
