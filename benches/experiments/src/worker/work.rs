//! A worker that computes, and publishes its state between two steps.

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tearless::Namespace;

use super::orders::{Order, Orders};
use super::{CHANNEL, Link};
use crate::Failure;
use crate::common::spread;
use crate::measure::{processor_nanos, thread_nanos};
use crate::worker_state::WorkerState;

/// Steps of one unit of work, each of which depends on the one before: about ten microseconds.
const STEPS: u64 = 5_000;

/// The work of this process so far.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Worked {
    pub(crate) units: u64,
    pub(crate) publications: u64,
    /// Processor time of `publish` with the encoding, and of one reading of that clock.
    pub(crate) publishing_nanos: u64,
    /// Processor time of the whole process.
    pub(crate) processor_nanos: u64,
}

/// Works until the input ends, and publishes every `interval`, if there is one. Always publishes a
/// first state.
pub(crate) fn run(
    namespace: &Namespace,
    link: Link,
    jobs: usize,
    interval: Option<Duration>,
) -> Result<(), Failure> {
    let states = [0, 1].map(|seed| WorkerState::new(jobs, seed));
    let mut writer = namespace.writer_builder::<WorkerState>(CHANNEL).codec::<tearless::Postcard>().open()?;
    writer.publish(&states[0])?;
    let mut orders = Orders::ready(link)?;
    let (mut next, mut worked) = (interval.map(|interval| Instant::now() + interval), Worked::default());
    loop {
        black_box((0..STEPS).fold(worked.units, |value, step| spread(value ^ step)));
        worked.units += 1;
        // The worker that never publishes also reads the clock, so that nothing else differs.
        let now = Instant::now();
        if let (Some(tick), Some(interval)) = (next, interval)
            && now >= tick
        {
            let before = thread_nanos();
            writer.publish(&states[usize::from(worked.publications.is_multiple_of(2))])?;
            worked.publications += 1;
            worked.publishing_nanos += thread_nanos() - before;
            next = Some((tick + interval).max(now));
        }
        match orders.poll() {
            None => {}
            Some(Order::Report) => {
                worked.processor_nanos = processor_nanos();
                orders.say(&worked)?;
            }
            Some(Order::End) => return Ok(writer.close()?),
        }
    }
}
