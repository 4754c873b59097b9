//! What single operations cost: medians of many rounds, beside memcpy in the same run.

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde::Serialize;
use tearless::{Bytes, Namespace};

use crate::child::text;
use crate::directory::Directory;
use crate::interrupt::Interrupt;

/// The shortest round: long compared with a reading of the clock.
const ROUND: Duration = Duration::from_millis(1);

/// The fewest rounds for a median.
const MIN_ROUNDS: usize = 7;

/// Repeats an operation the given number of times.
type Task<'a> = &'a mut dyn FnMut(u32);

/// The task that repeats `operation`; one call through a pointer for all repetitions.
fn repeated(mut operation: impl FnMut()) -> impl FnMut(u32) {
    move |times| (0..times).for_each(|_| operation())
}

/// A run of the command.
pub(super) struct Run<'a> {
    pub(super) directory: &'a Directory,
    pub(super) namespace: &'a Namespace,
    pub(super) interrupt: &'a Interrupt,
    /// The time for each measurement.
    pub(super) budget: Duration,
}

impl Run<'_> {
    /// # Errors
    ///
    /// The process was asked to end.
    pub(super) fn check(&self) -> Result<(), String> {
        match self.interrupt.is_raised() {
            true => Err("interrupted before the measurement was complete".into()),
            false => Ok(()),
        }
    }
}

/// Runs the tasks in turn, round by round, so that a disturbance of the machine affects all of
/// them. Returns the median time of one operation of each task, in nanoseconds.
///
/// # Errors
///
/// The process was asked to end.
fn medians<const TASKS: usize>(run: &Run<'_>, mut tasks: [Task<'_>; TASKS]) -> Result<[f64; TASKS], String> {
    let times: [u32; TASKS] = std::array::from_fn(|index| calibrate(&mut *tasks[index]));
    let mut rounds: [Vec<f64>; TASKS] = std::array::from_fn(|_| Vec::new());
    let end = Instant::now() + run.budget;
    while Instant::now() < end || rounds[0].len() < MIN_ROUNDS {
        run.check()?;
        for ((task, times), rounds) in tasks.iter_mut().zip(times).zip(&mut rounds) {
            let begin = Instant::now();
            task(times);
            rounds.push(begin.elapsed().as_secs_f64() * 1e9 / f64::from(times));
        }
    }
    Ok(rounds.map(|mut rounds| median(&mut rounds)))
}

/// How many repetitions make up a round. Also warms up.
fn calibrate(task: Task<'_>) -> u32 {
    let mut times = 1;
    loop {
        let begin = Instant::now();
        task(times);
        if begin.elapsed() >= ROUND || times >= 1 << 24 {
            return times;
        }
        times *= 2;
    }
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Costs of one size without contention, and their ratios to the first.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Uncontended {
    pub(super) bytes: usize,
    /// Copying from one warm buffer to another.
    pub(super) memcpy_ns: f64,
    pub(super) publish_ns: f64,
    pub(super) publish_ratio: f64,
    pub(super) snapshot_ns: f64,
    pub(super) snapshot_ratio: f64,
}

/// Measures publishing and snapshots while no other process uses the channel.
///
/// # Errors
///
/// A message: an operation failed, or the process was asked to end.
pub(super) fn uncontended(run: &Run<'_>, bytes: usize) -> Result<Uncontended, String> {
    let channel = format!("uncontended {bytes}");
    let builder = run.namespace.writer_builder::<[u8]>(&channel).codec::<Bytes>();
    let mut writer = builder.capacity(bytes).open().map_err(text)?;
    let payload = vec![7_u8; bytes];
    writer.publish(&payload).map_err(text)?;
    let builder = run.namespace.reader_builder::<Vec<u8>>(&channel).codec::<Bytes>();
    let mut reader = builder.open().map_err(text)?;
    let (mut state, mut copy) = (Vec::new(), vec![0_u8; bytes]);
    let (mut failed, mut published) = (None, 1);

    let [memcpy_ns, publish_ns, snapshot_ns] = medians(
        run,
        [
            &mut repeated(|| black_box(&mut copy[..]).copy_from_slice(black_box(&payload))),
            &mut repeated(|| match writer.publish(black_box(&payload)) {
                Ok(number) => published = number,
                Err(error) => failed = Some(text(error)),
            }),
            // A failure here is permanent, so that the last snapshot below reports it.
            &mut repeated(|| drop(black_box(reader.snapshot_into(black_box(&mut state))))),
        ],
    )?;
    if let Some(reason) = failed {
        return Err(reason);
    }
    let info = reader.snapshot_into(&mut state).map_err(text)?;
    writer.close().map_err(text)?;
    if state != payload || copy != payload || info.publication() != published {
        return Err(format!("the last snapshot of {bytes} bytes differs from the published state"));
    }
    let (publish_ratio, snapshot_ratio) = (publish_ns / memcpy_ns, snapshot_ns / memcpy_ns);
    Ok(Uncontended { bytes, memcpy_ns, publish_ns, publish_ratio, snapshot_ns, snapshot_ratio })
}

/// The number of channels of the fleet.
const CHANNELS: usize = 200;

/// Payload bytes of each of its channels.
const BYTES: usize = 64;

/// Costs of many channels.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Fleet {
    /// Attaching to one channel and its first snapshot: a median.
    pub(super) attach_ns: f64,
    pub(super) query: Query,
}

