//! A loan is the next slot, filled in place: published it is a state like any other, and dropped it
//! leaves nothing, also by a panic or a kill.

use std::io::{ErrorKind, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use crate::common::{Actor, OwnNamespace, eventually, role, rounds, say, wait_for_end};
use tearless::{
    Boxed, Bytes, MessagePack, Namespace, Pod, Reader, Writer, WriterBuilder,
    error::{PublishError, SnapshotError},
    field_of,
    hub::Health,
    options::{WaitPolicy, WakeMode},
};
use testkit::fork::fork;
use testkit::objects::Objects;

/// Bytes that need a larger segment.
const LARGE: usize = 20_000;

const FOREVER: Duration = Duration::from_secs(3600);

type BytesWriter = Writer<[u8], Bytes>;
type BytesReader = Reader<Vec<u8>, Bytes>;

#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Frame {
    number: u64,
    rows: [[u8; 100]; 200],
}

/// The state of publication `number`, whose length depends on it, too.
fn content(number: u64) -> Vec<u8> {
    let len = match number % 8 {
        0 => LARGE + usize::try_from(number % 5_000).unwrap(),
        small => usize::try_from(small * 37 + number % 11).unwrap(),
    };
    (0..len as u64).map(|at| (number.wrapping_mul(0x9e37_79b9) + at * 7).to_le_bytes()[1]).collect()
}

fn builder(namespace: &Namespace) -> WriterBuilder<[u8], Bytes> {
    namespace.writer_builder::<[u8]>("camera").codec::<Bytes>()
}

fn reader(namespace: &Namespace) -> BytesReader {
    namespace.reader_builder::<Vec<u8>>("camera").codec::<Bytes>().open().unwrap()
}

/// Fills a loan, or begins to, through a reference.
fn fill(loan: &mut tearless::Loan<'_, [u8], Bytes>, bytes: &[u8]) {
    // SAFETY: only the test's processes store to the channel's memory, one after the other.
    let memory = unsafe { loan.lend().into_mut() };
    memory[..bytes.len()].copy_from_slice(bytes);
}

/// Publishes by each kind of loan in turn, after others that are dropped.
fn publish(writer: &mut BytesWriter, kind: u64) -> u64 {
    let next = writer.publication() + 1;
    let bytes = content(next);
    let wrong = vec![0xee; bytes.len() + 100];
    match kind % 7 {
        0 => drop(writer.loan(wrong.len()).unwrap()),
        1 => writer.loan(wrong.len()).unwrap().write_at(0, &wrong),
        2 => fill(&mut writer.loan(2 * LARGE).unwrap(), &wrong),
        3 => {
            let panics = || {
                fill(&mut writer.loan(wrong.len()).unwrap(), &wrong);
                std::panic::resume_unwind(Box::new(()));
            };
            assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        }
        4 => std::mem::forget(writer.loan(2 * LARGE).unwrap()),
        5 => writer.shrink_to_fit(),
        _ => {}
    }
    let mut loan = writer.loan(bytes.len()).unwrap();
    let number = match kind % 5 {
        0 => {
            bytes.chunks(333).enumerate().for_each(|(part, it)| loan.write_at(333 * part, it));
            loan.publish().unwrap()
        }
        1 => {
            fill(&mut loan, &bytes);
            loan.publish().unwrap()
        }
        2 => {
            let mut sink = loan.sink();
            sink.write_all(&bytes).unwrap();
            sink.publish().unwrap()
        }
        3 => {
            drop(loan);
            writer.encode(&bytes).unwrap().publish().unwrap()
        }
        _ => {
            drop(loan);
            writer.publish(&bytes).unwrap()
        }
    };
    assert_eq!(number, next);
    number
}

#[track_caller]
fn check(reader: &mut BytesReader) -> u64 {
    let snapshot = reader.snapshot().unwrap();
    assert_eq!(*snapshot, content(snapshot.publication()), "publication {}", snapshot.publication());
    snapshot.publication()
}

