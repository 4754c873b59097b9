//! A start that cleans leaves nothing of dead processes but their last states: no start needs a cleanup by hand. Opening a
//! namespace alone has no effect.

mod common;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hint::black_box;
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::Duration;

use common::objects::Objects;
use common::trace::{Step, Traced};
use common::{Actor, OwnNamespace, pattern, role, rounds, say, until_told_to_end};
use tearless::{
    Bytes, Namespace,
    cleanup::{CleanupReport, RemovalReason, Retention},
};

const CHANNELS: [&str; 3] = ["w0", "w1", "w2"];

/// Cleans as a start does, by a namespace of its own; nothing may fail.
fn clean(own: &OwnNamespace, keep: Retention) -> CleanupReport {
    let cleaned = Namespace::open(own.name()).unwrap().clean(keep).unwrap();
    assert!(cleaned.failed.is_empty(), "{cleaned}");
    cleaned
}

/// Why it removed what it removed.
fn causes(cleaned: &CleanupReport) -> Vec<RemovalReason> {
    cleaned.removed.iter().map(|removed| removed.reason).collect()
}

/// All there is in shared memory of a namespace, with the times of its last change.
fn contents(own: &OwnNamespace) -> BTreeMap<String, (u64, i64, i64)> {
    let objects = CHANNELS.iter().map(|channel| Objects::of(own, channel));
    objects
        .flat_map(|objects| objects.listed().into_iter().map(move |kind| objects.path(&kind)))
        .map(|path| {
            let found = fs::symlink_metadata(&path).unwrap();
            (path.display().to_string(), (found.ino(), found.ctime(), found.ctime_nsec()))
        })
        .collect()
}

/// Stops at the system calls of a child that opens a namespace.
fn stops_of_opening(name: &str) -> usize {
    let mut child = Traced::start(|| drop(black_box(Namespace::open(name).unwrap())));
    (0_u32..).take_while(|_| child.step(Step::Call)).count()
}

#[test]
fn opening_changes_nothing_and_costs_the_same_however_many_channels_there_are() {
    let own = OwnNamespace::new(&CHANNELS);
    own.writer::<u64>("w0").unwrap().publish(&5).unwrap();
    // A channel of a dead writer, a leftover, and a channel that is not whole.
    let mut lingering = own.writer::<u64>("w1").unwrap();
    lingering.publish(&5).unwrap();
    lingering.close_lingering().unwrap();
    File::create(Objects::of(&own, "w1").path("a7")).unwrap();
    File::create(Objects::of(&own, "w2").path("c")).unwrap();
    let (before, registry) = (contents(&own), own.channels().unwrap());
    let opened = Namespace::open(own.name()).unwrap();
    assert_eq!(contents(&own), before);
    assert_eq!(opened.channels().unwrap().len(), registry.len());
    assert_eq!(causes(&clean(&own, Retention::UntilReplaced)).len(), 2, "there was something to clean");

    let names: Vec<&str> = (0..1_000).map(|number| &*format!("worker-{number}").leak()).collect();
    let crowd = OwnNamespace::new(&names);
    let empty = stops_of_opening(crowd.name());
    let first = crowd.writer::<u64>(names[0]).unwrap();
    assert_eq!(stops_of_opening(crowd.name()), empty);
    let others: Vec<_> = names[1..].iter().map(|name| crowd.writer::<u64>(name).unwrap()).collect();
    assert_eq!(stops_of_opening(crowd.name()), empty, "among {} channels", others.len() + 1);
    drop((first, others));
}

