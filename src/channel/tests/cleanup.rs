//! Cleaning up after writers that are gone.

use std::time::Duration;

use super::*;
use crate::channel::{RemovalReason, Retention};
use crate::cleanup::{self, CleanupReport};
use crate::layout::{self, Kind, PAGE_BYTES, Side, control};
use crate::memory::{Memory, MemoryMut};
use crate::object::{Access, Backend};
use crate::registry::{ChannelInfo, Registry};
use crate::seqlock::ChannelState;

/// Cleans after a dry run, which must report what the cleanup then removes, and change nothing.
fn clean(heap: &Heap, retention: Retention) -> CleanupReport {
    let before = contents(heap);
    let predicted = cleanup::would_clean(&cleanup_of(&heap.shared(), retention)).unwrap();
    assert_eq!(contents(heap), before);
    let cleaned = cleanup::clean(&cleanup_of(&heap.shared(), retention)).unwrap();
    assert_eq!(reported(&predicted), reported(&cleaned));
    let failed = |cleaned: &CleanupReport| cleaned.failed.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(failed(&predicted), failed(&cleaned));
    cleaned
}

/// Every object, word by word.
fn contents(heap: &Heap) -> Vec<(String, Vec<u64>)> {
    let mut names = heap.names();
    names.sort();
    let words = |name: &String| {
        let view = heap.view(name).unwrap();
        (0..view.len()).map(|word| view.load(word)).collect()
    };
    names.iter().map(|name| (name.clone(), words(name))).collect()
}

/// All but ages, which grow between two reports.
fn reported(cleaned: &CleanupReport) -> Vec<String> {
    let reported = cleaned.removed.iter().map(|removed| {
        let mut removed = removed.clone();
        removed.objects.sort();
        removed.age = removed.age.map(|_| Duration::ZERO);
        format!("{removed:?}")
    });
    reported.collect()
}

fn reasons(heap: &Heap, retention: Retention) -> Vec<RemovalReason> {
    let cleaned = clean(heap, retention);
    assert!(cleaned.failed.is_empty(), "{cleaned}");
    cleaned.removed.iter().map(|removed| removed.reason).collect()
}

fn published(heap: &Heap) -> ChannelWriter {
    let mut writer = open(heap, &options()).unwrap();
    writer.publish(b"state").unwrap();
    writer
}

/// A writer whose channel has grown on both sides.
fn grown(heap: &Heap) -> ChannelWriter {
    let mut writer = published(heap);
    writer.publish(&[1; 9_000]).unwrap();
    writer.publish(&[2; 9_000]).unwrap();
    writer
}

#[test]
fn a_live_writers_channel_is_never_touched() {
    let heap = Heap::new();
    let mut writer = published(&heap);
    for retention in [Retention::UntilReplaced, Retention::For(Duration::ZERO), Retention::Nothing] {
        assert!(reasons(&heap, retention).is_empty());
    }
    writer.publish(&[1; 9_000]).unwrap();
    assert_eq!(snapshot(&mut attach(&heap).unwrap()).unwrap().0, 2);
}

#[test]
fn a_dead_writers_last_state_is_kept_as_long_as_asked() {
    let heap = Heap::new();
    kill(published(&heap));
    assert!(reasons(&heap, Retention::UntilReplaced).is_empty());
    assert!(reasons(&heap, Retention::For(Duration::from_secs(3_600))).is_empty());
    let mut reader = attach(&heap).unwrap();
    let cleaned = clean(&heap, Retention::For(Duration::ZERO));
    let removed = &cleaned.removed[0];
    assert_eq!((removed.reason, removed.channel.as_deref()), (RemovalReason::Dead, Some("channel")));
    assert_eq!((removed.pid, removed.objects.len()), (u64::from(std::process::id()), 1));
    assert!(removed.age.unwrap() < Duration::from_secs(3_600));
    assert!(cleaned.to_string().contains("channel \"channel\""), "{cleaned}");
    assert!(heap.names().is_empty());
    assert!(matches!(snapshot(&mut reader), Err(SnapshotError::Closed { .. })));
}

#[test]
fn states_without_timestamps_have_no_age_and_are_kept_for_any_time() {
    let heap = Heap::new();
    let mut options = options();
    options.timestamps = crate::options::TimestampSource::None;
    let mut writer = open(&heap, &options).unwrap();
    writer.publish(b"state").unwrap();
    kill(writer);
    assert!(reasons(&heap, Retention::For(Duration::ZERO)).is_empty());
    assert_eq!(reasons(&heap, Retention::Nothing), [RemovalReason::Dead]);
}

#[test]
fn a_lingering_state_is_kept_as_long_as_asked() {
    let heap = Heap::new();
    let mut writer = published(&heap);
    writer.set_linger(true);
    drop(writer);
    assert!(reasons(&heap, Retention::UntilReplaced).is_empty());
    assert_eq!(reasons(&heap, Retention::Nothing), [RemovalReason::Lingered]);
    assert!(heap.names().is_empty());
}

