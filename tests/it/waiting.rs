//! The next publication, the next writer and the end of the channel each wake a waiter, and no
//! wake-up is lost.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use crate::common::{Actor, OwnNamespace, role, rounds, say, wait_for_end};
use tearless::{
    Namespace, Pod, Reader, Writer,
    error::SnapshotError,
    inspect::WriterState,
    options::{TimestampSource, WaitPolicy, WakeMode},
};
use testkit::objects::Objects;

const FOREVER: Duration = Duration::from_secs(3600);

/// No waiter wakes by itself, so a lost wake-up is a test that never ends.
fn sleeping() -> WaitPolicy {
    WaitPolicy::default().spin(Duration::ZERO).slice(FOREVER)
}

type Numbers<'a> = (&'a str, WakeMode);

fn writer(namespace: &Namespace, (channel, wake_mode): Numbers<'_>) -> Writer<u64, Pod> {
    let builder = namespace.writer_builder::<u64>(channel).codec::<Pod>();
    builder.wake_mode(wake_mode).timestamps(TimestampSource::None).open().unwrap()
}

fn reader(namespace: &Namespace, channel: &str) -> Reader<u64, Pod> {
    let builder = namespace.reader_builder::<u64>(channel).codec::<Pod>();
    builder.wait_policy(sleeping()).attach_within(Duration::from_secs(60)).open().unwrap()
}

fn await_next(reader: &mut Reader<u64, Pod>, seen: u64) -> u64 {
    reader.wait_after(seen, FOREVER).unwrap().expect("an hour has not passed").publication()
}

/// Spins for up to some microseconds, so that the two sides meet at every step of each other.
fn dawdle(round: u64) {
    for _ in 0..round.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 53 {
        std::hint::spin_loop();
    }
}

fn waking_of(role: &str) -> WakeMode {
    match role {
        "fences" => WakeMode::Fences,
        "never" => WakeMode::Never,
        _ => WakeMode::Barriers,
    }
}

/// Answers each publication of "ping" with one of its own.
fn answer(namespace: &Namespace, role: &str) {
    let mut pong = writer(namespace, ("pong", waking_of(role)));
    let mut ping = reader(namespace, "ping");
    let mut seen = 0;
    say("answering");
    while let Ok(Some(snapshot)) = ping.wait_after(seen, FOREVER) {
        seen = snapshot.publication();
        if *snapshot == u64::MAX {
            break;
        }
        dawdle(seen);
        pong.publish(&*snapshot).unwrap();
    }
}

fn play(test: &str, role: &str, rounds: u64) {
    let own = OwnNamespace::new(&["ping", "pong"]);
    let mut ping = writer(&own, ("ping", waking_of(role)));
    let mut partner = Actor::start(test, role, &own);
    partner.await_line("answering");
    let mut pong = reader(&own, "pong");
    let mut seen = 0;
    for round in 0..rounds {
        dawdle(!round);
        ping.publish(&round).unwrap();
        let snapshot = pong.wait_after(seen, FOREVER).unwrap().expect("an hour has not passed");
        assert_eq!(*snapshot, round, "no answer is skipped: there is only one at a time");
        seen = snapshot.publication();
    }
    ping.publish(&u64::MAX).unwrap();
    partner.finish();
}

#[test]
fn no_wake_up_is_lost_with_barriers() {
    if let Some((role, namespace)) = role() {
        return answer(&namespace, &role);
    }
    play("waiting::no_wake_up_is_lost_with_barriers", "barriers", rounds(20_000, 3_000_000).into());
}

#[test]
fn no_wake_up_is_lost_with_fences() {
    if let Some((role, namespace)) = role() {
        return answer(&namespace, &role);
    }
    play("waiting::no_wake_up_is_lost_with_fences", "fences", rounds(20_000, 2_000_000).into());
}

#[test]
fn a_waiter_polls_a_writer_that_wakes_no_process() {
    if let Some((role, namespace)) = role() {
        return answer(&namespace, &role);
    }
    play("waiting::a_waiter_polls_a_writer_that_wakes_no_process", "never", 300);
}

