//! A program that cleans at its start removes everything of dead processes except their last
//! states, so no start needs a cleanup by hand. Opening a namespace has no effect.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hint::black_box;
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::Duration;

use crate::common::{Actor, OwnNamespace, eventually, pattern, role, rounds, say, wait_for_end};
use tearless::{
    Bytes, Namespace,
    cleanup::{CleanupReport, RemovalReason, Retention},
    options::TimestampSource,
};
use testkit::objects::{DIRECTORY, Objects, listed};
use testkit::trace::{Step, Traced};

const CHANNELS: [&str; 3] = ["w0", "w1", "w2"];

/// Cleans as a starting program does, with a separate `Namespace`. Nothing may fail.
fn clean(own: &OwnNamespace, retention: Retention) -> CleanupReport {
    let cleaned = Namespace::open(own.name()).unwrap().clean(retention).unwrap();
    assert!(cleaned.failed.is_empty(), "{cleaned}");
    cleaned
}

/// The reasons of the removals.
fn reasons(cleaned: &CleanupReport) -> Vec<RemovalReason> {
    cleaned.removed.iter().map(|removed| removed.reason).collect()
}

/// The objects of the namespace: their inodes, and the times of their last changes.
fn contents(own: &OwnNamespace) -> BTreeMap<String, (u64, i64, i64)> {
    let prefix = Objects::of(own.name(), "w0").namespace_prefix().to_owned();
    listed(&prefix)
        .into_iter()
        .map(|name| {
            let found = fs::symlink_metadata(format!("{DIRECTORY}/{name}")).unwrap();
            (name, (found.ino(), found.ctime(), found.ctime_nsec()))
        })
        .collect()
}

/// The system calls of a child that opens a namespace and ends, by number. How often the allocator
/// asks for memory depends on what this process allocated before, and is left out.
fn calls_of_opening(name: &str) -> Vec<u64> {
    let memory = [libc::SYS_brk, libc::SYS_mmap, libc::SYS_munmap, libc::SYS_mprotect, libc::SYS_madvise];
    let mut child = Traced::start(|| drop(black_box(Namespace::open(name).unwrap())));
    let mut calls = Vec::new();
    while child.step(Step::Call) {
        calls.extend(child.call().filter(|call| memory.iter().all(|memory| *memory as u64 != *call)));
    }
    calls
}

#[test]
fn opening_changes_nothing_and_costs_the_same_among_any_number_of_channels() {
    let own = OwnNamespace::new(&CHANNELS);
    let mut writers = CHANNELS.map(|channel| own.writer::<u64>(channel).unwrap());
    writers.iter_mut().for_each(|writer| assert_eq!(writer.publish(&5).unwrap(), 1));
    let [_alive, lingering, ended] = writers;
    lingering.close_lingering().unwrap();
    ended.close().unwrap();
    // A segment that no channel refers to, and a control page that is not finished.
    File::create(Objects::of(own.name(), "w1").path("a7")).unwrap();
    let unfinished = own.writer::<u64>("w2").unwrap();
    let objects = Objects::of(own.name(), "w2");
    drop(unfinished);
    File::create(objects.path("c")).unwrap();
    let (before, channels) = (contents(&own), own.channels().unwrap().len());
    let opened = Namespace::open(own.name()).unwrap();
    assert_eq!(contents(&own), before);
    assert_eq!(opened.channels().unwrap().len(), channels);
    assert_eq!(reasons(&clean(&own, Retention::UntilReplaced)).len(), 2, "there was something to clean");

    let names: Vec<&str> = (0..1_000).map(|number| &*format!("worker-{number}").leak()).collect();
    let crowd = OwnNamespace::new(&names);
    let none = calls_of_opening(crowd.name());
    let first = crowd.writer::<u64>(names[0]).unwrap();
    assert_eq!(calls_of_opening(crowd.name()), none, "among 1 channel");
    let others: Vec<_> = names[1..].iter().map(|name| crowd.writer::<u64>(name).unwrap()).collect();
    assert_eq!(calls_of_opening(crowd.name()), none, "among 1,000 channels");
    drop((first, others));
}

