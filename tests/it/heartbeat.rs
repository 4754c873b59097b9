//! A writer shows that it is alive without publishing, publishes only changes, and promises how
//! often.

use std::time::{Duration, Instant};

use crate::common::{Actor, OwnNamespace, role, say, wait_for_end};
use tearless::{Bytes, Namespace, Pod, Reader, Writer, error::PublishError};
use testkit::fork::fork;

fn namespace() -> Namespace {
    Namespace::in_process("tests").unwrap()
}

fn writer(namespace: &Namespace) -> Writer<u64, Pod> {
    namespace.writer_builder("worker").codec::<Pod>().linger(true).open().unwrap()
}

fn reader(namespace: &Namespace) -> Reader<u64, Pod> {
    namespace.reader_builder("worker").codec::<Pod>().open().unwrap()
}

/// Whether the last heartbeat came after `moment`.
fn has_come_after(moment: Instant, heartbeat: Option<Duration>) -> bool {
    heartbeat.expect("there was one") < moment.elapsed()
}

/// A time that is later than everything before and earlier than everything after, on every clock.
fn moment() -> Instant {
    std::thread::sleep(Duration::from_millis(1));
    let moment = Instant::now();
    std::thread::sleep(Duration::from_millis(1));
    moment
}

#[test]
fn a_touch_is_seen_and_publishes_nothing() {
    let namespace = namespace();
    let mut writer = writer(&namespace);
    let reader = reader(&namespace);
    writer.publish(&1).unwrap();
    assert_eq!(reader.heartbeat_age(), None, "a publication is no heartbeat");
    let begin = moment();
    writer.touch().unwrap();
    assert!(has_come_after(begin, reader.heartbeat_age()));
    assert_eq!(reader.publication(), 1);
    let later = moment();
    assert!(!has_come_after(later, reader.heartbeat_age()));
    writer.touch().unwrap();
    assert!(has_come_after(later, reader.heartbeat_age()));
}

#[test]
fn a_successor_has_a_heartbeat_and_an_interval_of_its_own() {
    let namespace = namespace();
    let interval = Duration::from_millis(250);
    let builder = namespace.writer_builder::<u64>("worker").codec::<Pod>().linger(true);
    let mut first = builder.clone().heartbeat_interval(interval).open().unwrap();
    let reader = reader(&namespace);
    first.touch().unwrap();
    assert!(reader.heartbeat_age().is_some());
    assert_eq!(reader.heartbeat_interval(), Some(interval));
    drop(first);
    assert!(reader.heartbeat_age().is_some(), "the heartbeat stays until a successor opens the channel");
    drop(builder.clone().open().unwrap());
    assert_eq!((reader.heartbeat_age(), reader.heartbeat_interval()), (None, None));
    drop(builder.clone().heartbeat_interval(Duration::MAX).open().unwrap());
    assert_eq!(reader.heartbeat_interval(), Some(Duration::from_nanos(u64::MAX)));
    drop(builder.heartbeat_interval(Duration::ZERO).open().unwrap());
    assert_eq!(reader.heartbeat_interval(), None, "zero promises nothing");
}

#[test]
fn publish_if_changed_publishes_only_changes() {
    let namespace = namespace();
    let mut writer = writer(&namespace);
    let mut reader = reader(&namespace);
    assert_eq!(writer.publish_if_changed(&5).unwrap(), Some(1), "the first call publishes");
    assert!(reader.heartbeat_age().is_some());
    let begin = moment();
    assert_eq!(writer.publish_if_changed(&5).unwrap(), None);
    assert!(has_come_after(begin, reader.heartbeat_age()));
    assert_eq!(writer.publish_if_changed(&6).unwrap(), Some(2));
    assert_eq!(*reader.snapshot().unwrap(), 6);
    assert_eq!(writer.publish_if_changed(&6).unwrap(), None);
    writer.shrink_to_fit();
    assert_eq!(writer.publish_if_changed(&6).unwrap(), Some(3), "the payload to compare with was released");
    assert_eq!(writer.publish_if_changed(&6).unwrap(), None);
}

#[test]
fn publish_if_changed_notices_an_ordinary_publication() {
    let namespace = namespace();
    let mut writer = writer(&namespace);
    let mut reader = reader(&namespace);
    writer.publish_if_changed(&5).unwrap();
    writer.publish(&7).unwrap();
    assert_eq!(writer.publish_if_changed(&5).unwrap(), Some(3), "5 is not the current state");
    assert_eq!(*reader.snapshot().unwrap(), 5);
    assert_eq!(writer.publish_if_changed(&5).unwrap(), None);
}

#[test]
fn the_first_call_after_a_takeover_publishes() {
    let namespace = namespace();
    let mut first = writer(&namespace);
    assert_eq!(first.publish_if_changed(&5).unwrap(), Some(1));
    drop(first);
    let mut second = writer(&namespace);
    assert_eq!(second.publish_if_changed(&5).unwrap(), Some(2));
    assert_eq!(second.publish_if_changed(&5).unwrap(), None);
}

#[test]
fn a_failed_publication_counts_as_changed_and_is_no_heartbeat() {
    let namespace = namespace();
    let builder = namespace.writer_builder::<[u8]>("worker").codec::<Bytes>().max_state_len(8);
    let mut writer = builder.open().unwrap();
    let reader = namespace.reader_builder::<Vec<u8>>("worker").codec::<Bytes>();
    let mut reader = reader.type_name(<Bytes as tearless::Codec<[u8]>>::type_name()).open().unwrap();
    assert_eq!(writer.publish_if_changed(b"small").unwrap(), Some(1));
    let begin = moment();
    for _ in 0..2 {
        let error = writer.publish_if_changed(b"larger than that").unwrap_err();
        assert!(matches!(error, PublishError::TooLarge { len: 16, max_state_len: 8, .. }), "{error}");
    }
    assert!(!has_come_after(begin, reader.heartbeat_age()));
    assert_eq!(writer.publish_if_changed(b"small").unwrap(), Some(2));
    assert_eq!(*reader.snapshot().unwrap(), b"small");
}

#[test]
fn a_fork_gives_no_heartbeat() {
    if let Some((_, namespace)) = role() {
        let mut writer = namespace.writer_builder::<u64>("worker").codec::<Pod>().open().unwrap();
        writer.publish_if_changed(&1).unwrap();
        let child = fork(|| {
            let touched = matches!(writer.touch(), Err(PublishError::Forked { .. }));
            let same = matches!(writer.publish_if_changed(&1), Err(PublishError::Forked { .. }));
            let other = matches!(writer.publish_if_changed(&2), Err(PublishError::Forked { .. }));
            say(&format!("refused {touched} {same} {other}"));
        });
        testkit::fork::wait(child);
        say("child is gone");
        return wait_for_end();
    }
    let own = OwnNamespace::new(&["worker"]);
    let mut worker = Actor::start("heartbeat::a_fork_gives_no_heartbeat", "forking", &own);
    let answer = worker.await_line_with("refused");
    assert!(answer.ends_with("refused true true true"), "{answer}");
    worker.await_line("child is gone");
    let reader = own.reader_builder::<u64>("worker").codec::<Pod>().open().unwrap();
    assert_eq!(reader.publication(), 1);
    assert!(reader.heartbeat_age().is_some(), "the parent's");
    worker.finish();
}