#[test]
fn what_nobody_can_use_goes_and_the_rest_stays_as_long_as_asked() {
    let test = "what_nobody_can_use_goes_and_the_rest_stays_as_long_as_asked";
    if let Some((_, namespace)) = role() {
        let writers = ["w0", "w1"].map(|channel| {
            let mut writer = namespace.writer::<u64>(channel).unwrap();
            writer.publish(&5).unwrap();
            writer
        });
        say("published");
        until_told_to_end();
        return drop(writers);
    }
    let own = OwnNamespace::new(&CHANNELS);
    let mut dead = Actor::start(test, "worker", &own);
    dead.await_line("published");
    let (first, second) = (Objects::of(&own, "w0"), Objects::of(&own, "w1"));
    assert!(causes(&clean(&own, Retention::Nothing)).is_empty(), "it lives");
    dead.kill();

    // A segment of a growth that was not finished; and one whose page is gone.
    File::create(first.path("a2")).unwrap();
    fs::remove_file(second.path("c")).unwrap();
    drop(Namespace::open(own.name()).unwrap());
    assert_eq!(second.listed(), ["a1", "b1"]);
    let opened = Namespace::open(own.name()).unwrap();
    let cleaned = clean(&own, Retention::UntilReplaced);
    assert_eq!(causes(&cleaned), [RemovalReason::Orphaned, RemovalReason::Orphaned]);
    let text = cleaned.to_string();
    assert!(text.contains(&first.name("a2")) && text.contains(&second.name("b1")), "{text}");
    assert_eq!((first.listed(), second.listed()), (["a1", "b1", "c"].map(String::from).into(), vec![]));
    assert_eq!(*opened.reader::<u64>("w0").unwrap().snapshot().unwrap(), 5);
    let listed = opened.channels().unwrap();
    assert_eq!(listed.len(), 1, "the other one's entry went, too: {listed:?}");

    File::create(second.path("c")).unwrap();
    assert_eq!(causes(&clean(&own, Retention::UntilReplaced)), [RemovalReason::HalfMade]);
    let hour = Duration::from_secs(3_600);
    assert!(causes(&clean(&own, Retention::For(hour))).is_empty());
    assert_eq!(causes(&clean(&own, Retention::Nothing)), [RemovalReason::Dead]);
    assert!(own.channels().unwrap().is_empty() && first.listed().is_empty());
}

#[test]
fn what_lives_or_is_not_ours_is_left_alone() {
    let own = OwnNamespace::new(&CHANNELS);
    let mut writer = own.writer::<u64>("w0").unwrap();
    let mut reader = own.reader::<u64>("w0").unwrap();
    writer.publish(&1).unwrap();
    reader.snapshot().unwrap();
    let objects = Objects::of(&own, "w0");
    // The lock goes with the page's name; who has the channel is in the registry still.
    fs::remove_file(objects.path("c")).unwrap();
    fs::create_dir(objects.path("a7")).unwrap();
    for keep in [Retention::UntilReplaced, Retention::Nothing] {
        let cleaned = clean(&own, keep);
        assert!(causes(&cleaned).is_empty(), "{cleaned}");
        assert_eq!(own.channels().unwrap().len(), 1);
    }
    // The reader has to map the other segment only now.
    writer.publish(&2).unwrap();
    assert_eq!(*reader.snapshot().unwrap(), 2);
    drop(writer);
    let cleaned = clean(&own, Retention::Nothing);
    assert!(causes(&cleaned).is_empty(), "{cleaned}");
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
    let test = "the_next_start_cleans_up_after_a_kill_at_any_moment";
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
        removed.extend(causes(&clean(&own, Retention::UntilReplaced)));
        // What is left is whole, and listed; no channel has more than its own objects.
        let channels = opened.channels().unwrap();
        let mut usable = 0;
        for channel in CHANNELS {
            let attached = opened.reader_builder::<Vec<u8>>(channel).codec::<Bytes>().open();
            let Ok(mut reader) = attached else { continue };
            assert_eq!(Objects::of(&own, channel).listed().len(), 3);
            usable += 1;
            assert!(
                channels.iter().any(|info| info.name == channel) || reader.publication() == 0,
                "{channel}"
            );
            if reader.publication() != 0 {
                assert!(common::is_pattern(&reader.snapshot().unwrap()));
            }
        }
        assert!(channels.len() <= usable, "{channels:?}");
        assert!(causes(&clean(&own, Retention::UntilReplaced)).is_empty(), "the first cleaning did all");
        if round % 4 == 0 {
            removed.extend(causes(&clean(&own, Retention::Nothing)));
            assert!(opened.channels().unwrap().is_empty());
            assert!(causes(&clean(&own, Retention::Nothing)).is_empty());
        }
    }
    println!("removed {}: {removed:?}", removed.len());
    assert!(removed.contains(&RemovalReason::Dead));
}
