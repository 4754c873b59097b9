//! Channels that carry a schema: it is written before they are ready, kept and replaced with the
//! channel, and never trusted.

use super::*;
use crate::channel::{CreateError, SchemaBytes, remove};
use crate::layout::{Kind, PAGE_BYTES, WORD_BYTES, control};
use crate::memory::{Memory, MemoryMut, Words};
use crate::object::{Access, Backend};

const SCHEMA: &[u8] = b"jobs_done: u64, queue: [job]";

fn with_schema_of(bytes: &[u8]) -> WriterOptions {
    WriterOptions { schema: SchemaBytes::new(bytes), ..options() }
}

fn with_schema() -> WriterOptions {
    with_schema_of(SCHEMA)
}

/// The words of the channel's object.
fn object(heap: &Heap) -> Words {
    heap.reopen(&name().objects.object(Kind::Control)).unwrap()
}

/// A channel with a schema and two publications whose writer was killed, and a reader.
fn left() -> (Heap, ChannelReader) {
    let heap = Heap::new();
    let mut writer = open(&heap, &with_schema()).unwrap();
    writer.publish(b"one").unwrap();
    writer.publish(b"two").unwrap();
    kill(writer);
    let reader = attach(&heap).unwrap();
    (heap, reader)
}

#[test]
fn a_schema_is_read_and_removed_with_the_channel() {
    for len in [1, 7, 8, PAGE_BYTES - control::SCHEMA * WORD_BYTES, PAGE_BYTES, control::MAX_SCHEMA_BYTES] {
        let heap = Heap::new();
        let bytes: Vec<u8> = (0..len).map(|byte| u8::try_from(byte % 251).unwrap()).collect();
        let mut writer = open(&heap, &with_schema_of(&bytes)).unwrap();
        assert_eq!(heap.names().len(), 1);
        for number in 1..=64 {
            writer.publish(&[1; 900]).unwrap();
            assert_eq!(writer.last(), number);
        }
        let reader = attach(&heap).unwrap();
        assert_eq!(reader.schema_bytes().unwrap().unwrap(), bytes);
        assert_eq!(reader.clone().schema_bytes().unwrap().unwrap(), bytes, "as often as asked");
        drop(writer);
        assert!(heap.names().is_empty(), "{:?}", heap.names());
        assert_eq!(reader.schema_bytes().unwrap().unwrap(), bytes, "a reader keeps it");
    }
}

#[test]
fn a_schema_takes_a_page_only_where_the_slots_leave_no_room() {
    let small = |schema: &[u8]| WriterOptions { capacity: 64, ..with_schema_of(schema) };
    for (len, pages) in [(0, 1), (1_500, 1), (1_600, 2), (control::MAX_SCHEMA_BYTES, 17)] {
        let heap = Heap::new();
        let _writer = open(&heap, &small(&vec![7; len])).unwrap();
        assert_eq!(object(&heap).len() * WORD_BYTES, pages * PAGE_BYTES, "{len}");
        assert_eq!(attach(&heap).unwrap().schema_bytes().unwrap().map_or(0, |it| it.len()), len);
    }
}

#[test]
fn a_schema_that_is_too_long_is_refused_before_anything_is_made() {
    let heap = Heap::new();
    let error = open(&heap, &with_schema_of(&vec![1; control::MAX_SCHEMA_BYTES + 1])).map(drop).unwrap_err();
    assert!(
        matches!(&error, CreateError::SchemaRefused { reason, .. } if reason.contains("65537")),
        "{error}"
    );
    assert!(heap.names().is_empty());
}

#[test]
fn a_schema_lingers_and_is_removed_with_the_last_state() {
    let heap = Heap::new();
    let mut writer = open(&heap, &with_schema()).unwrap();
    writer.set_linger(true);
    drop(writer);
    assert_eq!(attach(&heap).unwrap().schema_bytes().unwrap().unwrap(), SCHEMA);
    assert!(remove(&heap.shared(), &name()).unwrap().is_some());
    assert!(heap.names().is_empty(), "{:?}", heap.names());
}

#[test]
fn a_successor_with_the_same_schema_resumes_and_ends_the_channel() {
    let (heap, reader) = left();
    let mut writer = open(&heap, &with_schema()).unwrap();
    assert_eq!(writer.publish(b"three").unwrap(), 3);
    assert_eq!(reader.schema_bytes().unwrap().unwrap(), SCHEMA);
    drop(writer);
    assert!(heap.names().is_empty(), "{:?}", heap.names());
}

#[test]
fn a_successor_with_another_schema_or_none_replaces_the_channel() {
    let longer = vec![1; 3 * PAGE_BYTES];
    for other in [b"jobs_done: u32, queue: [job]".as_slice(), &longer, b""] {
        let (heap, mut reader) = left();
        let mut writer = open(&heap, &with_schema_of(other)).unwrap();
        assert_eq!(writer.publish(b"of another format").unwrap(), 1);
        assert!(matches!(snapshot(&mut reader), Err(SnapshotError::Closed { last: 2, .. })));
        let found = attach(&heap).unwrap().schema_bytes().unwrap();
        assert_eq!(found.unwrap_or_default(), other);
        assert_eq!(heap.names().len(), 1);
        drop(writer);
        assert!(heap.names().is_empty(), "{:?}", heap.names());
    }
    let heap = Heap::new();
    kill(open(&heap, &options()).unwrap());
    let reader = attach(&heap).unwrap();
    let writer = open(&heap, &with_schema()).unwrap();
    assert!(reader.is_removed(), "from none to one");
    assert_eq!(reader.schema_bytes().unwrap(), None, "it had none");
    drop(writer);
    assert!(heap.names().is_empty(), "{:?}", heap.names());
}

