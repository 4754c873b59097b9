//! A hub sees the latest state of every channel of its namespace, whatever happens to the channels,
//! and keeps nothing of a removed channel.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Actor, OwnNamespace, eventually, orders, role, rounds, say, wait_for_end};
use serde::{Deserialize, Serialize};
use tearless::{
    Namespace, Pod, Postcard, Snapshot, Writer,
    error::{AttachError, QueryError, SnapshotError},
    hub::{Health, Hub, Selection},
};
use testkit::objects::Objects;

/// The time limit for the threads of a test to see every outcome, on a busy machine or under an
/// emulator.
const PATIENCE: Duration = Duration::from_secs(600);

/// A state that contains its channel and its number, and shows whether it is whole.
#[derive(Debug, Serialize, Deserialize)]
struct Worker {
    channel: String,
    number: u64,
    filling: Vec<u64>,
}

impl Worker {
    /// Publication `number` of `channel`. Every 16th is large.
    fn new(channel: &str, number: u64) -> Worker {
        let words = if number.is_multiple_of(16) { 64 * number } else { number % 8 };
        let words = usize::try_from(words.min(4_096)).unwrap();
        Worker { channel: channel.into(), number, filling: vec![number; words] }
    }
}

#[track_caller]
fn check(state: &Snapshot<Worker>, channel: &str) {
    assert_eq!((&*state.channel, state.number), (channel, state.publication()));
    assert_eq!(state.filling, Worker::new(channel, state.number).filling);
}

fn publish(writer: &mut Writer<Worker>) {
    let state = Worker::new(writer.channel(), writer.publication() + 1);
    writer.publish(&state).unwrap();
}

/// A writer of the channel "worker" that obeys orders.
fn write_as_ordered(namespace: &Namespace) {
    let mut writer = namespace.writer::<Worker>("worker").unwrap();
    say("ready");
    for command in orders() {
        match command.as_str() {
            "linger" => return writer.close_lingering().unwrap(),
            times => (0..times.parse().unwrap()).for_each(|_| publish(&mut writer)),
        }
        say("done");
    }
}

fn obey(writer: &mut Actor, command: &str) {
    writer.order(command);
    writer.await_line("done");
}

#[track_caller]
fn is_at(hub: &Hub, number: u64) {
    let state = hub.get::<Worker>("worker").unwrap();
    check(&state, "worker");
    assert_eq!(state.number, number);
    let all: Vec<_> =
        hub.iter::<Worker>("w*").unwrap().map(|found| (found.channel, found.state.unwrap())).collect();
    assert_eq!((all.len(), &*all[0].0, all[0].1.number), (1, "worker", number));
}

#[test]
fn a_channel_is_followed_from_its_creation_to_its_removal() {
    if let Some((_, namespace)) = role() {
        return write_as_ordered(&namespace);
    }
    let test = "hub::a_channel_is_followed_from_its_creation_to_its_removal";
    let own = OwnNamespace::new(&["worker"]);
    let hub = own.hub();
    assert!(hub.get::<Worker>("worker").unwrap_err().is_gone(), "the channel does not exist yet");
    let mut first = Actor::start(test, "writer", &own);
    first.await_line("ready");
    assert!(hub.get::<Worker>("worker").unwrap_err().is_empty());
    assert_eq!(hub.status("worker").unwrap().health, Health::Empty);
    let mut number = 0;
    for times in [1, 1, 14, 1, 15, 1] {
        obey(&mut first, &times.to_string());
        number += times;
        is_at(&hub, number);
    }
    let status = hub.status("worker").unwrap();
    assert!(matches!(status.health, Health::Fresh { .. }), "{status:?}");
    let pid = u64::from(first.pid());
    assert_eq!((status.publication, status.incarnation, status.writer_pid), (number, 1, pid));
    first.kill();
    is_at(&hub, number);
    let dead = hub.status("worker").unwrap();
    assert!(matches!(dead.health, Health::Dead { since: Some(_) }), "{dead:?}");
    let mut second = Actor::start(test, "writer", &own);
    second.await_line("ready");
    is_at(&hub, number);
    obey(&mut second, "1");
    is_at(&hub, number + 1);
    assert_eq!(hub.status("worker").unwrap().incarnation, 2);
    second.order("linger");
    second.finish();
    assert_eq!(hub.status("worker").unwrap().health, Health::Closed);
    is_at(&hub, number + 1);
    assert!(own.remove_channel("worker").unwrap());
    assert!(hub.get::<Worker>("worker").unwrap_err().is_gone());
    assert!(hub.channels("*").unwrap().is_empty() && hub.iter::<Worker>("*").unwrap().next().is_none());
    assert!(matches!(hub.status("worker"), Err(QueryError::Attach(AttachError::NotFound { .. }))));
}

