//! A steady publish, and a steady snapshot of plain data or into a reused value, allocate nothing.
#![cfg(all(feature = "postcard", feature = "message-pack"))]

mod common;

use common::OwnNamespace;
use serde::{Deserialize, Serialize};
use tearless::{Bytes, MessagePack, Pod};
use testkit::counting::{Counting, allocations};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[derive(Serialize, Deserialize)]
struct State {
    name: String,
    values: Vec<u64>,
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

#[test]
fn publishing_serde_states_allocates_nothing() {
    let own = OwnNamespace::new(&["postcard", "message-pack"]);
    let state = State { name: "worker".into(), values: (0..50).collect() };
    let mut postcard = own.writer::<State>("postcard").unwrap();
    let mut message_pack = own.writer_builder::<State>("message-pack").codec::<MessagePack>().open().unwrap();
    for _ in 0..2 {
        postcard.publish(&state).unwrap();
        message_pack.publish(&state).unwrap();
    }
    let count = allocations(|| {
        for _ in 0..1_000 {
            postcard.publish(&state).unwrap();
            message_pack.publish(&state).unwrap();
        }
    });
    assert_eq!(count, 0);
}

#[test]
fn plain_data_and_reused_buffers_allocate_nothing() {
    let own = OwnNamespace::new(&["pod", "bytes"]);
    let mut writer = own.writer_builder::<[u64; 100]>("pod").codec::<Pod>().checksum(true).open().unwrap();
    let mut reader = own.reader_builder::<[u64; 100]>("pod").codec::<Pod>().open().unwrap();
    let mut bytes = own.writer_builder::<[u8]>("bytes").codec::<Bytes>().open().unwrap();
    let mut bytes_reader = own.reader_builder::<Vec<u8>>("bytes").codec::<Bytes>().open().unwrap();
    let mut buffer = Vec::with_capacity(1_000);
    let mut round = |count: u64| {
        for number in 0..count {
            writer.publish(&[number; 100]).unwrap();
            assert_eq!(reader.snapshot().unwrap()[99], number);
            bytes.publish(&[1; 500]).unwrap();
            bytes_reader.snapshot_into(&mut buffer).unwrap();
            let mut loan = bytes.loan(500).unwrap();
            loan.write_at(3, &[2; 400]);
            loan.publish().unwrap();
            drop(bytes.loan(400).unwrap().sink());
            let mut loan = writer.loan().unwrap();
            // SAFETY: no other process stores to the channel's memory.
            unsafe { loan.lend().into_mut() }.fill(number + 1);
            loan.publish().unwrap();
            assert_eq!(reader.snapshot().unwrap()[99], number + 1);
        }
    };
    round(3);
    assert_eq!(allocations(|| round(1_000)), 0);
}
