//! The ends of a worker are distinguished: killed, exited without closing its channel, closed. The
//! last state is there in each case.

use std::fs;
use std::process::exit;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::sleep;
use std::time::Duration;

use crate::common::{Actor, OwnNamespace, eventually, orders, role, say};
use rustix::process::Signal;
use tearless::{
    Namespace, Pod, Reader, Writer,
    cleanup::{RemovalReason, Retention},
    hub::Health,
    inspect::WriterState,
    syncer::Syncer,
};
use testkit::fork::{exit_at_once, fork, kill_self, wait};
use testkit::objects::Objects;

type Count = Syncer<u64, Pod>;

/// So long that no tick occurs during a test.
const NEVER: Duration = Duration::from_secs(3_600);

static COUNT: OnceLock<Count> = OnceLock::new();
static WRITER: Mutex<Option<Writer<u64, Pod>>> = Mutex::new(None);

fn spawn(namespace: &Namespace) -> Count {
    namespace.writer_builder("worker").codec::<Pod>().syncer(0).interval(NEVER).spawn().unwrap()
}

fn reader(namespace: &Namespace) -> Reader<u64, Pod> {
    namespace.reader_builder("worker").codec::<Pod>().open().unwrap()
}

/// A worker with a syncer in a `static`, whose last state no tick has published.
fn in_a_static(namespace: &Namespace) -> &'static Count {
    let count = COUNT.get_or_init(|| spawn(namespace));
    count.replace(7);
    say("ready");
    count
}

/// Starts the worker, lets it end by itself, and returns a reader that saw it alive.
fn end(test: &str, role: &str, own: &OwnNamespace) -> Reader<u64, Pod> {
    let mut worker = Actor::start(test, role, own);
    worker.await_line("ready");
    let reader = reader(own);
    assert_eq!(reader.writer_state().unwrap(), WriterState::Alive);
    worker.close_input();
    let _ = worker.wait();
    reader
}

fn last(reader: &mut Reader<u64, Pod>) -> (WriterState, u64) {
    (reader.writer_state().unwrap(), *reader.snapshot().unwrap())
}

#[test]
fn a_syncer_in_a_static_publishes_its_last_state_at_the_exit() {
    let test = "ends::a_syncer_in_a_static_publishes_its_last_state_at_the_exit";
    if let Some((role, namespace)) = role() {
        in_a_static(&namespace);
        orders().for_each(drop);
        match role.as_str() {
            "exit" => exit(0),
            "exit with an error" => exit(3),
            "other thread" => std::thread::spawn(|| exit(0)).join().unwrap(),
            // The end of `main`.
            _ => return,
        }
    }
    for role in ["exit", "exit with an error", "other thread", "main"] {
        let own = OwnNamespace::new(&["worker"]);
        let mut reader = end(test, role, &own);
        assert_eq!(last(&mut reader), (WriterState::Exited, 7), "{role}");
        let health = reader.health().unwrap();
        assert!(matches!(health, Health::Exited { since: Some(since) } if since < NEVER), "{health:?}");
        assert_eq!(own.hub().status("worker").unwrap().health.name(), "exited");
        let inspection = own.inspect("worker").unwrap();
        assert!(inspection.ended_ago.is_some() && inspection.unfinished().is_none());
        assert!(!reader.is_closed(), "a successor continues");
        let mut successor = own.writer_builder::<u64>("worker").codec::<Pod>().open().unwrap();
        assert_eq!(reader.writer_state().unwrap(), WriterState::Alive);
        assert_eq!(own.inspect("worker").unwrap().ended_ago, None);
        assert_eq!(successor.publish(&8).unwrap(), 3);
        drop(successor);
        assert_eq!(reader.writer_state().unwrap(), WriterState::Closed);
    }
}

#[test]
fn a_writer_in_a_static_is_exited_and_not_dead() {
    let test = "ends::a_writer_in_a_static_is_exited_and_not_dead";
    if let Some((_, namespace)) = role() {
        let mut writer = namespace.writer_builder("worker").codec::<Pod>().open().unwrap();
        writer.publish(&7).unwrap();
        *WRITER.lock().unwrap() = Some(writer);
        say("ready");
        return orders().for_each(drop);
    }
    let own = OwnNamespace::new(&["worker"]);
    assert_eq!(last(&mut end(test, "worker", &own)), (WriterState::Exited, 7));
    let removed = own.clean(Retention::Nothing).unwrap().removed;
    assert_eq!(removed[0].reason, RemovalReason::Exited);
}

