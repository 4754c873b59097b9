//! Views of publications in place.

use super::*;
use crate::channel::ChannelView;
use crate::layout::{Side, pins};
use crate::memory::{CountingMemory, MemoryMut, Words};

const LEN: usize = 8 << 10;

fn pinned(pins: usize) -> WriterOptions {
    WriterOptions { capacity: LEN, depth: Some(1), pins, ..options() }
}

/// The payload of a publication: no two have a byte in common.
fn payload(number: u64) -> Vec<u8> {
    vec![u8::try_from(number % 251).unwrap(); LEN]
}

fn publish(writer: &mut ChannelWriter, publications: std::ops::RangeInclusive<u64>) {
    for number in publications {
        assert_eq!(writer.publish(&payload(number)).unwrap(), number);
    }
}

fn view(reader: &mut ChannelReader) -> Arc<ChannelView> {
    let view = ChannelView::take(reader, None, true, |reader, copy| reader.snapshot(copy)).unwrap();
    assert_eq!(view.bytes(), payload(view.info.publication()));
    view
}

fn copy(reader: &mut ChannelReader) -> u64 {
    let mut bytes = Vec::new();
    let number = reader.snapshot(&mut &mut bytes).unwrap().publication();
    assert_eq!(bytes, payload(number));
    number
}

/// The page of the pins of the one channel.
fn page(heap: &Heap) -> Words {
    let name = name().objects.object(crate::layout::Kind::Control);
    let words = heap.shared().reopen(&name).unwrap();
    let start = crate::memory::Memory::len(&words) - pins::WORDS;
    words.part(start, pins::WORDS).unwrap()
}

#[test]
fn a_view_shows_its_publication_as_long_as_it_is_held() {
    for depth in [1, 2, 4] {
        let heap = Heap::new();
        let mut writer = open(&heap, &WriterOptions { depth: Some(depth), ..pinned(2) }).unwrap();
        publish(&mut writer, 1..=3);
        let mut reader = attach(&heap).unwrap();
        let third = view(&mut reader);
        assert!(third.is_in_place() && third.is_latest());
        publish(&mut writer, 4..=30);
        let other = view(&mut reader);
        publish(&mut writer, 31..=60);
        for (view, number) in [(&third, 3), (&other, 30)] {
            assert_eq!((view.info.publication(), view.is_latest()), (number, false));
            assert_eq!(view.bytes(), payload(number));
        }
        assert_eq!(copy(&mut reader), 60);
        assert_eq!((writer.growths(), writer.statistics().growths), (0, 0));
        // Each is passed over when its slot's turn comes, and then leads to no position any more.
        assert!(writer.statistics().pinned >= 2, "{:?}", writer.statistics());
    }
}

#[test]
fn without_a_pin_a_view_is_a_copy_and_says_so() {
    let heap = Heap::new();
    let mut writer = open(&heap, &pinned(2)).unwrap();
    let mut reader = attach(&heap).unwrap();
    let mut views = Vec::new();
    for number in 1..=5 {
        publish(&mut writer, number..=number);
        views.push(view(&mut reader));
    }
    let in_place: Vec<bool> = views.iter().map(|view| view.is_in_place()).collect();
    assert_eq!(in_place, [true, true, false, false, false]);
    let statistics = reader.statistics();
    assert_eq!((statistics.views, statistics.copied_views, statistics.snapshots), (5, 3, 3));
    publish(&mut writer, 6..=20);
    for (number, held) in (1..).zip(&views) {
        assert_eq!(held.bytes(), payload(number));
    }
    drop(views);
    assert!(view(&mut reader).is_in_place());
    let without = Heap::new();
    let mut writer = open(&without, &pinned(0)).unwrap();
    publish(&mut writer, 1..=1);
    let copied = view(&mut attach(&without).unwrap());
    publish(&mut writer, 2..=9);
    assert!(!copied.is_in_place() && copied.bytes() == payload(1));
}

#[test]
fn readers_that_always_hold_the_newest_cost_no_segment() {
    let heap = Heap::new();
    // Each takes a view before it drops the former one.
    let mut writer = open(&heap, &pinned(6)).unwrap();
    let mut readers = [(); 3].map(|()| attach(&heap).unwrap());
    publish(&mut writer, 1..=1);
    let mut held = readers.each_mut().map(view);
    let objects = heap.names();
    for number in 2..=200 {
        publish(&mut writer, number..=number);
        let display = usize::try_from(number % 3).unwrap();
        held[display] = view(&mut readers[display]);
        assert!(held[display].is_in_place());
        for view in &held {
            assert_eq!(view.bytes(), payload(view.info.publication()));
        }
    }
    assert_eq!((writer.growths(), heap.names()), (0, objects));
    assert!(writer.statistics().pinned > 50, "{:?}", writer.statistics());
}

