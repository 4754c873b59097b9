//! The promise: **a snapshot is never torn.** Whatever a reader gets is, word for word, what was published under the
//! number that it gets with it; and numbers never go backwards.
//!
//! Four writer and four reader processes torture six channels at once, on however few processors there are, so that
//! all of them are preempted in the middle of everything. Payloads of 0 to 256 KiB, every octave as likely as any other
//! one, make the channels grow all the time, and now and then they shrink; the rings have one slot in each segment or
//! the default; with and without checksum; through `Bytes` and through `Pod`. What stands in a publication is a function
//! of its number that contains the number nowhere, so words of another publication can't go unnoticed.
//!
//! It takes five seconds. `TEARLESS_TORN_SECONDS` is another duration, `TEARLESS_TORN_SEED` repeats the sizes and the
//! content of a former run. `ci/torn` is the same in release mode for a minute.
//!
//! This is evidence on one machine and no proof; the orderings are checked by the loom models in `src/seqlock/models`.

mod child;
mod combination;
mod content;
mod family;
mod reader;
mod tally;
mod writer;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Instant;

use child::Task;
use combination::{COMBINATIONS, Depth, Payload};
use family::Family;
use tally::Tally;

const WRITERS: usize = 4;
const READERS: usize = 4;
const SECONDS: u64 = 5;

/// The test that the children run.
const CHILD_TEST: &str = "in_a_child_process";

/// Does nothing in a plain test run.
#[test]
fn in_a_child_process() {
    child::run_if_told_to();
}

#[test]
fn no_snapshot_is_ever_torn() {
    let seed = from_environment("TEARLESS_TORN_SEED").unwrap_or_else(|| RandomState::new().hash_one(WRITERS));
    let seconds = from_environment("TEARLESS_TORN_SECONDS").unwrap_or(SECONDS).max(1);
    let namespace = format!("torn-{}", std::process::id());
    let task = Task { namespace, seed, seconds };
    println!("\n{WRITERS} writer and {READERS} reader processes for {seconds} s, TEARLESS_TORN_SEED={seed}");

    let mut family = Family::start(&task, WRITERS, READERS);
    let prefixes = family.object_prefixes();
    assert_eq!(prefixes.len(), 1, "one namespace: {prefixes:?}");
    let begin = Instant::now();
    family.go();
    let tallies = family.finish();
    print_totals(&tallies, begin.elapsed().as_secs_f64());
    assert_promise(&tallies);
    family::assert_nothing_is_left(&task.namespace, &prefixes);
}

fn from_environment(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is not a number")))
}

fn print_totals(tallies: &[Tally], seconds: f64) {
    println!("\n{:<32}{}", "", Tally::HEADING);
    for (combination, tally) in COMBINATIONS.iter().zip(tallies) {
        println!("{:<32}{tally}", combination.name);
    }
    let all = tallies.iter().copied().sum::<Tally>();
    println!("{:<32}{all}", "in all");
    let Tally { torn, snapshots, bytes, .. } = all;
    let mebibytes = bytes >> 20;
    println!(
        "\ntorn {torn} of {snapshots} snapshots, {mebibytes} MiB verified word by word in {seconds:.1} s"
    );
}

fn assert_promise(tallies: &[Tally]) {
    for (combination, tally) in COMBINATIONS.iter().zip(tallies) {
        let name = combination.name;
        assert_eq!(tally.torn, 0, "{name}: torn snapshots");
        assert_eq!(tally.backwards, 0, "{name}: numbers or times went backwards");
        assert_eq!(tally.failures, 0, "{name}: errors that should not have been");
        assert!(tally.snapshots > 0 && tally.publications > 0, "{name}: nothing was tested");
        if combination.payload == Payload::Bytes {
            assert!(tally.growths > 0, "{name}: it never grew");
        }
        if combination.depth == Depth::Default {
            assert_eq!(tally.give_ups, 0, "{name}: a reader gave up although the ring has the default depth");
        }
    }
}