#[test]
fn a_recreated_channel_of_any_type_is_found() {
    let own = OwnNamespace::new(&["worker"]);
    let hub = own.hub();
    for end in [Writer::close, Writer::close_lingering] {
        let mut writer = own.writer::<Worker>("worker").unwrap();
        publish(&mut writer);
        check(&hub.get("worker").unwrap(), "worker");
        end(writer).unwrap();
        let mut other = own.writer::<u64>("worker").unwrap();
        other.publish(&7).unwrap();
        assert_eq!(*hub.get::<u64>("worker").unwrap(), 7);
        assert!(matches!(
            hub.get::<Worker>("worker"),
            Err(QueryError::Attach(AttachError::FormatMismatch { .. }))
        ));
        assert_eq!(*hub.get::<u64>("worker").unwrap(), 7, "asking for the wrong type changes nothing");
        other.close().unwrap();
        let mut again = own.writer::<Worker>("worker").unwrap();
        publish(&mut again);
        is_at(&hub, 1);
        again.close().unwrap();
    }
}

#[test]
fn a_channel_of_another_format_is_one_error_in_its_place() {
    let namespace = Namespace::in_process("forms").unwrap();
    let hub = namespace.hub();
    let mut workers = ["a", "c", "e"].map(|channel| namespace.writer::<Worker>(channel).unwrap());
    workers.iter_mut().for_each(publish);
    let mut packed = namespace.writer_builder::<Worker>("b").codec::<Postcard>().open().unwrap();
    packed.publish(&Worker::new("b", 1)).unwrap();
    let mut plain = namespace.writer_builder::<[u64; 3]>("d").codec::<Pod>().checksum(true).open().unwrap();
    plain.publish(&[1, 2, 3]).unwrap();
    for _ in 0..2 {
        let seen: Vec<_> = hub.iter::<Worker>("*").unwrap().collect();
        assert_eq!(seen.iter().map(|seen| &*seen.channel).collect::<String>(), "abcde");
        for worker in &seen {
            match &worker.state {
                Ok(state) => check(state, &worker.channel),
                Err(QueryError::Attach(AttachError::FormatMismatch { channel, .. })) => {
                    assert!(["b", "d"].contains(&channel.as_str()) && *channel == *worker.channel);
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(seen.iter().filter(|worker| worker.state.is_err()).count(), 2);
        check(&hub.with_codec::<Postcard>().get("b").unwrap(), "b");
        assert_eq!(*hub.with_codec::<Pod>().get::<[u64; 3]>("d").unwrap(), [1, 2, 3]);
        assert!(hub.with_codec::<Pod>().get::<[u64; 4]>("d").is_err(), "another size is another format");
    }
    assert_eq!(
        hub.channels("[a-e]").unwrap().len()
            + hub.channels("").unwrap().len()
            + hub.channels("??").unwrap().len(),
        0
    );
    assert!(hub.iter::<Worker>("aa*").unwrap().next().is_none());
}

#[test]
fn a_name_that_vanishes_after_it_was_listed_is_an_error_in_its_place() {
    let namespace = Namespace::in_process("vanishing").unwrap();
    for was_attached in [false, true] {
        let hub = namespace.hub();
        let mut workers = ["a", "b", "c"].map(|channel| Some(namespace.writer::<Worker>(channel).unwrap()));
        workers.iter_mut().flatten().for_each(publish);
        if was_attached {
            assert_eq!(hub.iter::<Worker>("*").unwrap().filter(|worker| worker.state.is_ok()).count(), 3);
        }
        let listed = hub.iter::<Worker>("*").unwrap();
        workers[1] = None;
        let gone: Vec<bool> = listed
            .map(|worker| match worker.state {
                Ok(state) => {
                    check(&state, &worker.channel);
                    false
                }
                Err(error) => error.is_gone(),
            })
            .collect();
        assert_eq!(gone, [false, true, false]);
        assert_eq!(hub.channels("*").unwrap().len(), 2);
    }
}

#[test]
fn a_namespace_that_does_not_exist_yet_fills_and_empties() {
    let namespace = Namespace::in_process("not yet").unwrap();
    let hub = namespace.hub();
    for _ in 0..3 {
        assert!(hub.channels("*").unwrap().is_empty() && hub.iter::<Worker>("*").unwrap().next().is_none());
        assert!(hub.status("worker-0").is_err() && hub.get::<Worker>("worker-0").is_err());
        let mut workers = Vec::new();
        for index in 0..5 {
            let mut writer = namespace.writer::<Worker>(&format!("worker-{index}")).unwrap();
            publish(&mut writer);
            workers.push(writer);
            assert_eq!(
                hub.iter::<Worker>("*").unwrap().filter(|worker| worker.state.is_ok()).count(),
                index + 1
            );
        }
    }
}

#[test]
fn an_unlinked_registry_loses_the_list_and_no_state() {
    let own = OwnNamespace::new(&["worker", "another"]);
    let mut writer = own.writer::<Worker>("worker").unwrap();
    publish(&mut writer);
    let attached = own.hub();
    is_at(&attached, 1);
    fs::remove_file(Objects::of(own.name(), "worker").registry()).unwrap();
    publish(&mut writer);
    // It still lists the channel, or has noticed the loss.
    assert_eq!(attached.get::<Worker>("worker").unwrap().number, 2);
    let late = own.hub();
    assert!(late.channels("*").unwrap().is_empty());
    check(&late.get("worker").unwrap(), "worker");
    assert!(matches!(late.status("worker").unwrap().health, Health::Fresh { .. }));
    let mut another = own.writer::<Worker>("another").unwrap();
    publish(&mut another);
    assert_eq!(late.channels("*").unwrap().iter().map(|name| &**name).collect::<Vec<_>>(), ["another"]);
    check(&attached.get("another").unwrap(), "another");
    writer.close().unwrap();
    assert!(late.get::<Worker>("worker").unwrap_err().is_gone());
    assert!(attached.get::<Worker>("worker").unwrap_err().is_gone());
}

/// Opens, grows and ends its channel, over and over, until it is killed.
fn churn(namespace: &Namespace, channel: &str) {
    thread::spawn(|| {
        wait_for_end();
        std::process::exit(0);
    });
    let mut turn = u64::from(std::process::id());
    loop {
        let mut writer = namespace.writer::<Worker>(channel).unwrap();
        turn = turn.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        if writer.publication() > 300 {
            // The next channel is a small one again.
            writer.close().unwrap();
            continue;
        }
        (0..turn >> 58).for_each(|_| publish(&mut writer));
        if turn & (1 << 40) == 0 {
            writer.close().unwrap();
        } else {
            writer.close_lingering().unwrap();
        }
        if turn >> 62 == 0 {
            thread::yield_now();
        }
    }
}

/// Asks in every way, and adds the outcomes to `met`.
fn ask(hub: &Hub, workers: &mut Selection, channels: &[&str], met: &mut BTreeSet<&'static str>) {
    for channel in channels {
        met.insert(sort(hub.get::<Worker>(channel), channel));
        let Ok(status) = hub.status(channel) else { continue };
        match status.health {
            Health::Empty => assert_eq!(status.publication, 0, "{status:?}"),
            Health::Fresh { .. } => assert!(status.publication > 0, "{status:?}"),
            _ => {}
        }
        met.insert(if status.incarnation > 1 { "taken over" } else { "first" });
    }
    for worker in hub.iter::<Worker>("worker-*").unwrap() {
        met.insert(sort(worker.state, &worker.channel));
    }
    for worker in workers.iter::<Worker>().unwrap() {
        met.insert(sort(worker.state, worker.channel));
    }
    for worker in hub.cut::<Worker>(channels).states {
        met.insert(sort(worker.state, &worker.channel));
    }
}

/// The outcome of a query. Panics at a wrong state, and at an outcome that must not occur.
fn sort(state: Result<Snapshot<Worker>, QueryError>, channel: &str) -> &'static str {
    match state {
        Ok(state) => {
            check(&state, channel);
            if state.filling.len() > 8 { "large" } else { "small" }
        }
        Err(error) if error.is_gone() => "gone",
        Err(error) if error.is_empty() => "empty",
        // The writer was killed while it created the channel, or the channel is being removed.
        Err(QueryError::Attach(AttachError::NotReady { .. })) => "not ready",
        Err(QueryError::Snapshot(SnapshotError::Contended { .. } | SnapshotError::Object { .. })) => "busy",
        Err(error) => panic!("{channel}: {error}"),
    }
}

#[test]
fn threads_that_share_a_hub_get_no_wrong_state_while_channels_come_grow_and_die() {
    let channels = ["worker-1", "worker-2"];
    if let Some((role, namespace)) = role() {
        return churn(&namespace, &role);
    }
    let test = "hub::threads_that_share_a_hub_get_no_wrong_state_while_channels_come_grow_and_die";
    let own = OwnNamespace::new(&channels);
    let hub = own.hub();
    let (done, met) = (AtomicBool::new(false), Mutex::new(BTreeSet::new()));
    let expected = ["empty", "first", "gone", "large", "small", "taken over"];
    let all_are_met = || {
        let met = met.lock().unwrap();
        expected.iter().all(|kind| met.contains(kind))
    };
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut workers = hub.select("worker-*");
                while !done.load(Ordering::Relaxed) {
                    let mut own = BTreeSet::new();
                    ask(&hub, &mut workers, &channels, &mut own);
                    met.lock().unwrap().append(&mut own);
                }
            });
        }
        // On a busy machine it takes more rounds until the threads have seen every outcome.
        let (begin, mut round) = (Instant::now(), 0);
        while round < rounds(15, 1_000) || (!all_are_met() && begin.elapsed() < PATIENCE) {
            let actors = channels.map(|channel| Actor::start(test, channel, &own));
            let begun = |channel: &&str| hub.get::<Worker>(channel).is_ok();
            eventually("the channels have states", || channels.iter().any(begun));
            // On a slow machine they live longer and longer, until they publish large states.
            thread::sleep(Duration::from_millis(20) * (1 + round / 15));
            actors.into_iter().for_each(Actor::kill);
            round += 1;
        }
        done.store(true, Ordering::Relaxed);
    });
    let met = met.into_inner().unwrap();
    assert!(expected.iter().all(|kind| met.contains(kind)), "only {met:?}");
}

