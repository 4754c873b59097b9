//! What the figures were measured on: without it they mean nothing.

use std::fs;
use std::time::Instant;

use serde::Serialize;

use crate::common::{field, histogram, nanos};
use crate::cpus::{self, Pair};

/// The machine, and what its clock takes.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    cpu: String,
    cpus: usize,
    kernel: String,
    governor: Option<String>,
    memory: Option<String>,
    clock_source: Option<String>,
    pinning: String,
    load: Option<String>,
    clock_p50_ns: u64,
    clock_p99_ns: u64,
}

impl Machine {
    /// This one, and how the processes are pinned.
    pub(crate) fn describe(pinned: Option<Pair>) -> Machine {
        let [clock_p50_ns, clock_p99_ns] = clock();
        Machine {
            cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.into()),
            cpus: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: line("/proc/sys/kernel/osrelease").unwrap_or_default(),
            governor: line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            memory: field("/proc/meminfo", "MemTotal"),
            clock_source: line("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            pinning: cpus::describe(pinned),
            load: line("/proc/loadavg"),
            clock_p50_ns,
            clock_p99_ns,
        }
    }

    /// Above the tables.
    pub(crate) fn print(&self) {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".into());
        println!("# tearless and its peers\n");
        println!("* {}, {} CPUs, Linux {}, {}", self.cpu, self.cpus, self.kernel, or_none(&self.memory));
        println!("* governor {}, clock source {}", or_none(&self.governor), or_none(&self.clock_source));
        println!("* load {}; {}", or_none(&self.load), self.pinning);
        println!("* Two readings of the clock take {} ns, p99 {} ns:", self.clock_p50_ns, self.clock_p99_ns);
        println!("  the percentiles and the maximum contain them. Means are of batches, and contain none.");
        println!(
            "* Ratios are to `tearless undated`, which does what its peers do: they don't look at the clock.\n"
        );
    }
}

/// What two readings of the clock take with nothing between them: the median and p99.
fn clock() -> [u64; 2] {
    let mut times = histogram();
    for _ in 0..100_000 {
        let before = Instant::now();
        let after = Instant::now();
        times.saturating_record(nanos(after - before));
    }
    [0.5, 0.99].map(|quantile| times.value_at_quantile(quantile))
}

fn line(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().into())
}
