//! A worker that has something to do, and publishes its state beside it.

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tearless::Namespace;

use super::orders::{Order, Orders};
use super::{CHANNEL, Link};
use crate::Failure;
use crate::common::{nanos, spread};
use crate::worker_state::WorkerState;

/// Steps of one unit of work, each of which waits for the one before: some ten microseconds.
const STEPS: u64 = 2_500;

/// What it has done so far.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Worked {
    pub(crate) units: u64,
    pub(crate) publications: u64,
    /// In `publish`, encoding and all.
    pub(crate) publishing_nanos: u64,
    pub(crate) elapsed_nanos: u64,
}

/// Works until the input ends, and publishes every `interval`, if at all. A first state is published in any case.
pub(crate) fn run(
    namespace: &Namespace,
    link: Link,
    jobs: usize,
    interval: Option<Duration>,
) -> Result<(), Failure> {
    let states = [0, 1].map(|seed| WorkerState::new(jobs, seed));
    let mut writer = namespace.writer::<WorkerState>(CHANNEL)?;
    writer.publish(&states[0])?;
    let mut orders = Orders::ready(link)?;
    let begin = Instant::now();
    let (mut next, mut worked) = (interval.map(|interval| begin + interval), Worked::default());
    loop {
        black_box((0..STEPS).fold(worked.units, |value, step| spread(value ^ step)));
        worked.units += 1;
        // The clock is read also by the worker that never publishes, so that nothing else differs.
        let now = Instant::now();
        if let (Some(tick), Some(interval)) = (next, interval)
            && now >= tick
        {
            writer.publish(&states[usize::from(worked.publications.is_multiple_of(2))])?;
            worked.publications += 1;
            worked.publishing_nanos += nanos(now.elapsed());
            next = Some((tick + interval).max(now));
        }
        match orders.poll() {
            None => {}
            Some(Order::Report) => {
                worked.elapsed_nanos = nanos(begin.elapsed());
                orders.say(&worked)?;
            }
            Some(Order::End) => return Ok(writer.close()?),
        }
    }
}
