//! Channels that carry a schema: it is written before they are ready, kept and replaced with the
//! channel, and never trusted.

use super::*;
use crate::channel::{RemovalReason, Retention, SchemaBytes, remove};
use crate::layout::{Kind, PAGE_BYTES, Side, WORD_BYTES, control, schema};
use crate::memory::{Memory, MemoryMut, Words};
use crate::object::{Access, Backend};

const SCHEMA: &[u8] = b"jobs_done: u64, queue: [job]";

fn with_schema_of(bytes: &[u8]) -> WriterOptions {
    WriterOptions { schema: SchemaBytes::new(bytes), ..options() }
}

fn with_schema() -> WriterOptions {
    with_schema_of(SCHEMA)
}

fn object(heap: &Heap, kind: Kind) -> Words {
    heap.reopen(&name().objects.object(kind)).unwrap()
}

fn kinds(heap: &Heap) -> Vec<Kind> {
    heap.names().iter().map(|found| name().objects.kind_of(found).unwrap()).collect()
}

const ALL_FOUR: [Kind; 4] =
    [Kind::Segment(Side::A, 1), Kind::Segment(Side::B, 1), Kind::Control, Kind::Schema];

/// A channel with a schema and two publications whose writer was killed, and a reader.
fn left() -> (Heap, ChannelReader) {
    let heap = Heap::new();
    let mut writer = open(&heap, &with_schema()).unwrap();
    writer.publish(b"one").unwrap();
    writer.publish(b"two").unwrap();
    kill(writer);
    let mut reader = attach(&heap).unwrap();
    reader.retry.deadline = std::time::Duration::ZERO;
    (heap, reader)
}

#[test]
fn a_schema_is_read_and_removed_with_the_channel() {
    for len in [1, 7, 8, PAGE_BYTES - schema::CONTENT * WORD_BYTES, PAGE_BYTES, schema::MAX_BYTES] {
        let heap = Heap::new();
        let bytes: Vec<u8> = (0..len).map(|byte| u8::try_from(byte % 251).unwrap()).collect();
        let writer = open(&heap, &with_schema_of(&bytes)).unwrap();
        assert_eq!(kinds(&heap), ALL_FOUR);
        let reader = attach(&heap).unwrap();
        assert_eq!(reader.schema_bytes().unwrap().unwrap(), bytes);
        assert_eq!(reader.clone().schema_bytes().unwrap().unwrap(), bytes, "as often as asked");
        drop(writer);
        assert!(heap.names().is_empty(), "{:?}", heap.names());
        assert!(matches!(reader.schema_bytes(), Err(AttachError::Removed { .. })));
    }
}

#[test]
fn a_channel_without_a_schema_costs_no_object() {
    let heap = Heap::new();
    let _writer = open(&heap, &with_schema_of(b"")).unwrap();
    assert_eq!(kinds(&heap), ALL_FOUR[..3]);
    assert_eq!(attach(&heap).unwrap().schema_bytes().unwrap(), None);
}

