//! Streams of the states of one channel, and of many.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use super::*;
use crate::Writer;
use crate::hub::{HubChanges, HubState};

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
