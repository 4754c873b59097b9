//! A channel as a stream: it yields every latest state, none twice, loses no wake-up, runs on any
//! executor, and all streams share one thread.
#![cfg(all(feature = "postcard", feature = "message-pack", feature = "async"))]

mod common;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use common::{Actor, OwnNamespace, eventually, role, rounds, say};
use futures_core::Stream;
use tearless::{Changes, Namespace, Postcard, Writer, error::SnapshotError};
use testkit::objects::{DIRECTORY, Objects, listed};

/// The test's own executor: runs one future on this thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Polls once, with a waker that does nothing.
fn poll_once<S: Stream + Unpin>(stream: &mut S) -> Poll<Option<S::Item>> {
    Pin::new(stream).poll_next(&mut Context::from_waker(Waker::noop()))
}

fn threads_that_wait() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let name =
        |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    tasks.map(Result::unwrap).map(name).filter(|name| name.trim() == "tearless-wait").count()
}

/// Answers each state of "ping" on "pong".
fn answer(namespace: &Namespace) {
    let mut pong = namespace.writer::<u64>("pong").unwrap();
    let ping = namespace.reader_builder("ping").attach_within(Duration::from_secs(60)).open().unwrap();
    let mut ping: Changes<u64, _> = ping.changes();
    say("answering");
    block_on(async {
        while let Some(state) = ping.next().await {
            pong.publish(&*state.unwrap()).unwrap();
        }
    });
}

#[test]
fn streams_of_two_processes_answer_each_other() {
    if let Some((_, namespace)) = role() {
        return answer(&namespace);
    }
    let own = OwnNamespace::new(&["ping", "pong"]);
    let mut ping = own.writer::<u64>("ping").unwrap();
    let partner = Actor::start("streams_of_two_processes_answer_each_other", "partner", &own);
    let pong = own.reader_builder("pong").attach_within(Duration::from_secs(60)).open().unwrap();
    let mut pong: Changes<u64, _> = pong.changes();
    block_on(async {
        for round in 0..u64::from(rounds(2_000, 200_000)) {
            ping.publish(&round).unwrap();
            assert_eq!(*pong.next().await.unwrap().unwrap(), round);
        }
    });
    ping.close().unwrap();
    partner.finish();
    assert!(block_on(pong.next()).is_none(), "the partner has ended");
}

#[test]
fn a_stream_skips_what_is_overwritten_and_ends_with_the_channel() {
    let namespace = Namespace::in_process("stream").unwrap();
    let mut writer = namespace.writer_builder::<u64>("worker").linger(true).open().unwrap();
    let mut changes = namespace.reader::<u64>("worker").unwrap().changes();
    assert!(poll_once(&mut changes).is_pending(), "nothing is published yet");
    for state in 1..=3 {
        writer.publish(&state).unwrap();
    }
    let Poll::Ready(Some(Ok(snapshot))) = poll_once(&mut changes) else { panic!("there is a state") };
    assert_eq!((*snapshot, snapshot.publication()), (3, 3));
    assert!(poll_once(&mut changes).is_pending(), "nothing comes twice");
    writer.publish(&4).unwrap();
    writer.close().unwrap();
    assert_eq!(*block_on(changes.next()).unwrap().unwrap(), 4, "the last state lingers");
    assert!(block_on(changes.next()).is_none());
    assert!(matches!(poll_once(&mut changes), Poll::Ready(None)), "the stream stays at its end");
}

/// Polls the stream until it is pending, publishing before each poll. Returns the number of items,
/// and how often the stream woke its task.
fn items_in_a_row<S: Stream + Unpin>(stream: &mut S, writer: &mut Writer<u64>) -> (u64, usize) {
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&count));
    for items in 0..1_000 {
        writer.publish(&items).unwrap();
        if Pin::new(&mut *stream).poll_next(&mut Context::from_waker(&waker)).is_pending() {
            return (items, count.0.load(Ordering::Relaxed));
        }
    }
    panic!("the stream never lets other tasks run");
}

#[test]
fn a_stream_that_is_always_ready_lets_other_tasks_run_and_is_polled_again() {
    let namespace = Namespace::in_process("turns").unwrap();
    let mut writer = namespace.writer::<u64>("worker").unwrap();
    let mut of_reader: Changes<u64, _> = namespace.reader("worker").unwrap().changes();
    let mut of_hub = namespace.hub().changes_of::<u64>("*");
    for _ in 0..3 {
        assert_eq!(items_in_a_row(&mut of_reader, &mut writer), (64, 1));
        assert_eq!(items_in_a_row(&mut of_hub, &mut writer), (64, 1));
    }
    for round in 0..100 {
        // A task that waits in between has no turn that could end.
        writer.publish(&round).unwrap();
        assert!(poll_once(&mut of_reader).is_ready(), "{round}");
        assert!(poll_once(&mut of_reader).is_pending());
    }
}