#[test]
fn a_schema_that_is_too_long_is_refused_before_anything_is_made() {
    let heap = Heap::new();
    let error = open(&heap, &with_schema_of(&vec![1; schema::MAX_BYTES + 1])).map(drop).unwrap_err();
    assert!(matches!(&error, CreateError::SchemaRefused { reason } if reason.contains("65537")), "{error}");
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
    let before = object(&heap, Kind::Schema);
    let mut writer = open(&heap, &with_schema()).unwrap();
    assert!(before.object() == object(&heap, Kind::Schema).object(), "it was not created again");
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
        assert!(matches!(reader.schema_bytes(), Err(AttachError::Removed { .. })));
        let found = attach(&heap).unwrap().schema_bytes().unwrap();
        assert_eq!(found.unwrap_or_default(), other);
        assert_eq!(heap.names().len(), 3 + usize::from(!other.is_empty()));
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

#[test]
fn without_the_object_readers_get_an_error_and_a_successor_creates_it_again() {
    let (heap, mut reader) = left();
    heap.remove_leftover(&name().objects.object(Kind::Schema)).unwrap();
    let error = reader.schema_bytes().unwrap_err();
    let object = name().objects.object(Kind::Schema);
    assert!(matches!(error, AttachError::Object { .. }) && error.to_string().contains(&object), "{error}");
    assert_eq!(snapshot(&mut reader).unwrap().0, 2, "its states can be read all the same");
    let mut writer = open(&heap, &with_schema()).unwrap();
    assert_eq!(writer.publish(b"three").unwrap(), 3);
    assert_eq!(reader.schema_bytes().unwrap().unwrap(), SCHEMA);
    drop(writer);
    assert!(heap.names().is_empty(), "{:?}", heap.names());
}

/// The meaningful bytes of the object: the header's words, and the content.
fn matters(byte: usize) -> bool {
    let content = schema::CONTENT * WORD_BYTES;
    byte < (schema::CHECKSUM + 1) * WORD_BYTES || (content..content + SCHEMA.len()).contains(&byte)
}

/// A few bytes more than the meaningful ones.
const ALL_BYTES: std::ops::Range<usize> = 0..schema::CONTENT * WORD_BYTES + SCHEMA.len() + 16;

fn flip(memory: &Words, byte: usize, bits: u64) {
    let word = byte / WORD_BYTES;
    memory.store(word, memory.load(word) ^ bits << (byte % WORD_BYTES * 8));
}

#[test]
fn every_changed_byte_of_a_schema_is_noticed() {
    let (heap, reader) = left();
    let memory = object(&heap, Kind::Schema);
    for byte in ALL_BYTES {
        for bits in 1..=255 {
            flip(&memory, byte, bits);
            match reader.schema_bytes() {
                Ok(Some(found)) => assert!(!matters(byte) && found == SCHEMA, "byte {byte}"),
                Err(AttachError::SchemaCorrupt { .. } | AttachError::Object { .. }) => {
                    assert!(matters(byte), "byte {byte}");
                }
                other => panic!("byte {byte}: {other:?}"),
            }
            flip(&memory, byte, bits);
        }
    }
}

#[test]
fn a_changed_schema_is_written_again_by_a_successor() {
    for byte in ALL_BYTES {
        let (heap, reader) = left();
        flip(&object(&heap, Kind::Schema), byte, 0x81);
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
    let page = object(&heap, Kind::Control);
    for word in [control::SCHEMA_BYTES, control::SCHEMA_FINGERPRINT] {
        let was = page.load(word);
        for lie in [was ^ 1, was + 8, PAGE_BYTES as u64, u64::MAX, 1 << 32] {
            page.store(word, lie);
            // Page and object agree on an impossible length.
            for forged in [SCHEMA.len() as u64, lie] {
                object(&heap, Kind::Schema).store(schema::LENGTH, forged);
                let error = reader.schema_bytes().unwrap_err();
                assert!(matches!(error, AttachError::SchemaCorrupt { .. }), "{error}");
            }
        }
        object(&heap, Kind::Schema).store(schema::LENGTH, SCHEMA.len() as u64);
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
fn a_schema_of_another_channel_of_that_name_is_refused() {
    let (heap, reader) = left();
    object(&heap, Kind::Schema).store(schema::INSTANCE, 77);
    assert!(matches!(reader.schema_bytes(), Err(AttachError::Object { .. })));
    assert_eq!(open(&heap, &with_schema()).unwrap().publish(b"three").unwrap(), 3);
}

/// A channel whose creator died before the page was ready, after it had created the objects of
/// `made`.
fn half_made(made: &[Kind]) -> Heap {
    let heap = Heap::new();
    for kind in made {
        let bytes = if *kind == Kind::Control { control::BYTES } else { 2 * PAGE_BYTES };
        heap.create(&name().objects.object(*kind), bytes, Access::OWNER).unwrap();
    }
    heap
}

#[test]
fn a_creator_that_died_anywhere_leaves_nothing_to_its_successor() {
    let page_first = [ALL_FOUR[2], ALL_FOUR[0], ALL_FOUR[1], ALL_FOUR[3]];
    for made in 1..=4 {
        for successor in [with_schema(), options()] {
            let heap = half_made(&page_first[..made]);
            assert!(matches!(attach(&heap), Err(AttachError::NotReady { .. })));
            let writer = open(&heap, &successor).unwrap();
            let expected = if successor.schema.is_some() { &ALL_FOUR[..] } else { &ALL_FOUR[..3] };
            assert_eq!(kinds(&heap), expected);
            let found = attach(&heap).unwrap().schema_bytes().unwrap();
            assert_eq!(found.as_deref(), successor.schema.as_ref().map(SchemaBytes::bytes));
            drop(writer);
            assert!(heap.names().is_empty(), "{:?}", heap.names());
        }
        let heap = half_made(&page_first[..made]);
        remove(&heap.shared(), &name()).unwrap();
        assert!(heap.names().is_empty(), "{:?}", heap.names());
    }
}

#[test]
fn a_writer_whose_page_was_removed_by_hand_removes_only_its_own_schema() {
    let heap = Heap::new();
    let first = open(&heap, &with_schema()).unwrap();
    heap.remove_leftover(&name().objects.object(Kind::Control)).unwrap();
    drop(first);
    assert!(heap.names().is_empty(), "{:?}", heap.names());
    let first = open(&heap, &with_schema()).unwrap();
    heap.remove_leftover(&name().objects.object(Kind::Control)).unwrap();
    let second = open(&heap, &with_schema()).unwrap();
    let reader = attach(&heap).unwrap();
    drop(first);
    assert_eq!(kinds(&heap), ALL_FOUR);
    assert_eq!(reader.schema_bytes().unwrap().unwrap(), SCHEMA);
    drop(second);
    assert!(heap.names().is_empty(), "{:?}", heap.names());
}

#[test]
fn a_cleanup_removes_only_schemas_that_no_page_records() {
    let clean = |heap: &Heap, retention| {
        let cleaned = crate::cleanup::clean(&cleanup_of(&heap.shared(), retention)).unwrap();
        assert!(cleaned.failed.is_empty(), "{:?}", cleaned.failed);
        cleaned.removed.iter().map(|removed| removed.reason).collect::<Vec<_>>()
    };
    let heap = half_made(&[Kind::Schema]);
    assert_eq!(clean(&heap, Retention::UntilReplaced), [RemovalReason::Orphaned], "without a page");
    assert!(heap.names().is_empty());
    let heap = half_made(&[Kind::Control, Kind::Schema]);
    assert_eq!(clean(&heap, Retention::UntilReplaced), [RemovalReason::HalfMade]);
    assert!(heap.names().is_empty());
    let heap = Heap::new();
    kill(open(&heap, &options()).unwrap());
    heap.create(&name().objects.object(Kind::Schema), PAGE_BYTES, Access::OWNER).unwrap();
    assert_eq!(
        clean(&heap, Retention::UntilReplaced),
        [RemovalReason::Orphaned],
        "beside a page that records none"
    );
    assert_eq!(kinds(&heap), ALL_FOUR[..3]);
    let (heap, reader) = left();
    assert!(clean(&heap, Retention::UntilReplaced).is_empty(), "current");
    assert_eq!(reader.schema_bytes().unwrap().unwrap(), SCHEMA);
    heap.remove_leftover(&name().objects.object(Kind::Schema)).unwrap();
    assert!(clean(&heap, Retention::UntilReplaced).is_empty(), "a state that can still be read");
    assert_eq!(clean(&heap, Retention::Nothing), [RemovalReason::Dead]);
    assert!(heap.names().is_empty());
    let (heap, _) = left();
    assert_eq!(clean(&heap, Retention::Nothing), [RemovalReason::Dead]);
    assert!(heap.names().is_empty());
}

#[test]
fn a_schema_counts_in_a_budget() {
    let heap = Heap::new();
    let with_budget = |channel| {
        let budgets = crate::channel::Budgets { channel: Some(channel), namespace: None };
        WriterOptions { budgets, ..with_schema() }
    };
    let all = 4 * PAGE_BYTES as u64;
    let error = open(&heap, &with_budget(all - 1)).map(drop).unwrap_err();
    assert!(matches!(error, CreateError::OverBudget { .. }), "{error}");
    assert!(heap.names().is_empty());
    open(&heap, &with_budget(all)).unwrap();
}
