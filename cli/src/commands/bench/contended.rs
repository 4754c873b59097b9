//! Snapshots while a writer in another process publishes as fast as it can.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tearless::{Bytes, Namespace, error::SnapshotError};

use super::measure;
use crate::child::{End, Lifetime, READY, Worker, say, text};
use crate::interrupt::Interrupt;

/// The largest time in the histogram, in nanoseconds.
const MAX_NANOS: u64 = 10_000_000_000;

/// How long the writer may take to start, and to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// Snapshots between two readings of the clock.
const BURST: u32 = 64;

/// Costs of snapshots of one size beside a busy writer. Times are in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contended {
    pub(super) bytes: usize,
    pub(super) p50: u64,
    pub(super) p99: u64,
    pub(super) snapshots: u64,
    pub(super) retries: u64,
    /// Snapshots that ran out of attempts because the writer was faster.
    pub(super) give_ups: u64,
    /// Publications a second during the measurement.
    pub(super) rate: f64,
}

/// Runs the writer process: publishes states filled with their number until its parent ends it.
///
/// # Errors
///
/// A message for its parent.
pub(super) fn write(task: &str) -> Result<(), String> {
    let value: Value = serde_json::from_str(task).map_err(text)?;
    let member = |name: &str| value.get(name).ok_or("not a task of `tearless bench`");
    let name = member("namespace")?.as_str().unwrap_or_default();
    let bytes = member("bytes")?.as_u64().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or_default();
    let namespace = Namespace::open(name).map_err(text)?;
    let lifetime = Lifetime::begin();
    let builder = namespace.writer_builder::<[u8]>(&channel(bytes)).codec::<Bytes>();
    let mut writer = builder.capacity(bytes).open().map_err(text)?;
    let mut payload = Vec::with_capacity(bytes);
    say(READY);
    while !lifetime.is_over() {
        fill(&mut payload, bytes, writer.publication() + 1);
        writer.publish(&payload).map_err(text)?;
    }
    writer.close().map_err(text)?;
    lifetime.clean_if_orphaned(&namespace);
    Ok(())
}

fn channel(bytes: usize) -> String {
    format!("contended {bytes}")
}

/// Fills `payload` with `number` in every word, so that a snapshot shows whether it is whole.
fn fill(payload: &mut Vec<u8>, bytes: usize, number: u64) {
    payload.clear();
    (0..bytes / size_of::<u64>()).for_each(|_| payload.extend_from_slice(&number.to_le_bytes()));
}

fn is_whole(payload: &[u8], number: u64) -> bool {
    payload.as_chunks().0.iter().all(|word| u64::from_le_bytes(*word) == number)
}

/// Measures snapshots while a writer in another process publishes as fast as it can.
///
/// # Errors
///
/// A message: an operation failed, a snapshot was torn, or the process was asked to end.
pub(super) fn contended(
    namespace: &Namespace,
    bytes: usize,
    budget: Duration,
    interrupt: &Interrupt,
) -> Result<Contended, String> {
    let task = json!({"namespace": namespace.name(), "bytes": bytes}).to_string();
    let mut writer = Worker::start("bench", &task).map_err(text)?;
    writer.await_ready(Instant::now() + PATIENCE, || interrupt.is_raised())?;
    measure::check(interrupt)?;
    let measured = read(namespace, bytes, budget, interrupt);
    writer.tell_to_end();
    match writer.await_end(Instant::now() + PATIENCE) {
        End::Ended(status) if status.success() => measured,
        _ => Err(format!("the writer of {bytes} bytes failed: {:?}", writer.lines())),
    }
}

fn read(
    namespace: &Namespace,
    bytes: usize,
    budget: Duration,
    interrupt: &Interrupt,
) -> Result<Contended, String> {
    let builder = namespace.reader_builder::<Vec<u8>>(&channel(bytes)).codec::<Bytes>();
    let mut reader = builder.attach_within(PATIENCE).open().map_err(text)?;
    let mut state =
        reader.wait_after(0, PATIENCE).map_err(text)?.ok_or("no state was published")?.into_inner();
    let mut times = Histogram::<u64>::new_with_bounds(1, MAX_NANOS, 3).map_err(text)?;
    let (before, first, begin) = (reader.statistics(), reader.publication(), Instant::now());
    while begin.elapsed() < budget {
        measure::check(interrupt)?;
        for _ in 0..BURST {
            let asked = Instant::now();
            let taken = reader.snapshot_into(&mut state);
            let nanos = u64::try_from(asked.elapsed().as_nanos()).unwrap_or(MAX_NANOS);
            times.saturating_record(nanos.max(1));
            match taken {
                Ok(info) if is_whole(&state, info.publication()) => {}
                Ok(info) => {
                    return Err(format!("publication {} of {bytes} bytes is torn", info.publication()));
                }
                Err(SnapshotError::Contended { .. }) => {}
                Err(error) => return Err(text(error)),
            }
        }
    }
    let elapsed = begin.elapsed().as_secs_f64();
    let counts = reader.statistics().diff(&before);
    Ok(Contended {
        bytes,
        p50: times.value_at_quantile(0.5),
        p99: times.value_at_quantile(0.99),
        snapshots: counts.snapshots,
        retries: counts.retries,
        give_ups: counts.give_ups,
        rate: (reader.publication() - first) as f64 / elapsed,
    })
}

#[test]
fn a_torn_snapshot_is_not_whole() {
    let mut payload = Vec::new();
    fill(&mut payload, 1024, 7);
    assert!(payload.len() == 1024 && is_whole(&payload, 7) && !is_whole(&payload, 8));
    payload[1000] ^= 1;
    assert!(!is_whole(&payload, 7));
}
