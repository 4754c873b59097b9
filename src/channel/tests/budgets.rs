//! Budgets: what would exceed them is refused, the published state stays.

use super::*;
use crate::channel::{Budgets, PublishError, SizeLimit};
use crate::object::Backend;

const PAGE: u64 = crate::layout::PAGE_BYTES as u64;

/// Three pages: control page and first segments.
fn options_within(channel: Option<u64>, namespace: Option<u64>) -> WriterOptions {
    WriterOptions { budgets: Budgets { channel, namespace }, ..options() }
}

fn bytes_of(heap: &Heap) -> u64 {
    heap.names().iter().map(|name| heap.size(name).unwrap().bytes).sum()
}

fn refused(result: Result<u64, PublishError>) -> crate::channel::OverBudget {
    match result {
        Err(PublishError::TooLarge { limit: SizeLimit::Budget(over), .. }) => over,
        other => panic!("not refused by a budget: {other:?}"),
    }
}

#[test]
fn a_new_channel_needs_room_for_its_page_and_both_segments() {
    let heap = Heap::new();
    for (channel, namespace) in [(Some(3 * PAGE - 1), None), (None, Some(3 * PAGE - 1))] {
        let error = open(&heap, &options_within(channel, namespace)).map(drop).unwrap_err();
        let CreateError::OverBudget { over, .. } = error else { panic!("{error}") };
        assert_eq!((over.budget, over.used, over.needed), (3 * PAGE - 1, PAGE, 2 * PAGE));
        assert!(heap.names().is_empty(), "nothing was left: {:?}", heap.names());
    }
    open(&heap, &options_within(Some(3 * PAGE), Some(3 * PAGE))).unwrap();
}

#[test]
fn growth_beyond_a_budget_keeps_the_state_and_the_writer() {
    for (channel, namespace) in [(Some(20 * PAGE), None), (None, Some(20 * PAGE))] {
        let heap = Heap::new();
        let mut writer = open(&heap, &options_within(channel, namespace)).unwrap();
        let mut reader = attach(&heap).unwrap();
        assert_eq!(writer.publish(b"first").unwrap(), 1);
        for len in [9 * PAGE, 100 * PAGE] {
            let over = refused(writer.publish(&vec![1; usize::try_from(len).unwrap()]));
            assert_eq!((over.budget, over.used), (20 * PAGE, 3 * PAGE));
            assert!(over.needed > 2 * len, "two slots of that size");
            assert_eq!(snapshot(&mut reader).unwrap(), (1, b"first".to_vec()));
        }
        assert_eq!(writer.publish(&[2; 900]).unwrap(), 2, "a refused state takes no number");
        assert_eq!(writer.publish(&[3; 5_000]).unwrap(), 3, "there is room for a moderate one");
        assert_eq!(snapshot(&mut reader).unwrap(), (3, vec![3; 5_000]));
        assert!(bytes_of(&heap) <= 20 * PAGE);
    }
}

#[test]
fn at_no_moment_is_there_more_than_the_budget() {
    let heap = Heap::new();
    let budget = 40 * PAGE;
    let mut writer = open(&heap, &options_within(Some(budget), None)).unwrap();
    let mut most_refused = 0;
    for len in (0..80_000).step_by(500) {
        // A replaced segment is unlinked when publishing returns; during a growth it exists beside
        // the new one.
        let before = bytes_of(&heap);
        let growths = writer.growths();
        match writer.publish(&vec![4; len]) {
            Ok(_) if writer.growths() > growths => {
                let side = crate::layout::Publication::new(writer.last()).unwrap().side();
                let fresh = writer.writer.ring(side).geometry().object_bytes() as u64;
                assert!(before + fresh <= budget, "{len}: {before} + {fresh}");
            }
            Ok(_) => {}
            refusal => {
                assert!(refused(refusal).used == before);
                most_refused = len;
            }
        }
    }
    assert!(most_refused > 0, "the budget was never met");
    assert!(writer.growths() > 2);
}

#[test]
fn where_doubling_is_too_much_a_segment_that_just_fits_is_made() {
    let heap = Heap::new();
    let mut writer = open(&heap, &options()).unwrap();
    for _ in 0..2 {
        writer.publish(&[5; 3 * 4_096]).unwrap();
    }
    let used = bytes_of(&heap);
    kill(writer);
    // Twice the capacity is some 14 pages, the state alone 7 or 8.
    let mut writer = open(&heap, &options_within(Some(used + 9 * PAGE), None)).unwrap();
    writer.publish(&[6; 3 * 4_096 + 2_000]).unwrap();
    assert_eq!(writer.growths(), 3);
}

#[test]
fn a_channel_above_its_budget_is_resumed_and_may_shrink() {
    let heap = Heap::new();
    let mut writer = open(&heap, &options()).unwrap();
    for _ in 0..2 {
        writer.publish(&[7; 100_000]).unwrap();
    }
    kill(writer);
    let mut options = options_within(Some(5 * PAGE), Some(5 * PAGE));
    options.capacity = 1 << 20;
    let mut writer = open(&heap, &options).unwrap();
    assert_eq!(writer.publish(&[8; 100_000]).unwrap(), 3, "it fits into the current segment");
    assert_eq!(writer.publish(&[9; 100_000]).unwrap(), 4);
    assert_eq!(writer.growths(), 2, "the requested capacity is refused");
    refused(writer.publish(&[10; 1 << 20]));
    writer.shrink_to_fit();
    for number in [5, 6] {
        assert_eq!(writer.publish(&[11; 10]).unwrap(), number);
    }
    assert_eq!(bytes_of(&heap), 5 * PAGE, "a small segment a side, beside the first ones");
}

#[test]
fn other_channels_count_for_the_namespace_and_not_for_the_channel() {
    let heap = Heap::new();
    let other = ChannelName::new("tests", "other").unwrap();
    let _other = crate::channel::open(&heap.shared(), &other, &options()).unwrap();
    assert!(open(&heap, &options_within(Some(3 * PAGE), None)).is_ok());
    assert!(open(&heap, &options_within(None, Some(6 * PAGE))).is_ok());
    let refused = open(&heap, &options_within(None, Some(6 * PAGE - 1)));
    assert!(matches!(refused.map(drop), Err(CreateError::OverBudget { .. })));
    let elsewhere = ChannelName::new("another namespace", "other").unwrap();
    assert!(crate::channel::open(&heap.shared(), &elsewhere, &options_within(None, Some(3 * PAGE))).is_ok());
}

#[test]
fn a_channel_of_another_format_is_replaced_only_within_the_budget() {
    let heap = Heap::new();
    let mut first = open(&heap, &options()).unwrap();
    first.publish(b"state").unwrap();
    let mut reader = attach(&heap).unwrap();
    kill(first);
    let mut options = options_within(Some(6 * PAGE - 1), None);
    options.checksum = true;
    assert!(matches!(open(&heap, &options).map(drop), Err(CreateError::OverBudget { .. })));
    assert_eq!(snapshot(&mut reader).unwrap().1, b"state", "the old one stays");
    options.budgets.channel = Some(6 * PAGE);
    open(&heap, &options).unwrap();
}
