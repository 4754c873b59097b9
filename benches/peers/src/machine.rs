//! The machine that the figures were measured on. Without it, they mean nothing.

use serde::Serialize;
use testkit::stats::{clock_times, quantiles};

use crate::cpus::{self, Pair};

/// The machine, and the cost of its clock.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    #[serde(flatten)]
    machine: testkit::machine::Machine,
    pinning: String,
    clock_p50_ns: u64,
    clock_p99_ns: u64,
}

impl Machine {
    /// This machine, and how the processes are pinned.
    pub(crate) fn current(pinned: Option<Pair>) -> Machine {
        let [clock_p50_ns, clock_p99_ns] = quantiles(&clock_times(), [0.5, 0.99]);
        let machine = testkit::machine::Machine::current();
        Machine { machine, pinning: cpus::describe(pinned), clock_p50_ns, clock_p99_ns }
    }

    /// Prints it above the tables.
    pub(crate) fn print(&self) {
        println!("# tearless and its peers\n");
        for (label, text) in self.machine.rows() {
            println!("* {label}: {text}");
        }
        println!("* {}", self.pinning);
        println!("* Two readings of the clock take {} ns, p99 {} ns:", self.clock_p50_ns, self.clock_p99_ns);
        println!("  the percentiles and the maximum contain them. Means are of batches, and contain none.");
        println!(
            "* Ratios are to `tearless undated`, which does what its peers do: they don't read the clock.\n"
        );
    }
}
