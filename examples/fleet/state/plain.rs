//! The states that are plain old data: of fixed size, without pointers, and copied as they are. Each has the
//! number of its publication at the front and once more at the back, and the checksum of all its words.

use std::{io, slice, time::Duration};

use bytemuck::{Pod, Zeroable};
use procfs::{CpuTime, CurrentSI, KernelStats, process::Process};
use serde::{Serialize, Serializer};

use super::{State, Way, checksum_words, proc::optional};

/// How many processors a [`Processors`] has room for; those beyond are counted and left out.
const MAX_PROCESSORS: usize = 64;

/// How many bytes of the host's name it keeps.
const MAX_HOST: usize = 64;

/// `/proc/stat`: what every processor spent its time on.
#[derive(Clone, Copy, Pod, Zeroable, Serialize)]
#[repr(C)]
pub(crate) struct Processors {
    front: u64,
    sum: u64,
    #[serde(serialize_with = "as_text")]
    host: [u8; MAX_HOST],
    context_switches: u64,
    forks: u64,
    /// How many of `processors` are in use.
    count: u64,
    omitted: u64,
    /// The sum over `processors`.
    total: Times,
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

impl State for Processors {
    const EVERY: Duration = Duration::from_millis(1);
    const WAY: Way = Way::Each;

    fn sample(publication: u64) -> io::Result<Self> {
        let mut state = Self { front: publication, back: publication, ..Self::zeroed() };
        state.host = host_name();
        if let Some(stats) = optional(KernelStats::current())? {
            state.context_switches = stats.ctxt;
            state.forks = stats.processes;
            let count = stats.cpu_time.len().min(MAX_PROCESSORS);
            state.count = count as u64;
            state.omitted = (stats.cpu_time.len() - count) as u64;
            for (times, read) in state.processors.iter_mut().zip(&stats.cpu_time) {
                *times = Times::from(read);
            }
            state.total = state.added_up();
        }
        state.sum = state.checksum();
        Ok(state)
    }

    fn is_whole(&self, publication: u64) -> bool {
        [self.front, self.back] == [publication; 2]
            && self.sum == self.checksum()
            && self.total == self.added_up()
    }
}

impl Processors {
    fn checksum(&self) -> u64 {
        checksum_words(bytemuck::cast_slice(slice::from_ref(&Self { sum: 0, ..*self })))
    }

    fn added_up(&self) -> Times {
        self.processors.iter().fold(Times::default(), Times::plus)
    }
}

impl Times {
    fn plus(self, other: &Self) -> Self {
        Self {
            user: self.user.wrapping_add(other.user),
            nice: self.nice.wrapping_add(other.nice),
            system: self.system.wrapping_add(other.system),
            idle: self.idle.wrapping_add(other.idle),
            io_wait: self.io_wait.wrapping_add(other.io_wait),
            interrupts: self.interrupts.wrapping_add(other.interrupts),
            steal: self.steal.wrapping_add(other.steal),
        }
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

/// The name of this host, cut off at [`MAX_HOST`] bytes; empty if it can't be read.
fn host_name() -> [u8; MAX_HOST] {
    let read = std::fs::read("/proc/sys/kernel/hostname").unwrap_or_default();
    let mut name = [0; MAX_HOST];
    for (to, from) in name.iter_mut().zip(read.trim_ascii_end()) {
        *to = *from;
    }
    name
}

/// For people: the text up to the padding.
fn as_text<S: Serializer>(host: &[u8; MAX_HOST], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(String::from_utf8_lossy(host).trim_end_matches('\0'))
}

/// For people: the processors that there are.
fn in_use<S: Serializer>(processors: &[Times; MAX_PROCESSORS], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(processors.iter().filter(|times| **times != Times::default()))
}

/// `/proc/self/stat` and `/proc/self/statm`: what the worker itself uses. Published as fast as it can be
/// sampled.
#[derive(Clone, Copy, Pod, Zeroable, Serialize)]
#[repr(C)]
pub(crate) struct Usage {
    front: u64,
    sum: u64,
    pid: u64,
    threads: u64,
    user_ticks: u64,
    system_ticks: u64,
    /// The sum of both.
    ticks: u64,
    minor_faults: u64,
    major_faults: u64,
    resident_pages: u64,
    shared_pages: u64,
    back: u64,
}

impl State for Usage {
    const EVERY: Duration = Duration::ZERO;
    const WAY: Way = Way::Each;

    fn sample(publication: u64) -> io::Result<Self> {
        let mut state = Self { front: publication, back: publication, ..Self::zeroed() };
        let Some(process) = optional(Process::myself())? else { return Ok(state.summed()) };
        state.pid = u64::from(std::process::id());
        if let Some(stat) = optional(process.stat())? {
            state.threads = stat.num_threads.unsigned_abs();
            state.user_ticks = stat.utime;
            state.system_ticks = stat.stime;
            state.ticks = stat.utime.wrapping_add(stat.stime);
            state.minor_faults = stat.minflt;
            state.major_faults = stat.majflt;
        }
        if let Some(memory) = optional(process.statm())? {
            state.resident_pages = memory.resident;
            state.shared_pages = memory.shared;
        }
        Ok(state.summed())
    }

    fn is_whole(&self, publication: u64) -> bool {
        [self.front, self.back] == [publication; 2]
            && self.sum == self.checksum()
            && self.ticks == self.user_ticks.wrapping_add(self.system_ticks)
    }
}

impl Usage {
    fn summed(mut self) -> Self {
        self.sum = self.checksum();
        self
    }

    fn checksum(&self) -> u64 {
        checksum_words(bytemuck::cast_slice(slice::from_ref(&Self { sum: 0, ..*self })))
    }
}
