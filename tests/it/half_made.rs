//! While a creator is stopped at any step of its work, or after it was killed there, no process
//! sees half a channel, and no process waits longer than it requested.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::common::{Actor, OwnNamespace, role, rounds, say};
use tearless::{
    Namespace, Reader,
    error::{AttachError, CreateError, SnapshotError},
    options::AttachPolicy,
};
use testkit::objects::Objects;
use testkit::trace::{Step, Traced, stay_on_this_processor};

/// A creator's whole life up to its first publication and a clean end.
fn create(namespace: &Namespace) {
    let mut writer = namespace.writer::<u64>("worker").unwrap();
    writer.publish(&7).unwrap();
    writer.close_lingering().unwrap();
}

/// Attaches without waiting for a channel that is missing or not ready.
fn attach(namespace: &Namespace) -> Result<Reader<u64>, AttachError> {
    let attach = AttachPolicy::default().missing(Duration::ZERO).not_ready(Duration::ZERO);
    namespace.reader_builder::<u64>("worker").attach_policy(attach).open()
}

/// The outcome of attaching.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    Nothing,
    NotReady,
    Empty,
    Published,
}

/// Attaches. The channel does not exist, is not yet ready, or is whole.
fn look(namespace: &Namespace) -> Found {
    let mut reader = match attach(namespace) {
        Ok(reader) => reader,
        Err(AttachError::NotFound { .. }) => return Found::Nothing,
        Err(AttachError::NotReady { .. }) => return Found::NotReady,
        Err(error) => panic!("{error}, {error:?}"),
    };
    match reader.snapshot() {
        Err(SnapshotError::Empty { .. }) => Found::Empty,
        Ok(snapshot) => {
            assert_eq!(*snapshot, 7);
            Found::Published
        }
        Err(error) => panic!("{error}, {error:?}"),
    }
}

/// A creator that is stopped after a number of system calls and then of instructions; `None` if it
/// ends before.
fn stopped_creator(namespace: &Namespace, calls: u32, instructions: u32) -> Option<Traced> {
    let mut creator = Traced::start(|| create(namespace));
    let goes_on = (0..calls).all(|_| creator.step(Step::Call))
        && (0..instructions).all(|_| creator.step(Step::Instruction));
    goes_on.then_some(creator)
}

/// The number of stops at system calls in a creator's life.
fn calls_of_a_life(namespace: &Namespace) -> u32 {
    let mut creator = Traced::start(|| create(namespace));
    let calls = (0..).take_while(|_| creator.step(Step::Call)).count();
    assert!(namespace.remove_channel("worker").unwrap());
    u32::try_from(calls).unwrap()
}

/// The next writer after a stopped creator has the channel and only its own objects, and its end
/// leaves nothing.
fn assert_usable(namespace: &Namespace, objects: &Objects) {
    let mut writer = namespace.writer::<u64>("worker").unwrap();
    assert_eq!(objects.listed(), ["c"]);
    let number = writer.publish(&8).unwrap();
    let mut reader = attach(namespace).unwrap();
    assert_eq!((*reader.snapshot().unwrap(), reader.publication()), (8, number));
    writer.close().unwrap();
    assert_eq!(objects.listed(), Vec::<String>::new());
}

fn play(namespace: &Namespace) {
    stay_on_this_processor();
    create(namespace);
    let objects = Objects::of(namespace.name(), "worker");
    assert!(namespace.remove_channel("worker").unwrap());
    let calls = calls_of_a_life(namespace);
    let mut found = Vec::new();
    for call in 0..calls {
        for step in 0..rounds(1, 6) {
            // The creator is also stopped between system calls, which are a few thousand
            // instructions apart.
            let instructions = (call + step).wrapping_mul(2_654_435_761) % 997 * (call % 2 + step);
            let Some(creator) = stopped_creator(namespace, call, instructions) else { continue };
            found.push(look(namespace));
            if (call + step) % 3 == 0 {
                creator.finish();
                assert_eq!(look(namespace), Found::Published);
            } else {
                drop(creator);
                look(namespace);
            }
            assert_usable(namespace, &objects);
        }
    }
    found.sort_unstable();
    let count = |what| found.iter().filter(|found| **found == what).count();
    let counts = [Found::Nothing, Found::NotReady, Found::Empty, Found::Published].map(count);
    say(&format!("{} stops; nothing, not ready, empty, published: {counts:?}", found.len()));
    assert!(counts.iter().all(|count| *count > 0), "every phase was met: {counts:?}");
}