#[test]
fn a_view_outlives_its_reader_the_writer_and_the_channel() {
    let heap = Heap::new();
    let mut writer = open(&heap, &pinned(1)).unwrap();
    publish(&mut writer, 1..=1);
    let mut reader = attach(&heap).unwrap();
    let first = view(&mut reader);
    drop(reader);
    publish(&mut writer, 2..=9);
    drop(writer);
    assert!(heap.names().is_empty());
    assert_eq!(first.bytes(), payload(1));
}

#[test]
fn growth_keeps_what_is_viewed() {
    let heap = Heap::new();
    let mut writer = open(&heap, &pinned(2)).unwrap();
    publish(&mut writer, 1..=2);
    let mut reader = attach(&heap).unwrap();
    let second = view(&mut reader);
    for number in 3..=12_u64 {
        writer.publish(&vec![u8::try_from(number).unwrap(); LEN * 4]).unwrap();
    }
    assert_eq!(second.bytes(), payload(2));
    let large = ChannelView::take(&mut reader, None, true, |reader, copy| reader.snapshot(copy)).unwrap();
    assert!(large.is_in_place() && writer.growths() == 2);
    for _ in 0..20 {
        writer.publish(&vec![99; LEN * 4]).unwrap();
    }
    assert_eq!(large.bytes(), vec![12; LEN * 4]);
    assert_eq!(writer.growths(), 2);
}

#[test]
fn a_successor_leaves_alone_what_is_viewed() {
    let heap = Heap::new();
    let mut writer = open(&heap, &WriterOptions { linger: true, ..pinned(2) }).unwrap();
    publish(&mut writer, 1..=7);
    let mut reader = attach(&heap).unwrap();
    let seventh = view(&mut reader);
    publish(&mut writer, 8..=9);
    let mut held = vec![seventh, view(&mut reader)];
    drop(writer);
    for successor in 0..5 {
        let mut writer = open(&heap, &WriterOptions { linger: true, ..pinned(2) }).unwrap();
        assert_eq!(writer.incarnation(), 2 + successor);
        let next = writer.last() + 1;
        publish(&mut writer, next..=next + successor);
        assert_eq!(copy(&mut reader), next + successor);
        if successor == 2 {
            held.remove(0);
            held.push(view(&mut reader));
        }
        for view in &held {
            assert_eq!(view.bytes(), payload(view.info.publication()));
        }
        assert_eq!(writer.growths(), 0);
    }
}

#[test]
fn a_channel_of_another_number_of_pins_is_replaced() {
    let heap = Heap::new();
    let lingering = |pins| WriterOptions { linger: true, ..pinned(pins) };
    let mut writer = open(&heap, &lingering(2)).unwrap();
    publish(&mut writer, 1..=7);
    let mut reader = attach(&heap).unwrap();
    let seventh = view(&mut reader);
    drop(writer);
    for pins in [3, 0, 1] {
        let mut writer = open(&heap, &lingering(pins)).unwrap();
        assert_eq!((writer.last(), writer.incarnation()), (0, 1));
        publish(&mut writer, 1..=3);
        assert_eq!(view(&mut attach(&heap).unwrap()).is_in_place(), pins > 0);
    }
    assert_eq!(seventh.bytes(), payload(7));
    assert!(matches!(open(&heap, &pinned(65)), Err(CreateError::TooManyPins { pins: 65, .. })));
}

#[test]
fn history_is_found_through_the_table() {
    let heap = Heap::new();
    let mut writer = open(&heap, &WriterOptions { depth: Some(2), ..pinned(2) }).unwrap();
    let mut reader = attach(&heap).unwrap();
    let mut held = Vec::new();
    for number in 1..=40 {
        publish(&mut writer, number..=number);
        if number % 7 == 0 {
            held = vec![view(&mut reader)];
        }
        for former in number.saturating_sub(3).max(1)..=number {
            let mut bytes = Vec::new();
            let publication = crate::layout::Publication::new(former).unwrap();
            let info = reader.read_publication(publication, &mut &mut bytes).unwrap();
            assert_eq!((info.unwrap().publication(), &bytes), (former, &payload(former)));
        }
    }
    drop(held);
}

#[test]
fn what_is_viewed_is_in_the_history_until_its_place_is_taken() {
    let heap = Heap::new();
    let mut writer = open(&heap, &pinned(1)).unwrap();
    publish(&mut writer, 1..=2);
    let mut reader = attach(&heap).unwrap();
    let viewed = view(&mut reader);
    publish(&mut writer, 3..=3);
    let mut finds = |is_viewed: bool| {
        let second = crate::layout::Publication::new(2).unwrap();
        let found = reader.read_publication(second, &mut &mut Vec::new()).unwrap();
        assert_eq!(found.is_some(), is_viewed);
    };
    let loan = writer.loan(LEN).unwrap();
    finds(true);
    drop(loan);
    finds(true);
    publish(&mut writer, 4..=4);
    finds(false);
    drop(viewed);
    // Without a view it ends where the loan begins.
    publish(&mut writer, 5..=5);
    drop(writer.loan(LEN).unwrap());
    let fourth = crate::layout::Publication::new(4).unwrap();
    assert!(reader.read_publication(fourth, &mut &mut Vec::new()).unwrap().is_none());
}

