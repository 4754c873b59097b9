//! However often writers crash, nothing accumulates, and the last published state stays readable.

use crate::common::{Actor, OwnNamespace, is_pattern, pattern, role, rounds, say};
use rustix::process::Signal;
use tearless::{Bytes, Namespace, Reader, Writer};
use testkit::fork::{Forked, exit_at_once, kill_self};
use testkit::objects::Objects;

const SMALL: usize = 100;
const LARGE: usize = 20_000;

fn writer(namespace: &Namespace) -> Writer<[u8], Bytes> {
    namespace.writer_builder::<[u8]>("worker").codec::<Bytes>().checksum(true).open().unwrap()
}

/// Lets both segments grow and then shrink.
fn resize(writer: &mut Writer<[u8], Bytes>) {
    for len in [LARGE, LARGE + 1] {
        writer.publish(&pattern(len)).unwrap();
    }
    writer.shrink_to_fit();
    for len in [SMALL, SMALL + 1] {
        writer.publish(&pattern(len)).unwrap();
    }
}

/// Opens, publishes, and ends without any cleanup, in one of several ways.
fn crash(namespace: &Namespace, objects: &Objects, round: u32) {
    let mut writer = writer(namespace);
    assert_eq!(objects.listed().len(), 3, "an open leaves the channel's own objects: {:?}", objects.listed());
    match round % 5 {
        0 => exit_at_once(0),
        1 => kill_self(),
        2 => writer.publish(&pattern(SMALL)).map(drop).unwrap(),
        3 => resize(&mut writer),
        // Until the parent kills it.
        _ => loop {
            resize(&mut writer);
        },
    }
    kill_self();
}

/// Spins for a time that differs from round to round, so that kills hit many places.
fn delay(round: u32) {
    for _ in 0..round.wrapping_mul(2_654_435_761) % 100_000 {
        std::hint::spin_loop();
    }
}

/// One crash. Afterwards the last state is readable, and it is not older than the last state
/// before.
fn crash_once(namespace: &Namespace, objects: &Objects, reader: &mut Reader<Vec<u8>, Bytes>, round: u32) {
    let before = reader.publication();
    let child = Forked::start(|| crash(namespace, objects, round));
    if round % 5 == 4 {
        while reader.publication() == before {
            std::thread::yield_now();
        }
        delay(round);
        child.signal(Signal::KILL);
    }
    let status = child.wait();
    let panicked = status.exit_status().is_some_and(|code| code != 0);
    assert!(!panicked, "the writer of round {round} failed");
    let left = objects.listed();
    assert!(left.len() <= 4, "at most one segment that was being replaced is left: {left:?}");
    let snapshot = reader.snapshot().unwrap();
    assert!(is_pattern(&snapshot) && snapshot.publication() >= before);
}

#[test]
fn ten_thousand_crashes_accumulate_nothing() {
    let test = "crashes::ten_thousand_crashes_accumulate_nothing";
    let Some((_, namespace)) = role() else {
        let own = OwnNamespace::new(&["worker"]);
        let mut crasher = Actor::start(test, "crasher", &own);
        println!("{}", crasher.await_line_with("crashes"));
        return crasher.finish();
    };
    let crashes = rounds(200, 10_000);
    let mut first = writer(&namespace);
    // Both sides have grown.
    for len in [LARGE, LARGE + 1] {
        first.publish(&pattern(len)).unwrap();
    }
    first.close_lingering().unwrap();
    let objects = Objects::of(namespace.name(), "worker");
    let mut reader = namespace.reader_builder::<Vec<u8>>("worker").codec::<Bytes>().open().unwrap();
    for round in 0..crashes {
        crash_once(&namespace, &objects, &mut reader, round);
    }
    assert_eq!(reader.incarnation(), u64::from(crashes) + 1, "one and the same channel all the time");
    let last = writer(&namespace);
    assert_eq!(objects.listed().len(), 3);
    let (publications, growths) = (last.publication(), last.growths());
    last.close().unwrap();
    assert_eq!(objects.listed(), Vec::<String>::new());
    say(&format!("{crashes} crashes, {publications} publications, {growths} growths, nothing left"));
}