/// An abort is a death, as a kill is.
#[test]
fn a_panic_that_unwinds_ends_the_channel_and_only_linger_keeps_its_last_state() {
    for linger in [false, true] {
        let own = OwnNamespace::new(&["worker"]);
        let builder = own.writer_builder("worker").codec::<Pod>().linger(linger);
        let mut writer: Writer<u64, Pod> = builder.open().unwrap();
        writer.publish(&7).unwrap();
        let attached = reader(&own);
        let worker = std::thread::spawn(move || {
            let _writer = writer;
            panic!("the worker fails");
        });
        assert!(worker.join().is_err());
        assert_eq!(attached.writer_state().unwrap(), WriterState::Closed);
        assert_eq!(own.hub().status("worker").is_ok(), linger);
        assert_eq!(own.channels().unwrap().len(), usize::from(linger));
        if linger {
            assert_eq!(last(&mut reader(&own)), (WriterState::Closed, 7));
        }
        assert!(attached.is_closed());
    }
}

#[test]
fn a_syncer_that_a_detached_thread_holds_publishes_its_last_state_at_the_end_of_main() {
    let test = "ends::a_syncer_that_a_detached_thread_holds_publishes_its_last_state_at_the_end_of_main";
    if let Some((_, namespace)) = role() {
        let count = Arc::new(spawn(&namespace));
        let shared = Arc::clone(&count);
        std::thread::spawn(move || {
            shared.replace(7);
            say("ready");
            loop {
                std::thread::park();
            }
        });
        return orders().for_each(drop);
    }
    let own = OwnNamespace::new(&["worker"]);
    assert_eq!(last(&mut end(test, "worker", &own)), (WriterState::Exited, 7));
}

#[test]
fn a_channel_that_is_created_again_at_the_exit_is_exited_and_not_dead() {
    let test = "ends::a_channel_that_is_created_again_at_the_exit_is_exited_and_not_dead";
    if let Some((_, namespace)) = role() {
        in_a_static(&namespace);
        orders().for_each(drop);
        exit(0);
    }
    let own = OwnNamespace::new(&["worker"]);
    let mut worker = Actor::start(test, "worker", &own);
    worker.await_line("ready");
    let objects = Objects::of(own.name(), "worker");
    objects.listed().iter().for_each(|kind| fs::remove_file(objects.path(kind)).unwrap());
    // Longer than `CHECK_NAMES_AFTER`, so that the look at the exit is due.
    sleep(Duration::from_millis(1_100));
    worker.close_input();
    assert!(worker.wait().success());
    assert_eq!(last(&mut reader(&own)), (WriterState::Exited, 7));
}

#[test]
fn an_exit_waits_for_no_lock_for_ever() {
    let test = "ends::an_exit_waits_for_no_lock_for_ever";
    if let Some((role, namespace)) = role() {
        let count = in_a_static(&namespace);
        orders().for_each(drop);
        if role == "inside" {
            // The state is half changed.
            count.update(|count| {
                *count = 8;
                exit(0);
            });
        }
        let (held, is_held) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            count.update(|_| {
                held.send(()).unwrap();
                loop {
                    std::thread::park();
                }
            });
        });
        is_held.recv().unwrap();
        exit(0);
    }
    for role in ["inside", "held"] {
        let own = OwnNamespace::new(&["worker"]);
        // The state of the first publication: there was no tick.
        assert_eq!(last(&mut end(test, role, &own)), (WriterState::Exited, 0), "{role}");
    }
}

