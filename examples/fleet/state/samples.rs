//! The states with strings, lists and maps, which a codec carries. The types of the procfs crate are
//! published as they are where they suffice.

use std::{collections::BTreeMap, io, time::Duration};

use procfs::{
    CpuPressure, Current, DiskStat, IoPressure, LoadAverage, Meminfo, MemoryPressure, PressureRecord,
    net::DeviceStatus,
    process::{Process, all_processes},
};
use serde::{Deserialize, Serialize};

use super::{Sample, Way, proc::optional};

/// `/proc/loadavg`: the smallest one.
#[derive(Serialize, Deserialize)]
pub(crate) struct Load(LoadAverage);

impl Sample for Load {
    const EVERY: Duration = Duration::from_millis(5);
    const WAY: Way = Way::Changed;

    fn sample() -> io::Result<Option<Self>> {
        Ok(optional(LoadAverage::current())?.map(Self))
    }
}

/// `/proc/meminfo`: some fifty numbers, most of which are missing on some kernel or other.
#[derive(Serialize, Deserialize)]
pub(crate) struct Memory {
    information: Meminfo,
    used: u64,
}

impl Memory {
    fn used(information: &Meminfo) -> u64 {
        information.mem_total.saturating_sub(information.mem_free)
    }
}

impl Sample for Memory {
    const EVERY: Duration = Duration::from_millis(10);
    const WAY: Way = Way::Synced;

    fn sample() -> io::Result<Option<Self>> {
        let information = optional(Meminfo::current())?;
        Ok(information.map(|information| Self { used: Self::used(&information), information }))
    }

    fn relations_hold(&self) -> bool {
        self.used == Self::used(&self.information)
    }
}

/// `/proc/diskstats`: a list.
#[derive(Serialize, Deserialize)]
pub(crate) struct Disks {
    disks: Vec<DiskStat>,
    count: usize,
    sectors: u64,
}

impl Disks {
    fn sectors(disks: &[DiskStat]) -> u64 {
        disks
            .iter()
            .fold(0, |sum, disk| sum.wrapping_add(disk.sectors_read).wrapping_add(disk.sectors_written))
    }
}

impl Sample for Disks {
    const EVERY: Duration = Duration::from_millis(50);
    const WAY: Way = Way::Changed;

    fn sample() -> io::Result<Option<Self>> {
        let disks = optional(procfs::diskstats())?;
        Ok(disks.map(|disks| Self { count: disks.len(), sectors: Self::sectors(&disks), disks }))
    }

    fn relations_hold(&self) -> bool {
        self.count == self.disks.len() && self.sectors == Self::sectors(&self.disks)
    }
}

/// `/proc/net/dev`: a map from names.
#[derive(Serialize, Deserialize)]
pub(crate) struct Network {
    interfaces: BTreeMap<String, DeviceStatus>,
    received: u64,
    sent: u64,
}

impl Network {
    fn total(interfaces: &BTreeMap<String, DeviceStatus>, of: impl Fn(&DeviceStatus) -> u64) -> u64 {
        interfaces.values().map(of).fold(0, u64::wrapping_add)
    }
}

impl Sample for Network {
    const EVERY: Duration = Duration::from_millis(10);
    const WAY: Way = Way::Synced;

    fn sample() -> io::Result<Option<Self>> {
        let Some(read) = optional(procfs::net::dev_status())? else { return Ok(None) };
        // A HashMap comes back from every decoding in another order, and the checksum would differ.
        let interfaces = BTreeMap::from_iter(read);
        let received = Self::total(&interfaces, |interface| interface.recv_bytes);
        let sent = Self::total(&interfaces, |interface| interface.sent_bytes);
        Ok(Some(Self { interfaces, received, sent }))
    }

    fn relations_hold(&self) -> bool {
        self.received == Self::total(&self.interfaces, |interface| interface.recv_bytes)
            && self.sent == Self::total(&self.interfaces, |interface| interface.sent_bytes)
            && self.interfaces.iter().all(|(name, interface)| *name == interface.name)
    }
}

/// `/proc/pressure`: which of its files there are, and what they say, depends on the kernel, its
/// configuration and how it was started.
#[derive(Serialize, Deserialize)]
pub(crate) struct Pressure {
    processors: Option<Stalls>,
    memory: Option<Stalls>,
    disks: Option<Stalls>,
    /// Microseconds, all three together.
    stalled: u64,
}

/// How long some tasks, and how long all of them, waited for one resource.
#[derive(Serialize, Deserialize)]
struct Stalls {
    some: PressureRecord,
    full: PressureRecord,
}

impl Pressure {
    fn stalled(&self) -> u64 {
        [&self.processors, &self.memory, &self.disks]
            .into_iter()
            .flatten()
            .fold(0, |sum, stalls| sum.wrapping_add(stalls.some.total).wrapping_add(stalls.full.total))
    }
}

impl Sample for Pressure {
    const EVERY: Duration = Duration::from_millis(20);
    const WAY: Way = Way::Changed;

    fn sample() -> io::Result<Option<Self>> {
        // No failure to read one of them is an error: with `psi=0` the files exist and can't be read, and
        // until Linux 5.13 that of the processors lacks a line.
        let mut pressure = Self {
            processors: CpuPressure::current().ok().map(|read| Stalls { some: read.some, full: read.full }),
            memory: MemoryPressure::current().ok().map(|read| Stalls { some: read.some, full: read.full }),
            disks: IoPressure::current().ok().map(|read| Stalls { some: read.some, full: read.full }),
            stalled: 0,
        };
        pressure.stalled = pressure.stalled();
        Ok(Some(pressure))
    }

    fn relations_hold(&self) -> bool {
        self.stalled == self.stalled()
    }
}

/// The table of processes: the largest one, which grows and shrinks as processes come and go.
#[derive(Serialize, Deserialize)]
pub(crate) struct Processes {
    processes: Vec<ProcessRow>,
    count: usize,
    resident: u64,
}

/// One process.
#[derive(Serialize, Deserialize)]
struct ProcessRow {
    pid: i32,
    name: String,
    state: char,
    /// In bytes.
    resident: u64,
    command_line: Vec<String>,
}

impl ProcessRow {
    /// `None` if the process ended meanwhile, or is none of our business.
    fn sample(process: &Process) -> io::Result<Option<Self>> {
        let Some(stat) = optional(process.stat())? else { return Ok(None) };
        // Anything may stand in a command line, also what isn't UTF-8.
        let command_line = process.cmdline().unwrap_or_default();
        let resident = stat.rss.saturating_mul(procfs::page_size());
        Ok(Some(Self { pid: stat.pid, name: stat.comm, state: stat.state, resident, command_line }))
    }
}

impl Processes {
    fn resident(processes: &[ProcessRow]) -> u64 {
        processes.iter().map(|process| process.resident).fold(0, u64::wrapping_add)
    }
}

impl Sample for Processes {
    const EVERY: Duration = Duration::from_millis(100);
    const WAY: Way = Way::Synced;

    fn sample() -> io::Result<Option<Self>> {
        let Some(all) = optional(all_processes())? else { return Ok(None) };
        let mut processes = Vec::new();
        for process in all {
            let Some(process) = optional(process)? else { continue };
            processes.extend(ProcessRow::sample(&process)?);
        }
        Ok(Some(Self { count: processes.len(), resident: Self::resident(&processes), processes }))
    }

    fn relations_hold(&self) -> bool {
        self.count == self.processes.len() && self.resident == Self::resident(&self.processes)
    }
}