/// The states of all channels through an attached hub.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Query {
    pub(super) channels: usize,
    pub(super) bytes: usize,
    pub(super) ns: f64,
    /// Copying as many bytes, one memcpy for each channel.
    pub(super) memcpy_ns: f64,
    pub(super) ratio: f64,
}

/// Measures attaching to many channels, and reading all of them.
///
/// # Errors
///
/// A message: an operation failed, or the process was asked to end.
pub(super) fn fleet(run: &Run<'_>) -> Result<Fleet, String> {
    let names: Vec<String> = (0..CHANNELS).map(|index| format!("fleet {index}")).collect();
    let payload = [7_u8; BYTES];
    let mut writers = Vec::with_capacity(CHANNELS);
    for name in &names {
        run.check()?;
        let builder = run.namespace.writer_builder::<[u8]>(name).codec::<Bytes>().capacity(BYTES);
        let mut writer = builder.open().map_err(text)?;
        writer.publish(&payload).map_err(text)?;
        writers.push(writer);
    }
    let attach_ns = attach(run.namespace, &names)?;
    let hub = run.namespace.hub_builder().codec::<Bytes>().open();
    let (mut whole, mut copies) = (0, vec![0_u8; CHANNELS * BYTES]);
    let source = vec![7_u8; CHANNELS * BYTES];
    let [ns, memcpy_ns] = medians(
        run,
        [
            &mut repeated(|| {
                let states = names.iter().map(|name| hub.get::<Vec<u8>>(name));
                whole = states.filter(|state| state.as_ref().is_ok_and(|state| **state == payload)).count();
            }),
            &mut repeated(|| {
                for (to, from) in copies.chunks_exact_mut(BYTES).zip(source.chunks_exact(BYTES)) {
                    black_box(to).copy_from_slice(black_box(from));
                }
            }),
        ],
    )?;
    for writer in writers {
        writer.close().map_err(text)?;
    }
    if whole != CHANNELS || copies != source {
        return Err(format!("only {whole} of {CHANNELS} states equal the published ones"));
    }
    let query = Query { channels: CHANNELS, bytes: BYTES, ns, memcpy_ns, ratio: ns / memcpy_ns };
    Ok(Fleet { attach_ns, query })
}

fn attach(namespace: &Namespace, names: &[String]) -> Result<f64, String> {
    let mut times = Vec::with_capacity(names.len());
    for name in names {
        let begin = Instant::now();
        let builder = namespace.reader_builder::<Vec<u8>>(name).codec::<Bytes>();
        let mut reader = builder.open().map_err(text)?;
        black_box(reader.snapshot().map_err(text)?);
        times.push(begin.elapsed().as_secs_f64() * 1e9);
    }
    Ok(median(&mut times))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        assert_eq!(median(&mut [3.0, 1.0, 200.0]), 3.0);
        assert!(median(&mut []).is_nan());
    }
}
