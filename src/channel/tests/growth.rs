//! Growing and shrinking while readers are attached.

use super::*;
use crate::channel::PublishError;

#[test]
fn a_channel_grows_for_every_larger_state_and_readers_follow() {
    let heap = Heap::new();
    let mut options = options();
    options.capacity = 16;
    let mut writer = open(&heap, &options).unwrap();
    let mut reader = attach(&heap).unwrap();
    for (round, len) in [0, 1, 100, 5_000, 5_001, 70_000, 3, 1 << 20].into_iter().enumerate() {
        let payload = vec![u8::try_from(round).unwrap(); len];
        let number = writer.publish(&payload).unwrap();
        assert_eq!(snapshot(&mut reader).unwrap(), (number, payload));
    }
    assert!(writer.growths() >= 4 && reader.page().growths() == writer.growths());
    assert_eq!(heap.names().len(), 3, "replaced segments are gone: {:?}", heap.names());
}

#[test]
fn a_state_of_exactly_the_capacity_fits() {
    let heap = Heap::new();
    let mut writer = open(&heap, &options()).unwrap();
    let capacity = writer.capacity();
    writer.publish(&vec![1; capacity]).unwrap();
    writer.publish(&vec![2; capacity]).unwrap();
    assert_eq!(writer.growths(), 0);
    writer.publish(&vec![3; capacity + 1]).unwrap();
    assert_eq!(writer.growths(), 1);
}

#[test]
fn a_single_attempt_is_enough_for_a_reader_of_a_growing_channel() {
    let heap = Heap::new();
    let mut writer = open(&heap, &options()).unwrap();
    let retry = RetryPolicy::default().attempts(1).deadline(std::time::Duration::ZERO);
    let mut reader = attach_with(&heap, ReaderOptions { retry, ..reader_options() }).unwrap();
    for round in 1..200 {
        // Both segments are replaced between any two snapshots.
        writer.shrink_to_fit();
        writer.publish(&vec![1; 3_000 * (round % 7)]).unwrap();
        let number = writer.publish(&vec![2; 5_000 * (round % 5)]).unwrap();
        assert_eq!(snapshot(&mut reader).unwrap(), (number, vec![2; 5_000 * (round % 5)]));
    }
}

#[test]
fn a_deadline_may_be_for_ever() {
    let heap = Heap::new();
    let mut writer = open(&heap, &options()).unwrap();
    writer.publish(b"state").unwrap();
    let retry = RetryPolicy::default().attempts(0).deadline(std::time::Duration::MAX);
    let options = ReaderOptions { retry, ..reader_options() };
    let mut reader = attach_with(&heap, options).unwrap();
    let ring = writer.writer.ring(crate::layout::Side::B);
    let stamp = ring.geometry().slot(0) + crate::layout::segment::slot::STAMP;
    let memory = ring.memory().clone();
    crate::memory::MemoryMut::store(&memory, stamp, 1);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| snapshot(&mut reader).unwrap());
        std::thread::sleep(std::time::Duration::from_millis(20));
        crate::memory::MemoryMut::store(&memory, stamp, 2);
        assert_eq!(waiting.join().unwrap(), (1, b"state".to_vec()));
    });
}

#[test]
fn a_snapshot_of_a_segment_that_was_removed_by_hand_names_it() {
    let heap = Heap::new();
    let mut writer = open(&heap, &options()).unwrap();
    let mut reader = attach(&heap).unwrap();
    writer.publish(&[1; 5_000]).unwrap();
    let name = writer.segments.name(crate::layout::Side::B, 2);
    assert!(Backend::remove_leftover(&heap, &name).unwrap());
    let error = snapshot(&mut reader).unwrap_err();
    assert!(matches!(error, SnapshotError::Object { .. }) && error.to_string().contains(&name), "{error}");
}

