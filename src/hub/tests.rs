//! Large states, retries, errors and streams of a hub whose channels are in this process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::channel::{AttachError, AttachPolicy, RetryPolicy, SnapshotError};
use crate::hub::{Health, Hub, QueryError, Skew};
use crate::{Boxed, Namespace, Pod};

const MIB: usize = 1 << 20;

/// A plain state that is larger than the stack of the test's thread.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Large {
    bytes: [u8; MIB],
}

/// Runs `work` in a thread with a stack of 256 KiB.
fn with_small_stack(work: impl FnOnce() + Send + 'static) {
    thread::Builder::new().stack_size(MIB / 4).spawn(work).unwrap().join().unwrap();
}

fn large(byte: u8) -> Box<Large> {
    let mut large: Box<Large> = bytemuck::zeroed_box();
    large.bytes.fill(byte);
    large
}

#[test]
fn a_plain_state_of_a_mebibyte_never_crosses_the_stack() {
    for checksum in [false, true] {
        with_small_stack(move || {
            let namespace = Namespace::in_process("large").unwrap();
            let builder = namespace.writer_builder::<Large>("worker").codec::<Pod>();
            let mut writer = builder.checksum(checksum).open().unwrap();
            let hub = namespace.hub_builder().codec::<Pod>().open();
            let mut state = large(0);
            assert!(hub.get_into("worker", &mut *state).unwrap_err().is_empty());
            assert!(hub.get::<Boxed<Large>>("worker").unwrap_err().is_empty());
            // The first query of each side maps its segment; the later ones take the fast path.
            for round in 1..=6_u8 {
                writer.publish(&large(round)).unwrap();
                let info = hub.get_into("worker", &mut *state).unwrap();
                assert_eq!((info.publication(), info.payload_len()), (u64::from(round), MIB));
                assert!(state.bytes.iter().all(|byte| *byte == round));
                let boxed = hub.get::<Boxed<Large>>("worker").unwrap();
                assert!(boxed.publication() == u64::from(round) && boxed.bytes == state.bytes);
            }
        });
    }
}

#[test]
#[cfg(feature = "message-pack")]
fn decoded_states_are_read_into_a_value_and_a_box_too() {
    use crate::MessagePack;
    let namespace = Namespace::in_process("decoded").unwrap();
    let mut writer = namespace.writer_builder::<Vec<String>>("worker").codec::<MessagePack>().open().unwrap();
    let hub = namespace.hub_builder().codec::<MessagePack>().open();
    let jobs = vec!["a job".to_owned()];
    writer.publish(&jobs).unwrap();
    let mut state: Vec<String> = Vec::new();
    assert_eq!(hub.get_into("worker", &mut state).unwrap().publication(), 1);
    assert_eq!(state, jobs);
    assert_eq!(**hub.get::<Box<Vec<String>>>("worker").unwrap(), jobs);
    assert!(hub.get::<Box<u64>>("worker").is_err() && hub.get_into("worker", &mut 0_u64).is_err());
}

#[test]
fn the_errors_advise_what_a_caller_of_a_hub_can_do() {
    let channel = || "worker".to_owned();
    let waited = Duration::from_millis(1);
    let mismatch = AttachError::FormatMismatch {
        channel: channel(),
        found_codec: "pod".into(),
        found_type_name: "State".into(),
        expected_codec: "postcard".into(),
        expected_type_name: "u64".into(),
    };
    let decode = |source: &str| SnapshotError::Decode {
        channel: channel(),
        publication: 7,
        codec: "postcard",
        source: source.into(),
    };
    let errors: [QueryError; 11] = [
        mismatch.into(),
        AttachError::NoSchema { channel: channel() }.into(),
        AttachError::SchemaUnknown { channel: channel(), reason: "it is newer".into() }.into(),
        AttachError::NotFound {
            namespace: "fleet".into(),
            channel: channel(),
            waited,
            known: crate::error::KnownChannels::default(),
        }
        .into(),
        SnapshotError::WrongLength { channel: channel(), publication: 7, len: 24, expected: 16 }.into(),
        decode("1 byte is left over").into(),
        AttachError::NotReady { channel: channel(), waited }.into(),
        SnapshotError::Empty { channel: channel() }.into(),
        SnapshotError::Closed { channel: channel(), last: 0 }.into(),
        SnapshotError::Closed { channel: channel(), last: 7 }.into(),
        SnapshotError::Contended { channel: channel(), attempts: 4, waited }.into(),
    ];
    for error in errors {
        let text = error.to_string();
        assert!(text.contains("channel \"worker\""), "{text}");
        for advice in ["attach again", "snapshot_within", "Reader", "the reader"] {
            assert!(!text.contains(advice), "{text}");
        }
    }
}

