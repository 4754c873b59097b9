//! A reader that is killed, stopped, or asleep during ten thousand growths costs the writer
//! nothing, and little memory.

use crate::common::{Actor, OwnNamespace, eventually, is_pattern, orders, pattern, role, say, wait_for_end};
use rustix::process::Signal;
use tearless::{Bytes, Namespace, Reader, Writer};
use testkit::objects::Objects;

const TEST: &str = "readers_that_fail::failing_readers_cost_the_writer_nothing";
const GROWTHS: u64 = 10_000;

fn reader(namespace: &Namespace) -> Reader<Vec<u8>, Bytes> {
    namespace.reader_builder::<Vec<u8>>("worker").codec::<Bytes>().open().unwrap()
}

/// Maps both segments, sleeps until it is ordered to resume, and then sees the latest state.
fn sleep_through(namespace: &Namespace) {
    let mut reader = reader(namespace);
    reader.snapshot().unwrap();
    say("one side");
    let mut orders = orders();
    orders.next();
    let publication = reader.snapshot().unwrap().publication();
    say("both sides");
    orders.next();
    let snapshot = reader.snapshot().unwrap();
    assert!(is_pattern(&snapshot) && snapshot.publication() >= publication + GROWTHS);
    say(&format!("awake at {}", snapshot.publication()));
    wait_for_end();
}

/// Takes snapshots until it is killed.
fn read_for_ever(namespace: &Namespace) {
    let mut reader = reader(namespace);
    for count in 1.. {
        match reader.snapshot() {
            Ok(snapshot) => assert!(is_pattern(&snapshot)),
            // Every publication replaces a segment here, and a reader gets only some of them.
            Err(error) => {
                assert!(matches!(error, tearless::error::SnapshotError::Contended { .. }), "{error}");
            }
        }
        if count == 10 || count % 1_000 == 0 {
            say("reading");
        }
    }
}

/// Replaces both segments with larger ones and then with smaller ones. Every publication must
/// succeed.
fn replace_four(writer: &mut Writer<[u8], Bytes>) {
    for len in [20_000, 20_001] {
        writer.publish(&pattern(len)).unwrap();
    }
    writer.shrink_to_fit();
    for len in [100, 101] {
        writer.publish(&pattern(len)).unwrap();
    }
}

/// At most one old segment of each side, and `more` for a reader that was stopped while it mapped a
/// new one.
fn assert_bounded(objects: &Objects, reader: &Actor, more: usize) {
    let kept = objects.kept_by(reader.pid());
    for side in ["a", "b"] {
        assert!(kept.iter().filter(|kind| kind.starts_with(side)).count() <= 1 + more, "{kept:?}");
    }
    assert!(kept.len() <= 2 + more && !kept.contains(&"c".into()), "{kept:?}");
}

#[test]
fn failing_readers_cost_the_writer_nothing() {
    if let Some((role, namespace)) = role() {
        return if role == "sleeper" { sleep_through(&namespace) } else { read_for_ever(&namespace) };
    }
    let own = OwnNamespace::new(&["worker"]);
    let mut writer = own.writer_builder::<[u8]>("worker").codec::<Bytes>().open().unwrap();
    writer.publish(&pattern(20_000)).unwrap();
    let objects = Objects::of(own.name(), "worker");
    let mut sleeper = Actor::start(TEST, "sleeper", &own);
    sleeper.await_line("one side");
    writer.publish(&pattern(20_000)).unwrap();
    sleeper.order("go on");
    sleeper.await_line("both sides");
    let mut readers: Vec<_> = (0..7).map(|_| Actor::start(TEST, "reader", &own)).collect();
    readers.iter_mut().for_each(|reader| reader.await_line("reading"));
    let mut to_stop = readers.split_off(4);
    let mut stopped = Vec::new();
    let mut to_kill = readers.split_off(1);

    while writer.growths() < GROWTHS {
        replace_four(&mut writer);
        if writer.growths().is_multiple_of(GROWTHS / 10) {
            assert_eq!(objects.listed().len(), 3, "{:?}", objects.listed());
            assert_bounded(&objects, &sleeper, 0);
            stopped.iter().for_each(|reader| assert_bounded(&objects, reader, 1));
        }
        match writer.growths() {
            1_000 | 2_000 | 3_000 => to_kill.pop().unwrap().kill(),
            1_200 | 2_200 | 3_200 => {
                let reader = to_stop.pop().unwrap();
                reader.signal(Signal::STOP);
                stopped.push(reader);
            }
            _ => {}
        }
    }
    assert!(stopped.len() == 3 && to_kill.is_empty(), "every accident happened");
    assert_eq!(objects.kept_by(sleeper.pid()), ["a2", "b2"], "the sleeper keeps its mappings");
    assert_eq!(objects.kept_by(std::process::id()), Vec::<String>::new(), "the writer keeps nothing old");

    sleeper.order("wake up");
    sleeper.await_line_with(&format!("awake at {}", writer.publication()));
    eventually("the woken reader has let go of one side", || objects.kept_by(sleeper.pid()).len() == 1);
    for reader in &mut stopped {
        reader.signal(Signal::CONT);
        reader.await_line("reading");
        // Its output from before the stop may still be unread.
        (0..3).for_each(|_| reader.await_line("reading"));
    }
}
