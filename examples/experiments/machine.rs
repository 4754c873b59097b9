//! What the figures were measured on: without it they mean nothing.

use std::fmt;
use std::fs;

use crate::cpus::Pair;
use crate::{common, cpus, measure};

/// The machine, in the words of the page.
pub(crate) struct Machine {
    /// CPUs that this process may use.
    pub(crate) cpus: usize,
    processor: String,
    memory: String,
    kernel: String,
    clock_source: String,
    load: String,
    pinning: String,
    /// What two readings of the clock take, in nanoseconds.
    pub(crate) clock: u64,
}

impl Machine {
    /// Looks, and measures the clock, on the CPU that is measured on. `usable` is how many there were before this
    /// process was pinned to one.
    pub(crate) fn look(cpus: Option<Pair>, usable: usize) -> Machine {
        let processor = common::field("/proc/cpuinfo", "model name");
        Machine {
            cpus: usable,
            processor: processor.unwrap_or_else(|| std::env::consts::ARCH.into()),
            memory: common::field("/proc/meminfo", "MemTotal").map_or_else(unknown, gibibytes),
            kernel: line("/proc/sys/kernel/osrelease").split('-').next().unwrap_or_default().into(),
            clock_source: line("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            load: line("/proc/loadavg").split(' ').next().unwrap_or_default().into(),
            pinning: cpus::describe(cpus),
            clock: measure::clock_nanos(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { cpus, processor, memory, kernel, clock_source, load, pinning, clock } = self;
        write!(
            formatter,
            "{processor}, {cpus} processors, {memory}, Linux {kernel}, clock source {clock_source}, load {load} \
             before the run; {pinning}. Two readings of the clock take {clock} ns, which single times contain."
        )
    }
}

/// What stands in a file of one line.
fn line(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| unknown(), |text| text.trim().into())
}

/// What is said where the system says nothing.
fn unknown() -> String {
    "unknown".into()
}

/// `24 GiB` for `24689756 kB`.
fn gibibytes(kilobytes: String) -> String {
    let number = kilobytes.split(' ').next().and_then(|number| number.parse::<f64>().ok());
    number.map_or(kilobytes, |number| format!("{:.0} GiB", number / f64::from(1 << 20)))
}