#[test]
fn growth_is_geometric_so_that_a_creeping_state_rarely_grows_it() {
    let heap = Heap::new();
    let mut writer = open(&heap, &options()).unwrap();
    for len in 0..100_000 {
        writer.publish(&vec![0; len]).unwrap();
    }
    assert!(writer.growths() <= 2 * 7, "{} growths", writer.growths());
}

#[test]
fn beyond_the_limit_the_published_state_stays() {
    let heap = Heap::new();
    let mut options = options();
    options.max_state_len = 5_000;
    let mut writer = open(&heap, &options).unwrap();
    let mut reader = attach(&heap).unwrap();
    writer.publish(&[1; 5_000]).unwrap();
    let error = writer.publish(&[2; 5_001]).unwrap_err();
    assert!(matches!(error, PublishError::TooLarge { len: 5_001, max_state_len: 5_000, .. }), "{error}");
    assert_eq!(snapshot(&mut reader).unwrap(), (1, vec![1; 5_000]));
    assert_eq!(writer.publish(&[3; 5_000]).unwrap(), 2, "a refused state takes no number");
    assert!(writer.capacity() > 5_000, "the slots have room for more");
    for number in [3, 4] {
        assert!(matches!(writer.publish(&[2; 5_001]), Err(PublishError::TooLarge { .. })));
        assert_eq!(writer.publish(&[4; 5_000]).unwrap(), number);
    }
    kill(writer);
    (options.capacity, options.max_state_len) = (50, 100);
    let mut successor = open(&heap, &options).unwrap();
    for number in [5, 6] {
        assert!(matches!(
            successor.publish(&[2; 101]),
            Err(PublishError::TooLarge { max_state_len: 100, .. })
        ));
        assert_eq!(successor.publish(&[4; 100]).unwrap(), number);
    }
}

#[test]
fn shrinking_gives_memory_back_and_readers_follow() {
    let heap = Heap::new();
    let mut writer = open(&heap, &options()).unwrap();
    let mut reader = attach(&heap).unwrap();
    writer.publish(&[1; 1 << 20]).unwrap();
    writer.publish(&[2; 1 << 20]).unwrap();
    assert!(writer.capacity() >= 1 << 20);
    writer.shrink_to_fit();
    for round in 3..=4 {
        writer.publish(&[round; 10]).unwrap();
        assert_eq!(snapshot(&mut reader).unwrap(), (u64::from(round), vec![round; 10]));
    }
    assert!(writer.capacity() < 4096, "{}", writer.capacity());
    let growths = writer.growths();
    writer.shrink_to_fit();
    writer.publish(&[5; 10]).unwrap();
    writer.publish(&[6; 10]).unwrap();
    assert_eq!(writer.growths(), growths, "nothing to shrink");
}

#[test]
fn the_last_of_the_numbers_is_the_end_also_of_loans() {
    for is_lent in [false, true] {
        let heap = Heap::new();
        let mut writer = open(&heap, &options()).unwrap();
        writer.publish(b"first").unwrap();
        let last = crate::layout::Publication::MAX.get();
        let before = crate::layout::Publication::new(last - 1).unwrap();
        writer.writer.ring(before.side()).write(before, b"before", 0, 0);
        crate::memory::MemoryMut::store(writer.writer.control(), crate::layout::control::PUBLISHED, last - 1);
        kill(writer);
        let mut writer = open(&heap, &options()).unwrap();
        let mut reader = attach(&heap).unwrap();
        let mut loan = writer.loan(4).unwrap();
        loan.write_at(0, b"last");
        let published = if is_lent {
            loan.publish()
        } else {
            drop(loan);
            writer.publish(b"last")
        };
        assert_eq!(published.unwrap(), last);
        assert!(matches!(writer.publish(b"one more"), Err(PublishError::Exhausted { .. })));
        assert!(matches!(writer.loan(3).err().unwrap(), PublishError::Exhausted { .. }));
        assert_eq!(snapshot(&mut reader).unwrap(), (last, b"last".to_vec()));
    }
}

