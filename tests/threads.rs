//! Threads of one process share channels: one publishes flat out and grows, the others verify. `ci/tsan` runs this under
//! ThreadSanitizer.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::OwnNamespace;
use tearless::{Bytes, Heap, Namespace, Snapshot, SnapshotError};

const READERS: usize = 3;
const DURATION: Duration = Duration::from_millis(500);
const MOST_BYTES: u64 = 20_000;

/// The state of a publication: lengths go up and down, so that it grows; bytes that no other number has in all places.
fn content(number: u64) -> Vec<u8> {
    let len = (number * 7) % (1 + number.min(MOST_BYTES));
    (0..len).map(|index| ((number ^ index).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

/// Publishes until the time is up.
fn write(mut publish: impl FnMut(&[u8]) -> u64, done: &AtomicBool) -> u64 {
    let begin = Instant::now();
    let mut number = 0;
    while begin.elapsed() < DURATION {
        number += 1;
        assert_eq!(publish(&content(number)), number);
    }
    done.store(true, Ordering::Relaxed);
    number
}

/// Takes snapshots until the writer is done, and one more; says how many.
fn read(mut snapshot: impl FnMut() -> Result<Snapshot<Vec<u8>>, SnapshotError>, done: &AtomicBool) -> u64 {
    let (mut last, mut count) = (0, 0);
    loop {
        let ended = done.load(Ordering::Relaxed);
        match snapshot() {
            Ok(snapshot) => {
                assert!(snapshot.publication() >= last, "backwards");
                last = snapshot.publication();
                assert!(*snapshot == content(last), "publication {last} is torn");
                count += 1;
            }
            Err(SnapshotError::Empty { .. } | SnapshotError::Contended { .. }) => thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
        if ended {
            return count;
        }
    }
}

/// One writer and several readers on a channel of a namespace of any kind.
macro_rules! share {
    ($namespace:expr) => {{
        let namespace = $namespace;
        let done = AtomicBool::new(false);
        let mut writer =
            namespace.writer_builder::<[u8]>("shared").codec::<Bytes>().capacity(16).open().unwrap();
        let counts: Vec<u64> = thread::scope(|scope| {
            let readers: Vec<_> = (0..READERS)
                .map(|_| {
                    let builder = namespace.reader_builder::<Vec<u8>>("shared").codec::<Bytes>();
                    let mut reader = builder.open().unwrap();
                    let done = &done;
                    scope.spawn(move || read(|| reader.snapshot(), done))
                })
                .collect();
            let publish = |bytes: &[u8]| writer.publish(bytes).unwrap();
            let published = scope.spawn(|| write(publish, &done)).join().unwrap();
            assert!(published > 100, "{published}");
            readers.into_iter().map(|reader| reader.join().unwrap()).collect()
        });
        assert!(writer.growths() > 4, "{}", writer.growths());
        assert!(counts.iter().sum::<u64>() > 100, "{counts:?}");
        writer.close().unwrap();
    }};
}

#[test]
fn on_the_heap() {
    share!(Namespace::in_process(&Heap::new(), "threads").unwrap());
}

#[test]
fn in_shared_memory() {
    share!(&OwnNamespace::new(&["shared"]).namespace);
}
