//! The destination of a query: large states go into a value or a box, and never cross the stack.

use super::*;
use crate::Boxed;

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
