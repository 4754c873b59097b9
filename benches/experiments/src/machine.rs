//! The machine that the figures were measured on, in the words of the page.

use std::fmt;

use crate::cpus::{self, Pair};
use crate::measure;

/// The machine, and the cost of its clock.
pub(crate) struct Machine {
    /// CPUs that this process may use.
    pub(crate) cpus: usize,
    machine: testkit::machine::Machine,
    pinning: String,
    /// Nanoseconds between two readings of the clock.
    pub(crate) clock: u64,
}

impl Machine {
    /// The machine as it is now. Measures the clock on the CPU that the experiments use. `usable`
    /// is the number of CPUs before this process was pinned to one.
    pub(crate) fn current(cpus: Option<Pair>, usable: usize) -> Machine {
        Machine {
            cpus: usable,
            machine: testkit::machine::Machine::current(),
            pinning: cpus::describe(cpus),
            clock: measure::clock_nanos(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { cpus, machine, pinning, clock } = self;
        let processor = &machine.processor;
        let memory = machine.memory.map_or_else(unknown, gibibytes);
        let kernel = first(&machine.kernel, '-');
        let clock_source = machine.clock_source.clone().unwrap_or_else(unknown);
        let load = machine.load.as_deref().map_or_else(unknown, |load| first(load, ' '));
        write!(
            formatter,
            "{processor}, {cpus} processors, {memory}, Linux {kernel}, clock source {clock_source}, load {load} \
             before the run; {pinning}. Two readings of the clock take {clock} ns, which single times contain."
        )
    }
}

/// The text before `end`.
fn first(text: &str, end: char) -> String {
    text.split(end).next().unwrap_or_default().into()
}

fn unknown() -> String {
    "unknown".into()
}

fn gibibytes(bytes: u64) -> String {
    format!("{:.0} GiB", bytes as f64 / f64::from(1 << 30))
}