#[test]
fn no_process_sees_half_a_channel() {
    if let Some((_, namespace)) = role() {
        return play(&namespace);
    }
    let own = OwnNamespace::new(&["worker"]);
    let mut player = Actor::start("half_made::no_process_sees_half_a_channel", "player", &own);
    println!("{}", player.await_line_with("stops"));
    player.finish();
}

/// One creator's life in single steps. The phases occur in order, and a reader does not disturb a
/// stopped creator.
fn step_through(namespace: &Namespace) {
    stay_on_this_processor();
    let mut creator = Traced::start(|| create(namespace));
    let between_looks = u64::from(40 / rounds(1, 40));
    let (mut instructions, mut looks, mut latest) = (0_u64, 0, Found::Nothing);
    while creator.step(Step::Instruction) {
        instructions += 1;
        if instructions.is_multiple_of(between_looks) {
            let found = look(namespace);
            assert!(found >= latest, "{found:?} after {latest:?} at instruction {instructions}");
            (latest, looks) = (found, looks + 1);
        }
    }
    assert_eq!(latest, Found::Published);
    say(&format!("{instructions} instructions, {looks} looks"));
}

#[test]
fn no_step_of_a_creator_shows_half_a_channel() {
    if let Some((_, namespace)) = role() {
        return step_through(&namespace);
    }
    let own = OwnNamespace::new(&["worker"]);
    let mut player = Actor::start("half_made::no_step_of_a_creator_shows_half_a_channel", "player", &own);
    println!("{}", player.await_line_with("looks"));
    player.finish();
}

/// Readers that attach while channels are made and removed get all of a channel, or none.
#[test]
fn a_reader_that_attaches_while_a_channel_is_made_gets_all_of_it() {
    let own = OwnNamespace::new(&["worker"]);
    let (attached, done) = (AtomicU32::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // It also ends if the other thread panics.
            let begin = Instant::now();
            while attached.load(Ordering::Relaxed) < rounds(3_000, 300_000)
                && !done.load(Ordering::Relaxed)
                && begin.elapsed() < Duration::from_secs(600)
            {
                // Its object takes several pages.
                let mut writer = own.writer::<Vec<u64>>("worker").unwrap();
                writer.publish(&vec![7; 100]).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        let attach_policy = AttachPolicy::default().missing(Duration::ZERO).not_ready(Duration::ZERO);
        while !done.load(Ordering::Relaxed) {
            let attached_to = own.reader_builder::<Vec<u64>>("worker").attach_policy(attach_policy).open();
            match attached_to {
                Ok(_) => _ = attached.fetch_add(1, Ordering::Relaxed),
                Err(AttachError::NotFound { .. } | AttachError::NotReady { .. }) => {}
                Err(error) => {
                    done.store(true, Ordering::Relaxed);
                    panic!("{error}, {error:?}");
                }
            }
        }
    });
    assert!(attached.into_inner() >= rounds(3_000, 300_000));
}

/// A second writer waits two seconds for a creator that is stopped while it claims the channel, and
/// never deposes it.
#[test]
fn another_writer_waits_for_a_stopped_creator_and_is_refused() {
    let test = "half_made::another_writer_waits_for_a_stopped_creator_and_is_refused";
    let Some((_, namespace)) = role() else {
        let own = OwnNamespace::new(&["worker"]);
        let mut player = Actor::start(test, "player", &own);
        println!("{}", player.await_line_with("refused"));
        return player.finish();
    };
    // The first life makes the registry, too.
    create(&namespace);
    assert!(namespace.remove_channel("worker").unwrap());
    let calls = calls_of_a_life(&namespace);
    let (mut refused, mut opened) = (0, 0);
    for part in 1..rounds(2, 20) {
        let creator = stopped_creator(&namespace, calls * part / rounds(2, 20), 0).unwrap();
        match namespace.writer::<u64>("worker") {
            Err(CreateError::AlreadyOwned { .. }) => refused += 1,
            // The creator is stopped before or after its claim.
            Ok(writer) => {
                writer.close_lingering().unwrap();
                opened += 1;
            }
            Err(error) => panic!("{error}"),
        }
        creator.finish();
        assert_eq!(look(&namespace), Found::Published);
        assert!(namespace.remove_channel("worker").unwrap());
    }
    say(&format!("refused {refused} times, opened {opened} times"));
    assert!(refused > 0);
}
