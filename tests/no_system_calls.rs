//! A steady publish and a steady snapshot make no system call: a child that publishes and reads
//! thousands of times makes as many system calls as a child that does so a few times.
#![cfg(all(feature = "postcard", feature = "message-pack"))]

mod common;

use std::hint::black_box;

use common::OwnNamespace;
use tearless::{Bytes, Namespace, Pod, Postcard, options::TimestampSource};
use testkit::trace::{Step, Traced};

/// Opens everything, publishes and reads `times` times, and ends.
fn work(namespace: &Namespace, times: u64) {
    // Reading the precise clock is a system call on a machine without a clock that processes may
    // read.
    let plain = namespace.writer_builder::<[u64; 64]>("plain").codec::<Pod>();
    let mut plain = plain.timestamps(TimestampSource::Coarse).open().unwrap();
    let serde = namespace.writer_builder::<Vec<u64>>("serde").codec::<Postcard>().checksum(true);
    let mut serde = serde.timestamps(TimestampSource::None).open().unwrap();
    let lender = namespace.writer_builder::<[u8]>("lender").codec::<Bytes>().capacity(9_999);
    let mut lender = lender.timestamps(TimestampSource::Coarse).open().unwrap();
    plain.publish(&[0; 64]).unwrap();
    serde.publish(&vec![0; 20]).unwrap();
    let mut plain_reader = namespace.reader_builder::<[u64; 64]>("plain").codec::<Pod>().open().unwrap();
    let mut serde_reader = namespace.reader_builder::<Vec<u64>>("serde").codec::<Postcard>().open().unwrap();
    let mut state = [0; 64];
    for number in 0..times + 2 {
        plain.publish(&[number; 64]).unwrap();
        serde.publish(&vec![number % 100; 20]).unwrap();
        assert_eq!(*plain_reader.snapshot().unwrap(), [number; 64]);
        plain_reader.snapshot_into(&mut state).unwrap();
        assert_eq!(state, [number; 64]);
        assert_eq!(*serde_reader.snapshot().unwrap(), [number % 100; 20]);
        assert!(plain_reader.publication() <= black_box(2 * number + 2));
        drop(lender.loan(9_999).unwrap());
        lender.loan(9_999).unwrap().publish().unwrap();
        let mut loan = plain.loan().unwrap();
        // SAFETY: no other process stores to the channel's memory.
        unsafe { loan.lend().into_mut() }.fill(number);
        loan.publish().unwrap();
        assert_eq!(*plain_reader.snapshot().unwrap(), [number; 64]);
    }
}

/// The number of stops at the beginnings and ends of a child's system calls.
fn stops(namespace: &Namespace, times: u64) -> usize {
    let mut child = Traced::start(|| work(namespace, times));
    (0_u32..).take_while(|_| child.step(Step::Call)).count()
}

#[test]
fn publishing_and_reading_make_no_system_call() {
    let own = OwnNamespace::new(&["plain", "serde", "lender"]);
    let few = stops(&own, 1);
    assert!(few > 50, "opening makes some, and they are seen: {few}");
    assert_eq!(stops(&own, 10_000), few);
}
