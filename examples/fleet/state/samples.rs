//! The states with strings, lists and maps. Types of the procfs crate are published as they are if
//! they suffice.

use std::{collections::BTreeMap, io, time::Duration};

use postcard_schema::Schema;
use procfs::{
    CpuPressure, Current, DiskStat, IoPressure, LoadAverage, Meminfo, MemoryPressure,
    net::DeviceStatus,
    process::{Process, all_processes},
};
use serde::{Deserialize, Serialize};

use tearless::{Postcard, WriterBuilder};

use super::{Sample, Sampled, Way, optional};

/// `/proc/loadavg`: the smallest state.
impl Sample for LoadAverage {
    const PAUSE: Duration = Duration::from_millis(5);
    const WAY: Way = Way::Changed;

    fn sample() -> io::Result<Option<Self>> {
        optional(Self::current())
    }
}

/// `/proc/meminfo`: about fifty numbers, most of which some kernel lacks.
impl Sample for Meminfo {
    const PAUSE: Duration = Duration::from_millis(10);
    const WAY: Way = Way::Synced;

    fn sample() -> io::Result<Option<Self>> {
        optional(Self::current())
    }
}

/// `/proc/diskstats`: a list.
pub(crate) type Disks = Vec<DiskStat>;

impl Sample for Disks {
    const PAUSE: Duration = Duration::from_millis(50);
    const WAY: Way = Way::Changed;

    fn sample() -> io::Result<Option<Self>> {
        optional(procfs::diskstats())
    }
}

/// `/proc/net/dev`: a map from names. A `HashMap` would have another order after each decoding, and
/// so another checksum.
pub(crate) type Network = BTreeMap<String, DeviceStatus>;

impl Sample for Network {
    const PAUSE: Duration = Duration::from_millis(10);
    const WAY: Way = Way::Synced;

    fn sample() -> io::Result<Option<Self>> {
        Ok(optional(procfs::net::dev_status())?.map(Self::from_iter))
    }
}

/// `/proc/pressure`: which files exist, and their content, depends on the kernel, its configuration
/// and its boot options.
#[derive(Serialize, Deserialize)]
pub(crate) struct Pressure {
    processors: Option<CpuPressure>,
    memory: Option<MemoryPressure>,
    disks: Option<IoPressure>,
}

impl Sample for Pressure {
    const PAUSE: Duration = Duration::from_millis(20);
    const WAY: Way = Way::Changed;

    fn sample() -> io::Result<Option<Self>> {
        // A file that can't be read is not an error: with `psi=0` the files exist and can't be
        // read, and until Linux 5.13 the processors' file lacks a line.
        Ok(Some(Self {
            processors: CpuPressure::current().ok(),
            memory: MemoryPressure::current().ok(),
            disks: IoPressure::current().ok(),
        }))
    }
}

/// The table of processes: the largest state, which grows and shrinks as processes come and go.
pub(crate) type Processes = Vec<ProcessRow>;

/// One process.
#[derive(Serialize, Deserialize, Schema)]
pub(crate) struct ProcessRow {
    pid: i32,
    name: String,
    state: char,
    /// In bytes.
    resident: u64,
    command_line: Vec<String>,
}

impl ProcessRow {
    /// `None` if the process has ended, or may not be read.
    fn sample(process: &Process) -> io::Result<Option<Self>> {
        let Some(stat) = optional(process.stat())? else { return Ok(None) };
        // A command line may contain anything, even invalid UTF-8.
        let command_line = process.cmdline().unwrap_or_default();
        let resident = stat.rss.saturating_mul(procfs::page_size());
        Ok(Some(Self { pid: stat.pid, name: stat.comm, state: stat.state, resident, command_line }))
    }
}

impl Sample for Processes {
    const PAUSE: Duration = Duration::from_millis(100);
    const WAY: Way = Way::Synced;

    fn sample() -> io::Result<Option<Self>> {
        let Some(all) = optional(all_processes())? else { return Ok(None) };
        let mut processes = Vec::new();
        for process in all {
            let Some(process) = optional(process)? else { continue };
            processes.extend(ProcessRow::sample(&process)?);
        }
        Ok(Some(processes))
    }

    fn describe(builder: WriterBuilder<Sampled<Self>, Postcard>) -> WriterBuilder<Sampled<Self>, Postcard> {
        builder.with_schema()
    }
}