#[test]
fn every_kind_of_loan_publishes_what_it_was_filled_with() {
    let own = OwnNamespace::new(&["camera"]);
    for namespace in [&*own, &Namespace::in_process("loans").unwrap()] {
        for checksum in [false, true] {
            let mut writer = builder(namespace).checksum(checksum).open().unwrap();
            let mut reader = reader(namespace);
            for kind in 0..70 {
                let number = publish(&mut writer, kind);
                assert_eq!(check(&mut reader), number);
            }
            let statistics = writer.statistics();
            let bytes = (1..=70).map(|number| content(number).len() as u64).sum::<u64>();
            assert_eq!((statistics.publications, statistics.bytes, statistics.failed), (70, bytes, 0));
            assert!(statistics.growths > 0);
            writer.close().unwrap();
        }
    }
}

#[test]
fn a_value_is_filled_by_fields_or_by_reference() {
    let own = OwnNamespace::new(&["camera"]);
    for namespace in [&*own, &Namespace::in_process("loans").unwrap()] {
        let mut writer = namespace.writer_builder::<Boxed<Frame>>("camera").codec::<Pod>().open().unwrap();
        let mut reader = namespace.reader_builder::<Frame>("camera").codec::<Pod>().open().unwrap();
        for number in 1..100_u8 {
            let mut loan = writer.loan().unwrap();
            assert_eq!(loan.len(), size_of::<Frame>());
            if number.is_multiple_of(2) {
                loan.set(field_of!(Frame, number), &u64::from(number));
                (0..200).for_each(|row| loan.set(field_of!(Frame, rows).index(row), &[number; 100]));
            } else {
                // SAFETY: only this process stores to the channel's memory.
                let frame: &mut Frame = unsafe { loan.lend().into_mut() };
                *frame = Frame { number: number.into(), rows: [[number; 100]; 200] };
            }
            assert_eq!(loan.publish().unwrap(), u64::from(number));
            let expected = Frame { number: number.into(), rows: [[number; 100]; 200] };
            assert_eq!(*reader.snapshot().unwrap(), expected);
        }
        let mut changed = writer.encode(&Boxed::zeroed()).unwrap();
        changed.set(field_of!(Frame, number), &7);
        changed.publish().unwrap();
        assert_eq!(*reader.snapshot().unwrap(), Frame { number: 7, rows: [[0; 100]; 200] });
    }
}

#[test]
fn a_sink_has_what_was_written_and_no_more_than_was_asked_for() {
    let own = OwnNamespace::new(&["camera"]);
    let mut writer = builder(&own).open().unwrap();
    let mut reader = reader(&own);
    let mut sink = writer.loan(LARGE).unwrap().sink();
    std::io::copy(&mut std::io::repeat(7).take(9_999), &mut sink).unwrap();
    assert_eq!(sink.written(), 9_999);
    sink.publish().unwrap();
    assert_eq!(*reader.snapshot().unwrap(), [7; 9_999]);
    let mut sink = writer.loan(10).unwrap().sink();
    serde_json::to_writer(&mut sink, &[1, 2, 3]).unwrap();
    let error = sink.write_all(b"four").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(error.to_string(), "the loan of channel \"camera\" has 10 bytes: ask for a larger one");
    assert_eq!(sink.publish().unwrap(), 2);
    assert_eq!(*reader.snapshot().unwrap(), b"[1,2,3]");
}

#[test]
fn a_state_that_was_encoded_early_is_published_later() {
    let own = OwnNamespace::new(&["worker"]);
    let mut writer: Writer<Vec<String>, MessagePack> = own.writer("worker").unwrap();
    let mut reader: Reader<Vec<String>> = own.reader("worker").unwrap();
    let state = |text: &str| vec![text.to_owned(); 300];
    writer.publish(&state("one")).unwrap();
    let loan = writer.encode(&state("two")).unwrap();
    assert_eq!((loan.publication(), &*reader.snapshot().unwrap()), (2, &state("one")));
    loan.publish().unwrap();
    assert_eq!(*reader.snapshot().unwrap(), state("two"));
    drop(writer.encode(&state("never")).unwrap());
    assert_eq!(writer.publish_if_changed(&state("three")).unwrap(), Some(3));
    assert_eq!(writer.publish_if_changed(&state("three")).unwrap(), None);
    // A dropped loan is no publication, a published one is another state than the remembered one.
    drop(writer.encode(&state("never")).unwrap());
    assert_eq!(writer.publish_if_changed(&state("three")).unwrap(), None);
    writer.encode(&state("four")).unwrap().publish().unwrap();
    assert_eq!(writer.publish_if_changed(&state("three")).unwrap(), Some(5));
    assert_eq!(*writer.latest().unwrap().unwrap(), state("three"));
}

