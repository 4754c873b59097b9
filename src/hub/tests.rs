//! Large states, retries, errors and streams of a hub whose channels are in this process.

use std::thread;
use std::time::Duration;

use crate::channel::{AttachError, RetryPolicy, SnapshotError};
use crate::hub::{Hub, QueryError};
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
    let errors: [QueryError; 6] = [
        AttachError::NotReady { channel: channel(), waited }.into(),
        AttachError::Removed { channel: channel() }.into(),
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

/// A hub that makes `attempts` attempts and does not wait after them.
fn hub_with(namespace: &Namespace, attempts: u32) -> Hub<Pod> {
    let retry = RetryPolicy { attempts, deadline: Duration::ZERO };
    namespace.hub_builder().codec::<Pod>().retry_policy(retry).open()
}

#[test]
fn a_cut_beside_writers_at_full_speed_retries_as_the_hubs_policy_says() {
    use std::sync::atomic::{AtomicBool, Ordering};
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

    fn is_pending(changes: &mut HubChanges<u64>) -> bool {
        pin!(changes.next()).poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    fn writer(namespace: &Namespace, channel: &str, linger: bool) -> Writer<u64, Pod> {
        namespace.writer_builder::<u64>(channel).codec::<Pod>().linger(linger).open().unwrap()
    }

    /// The next state is `state` of `channel`.
    fn yields(changes: &mut HubChanges<u64>, channel: &str, state: u64) {
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
