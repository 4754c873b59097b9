//! A new writer on the channel of one that closed or was killed.

use super::*;
use crate::layout::{Publication, Side};
use crate::memory::{Memory, MemoryMut};
use crate::object::{Access, Backend};
use crate::seqlock::Generations;

#[test]
fn numbers_continue_and_attached_readers_notice_only_the_incarnation() {
    let heap = Heap::new();
    let mut writer = open(&heap, &options()).unwrap();
    let mut reader = attach(&heap).unwrap();
    writer.publish(b"one").unwrap();
    writer.publish(b"two").unwrap();
    kill(writer);
    assert_eq!(snapshot(&mut reader).unwrap(), (2, b"two".to_vec()), "the last state outlives its writer");
    assert_eq!(reader.page().incarnation(), 1);
    let mut writer = open(&heap, &options()).unwrap();
    assert_eq!(snapshot(&mut reader).unwrap(), (2, b"two".to_vec()));
    assert_eq!(reader.page().incarnation(), 2);
    assert_eq!(writer.publish(b"three").unwrap(), 3);
    assert_eq!(snapshot(&mut reader).unwrap(), (3, b"three".to_vec()));
}

#[test]
fn a_lingering_channel_is_resumed() {
    let heap = Heap::new();
    let mut writer = open(&heap, &options()).unwrap();
    let mut reader = attach(&heap).unwrap();
    writer.publish(b"one").unwrap();
    writer.set_linger(true);
    drop(writer);
    let mut writer = open(&heap, &options()).unwrap();
    assert!(!reader.is_closed());
    assert_eq!(writer.publish(b"two").unwrap(), 2);
    assert_eq!(snapshot(&mut reader).unwrap(), (2, b"two".to_vec()));
}

#[test]
fn a_writer_of_another_format_replaces_the_channel() {
    let heap = Heap::new();
    let mut writer = open(&heap, &options()).unwrap();
    let mut reader = attach(&heap).unwrap();
    writer.publish(b"old format").unwrap();
    snapshot(&mut reader).unwrap();
    kill(writer);
    let mut options = options();
    options.format = Format::new("bytes", "another type");
    let mut writer = open(&heap, &options).unwrap();
    assert_eq!(writer.publish(b"new format").unwrap(), 1);
    assert!(matches!(snapshot(&mut reader), Err(SnapshotError::Closed { last: 1, .. })));
    let error = attach(&heap).unwrap_err().to_string();
    assert!(error.contains("another type") && error.contains("\"test\""), "{error}");
    assert_eq!(heap.names().len(), 1);
}

#[test]
fn leftovers_of_a_growth_that_was_not_finished_are_removed() {
    // Killed after creating generation 2 of B; after storing its number, too; and after publishing
    // into it.
    for step in 0..3 {
        let heap = Heap::new();
        let mut writer = open(&heap, &options()).unwrap();
        let mut reader = attach(&heap).unwrap();
        writer.publish(b"one").unwrap();
        writer.publish(b"two").unwrap();
        let geometry = crate::layout::Geometry::fit(9_000, None).unwrap();
        let fresh = writer.segments.create(Side::B, 2, geometry, Access::OWNER).unwrap();
        let third = Publication::new(3).unwrap();
        fresh.ring.write(third, b"three", 0, 0);
        if step >= 1 {
            Generations(writer.writer.control()).replace(Side::B, 2);
        }
        if step >= 2 {
            writer.writer.control().store_release(crate::layout::control::PUBLISHED, 3);
        }
        kill(writer);
        assert_eq!(heap.names().len(), 2);
        let expected: (u64, &[u8]) = if step == 2 { (3, b"three") } else { (2, b"two") };
        assert_eq!(snapshot(&mut reader).unwrap(), (expected.0, expected.1.to_vec()));
        let mut writer = open(&heap, &options()).unwrap();
        let grown = usize::from(step >= 1);
        assert_eq!(heap.names().len(), 1 + grown, "step {step}: {:?}", heap.names());
        for number in expected.0 + 1..expected.0 + 5 {
            assert_eq!(writer.publish(b"more").unwrap(), number);
            assert_eq!(snapshot(&mut reader).unwrap(), (number, b"more".to_vec()));
        }
    }
}