#[test]
fn a_dropped_loan_costs_the_history_its_oldest_state() {
    let namespace = Namespace::in_process("loans").unwrap();
    let mut writer = builder(&namespace).slots(4).open().unwrap();
    let mut reader = reader(&namespace);
    (1..=4).for_each(|byte| assert_eq!(writer.publish(&[byte; 20]).unwrap(), u64::from(byte)));
    let mut held = || reader.history().map(|it| it.unwrap().publication()).collect::<Vec<_>>();
    assert_eq!(held(), [4, 3, 2, 1]);
    // One in a fresh segment costs nothing until it is published.
    drop(writer.loan(LARGE).unwrap());
    assert_eq!(held(), [4, 3, 2, 1]);
    let loan = writer.loan(20).unwrap();
    assert_eq!(held(), [4, 3, 2]);
    drop(loan);
    assert_eq!(held(), [4, 3, 2]);
    let slots = namespace.inspect("camera").unwrap().segments.map(|segment| segment.unwrap().slots);
    let states = slots.iter().flatten().filter(|slot| slot.state == tearless::inspect::SlotState::Empty);
    assert_eq!(states.count(), 1, "the inspection shows no trace of the loan");
    writer.publish(&[5; 20]).unwrap();
    assert_eq!(held(), [5, 4, 3, 2]);
}

