//! One query: how long it waits for its channel, and the status that comes with the state.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::channel::AttachPolicy;
use crate::hub::Health;

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