#[test]
fn unusable_objects_are_removed_and_the_rest_is_kept_as_requested() {
    let test = "opening_cleans::unusable_objects_are_removed_and_the_rest_is_kept_as_requested";
    if let Some((_, namespace)) = role() {
        let mut first = namespace.writer::<u64>("w0").unwrap();
        first.publish(&5).unwrap();
        let mut grown = namespace.writer::<Vec<u64>>("w1").unwrap();
        for _ in 0..2 {
            grown.publish(&vec![5; 4_000]).unwrap();
        }
        say("published");
        wait_for_end();
        return drop((first, grown));
    }
    let own = OwnNamespace::new(&CHANNELS);
    let mut dead = Actor::start(test, "worker", &own);
    dead.await_line("published");
    let (first, second) = (Objects::of(own.name(), "w0"), Objects::of(own.name(), "w1"));
    assert!(reasons(&clean(&own, Retention::Nothing)).is_empty(), "it lives");
    dead.kill();

    // A segment of an unfinished growth, and a segment whose page does not exist.
    File::create(first.path("a2")).unwrap();
    fs::remove_file(second.path("c")).unwrap();
    drop(Namespace::open(own.name()).unwrap());
    assert_eq!(second.listed(), ["a2", "b2"]);
    let opened = Namespace::open(own.name()).unwrap();
    let cleaned = clean(&own, Retention::UntilReplaced);
    assert_eq!(reasons(&cleaned), [RemovalReason::Orphaned, RemovalReason::Orphaned]);
    let text = cleaned.to_string();
    assert!(text.contains(&first.name("a2")) && text.contains(&second.name("b2")), "{text}");
    assert_eq!((first.listed(), second.listed()), (vec!["c".into()], vec![]));
    assert_eq!(*opened.reader::<u64>("w0").unwrap().snapshot().unwrap(), 5);
    let listed = opened.channels().unwrap();
    assert_eq!(listed.len(), 1, "the other channel's entry is removed, too: {listed:?}");

    File::create(second.path("c")).unwrap();
    assert_eq!(reasons(&clean(&own, Retention::UntilReplaced)), [RemovalReason::HalfMade]);
    let hour = Duration::from_secs(3_600);
    assert!(reasons(&clean(&own, Retention::For(hour))).is_empty());
    assert_eq!(reasons(&clean(&own, Retention::Nothing)), [RemovalReason::Dead]);
    assert!(own.channels().unwrap().is_empty() && first.listed().is_empty());
}

#[test]
fn live_and_foreign_objects_are_left_alone() {
    let own = OwnNamespace::new(&CHANNELS);
    let mut writer = own.writer::<Vec<u64>>("w0").unwrap();
    let mut reader = own.reader::<Vec<u64>>("w0").unwrap();
    writer.publish(&vec![1; 4_000]).unwrap();
    reader.snapshot().unwrap();
    writer.publish(&vec![2; 4_000]).unwrap();
    let objects = Objects::of(own.name(), "w0");
    // The page is unlinked, and its lock with it. The registry still has the channel's owner.
    fs::remove_file(objects.path("c")).unwrap();
    fs::create_dir(objects.path("a7")).unwrap();
    for retention in [Retention::UntilReplaced, Retention::Nothing] {
        let cleaned = clean(&own, retention);
        assert!(reasons(&cleaned).is_empty(), "{cleaned}");
        assert_eq!(own.channels().unwrap().len(), 1);
    }
    // The reader maps the other segment only now.
    assert_eq!(*reader.snapshot().unwrap(), [2; 4_000]);
    writer.publish(&vec![3]).unwrap();
    assert_eq!(*reader.snapshot().unwrap(), [3]);
    drop(writer);
    let cleaned = clean(&own, Retention::Nothing);
    assert!(reasons(&cleaned).is_empty(), "{cleaned}");
    assert_eq!(objects.listed(), ["a7"]);
    fs::remove_dir(objects.path("a7")).unwrap();
}

/// Opens, grows, shrinks and ends channels until it is killed.
fn work(namespace: &Namespace) -> ! {
    for round in 0_usize.. {
        let mut writers: Vec<_> = CHANNELS
            .iter()
            .map(|channel| namespace.writer_builder::<[u8]>(channel).codec::<Bytes>().open().unwrap())
            .collect();
        for writer in &mut writers {
            writer.publish(&pattern(100)).unwrap();
            writer.publish(&pattern(10_000 + round)).unwrap();
            writer.shrink_to_fit();
            writer.publish(&pattern(10)).unwrap();
        }
        say("round");
        let last = writers.pop().unwrap();
        last.close_lingering().unwrap();
    }
    unreachable!("the rounds don't end")
}