#[test]
fn transient_errors_are_those_after_which_the_same_query_may_succeed() {
    let (channel, waited) = (|| "worker".to_owned(), Duration::from_millis(1));
    let transient: [QueryError; 2] = [
        AttachError::NotReady { channel: channel(), waited }.into(),
        SnapshotError::Contended { channel: channel(), attempts: 4, waited }.into(),
    ];
    assert!(transient.iter().all(QueryError::is_transient));
    let lasting: [QueryError; 3] = [
        AttachError::NoSchema { channel: channel() }.into(),
        SnapshotError::Empty { channel: channel() }.into(),
        SnapshotError::Closed { channel: channel(), last: 7 }.into(),
    ];
    assert!(!lasting.iter().any(QueryError::is_transient));
}

#[test]
fn a_hub_waits_for_a_channel_as_its_policy_says() {
    let namespace = Namespace::in_process("later").unwrap();
    let policy = AttachPolicy::default().missing(Duration::from_secs(60));
    let hub = namespace.hub_builder().codec::<Pod>().attach_policy(policy).open();
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            thread::sleep(Duration::from_millis(5));
            namespace.writer_builder::<u64>("worker").codec::<Pod>().open().unwrap()
        });
        assert!(hub.get::<u64>("worker").is_err_and(|error| error.is_empty()));
        drop(writer.join());
    });
}

#[test]
fn a_state_comes_with_the_status_of_its_moment() {
    let namespace = Namespace::in_process("both").unwrap();
    let hub = namespace.hub_builder().codec::<Pod>().fresh_within(Duration::from_secs(600)).open();
    assert!(hub.get_with_status::<u64>("worker").is_err_and(|error| error.is_gone()));
    let mut writer = namespace.writer_builder::<u64>("worker").codec::<Pod>().linger(true).open().unwrap();
    let (status, state) = hub.get_with_status::<u64>("worker").unwrap();
    assert!(status.health == Health::Empty && state.is_err_and(|error| error.is_empty()));
    let ends = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1.. {
                writer.publish(&number).unwrap();
                if ends.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        for _ in 0..300 {
            let (status, state) = hub.get_with_status::<u64>("worker").unwrap();
            match state {
                Ok(state) => {
                    assert_eq!((*state, state.publication()), (status.publication, status.publication));
                    assert_eq!(status.health.name(), "fresh", "{status}");
                }
                Err(error) => assert!(error.is_empty() || error.is_transient(), "{error}"),
            }
        }
        ends.store(true, Ordering::Relaxed);
    });
    let last = writer.publish(&7).unwrap();
    drop(writer);
    let (status, state) = hub.get_with_status::<u64>("worker").unwrap();
    assert_eq!((status.health, status.publication, *state.unwrap()), (Health::Closed, last, 7));
    assert!(hub.with_codec::<crate::Bytes>().get_with_status::<Vec<u8>>("worker").is_err());
}

