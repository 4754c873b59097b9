//! A hub in a process that may have few mappings.

use std::fs;

use testkit::child::Child;

use super::*;
use crate::Reader;
use crate::hub::Selection;

const CHANNELS: u64 = 150;
const MAX: usize = 128;
const NAMESPACE: &str = "TEARLESS_TEST_OF_LIMITS";

fn name(index: u64) -> String {
    format!("worker-{index:03}")
}

fn are_few() -> bool {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.contains("/dev/shm/tl_")).count() <= MAX
}

fn count(round: &mut Selection<Pod>) -> u64 {
    let states = round.iter::<u64>().unwrap().map(|found| (name(*found.state.unwrap()), found.channel));
    states.map(|(expected, found)| u64::from(expected == found)).sum()
}

#[test]
fn a_hub_evicts_the_channels_that_were_not_read_for_longest() {
    if let Ok(name) = std::env::var(NAMESPACE) {
        let namespace = Namespace::open(&name).unwrap();
        let hub = namespace.hub_builder().codec::<Pod>().open();
        one_by_one(&hub);
        in_rounds(&hub);
        in_threads(&hub);
        together(&hub);
        drop(hub);
        beside_a_watch(&namespace);
        beside_readers(&namespace);
        // The thread that sleeps for a stream keeps mappings for a while.
        #[cfg(feature = "async")]
        as_a_stream(&namespace);
        return;
    }
    let namespace = Namespace::open(&format!("test-limits-{}", std::process::id())).unwrap();
    let open = |index| {
        let mut writer = namespace.writer_builder::<u64>(&name(index)).codec::<Pod>().open().unwrap();
        for _ in 0..2 {
            writer.publish(&index).unwrap();
        }
        writer
    };
    let writers: Vec<_> = (0..CHANNELS).map(open).collect();
    let mut command = Child::this_program();
    command.args([
        "hub::tests::limits::a_hub_evicts_the_channels_that_were_not_read_for_longest",
        "--exact",
        "--nocapture",
    ]);
    command.envs([(NAMESPACE, namespace.name()), ("TEARLESS_TEST_MAX_MAPPINGS", &MAX.to_string())]);
    let mut child = Child::start(command);
    child.await_line_with("test result: ok. 1 passed");
    child.finish();
    drop(writers);
}

fn one_by_one(hub: &Hub<Pod>) {
    let get = |index| assert_eq!(*hub.get::<u64>(&name(index)).unwrap(), index);
    let attachments = || hub.statistics().attachments;
    let (mut few, mut idle) = (hub.select("worker-00?"), hub.select("worker-01?"));
    assert_eq!((count(&mut few), count(&mut idle)), (10, 10));
    for index in 20..CHANNELS {
        get(index);
        let before = attachments();
        get(index);
        assert_eq!(count(&mut few), 10);
        assert_eq!(attachments(), before, "they were read a moment ago");
        assert!(are_few());
    }
    let before = attachments();
    assert_eq!(count(&mut idle), 10);
    assert_eq!(attachments(), before + 10, "they were evicted, and are attached again");
    get(20);
    assert_eq!(attachments(), before + 11);
}

fn in_rounds(hub: &Hub<Pod>) {
    let mut rounds = [("*", 150), ("worker-0*", 100), ("worker-1*", 50), ("worker-?0?", 20)]
        .map(|(pattern, channels)| (hub.select(pattern), channels));
    for _ in 0..3 {
        for (round, channels) in &mut rounds {
            assert_eq!(count(round), *channels);
            assert!(are_few());
        }
    }
    // The hub evicts in the course of a round.
    let mut open = hub.select("*");
    let mut open = open.iter::<u64>().unwrap();
    for _ in 0..100 {
        open.next().unwrap().state.unwrap();
    }
    let mut all = hub.select("*");
    // The open round keeps its channels.
    assert_eq!(count(&mut all), CHANNELS);
    assert!(are_few());
    open.for_each(|found| assert!(found.state.is_ok()));
    assert_eq!(count(&mut all), CHANNELS);
}