#[test]
#[cfg(feature = "message-pack")]
fn an_exit_does_not_wait_for_what_the_exiting_thread_itself_holds() {
    static HELD: Mutex<u64> = Mutex::new(7);
    struct Locking;
    impl serde::Serialize for Locking {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_u64(*HELD.lock().unwrap())
        }
    }
    static STATE: OnceLock<Syncer<Locking>> = OnceLock::new();
    let test = "ends::an_exit_does_not_wait_for_what_the_exiting_thread_itself_holds";
    if let Some((_, namespace)) = role() {
        let builder = namespace.writer_builder("worker").type_name("count");
        let state = STATE.get_or_init(|| builder.syncer(Locking).interval(NEVER).spawn().unwrap());
        let mut held = HELD.lock().unwrap();
        *held = 8;
        state.update(|_| ());
        say("ready");
        orders().for_each(drop);
        exit(0);
    }
    let own = OwnNamespace::new(&["worker"]);
    let mut worker = Actor::start(test, "worker", &own);
    worker.await_line("ready");
    let mut reader = own.reader_builder::<u64>("worker").type_name("count").open().unwrap();
    worker.close_input();
    assert!(worker.wait().success());
    assert_eq!((*reader.snapshot().unwrap(), reader.writer_state().unwrap()), (7, WriterState::Exited));
}

#[test]
fn the_exit_of_a_fork_publishes_nothing_and_marks_nothing() {
    let test = "ends::the_exit_of_a_fork_publishes_nothing_and_marks_nothing";
    if let Some((_, namespace)) = role() {
        let count = in_a_static(&namespace);
        wait(fork(|| {
            count.replace(8);
            exit(0);
        }));
        say("forked");
        return orders().for_each(drop);
    }
    let own = OwnNamespace::new(&["worker"]);
    let mut worker = Actor::start(test, "worker", &own);
    worker.await_line("forked");
    let mut reader = reader(&own);
    assert_eq!(last(&mut reader), (WriterState::Alive, 0));
    assert_eq!(own.inspect("worker").unwrap().ended_ago, None);
    worker.finish();
    assert_eq!(last(&mut reader), (WriterState::Exited, 7));
}

#[test]
fn a_kill_an_abort_and_an_immediate_exit_are_deaths() {
    let test = "ends::a_kill_an_abort_and_an_immediate_exit_are_deaths";
    if let Some((role, namespace)) = role() {
        in_a_static(&namespace);
        orders().for_each(drop);
        match role.as_str() {
            "kill" => kill_self(),
            "abort" => {
                // Without a core file.
                let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
                rustix::process::setrlimit(rustix::process::Resource::Core, none).unwrap();
                std::process::abort()
            }
            _ => exit_at_once(0),
        }
    }
    for role in ["kill", "abort", "_exit"] {
        let own = OwnNamespace::new(&["worker"]);
        let mut reader = end(test, role, &own);
        assert_eq!(last(&mut reader), (WriterState::Dead, 0), "{role}: no tick has published 7");
        assert_eq!(own.inspect("worker").unwrap().ended_ago, None);
    }
}

#[test]
fn a_writer_that_is_gone_before_the_exit_marks_no_other_one() {
    let test = "ends::a_writer_that_is_gone_before_the_exit_marks_no_other_one";
    if let Some((_, namespace)) = role() {
        let count = spawn(&namespace);
        say("ready");
        orders().next();
        count.shutdown().unwrap();
        say("gone");
        return orders().for_each(drop);
    }
    let own = OwnNamespace::new(&["worker"]);
    let mut worker = Actor::start(test, "worker", &own);
    worker.await_line("ready");
    worker.order("end");
    worker.await_line("gone");
    let mut successor = own.writer_builder::<u64>("worker").codec::<Pod>().open().unwrap();
    successor.publish(&9).unwrap();
    worker.finish();
    assert_eq!(own.inspect("worker").unwrap().ended_ago, None);
    assert_eq!(last(&mut reader(&own)), (WriterState::Alive, 9));
}

/// The two lines of the documentation, and the way that closes the channel.
#[test]
fn sigterm_is_an_exit_or_a_shutdown_and_no_crash() {
    let test = "ends::sigterm_is_an_exit_or_a_shutdown_and_no_crash";
    if let Some((role, namespace)) = role() {
        use tokio::signal::unix::{SignalKind, signal};
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        if role == "exits" {
            let mut stop = signal(SignalKind::terminate()).unwrap();
            runtime.spawn(async move {
                if stop.recv().await.is_some() {
                    exit(0)
                }
            });
            in_a_static(&namespace);
        } else {
            let mut stop = signal(SignalKind::terminate()).unwrap();
            let builder = namespace.writer_builder("worker").codec::<Pod>().linger(true);
            let count: Count = builder.syncer(0).interval(NEVER).spawn().unwrap();
            count.replace(7);
            say("ready");
            runtime.block_on(stop.recv());
            count.shutdown().unwrap();
            exit(0);
        }
        loop {
            std::thread::park();
        }
    }
    for (role, expected) in [("exits", WriterState::Exited), ("closes", WriterState::Closed)] {
        let own = OwnNamespace::new(&["worker"]);
        let mut worker = Actor::start(test, role, &own);
        worker.await_line("ready");
        let mut reader = reader(&own);
        worker.signal(Signal::TERM);
        assert_eq!(worker.wait().code(), Some(0));
        assert_eq!(last(&mut reader), (expected, 7));
        assert!(own.inspect("worker").unwrap().ended_ago.is_some());
    }
}

