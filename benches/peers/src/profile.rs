//! One operation, executed a given number of times and nothing else, for a profiler that counts its
//! cost. `benches/peers/profile` runs it twice and subtracts, so that opening does not count.
//!
//! The loops are those that `uncontended` times.

use std::env;

use crate::batch::reads;
use crate::common::{boxed, spread};
use crate::effort::refuse;
use crate::peer::Peer;
use crate::peers::{Floor, Iceoryx, MemcpyAround, MmapSync, Private, Undated, UndatedByValue};
use crate::place::Ground;
use crate::uncontended::contestant;

const USAGE: &str = "usage: peers profile-op OPERATION BYTES COUNT";

/// The compared operations.
#[derive(Clone, Copy)]
enum Operation {
    /// Private memory to private memory.
    Memcpy,
    /// Into as many places of shared memory in turn as a channel has slots.
    MemcpyAround,
    FloorRead,
    FloorPublish,
    SnapshotInto,
    /// By value.
    Snapshot,
    Publish,
    IceoryxGet,
    IceoryxUpdate,
    /// With a copy of the state that was read.
    MmapSyncRead,
    MmapSyncWrite,
}

/// `profile-op OPERATION BYTES COUNT`: runs the operation. `false` for any other command line.
pub(crate) fn run_if_asked() -> bool {
    let words: Vec<String> = env::args().skip(1).collect();
    if words.first().is_none_or(|word| word != "profile-op") {
        return false;
    }
    let [_, operation, bytes, count] = &words[..] else { refuse(USAGE) };
    let operation = Operation::named(operation);
    let count = count.parse().unwrap_or_else(|_| refuse(USAGE));
    match bytes.as_str() {
        "64" => operation.run_small::<8>(count),
        "256" => operation.run_small::<32>(count),
        "1024" => operation.run_small::<{ 1 << 7 }>(count),
        "65536" => operation.run_small::<{ 64 << 7 }>(count),
        "1048576" => operation.run::<{ 1 << 17 }>(count),
        "16777216" => operation.run::<{ 16 << 17 }>(count),
        _ => refuse("BYTES is 64, 256, 1024, 65536, 1048576 or 16777216"),
    }
    true
}

impl Operation {
    fn named(name: &str) -> Operation {
        match name {
            "memcpy" => Operation::Memcpy,
            "memcpy-around" => Operation::MemcpyAround,
            "floor-read" => Operation::FloorRead,
            "floor-publish" => Operation::FloorPublish,
            "snapshot-into" => Operation::SnapshotInto,
            "snapshot" => Operation::Snapshot,
            "publish" => Operation::Publish,
            "iceoryx2-get" => Operation::IceoryxGet,
            "iceoryx2-update" => Operation::IceoryxUpdate,
            "mmap-sync-read" => Operation::MmapSyncRead,
            "mmap-sync-write" => Operation::MmapSyncWrite,
            name => refuse(&format!("there is no operation '{name}'; see benches/peers/src/profile.rs")),
        }
    }

    /// With states that the library returns by value, too.
    fn run_small<const WORDS: usize>(self, count: u64) {
        match self {
            Operation::Snapshot => read::<UndatedByValue, WORDS>(&Ground::new(), count),
            other => other.run::<WORDS>(count),
        }
    }

    fn run<const WORDS: usize>(self, count: u64) {
        let ground = Ground::new();
        match self {
            Operation::Memcpy => {
                reads(Private::new(boxed::<WORDS>(|word| spread(word as u64))))(count);
            }
            Operation::MemcpyAround => publish::<MemcpyAround, WORDS>(&ground, count),
            Operation::FloorRead => read::<Floor, WORDS>(&ground, count),
            Operation::FloorPublish => publish::<Floor, WORDS>(&ground, count),
            Operation::SnapshotInto => read::<Undated, WORDS>(&ground, count),
            Operation::Snapshot => refuse("a snapshot by value has at most 65536 bytes"),
            Operation::Publish => publish::<Undated, WORDS>(&ground, count),
            Operation::IceoryxGet => read::<Iceoryx, WORDS>(&ground, count),
            Operation::IceoryxUpdate => publish::<Iceoryx, WORDS>(&ground, count),
            Operation::MmapSyncRead => read::<MmapSync, WORDS>(&ground, count),
            Operation::MmapSyncWrite => publish::<MmapSync, WORDS>(&ground, count),
        }
    }
}

fn read<P: Peer<WORDS>, const WORDS: usize>(ground: &Ground, count: u64) {
    // The other end stays open during the loop.
    let mut both = contestant::<P, WORDS>(ground);
    (both.read)(count);
}

fn publish<P: Peer<WORDS>, const WORDS: usize>(ground: &Ground, count: u64) {
    let mut both = contestant::<P, WORDS>(ground);
    (both.publish)(count);
}
