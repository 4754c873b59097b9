//! A description of this machine, for the results of `bench` and `verify`.

use std::fs;
use std::path::PathBuf;

use rustix::system::{sysinfo, uname};
use serde::Serialize;

use crate::directory::{DEV_SHM, Directory};
use crate::output;

/// What matters of this machine for measurements.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    /// Of this program and of the library in it.
    version: &'static str,
    architecture: &'static str,
    processor: String,
    processors: usize,
    kernel: String,
    memory_bytes: u64,
    directory: PathBuf,
    directory_bytes: Option<u64>,
    directory_free_bytes: Option<u64>,
    clock_source: String,
    load: String,
}

impl Machine {
    /// Describes the machine at this moment, with the directory of the shared memory.
    pub(crate) fn look(directory: &Directory) -> Machine {
        let space = directory.space();
        let architecture = std::env::consts::ARCH;
        let system = sysinfo();
        Machine {
            version: env!("CARGO_PKG_VERSION"),
            architecture,
            processor: processor().unwrap_or_else(|| architecture.into()),
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: uname().release().to_string_lossy().into_owned(),
            memory_bytes: system.totalram * u64::from(system.mem_unit),
            directory: directory.path().into(),
            directory_bytes: space.map(|(all, _)| all),
            directory_free_bytes: space.map(|(_, free)| free),
            clock_source: line("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            load: line("/proc/loadavg"),
        }
    }

    /// Labels and texts, for people.
    pub(crate) fn rows(&self) -> Vec<(&'static str, String)> {
        let of = |(all, free)| format!("{}, {} of it free", output::bytes(all), output::bytes(free));
        let shared = self.directory_bytes.zip(self.directory_free_bytes).map_or_else(|| UNKNOWN.into(), of);
        let memory = match self.directory.to_str() {
            Some(DEV_SHM) => (DEV_SHM, shared),
            _ => ("directory", format!("{}: {shared}", self.directory.display())),
        };
        vec![
            ("version", format!("tearless {} for {}", self.version, self.architecture)),
            ("processor", format!("{}, {} usable", self.processor, self.processors)),
            ("kernel", format!("Linux {}", self.kernel)),
            ("memory", output::bytes(self.memory_bytes)),
            memory,
            ("clock source", self.clock_source.clone()),
            ("load", self.load.clone()),
        ]
    }
}

/// The name of the first processor. Not every architecture has one.
fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.find(|(name, _)| name.trim() == "model name").map(|(_, value)| value.trim().into())
}

/// The content of a file of one line.
fn line(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| UNKNOWN.into(), |text| text.trim().into())
}

const UNKNOWN: &str = "unknown";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_a_kernel_memory_and_processors() {
        let machine = Machine::look(&Directory::default());
        assert!(machine.processors > 0 && machine.memory_bytes > 1 << 20, "{machine:?}");
        assert!(!machine.kernel.is_empty());
        let unmounted = Machine { directory_bytes: None, directory_free_bytes: None, ..machine };
        assert!(unmounted.rows().contains(&("/dev/shm", "unknown".into())), "{unmounted:?}");
    }
}