#[test]
fn without_barriers_writers_have_fences_and_waiters_poll() {
    if let Some((role, namespace)) = role() {
        testkit::seccomp::forbid(libc::SYS_membarrier);
        return answer(&namespace, &role);
    }
    let test = "waiting::without_barriers_writers_have_fences_and_waiters_poll";
    play(test, "barriers", 300);
    let own = OwnNamespace::new(&["ping", "pong"]);
    let _ping = writer(&own, ("ping", WakeMode::Barriers));
    let mut partner = Actor::start(test, "barriers", &own);
    partner.await_line("answering");
    assert_eq!([waking_word(&own, "ping"), waking_word(&own, "pong")], [BARRIERS, FENCES]);
}

/// The byte of the control page that says how its writer wakes, and its values: see docs/layout.md.
const WAKE_MODE: u64 = 312;
const BARRIERS: u64 = 1;
const FENCES: u64 = 2;

fn waking_word(namespace: &Namespace, channel: &str) -> u64 {
    let page = File::open(Objects::of(namespace.name(), channel).path("c")).unwrap();
    let mut word = [0; 8];
    page.read_exact_at(&mut word, WAKE_MODE).unwrap();
    u64::from_le_bytes(word)
}

/// Publishes on a channel of its own which publication of "ping" it has seen.
fn confirm(namespace: &Namespace, channel: &str) {
    let mut own = writer(namespace, (channel, WakeMode::Never));
    let mut ping = reader(namespace, "ping");
    let mut seen = 0;
    say("waiting");
    while let Ok(Some(snapshot)) = ping.wait_after(seen, FOREVER) {
        seen = snapshot.publication();
        dawdle(seen ^ channel.len() as u64);
        own.publish(&seen).unwrap();
        if *snapshot == u64::MAX {
            break;
        }
    }
}

#[test]
fn every_one_of_several_waiters_is_woken() {
    if let Some((role, namespace)) = role() {
        return confirm(&namespace, &role);
    }
    let own = OwnNamespace::new(&["ping", "one", "another"]);
    let test = "waiting::every_one_of_several_waiters_is_woken";
    let mut ping = writer(&own, ("ping", WakeMode::Barriers));
    let mut waiters = ["one", "another"].map(|role| Actor::start(test, role, &own));
    waiters.iter_mut().for_each(|waiter| waiter.await_line("waiting"));
    let confirmations = ["one", "another"].map(|channel| reader(&own, channel));
    let last = u64::from(rounds(5_000, 500_000));
    for round in 1..=last {
        dawdle(round);
        let published = ping.publish(if round == last { &u64::MAX } else { &round }).unwrap();
        for confirmation in &confirmations {
            while confirmation.publication() < published {
                std::hint::spin_loop();
            }
        }
    }
    waiters.into_iter().for_each(Actor::finish);
}

#[test]
fn a_wait_outlasts_a_killed_writer_and_its_successor_wakes() {
    if let Some((role, namespace)) = role() {
        let mut writer = writer(&namespace, ("worker", WakeMode::Barriers));
        writer.publish(&u64::from(role == "second")).unwrap();
        say("published");
        return wait_for_end();
    }
    let test = "waiting::a_wait_outlasts_a_killed_writer_and_its_successor_wakes";
    let own = OwnNamespace::new(&["worker"]);
    let mut first = Actor::start(test, "first", &own);
    first.await_line("published");
    let mut waiting = reader(&own, "worker");
    first.kill();
    assert_eq!(waiting.writer_state().unwrap(), WriterState::Dead);
    assert!(waiting.wait_after(1, Duration::from_millis(5)).unwrap().is_none(), "death is no publication");
    let waiter = std::thread::spawn(move || await_next(&mut waiting, 1));
    let second = Actor::start(test, "second", &own);
    assert_eq!(waiter.join().unwrap(), 2);
    second.finish();
}

