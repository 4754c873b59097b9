//! Loans: published, dropped, forgotten, and given up by a panic, also where the channel grows.

use super::*;
use crate::channel::PublishError;
use crate::layout::Side;
use crate::seqlock::{SlotStatus, WakeMode};

/// Bytes that need a larger segment.
const LARGE: usize = 5_000;

fn payload(number: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (number * 89 + at).to_le_bytes()[0]).collect()
}

/// Publishes by a loan, filled from its end.
fn lend(writer: &mut ChannelWriter, bytes: &[u8]) -> Result<u64, PublishError> {
    let mut loan = writer.loan(bytes.len())?;
    for (index, part) in bytes.chunks(13).enumerate().collect::<Vec<_>>().into_iter().rev() {
        loan.write_at(13 * index, part);
    }
    loan.publish()
}

#[test]
fn a_published_loan_is_a_publication() {
    for (checksum, wake_mode) in
        [(false, WakeMode::Barriers), (true, WakeMode::Barriers), (false, WakeMode::Fences)]
    {
        let heap = Heap::new();
        let mut writer = open(&heap, &WriterOptions { checksum, wake_mode, ..options() }).unwrap();
        let mut reader = attach(&heap).unwrap();
        for (number, len) in (1..).zip([0, 1, 13, 900, LARGE, LARGE + 1, 20, 21, 4_096, 4_097, 70_000]) {
            let bytes = payload(number, len);
            assert_eq!(lend(&mut writer, &bytes).unwrap(), number);
            assert_eq!(snapshot(&mut reader).unwrap(), (number, bytes), "{checksum}");
            let info = reader.latest_info().unwrap();
            assert!(info.age().is_some() && info.publication() == number);
        }
        assert!(writer.growths() > 2 && reader.page().growths() == writer.growths());
        assert_eq!(heap.names().len(), 3, "{:?}", heap.names());
    }
}

#[test]
fn a_loan_is_timestamped_when_it_is_published() {
    let heap = Heap::new();
    let mut writer = open(&heap, &options()).unwrap();
    let mut reader = attach(&heap).unwrap();
    let loan = writer.loan(3).unwrap();
    let pause = std::time::Duration::from_millis(3);
    std::thread::sleep(pause);
    let filled = std::time::Instant::now();
    loan.publish().unwrap();
    snapshot(&mut reader).unwrap();
    assert!(reader.latest_info().unwrap().age().unwrap() <= filled.elapsed());
}

#[test]
fn a_dropped_loan_leaves_the_state_the_number_and_no_segment() {
    let heap = Heap::new();
    let mut writer = open(&heap, &options()).unwrap();
    let mut reader = attach(&heap).unwrap();
    for len in [20, LARGE] {
        for number in 1..=6 {
            let names = heap.names();
            let last = writer.last();
            let statistics = writer.statistics();
            for dropped in [3, len, LARGE, 2 * LARGE, 100_000] {
                let mut loan = writer.loan(dropped).unwrap();
                loan.write_at(0, &vec![0xee; dropped]);
                assert_eq!(loan.publication(), last + 1);
                drop(loan);
                assert_eq!(heap.names(), names);
            }
            assert_eq!((writer.last(), writer.statistics()), (last, statistics));
            if last > 0 {
                assert_eq!(snapshot(&mut reader).unwrap(), (last, payload(last, len.min(20))));
            }
            let bytes = payload(last + 1, 20);
            assert_eq!(writer.publish(&bytes).unwrap(), last + 1, "{number}");
            assert_eq!(snapshot(&mut reader).unwrap(), (last + 1, bytes));
        }
    }
    assert_eq!(writer.growths(), 0);
    drop(writer);
    assert!(heap.names().is_empty());
}

#[test]
fn a_panic_drops_its_loan() {
    let heap = Heap::new();
    let mut writer = open(&heap, &options()).unwrap();
    let mut reader = attach(&heap).unwrap();
    writer.publish(b"one").unwrap();
    for len in [3, LARGE] {
        let panics = std::panic::AssertUnwindSafe(|| {
            let mut loan = writer.loan(len).unwrap();
            loan.write_at(len - 1, b"ab");
        });
        let panic = std::panic::catch_unwind(panics).unwrap_err();
        let text = panic.downcast_ref::<String>().unwrap();
        assert!(text.contains("beyond the loan of channel \"channel\""), "{text}");
        assert_eq!((heap.names().len(), snapshot(&mut reader).unwrap().0), (1, 1));
    }
    assert_eq!(lend(&mut writer, b"two").unwrap(), 2);
    assert_eq!(snapshot(&mut reader).unwrap(), (2, b"two".to_vec()));
}

#[test]
fn a_forgotten_loan_is_dropped_by_the_next_use_or_the_end() {
    for then in 0..4 {
        let heap = Heap::new();
        let mut writer = open(&heap, &options()).unwrap();
        let mut reader = attach(&heap).unwrap();
        writer.publish(b"one").unwrap();
        std::mem::forget(writer.loan(LARGE).unwrap());
        assert_eq!(heap.names().len(), 2);
        let (bytes, names) = (payload(2, [20, 20, 3 * LARGE, 0][then]), [1, 1, 2, 0][then]);
        match then {
            0 => drop(writer.publish(&bytes).unwrap()),
            3 => writer.end().unwrap(),
            _ => drop(lend(&mut writer, &bytes).unwrap()),
        }
        assert_eq!(heap.names().len(), names, "{then}: {:?}", heap.names());
        if then < 3 {
            assert_eq!(snapshot(&mut reader).unwrap(), (2, bytes));
        }
        drop(writer);
        assert!(heap.names().is_empty());
    }
}