#[test]
fn loans_pass_over_what_is_viewed() {
    let heap = Heap::new();
    let mut writer = open(&heap, &pinned(2)).unwrap();
    publish(&mut writer, 1..=2);
    let mut reader = attach(&heap).unwrap();
    let second = view(&mut reader);
    for number in 3..=20 {
        let mut dropped = writer.loan(LEN).unwrap();
        dropped.write_at(0, &[0xee; LEN]);
        drop(dropped);
        let mut forgotten = writer.loan(LEN).unwrap();
        forgotten.write_at(0, &[0xdd; LEN]);
        std::mem::forget(forgotten);
        let mut loan = writer.loan(LEN).unwrap();
        loan.write_at(0, &payload(number));
        assert_eq!(second.bytes(), payload(2));
        assert_eq!(copy(&mut reader), number - 1);
        assert_eq!(loan.publish().unwrap(), number);
    }
    assert_eq!((second.bytes(), writer.growths()), (&*payload(2), 0));
}

#[test]
fn a_checksum_of_a_view_is_verified() {
    let heap = Heap::new();
    let mut writer = open(&heap, &WriterOptions { checksum: true, ..pinned(1) }).unwrap();
    publish(&mut writer, 1..=1);
    let mut reader = attach(&heap).unwrap();
    drop(view(&mut reader));
    let first = writer.writer.ring(Side::B).find(crate::layout::Publication::new(1).unwrap());
    first.write_at(100, &[77]);
    let viewed = ChannelView::take(&mut reader, None, true, |reader, copy| reader.snapshot(copy));
    assert!(matches!(viewed, Err(SnapshotError::Corrupt { publication: 1, .. })), "{viewed:?}");
}

#[test]
fn pins_that_another_program_stores_to_harm_no_state() {
    let heap = Heap::new();
    let mut writer = open(&heap, &pinned(3)).unwrap();
    let page = page(&heap);
    let mut reader = attach(&heap).unwrap();
    let mut random = 1_u64;
    for number in 1..=2_000 {
        publish(&mut writer, number..=number);
        for word in 0..pins::WORDS {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let value = [random >> 32, number, number.saturating_sub(random >> 61), 0];
            page.store(word, value[usize::try_from(random >> 62).unwrap()]);
        }
        assert_eq!(copy(&mut reader), number);
        let viewed =
            ChannelView::take(&mut reader, None, true, |reader, copy| reader.snapshot(copy)).unwrap();
        assert_eq!((viewed.info.publication(), viewed.bytes()), (number, &*payload(number)));
    }
    assert_eq!(heap.names().len(), 1 + usize::from(writer.growths() > 0) * 2);
}

#[test]
fn a_pin_that_another_program_changes_all_the_time_harms_no_publication() {
    for budget in [None, Some(200_000)] {
        let heap = Heap::new();
        let mut all = pinned(1);
        all.budgets.channel = budget;
        let mut writer = open(&heap, &all).unwrap();
        publish(&mut writer, 1..=2);
        let page = page(&heap);
        page.store(pins::PINS, 2);
        publish(&mut writer, 3..=5);
        let both = || {
            // Another program than this library's, which changes the pin all the time.
            let is_other = crate::memory::Memory::load(&page, pins::PINS) == 2;
            page.store(pins::PINS, if is_other { 4 } else { 2 });
        };
        let ends = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ends.load(std::sync::atomic::Ordering::Relaxed) {
                    both();
                }
            });
            for _ in 6..=5_000 {
                let next = writer.last() + 1;
                // A test that fails must not leave the thread running.
                let published = writer.publish(&payload(next));
                if published.is_err() {
                    ends.store(true, std::sync::atomic::Ordering::Relaxed);
                }
                assert_eq!(published.unwrap(), next);
            }
            ends.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(copy(&mut attach(&heap).unwrap()), 5_000);
    }
}

#[test]
fn a_pin_is_taken_from_no_living_reader() {
    let heap = Heap::new();
    let mut writer = open(&heap, &pinned(1)).unwrap();
    publish(&mut writer, 1..=1);
    let page = page(&heap);
    let mut reader = attach(&heap).unwrap();
    let first = view(&mut reader);
    let pin = [pins::PINS, pins::HOLDERS].map(|word| crate::memory::Memory::load(&page, word));
    assert!(pin[0] == 1 && pin[1] != 0);
    publish(&mut writer, 2..=2);
    assert!(!view(&mut attach(&heap).unwrap()).is_in_place());
    drop(first);
    assert!(!page.replace(pins::HOLDERS, pin[1], 0), "it was given back");
    assert!(view(&mut attach(&heap).unwrap()).is_in_place());
}
