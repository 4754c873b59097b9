//! What every experiment needs: durations, CPUs, and the namespace.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity};
use tearless::{Namespace, cleanup::Retention};

use crate::cpus::Pair;
use crate::machine::Machine;
use crate::options::Options;
use crate::progress::Progress;
use crate::worker::{Role, Worker};
use crate::{Failure, common, cpus};

/// How much shorter everything is in a quick run.
const QUICKER: u32 = 25;

/// The circumstances of a run.
pub(crate) struct Context {
    pub(crate) out: PathBuf,
    pub(crate) namespace: Namespace,
    pub(crate) machine: Machine,
    pub(crate) progress: Progress,
    pub(crate) quick: bool,
    cpus: Option<Pair>,
    /// All CPUs that this process may use, without the workers' CPU.
    readers: Vec<usize>,
}

impl Context {
    /// Pins this process to the reader's CPU, and describes the machine.
    pub(crate) fn new(options: &Options) -> Result<Context, Failure> {
        let usable = thread::available_parallelism().map_or(1, usize::from);
        let cpus = cpus::pair();
        let readers = usable_but(cpus.map(|pair| pair.writer));
        if let Some(pair) = cpus {
            cpus::pin(pair.reader);
        }
        Ok(Context {
            out: options.out.clone(),
            namespace: Namespace::open(&common::unique_namespace("experiments"))?,
            machine: Machine::current(cpus, usable),
            progress: Progress::new(),
            quick: options.quick,
            cpus,
            readers,
        })
    }

    /// The duration for a measurement that takes `full` in a complete run.
    pub(crate) fn span(&self, full: Duration) -> Duration {
        if self.quick { full / QUICKER } else { full }
    }

    /// The rounds for a measurement that has `full` rounds in a complete run.
    pub(crate) fn rounds(&self, full: usize) -> usize {
        if self.quick { 1 } else { full }
    }

    /// The CPU that workers run on, if they can have one for themselves.
    pub(crate) fn worker_cpu(&self) -> Option<usize> {
        self.cpus.map(|pair| pair.writer)
    }

    /// The CPU of this process.
    pub(crate) fn own_cpu(&self) -> Option<usize> {
        self.cpus.map(|pair| pair.reader)
    }

    /// The CPU of the reading process number `index`, of several.
    pub(crate) fn reader_cpu(&self, index: usize) -> Option<usize> {
        self.readers.get(index % self.readers.len().max(1)).copied()
    }

    /// Starts a worker process on the workers' CPU, and waits until it is ready.
    pub(crate) fn start(&self, role: Role) -> Result<Worker, Failure> {
        Worker::start(&self.namespace, role, self.worker_cpu())
    }

    /// Fails if anything is left in shared memory.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let cleaned = self.namespace.clean(Retention::Nothing)?;
        match cleaned.removed.is_empty() {
            true => Ok(()),
            false => Err(format!("workers left something behind: {cleaned}").into()),
        }
    }
}

/// The CPUs that this process may use, without one.
fn usable_but(cpu: Option<usize>) -> Vec<usize> {
    let Ok(usable) = sched_getaffinity(None) else { return Vec::new() };
    (0..CpuSet::MAX_CPU).filter(|other| usable.is_set(*other) && Some(*other) != cpu).collect()
}

impl Drop for Context {
    fn drop(&mut self) {
        // After an experiment that failed. Its error is printed; an error of the cleanup is not.
        let _ = self.namespace.clean(Retention::Nothing);
    }
}
