//! A description of this machine, for the results of `bench` and `verify`.

use std::fs;

use serde_json::{Value, json};

use crate::output;

/// What matters of this machine for measurements.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    processor: String,
    processors: usize,
    kernel: String,
    memory: Option<u64>,
    /// Size of `/dev/shm`, and how much of it is free, in bytes.
    shared: Option<(u64, u64)>,
    clock_source: String,
    load: String,
}

impl Machine {
    /// Describes the machine at this moment.
    pub(crate) fn look() -> Machine {
        let shared = rustix::fs::statvfs("/dev/shm").ok();
        Machine {
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.into()),
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: line("/proc/sys/kernel/osrelease"),
            memory: field("/proc/meminfo", "MemTotal").and_then(|text| kibibytes(&text)),
            shared: shared.map(|found| (found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)),
            clock_source: line("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            load: line("/proc/loadavg"),
        }
    }

    /// The version of this program and of the library in it.
    pub(crate) fn version() -> String {
        format!("tearless {} for {}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH)
    }

    /// Labels and texts, for people.
    pub(crate) fn rows(&self) -> Vec<(&'static str, String)> {
        let shared = self.shared.map_or_else(unknown, |(size, free)| {
            format!("{}, {} of it free", output::bytes(size), output::bytes(free))
        });
        vec![
            ("version", Machine::version()),
            ("processor", format!("{}, {} usable", self.processor, self.processors)),
            ("kernel", format!("Linux {}", self.kernel)),
            ("memory", self.memory.map_or_else(unknown, output::bytes)),
            ("/dev/shm", shared),
            ("clock source", self.clock_source.clone()),
            ("load", self.load.clone()),
        ]
    }

    /// The same as JSON.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "architecture": std::env::consts::ARCH,
            "processor": self.processor,
            "processors": self.processors,
            "kernel": self.kernel,
            "memory_bytes": self.memory,
            "dev_shm_bytes": self.shared.map(|(size, _)| size),
            "dev_shm_free_bytes": self.shared.map(|(_, free)| free),
            "clock_source": self.clock_source,
            "load": self.load,
        })
    }
}

/// The value of the first line `key: value` of a file.
fn field(path: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim().into())
}

/// The content of a file of one line.
fn line(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| unknown(), |text| text.trim().into())
}

/// The bytes in a text such as `24689756 kB`.
fn kibibytes(text: &str) -> Option<u64> {
    let number: u64 = text.strip_suffix("kB")?.trim().parse().ok()?;
    number.checked_mul(1024)
}

fn unknown() -> String {
    "unknown".into()
}

#[test]
fn a_machine_has_a_kernel_memory_and_processors() {
    let machine = Machine::look();
    assert!(machine.processors > 0 && machine.memory > Some(1 << 20), "{machine:?}");
    assert_ne!(machine.kernel, "unknown");
    assert_eq!(kibibytes("2 kB"), Some(2048));
    assert_eq!(kibibytes("18446744073709551615 kB"), None);
}
