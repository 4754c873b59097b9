//! What happens to waiters, and to the processes that wake them, if one of them dies or shared
//! pages are damaged.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::common::{Actor, OwnNamespace, eventually, role, rounds, say};
use tearless::{Namespace, Pod, Reader, Writer, hub::Health, options::WaitPolicy};
use testkit::objects::Objects;

/// Longer than any test takes. A waiter that sleeps so long has missed a wake-up: then `ends`
/// fails.
const FOREVER: Duration = Duration::from_secs(86_400);

/// Sleeps at once, and wakes by itself now and then.
fn sleeping() -> WaitPolicy {
    WaitPolicy::default().spin(Duration::ZERO).slice(Duration::from_millis(5))
}

/// Sleeps without end: only a wake-up, or a check before the sleep, shows a change.
fn sleeping_for_good() -> WaitPolicy {
    WaitPolicy::default().spin(Duration::ZERO).slice(FOREVER)
}

/// The byte of the waiters' page in the registry: see docs/layout.md.
const WAITERS_PAGE: u64 = 4096;
const WAITERS_PAGE_WORDS: u64 = 2048;

fn writer(namespace: &Namespace) -> Writer<u64, Pod> {
    namespace.writer_builder("worker").codec::<Pod>().open().unwrap()
}

fn reader(namespace: &Namespace, policy: WaitPolicy) -> Reader<u64, Pod> {
    namespace
        .reader_builder("worker")
        .codec::<Pod>()
        .wait_policy(policy)
        .attach_within(FOREVER)
        .open()
        .unwrap()
}

/// Waits for each publication up to number `last`.
fn follow(mut reader: Reader<u64, Pod>, last: u64) {
    let mut seen = 0;
    while seen < last {
        let snapshot = reader.wait_after(seen, FOREVER).unwrap().expect("there is more to come");
        assert!(*snapshot == snapshot.publication() && snapshot.publication() > seen);
        seen = snapshot.publication();
    }
}

/// Publishes numbers, with pauses in which the waiters fall asleep.
fn publish(writer: &mut Writer<u64, Pod>, until: u64) {
    while writer.publication() < until {
        let number = writer.publication() + 1;
        writer.publish(&number).unwrap();
        thread::sleep(Duration::from_micros(500));
    }
}

/// Whether that thread sleeps in a futex call of the kind that processes share.
fn sleeps(thread: i32) -> bool {
    let call = fs::read_to_string(format!("/proc/{thread}/syscall")).unwrap_or_default();
    let mut words = call.split(' ');
    // The number of the call on x86-64, and on aarch64: under an emulator, the machine's own.
    let is_futex = matches!(words.next(), Some("202" | "98"));
    // The second argument is the operation. 0 is FUTEX_WAIT; the locks of threads have a flag.
    is_futex && words.nth(1) == Some("0x0")
}

/// Starts a thread that waits, and returns when it sleeps.
pub(crate) fn asleep<R: Send + 'static>(wait: impl FnOnce() -> R + Send + 'static) -> JoinHandle<R> {
    let (sender, receiver) = mpsc::channel();
    let waiter = thread::spawn(move || {
        sender.send(rustix::thread::gettid().as_raw_nonzero().get()).unwrap();
        wait()
    });
    let thread = receiver.recv().unwrap();
    eventually("the waiter sleeps", || sleeps(thread));
    waiter
}

/// The result of waiting.
pub(crate) fn ends<R>(waiter: JoinHandle<R>) -> R {
    eventually("the waiter ends", || waiter.is_finished());
    waiter.join().unwrap()
}

#[test]
fn killed_waiters_cost_nothing() {
    const TEST: &str = "waiting_faults::killed_waiters_cost_nothing";
    if let Some((_, namespace)) = role() {
        say(&format!("thread {}", rustix::thread::gettid().as_raw_nonzero()));
        return follow(reader(&namespace, sleeping_for_good()), u64::MAX);
    }
    let own = OwnNamespace::new(&["worker"]);
    let mut writer = writer(&own);
    let rounds = u64::from(rounds(10, 500));
    for round in 1..=rounds {
        let mut dies = Actor::start(TEST, "waiter", &own);
        let thread = dies.await_line_with("thread ");
        let thread = thread.rsplit(' ').next().unwrap().parse().unwrap();
        let lives = reader(&own, sleeping_for_good());
        let last = round * 20;
        let living = thread::spawn(move || follow(lives, last));
        publish(&mut writer, last - 10);
        eventually("the waiter sleeps", || sleeps(thread));
        dies.kill();
        publish(&mut writer, last);
        ends(living);
    }
}