#[test]
fn the_end_of_the_channel_ends_the_wait() {
    let own = OwnNamespace::new(&["worker"]);
    for linger in [false, true] {
        let mut writer = own.writer_builder::<u64>("worker").linger(linger).open().unwrap();
        let last = writer.publish(&1).unwrap();
        let mut reader = own.reader::<u64>("worker").unwrap();
        let waiter = std::thread::spawn(move || reader.wait_after(last, FOREVER).unwrap_err());
        std::thread::sleep(Duration::from_millis(5));
        drop(writer);
        assert!(matches!(waiter.join().unwrap(), SnapshotError::Closed { last: 1, .. }));
    }
}

#[test]
fn the_last_state_before_the_end_is_seen_whenever_it_comes() {
    let namespace = Namespace::in_process("ends").unwrap();
    // The reader waits over and over, so that the end sometimes comes between two of its loads.
    let looking = WaitPolicy::default().spin(FOREVER).slice(FOREVER);
    for round in 0..rounds(3_000, 100_000) {
        let channel = format!("worker-{round}");
        let mut writer = namespace.writer_builder::<u64>(&channel).linger(true).open().unwrap();
        let mut reader = namespace.reader_builder::<u64>(&channel).wait_policy(looking).open().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                dawdle(round.into());
                writer.publish(&7).unwrap();
                writer.close().unwrap();
            });
            let last = reader.wait_after(0, FOREVER).unwrap().expect("an hour has not passed");
            assert_eq!((*last, last.publication()), (7, 1));
        });
        namespace.remove_channel(&channel).unwrap();
    }
}

#[test]
fn a_failed_growth_answers_no_waiter() {
    let own = OwnNamespace::new(&["worker"]);
    // Both segments of a page, and the control page: no growth fits.
    let builder = own.writer_builder::<Vec<u8>>("worker").max_memory(3 * 4096);
    let mut writer = builder.open().unwrap();
    let mut reader = own.reader_builder::<Vec<u8>>("worker").wait_policy(sleeping()).open().unwrap();
    let rounds = u64::from(rounds(700, 30_000));
    let waiter = std::thread::spawn(move || {
        let mut seen = 0;
        while seen < rounds {
            seen = reader.wait_after(seen, FOREVER).unwrap().expect("an hour has not passed").publication();
        }
    });
    let [small, large] = [vec![1; 8], vec![1; 64 << 10]];
    for round in 0..rounds {
        dawdle(round);
        for attempt in 0..round % 8 {
            dawdle(round ^ attempt << 17);
            writer.publish(&large).unwrap_err();
        }
        writer.publish(&small).unwrap();
    }
    waiter.join().unwrap();
}

#[test]
fn no_wait_takes_longer_than_requested() {
    let own = OwnNamespace::new(&["worker"]);
    let mut writer = own.writer::<u64>("worker").unwrap();
    let mut reader = own.reader::<u64>("worker").unwrap();
    for longest in [Duration::ZERO, Duration::from_micros(1), Duration::from_millis(3)] {
        assert!(reader.wait_after(0, longest).unwrap().is_none());
    }
    writer.publish(&7).unwrap();
    assert_eq!(
        *reader.wait_after(0, Duration::ZERO).unwrap().unwrap(),
        7,
        "an existing state is returned at once"
    );
    assert!(reader.wait_after(1, Duration::from_millis(1)).unwrap().is_none());
    assert!(reader.wait_after(u64::MAX, Duration::from_millis(1)).unwrap().is_none(), "a number far ahead");
}

#[test]
fn threads_of_one_process_wait_for_each_other() {
    let namespace = Namespace::in_process("threads").unwrap();
    let mut writer = namespace.writer::<u64>("worker").unwrap();
    let mut reader = namespace.reader_builder::<u64>("worker").wait_policy(sleeping()).open().unwrap();
    let waiter = std::thread::spawn(move || {
        let mut seen = 0;
        while seen < 1_000 {
            seen = reader.wait_after(seen, FOREVER).unwrap().unwrap().publication();
        }
    });
    for round in 0..1_000 {
        dawdle(round);
        writer.publish(&round).unwrap();
    }
    waiter.join().unwrap();
}