/// The number of this process's mappings of shared memory of tearless, and of those whose names are
/// unlinked.
fn mappings() -> [usize; 2] {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let ours: Vec<_> = maps.lines().filter(|line| line.contains("/dev/shm/tl_")).collect();
    [ours.len(), ours.iter().filter(|line| line.ends_with("(deleted)")).count()]
}

/// Asks a hub for all channels, from two threads, at every order, and prints this process's
/// mappings.
fn count(namespace: &Namespace) {
    let hub = namespace.hub();
    let (other, mut watch, mut selection) = (hub.clone(), hub.watch("*"), hub.select("*"));
    let (ask, asked) = std::sync::mpsc::channel();
    let (answer, answered) = std::sync::mpsc::channel();
    // The thread holds its handle, and everything that the hub keeps for a thread, to the end.
    thread::spawn(move || {
        for () in asked {
            answer
                .send(other.iter::<Worker>("*").unwrap().filter(|worker| worker.state.is_ok()).count())
                .unwrap();
        }
    });
    say("ready");
    for _ in orders() {
        let descriptors = fs::read_dir("/proc/self/fd").unwrap().count();
        ask.send(()).unwrap();
        let states = answered.recv().unwrap();
        watch.changed().unwrap();
        assert_eq!(hub.iter::<Worker>("*").unwrap().filter(|worker| worker.state.is_ok()).count(), states);
        let selected = selection.iter::<Worker>().unwrap().filter(|worker| worker.state.is_ok()).count();
        assert_eq!(selected, states);
        assert_eq!(fs::read_dir("/proc/self/fd").unwrap().count(), descriptors, "no descriptor is kept");
        let [all, removed] = mappings();
        say(&format!("counted {states} {all} {removed}"));
    }
}