/// The bytes of the channel's object that belong to the schema, and a few more.
fn bytes_of_the_schema() -> std::ops::Range<usize> {
    let start = control::SCHEMA * WORD_BYTES;
    start..start + SCHEMA.len() + 16
}

fn matters(byte: usize) -> bool {
    byte < control::SCHEMA * WORD_BYTES + SCHEMA.len()
}

fn flip(memory: &Words, byte: usize, bits: u64) {
    let word = byte / WORD_BYTES;
    memory.store(word, memory.load(word) ^ bits << (byte % WORD_BYTES * 8));
}

#[test]
fn every_changed_byte_of_a_schema_is_noticed() {
    let (heap, reader) = left();
    let memory = object(&heap);
    for byte in bytes_of_the_schema() {
        for bits in 1..=255 {
            flip(&memory, byte, bits);
            match reader.schema_bytes() {
                Ok(Some(found)) => assert!(!matters(byte) && found == SCHEMA, "byte {byte}"),
                Err(AttachError::SchemaCorrupt { .. }) => assert!(matters(byte), "byte {byte}"),
                other => panic!("byte {byte}: {other:?}"),
            }
            flip(&memory, byte, bits);
        }
    }
}

#[test]
fn a_changed_schema_is_written_again_by_a_successor() {
    for byte in bytes_of_the_schema() {
        let (heap, mut reader) = left();
        flip(&object(&heap), byte, 0x81);
        assert_eq!(snapshot(&mut reader).unwrap().0, 2, "its states can be read all the same");
        let mut writer = open(&heap, &with_schema()).unwrap();
        assert_eq!(reader.schema_bytes().unwrap().unwrap(), SCHEMA, "byte {byte}");
        assert_eq!(writer.publish(b"three").unwrap(), 3);
        drop(writer);
        assert!(heap.names().is_empty(), "byte {byte}: {:?}", heap.names());
    }
}

#[test]
fn the_pages_mark_of_a_schema_is_not_trusted() {
    let (heap, reader) = left();
    let page = object(&heap);
    for word in [control::SCHEMA_BYTES, control::SCHEMA_FINGERPRINT] {
        let was = page.load(word);
        for lie in [was ^ 1, was + 8, PAGE_BYTES as u64, u64::MAX, 1 << 32] {
            page.store(word, lie);
            let error = reader.schema_bytes().unwrap_err();
            assert!(matches!(error, AttachError::SchemaCorrupt { .. }), "{error}");
        }
        page.store(word, was);
    }
    assert_eq!(reader.schema_bytes().unwrap().unwrap(), SCHEMA);
    page.store(control::SCHEMA_BYTES, 0);
    assert_eq!(reader.schema_bytes().unwrap(), None);
    let mut writer = open(&heap, &with_schema()).unwrap();
    assert_eq!(writer.publish(b"again").unwrap(), 1, "a channel of another format");
    drop(writer);
    assert!(heap.names().is_empty(), "{:?}", heap.names());
}

#[test]
fn a_creator_that_died_anywhere_leaves_nothing_to_its_successor() {
    for pages in 1..=5 {
        let half_made = || {
            let heap = Heap::new();
            let object = name().objects.object(Kind::Control);
            let words = heap.create(&object, pages * PAGE_BYTES, Access::OWNER).unwrap();
            (1..words.len()).for_each(|word| words.store(word, 2 * word as u64));
            heap
        };
        for successor in [with_schema(), options()] {
            let heap = half_made();
            assert!(matches!(attach(&heap), Err(AttachError::NotReady { .. })));
            let mut writer = open(&heap, &successor).unwrap();
            let words = object(&heap);
            assert_eq!(words.len() * WORD_BYTES, 3 * PAGE_BYTES);
            let schema_len = successor.schema.as_ref().map_or(0, |schema| schema.bytes().len());
            let behind = control::SCHEMA + schema_len.div_ceil(WORD_BYTES)..words.len();
            assert!(behind.into_iter().all(|word| words.load(word) == 0), "nothing of the creator's stays");
            assert_eq!(writer.publish(b"one").unwrap(), 1);
            let mut reader = attach(&heap).unwrap();
            assert_eq!(snapshot(&mut reader).unwrap(), (1, b"one".to_vec()));
            let found = reader.schema_bytes().unwrap();
            assert_eq!(found.as_deref(), successor.schema.as_ref().map(SchemaBytes::bytes));
            drop(writer);
            assert!(heap.names().is_empty(), "{:?}", heap.names());
        }
        let heap = half_made();
        remove(&heap.shared(), &name()).unwrap();
        assert!(heap.names().is_empty(), "{:?}", heap.names());
    }
}

#[test]
fn a_schema_counts_in_a_budget() {
    let heap = Heap::new();
    let with_budget = |channel| {
        let budgets = crate::channel::Budgets { channel: Some(channel), namespace: None };
        WriterOptions { budgets, ..with_schema() }
    };
    let all = 3 * PAGE_BYTES as u64;
    let error = open(&heap, &with_budget(all - 1)).map(drop).unwrap_err();
    assert!(matches!(error, CreateError::OverBudget { .. }), "{error}");
    assert!(heap.names().is_empty());
    open(&heap, &with_budget(all)).unwrap();
}