#[test]
fn many_threads_that_exit_at_once_end_the_process() {
    let test = "ends::many_threads_that_exit_at_once_end_the_process";
    if let Some((_, namespace)) = role() {
        in_a_static(&namespace);
        orders().for_each(drop);
        let exits: Vec<_> = (0..8).map(|_| std::thread::spawn(|| exit(0))).collect();
        return exits.into_iter().for_each(|exit| exit.join().unwrap());
    }
    let own = OwnNamespace::new(&["worker"]);
    assert_eq!(last(&mut end(test, "worker", &own)), (WriterState::Exited, 7));
}

#[test]
fn a_syncer_resumes_its_predecessors_state_if_asked() {
    let test = "ends::a_syncer_resumes_its_predecessors_state_if_asked";
    if let Some((_, namespace)) = role() {
        let count = in_a_static(&namespace);
        count.flush().unwrap();
        say("flushed");
        orders().for_each(drop);
        kill_self();
    }
    let own = OwnNamespace::new(&["worker"]);
    let builder =
        || own.writer_builder::<u64>("worker").codec::<Pod>().linger(true).syncer(1).interval(NEVER);
    let first = builder().resume().spawn().unwrap();
    assert_eq!(first.read(|count| *count), 1, "there is no predecessor");
    first.shutdown().unwrap();
    own.remove_channel("worker").unwrap();

    let mut reader = end(test, "worker", &own);
    assert_eq!(last(&mut reader), (WriterState::Dead, 7));
    let second = builder().resume().spawn().unwrap();
    assert_eq!(second.read(|count| *count), 7, "of one that was killed");
    assert_eq!(last(&mut reader), (WriterState::Alive, 7));
    second.replace(8);
    second.shutdown().unwrap();
    let third = builder().resume().spawn().unwrap();
    assert_eq!(third.read(|count| *count), 8, "of one that closed the channel with `linger`");
    third.shutdown().unwrap();
    let fourth = builder().spawn().unwrap();
    assert_eq!(fourth.read(|count| *count), 1, "not without being asked");
}

#[test]
#[cfg(feature = "message-pack")]
fn a_predecessors_state_that_can_not_be_read_is_an_error_and_stays() {
    use tearless::{error::SnapshotError, syncer::SpawnError};

    let own = OwnNamespace::new(&["worker"]);
    let mut writer = own.writer_builder::<String>("worker").type_name("state").open().unwrap();
    writer.publish(&"text".into()).unwrap();
    writer.close_lingering().unwrap();
    let syncer = own.writer_builder::<u64>("worker").type_name("state").syncer(1);
    let error = syncer.resume().spawn().map(drop).unwrap_err();
    assert!(matches!(error, SpawnError::Resume(SnapshotError::Decode { .. })), "{error}");
    assert!(error.to_string().contains("leave out `resume`"), "{error}");
    let mut reader = own.reader_builder::<String>("worker").type_name("state").open().unwrap();
    assert_eq!(*reader.snapshot().unwrap(), "text");
}

#[test]
fn a_channel_that_is_closed_knows_when() {
    let own = OwnNamespace::new(&["worker"]);
    let mut writer = own.writer_builder::<u64>("worker").codec::<Pod>().open().unwrap();
    writer.publish(&1).unwrap();
    assert_eq!(own.inspect("worker").unwrap().ended_ago, None);
    writer.close_lingering().unwrap();
    let first = own.inspect("worker").unwrap().ended_ago.unwrap();
    assert!(first < NEVER);
    eventually("it is longer ago", || own.inspect("worker").unwrap().ended_ago.unwrap() > first);
}
