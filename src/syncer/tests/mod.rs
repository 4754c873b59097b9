//! Tests of syncers whose channels are in this process.

mod awkward;
mod endings;
mod errors;
mod sharing;
#[cfg(feature = "tokio")]
mod task;
mod ticks;

use std::time::{Duration, Instant};

use super::{Syncer, SyncerBuilder};
use crate::{Namespace, Pod, Reader};
use awkward::{Awkward, Moody};

/// Longer than any test: no tick happens.
const NEVER: Duration = Duration::from_secs(3_600);

/// The shortest interval.
const OFTEN: Duration = Duration::from_millis(1);

type PodSyncer = Syncer<u64, Pod>;
type AwkwardSyncer = Syncer<Awkward, Moody>;

fn namespace() -> Namespace {
    Namespace::in_process("tests").unwrap()
}

/// A syncer of a plain number, whose channel lingers.
fn builder(namespace: &Namespace, initial: u64) -> SyncerBuilder<u64, Pod> {
    namespace.writer_builder("worker").codec::<Pod>().linger(true).syncer(initial)
}

fn reader(namespace: &Namespace) -> Reader<u64, Pod> {
    namespace.reader_builder("worker").codec::<Pod>().open().unwrap()
}

fn awkward(namespace: &Namespace, initial: Awkward) -> SyncerBuilder<Awkward, Moody> {
    namespace.writer_builder("worker").codec::<Moody>().linger(true).syncer(initial)
}

fn awkward_reader(namespace: &Namespace) -> Reader<Awkward, Moody> {
    namespace.reader_builder("worker").codec::<Moody>().open().unwrap()
}

/// Waits until `condition` holds. Panics if it never does.
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(60), "it never came true that {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Whether the last heartbeat came after `moment`.
fn has_come_after(moment: Instant, heartbeat: Option<Duration>) -> bool {
    heartbeat.expect("there was one") < moment.elapsed()
}
