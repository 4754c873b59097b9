//! Views in place among processes: what is viewed does not change, and a reader that is killed,
//! stopped, forked or of another user costs the writer and the other readers nothing but its pins.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Actor, OwnNamespace, eventually, is_root, orders, role, rounds, say, wait_for_end};
use crate::descriptors::leave;
use crate::directory::OwnDirectory;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use tearless::error::{PublishError, SnapshotError};
use tearless::options::WakeMode;
use tearless::view::{TrustedWriters, View};
use tearless::{Bytes, Namespace, Reader, ReaderBuilder, Writer, WriterBuilder};
use testkit::fork::{Forked, become_member, end_after, fork};
use testkit::objects::Objects;

type BytesWriter = Writer<[u8], Bytes>;
type BytesReader = Reader<Vec<u8>, Bytes>;

const LEN: usize = 8 << 10;

/// The user and the group of readers that are not the writer's. They need no names.
const READER: u32 = 54_011;
const READERS: u32 = 54_110;

/// Runs the command that follows as the first process of new PID and mount namespaces, and kills it
/// when `unshare` is killed.
const INSIDE: [&str; 4] = ["unshare", "-pf", "--mount-proc", "--kill-child"];

/// The state of a publication: each of its words depends on the number. One in 32 has another
/// length, for which the channel grows.
fn content(number: u64) -> Vec<u8> {
    let len = if number % 32 == 31 { 3 * LEN + 1 } else { LEN };
    let words = (0..len.div_ceil(8) as u64).map(|at| (number ^ at << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    bytes.truncate(len);
    bytes
}

fn builder(namespace: &Namespace, pins: usize) -> WriterBuilder<[u8], Bytes> {
    namespace.writer_builder::<[u8]>("camera").codec::<Bytes>().capacity(LEN).slots(2).pins(pins)
}

fn writer(namespace: &Namespace, pins: usize) -> BytesWriter {
    // Both sides have room for each state.
    builder(namespace, pins).capacity(4 * LEN).open().unwrap()
}

fn reader_builder(namespace: &Namespace) -> ReaderBuilder<Vec<u8>, Bytes> {
    let builder = namespace.reader_builder::<Vec<u8>>("camera").codec::<Bytes>();
    // SAFETY: only the library stores to the channels of these tests. In the test of a hostile
    // process, no other reader gives the promise, and its views end before the next publication.
    // No fork uses a view of its parent.
    builder.views_in_place(unsafe { TrustedWriters::new() })
}

fn reader(namespace: &Namespace) -> BytesReader {
    reader_builder(namespace).open().unwrap()
}

fn publish(writer: &mut BytesWriter, count: u64) {
    for _ in 0..count {
        let next = writer.publication() + 1;
        assert_eq!(writer.publish(&content(next)).unwrap(), next);
    }
}

#[track_caller]
fn check(view: &View) {
    assert!(**view == *content(view.publication()), "publication {} is not whole", view.publication());
}

#[track_caller]
fn checked(view: View) -> View {
    check(&view);
    view
}

#[track_caller]
fn check_copy(reader: &mut BytesReader) -> u64 {
    let snapshot = reader.snapshot().unwrap();
    assert!(*snapshot == content(snapshot.publication()), "publication {}", snapshot.publication());
    snapshot.publication()
}

/// A reader that obeys orders.
fn read_as_ordered(mut reader: BytesReader) {
    let mut held = Vec::new();
    say("ready");
    for order in orders() {
        match order.as_str() {
            "view" => {
                let view = checked(reader.view().unwrap());
                say(if view.is_in_place() { "viewed in place" } else { "viewed a copy" });
                held.push(view);
            }
            "insist" => {
                // It does not look for dead readers each time.
                let mut views = (0..64).map(|_| checked(reader.view().unwrap()));
                held.extend(views.find(View::is_in_place));
                say(&format!("viewed in the end: {}", held.last().unwrap().is_in_place()));
            }
            "check" => {
                held.iter().for_each(check);
                check_copy(&mut reader);
                say(&format!("checked {}", held.len()));
            }
            "drop" => {
                held.clear();
                say("dropped");
            }
            "starve" => {
                let used = leave(0);
                let starved = checked(reader.view().unwrap()).is_in_place();
                drop(used);
                held.push(checked(reader.view().unwrap()));
                say(&format!("starved: in place {starved}, then {}", held[0].is_in_place()));
            }
            other => panic!("{other}?"),
        }
    }
}

fn start(test: &str, namespace: &Namespace) -> Actor {
    let mut actor = Actor::start(test, "reader", namespace);
    actor.await_line("ready");
    actor
}

#[track_caller]
fn obey(reader: &mut Actor, order: &str, answer: &str) {
    reader.order(order);
    let line = reader.await_line_with(match order {
        "view" | "insist" => "viewed",
        "check" => "checked",
        "drop" => "dropped",
        _ => "starved",
    });
    assert!(line.ends_with(answer), "{order}: {line}");
}

/// Whether a new reader gets a pin.
#[track_caller]
fn gets_a_pin(namespace: &Namespace) -> bool {
    checked(reader(namespace).view().unwrap()).is_in_place()
}

#[test]
fn a_view_in_another_process_shows_its_publication_until_that_is_killed() {
    let test = "views::a_view_in_another_process_shows_its_publication_until_that_is_killed";
    if let Some((_, namespace)) = role() {
        return read_as_ordered(reader(&namespace));
    }
    let own = OwnNamespace::new(&["camera"]);
    let mut writer = writer(&own, 1);
    publish(&mut writer, 3);
    let mut display = start(test, &own);
    obey(&mut display, "view", "in place");
    for _ in 0..10 {
        publish(&mut writer, 50);
        obey(&mut display, "check", "checked 1");
    }
    assert!(writer.statistics().pinned > 0, "its slot's turn came");
    let (memory, objects) = (own.memory().unwrap().total(), Objects::of(own.name(), "camera"));
    let listed = objects.listed();
    assert!(!gets_a_pin(&own), "the only one is held");
    display.kill();
    publish(&mut writer, 50);
    let mut next = start(test, &own);
    obey(&mut next, "view", "in place");
    publish(&mut writer, 50);
    obey(&mut next, "check", "checked 1");
    next.finish();
    assert!(gets_a_pin(&own));
    assert_eq!((own.memory().unwrap().total(), objects.listed(), writer.growths()), (memory, listed, 0));
}

/// Readers die at every moment of a view, again and again.
#[test]
fn the_pins_of_hundreds_of_killed_readers_are_taken_over() {
    let test = "views::the_pins_of_hundreds_of_killed_readers_are_taken_over";
    let Some((_, namespace)) = role() else {
        return Actor::start(test, "killer", &OwnNamespace::new(&["camera"])).finish();
    };
    let mut writer = writer(&namespace, 1);
    publish(&mut writer, 3);
    let objects = Objects::of(namespace.name(), "camera");
    let found = (namespace.memory().unwrap().total(), objects.listed());
    for round in 0..rounds(400, 10_000) {
        let (mut own, theirs) = UnixStream::pair().unwrap();
        let child = Forked::start(|| {
            let mut theirs = &theirs;
            let mut reader = reader(&namespace);
            let view = checked(reader.view().unwrap());
            assert!(view.is_in_place(), "round {round}: the pin of a dead reader was taken over");
            theirs.write_all(&[1]).unwrap();
            if round % 2 == 0 {
                drop(view);
                loop {
                    checked(reader.view().unwrap());
                }
            }
            thread::sleep(Duration::from_secs(100));
            drop(view);
        });
        drop(theirs);
        own.read_exact(&mut [0]).expect("the reader got its view");
        publish(&mut writer, u64::from(3 + round % 4));
        child.kill();
        publish(&mut writer, u64::from(1 + round % 3));
    }
    assert!(gets_a_pin(&namespace));
    check_copy(&mut reader(&namespace));
    assert_eq!((namespace.memory().unwrap().total(), objects.listed()), found);
    assert_eq!(writer.growths(), 0);
    writer.close().unwrap();
    assert_eq!(objects.listed(), Vec::<String>::new());
}

#[test]
fn a_stopped_reader_keeps_its_pin_and_stops_no_process() {
    let test = "views::a_stopped_reader_keeps_its_pin_and_stops_no_process";
    if let Some((_, namespace)) = role() {
        return read_as_ordered(reader(&namespace));
    }
    let own = OwnNamespace::new(&["camera"]);
    let mut writer = writer(&own, 1);
    publish(&mut writer, 3);
    let mut display = start(test, &own);
    obey(&mut display, "view", "in place");
    display.signal(Signal::STOP);
    let mut other = reader(&own);
    for _ in 0..20 {
        publish(&mut writer, 100);
        assert!(!checked(other.view().unwrap()).is_in_place());
        assert_eq!(check_copy(&mut other), writer.publication());
    }
    display.signal(Signal::CONT);
    obey(&mut display, "check", "checked 1");
    obey(&mut display, "drop", "dropped");
    assert!(checked(other.view().unwrap()).is_in_place());
    assert_eq!(writer.growths(), 0);
    display.finish();
}

/// In a fork of a reader: a view of its own, which it checks as publications pass.
fn view_in_fork(reader: &mut BytesReader) {
    end_after(100);
    let view = checked(reader.view().unwrap());
    say(&format!("fork {} viewed {}", std::process::id(), view.is_in_place()));
    for publications in [100, 300] {
        while reader.publication() < view.publication() + publications {
            thread::sleep(Duration::from_millis(1));
        }
        check(&view);
        say(&format!("fork saw {publications}"));
    }
}

/// A reader that holds a view, and forks: first a child that drops it, then one that views itself.
fn view_and_fork(namespace: &Namespace) {
    let mut reader = reader(namespace);
    let mut held = Some(checked(reader.view().unwrap()));
    assert!(held.as_ref().unwrap().is_in_place());
    let dropper = fork(|| drop(held.take()));
    waitpid(Some(dropper), WaitOptions::empty()).unwrap();
    say("dropped in a fork");
    let viewer = fork(|| view_in_fork(&mut reader));
    for order in orders() {
        match order.as_str() {
            "check" => check(held.as_ref().unwrap()),
            "drop" => held = None,
            "reap" => drop(waitpid(Some(viewer), WaitOptions::empty()).unwrap()),
            other => panic!("{other}?"),
        }
        say(&format!("parent: {order}"));
    }
}

fn start_fork(test: &str, own: &OwnNamespace) -> (Actor, Pid) {
    let mut parent = Actor::start(test, "parent", own);
    parent.await_line("dropped in a fork");
    let line = parent.await_line_with("viewed");
    assert!(line.ends_with("viewed true"), "{line}");
    let pid = line.split(' ').nth(1).unwrap().parse().unwrap();
    (parent, Pid::from_raw(pid).unwrap())
}

fn tell(parent: &mut Actor, order: &str) {
    parent.order(order);
    parent.await_line(&format!("parent: {order}"));
}

#[test]
fn a_fork_gives_nothing_back_and_has_views_of_its_own() {
    let test = "views::a_fork_gives_nothing_back_and_has_views_of_its_own";
    if let Some((_, namespace)) = role() {
        return view_and_fork(&namespace);
    }
    let own = OwnNamespace::new(&["camera"]);
    let mut writer = writer(&own, 2);
    publish(&mut writer, 3);

    // The parent gives its view back. That of its fork, of the same publication, is another one.
    let (mut parent, _) = start_fork(test, &own);
    assert!(!gets_a_pin(&own), "parent and fork have one each");
    publish(&mut writer, 20);
    tell(&mut parent, "check");
    tell(&mut parent, "drop");
    assert!(gets_a_pin(&own));
    publish(&mut writer, 80);
    parent.await_line("fork saw 100");
    publish(&mut writer, 200);
    parent.await_line("fork saw 300");
    tell(&mut parent, "reap");
    parent.finish();

    // The fork is killed first.
    let (mut parent, fork) = start_fork(test, &own);
    publish(&mut writer, 20);
    kill_process(fork, Signal::KILL).unwrap();
    tell(&mut parent, "reap");
    assert!(gets_a_pin(&own), "that of the fork");
    publish(&mut writer, 300);
    tell(&mut parent, "check");
    parent.finish();

    // The parent is killed first.
    let (mut parent, _) = start_fork(test, &own);
    parent.signal(Signal::KILL);
    parent.wait();
    assert!(!gets_a_pin(&own), "the fork has its parent's descriptor");
    publish(&mut writer, 100);
    parent.await_line("fork saw 100");
    publish(&mut writer, 200);
    parent.await_line("fork saw 300");
    let mut readers = [reader(&own), reader(&own)];
    eventually("the fork has ended", || {
        let views = readers.each_mut().map(|reader| checked(reader.view().unwrap()));
        views.iter().all(View::is_in_place)
    });
    assert_eq!(writer.growths(), 0);
}

#[test]
fn a_reader_of_another_user_views_in_place_if_it_may_write() {
    let test = "views::a_reader_of_another_user_views_in_place_if_it_may_write";
    if let Some((_, namespace)) = role() {
        become_member(READER, READER, &[READERS]);
        let namespace = Namespace::builder(namespace.name()).trust_owner(0).open().unwrap();
        return read_as_ordered(reader(&namespace));
    }
    if !is_root("to become another user") {
        return;
    }
    for (permissions, viewed) in [(0o640, "a copy"), (0o660, "in place")] {
        let own = OwnNamespace::new(&["camera"]);
        let admitting =
            Namespace::builder(own.name()).permissions(permissions).group(READERS).open().unwrap();
        let mut writer = writer(&admitting, 1);
        publish(&mut writer, 3);
        let mut display = start(test, &own);
        obey(&mut display, "view", viewed);
        publish(&mut writer, 300);
        obey(&mut display, "check", "checked 1");
        assert_eq!(gets_a_pin(&own), viewed == "a copy");
        display.kill();
        publish(&mut writer, 300);
        assert!(gets_a_pin(&own));
    }
}

#[test]
fn a_reader_without_descriptors_copies_until_it_has_some() {
    let test = "views::a_reader_without_descriptors_copies_until_it_has_some";
    if let Some((_, namespace)) = role() {
        return read_as_ordered(reader(&namespace));
    }
    let own = OwnNamespace::new(&["camera"]);
    let mut writer = writer(&own, 1);
    publish(&mut writer, 3);
    let mut display = start(test, &own);
    obey(&mut display, "starve", "in place false, then true");
    publish(&mut writer, 300);
    obey(&mut display, "check", "checked 1");
    display.finish();
}

#[test]
fn views_are_in_place_in_a_directory_too() {
    let test = "views::views_are_in_place_in_a_directory_too";
    let open = |name: &str, path: &Path| Namespace::builder(name).directory(path).open().unwrap();
    if let Some((path, namespace)) = role() {
        return read_as_ordered(reader(&open(namespace.name(), Path::new(&path))));
    }
    let (own, directory) = (OwnNamespace::new(&[]), OwnDirectory::new());
    let namespace = open(own.name(), &directory.0);
    let mut writer = writer(&namespace, 1);
    publish(&mut writer, 3);
    let listed = || fs::read_dir(&directory.0).unwrap().count();
    let objects = listed();
    for _ in 0..5 {
        let mut display = Actor::start(test, directory.0.to_str().unwrap(), &own);
        display.await_line("ready");
        obey(&mut display, "view", "in place");
        publish(&mut writer, 300);
        obey(&mut display, "check", "checked 1");
        display.kill();
    }
    assert_eq!((listed(), writer.growths()), (objects, 0));
}

#[test]
fn a_dead_reader_is_recognised_across_pid_namespaces() {
    let test = "views::a_dead_reader_is_recognised_across_pid_namespaces";
    if let Some((_, namespace)) = role() {
        return read_as_ordered(reader(&namespace));
    }
    if !is_root("to make a PID namespace") {
        return;
    }
    let own = OwnNamespace::new(&["camera"]);
    let mut writer = writer(&own, 1);
    publish(&mut writer, 3);
    let start_inside = || {
        let mut inside = Actor::start_by(&INSIDE, test, "reader", &own);
        inside.await_line("ready");
        inside
    };
    let mut first = start_inside();
    obey(&mut first, "view", "in place");
    publish(&mut writer, 300);
    obey(&mut first, "check", "checked 1");
    // Both are process 1 where they live.
    let mut second = start_inside();
    obey(&mut second, "view", "a copy");
    assert!(!gets_a_pin(&own));
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", first.pid())).unwrap();
    let pid = Pid::from_raw(children.trim().parse().unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    first.kill();
    eventually("its pin is free", || gets_a_pin(&own));
    let mut outside = start(test, &own);
    obey(&mut outside, "view", "in place");
    publish(&mut writer, 1);
    obey(&mut second, "view", "a copy");
    outside.kill();
    publish(&mut writer, 1);
    obey(&mut second, "insist", "true");
    publish(&mut writer, 300);
    obey(&mut second, "check", "checked 3");
    second.finish();
}

#[test]
fn a_channel_whose_name_was_removed_is_viewed_and_never_its_successor() {
    let own = OwnNamespace::new(&["camera"]);
    let mut removed = writer(&own, 2);
    publish(&mut removed, 3);
    let (mut early, mut late) = (reader(&own), reader(&own));
    let held = checked(early.view().unwrap());
    let objects = Objects::of(own.name(), "camera");
    objects.listed().iter().for_each(|kind| fs::remove_file(objects.path(kind)).unwrap());
    let mut successor = writer(&own, 1);
    for number in 1..=300_u64 {
        assert_eq!(successor.publish(&vec![0xee; LEN]).unwrap(), number);
    }
    let mut newest = reader(&own);
    for _ in 0..10 {
        publish(&mut removed, 30);
        check(&held);
        let known = checked(early.view().unwrap());
        assert!(known.is_in_place(), "as before");
        let unknown = checked(late.view().unwrap());
        assert!(!unknown.is_in_place(), "it had no pin while the channel had its name");
        assert_eq!(unknown.publication(), removed.publication());
        let view = newest.view().unwrap();
        assert!(view.is_in_place() && view[..] == [0xee; LEN]);
    }
}

/// Stores random words, numbers of publications that there may be, and zeros to the page of the
/// pins.
fn scribble(path: &str) {
    let object = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let start = object.metadata().unwrap().len() - 4096;
    say("scribbles");
    let mut random = 1_u64;
    let mut number = 1;
    loop {
        let words = (0..512).flat_map(|_| {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            let near = number + (random >> 60);
            [random >> 32, near, near, 0][usize::try_from(random >> 33 & 3).unwrap()].to_le_bytes()
        });
        let page: Vec<u8> = words.collect();
        object.write_all_at(&page, start).unwrap();
        let mut published = [0; 8];
        object.read_exact_at(&mut published, 128).unwrap();
        number = u64::from_le_bytes(published).saturating_sub(8);
    }
}

#[test]
fn a_process_that_scribbles_over_the_pins_harms_no_state() {
    let test = "views::a_process_that_scribbles_over_the_pins_harms_no_state";
    match role() {
        Some((role, namespace)) if role == "copier" => {
            let builder = namespace.reader_builder::<Vec<u8>>("camera").codec::<Bytes>();
            return read_as_ordered(builder.open().unwrap());
        }
        Some((path, _)) => return scribble(&path),
        None => {}
    }
    let own = OwnNamespace::new(&["camera"]);
    let first = own.memory().unwrap().total().bytes;
    let budget = 4 << 20;
    let mut writer = builder(&own, 3).capacity(4 * LEN).max_memory(budget).open().unwrap();
    publish(&mut writer, 3);
    let objects = Objects::of(own.name(), "camera");
    let mut copier = Actor::start(test, "copier", &own);
    copier.await_line("ready");
    let path = objects.path("c");
    let mut hostile = Actor::start(test, path.to_str().unwrap(), &own);
    hostile.await_line("scribbles");
    let mut reader = reader(&own);
    let (mut in_place, mut refused) = (0, 0);
    for round in 0..rounds(5_000, 200_000) {
        let next = writer.publication() + 1;
        match writer.publish(&content(next)) {
            Ok(number) => assert_eq!(number, next),
            Err(PublishError::TooLarge { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        assert_eq!(check_copy(&mut reader), writer.publication());
        let view = checked(reader.view().unwrap());
        assert_eq!(view.publication(), writer.publication());
        in_place += u64::from(view.is_in_place());
        if round % 500 == 0 {
            obey(&mut copier, "view", "a copy");
            obey(&mut copier, "check", "");
            assert!(own.memory().unwrap().total().bytes - first <= budget + (1 << 20));
            assert!(objects.listed().len() <= 3, "{:?}", objects.listed());
        }
    }
    println!("{in_place} views in place, {} growths, {refused} refused", writer.growths());
    assert!(in_place > 0 && writer.statistics().pinned > 0, "it hit the pins");
    hostile.kill();
    publish(&mut writer, 10);
    // What it left are numbers that no reader has.
    assert!(checked(reader.view().unwrap()).is_in_place());
    obey(&mut copier, "check", "");
    copier.finish();
    writer.close().unwrap();
    assert_eq!(objects.listed(), Vec::<String>::new());
}

/// The writer relies on the barrier that this reader can't have.
#[test]
fn a_reader_without_barriers_copies() {
    let test = "views::a_reader_without_barriers_copies";
    if let Some((_, namespace)) = role() {
        testkit::seccomp::forbid(libc::SYS_membarrier);
        let mut reader = reader(&namespace);
        let view = checked(reader.view().unwrap());
        assert!(!view.is_in_place());
        return say("copied");
    }
    let own = OwnNamespace::new(&["camera"]);
    let mut writer = writer(&own, 1);
    publish(&mut writer, 3);
    let mut actor = Actor::start(test, "reader", &own);
    actor.await_line("copied");
    actor.finish();
    publish(&mut writer, 3);
    assert!(reader(&own).view().unwrap().is_in_place());
}

/// Stops the writer also if a check fails.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Until then the writer looks at no pin, unless it wakes no waiters.
#[test]
fn a_writer_that_is_flat_out_notices_the_first_view() {
    let own = OwnNamespace::new(&["camera"]);
    let (mut in_place, mut raced) = (0, 0);
    let modes = [WakeMode::Barriers, WakeMode::Fences, WakeMode::Never];
    for (round, wake_mode) in (0..rounds(120, 6_000)).zip(modes.into_iter().cycle()) {
        let mut writer = builder(&own, 1).capacity(4 * LEN).wake_mode(wake_mode).open().unwrap();
        publish(&mut writer, 2);
        let mut reader = reader(&own);
        let stop = AtomicBool::new(false);
        let view = thread::scope(|scope| {
            let _done = Done(&stop);
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    publish(&mut writer, 1);
                }
            });
            // Another moment in each round.
            (0..100 * (round % 50)).for_each(|_| std::hint::spin_loop());
            let view = checked(reader.view().unwrap());
            (0..50).for_each(|_| check(&view));
            view
        });
        in_place += u32::from(view.is_in_place());
        raced += u32::from(view.publication() > 2);
        publish(&mut writer, 10);
        check(&view);
        assert!(writer.statistics().pinned > 0 || !view.is_in_place());
    }
    assert!(in_place > 0 && raced > 0, "{in_place} in place, {raced} beside publications");
}

/// The torture: random views beside a writer that grows, shrinks and is killed.
#[test]
fn views_survive_their_writers() {
    let test = "views::views_survive_their_writers";
    if let Some((_, namespace)) = role() {
        let mut writer = builder(&namespace, 3).open().unwrap();
        say("open");
        // Until it is killed.
        loop {
            publish(&mut writer, 100);
            writer.shrink_to_fit();
        }
    }
    let own = OwnNamespace::new(&["camera"]);
    let (mut last, mut in_place) = (0, 0);
    for _ in 0..rounds(10, 300) {
        let mut actor = Actor::start(test, "writer", &own);
        actor.await_line("open");
        // From round to round, other moments of the writer.
        let until = last + 500 + last % 97;
        let watch = |own: &OwnNamespace| {
            let mut reader = reader(own);
            let (mut in_place, mut held) = (0, Vec::new());
            while reader.publication() < until {
                match reader.view() {
                    Ok(view) => held.push((checked(view), Instant::now())),
                    Err(SnapshotError::Empty { .. } | SnapshotError::Contended { .. }) => continue,
                    Err(error) => panic!("{error}"),
                }
                in_place += u64::from(held.last().is_some_and(|(view, _)| view.is_in_place()));
                // The more there are, the sooner they end.
                let lifetime = Duration::from_millis(40 / (1 + held.len() as u64));
                held.retain(|(view, since)| {
                    check(view);
                    since.elapsed() < lifetime
                });
            }
            (in_place, held)
        };
        let watched = thread::scope(|scope| {
            let readers = [(); 2].map(|()| scope.spawn(|| watch(&own)));
            readers.map(|reader| reader.join().unwrap())
        });
        actor.kill();
        in_place += watched.iter().map(|(in_place, _)| in_place).sum::<u64>();
        let held = || watched.iter().flat_map(|(_, held)| held);
        held().for_each(|(view, _)| check(view));
        last = check_copy(&mut reader(&own));
        assert!(last >= until);
        // A successor finds them pinned.
        let mut successor = builder(&own, 3).linger(true).open().unwrap();
        publish(&mut successor, 7);
        held().for_each(|(view, _)| check(view));
        last = successor.publication();
        assert!(Objects::of(own.name(), "camera").listed().len() <= 3);
        successor.close().unwrap();
    }
    assert!(in_place > 0);
    let objects = Objects::of(own.name(), "camera");
    let writer = builder(&own, 3).open().unwrap();
    assert_eq!(writer.publication(), last);
    assert!(objects.listed().len() <= 3, "{:?}", objects.listed());
    writer.close().unwrap();
    assert_eq!(objects.listed(), Vec::<String>::new());
}

#[test]
fn a_forgotten_view_keeps_its_pin_until_its_process_ends() {
    let test = "views::a_forgotten_view_keeps_its_pin_until_its_process_ends";
    if let Some((_, namespace)) = role() {
        std::mem::forget(reader(&namespace).view().unwrap());
        say("forgotten");
        return wait_for_end();
    }
    let own = OwnNamespace::new(&["camera"]);
    let mut writer = writer(&own, 1);
    publish(&mut writer, 3);
    let mut forgetful = Actor::start(test, "forgetful", &own);
    forgetful.await_line("forgotten");
    publish(&mut writer, 300);
    assert!(!gets_a_pin(&own));
    forgetful.finish();
    assert!(gets_a_pin(&own));
}