/// The torture: random loans beside readers in threads and in this process, and kills.
#[test]
fn readers_beside_loans_get_what_was_published() {
    let test = "loans::readers_beside_loans_get_what_was_published";
    if let Some((_, namespace)) = role() {
        let mut writer = builder(&namespace).slots(2).open().unwrap();
        say("open");
        // Until it is killed.
        let mut random = u64::from(std::process::id());
        loop {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            publish(&mut writer, random >> 33);
        }
    }
    let own = OwnNamespace::new(&["camera"]);
    let mut last = 0;
    for _ in 0..rounds(8, 200) {
        let mut actor = Actor::start(test, "writer", &own);
        actor.await_line("open");
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut reader = reader(&own);
                    let mut before = 0;
                    while before < last + 2_000 {
                        match reader.snapshot() {
                            Ok(snapshot) => {
                                assert!(snapshot.publication() >= before);
                                before = snapshot.publication();
                                assert_eq!(*snapshot, content(before), "publication {before}");
                            }
                            Err(SnapshotError::Empty { .. } | SnapshotError::Contended { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
            }
        });
        actor.kill();
        let found = check(&mut reader(&own));
        assert!(found >= last + 2_000);
        last = found;
        let objects = Objects::of(own.name(), "camera").listed();
        assert!(objects.len() <= 3, "{objects:?}");
    }
    let objects = Objects::of(own.name(), "camera");
    let mut writer = builder(&own).slots(2).open().unwrap();
    // Large states have even numbers, so one side has grown.
    assert_eq!(objects.listed().len(), 2, "a successor removes what a loan has left");
    assert_eq!(publish(&mut writer, 1), last + 1);
    writer.close().unwrap();
    assert_eq!(objects.listed(), Vec::<String>::new());
}

/// Only a wake-up ends the sleep, not the end of a slice: a lost one is a test that never ends.
#[test]
fn a_published_loan_wakes_who_fell_asleep_beside_it() {
    let sleeping = WaitPolicy::default().spin(Duration::ZERO).slice(FOREVER);
    for (wake_mode, len) in
        [WakeMode::Barriers, WakeMode::Fences].into_iter().flat_map(|it| [(it, 3), (it, LARGE)])
    {
        let own = OwnNamespace::new(&["camera"]);
        let mut writer = builder(&own).wake_mode(wake_mode).open().unwrap();
        writer.publish(&[1; 3]).unwrap();
        let sleeper = own.reader_builder::<Vec<u8>>("camera").codec::<Bytes>().wait_policy(sleeping);
        let mut sleeper = sleeper.open().unwrap();
        let loan = writer.loan(len).unwrap();
        thread::scope(|scope| {
            let woken = scope.spawn(move || sleeper.wait_after(1, FOREVER).unwrap().unwrap().publication());
            // It has time to fall asleep.
            thread::sleep(Duration::from_millis(50));
            loan.publish().unwrap();
            assert_eq!(woken.join().unwrap(), 2, "{wake_mode:?}, {len} bytes");
        });
    }
}

#[test]
fn a_writer_that_touches_its_loan_is_not_stalled() {
    let own = OwnNamespace::new(&["camera"]);
    let mut writer = builder(&own).heartbeat_interval(Duration::from_millis(100)).open().unwrap();
    writer.publish(b"one").unwrap();
    let hub = own.hub();
    let is_stalled = || matches!(hub.status("camera").unwrap().health, Health::Stalled { .. });
    let mut loan = writer.loan(3).unwrap();
    eventually("it is called stalled", is_stalled);
    eventually("a heartbeat helps", || {
        loan.touch().unwrap();
        !is_stalled()
    });
}

#[test]
fn a_writer_that_is_killed_with_a_loan_leaves_the_last_state() {
    let test = "loans::a_writer_that_is_killed_with_a_loan_leaves_the_last_state";
    if let Some((len, namespace)) = role() {
        let mut writer = builder(&namespace).open().unwrap();
        let next = publish(&mut writer, 0) + 1;
        let len: usize = len.parse().unwrap();
        let mut loan = writer.loan(len).unwrap();
        fill(&mut loan, &vec![0xee; len]);
        say(&format!("{next} is filled"));
        wait_for_end();
        unreachable!("killed");
    }
    let own = OwnNamespace::new(&["camera"]);
    let objects = || Objects::of(own.name(), "camera");
    for (last, len) in (1..).zip(["20", "100000", "3", "50000"]) {
        let mut actor = Actor::start(test, len, &own);
        actor.await_line("is filled");
        let grown = objects().listed().len();
        actor.kill();
        assert_eq!(check(&mut reader(&own)), last);
        let inspection = own.inspect("camera").unwrap();
        assert_eq!(inspection.unfinished(), Some(last + 1));
        assert_eq!(objects().listed().len(), grown);
    }
    let objects = objects();
    let mut writer = builder(&own).open().unwrap();
    assert_eq!(publish(&mut writer, 6), 5);
    assert_eq!(check(&mut reader(&own)), 5);
    writer.close().unwrap();
    assert_eq!(objects.listed(), Vec::<String>::new());
}

#[test]
fn a_fork_can_neither_publish_nor_drop_the_loan_of_its_parent() {
    let test = "loans::a_fork_can_neither_publish_nor_drop_the_loan_of_its_parent";
    if let Some((_, namespace)) = role() {
        let mut writer = builder(&namespace).open().unwrap();
        let bytes = content(8);
        for number in 1..8 {
            writer.publish(&content(number)).unwrap();
        }
        let mut loan = Some(writer.loan(bytes.len()).unwrap());
        loan.as_mut().unwrap().write_at(0, &bytes);
        for drops in [true, false] {
            let child = fork(|| {
                let mut loan = loan.take().unwrap();
                loan.write_at(0, &vec![0xee; bytes.len()]);
                let refused = drops || matches!(loan.publish(), Err(PublishError::Forked { .. }));
                say(&format!("refused {refused}"));
            });
            rustix::process::waitpid(Some(child), rustix::process::WaitOptions::empty()).unwrap();
        }
        let published = loan.unwrap().publish().unwrap();
        say(&format!("published {published}"));
        return wait_for_end();
    }
    let own = OwnNamespace::new(&["camera"]);
    let mut actor = Actor::start(test, "forking", &own);
    actor.await_line("refused true");
    actor.await_line("refused true");
    actor.await_line("published 8");
    assert_eq!(check(&mut reader(&own)), 8);
    actor.finish();
}