/// Of each side: `capacity` is that of the smaller one.
fn capacities(writer: &ChannelWriter) -> [usize; 2] {
    Side::BOTH.map(|side| writer.writer.ring(side).geometry().capacity())
}

#[test]
fn what_was_scheduled_for_a_dropped_loan_stays_scheduled() {
    let heap = Heap::new();
    let mut writer = open(&heap, &options()).unwrap();
    for number in 1..=2 {
        writer.publish(&payload(number, 50_000)).unwrap();
    }
    writer.shrink_to_fit();
    drop(writer.loan(10).unwrap());
    assert!(capacities(&writer).iter().all(|it| *it >= 50_000));
    for number in 3..=4 {
        assert_eq!(lend(&mut writer, b"small").unwrap(), number);
    }
    assert!(capacities(&writer).iter().all(|it| *it < LARGE), "{:?}", capacities(&writer));
}

#[test]
fn a_forgotten_loan_does_not_undo_what_was_scheduled_later() {
    let heap = Heap::new();
    let mut writer = open(&heap, &options()).unwrap();
    for number in 1..=2 {
        writer.publish(&payload(number, 50_000)).unwrap();
    }
    std::mem::forget(writer.loan(200_000).unwrap());
    writer.shrink_to_fit();
    for _ in 3..=4 {
        writer.publish(b"small").unwrap();
    }
    assert!(capacities(&writer).iter().all(|it| *it < LARGE), "{:?}", capacities(&writer));
}

#[test]
fn the_end_takes_back_a_forgotten_loan() {
    let heap = Heap::new();
    let mut writer = open(&heap, &WriterOptions { linger: true, ..options() }).unwrap();
    writer.publish(b"one").unwrap();
    std::mem::forget(writer.loan(3).unwrap());
    let next = writer.writer.next().unwrap();
    let ring = writer.writer.ring(next.side()).clone();
    let status = || ring.look(next.side(), ring.geometry().position(next.turn())).0;
    assert_eq!(status(), SlotStatus::Writing(next));
    writer.end().unwrap();
    assert_eq!(status(), SlotStatus::Empty);
}

#[test]
fn a_loan_is_refused_as_a_publication_is() {
    let heap = Heap::new();
    let mut writer = open(&heap, &WriterOptions { max_state_len: LARGE, ..options() }).unwrap();
    let mut reader = attach(&heap).unwrap();
    lend(&mut writer, &payload(1, LARGE)).unwrap();
    let too_large = writer.loan(LARGE + 1).err().unwrap();
    assert!(matches!(too_large, PublishError::TooLarge { len, .. } if len == LARGE + 1), "{too_large}");
    let loan = writer.loan(3).unwrap();
    assert_eq!(loan.len(), 3);
    drop(loan);
    assert_eq!((writer.statistics().failed, writer.statistics().bytes), (1, LARGE as u64));
    writer.owner = ForkToken::of_another_process();
    assert!(matches!(writer.loan(3).err().unwrap(), PublishError::Forked { .. }));
    assert_eq!(writer.statistics().failed, 2);
    assert_eq!(snapshot(&mut reader).unwrap(), (1, payload(1, LARGE)));
}

/// A fork has the loan of its parent, and stores and removes nothing.
#[test]
fn a_loan_in_a_fork_does_nothing() {
    for len in [20, LARGE] {
        let heap = Heap::new();
        let mut writer = open(&heap, &options()).unwrap();
        let mut reader = attach(&heap).unwrap();
        writer.publish(b"one").unwrap();
        let mut loan = writer.loan(len).unwrap();
        loan.write_at(0, &payload(2, len));
        let (ours, names) = (loan.writer.owner, heap.names());
        loan.writer.owner = ForkToken::of_another_process();
        loan.write_at(0, &vec![0xee; len]);
        let mut found = vec![0; len];
        loan.slot().read(0, &mut found);
        assert_eq!(found, payload(2, len));
        loan.writer.owner = ours;
        assert_eq!(loan.publish().unwrap(), 2);
        assert_eq!(snapshot(&mut reader).unwrap(), (2, payload(2, len)));

        let loan = writer.loan(3 * LARGE).unwrap();
        let made = heap.names();
        assert!(made.len() > names.len() || len == LARGE);
        loan.writer.owner = ForkToken::of_another_process();
        assert!(matches!(loan.publish(), Err(PublishError::Forked { .. })));
        writer.owner = ours;
        // The fork has unlinked nothing that the refused loan made.
        assert_eq!(heap.names(), made);
        assert_eq!(snapshot(&mut reader).unwrap().0, 2);
        assert_eq!(lend(&mut writer, b"three").unwrap(), 3);
        drop(writer);
        assert!(heap.names().is_empty());
    }
}
