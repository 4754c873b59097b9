//! Closing, lingering, removing; attaching to a channel that is missing or not whole.

use super::*;
use crate::channel::{RemoveError, remove};
use crate::layout::{self, Kind, control};
use crate::memory::{Memory, MemoryMut};
use crate::object::{Access, Backend};

#[test]
fn a_closed_channel_is_gone_and_attached_readers_know() {
    let heap = Heap::new();
    let mut writer = open(&heap, &options()).unwrap();
    let mut reader = attach(&heap).unwrap();
    writer.publish(b"state").unwrap();
    snapshot(&mut reader).unwrap();
    drop(writer);
    assert!(heap.names().is_empty());
    assert!(matches!(snapshot(&mut reader), Err(SnapshotError::Closed { last: 1, .. })));
    assert!(reader.is_closed());
    assert!(matches!(attach(&heap), Err(AttachError::NotFound { .. })));
}

#[test]
fn a_lingering_state_is_readable_until_it_is_removed() {
    let heap = Heap::new();
    let mut writer = open(&heap, &options()).unwrap();
    writer.set_linger(true);
    writer.publish(b"last words").unwrap();
    drop(writer);
    let mut reader = attach(&heap).unwrap();
    assert!(reader.is_closed());
    assert_eq!(snapshot(&mut reader).unwrap(), (1, b"last words".to_vec()));
    assert!(remove(&heap.shared(), &name()).unwrap().is_some());
    assert!(heap.names().is_empty());
    assert!(matches!(snapshot(&mut reader), Err(SnapshotError::Closed { .. })));
    assert!(remove(&heap.shared(), &name()).unwrap().is_none());
}

#[test]
fn a_channel_in_use_is_not_removed() {
    let heap = Heap::new();
    let _writer = open(&heap, &options()).unwrap();
    let pid = u64::from(std::process::id());
    assert!(
        matches!(remove(&heap.shared(), &name()), Err(RemoveError::AlreadyOwned { pid: owner, .. }) if owner == pid)
    );
    assert!(
        matches!(open(&heap, &options()), Err(CreateError::AlreadyOwned { pid: owner, .. }) if owner == pid)
    );
    assert_eq!(heap.names().len(), 1);
}

#[test]
fn a_half_made_channel_is_not_ready_and_the_next_writer_finishes_it() {
    let heap = Heap::new();
    let page = name().objects.object(Kind::Control);
    let memory = heap.create(&page, layout::PAGE_BYTES, Access::OWNER).unwrap();
    memory.store(control::PUBLISHED, 77);
    heap.create(&name().objects.object(Kind::Segment(layout::Side::A, 1)), layout::PAGE_BYTES, Access::OWNER)
        .unwrap();
    assert!(matches!(attach(&heap), Err(AttachError::NotReady { .. })));
    let mut writer = open(&heap, &options()).unwrap();
    let mut reader = attach(&heap).unwrap();
    assert!(matches!(snapshot(&mut reader), Err(SnapshotError::Empty { .. })));
    assert_eq!(writer.publish(b"whole").unwrap(), 1);
}

#[test]
fn other_versions_and_foreign_pages_are_refused() {
    for (word, found) in [(layout::READY + (1 << 48), Some(layout::VERSION + 1)), (0x6e6f_7065, None)] {
        let heap = Heap::new();
        let page =
            heap.create(&name().objects.object(Kind::Control), layout::PAGE_BYTES, Access::OWNER).unwrap();
        page.store(control::READY, word);
        match (open(&heap, &options()).map(drop), attach(&heap).map(drop), found) {
            (
                Err(CreateError::LayoutVersion { found: ours, .. }),
                Err(AttachError::LayoutVersion { found: theirs, .. }),
                Some(found),
            ) => assert!(ours == found && theirs == found),
            (Err(CreateError::Object { .. }), Err(AttachError::Object { .. }), None) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(page.load(control::READY), word);
        // Only on request, and only what is known to be ours.
        assert_eq!(remove(&heap.shared(), &name()).is_ok(), found.is_some());
        assert_eq!(page.load(control::READY), word);
        assert_eq!(
            attach(&heap).map(drop).is_err_and(|it| matches!(it, AttachError::NotFound { .. })),
            found.is_some()
        );
    }
}

#[test]
fn channels_whose_hashes_collide_are_distinguished() {
    let heap = Heap::new();
    let _writer = open(&heap, &options()).unwrap();
    let mut impostor = name();
    impostor.channel = "another".into();
    let error = crate::channel::attach(&heap.shared(), &impostor, &reader_options()).unwrap_err();
    assert!(
        matches!(&error, AttachError::NameCollision { other, .. } if other == "tests/channel"),
        "{error}"
    );
    let error = crate::channel::open(&heap.shared(), &impostor, &options()).map(drop).unwrap_err();
    assert!(matches!(error, CreateError::NameCollision { .. }), "it has no writer: {error}");
    assert!(remove(&heap.shared(), &impostor).unwrap().is_none(), "nor does it exist");
    drop(_writer);
    let mut lingering = open(&heap, &options()).unwrap();
    lingering.set_linger(true);
    drop(lingering);
    let error = crate::channel::open(&heap.shared(), &impostor, &options()).map(drop).unwrap_err();
    assert!(matches!(error, CreateError::NameCollision { .. }), "{error}");
    assert!(remove(&heap.shared(), &impostor).unwrap().is_none());
    assert!(attach(&heap).is_ok());
}

#[test]
fn a_checksum_finds_a_changed_payload() {
    let heap = Heap::new();
    let mut options = options();
    options.checksum = true;
    let mut writer = open(&heap, &options).unwrap();
    let mut reader = attach(&heap).unwrap();
    let number = writer.publish(b"payload").unwrap();
    assert_eq!(snapshot(&mut reader).unwrap(), (number, b"payload".to_vec()));
    let ring = writer.writer.ring(layout::Side::B);
    let payload = ring.geometry().slot(number >> 1) + layout::segment::slot::PAYLOAD;
    ring.memory().store(payload, ring.memory().load(payload) ^ 1);
    assert!(matches!(snapshot(&mut reader), Err(SnapshotError::Corrupt { publication: 1, .. })));
}

#[test]
fn a_length_beyond_the_slot_is_corrupt_and_not_trusted() {
    let heap = Heap::new();
    let mut writer = open(&heap, &options()).unwrap();
    let mut reader = attach(&heap).unwrap();
    writer.publish(b"payload").unwrap();
    let ring = writer.writer.ring(layout::Side::B);
    let length = ring.geometry().slot(0) + layout::segment::slot::LENGTH;
    for lie in [ring.geometry().capacity() as u64 + 1, u64::MAX] {
        ring.memory().store(length, lie);
        assert!(matches!(snapshot(&mut reader), Err(SnapshotError::Corrupt { .. })));
    }
}
