//! Cuts beside writers at full speed, and with the states of a syncer.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::channel::RetryPolicy;
use crate::hub::Skew;

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
