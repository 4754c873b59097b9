//! The CPUs that reader and writer run on.

use std::fs;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Two CPUs that this process may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) reader: usize,
    pub(crate) writer: usize,
}

/// The first CPU, and the first one after it on another core; if there is no other core, a sibling
/// on the same one. `None` if there is only one CPU.
pub(crate) fn pair() -> Option<Pair> {
    let usable = sched_getaffinity(None).ok()?;
    let mut usable = (0..CpuSet::MAX_CPU).filter(|cpu| usable.is_set(*cpu));
    let reader = usable.next()?;
    let others: Vec<usize> = usable.collect();
    let elsewhere = others.iter().find(|cpu| core(**cpu) != core(reader));
    Some(Pair { reader, writer: *elsewhere.or(others.first())? })
}

/// The pinning, in words for the report.
pub(crate) fn describe(pair: Option<Pair>) -> String {
    match pair {
        None => "not pinned: reader and writer share the only CPU".into(),
        Some(Pair { reader, writer }) => {
            let cores = if core(reader) == core(writer) { "one core" } else { "different cores" };
            format!("reader on CPU {reader}, writer on CPU {writer}, of {cores}")
        }
    }
}

/// Keeps the calling thread on `cpu`. A container may forbid this: then the figures are noisier.
pub(crate) fn pin(cpu: usize) {
    let mut only = CpuSet::new();
    only.set(cpu);
    if let Err(error) = sched_setaffinity(None, &only) {
        eprintln!("not pinned to CPU {cpu}: {error}");
    }
}

/// The identity of a core: the list of the threads of the core that `cpu` belongs to.
fn core(cpu: usize) -> Option<String> {
    fs::read_to_string(format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")).ok()
}