#[test]
fn implausible_contents_lead_to_a_fresh_channel_and_not_to_a_crash() {
    use crate::layout::control;
    let lies = [
        (control::PUBLISHED, u64::MAX),
        (control::GENERATION, 0),
        (control::GENERATION + 1, u64::MAX),
        (control::GENERATION, 55),
        (control::INSTANCE, 1),
        (control::PUBLISHED, 3),
        (control::FEATURES_REQUIRED, 1),
        (control::STATE, 3),
    ];
    for (word, lie) in lies {
        let heap = Heap::new();
        let mut writer = open(&heap, &options()).unwrap();
        // Only a grown segment has a header with the instance.
        writer.publish(&vec![1; if word == control::INSTANCE { 5_000 } else { 5 }]).unwrap();
        writer.writer.control().store(word, lie);
        kill(writer);
        let mut writer = open(&heap, &options()).unwrap();
        assert_eq!(writer.publish(b"fresh").unwrap(), 1, "word {word}");
        assert_eq!(snapshot(&mut attach(&heap).unwrap()).unwrap(), (1, b"fresh".to_vec()));
        drop(writer);
        assert!(heap.names().is_empty(), "word {word}: {:?}", heap.names());
    }
}

#[test]
fn a_successor_gets_the_requested_capacity_and_depth() {
    let heap = Heap::new();
    kill(open(&heap, &options()).unwrap());
    let mut asking = options();
    (asking.capacity, asking.depth) = (50_000, Some(1));
    let mut writer = open(&heap, &asking).unwrap();
    writer.publish(b"one").unwrap();
    writer.publish(b"two").unwrap();
    assert!(writer.capacity() >= 50_000 && writer.slots() == 2, "{}", writer.slots());
    kill(writer);
    let mut writer = open(&heap, &options()).unwrap();
    writer.publish(b"three").unwrap();
    assert!(writer.capacity() >= 50_000, "a larger segment than requested stays");
    assert_eq!(snapshot(&mut attach(&heap).unwrap()).unwrap(), (3, b"three".to_vec()));
}

#[test]
fn a_counter_from_shared_memory_may_be_anything() {
    let heap = Heap::new();
    let writer = open(&heap, &options()).unwrap();
    writer.writer.control().store(crate::layout::control::GROWTHS, u64::MAX);
    writer.writer.control().store(crate::layout::control::INCARNATION, u64::MAX);
    kill(writer);
    let mut writer = open(&heap, &options()).unwrap();
    writer.publish(&[1; 9_000]).unwrap();
    drop(writer);
    assert!(heap.names().is_empty());
}

#[test]
fn a_channel_that_needs_an_unknown_feature_is_refused_by_readers() {
    let heap = Heap::new();
    let writer = open(&heap, &options()).unwrap();
    writer.writer.control().store(crate::layout::control::FEATURES_REQUIRED, 8);
    let error = attach(&heap).unwrap_err();
    assert!(matches!(error, AttachError::UnknownFeatures { bits: 8, .. }), "{error}");
}

#[test]
fn a_fork_publishes_nothing_and_ends_nothing() {
    let heap = Heap::new();
    let mut writer = open(&heap, &options()).unwrap();
    let mut reader = attach(&heap).unwrap();
    writer.publish(b"parent").unwrap();
    writer.owner = ForkToken::of_another_process();
    assert!(matches!(writer.publish(b"child"), Err(crate::error::PublishError::Forked { .. })));
    drop(writer);
    assert_eq!(snapshot(&mut reader).unwrap(), (1, b"parent".to_vec()));
    assert_eq!(heap.names().len(), 1);
}

#[test]
fn a_channel_whose_object_was_cut_is_replaced_though_its_segments_are_whole() {
    let schema = crate::channel::SchemaBytes::new(&[7; 3_000]);
    let with_schema = WriterOptions { schema, ..options() };
    for options in [options(), with_schema] {
        let heap = Heap::new();
        let mut writer = open(&heap, &options).unwrap();
        writer.publish(&[1; 9_000]).unwrap();
        writer.publish(&[2; 9_000]).unwrap();
        kill(writer);
        let object = name().objects.object(crate::layout::Kind::Control);
        let whole = heap.view(&object).unwrap();
        heap.remove_leftover(&object).unwrap();
        let cut = heap.create(&object, crate::layout::PAGE_BYTES, Access::OWNER).unwrap();
        (0..cut.len()).for_each(|word| cut.store(word, whole.load(word)));
        let mut writer = open(&heap, &options).unwrap();
        assert_eq!(writer.publish(b"new").unwrap(), 1);
        let mut reader = attach(&heap).unwrap();
        assert_eq!(snapshot(&mut reader).unwrap(), (1, b"new".to_vec()));
        assert_eq!(reader.schema_bytes().unwrap().is_some(), options.schema.is_some());
        drop(writer);
        assert!(heap.names().is_empty(), "{:?}", heap.names());
    }
}
