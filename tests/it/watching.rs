//! A process that waits for any of several channels learns of every change, once, and loses no
//! wake-up.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::common::{Actor, OwnNamespace, role, rounds, say, wait_for_end};
use tearless::{
    Namespace, Pod, Writer,
    hub::{Health, Hub, HubWatch},
    options::{TimestampSource, WaitPolicy, WakeMode},
};

const FOREVER: Duration = Duration::from_secs(3600);

/// No waiter wakes by itself, so a lost wake-up is a test that never ends.
fn sleeping() -> WaitPolicy {
    WaitPolicy::default().spin(Duration::ZERO).slice(FOREVER)
}

/// Mostly long enough for a thread that is about to sleep to do so.
const A_MOMENT: Duration = Duration::from_millis(5);

fn writer(namespace: &Namespace, channel: &str, wake_mode: WakeMode) -> Writer<u64, Pod> {
    let builder = namespace.writer_builder::<u64>(channel).codec::<Pod>();
    builder.wake_mode(wake_mode).timestamps(TimestampSource::None).open().unwrap()
}

fn asleep(namespace: &Namespace) -> Hub<Pod> {
    namespace.hub_builder().codec::<Pod>().wait_policy(sleeping()).open()
}

fn names(changed: &[Arc<str>]) -> Vec<&str> {
    changed.iter().map(|name| &**name).collect()
}

/// Spins for up to some microseconds, so that the two sides meet at every step of each other.
fn dawdle(round: u64) {
    for _ in 0..round.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 53 {
        std::hint::spin_loop();
    }
}

/// Waits until `channel` is at publication `wanted`, or at its end.
fn await_state(hub: &Hub<Pod>, watch: &mut HubWatch, channel: &str, wanted: u64) -> u64 {
    loop {
        match hub.get::<u64>(channel) {
            Ok(state) if [wanted, u64::MAX].contains(&state) => return *state,
            _ => {}
        }
        let changed = watch.wait_any(FOREVER).unwrap();
        assert_eq!(names(&changed), [channel], "an hour has not passed");
    }
}

fn waking_of(role: &str) -> WakeMode {
    if role == "fences" { WakeMode::Fences } else { WakeMode::Barriers }
}

/// Answers each publication of "ping" with one of its own.
fn answer(namespace: &Namespace, role: &str) {
    let mut pong = writer(namespace, "pong", waking_of(role));
    let hub = asleep(namespace);
    let mut watch = hub.watch("ping");
    say("answering");
    for round in 0.. {
        if await_state(&hub, &mut watch, "ping", round) == u64::MAX {
            break;
        }
        dawdle(round);
        pong.publish(&round).unwrap();
    }
}

fn play(test: &str, role: &str) {
    let own = OwnNamespace::new(&["ping", "pong"]);
    let mut ping = writer(&own, "ping", waking_of(role));
    let mut partner = Actor::start(test, role, &own);
    partner.await_line("answering");
    let hub = asleep(&own);
    let mut watch = hub.watch("p?n*g");
    assert_eq!(names(&watch.changed().unwrap()), ["ping", "pong"], "everything is new at first");
    let mut watch = hub.watch("pong");
    for round in 0..rounds(5_000, 1_000_000).into() {
        dawdle(!round);
        ping.publish(&round).unwrap();
        assert_eq!(await_state(&hub, &mut watch, "pong", round), round);
    }
    ping.publish(&u64::MAX).unwrap();
    partner.finish();
}

#[test]
fn no_wake_up_is_lost_with_barriers() {
    if let Some((role, namespace)) = role() {
        return answer(&namespace, &role);
    }
    play("watching::no_wake_up_is_lost_with_barriers", "barriers");
}

#[test]
fn no_wake_up_is_lost_with_fences() {
    if let Some((role, namespace)) = role() {
        return answer(&namespace, &role);
    }
    play("watching::no_wake_up_is_lost_with_fences", "fences");
}

#[test]
fn each_of_64_channels_wakes_and_only_they_are_named() {
    let namespace = Namespace::in_process("many").unwrap();
    let channels: Vec<String> = (0..64).map(|index| format!("worker-{index:02}")).collect();
    let mut writers: Vec<_> =
        channels.iter().map(|channel| writer(&namespace, channel, WakeMode::Barriers)).collect();
    let mut unwatched = writer(&namespace, "other", WakeMode::Barriers);
    let mut watch = asleep(&namespace).watch("worker-*");
    assert_eq!(names(&watch.changed().unwrap()), channels);
    let (go, gone) = mpsc::channel::<BTreeSet<usize>>();
    let publisher = thread::spawn(move || {
        for chosen in gone {
            for index in chosen {
                dawdle(index as u64);
                unwatched.publish(&0).unwrap();
                writers[index].publish(&1).unwrap();
            }
        }
        writers
    });
    let mut spread = 1_u64;
    for round in 0..rounds(2_000, 200_000) as usize {
        spread = spread.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        // Each of them alone, and some together.
        let some = (0..round % 4).map(|which| usize::from(spread.to_le_bytes()[which + 2]) % 64);
        let chosen: BTreeSet<usize> = some.chain([round % 64]).collect();
        let expected: BTreeSet<&str> = chosen.iter().map(|index| channels[*index].as_str()).collect();
        go.send(chosen.clone()).unwrap();
        let mut seen = BTreeSet::new();
        while seen.len() < expected.len() {
            let changed = watch.wait_any(FOREVER).unwrap();
            assert!(changed.is_sorted() && !changed.is_empty());
            for name in names(&changed) {
                assert!(seen.insert(name.to_owned()), "{name} changed once");
                assert!(expected.contains(name), "{name}");
            }
        }
    }
    drop(go);
    let _writers = publisher.join().unwrap();
    assert!(watch.changed().unwrap().is_empty());
}

