//! Whatever the memory of a channel holds, an inspection ends with numbers or a typed error.

use super::*;
use crate::layout::{Kind, PAGE_BYTES, Side, WORD_BYTES, control, segment};
use crate::memory::Words;
use crate::memory::{Memory, MemoryMut};
use crate::object::{Backend, ObjectError};

/// A channel whose writer has closed it and lingers.
fn left() -> (Heap, ChannelName) {
    let (heap, name, writer) = channel();
    drop(writer);
    (heap, name)
}

/// The same, after both sides have grown.
fn left_grown() -> (Heap, ChannelName) {
    let (heap, name, mut writer) = channel();
    for number in [6, 7] {
        assert_eq!(writer.publish(&[1; 5_000]).unwrap(), number);
    }
    (heap, name)
}

fn memory(heap: &Heap, name: &ChannelName, kind: Kind) -> Words {
    heap.reopen(&name.objects.object(kind)).unwrap()
}

/// Sets each word to hostile values, one after the other, and counts the inspections: returned,
/// failed.
fn corrupt((heap, name): (Heap, ChannelName), kind: Kind, words: impl Iterator<Item = usize>) -> [usize; 2] {
    let last = inspect(&heap.shared(), &name).unwrap().publication;
    let memory = memory(&heap, &name, kind);
    let mut ends = [0; 2];
    for word in words {
        let honest = memory.load(word);
        for hostile in [!honest, 0, 1, 2, u64::MAX, 1 << 63, (1 << 62) + 1, honest ^ (1 << 17)] {
            memory.store(word, hostile);
            // Inspecting a page that is not ready waits for its creator, which would take too long.
            if word != control::READY || kind != Kind::Control || hostile != 0 {
                let inspection = inspect(&heap.shared(), &name);
                ends[usize::from(inspection.is_err())] += 1;
                let _ = inspection.map(|inspection| (inspection.unfinished(), format!("{inspection:?}")));
            }
        }
        memory.store(word, honest);
        assert!(
            inspect(&heap.shared(), &name).is_ok_and(|inspection| inspection.publication == last),
            "word {word} has its old value"
        );
    }
    ends
}

#[test]
fn any_word_of_the_page_may_be_hostile() {
    let [returned, refused] = corrupt(left(), Kind::Control, 0..PAGE_BYTES / WORD_BYTES);
    assert!(returned > 3_000 && refused > 10, "{returned}, {refused}");
}

#[test]
fn any_word_of_a_segments_header_and_slots_may_be_hostile() {
    for side in Side::BOTH {
        let [returned, refused] = corrupt(left_grown(), Kind::Segment(side, 2), 0..segment::SLOTS + 64);
        assert!(returned > 500 && refused == 0, "what is wrong with a segment is reported beside the rest");
    }
}

#[test]
fn a_corrupt_segment_is_reported_as_an_error_of_its_own() {
    let (heap, name) = left_grown();
    memory(&heap, &name, Kind::Segment(Side::B, 2)).store(segment::DEPTH, 3);
    let inspection = inspect(&heap.shared(), &name).unwrap();
    assert!(inspection.segments[0].is_ok());
    let is_impossible = |error: &std::sync::Arc<ObjectError>| error.to_string().contains("impossible shape");
    assert!(inspection.segments[1].as_ref().is_err_and(is_impossible));
}

#[test]
fn a_channel_whose_first_segments_are_impossible_is_refused() {
    let (heap, name) = left();
    memory(&heap, &name, Kind::Control).store(control::DEPTH, 3);
    let error = inspect(&heap.shared(), &name).unwrap_err();
    assert!(error.to_string().contains("impossible shape"), "{error}");
}

#[test]
fn stamps_and_lengths_that_no_writer_stores_are_reported_as_such() {
    let (heap, name) = left();
    let words = memory(&heap, &name, Kind::Control);
    let slot = |word: usize| control::first_slot(0).unwrap() + word;
    words.store(slot(segment::slot::LENGTH), u64::MAX);
    let first = |inspection: Inspection| inspection.segments[0].as_ref().unwrap().slots[0];
    assert_eq!(
        first(inspect(&heap.shared(), &name).unwrap()).state,
        SlotState::Empty,
        "publication 2 is in slot 1"
    );
    words.store(slot(segment::slot::STAMP), 8 * words.len() as u64 * 4);
    let inspection = first(inspect(&heap.shared(), &name).unwrap());
    assert_eq!((inspection.state, inspection.publication), (SlotState::Implausible, 16 * words.len() as u64));
}

#[test]
fn an_endless_generation_is_not_followed() {
    let (heap, name) = left();
    let page = memory(&heap, &name, Kind::Control);
    for generation in [0, 2, u64::MAX] {
        page.store(control::GENERATION, generation);
        let inspection = inspect(&heap.shared(), &name).unwrap();
        assert!(inspection.segments[0].is_err() && inspection.generations[0] == generation);
    }
}