/// Overwrites words of the waiters' page until `done`.
fn damage(own: &OwnNamespace, done: &Arc<AtomicBool>) -> JoinHandle<()> {
    let page = OpenOptions::new().write(true).open(Objects::of(own.name(), "worker").registry()).unwrap();
    let is_done = Arc::clone(done);
    thread::spawn(move || {
        let mut noise = 1_u64;
        while !is_done.load(Ordering::Relaxed) {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let word = noise >> 33 & (WAITERS_PAGE_WORDS - 1);
            page.write_all_at(&(noise >> 3).to_le_bytes(), WAITERS_PAGE + 8 * word).unwrap();
        }
    })
}

#[test]
fn a_damaged_waiters_page_delays_and_loses_nothing() {
    let own = OwnNamespace::new(&["worker"]);
    let mut writer = writer(&own);
    let done = Arc::new(AtomicBool::new(false));
    let damager = damage(&own, &done);
    let last = u64::from(rounds(300, 20_000));
    let waiters = [sleeping(); 2].map(|policy| reader(&own, policy));
    let waiters = waiters.map(|waiter| thread::spawn(move || follow(waiter, last)));
    let hub = own.hub_builder().codec::<Pod>().wait_policy(sleeping()).open();
    let watching = thread::spawn(move || {
        let mut watch = hub.watch("*");
        while hub.get::<u64>("worker").map_or(0, |state| state.publication()) < last {
            assert_eq!(watch.wait_any(FOREVER).unwrap().len(), 1);
        }
    });
    publish(&mut writer, last);
    waiters.into_iter().for_each(ends);
    ends(watching);
    done.store(true, Ordering::Relaxed);
    ends(damager);
}

#[test]
fn a_ring_that_is_taken_back_hides_a_change_for_a_slice_at_most() {
    let own = OwnNamespace::new(&["worker"]);
    let mut writer = writer(&own);
    let page =
        OpenOptions::new().read(true).write(true).open(Objects::of(own.name(), "worker").registry()).unwrap();
    let mut before = vec![0; 8 * usize::try_from(WAITERS_PAGE_WORDS).unwrap()];
    page.read_exact_at(&mut before, WAITERS_PAGE).unwrap();
    let hub = own.hub_builder().codec::<Pod>().wait_policy(sleeping()).open();
    let mut watch = hub.watch("*");
    for round in 1..=u64::from(rounds(20, 500)) {
        assert!(watch.changed().unwrap().len() <= 1);
        // It announces itself.
        assert!(watch.wait_any(Duration::from_millis(1)).unwrap().is_empty());
        publish(&mut writer, round);
        page.write_all_at(&before, WAITERS_PAGE).unwrap();
        assert_eq!(watch.wait_any(FOREVER).unwrap().len(), 1);
    }
}

#[test]
fn an_unlinked_registry_keeps_no_waiter_waiting() {
    let own = OwnNamespace::new(&["worker"]);
    let mut writer = writer(&own);
    writer.publish(&1).unwrap();
    let before = reader(&own, sleeping_for_good());
    let before = asleep(move || follow(before, 30));
    publish(&mut writer, 20);
    fs::remove_file(Objects::of(own.name(), "worker").registry()).unwrap();
    publish(&mut writer, 30);
    ends(before);
    // This reader has never seen the page, and finds publications by checking.
    let after = reader(&own, sleeping_for_good());
    let after = thread::spawn(move || follow(after, 40));
    publish(&mut writer, 40);
    ends(after);
}

#[test]
fn a_main_process_that_dies_with_its_hub_leaves_the_fleet_as_it_was() {
    const TEST: &str = "waiting_faults::a_main_process_that_dies_with_its_hub_leaves_the_fleet_as_it_was";
    if let Some((_, namespace)) = role() {
        let hub = namespace.hub_builder().codec::<Pod>().wait_policy(sleeping()).open();
        let mut watch = hub.watch("*");
        say("attached");
        loop {
            watch.wait_any(FOREVER).unwrap();
            let cut = hub.cut::<u64>(["worker"]);
            assert!(cut.states[0].state.is_ok());
            assert!(hub.status("worker").is_ok());
        }
    }
    let own = OwnNamespace::new(&["worker"]);
    let mut writer = writer(&own);
    writer.publish(&1).unwrap();
    let objects = Objects::of(own.name(), "worker");
    let before = objects.listed();
    for round in 1..=u64::from(rounds(10, 500)) {
        let mut main = Actor::start(TEST, "main", &own);
        main.await_line("attached");
        publish(&mut writer, round * 20);
        main.kill();
        publish(&mut writer, round * 20 + 5);
        let hub = own.hub().with_codec::<Pod>();
        assert_eq!(*hub.get::<u64>("worker").unwrap(), round * 20 + 5, "its successor sees the same");
        assert!(matches!(hub.status("worker").unwrap().health, Health::Fresh { .. }));
    }
    assert_eq!(objects.listed(), before);
}