#[test]
fn the_error_of_a_missing_channel_names_the_ways_to_miss_it() {
    let namespace = Namespace::in_process("missed").unwrap();
    // The writer is dropped at the end of the statement.
    namespace.writer_builder::<u64>("worker").codec::<Pod>().open().unwrap().publish(&1).unwrap();
    let error = namespace.hub_builder().codec::<Pod>().open().get::<u64>("worker").unwrap_err();
    for part in ["under the same names", "`attach_within`", "dropped", "unless it lingers"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

/// A hub that makes `attempts` attempts and does not wait after them.
fn hub_with(namespace: &Namespace, attempts: u32) -> Hub<Pod> {
    let retry = RetryPolicy { attempts, deadline: Duration::ZERO };
    namespace.hub_builder().codec::<Pod>().retry_policy(retry).open()
}

#[test]
fn a_cut_beside_writers_at_full_speed_retries_as_the_hubs_policy_says() {
    let namespace = Namespace::in_process("contended").unwrap();
    let ends = AtomicBool::new(false);
    let mut writers = ["left", "right"].map(|name| {
        let mut writer = namespace.writer_builder::<[u64; 512]>(name).codec::<Pod>().open().unwrap();
        writer.publish(&[0; 512]).unwrap();
        writer
    });
    thread::scope(|scope| {
        for writer in &mut writers {
            scope.spawn(|| {
                for number in 1.. {
                    writer.publish(&[number; 512]).unwrap();
                    if ends.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        let hub = hub_with(&namespace, 1_000_000);
        let mut failed = Vec::new();
        for _ in 0..300 {
            for cut in hub.cut::<[u64; 512]>(["left", "right", "left"]).states {
                match cut.state {
                    Ok(state) => assert!(state.iter().all(|word| *word == state[0])),
                    Err(error) => failed.push(error.to_string()),
                }
            }
        }
        ends.store(true, Ordering::Relaxed);
        assert!(failed.is_empty(), "{failed:?}");
    });
}

#[test]
fn a_cut_with_a_syncers_states_is_consistent_only_if_they_are_final_or_it_promises_to_flush() {
    let namespace = Namespace::in_process("deferred").unwrap();
    let hub = hub_with(&namespace, 1);
    let mut payer = namespace.writer_builder::<u64>("payer").codec::<Pod>().open().unwrap();
    payer.publish(&1).unwrap();
    let syncer = |promise| {
        let builder = namespace.writer_builder::<u64>("receiver").codec::<Pod>().linger(true).syncer(0);
        builder.interval(Duration::from_secs(3_600)).flushes_before_effects(promise).spawn().unwrap()
    };
    let skews = || {
        let cut = hub.cut::<u64>(["payer", "receiver"]);
        assert_eq!(cut.is_consistent(), cut.states[1].skew == Skew::None);
        [cut.states[0].skew, cut.states[1].skew]
    };
    let deferring = syncer(false);
    assert_eq!(skews(), [Skew::None, Skew::Deferred]);
    deferring.replace(1);
    deferring.flush().unwrap();
    assert_eq!(skews(), [Skew::None, Skew::Deferred], "it may have changed since");
    assert_eq!(namespace.inspect("receiver").unwrap().deferred, u64::MAX);
    deferring.replace(2);
    deferring.shutdown().unwrap();
    assert_eq!(skews(), [Skew::None; 2], "its last state is published");
    let _promising = syncer(true);
    assert_eq!(skews(), [Skew::None; 2]);
}

/// A hub in a process that may have few mappings.
mod limits {
    use std::fs;

    use testkit::child::Child;

    use super::*;
    use crate::Reader;
    use crate::hub::Selection;

    const CHANNELS: u64 = 150;
    const MAX: usize = 128;
    const NAMESPACE: &str = "TEARLESS_TEST_OF_LIMITS";

    fn name(index: u64) -> String {
        format!("worker-{index:03}")
    }

    fn are_few() -> bool {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().filter(|line| line.contains("/dev/shm/tl_")).count() <= MAX
    }

    fn count(round: &mut Selection<Pod>) -> u64 {
        let states = round.iter::<u64>().unwrap().map(|found| (name(*found.state.unwrap()), found.channel));
        states.map(|(expected, found)| u64::from(expected == found)).sum()
    }

    #[test]
    fn a_hub_evicts_the_channels_that_were_not_read_for_longest() {
        if let Ok(name) = std::env::var(NAMESPACE) {
            let namespace = Namespace::open(&name).unwrap();
            let hub = namespace.hub_builder().codec::<Pod>().open();
            one_by_one(&hub);
            in_rounds(&hub);
            in_threads(&hub);
            together(&hub);
            drop(hub);
            beside_a_watch(&namespace);
            beside_readers(&namespace);
            // The thread that sleeps for a stream keeps mappings for a while.
            #[cfg(feature = "async")]
            as_a_stream(&namespace);
            return;
        }
        let namespace = Namespace::open(&format!("test-limits-{}", std::process::id())).unwrap();
        let open = |index| {
            let mut writer = namespace.writer_builder::<u64>(&name(index)).codec::<Pod>().open().unwrap();
            for _ in 0..2 {
                writer.publish(&index).unwrap();
            }
            writer
        };
        let writers: Vec<_> = (0..CHANNELS).map(open).collect();
        let mut command = Child::this_program();
        command.args([
            "hub::tests::limits::a_hub_evicts_the_channels_that_were_not_read_for_longest",
            "--exact",
            "--nocapture",
        ]);
        command.envs([(NAMESPACE, namespace.name()), ("TEARLESS_TEST_MAX_MAPPINGS", &MAX.to_string())]);
        let mut child = Child::start(command);
        child.await_line_with("test result: ok. 1 passed");
        child.finish();
        drop(writers);
    }

    fn one_by_one(hub: &Hub<Pod>) {
        let get = |index| assert_eq!(*hub.get::<u64>(&name(index)).unwrap(), index);
        let attachments = || hub.statistics().attachments;
        let (mut few, mut idle) = (hub.select("worker-00?"), hub.select("worker-01?"));
        assert_eq!((count(&mut few), count(&mut idle)), (10, 10));
        for index in 20..CHANNELS {
            get(index);
            let before = attachments();
            get(index);
            assert_eq!(count(&mut few), 10);
            assert_eq!(attachments(), before, "they were read a moment ago");
            assert!(are_few());
        }
        let before = attachments();
        assert_eq!(count(&mut idle), 10);
        assert_eq!(attachments(), before + 10, "they were evicted, and are attached again");
        get(20);
        assert_eq!(attachments(), before + 11);
    }

    fn in_rounds(hub: &Hub<Pod>) {
        let mut rounds = [("*", 150), ("worker-0*", 100), ("worker-1*", 50), ("worker-?0?", 20)]
            .map(|(pattern, channels)| (hub.select(pattern), channels));
        for _ in 0..3 {
            for (round, channels) in &mut rounds {
                assert_eq!(count(round), *channels);
                assert!(are_few());
            }
        }
        // The hub evicts in the course of a round.
        let mut open = hub.select("*");
        let mut open = open.iter::<u64>().unwrap();
        for _ in 0..100 {
            open.next().unwrap().state.unwrap();
        }
        let mut all = hub.select("*");
        // The open round keeps its channels.
        assert_eq!(count(&mut all), CHANNELS);
        assert!(are_few());
        open.for_each(|found| assert!(found.state.is_ok()));
        assert_eq!(count(&mut all), CHANNELS);
    }

    fn in_threads(hub: &Hub<Pod>) {
        let before = hub.statistics().attachments;
        thread::scope(|scope| {
            for step in [1, 7, 11] {
                scope.spawn(move || {
                    for index in (0..4 * CHANNELS).map(|turn| turn * step % CHANNELS) {
                        assert_eq!(*hub.get::<u64>(&name(index)).unwrap(), index);
                    }
                });
            }
            scope.spawn(|| {
                let mut few = hub.select("worker-00?");
                (0..100).for_each(|_| assert_eq!(count(&mut few), 10));
            });
        });
        assert!(hub.statistics().attachments > before + CHANNELS);
    }

    /// What reads other than one state at a time.
    fn together(hub: &Hub<Pod>) {
        for index in 0..CHANNELS {
            assert_eq!(hub.status(&name(index)).unwrap().publication, 2);
        }
        for index in 0..CHANNELS {
            let (status, state) = hub.get_with_status::<u64>(&name(index)).unwrap();
            assert_eq!((status.publication, *state.unwrap()), (2, index));
        }
        // The last channels were read last.
        for first in [0, 50] {
            let cut = hub.cut::<u64>((first..first + 100).map(name));
            assert!(cut.is_complete() && cut.is_consistent() && are_few());
        }
        let cut = hub.cut::<u64>((0..CHANNELS).map(name));
        let lacking = cut
            .states
            .into_iter()
            .filter_map(|state| state.state.err())
            .map(|error| is_limit(&error))
            .count();
        assert!((1..50).contains(&lacking), "{lacking} can't be mapped beside the others");
    }

    fn beside_a_watch(namespace: &Namespace) {
        let hub = namespace.hub_builder().codec::<Pod>().open();
        let mut watch = hub.watch("*");
        let watched = watch.changed().unwrap();
        assert!((100..CHANNELS).contains(&(watched.len() as u64)), "{} are watched", watched.len());
        for name in &watched {
            assert!(hub.get::<u64>(name).is_ok(), "the hub has it as long as the watch");
        }
        is_limit(&hub.get::<u64>(&name(CHANNELS - 1)).unwrap_err());
        assert!(watch.changed().unwrap().is_empty() && are_few());
        drop(watch);
        assert!((0..CHANNELS).all(|index| *hub.get::<u64>(&name(index)).unwrap() == index));
    }

    #[cfg(feature = "async")]
    fn as_a_stream(namespace: &Namespace) {
        let hub = namespace.hub_builder().codec::<Pod>().open();
        let mut few = hub.changes_of::<u64>("worker-0*");
        for index in 0..100 {
            streams::yields(&mut few, &name(index), index);
            // Beside it, the hub reads the others.
            assert_eq!(*hub.get::<u64>(&name(149 - index / 2)).unwrap(), 149 - index / 2);
        }
        assert!(streams::is_pending(&mut few) && are_few());
    }

    fn is_limit(error: &QueryError) {
        assert!(error.to_string().contains("vm.max_map_count"), "{error}");
    }

    fn beside_readers(namespace: &Namespace) {
        let hub = namespace.hub_builder().codec::<Pod>().open();
        let open = |index| -> Result<Reader<u64, Pod>, QueryError> {
            let mut reader = namespace.reader_builder::<u64>(&name(index)).codec::<Pod>().open()?;
            for _ in 0..2 {
                reader.snapshot()?;
            }
            Ok(reader)
        };
        let mut readers = Vec::new();
        is_limit(
            &(0..CHANNELS).find_map(|index| open(index).map(|reader| readers.push(reader)).err()).unwrap(),
        );
        for index in 0..CHANNELS {
            // The last reader may have left a mapping or two.
            if let Err(error) = hub.get::<u64>(&name(index)) {
                is_limit(&error);
            }
        }
        readers.drain(..5);
        assert!((0..CHANNELS).all(|index| *hub.get::<u64>(&name(index)).unwrap() == index));
        assert!(readers.iter_mut().all(|reader| reader.snapshot().is_ok()) && are_few());
    }
}

#[cfg(feature = "async")]
pub(super) mod streams {
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Wake, Waker};
    use std::thread::Thread;

    use super::*;
    use crate::hub::HubState;
    use crate::{Writer, hub::HubChanges};

    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    /// Waits for the future on this thread.
    pub(crate) fn wait_for<R>(future: impl Future<Output = R>) -> R {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut future = pin!(future);
        loop {
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(result) => return result,
                Poll::Pending => thread::park(),
            }
        }
    }

    fn next(changes: &mut HubChanges<u64>) -> HubState<u64> {
        wait_for(changes.next())
    }

    pub(super) fn is_pending(changes: &mut HubChanges<u64>) -> bool {
        pin!(changes.next()).poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    fn writer(namespace: &Namespace, channel: &str, linger: bool) -> Writer<u64, Pod> {
        namespace.writer_builder::<u64>(channel).codec::<Pod>().linger(linger).open().unwrap()
    }

    /// The next state is `state` of `channel`.
    pub(super) fn yields(changes: &mut HubChanges<u64>, channel: &str, state: u64) {
        let next = next(changes);
        assert_eq!((&*next.channel, *next.state.unwrap()), (channel, state));
    }

    #[test]
    fn a_stream_of_one_channel_survives_clean_restarts() {
        for linger in [false, true] {
            let namespace = Namespace::in_process("restarts").unwrap();
            let mut first = writer(&namespace, "worker*", linger);
            let mut other = writer(&namespace, "worker-1", linger);
            let hub = namespace.hub_builder().codec::<Pod>().open();
            assert!(hub.changes::<u64>("none").is_err());
            let mut changes = hub.changes::<u64>("worker*").unwrap();
            assert!(is_pending(&mut changes), "nothing is published yet");
            first.publish(&1).unwrap();
            other.publish(&100).unwrap();
            yields(&mut changes, "worker*", 1);
            assert!(is_pending(&mut changes), "no state comes twice, and none of another channel");
            first.close().unwrap();
            if !linger {
                let end = next(&mut changes);
                assert!(end.state.unwrap_err().is_gone());
            }
            assert!(is_pending(&mut changes));
            let restarted = thread::spawn(move || {
                thread::sleep(Duration::from_millis(5));
                let mut second = writer(&namespace, "worker*", linger);
                second.publish(&2).unwrap();
                (second, namespace)
            });
            yields(&mut changes, "worker*", 2);
            let (mut second, _namespace) = restarted.join().unwrap();
            second.publish(&3).unwrap();
            yields(&mut changes, "worker*", 3);
        }
    }

    #[test]
    fn a_stream_of_many_channels_has_the_states_of_all_and_of_later_ones() {
        let namespace = Namespace::in_process("many").unwrap();
        let hub = namespace.hub_builder().codec::<Pod>().open();
        let mut changes = hub.changes_of::<u64>("worker-*");
        assert!(is_pending(&mut changes), "the namespace is empty");
        let mut one = writer(&namespace, "worker-1", false);
        let mut other = writer(&namespace, "database", false);
        other.publish(&9).unwrap();
        one.publish(&1).unwrap();
        yields(&mut changes, "worker-1", 1);
        let mut two = thread::scope(|scope| {
            let coming = scope.spawn(|| {
                thread::sleep(Duration::from_millis(5));
                let mut two = writer(&namespace, "worker-2", false);
                two.publish(&2).unwrap();
                two
            });
            yields(&mut changes, "worker-2", 2);
            coming.join().unwrap()
        });
        one.publish(&3).unwrap();
        two.publish(&4).unwrap();
        yields(&mut changes, "worker-1", 3);
        yields(&mut changes, "worker-2", 4);
        two.close().unwrap();
        let end = next(&mut changes);
        assert!(&*end.channel == "worker-2" && end.state.unwrap_err().is_gone());
        assert!(is_pending(&mut changes));
    }
}
