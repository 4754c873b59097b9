//! Many channels: attaching to them, and asking all of them.

use std::hint::black_box;
use std::time::{Duration, Instant};

use tearless::{Bytes, Namespace};

use super::timing;
use crate::child::text;
use crate::interrupt::Interrupt;

/// How many there are.
pub(super) const CHANNELS: usize = 200;

/// Payload bytes of each.
pub(super) const BYTES: usize = 64;

/// What they cost, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fleet {
    /// Attaching to one channel and taking its first snapshot: a median.
    pub(super) attach: f64,
    /// The states of all channels by a hub that is attached already.
    pub(super) query: f64,
    /// Copying as many bytes, one memcpy for each channel.
    pub(super) memcpy: f64,
}

/// # Errors
///
/// What went wrong, in words; also if it was interrupted.
pub(super) fn measure(
    namespace: &Namespace,
    budget: Duration,
    interrupt: &Interrupt,
) -> Result<Fleet, String> {
    let names: Vec<String> = (0..CHANNELS).map(|index| format!("fleet {index}")).collect();
    let payload = [7_u8; BYTES];
    let mut writers = Vec::with_capacity(CHANNELS);
    for name in &names {
        timing::check(interrupt)?;
        let builder = namespace.writer_builder::<[u8]>(name).codec::<Bytes>().capacity(BYTES);
        let mut writer = builder.open().map_err(text)?;
        writer.publish(&payload).map_err(text)?;
        writers.push(writer);
    }
    let attach = attach(namespace, &names)?;
    let hub = namespace.hub_builder().codec::<Bytes>().open();
    let (mut whole, mut copies) = (0, vec![0_u8; CHANNELS * BYTES]);
    let source = vec![7_u8; CHANNELS * BYTES];
    let [query, memcpy] = timing::medians(
        budget,
        interrupt,
        [
            &mut |times| {
                for _ in 0..times {
                    let states = names.iter().map(|name| hub.get::<Vec<u8>>(name));
                    whole =
                        states.filter(|state| state.as_ref().is_ok_and(|state| **state == payload)).count();
                }
            },
            &mut |times| {
                for _ in 0..times {
                    for (to, from) in copies.chunks_exact_mut(BYTES).zip(source.chunks_exact(BYTES)) {
                        black_box(to).copy_from_slice(black_box(from));
                    }
                }
            },
        ],
    )?;
    for writer in writers {
        writer.close().map_err(text)?;
    }
    match whole == CHANNELS && copies == source {
        true => Ok(Fleet { attach, query, memcpy }),
        false => Err(format!("only {whole} of {CHANNELS} states are what was published")),
    }
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
    Ok(timing::median(&mut times))
}
