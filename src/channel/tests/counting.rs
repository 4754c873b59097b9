//! The statistics of writers and readers.

use super::*;
use crate::channel::PublishError;
use crate::memory::MemoryMut;

#[test]
fn a_writer_counts_what_it_has_published_since_it_was_opened() {
    let heap = Heap::new();
    let mut options = options();
    options.max_state_len = 20_000;
    let mut first = open(&heap, &options).unwrap();
    first.publish(&[1; 5_000]).unwrap();
    kill(first);
    let mut writer = open(&heap, &options).unwrap();
    assert_eq!(writer.statistics(), Default::default());
    writer.publish(&[2; 10]).unwrap();
    writer.publish(&[3; 6_000]).unwrap();
    let earlier = writer.statistics();
    writer.publish(&[4; 6_000]).unwrap();
    writer.publish(&[4; 20]).unwrap();
    assert!(matches!(writer.publish(&[5; 20_001]), Err(PublishError::TooLarge { .. })));
    let now = writer.statistics();
    assert_eq!((now.publications, now.bytes, now.failed), (4, 12_030, 1));
    // Segment A only: the first writer has replaced B already, for its publication 1.
    assert_eq!((now.growths, now.reused), (1, 3));
    assert!(now.reuse_rate() == 0.75 && writer.statistics().diff(&now).reuse_rate() == 1.0);
    let since = now.diff(&earlier);
    assert_eq!((since.publications, since.bytes, since.failed, since.growths), (2, 6_020, 1, 1));
    assert_eq!(earlier.diff(&now), Default::default());
    assert_eq!(now.to_string(), "4 publications (12030 bytes), 1 growths, 1 failed");
}

#[test]
fn a_fork_counts_its_own_failures() {
    let heap = Heap::new();
    let mut writer = open(&heap, &options()).unwrap();
    writer.owner = ForkToken::of_another_process();
    assert!(matches!(writer.publish(b"state"), Err(PublishError::Forked { .. })));
    assert_eq!(writer.statistics().failed, 1);
}

/// It asks for the pid, and does the rest as others do.
#[test]
fn a_writer_that_can_not_see_forks_publishes_and_counts_alike() {
    let heap = Heap::new();
    let mut writer = open(&heap, &options()).unwrap();
    writer.owner = ForkToken::without_page();
    let mut reader = attach(&heap).unwrap();
    for number in 1..=5_u8 {
        assert_eq!(writer.publish(&[number; 3]).unwrap(), u64::from(number));
        assert_eq!(snapshot(&mut reader).unwrap(), (u64::from(number), vec![number; 3]));
    }
    let counts = writer.statistics();
    assert_eq!((counts.publications, counts.bytes, counts.failed, counts.growths), (5, 15, 0, 0));
    assert!(reader.latest_info().unwrap().age().is_some());
}

#[test]
fn a_counter_of_former_growths_may_be_anything() {
    let heap = Heap::new();
    let first = open(&heap, &options()).unwrap();
    first.writer.control().store(crate::layout::control::GROWTHS, u64::MAX);
    kill(first);
    let mut writer = open(&heap, &options()).unwrap();
    writer.publish(&[1; 9_000]).unwrap();
    assert_eq!((writer.statistics().growths, writer.statistics().reused), (1, 0));
}

#[test]
fn a_reader_counts_snapshots_and_the_segments_that_it_maps() {
    for checksum in [false, true] {
        let heap = Heap::new();
        let mut writer = open(&heap, &WriterOptions { checksum, ..options() }).unwrap();
        let mut reader = attach(&heap).unwrap();
        assert!(snapshot(&mut reader).is_err(), "nothing is published yet");
        assert_eq!(reader.statistics(), Default::default());
        for _ in 0..4 {
            writer.publish(&[1; 100]).unwrap();
            snapshot(&mut reader).unwrap();
            snapshot(&mut reader).unwrap();
        }
        let earlier = reader.statistics();
        assert_eq!(
            (earlier.snapshots, earlier.bytes, earlier.remaps),
            (8, 800, 0),
            "the first segments need no mapping"
        );
        writer.publish(&[2; 5_000]).unwrap();
        snapshot(&mut reader).unwrap();
        let since = reader.statistics().diff(&earlier);
        assert_eq!((since.snapshots, since.bytes, since.remaps), (1, 5_000, 1));
        assert_eq!((since.retries, since.give_ups), (0, 0));
        assert_eq!(
            reader.statistics().to_string(),
            "9 snapshots (5800 bytes), 0 retries, 1 remaps, 0 given up"
        );
    }
}

#[test]
fn a_reader_counts_retries_and_given_up_snapshots() {
    let heap = Heap::new();
    let mut writer = open(&heap, &options()).unwrap();
    writer.publish(b"state").unwrap();
    let retry = RetryPolicy::default().attempts(5).deadline(std::time::Duration::ZERO);
    let options = ReaderOptions { retry, ..reader_options() };
    let mut reader = attach_with(&heap, options).unwrap();
    let ring = writer.writer.ring(crate::layout::Side::B);
    let stamp = ring.geometry().slot(0) + crate::layout::segment::slot::STAMP;
    ring.memory().store(stamp, 1);
    assert!(matches!(snapshot(&mut reader), Err(SnapshotError::Contended { attempts: 5, .. })));
    let counted = reader.statistics();
    assert_eq!((counted.retries, counted.give_ups, counted.snapshots), (4, 1, 0), "after the first attempt");
}

#[test]
fn reading_an_earlier_publication_counts_as_a_snapshot() {
    let heap = Heap::new();
    let mut writer = open(&heap, &options()).unwrap();
    let mut reader = attach(&heap).unwrap();
    writer.publish(b"first").unwrap();
    writer.publish(b"second").unwrap();
    let first = crate::layout::Publication::new(1).unwrap();
    let mut payload = Vec::new();
    assert!(reader.read_publication(first, &mut &mut payload).unwrap().is_some());
    assert_eq!(payload, b"first");
    let counted = reader.statistics();
    assert_eq!((counted.snapshots, counted.bytes, counted.remaps), (1, 5, 0));
}