fn in_threads(hub: &Hub<Pod>) {
    let before = hub.statistics().attachments;
    thread::scope(|scope| {
        for step in [1, 7, 11] {
            scope.spawn(move || {
                for index in (0..4 * CHANNELS).map(|turn| turn * step % CHANNELS) {
                    assert_eq!(*hub.get::<u64>(&name(index)).unwrap(), index);
                }
            });
        }
        scope.spawn(|| {
            let mut few = hub.select("worker-00?");
            (0..100).for_each(|_| assert_eq!(count(&mut few), 10));
        });
    });
    assert!(hub.statistics().attachments > before + CHANNELS);
}

/// What reads other than one state at a time.
fn together(hub: &Hub<Pod>) {
    for index in 0..CHANNELS {
        assert_eq!(hub.status(&name(index)).unwrap().publication, 2);
    }
    for index in 0..CHANNELS {
        let (status, state) = hub.get_with_status::<u64>(&name(index)).unwrap();
        assert_eq!((status.publication, *state.unwrap()), (2, index));
    }
    // The last channels were read last.
    for first in [0, 50] {
        let cut = hub.cut::<u64>((first..first + 100).map(name));
        assert!(cut.is_complete() && cut.is_consistent() && are_few());
    }
    let cut = hub.cut::<u64>((0..CHANNELS).map(name));
    let lacking =
        cut.states.into_iter().filter_map(|state| state.state.err()).map(|error| is_limit(&error)).count();
    assert!((1..50).contains(&lacking), "{lacking} can't be mapped beside the others");
}

fn beside_a_watch(namespace: &Namespace) {
    let hub = namespace.hub_builder().codec::<Pod>().open();
    let mut watch = hub.watch("*");
    let watched = watch.changed().unwrap();
    assert!((100..CHANNELS).contains(&(watched.len() as u64)), "{} are watched", watched.len());
    for name in &watched {
        assert!(hub.get::<u64>(name).is_ok(), "the hub has it as long as the watch");
    }
    is_limit(&hub.get::<u64>(&name(CHANNELS - 1)).unwrap_err());
    assert!(watch.changed().unwrap().is_empty() && are_few());
    drop(watch);
    assert!((0..CHANNELS).all(|index| *hub.get::<u64>(&name(index)).unwrap() == index));
}

#[cfg(feature = "async")]
fn as_a_stream(namespace: &Namespace) {
    let hub = namespace.hub_builder().codec::<Pod>().open();
    let mut few = hub.changes_of::<u64>("worker-0*");
    for index in 0..100 {
        streams::yields(&mut few, &name(index), index);
        // Beside it, the hub reads the others.
        assert_eq!(*hub.get::<u64>(&name(149 - index / 2)).unwrap(), 149 - index / 2);
    }
    assert!(streams::is_pending(&mut few) && are_few());
}

fn is_limit(error: &QueryError) {
    assert!(error.to_string().contains("vm.max_map_count"), "{error}");
}

fn beside_readers(namespace: &Namespace) {
    let hub = namespace.hub_builder().codec::<Pod>().open();
    let open = |index| -> Result<Reader<u64, Pod>, QueryError> {
        let mut reader = namespace.reader_builder::<u64>(&name(index)).codec::<Pod>().open()?;
        for _ in 0..2 {
            reader.snapshot()?;
        }
        Ok(reader)
    };
    let mut readers = Vec::new();
    is_limit(&(0..CHANNELS).find_map(|index| open(index).map(|reader| readers.push(reader)).err()).unwrap());
    for index in 0..CHANNELS {
        // The last reader may have left a mapping or two.
        if let Err(error) = hub.get::<u64>(&name(index)) {
            is_limit(&error);
        }
    }
    readers.drain(..5);
    assert!((0..CHANNELS).all(|index| *hub.get::<u64>(&name(index)).unwrap() == index));
    assert!(readers.iter_mut().all(|reader| reader.snapshot().is_ok()) && are_few());
}