#[test]
fn a_channel_without_its_names_keeps_its_state_but_does_not_grow() {
    let heap = Heap::new();
    let mut writer = open(&heap, &options()).unwrap();
    let mut reader = attach(&heap).unwrap();
    writer.publish(b"one").unwrap();
    writer.publish(b"two").unwrap();
    assert_eq!(snapshot(&mut reader).unwrap().0, 2);
    for object in heap.names() {
        Backend::remove_leftover(&heap, &object).unwrap();
    }
    let mut successor = open(&heap, &options()).unwrap();
    successor.publish(b"of another instance").unwrap();
    assert!(matches!(writer.publish(&[0; 5_000]), Err(PublishError::NamesRemoved { .. })));
    assert_eq!(writer.publish(b"three").unwrap(), 3);
    writer.publish(b"four").unwrap();
    assert_eq!(snapshot(&mut reader).unwrap(), (4, b"four".to_vec()));
    drop(writer);
    assert_eq!(
        snapshot(&mut attach(&heap).unwrap()).unwrap().1,
        b"of another instance",
        "a successor's names stay"
    );
}

#[test]
fn a_sealed_channel_that_gets_no_memory_keeps_its_state() {
    use crate::object::{ObjectError, Sealed, hooked_backend};
    use std::sync::atomic::{AtomicUsize, Ordering};

    // How many calls succeed.
    static LEFT: AtomicUsize = AtomicUsize::new(usize::MAX);
    let no_space = |method, object: &str| {
        let counts = ["reserve", "populate", "grow"].contains(&method);
        match counts
            && LEFT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err()
        {
            true => Err(ObjectError::NoSpace { object: object.into(), bytes: 4096 }),
            false => Ok(()),
        }
    };
    let mut options = options();
    options.max_state_len = 1 << 20;
    let sealed = || hooked_backend(Arc::new(Sealed::create("channel").unwrap()), no_space);
    let open = |backend: &Arc<dyn Backend>| crate::channel::open(backend, &name(), &options);
    let attach = |backend: &Arc<dyn Backend>| crate::channel::attach(backend, &name(), &reader_options());

    // By the number of calls that succeed: the first failure is an error.
    let opens = |left| {
        LEFT.store(left, Ordering::Relaxed);
        match open(&sealed()) {
            Ok(_) => true,
            Err(error) => !matches!(error, CreateError::Object { .. }),
        }
    };
    assert!((0..).find(|left| opens(*left)).unwrap() > 2);
    LEFT.store(usize::MAX, Ordering::Relaxed);
    let backend = sealed();
    let mut writer = open(&backend).unwrap();
    let mut reader = attach(&backend).unwrap();
    for round in 1..4 {
        let (before, len) = (writer.last(), 100_000 * round);
        writer.publish(b"small").unwrap();
        LEFT.store(round % 2, Ordering::Relaxed);
        let error = writer.publish(&vec![7; len]).unwrap_err();
        assert!(matches!(error, PublishError::Growth { .. }), "{error}");
        assert_eq!(snapshot(&mut reader).unwrap(), (before + 1, b"small".to_vec()));
        LEFT.store(usize::MAX, Ordering::Relaxed);
        writer.publish(&vec![7; len]).unwrap();
        // The reader fails at the first larger state, and reads it once there is memory.
        LEFT.store(0, Ordering::Relaxed);
        let error = snapshot(&mut reader).unwrap_err();
        assert!(matches!(error, SnapshotError::Object { .. }), "{error}");
        assert!(reader.latest_info().is_none());
        assert!(attach(&backend).is_err());
        LEFT.store(usize::MAX, Ordering::Relaxed);
        assert_eq!(snapshot(&mut reader).unwrap(), (before + 2, vec![7; len]));
    }
    assert_eq!(writer.growths(), 0, "the segments are the first ones");
}
