//! The plain states: of fixed size, without pointers, copied as they are. Each has the number of
//! its publication at the front and again at the back, and the checksum of all its bytes.

use std::{io, time::Duration};

use bytemuck::{Pod, Zeroable, bytes_of};
use procfs::{CpuTime, CurrentSI, KernelStats, process::Process};
use serde::{Serialize, Serializer};

use super::{State, Way, checksum, optional};

/// Number of processors in a [`Processors`]; the others are counted and left out.
const MAX_PROCESSORS: usize = 64;

/// `/proc/stat`: how every processor spent its time.
#[derive(Clone, Copy, Pod, Zeroable, Serialize)]
#[repr(C)]
pub(crate) struct Processors {
    front: u64,
    sum: u64,
    context_switches: u64,
    forks: u64,
    /// Number of `processors` in use.
    count: u64,
    omitted: u64,
    #[serde(serialize_with = "in_use")]
    processors: [Times; MAX_PROCESSORS],
    back: u64,
}

/// One processor's times, in ticks.
#[derive(Clone, Copy, Default, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
struct Times {
    user: u64,
    nice: u64,
    system: u64,
    idle: u64,
    io_wait: u64,
    interrupts: u64,
    steal: u64,
}

tearless::describe_pod!(Processors { front, sum, context_switches, forks, count, omitted, processors, back });
tearless::describe_pod!(Times { user, nice, system, idle, io_wait, interrupts, steal });

impl State for Processors {
    const PAUSE: Duration = Duration::from_millis(1);
    const WAY: Way = Way::Each;

    fn sample(publication: u64) -> io::Result<Self> {
        let mut state = Self { front: publication, back: publication, ..Self::zeroed() };
        if let Some(stats) = optional(KernelStats::current())? {
            state.context_switches = stats.ctxt;
            state.forks = stats.processes;
            let count = stats.cpu_time.len().min(MAX_PROCESSORS);
            state.count = count as u64;
            state.omitted = (stats.cpu_time.len() - count) as u64;
            for (times, read) in state.processors.iter_mut().zip(&stats.cpu_time) {
                *times = Times::from(read);
            }
        }
        Ok(Self { sum: checksum(bytes_of(&state)), ..state })
    }

    fn is_whole(&self, publication: u64) -> bool {
        [self.front, self.back] == [publication; 2]
            && self.sum == checksum(bytes_of(&Self { sum: 0, ..*self }))
    }
}

impl From<&CpuTime> for Times {
    fn from(time: &CpuTime) -> Self {
        Self {
            user: time.user,
            nice: time.nice,
            system: time.system,
            idle: time.idle,
            io_wait: time.iowait.unwrap_or(0),
            interrupts: time.irq.unwrap_or(0) + time.softirq.unwrap_or(0),
            steal: time.steal.unwrap_or(0),
        }
    }
}

/// Serializes only the processors that exist.
fn in_use<S: Serializer>(processors: &[Times; MAX_PROCESSORS], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(processors.iter().filter(|times| **times != Times::default()))
}

/// `/proc/self/stat` and `/proc/self/statm`: the worker's own use of resources. Sampled and
/// published without pause.
#[derive(Clone, Copy, Pod, Zeroable, Serialize)]
#[repr(C)]
pub(crate) struct Usage {
    front: u64,
    sum: u64,
    pid: u64,
    threads: u64,
    user_ticks: u64,
    system_ticks: u64,
    minor_faults: u64,
    major_faults: u64,
    resident_pages: u64,
    shared_pages: u64,
    back: u64,
}

tearless::describe_pod!(Usage {
    front,
    sum,
    pid,
    threads,
    user_ticks,
    system_ticks,
    minor_faults,
    major_faults,
    resident_pages,
    shared_pages,
    back,
});

impl State for Usage {
    const PAUSE: Duration = Duration::ZERO;
    const WAY: Way = Way::Each;

    fn sample(publication: u64) -> io::Result<Self> {
        let mut state = Self { front: publication, back: publication, ..Self::zeroed() };
        if let Some(process) = optional(Process::myself())? {
            state.pid = u64::from(std::process::id());
            if let Some(stat) = optional(process.stat())? {
                state.threads = stat.num_threads.unsigned_abs();
                state.user_ticks = stat.utime;
                state.system_ticks = stat.stime;
                state.minor_faults = stat.minflt;
                state.major_faults = stat.majflt;
            }
            if let Some(memory) = optional(process.statm())? {
                state.resident_pages = memory.resident;
                state.shared_pages = memory.shared;
            }
        }
        Ok(Self { sum: checksum(bytes_of(&state)), ..state })
    }

    fn is_whole(&self, publication: u64) -> bool {
        [self.front, self.back] == [publication; 2]
            && self.sum == checksum(bytes_of(&Self { sum: 0, ..*self }))
    }
}