#[test]
fn a_dropped_future_loses_nothing() {
    let namespace = Namespace::in_process("stream").unwrap();
    let mut writer = namespace.writer::<u64>("worker").unwrap();
    let mut changes = namespace.reader::<u64>("worker").unwrap().changes();
    for round in 1..=100 {
        {
            let mut next = pin!(changes.next());
            assert!(next.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        writer.publish(&round).unwrap();
        assert_eq!(*block_on(changes.next()).unwrap().unwrap(), round);
    }
}

#[test]
fn an_undecodable_state_is_an_item_and_not_the_end() {
    let namespace = Namespace::in_process("stream").unwrap();
    let mut writer =
        namespace.writer_builder::<Vec<u8>>("worker").type_name("s").codec::<Postcard>().open().unwrap();
    let reader =
        namespace.reader_builder::<String>("worker").type_name("s").codec::<Postcard>().open().unwrap();
    let mut changes = reader.changes();
    writer.publish(&vec![0xff]).unwrap();
    assert!(matches!(block_on(changes.next()), Some(Err(SnapshotError::Decode { .. }))));
    assert!(poll_once(&mut changes).is_pending(), "the stream does not retry it");
    writer.publish(&vec![b'a']).unwrap();
    assert_eq!(*block_on(changes.next()).unwrap().unwrap(), "a");
    assert_eq!(changes.into_reader().publication(), 2);
}

/// A task with a waker that panics.
struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        panic!("the waker panics, as the test requires");
    }
}

#[test]
fn a_panicking_waker_harms_no_other_stream() {
    let namespace = Namespace::in_process("bombs").unwrap();
    let mut writers = ["one", "another"].map(|name| namespace.writer::<u64>(name).unwrap());
    let mut streams = ["one", "another"].map(|name| namespace.reader::<u64>(name).unwrap().changes());
    let bomb = Waker::from(Arc::new(Bomb));
    assert!(Pin::new(&mut streams[0]).poll_next(&mut Context::from_waker(&bomb)).is_pending());
    let [bombed, mut other] = streams;
    let task = thread::spawn(move || block_on(async { *other.next().await.unwrap().unwrap() }));
    thread::sleep(Duration::from_millis(5));
    writers[0].publish(&1).unwrap();
    thread::sleep(Duration::from_millis(5));
    writers[1].publish(&2).unwrap();
    assert_eq!(task.join().unwrap(), 2);
    drop(bombed);
}

#[test]
fn one_thread_waits_for_all_streams_and_ends_when_there_are_none() {
    let own = OwnNamespace::new(&["worker-1", "worker-2", "worker-3"]);
    let names = ["worker-1", "worker-2", "worker-3"];
    let mut writers = names.map(|name| own.writer::<u64>(name).unwrap());
    let hub = own.hub();
    let streams = names.map(|name| hub.changes::<u64>(name).unwrap());
    let tasks = streams
        .map(|mut changes| thread::spawn(move || block_on(async { *changes.next().await.state.unwrap() })));
    eventually("the thread waits", || threads_that_wait() == 1);
    for (state, writer) in (10..).zip(&mut writers) {
        writer.publish(&state).unwrap();
    }
    assert_eq!(tasks.map(|task| task.join().unwrap()), [10, 11, 12]);
    eventually("the thread ends", || threads_that_wait() == 0);
    // The channel starts again.
    let mut changes = own.reader::<u64>("worker-1").unwrap().changes();
    assert_eq!(*block_on(changes.next()).unwrap().unwrap(), 10);
    let task = thread::spawn(move || block_on(async { *changes.next().await.unwrap().unwrap() }));
    writers[0].publish(&20).unwrap();
    assert_eq!(task.join().unwrap(), 20);
}

#[test]
fn a_stream_of_a_hub_finds_the_channels_that_follow_removed_names() {
    let own = OwnNamespace::new(&["worker", "other"]);
    let mut first = own.writer::<u64>("worker").unwrap();
    first.publish(&1).unwrap();
    let mut states = own.hub().changes_of::<u64>("*");
    let mut next = || {
        let next = block_on(states.next());
        (next.channel.to_string(), *next.state.unwrap())
    };
    assert_eq!(next(), ("worker".into(), 1));
    for name in listed(Objects::of(own.name(), "worker").namespace_prefix()) {
        std::fs::remove_file(format!("{DIRECTORY}/{name}")).unwrap();
    }
    let fleet = ["worker", "other"].map(|channel| {
        let mut writer = own.writer::<u64>(channel).unwrap();
        writer.publish(&2).unwrap();
        writer
    });
    // The thread that waits for the stream follows the registry.
    let mut found = [next(), next()];
    found.sort();
    assert_eq!(found, [("other".into(), 2), ("worker".into(), 2)]);
    drop((first, fleet));
}