fn counted(actor: &mut Actor) -> [usize; 3] {
    actor.order("count");
    let line = actor.await_line_with("counted ");
    let numbers: Vec<usize> = line.rsplit(' ').take(3).map(|number| number.parse().unwrap()).collect();
    [numbers[2], numbers[1], numbers[0]]
}

#[test]
fn a_hub_keeps_no_descriptor_and_no_mapping_of_a_removed_channel() {
    if let Some((_, namespace)) = role() {
        return count(&namespace);
    }
    let test = "hub::a_hub_keeps_no_descriptor_and_no_mapping_of_a_removed_channel";
    let own = OwnNamespace::new(&[]);
    let mut counter = Actor::start(test, "counter", &own);
    counter.await_line("ready");
    let mut workers: Vec<_> =
        (0..40).map(|index| own.writer::<Worker>(&format!("worker-{index}")).unwrap()).collect();
    let mut max = 0;
    for _ in 0..70 {
        workers.iter_mut().for_each(publish);
        let [states, all, removed] = counted(&mut counter);
        assert_eq!((states, removed), (40, 0), "a growth leaves nothing behind");
        max = max.max(all);
    }
    let growths = workers[0].growths();
    assert!(growths > 1 && (80..=85).contains(&max), "{max} mappings, {growths} growths");
    drop(workers.split_off(10));
    let [states, all, removed] = counted(&mut counter);
    assert!(states == 10 && removed == 0 && (20..=25).contains(&all), "{all} and {removed} mappings");
    drop(workers);
    let [states, all, _] = counted(&mut counter);
    assert!(states == 0 && all <= 2, "{all} mappings");
}

#[test]
fn a_type_name_is_given_to_the_hub_too() {
    let namespace = Namespace::in_process("schemas").unwrap();
    let mut writer =
        namespace.writer_builder::<u64>("worker").type_name("counter, version 2").open().unwrap();
    writer.publish(&7).unwrap();
    assert!(matches!(namespace.hub().get::<u64>("worker"), Err(QueryError::Attach(_))));
    let hub = namespace.hub_builder().type_name::<u64>("counter, version 2").open();
    assert_eq!(*hub.get::<u64>("worker").unwrap(), 7);
    assert_eq!(*hub.get::<u64>("worker").unwrap(), 7, "also when it is attached");
}
