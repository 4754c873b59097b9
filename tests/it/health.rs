//! The health of a worker: each value has its own reason, and none is reported by mistake.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::{Actor, OwnNamespace, eventually, role, rounds, say, wait_for_end};
use rustix::process::Signal;
use tearless::{Namespace, Pod, error::QueryError, hub::Health, options::TimestampSource};

const LONG: Duration = Duration::from_secs(3600);
const TICK: Duration = Duration::from_millis(2);

fn in_process() -> Namespace {
    Namespace::in_process("health").unwrap()
}

#[test]
fn the_age_of_the_state_decides_between_fresh_unchanged_and_stalled() {
    let namespace = in_process();
    let health = |fresh, stalled| {
        let hub = namespace.hub_builder().fresh_within(fresh).stalled_after(stalled).open();
        hub.status("worker").unwrap().health
    };
    let mut writer = namespace.writer::<u64>("worker").unwrap();
    assert_eq!(health(LONG, LONG), Health::Empty);
    assert_eq!(health(Duration::ZERO, Duration::ZERO), Health::Empty, "it owes nothing yet");
    writer.publish(&1).unwrap();
    thread::sleep(TICK);
    assert!(matches!(health(LONG, LONG), Health::Fresh { age } if age >= TICK));
    assert!(matches!(health(Duration::ZERO, LONG), Health::Unchanged { age: Some(age) } if age >= TICK));
    assert!(
        matches!(health(LONG, Duration::ZERO), Health::Stalled { silent: Some(age), is_stopped: false } if age >= TICK)
    );
    assert!(
        matches!(health(Duration::ZERO, TICK / 2), Health::Stalled { silent: Some(age), is_stopped: false } if age >= TICK)
    );
    let defaults = namespace.hub();
    assert!(matches!(defaults.status("worker").unwrap().health, Health::Fresh { .. }));
    writer.close_lingering().unwrap();
    assert_eq!(health(LONG, Duration::ZERO), Health::Closed);
    namespace.remove_channel("worker").unwrap();
    assert!(matches!(defaults.status("worker").map(|status| status.health), Ok(Health::Closed)));
    assert!(matches!(defaults.status("worker"), Err(QueryError::Attach(_))));
}

#[test]
fn a_writer_that_gives_no_dates_is_neither_fresh_nor_stalled() {
    let namespace = in_process();
    let builder = namespace.writer_builder::<u64>("worker").timestamps(TimestampSource::None);
    let hub = namespace.hub_builder().fresh_within(LONG).stalled_after(Duration::ZERO).open();
    let mut writer = builder.open().unwrap();
    assert_eq!(hub.status("worker").unwrap().health, Health::Empty);
    for number in 1..10 {
        writer.publish(&number).unwrap();
        let status = hub.status("worker").unwrap();
        assert_eq!((status.health, status.publication), (Health::Unchanged { age: None }, number));
    }
}

#[test]
fn a_successor_is_not_to_blame_for_its_predecessors_silence() {
    let namespace = in_process();
    let hub = namespace.hub();
    let builder = namespace.writer_builder::<u64>("worker").heartbeat_interval(TICK * 100).linger(true);
    let mut first = builder.clone().open().unwrap();
    first.publish(&1).unwrap();
    first.close().unwrap();
    thread::sleep(TICK * 301);
    let second = builder.open().unwrap();
    let status = hub.status("worker").unwrap();
    assert!(matches!(status.health, Health::Unchanged { age: Some(age) } if age > TICK * 300), "{status:?}");
    assert_eq!((status.publication, status.incarnation), (1, 2));
    drop(second);
}

#[test]
fn a_writer_that_hangs_before_its_first_publication_is_stalled() {
    let namespace = in_process();
    let builder = namespace.writer_builder::<u64>("worker").heartbeat_interval(TICK);
    for timestamp in [TimestampSource::Precise, TimestampSource::Coarse, TimestampSource::None] {
        let writer = builder.clone().timestamps(timestamp).open().unwrap();
        let patient = namespace.hub_builder().stalled_after(LONG).open();
        assert_eq!(patient.status("worker").unwrap().health, Health::Empty);
        thread::sleep(TICK * 4);
        let mut reader = namespace.reader::<u64>("worker").unwrap();
        let all = [
            namespace.hub().status("worker").unwrap().health,
            reader.health().unwrap(),
            namespace.inspect("worker").unwrap().health(),
        ];
        for health in all {
            let expected = |silent| silent > TICK * 3;
            assert!(
                matches!(health, Health::Stalled { silent: Some(silent), is_stopped: false } if expected(silent)),
                "{timestamp:?}: {health:?}"
            );
        }
        writer.close().unwrap();
        assert_eq!(reader.health().unwrap(), Health::Closed);
    }
}

#[test]
fn a_status_has_a_text_and_can_be_serialized() {
    let namespace = in_process();
    let mut writer = namespace.writer::<u64>("worker").unwrap();
    let status = namespace.hub().status("worker").unwrap();
    let pid = std::process::id();
    assert_eq!(status.to_string(), format!("empty; publication 0, process {pid} (writer 1)"));
    writer.publish(&1).unwrap();
    let status = serde_json::to_value(namespace.hub().status("worker").unwrap()).unwrap();
    assert_eq!((&status["health"]["name"], &status["publication"]), (&"fresh".into(), &1.into()));
}

#[test]
fn a_writer_that_overwrites_what_is_looked_at_is_fresh() {
    let namespace = in_process();
    let builder = namespace.writer_builder::<[u64; 8]>("worker").codec::<Pod>().slots(2);
    let mut writer = builder.open().unwrap();
    writer.publish(&[0; 8]).unwrap();
    let hub = namespace.hub_builder().fresh_within(LONG).open();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                writer.publish(&[1; 8]).unwrap();
            }
        });
        // If an assertion fails, the other thread must end, too.
        let looks = 0..rounds(20_000, 1_000_000);
        let wrong = looks
            .map(|_| hub.status("worker").unwrap())
            .find(|status| !matches!(status.health, Health::Fresh { .. }));
        done.store(true, Ordering::Relaxed);
        assert_eq!(wrong, None);
    });
}

#[test]
fn stopped_and_dead_are_told_apart_from_slow() {
    if let Some((role, namespace)) = role() {
        let mut writer = namespace.writer::<u64>("worker").unwrap();
        if role == "publishing" {
            writer.publish(&1).unwrap();
        }
        say("ready");
        return wait_for_end();
    }
    let test = "health::stopped_and_dead_are_told_apart_from_slow";
    for (role, has_published) in [("publishing", true), ("silent", false)] {
        let own = OwnNamespace::new(&["worker"]);
        // The clock alone would not suffice here.
        let hub = own.hub_builder().fresh_within(LONG).stalled_after(LONG).open();
        let health = || hub.status("worker").unwrap().health;
        let is_well = || {
            if has_published { matches!(health(), Health::Fresh { .. }) } else { health() == Health::Empty }
        };
        let mut worker = Actor::start(test, role, &own);
        worker.await_line("ready");
        assert!(is_well(), "{:?}", health());
        worker.signal(Signal::STOP);
        eventually("a stopped writer is stalled", || matches!(health(), Health::Stalled { .. }));
        assert!(matches!(health(), Health::Stalled { silent: Some(_), is_stopped: true }));
        worker.signal(Signal::CONT);
        eventually("it goes on", is_well);
        worker.kill();
        assert!(matches!(health(), Health::Dead { since: Some(_) }));
        let status = hub.status("worker").unwrap();
        assert_eq!((status.publication, status.incarnation), (u64::from(has_published), 1));
    }
}