#[test]
fn of_thousands_of_channels_exactly_those_that_changed_are_named() {
    // More than there are groups: writers of different channels share some.
    const CHANNELS: usize = 2_500;
    let namespace = Namespace::in_process("thousands").unwrap();
    let name = |index| format!("{}-{index:04}", if index % 2 == 0 { "even" } else { "odd" });
    let channels: Vec<String> = (0..CHANNELS).map(name).collect();
    let writers = channels.iter().map(|channel| writer(&namespace, channel, WakeMode::Barriers));
    let mut writers: Vec<_> = writers.collect();
    // The others share their groups.
    let mut watch = asleep(&namespace).watch("even-*");
    assert_eq!(watch.changed().unwrap().len(), CHANNELS / 2);
    let (go, gone) = mpsc::channel::<BTreeSet<usize>>();
    let publisher = thread::spawn(move || {
        for chosen in gone {
            for index in chosen {
                dawdle(index as u64);
                writers[index].publish(&1).unwrap();
            }
        }
        writers
    });
    let mut spread = 1_u64;
    for round in 0..rounds(300, 30_000) {
        let mut next = || {
            spread = spread.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            usize::try_from(spread >> 33).unwrap() % CHANNELS
        };
        let mut chosen: BTreeSet<usize> = (0..round % 5).map(|_| next()).collect();
        chosen.insert(next() / 2 * 2);
        let even = chosen.iter().filter(|index| *index % 2 == 0);
        let expected: BTreeSet<&str> = even.map(|index| channels[*index].as_str()).collect();
        go.send(chosen.clone()).unwrap();
        let mut seen = BTreeSet::new();
        while seen.len() < expected.len() {
            let changed = watch.wait_any(FOREVER).unwrap();
            assert!(changed.is_sorted() && !changed.is_empty());
            for name in names(&changed) {
                assert!(seen.insert(name.to_owned()), "{name} changed once");
                assert!(expected.contains(name), "{name}");
            }
        }
    }
    drop(go);
    let _writers = publisher.join().unwrap();
    assert!(watch.changed().unwrap().is_empty());
}

#[test]
fn no_change_is_lost_between_two_checks() {
    let namespace = Namespace::in_process("looks").unwrap();
    let mut writer = writer(&namespace, "worker", WakeMode::Never);
    let mut watch = asleep(&namespace).watch("*");
    assert_eq!(names(&watch.changed().unwrap()), ["worker"]);
    let last = u64::from(rounds(200_000, 20_000_000));
    let (published, noticed) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            for number in 1..=last {
                writer.publish(&number).unwrap();
                published.store(number, Ordering::Release);
                while noticed.load(Ordering::Acquire) < number {
                    std::hint::spin_loop();
                }
            }
        });
        let mut lost = None;
        for number in 1..=last {
            let mut in_vain = 0;
            while lost.is_none() && watch.changed().unwrap().is_empty() {
                // The check before this load may precede the publication. A check after a load that
                // has seen the publication does not precede it.
                in_vain += u32::from(published.load(Ordering::Acquire) == number);
                lost = (in_vain > 1 || publisher.is_finished()).then_some(number);
            }
            noticed.store(number, Ordering::Release);
        }
        assert_eq!(lost, None);
    });
}

#[test]
fn a_new_channel_wakes_sleepers_even_before_its_first_state() {
    if let Some((_, namespace)) = role() {
        let _writer = writer(&namespace, "late", WakeMode::Barriers);
        say("open");
        return wait_for_end();
    }
    let test = "watching::a_new_channel_wakes_sleepers_even_before_its_first_state";
    let own = OwnNamespace::new(&["early", "late"]);
    let mut early = writer(&own, "early", WakeMode::Barriers);
    let hub = asleep(&own);
    for pattern in ["*", "late"] {
        let mut watch = hub.watch(pattern);
        assert_eq!(names(&watch.changed().unwrap()).is_empty(), pattern == "late");
        let waiter = thread::spawn(move || {
            let came = watch.wait_any(FOREVER).unwrap();
            (watch, came)
        });
        thread::sleep(A_MOMENT);
        let mut late = Actor::start(test, "late", &own);
        let (mut watch, came) = waiter.join().unwrap();
        assert_eq!(names(&came), ["late"]);
        late.await_line("open");
        assert!(watch.changed().unwrap().is_empty());
        late.kill();
        assert!(
            watch.changed().unwrap().is_empty() && watch.wait_any(A_MOMENT).unwrap().is_empty(),
            "death changes nothing"
        );
        assert!(matches!(hub.status("late").unwrap().health, Health::Dead { .. }));
        own.remove_channel("late").unwrap();
        early.publish(&1).unwrap();
        let changed = watch.wait_any(FOREVER).unwrap();
        assert_eq!(names(&changed), if pattern == "*" { vec!["early", "late"] } else { vec!["late"] });
    }
}

