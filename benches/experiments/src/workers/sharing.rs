//! Workers that publish in shared memory.

use std::process;
use std::thread;
use std::time::{Duration, Instant};

use tearless::{Pod, Reader};

use super::memory::{Objects, Private};
use super::{QUERIES, UPDATES};
use crate::Failure;
use crate::context::Context;
use crate::measure::{median_of, once_nanos, processor_nanos};
use crate::worker::{Held, REPORT, Role, STATE_WORDS, Worker, channel_name};

/// The duration of the measurement of processor time.
const SPAN: Duration = Duration::from_secs(4);

/// The cost of a number of workers.
pub(crate) struct Shared {
    pub(crate) objects: Objects,
    /// The memory that the workers' process and the main process gained.
    pub(crate) worker: Private,
    pub(crate) main: Private,
    pub(crate) load: Load,
}

impl Shared {
    /// The sum of all memory.
    pub(crate) fn bytes(&self) -> u64 {
        let Shared { objects, worker, main, .. } = self;
        objects.bytes() + worker.private + worker.page_tables + main.private + main.page_tables
    }
}

/// Processor time, in shares of one CPU.
pub(crate) struct Load {
    pub(crate) updates_a_second: f64,
    pub(crate) workers: f64,
    pub(crate) main: f64,
    /// One read of all states.
    pub(crate) round_nanos: f64,
}

/// Measures `workers` workers in one process.
pub(crate) fn measure(context: &Context, workers: usize) -> Result<Shared, Failure> {
    let idle = context.start(Role::Hold { first: 0, channels: 0, rate: UPDATES })?;
    let without = Private::of(idle.pid());
    idle.end()?;
    let mut worker = context.start(Role::Hold { first: 0, channels: workers, rate: UPDATES })?;
    let before = Private::of(process::id());
    let mut readers: Vec<Reader<[u64; STATE_WORDS], Pod>> = (0..workers)
        .map(|index| context.namespace.reader_builder(&channel_name(index)).codec::<Pod>().open())
        .collect::<Result<_, _>>()?;
    let load = Load::measure(context, &mut worker, || {
        for reader in &mut readers {
            reader.snapshot()?;
        }
        Ok(())
    })?;
    let shared = Shared {
        objects: Objects::of(worker.pid())?,
        worker: Private::of(worker.pid()).since(without),
        main: Private::of(process::id()).since(before),
        load,
    };
    drop(readers);
    worker.end()?;
    Ok(shared)
}

impl Load {
    /// Reads all states by `look`, [`QUERIES`] times a second, and reads the processes' clocks
    /// before and after.
    pub(crate) fn measure(
        context: &Context,
        worker: &mut Worker,
        mut look: impl FnMut() -> Result<(), Failure>,
    ) -> Result<Load, Failure> {
        look()?;
        let span = context.span(SPAN);
        let before: Held = worker.ask(REPORT)?;
        let (begin, own, mut rounds) = (Instant::now(), processor_nanos(), Vec::new());
        while begin.elapsed() < span {
            thread::sleep(Duration::from_secs(1) / QUERIES);
            let (took, result) = once_nanos(&mut look);
            result?;
            rounds.push(took as f64);
        }
        let own = processor_nanos() - own;
        let after: Held = worker.ask(REPORT)?;
        let elapsed = begin.elapsed().as_nanos() as f64;
        Ok(Load {
            updates_a_second: (after.updates - before.updates) as f64 / elapsed * 1e9,
            workers: (after.processor_nanos - before.processor_nanos) as f64 / elapsed,
            main: own as f64 / elapsed,
            round_nanos: median_of(&rounds, |round| *round),
        })
    }
}
