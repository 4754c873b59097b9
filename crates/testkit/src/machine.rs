//! The machine that a figure was measured on. Without it, a figure means nothing.

use std::fmt;
use std::fs;

use serde::Serialize;

use crate::table::size;

/// The machine, as far as it matters to a measurement. `None` if the system reports nothing.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The processor's model.
    pub processor: String,
    /// Processors that this process may use.
    pub processors: usize,
    /// The kernel's release.
    pub kernel: String,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Bytes of `/dev/shm`.
    pub shared_memory: Option<u64>,
    /// Bytes of `/dev/shm` that are free.
    pub shared_memory_free: Option<u64>,
    /// What sets the frequency of the first processor.
    pub governor: Option<String>,
    /// The kernel's clock source.
    pub clock_source: Option<String>,
    /// Whether shared memory has huge pages.
    pub huge_pages: Option<String>,
    /// The load averages, and the processes that run.
    pub load: Option<String>,
}

impl Machine {
    /// This machine, as it is now.
    pub fn current() -> Machine {
        let shared = rustix::fs::statvfs("/dev/shm").ok();
        Machine {
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.into()),
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: line("/proc/sys/kernel/osrelease").unwrap_or_else(unknown),
            memory: field("/proc/meminfo", "MemTotal").and_then(|text| kibibytes(&text)),
            shared_memory: shared.as_ref().map(|found| found.f_blocks * found.f_frsize),
            shared_memory_free: shared.as_ref().map(|found| found.f_bavail * found.f_frsize),
            governor: line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            clock_source: line("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            huge_pages: line("/sys/kernel/mm/transparent_hugepage/shmem_enabled"),
            load: line("/proc/loadavg"),
        }
    }

    /// A label and a text for each property.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let text = |text: &Option<String>| text.clone().unwrap_or_else(unknown);
        let bytes = |bytes: Option<u64>| bytes.map_or_else(unknown, size);
        let (shared, free) = (bytes(self.shared_memory), bytes(self.shared_memory_free));
        vec![
            ("processor", format!("{}, {} usable", self.processor, self.processors)),
            ("kernel", format!("Linux {}", self.kernel)),
            ("memory", bytes(self.memory)),
            ("/dev/shm", format!("{shared}, {free} of it free")),
            ("governor", text(&self.governor)),
            ("clock source", text(&self.clock_source)),
            ("shmem pages", text(&self.huge_pages)),
            ("load", text(&self.load)),
        ]
    }
}

/// One line for each property.
impl fmt::Display for Machine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rows().iter().try_for_each(|(label, text)| writeln!(formatter, "{label:<12}  {text}"))
    }
}

/// The value of the first line `key: value` of a file.
pub fn field(path: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim().into())
}

/// The text of a file that has one line.
pub fn line(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().into())
}

/// Bytes of `24689756 kB`.
fn kibibytes(text: &str) -> Option<u64> {
    let number: u64 = text.strip_suffix("kB")?.trim().parse().ok()?;
    number.checked_mul(1024)
}

fn unknown() -> String {
    "unknown".into()
}

#[test]
fn a_machine_has_a_kernel_memory_and_processors() {
    let machine = Machine::current();
    assert!(machine.processors > 0 && machine.memory > Some(1 << 20), "{machine:?}");
    assert_ne!(machine.kernel, "unknown");
    assert!(machine.to_string().starts_with("processor     "), "{machine}");
    assert_eq!(kibibytes("2 kB"), Some(2048));
    assert_eq!(kibibytes("18446744073709551615 kB"), None);
}