#[test]
fn the_next_start_cleans_up_after_a_kill_at_any_moment() {
    let test = "opening_cleans::the_next_start_cleans_up_after_a_kill_at_any_moment";
    if let Some((_, namespace)) = role() {
        work(&namespace);
    }
    let own = OwnNamespace::new(&CHANNELS);
    let mut removed = Vec::new();
    for round in 0..rounds(60, 2_000) {
        let mut actor = Actor::start(test, "worker", &own);
        actor.await_line("round");
        thread::sleep(Duration::from_micros(u64::from(round.wrapping_mul(2_654_435_761) % 3_000)));
        actor.signal(rustix::process::Signal::KILL);
        assert_eq!(actor.death(), Some(9));

        let opened = Namespace::open(own.name()).unwrap();
        removed.extend(reasons(&clean(&own, Retention::UntilReplaced)));
        // Everything that is left is whole and listed, and no channel has more than its own
        // objects.
        let channels = opened.channels().unwrap();
        let mut usable = 0;
        for channel in CHANNELS {
            let attached = opened.reader_builder::<Vec<u8>>(channel).codec::<Bytes>().open();
            let Ok(mut reader) = attached else { continue };
            let generations = opened.inspect(channel).unwrap().generations;
            let grown = generations.iter().filter(|generation| **generation > 1).count();
            assert_eq!(Objects::of(own.name(), channel).listed().len(), 1 + grown);
            usable += 1;
            assert!(
                channels.iter().any(|info| info.name == channel) || reader.publication() == 0,
                "{channel}"
            );
            if reader.publication() != 0 {
                assert!(crate::common::is_pattern(&reader.snapshot().unwrap()));
            }
        }
        assert!(channels.len() <= usable, "{channels:?}");
        assert!(
            reasons(&clean(&own, Retention::UntilReplaced)).is_empty(),
            "the first cleaning removed everything"
        );
        if round % 4 == 0 {
            removed.extend(reasons(&clean(&own, Retention::Nothing)));
            assert!(opened.channels().unwrap().is_empty());
            assert!(reasons(&clean(&own, Retention::Nothing)).is_empty());
        }
    }
    println!("removed {}: {removed:?}", removed.len());
    assert!(removed.contains(&RemovalReason::Dead));
}

#[test]
fn dead_channels_stay_few_without_a_cleanup() {
    let test = "opening_cleans::dead_channels_stay_few_without_a_cleanup";
    const DEAD: usize = 40;
    if let Some((role, namespace)) = role() {
        let names = (0..DEAD).map(|number| format!("{role}-{number}"));
        let source = if role == "old" { TimestampSource::None } else { TimestampSource::Precise };
        let writers = names.map(|name| {
            let mut writer = namespace.writer_builder::<u64>(&name).timestamps(source).open().unwrap();
            writer.publish(&5).unwrap();
            writer
        });
        let writers: Vec<_> = writers.collect();
        let mut kept = namespace.writer::<u64>(&format!("kept-{role}")).unwrap();
        kept.publish(&6).unwrap();
        kept.close_lingering().unwrap();
        say("published");
        wait_for_end();
        return drop(writers);
    }
    let own = OwnNamespace::new(&["new"]);
    let few = Namespace::builder(own.name()).max_dead_channels(10).open().unwrap();
    let count =
        |prefix: &str| few.channels().unwrap().iter().filter(|info| info.name.starts_with(prefix)).count();
    let start = |role| {
        let mut actor = Actor::start(test, role, &own);
        actor.await_line("published");
        actor
    };
    let (old, recent) = (start("old"), start("recent"));
    let open = || few.writer::<u64>("new").unwrap().close().unwrap();
    (0..50).for_each(|_| open());
    assert_eq!((count("old"), count("recent")), (DEAD, DEAD), "their writers live");
    old.kill();
    recent.kill();
    // Old states have no age here. Those of the last minute are kept.
    eventually("the old ones are removed", || {
        open();
        count("old") == 0
    });
    assert_eq!((count("recent"), count("kept")), (DEAD, 2));
    assert_eq!(*own.reader::<u64>("recent-7").unwrap().snapshot().unwrap(), 5);
}