#[test]
fn half_made_and_half_removed_channels_are_removed() {
    let heap = Heap::new();
    heap.create(&name().objects.object(Kind::Control), PAGE_BYTES, Access::OWNER).unwrap();
    heap.create(&name().objects.object(Kind::Segment(Side::A, 1)), PAGE_BYTES, Access::OWNER).unwrap();
    assert_eq!(reasons(&heap, Retention::UntilReplaced), [RemovalReason::HalfMade]);
    assert!(heap.names().is_empty());
    let writer = published(&heap);
    ChannelState::Removed.store(writer.writer.control());
    kill(writer);
    assert_eq!(reasons(&heap, Retention::UntilReplaced), [RemovalReason::HalfRemoved]);
    assert!(heap.names().is_empty());
}

#[test]
fn orphans_are_removed_and_the_current_objects_stay() {
    let heap = Heap::new();
    let orphan = |side, generation| {
        let object = name().objects.object(Kind::Segment(side, generation));
        heap.create(&object, PAGE_BYTES, Access::OWNER).unwrap();
    };
    orphan(Side::A, 77);
    orphan(Side::B, 3);
    assert_eq!(reasons(&heap, Retention::UntilReplaced), [RemovalReason::Orphaned], "no page at all");
    assert!(heap.names().is_empty());
    kill(published(&heap));
    orphan(Side::A, 77);
    orphan(Side::B, 3);
    assert_eq!(reasons(&heap, Retention::UntilReplaced), [RemovalReason::Orphaned]);
    assert_eq!(heap.names().len(), 1);
    assert_eq!(snapshot(&mut attach(&heap).unwrap()).unwrap().0, 1);
}

#[test]
fn without_a_page_only_a_writer_that_is_known_to_be_dead_has_left_segments() {
    let heap = Heap::new();
    let mut writer = grown(&heap);
    let mut info = ChannelInfo::of(&writer);
    Registry::of(&heap.shared(), "tests").register(&info, Access::OWNER).unwrap();
    let mut reader = attach(&heap).unwrap();
    heap.remove_leftover(&name().objects.object(Kind::Control)).unwrap();
    for retention in [Retention::UntilReplaced, Retention::Nothing] {
        assert!(reasons(&heap, retention).is_empty());
    }
    writer.publish(b"more").unwrap();
    assert_eq!(snapshot(&mut reader).unwrap().0, 4);
    assert_eq!(Registry::of(&heap.shared(), "tests").list().unwrap(), [info.clone()]);
    assert_eq!(info.writer_state(), crate::inspect::WriterState::Alive);
    // A process that has ended and was waited for.
    let mut child = std::process::Command::new("true").spawn().unwrap();
    info.identity.pid = u64::from(child.id());
    child.wait().unwrap();
    assert_eq!(info.writer_state(), crate::inspect::WriterState::Dead);
    Registry::of(&heap.shared(), "tests").register(&info, Access::OWNER).unwrap();
    assert_eq!(reasons(&heap, Retention::UntilReplaced), [RemovalReason::Orphaned]);
    assert!(heap.names().is_empty(), "the table went with its only entry");
}

#[test]
fn a_dead_channel_that_lacks_a_segment_is_removed() {
    let heap = Heap::new();
    let mut writer = grown(&heap);
    let segment = name().objects.object(Kind::Segment(Side::A, 2));
    heap.remove_leftover(&segment).unwrap();
    assert!(reasons(&heap, Retention::UntilReplaced).is_empty(), "its writer is alive");
    writer.publish(b"more").unwrap();
    kill(writer);
    assert_eq!(reasons(&heap, Retention::UntilReplaced), [RemovalReason::HalfRemoved]);
    assert!(heap.names().is_empty());
}

#[test]
fn other_namespaces_and_strangers_are_left_alone_and_other_versions_removed() {
    let heap = Heap::new();
    let elsewhere = ChannelName::new("elsewhere", "channel").unwrap();
    kill(crate::channel::open(&heap.shared(), &elsewhere, &options()).unwrap());
    assert!(reasons(&heap, Retention::Nothing).is_empty());
    let page = heap.create(&name().objects.object(Kind::Control), PAGE_BYTES, Access::OWNER).unwrap();
    page.store(control::READY, layout::READY + (1 << 48));
    let stranger = format!("{}_stranger", layout::ObjectNames::prefix("tests"));
    heap.create(&stranger, PAGE_BYTES, Access::OWNER).unwrap();
    assert_eq!(reasons(&heap, Retention::UntilReplaced), [RemovalReason::OtherVersion]);
    assert_eq!(heap.names().len(), 2);
    let page = heap.create(&name().objects.object(Kind::Control), PAGE_BYTES, Access::OWNER).unwrap();
    // A namespace whose name has the same hash: the page says which namespace it belongs to.
    page.store(control::READY, 0);
    assert_eq!(reasons(&heap, Retention::Nothing), [RemovalReason::HalfMade]);
    let mut impostor = name();
    impostor.namespace = "impostor".into();
    kill(crate::channel::open(&heap.shared(), &impostor, &options()).unwrap());
    assert!(reasons(&heap, Retention::Nothing).is_empty());
}