/// The channels that a sleeper prints after it was woken.
fn sleeper(namespace: &Namespace) -> mpsc::Receiver<Vec<String>>
where
    HubWatch: Send,
{
    let mut watch = asleep(namespace).watch("*");
    let (say, said) = mpsc::channel();
    thread::spawn(move || {
        while say
            .send(names(&watch.wait_any(FOREVER).unwrap()).into_iter().map(str::to_owned).collect())
            .is_ok()
        {}
    });
    said
}

#[test]
fn an_empty_or_emptied_namespace_can_be_waited_for() {
    let own = OwnNamespace::new(&["a", "b"]);
    let woken = sleeper(&own);
    for round in 0..rounds(100, 10_000) {
        let channel = ["a", "b"][round as usize % 2];
        // The waiter sometimes sleeps by then, and sometimes does not.
        thread::sleep(A_MOMENT * (round % 2));
        let mut writer = writer(&own, channel, WakeMode::Barriers);
        assert_eq!(woken.recv().unwrap(), [channel], "it came");
        thread::sleep(A_MOMENT * (round / 2 % 2));
        writer.publish(&1).unwrap();
        assert_eq!(woken.recv().unwrap(), [channel], "it was published on");
        thread::sleep(A_MOMENT * (round / 4 % 2));
        writer.close().unwrap();
        assert_eq!(woken.recv().unwrap(), [channel], "it ended");
    }
}

#[test]
fn every_end_and_every_return_is_noticed_once() {
    let namespace = Namespace::in_process("endings").unwrap();
    let mut stays = writer(&namespace, "stays", WakeMode::Barriers);
    let woken = sleeper(&namespace);
    assert_eq!(woken.recv().unwrap(), ["stays"]);
    for linger in [false, true, true, false, false] {
        let mut worker = writer(&namespace, "worker", WakeMode::Barriers);
        assert_eq!(woken.recv().unwrap(), ["worker"], "it was created, or has a new state");
        worker.publish(&1).unwrap();
        assert_eq!(woken.recv().unwrap(), ["worker"]);
        if linger {
            worker.close_lingering().unwrap();
        } else {
            worker.close().unwrap();
        }
        assert_eq!(woken.recv().unwrap(), ["worker"], "it ended");
        stays.publish(&1).unwrap();
        assert_eq!(woken.recv().unwrap(), ["stays"], "and nothing in between");
    }
}

#[test]
fn a_recreated_channel_of_any_type_is_a_change() {
    let namespace = Namespace::in_process("again").unwrap();
    let mut watch = asleep(&namespace).watch("*");
    for number in 0..10_u64 {
        let mut worker = writer(&namespace, "worker", WakeMode::Barriers);
        for _ in 0..number % 3 {
            worker.publish(&1).unwrap();
        }
        assert_eq!(names(&watch.wait_any(FOREVER).unwrap()), ["worker"]);
        worker.close_lingering().unwrap();
        let mut other = namespace.writer_builder::<[u64; 2]>("worker").codec::<Pod>().open().unwrap();
        assert_eq!(
            names(&watch.wait_any(FOREVER).unwrap()),
            ["worker"],
            "it ended, and another channel was created"
        );
        assert!(watch.changed().unwrap().is_empty());
        other.publish(&[1, 2]).unwrap();
        assert_eq!(names(&watch.wait_any(A_MOMENT).unwrap()), ["worker"], "the other channel is watched");
        other.close().unwrap();
    }
}

#[test]
fn no_wait_takes_longer_than_requested() {
    let own = OwnNamespace::new(&["worker", "other"]);
    let hub = asleep(&own);
    let times = [Duration::ZERO, Duration::from_micros(1), Duration::from_millis(3)];
    let mut nothing = hub.watch("*");
    assert!(
        times.iter().all(|longest| nothing.wait_any(*longest).unwrap().is_empty()),
        "there is no namespace yet"
    );
    let mut worker = writer(&own, "worker", WakeMode::Barriers);
    let mut other = writer(&own, "other", WakeMode::Barriers);
    let mut watch = hub.watch("work*");
    assert_eq!(
        names(&watch.wait_any(Duration::ZERO).unwrap()),
        ["worker"],
        "an existing change is returned at once"
    );
    for longest in times {
        other.publish(&1).unwrap();
        assert!(watch.wait_any(longest).unwrap().is_empty(), "the other channel is not watched");
        worker.publish(&1).unwrap();
        assert_eq!(names(&watch.wait_any(longest).unwrap()), ["worker"]);
    }
    assert_eq!(names(&nothing.changed().unwrap()), ["other", "worker"]);
}
