//! The channels of a namespace are listed without a lock while they come, go and die. A watch
//! notices each change.

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use crate::common::{Actor, OwnNamespace, eventually, orders, role, say, wait_for_end};
use tearless::{Bytes, Namespace, Pod, cleanup::Retention};
use testkit::objects::{DIRECTORY, listed};

fn names(namespace: &Namespace) -> BTreeSet<String> {
    namespace.channels().unwrap().into_iter().map(|channel| channel.name).collect()
}

#[test]
fn channels_are_listed_from_open_to_close() {
    let own = OwnNamespace::new(&[]);
    let mut watch = own.watch_channels();
    assert!(watch.changed().unwrap() && !watch.changed().unwrap());
    assert!(own.channels().unwrap().is_empty());
    let first = own.writer::<u64>("first").unwrap();
    let second =
        own.writer_builder::<[u8; 100]>("second").codec::<Pod>().max_state_len(5_000).open().unwrap();
    assert!(watch.changed().unwrap() && !watch.changed().unwrap());
    let channels = own.channels().unwrap();
    let info = channels.iter().find(|channel| channel.name == "second").unwrap();
    assert_eq!((info.codec.as_str(), info.max_state_len, info.incarnation), ("pod", 5_000, 1));
    assert_eq!(info.writer_pid, u64::from(std::process::id()));
    assert!(info.capacity >= 100 && channels.len() == 2);
    first.close_lingering().unwrap();
    assert_eq!(names(&own).len(), 2, "the list can still be read");
    drop(second);
    assert_eq!(names(&own), BTreeSet::from(["first".to_owned()]));
    assert!(watch.changed().unwrap());
    assert!(own.remove_channel("first").unwrap());
    assert!(own.channels().unwrap().is_empty() && watch.changed().unwrap());
}

#[test]
fn a_dead_writers_channel_stays_listed_and_its_successor_is_noticed() {
    let test = "registry::a_dead_writers_channel_stays_listed_and_its_successor_is_noticed";
    if let Some((_, namespace)) = role() {
        let _writer = namespace.writer::<u64>("worker").unwrap();
        println!("opened");
        return wait_for_end();
    }
    let own = OwnNamespace::new(&[]);
    let mut worker = Actor::start(test, "worker", &own);
    worker.await_line("opened");
    let mut watch = own.watch_channels();
    watch.changed().unwrap();
    let pid = u64::from(worker.pid());
    worker.kill();
    let [dead] = &own.channels().unwrap()[..] else { panic!("the channel stays listed") };
    assert_eq!((dead.writer_pid, dead.incarnation), (pid, 1));
    assert!(!watch.changed().unwrap());
    let mut worker = Actor::start(test, "worker", &own);
    worker.await_line("opened");
    assert!(watch.changed().unwrap());
    let [alive] = &own.channels().unwrap()[..] else { panic!("one channel") };
    assert_eq!((alive.writer_pid, alive.incarnation), (u64::from(worker.pid()), 2));
    worker.kill();
    own.clean(Retention::Nothing).unwrap();
    assert!(own.channels().unwrap().is_empty());
}

/// Opens and closes channels of its own, over and over.
fn come_and_go(namespace: &Namespace, role: &str) {
    let end = Instant::now() + Duration::from_secs(2);
    let mut rounds = 0;
    while Instant::now() < end {
        let channel = format!("{role}-{}", rounds % 3);
        let writer = namespace.writer_builder::<[u8]>(&channel).codec::<Bytes>().open().unwrap();
        assert!(names(namespace).contains(&channel), "an open channel is listed");
        writer.close().unwrap();
        assert!(!names(namespace).contains(&channel), "a closed channel is not listed");
        rounds += 1;
    }
    println!("{rounds} rounds");
}

#[test]
fn listings_are_whole_while_channels_come_and_go() {
    if let Some((role, namespace)) = role() {
        return come_and_go(&namespace, &role);
    }
    let own = OwnNamespace::new(&[]);
    let staying: Vec<_> =
        (0..50).map(|index| own.writer::<u64>(&format!("staying-{index}")).unwrap()).collect();
    let roles = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let start =
        |role: &&str| Actor::start("registry::listings_are_whole_while_channels_come_and_go", role, &own);
    let mut actors: Vec<Actor> = roles.iter().map(start).collect();
    let (mut listings, mut seen) = (0, BTreeSet::new());
    let mut watch = own.watch_channels();
    let mut changes = 0;
    while actors.iter_mut().any(|actor| actor.ended().is_none()) {
        let channels = own.channels().unwrap();
        let staying = channels.iter().filter(|channel| channel.name.starts_with("staying-")).count();
        assert_eq!(staying, 50, "no channel that stays is ever missing");
        for channel in channels {
            assert_eq!(
                channel.codec,
                if channel.name.starts_with("staying") { "message-pack" } else { "bytes" }
            );
            seen.insert(channel.name);
        }
        listings += 1;
        changes += u32::from(watch.changed().unwrap());
    }
    for mut actor in actors {
        assert!(actor.wait().success(), "{}", actor.rest_of_output());
    }
    println!("{listings} listings, {} names, {changes} changes noticed", seen.len());
    assert!(seen.len() > 50 && changes > 0);
    drop(staying);
    assert!(own.channels().unwrap().is_empty());
}

