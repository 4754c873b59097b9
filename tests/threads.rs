//! Threads of one process share channels: one publishes flat out and grows, the others verify. A
//! program of its own because `ci/tsan` and `ci/asan` build it with sanitizers.

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::OwnNamespace;
use tearless::{Bytes, Namespace, Snapshot, error::SnapshotError};

const READERS: usize = 3;
const DURATION: Duration = Duration::from_millis(500);
/// When the writer gives up, even if [`ENOUGH`] has not happened yet. A sanitizer on a busy machine
/// makes it slow.
const PATIENCE: Duration = Duration::from_secs(60);
/// So many publications, which make the channel grow six times, and so many snapshots of all
/// readers together.
const ENOUGH: u64 = 600;
const MAX_BYTES: u64 = 20_000;

/// The state of a publication. Lengths go up and down, so that the channel grows. No two numbers
/// have the same bytes everywhere.
fn content(number: u64) -> Vec<u8> {
    let len = (number * 7) % (1 + number.min(MAX_BYTES));
    (0..len).map(|index| ((number ^ index).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

/// What the writer and the readers know of each other beside the channel.
#[derive(Default)]
struct Progress {
    /// The number of verified snapshots.
    verified: AtomicU64,
    /// Whether the writer has ended.
    done: AtomicBool,
}

/// Publishes until the time is up and enough has happened.
fn write(mut publish: impl FnMut(&[u8]) -> u64, progress: &Progress) -> u64 {
    let begin = Instant::now();
    let mut number = 0;
    let enough = |number| number >= ENOUGH && progress.verified.load(Ordering::Relaxed) >= ENOUGH;
    while begin.elapsed() < DURATION || (!enough(number) && begin.elapsed() < PATIENCE) {
        number += 1;
        assert_eq!(publish(&content(number)), number);
    }
    number
}

/// Takes snapshots until the writer has ended, and one more.
fn read(mut snapshot: impl FnMut() -> Result<Snapshot<Vec<u8>>, SnapshotError>, progress: &Progress) {
    let mut last = 0;
    loop {
        let ended = progress.done.load(Ordering::Relaxed);
        match snapshot() {
            Ok(snapshot) => {
                assert!(snapshot.publication() >= last, "backwards");
                last = snapshot.publication();
                assert!(*snapshot == content(last), "publication {last} is torn");
                progress.verified.fetch_add(1, Ordering::Relaxed);
            }
            Err(SnapshotError::Empty { .. } | SnapshotError::Contended { .. }) => thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
        if ended {
            return;
        }
    }
}

/// One writer and several readers on a channel of a namespace of any kind.
macro_rules! share {
    ($namespace:expr) => {{
        let namespace = $namespace;
        let progress = Progress::default();
        let mut writer =
            namespace.writer_builder::<[u8]>("shared").codec::<Bytes>().capacity(16).open().unwrap();
        let published = thread::scope(|scope| {
            let readers: Vec<_> = (0..READERS)
                .map(|_| {
                    let builder = namespace.reader_builder::<Vec<u8>>("shared").codec::<Bytes>();
                    let mut reader = builder.open().unwrap();
                    let progress = &progress;
                    scope.spawn(move || read(|| reader.snapshot(), progress))
                })
                .collect();
            let publish = |bytes: &[u8]| writer.publish(bytes).unwrap();
            let published = scope.spawn(|| write(publish, &progress)).join();
            progress.done.store(true, Ordering::Relaxed);
            readers.into_iter().for_each(|reader| reader.join().unwrap());
            published.unwrap()
        });
        let verified = progress.verified.into_inner();
        assert!(published >= ENOUGH, "{published}");
        assert!(writer.growths() > 4, "{}", writer.growths());
        assert!(verified >= ENOUGH, "{verified}");
        writer.close().unwrap();
    }};
}

#[test]
fn on_the_heap() {
    share!(Namespace::in_process("threads").unwrap());
}

#[test]
fn in_shared_memory() {
    share!(&OwnNamespace::new(&["shared"]).namespace);
}
