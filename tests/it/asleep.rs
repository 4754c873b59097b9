//! Ages count the time for which the machine sleeps, and no worker is stalled because of it.
//!
//! A test can't suspend the machine. An observer in a time namespace in which more time has passed
//! since the boot than awake, and which it can't see in `/proc`, is the same: its clocks are those
//! of a machine that has slept since the writers' last signs of life.

use std::time::{Duration, SystemTime};

use crate::common::{Actor, OwnNamespace, eventually, is_root, role, say};
use tearless::{Namespace, Reader, hub::Health, inspect::WriterState};

/// Runs the command that follows after a night of eight hours.
const AFTER_A_NIGHT: [&str; 9] = [
    "unshare",
    "-Tm",
    "--boottime",
    "28800",
    "--",
    "sh",
    "-c",
    "mount -t tmpfs none /proc && exec \"$@\"",
    "sh",
];
const NIGHT: Duration = Duration::from_secs(28_800);
const HOUR: Duration = Duration::from_secs(3_600);
const TICK: Duration = Duration::from_millis(2);

fn reader(namespace: &Namespace, channel: &str) -> Reader<u64> {
    namespace.reader::<u64>(channel).unwrap()
}

/// The observer that has just woken up.
fn look(own: &Namespace) {
    let hub = own.hub_builder().stalled_after(HOUR).open();
    for channel in ["publishes", "beats", "hangs"] {
        let mut reader = reader(own, channel);
        let snapshot = reader.snapshot().unwrap();
        let (age, at) = (snapshot.age().unwrap(), snapshot.published_at().unwrap());
        assert!(age >= NIGHT && age < NIGHT + HOUR, "ages count the night: {age:?}");
        let ago = SystemTime::now().duration_since(at).unwrap();
        assert!(ago >= NIGHT && ago < NIGHT + HOUR, "published in the evening: {ago:?}");
        assert_eq!(reader.writer_state().unwrap(), WriterState::Alive, "by its lock");
        let inspection = own.inspect(channel).unwrap();
        assert!(inspection.slept >= NIGHT - TICK && inspection.silent().unwrap() >= NIGHT);
        // Its state is of yesterday. That is no alarm.
        let health = hub.status(channel).unwrap().health;
        assert!(matches!(health, Health::Unchanged { age: Some(age) } if age >= NIGHT), "{health:?}");
    }
    let health = |channel| reader(own, channel).health().unwrap();
    assert!(matches!(health("beats"), Health::Unchanged { .. }), "{:?}", health("beats"));
    // A worker that was silent while the machine was awake hangs.
    let hangs = health("hangs");
    assert!(
        matches!(hangs, Health::Stalled { silent: Some(silent), is_stopped: false } if silent < HOUR),
        "{hangs:?}"
    );
    // The first sign of life after the night.
    let mut morning = own.writer_builder::<u64>("morning").heartbeat_interval(TICK).open().unwrap();
    morning.publish_if_changed(&1).unwrap();
    let inspection = own.inspect("morning").unwrap();
    assert!(inspection.slept < TICK && inspection.silent().unwrap() < HOUR, "{inspection:?}");
    std::thread::sleep(4 * TICK);
    assert!(matches!(health("morning"), Health::Stalled { .. }));
}

#[test]
fn no_worker_is_stalled_because_the_machine_has_slept() {
    if let Some((role, namespace)) = role() {
        assert_eq!(role, "observer");
        look(&namespace);
        return say("seen");
    }
    if !is_root("to make a time namespace") {
        return;
    }
    let own = OwnNamespace::new(&["publishes", "beats", "hangs", "morning"]);
    let mut publishes = own.writer::<u64>("publishes").unwrap();
    publishes.publish(&1).unwrap();
    let mut beats = own.writer_builder::<u64>("beats").heartbeat_interval(HOUR).open().unwrap();
    beats.publish_if_changed(&1).unwrap();
    let mut hangs = own.writer_builder::<u64>("hangs").heartbeat_interval(TICK).open().unwrap();
    hangs.publish(&1).unwrap();
    eventually("it hangs", || matches!(reader(&own, "hangs").health().unwrap(), Health::Stalled { .. }));
    let test = "asleep::no_worker_is_stalled_because_the_machine_has_slept";
    let mut observer = Actor::start_by(&AFTER_A_NIGHT, test, "observer", &own);
    observer.await_line("seen");
    observer.finish();
}

#[test]
fn a_publication_has_a_time_of_day() {
    let own = OwnNamespace::new(&["worker"]);
    let mut writer = own.writer::<u64>("worker").unwrap();
    let before = SystemTime::now();
    writer.publish(&1).unwrap();
    let after = SystemTime::now();
    let mut reader = reader(&own, "worker");
    let snapshot = reader.snapshot().unwrap();
    let inspected = || {
        let inspection = own.inspect("worker").unwrap();
        let mut slots = inspection.segments.iter().flatten().flat_map(|segment| &segment.slots);
        slots.find_map(|slot| slot.published_at)
    };
    let seen: [&dyn Fn() -> Option<SystemTime>; 3] =
        [&|| snapshot.published_at(), &|| snapshot.info().published_at(), &inspected];
    for published_at in seen {
        // The wall clock may be slewed, and this thread interrupted between two clocks.
        let tolerance = Duration::from_millis(100);
        eventually("it is between the two times", || {
            let at = published_at().unwrap();
            at + tolerance >= before && at <= after + tolerance
        });
    }
    let undated = own.writer_builder::<u64>("worker").timestamps(tearless::options::TimestampSource::None);
    drop(writer);
    let mut writer = undated.open().unwrap();
    writer.publish(&2).unwrap();
    assert_eq!(self::reader(&own, "worker").snapshot().unwrap().published_at(), None);
}