#[test]
fn a_chunk_that_is_removed_during_use_is_made_again_by_its_writers() {
    let own = OwnNamespace::new(&[]);
    let mut writers: Vec<_> =
        (0..20).map(|number| own.writer::<u64>(&format!("worker-{number}")).unwrap()).collect();
    let prefix = own.object_prefix(None);
    let chunks: Vec<_> =
        listed(&prefix).into_iter().filter(|name| name.len() == "tl_nnnnnnnt13".len()).collect();
    assert_eq!(chunks.len(), 3, "{chunks:?}");
    for chunk in &chunks {
        let path = format!("{DIRECTORY}/{chunk}");
        std::fs::remove_file(&path).unwrap();
        assert!(own.channels().unwrap().len() < 20, "its entries are not found");
        eventually("their writers enter them again", || {
            writers.iter_mut().for_each(|writer| writer.touch().unwrap());
            own.channels().unwrap().len() == 20
        });
        assert!(std::path::Path::new(&path).exists());
    }
    // Another process spoils one. Its channels are found by their names, and can end.
    let spoiled = std::fs::OpenOptions::new().write(true).open(format!("{DIRECTORY}/{}", chunks[1])).unwrap();
    spoiled.write_all_at(&[7; 4_096], 0).unwrap();
    let another = own.writer::<u64>("another").unwrap();
    assert!(names(&own).contains("another") && names(&own).len() < 21);
    (0..20).for_each(|number| drop(own.reader::<u64>(&format!("worker-{number}")).unwrap()));
    drop(writers);
    assert_eq!(names(&own), BTreeSet::from(["another".to_owned()]));
    drop(another);
    assert_eq!(listed(&prefix), [""; 0]);
}

#[test]
fn a_squatted_name_of_a_chunk_matters_only_when_it_is_needed() {
    let own = OwnNamespace::new(&[]);
    let prefix = own.object_prefix(None);
    let squatted = format!("{prefix}t13");
    let path = format!("{DIRECTORY}/{squatted}");
    let open = |number| own.writer::<u64>(&format!("worker-{number}"));
    for _ in 0..2 {
        let first = open(0).unwrap();
        let _ = std::fs::create_dir(&path);
        let more: Vec<_> = (1..4).map(|number| open(number).unwrap()).collect();
        let error = open(4).unwrap_err().to_string();
        assert!(error.contains(&squatted) && error.contains("Directory"), "{error}");
        assert_eq!(own.channels().unwrap().len(), 4);
        drop((first, more));
        assert_eq!(listed(&prefix), [squatted.as_str()]);
    }
    assert!(own.clean(Retention::Nothing).unwrap().removed.is_empty());
    std::fs::remove_dir(&path).unwrap();
    assert_eq!(listed(&prefix), [""; 0]);
}

/// Channels of one process: with those of the others, many more than a new registry has room for.
const MANY: usize = 40;

/// Opens its channels, as fast as it can, and keeps them until the order to end.
fn open_many(namespace: &Namespace, role: &str) {
    say("ready");
    let mut orders = orders();
    orders.next();
    let open = |number| {
        let channel = format!("{role}-{number}");
        namespace.writer_builder::<[u8]>(&channel).codec::<Bytes>().open().unwrap()
    };
    let writers: Vec<_> = (0..MANY).map(open).collect();
    say("open");
    orders.next();
    drop(writers);
}

#[test]
fn processes_that_make_the_registry_grow_at_once_lose_no_channel() {
    if let Some((role, namespace)) = role() {
        return open_many(&namespace, &role);
    }
    let own = OwnNamespace::new(&[]);
    let test = "registry::processes_that_make_the_registry_grow_at_once_lose_no_channel";
    let mut actors = ["a", "b", "c", "d"].map(|role| Actor::start(test, role, &own));
    actors.iter_mut().for_each(|actor| actor.await_line("ready"));
    actors.iter_mut().for_each(|actor| actor.order("open"));
    let mut seen = BTreeSet::new();
    while seen.len() < 4 * MANY {
        let now = names(&own);
        assert!(now.is_superset(&seen), "no channel has ended: {:?}", seen.difference(&now));
        seen = now;
        assert!(actors.iter_mut().all(|actor| actor.ended().is_none()), "{} channels", seen.len());
    }
    actors.iter_mut().for_each(|actor| actor.await_line("open"));
    assert_eq!(own.channels().unwrap().len(), 4 * MANY, "each once");
    actors.iter_mut().for_each(|actor| actor.order("end"));
    actors.into_iter().for_each(Actor::finish);
    assert_eq!(own.memory().unwrap().total().objects, 0, "nothing is left");
}
