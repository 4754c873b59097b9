//! Snapshots while a writer in another process publishes as fast as it can.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tearless::{Bytes, Namespace, error::SnapshotError};

use super::measure::Run;
use crate::child::{Lifetime, READY, Worker, say, text};

/// The largest time in the histogram, in nanoseconds.
const MAX_NANOS: u64 = 10_000_000_000;

/// How long the writer may take to start, and to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// Snapshots between two readings of the clock.
const BURST: u32 = 64;

/// Costs of snapshots of one size beside a busy writer.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Contended {
    pub(super) bytes: usize,
    pub(super) p50_ns: u64,
    pub(super) p99_ns: u64,
    pub(super) publications_per_second: f64,
    pub(super) snapshots: u64,
    pub(super) retries_per_snapshot: f64,
    /// Snapshots that ran out of attempts because the writer was faster.
    pub(super) give_ups: u64,
}

/// The task of the writer process.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) struct Task {
    bytes: usize,
}

/// Publishes states filled with their number, until the lifetime of this process is over.
///
/// # Errors
///
/// A message for its parent.
pub(super) fn write(Task { bytes }: Task, namespace: &Namespace, lifetime: &Lifetime) -> Result<(), String> {
    let builder = namespace.writer_builder::<[u8]>(&channel(bytes)).codec::<Bytes>();
    let mut writer = builder.capacity(bytes).open().map_err(text)?;
    let mut payload = Vec::with_capacity(bytes);
    say(READY);
    while !lifetime.is_over() {
        fill(&mut payload, bytes, writer.publication() + 1);
        writer.publish(&payload).map_err(text)?;
    }
    writer.close().map_err(text)
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
pub(super) fn contended(run: &Run<'_>, bytes: usize) -> Result<Contended, String> {
    let mut writer = Worker::start("bench", (run.directory, run.namespace), &Task { bytes }).map_err(text)?;
    writer.await_ready(Instant::now() + PATIENCE, || run.interrupt.is_raised())?;
    run.check()?;
    let measured = read(run, bytes);
    writer.order_to_end();
    match writer.await_end(Instant::now() + PATIENCE) {
        Some(status) if status.success() => measured,
        _ => Err(format!("the writer of {bytes} bytes failed: {:?}", writer.lines())),
    }
}

fn read(run: &Run<'_>, bytes: usize) -> Result<Contended, String> {
    let builder = run.namespace.reader_builder::<Vec<u8>>(&channel(bytes)).codec::<Bytes>();
    let mut reader = builder.attach_within(PATIENCE).open().map_err(text)?;
    let mut state =
        reader.wait_after(0, PATIENCE).map_err(text)?.ok_or("no state was published")?.into_inner();
    let mut times = Histogram::<u64>::new_with_bounds(1, MAX_NANOS, 3).map_err(text)?;
    let (before, first, begin) = (reader.statistics(), reader.publication(), Instant::now());
    while begin.elapsed() < run.budget {
        run.check()?;
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
        p50_ns: times.value_at_quantile(0.5),
        p99_ns: times.value_at_quantile(0.99),
        publications_per_second: (reader.publication() - first) as f64 / elapsed,
        snapshots: counts.snapshots,
        retries_per_snapshot: counts.retries as f64 / counts.snapshots.max(1) as f64,
        give_ups: counts.give_ups,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_snapshot_is_not_whole() {
        let mut payload = Vec::new();
        fill(&mut payload, 1024, 7);
        assert!(payload.len() == 1024 && is_whole(&payload, 7) && !is_whole(&payload, 8));
        payload[1000] ^= 1;
        assert!(!is_whole(&payload, 7));
    }
}
