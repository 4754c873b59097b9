//! The figures, for people and as JSON.

use std::io::{self, Write};

use anstyle::Style;
use serde::Serialize;

use super::contended::Contended;
use super::measure::{Fleet, Query, Uncontended};
use crate::machine::Machine;
use crate::output::{Table, bytes, plain, printable};

/// All results. The help documents their JSON form.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) uncontended: Vec<Uncontended>,
    pub(super) contended: Vec<Contended>,
    #[serde(flatten)]
    pub(super) fleet: Fleet,
}

const NOTE: &str = "\
Compare the ratios to memcpy: the times are those of one run on this machine at this load.
Each publication carries a timestamp, which costs one reading of the clock. The time of a single
snapshot contains two readings.";

const CONTENDED: &str = "\
Contended: snapshots beside a writer in another process that publishes as fast as it can";

impl Report {
    /// Prints the results for people.
    pub(super) fn print(&self) -> io::Result<()> {
        let mut out = anstream::stdout();
        for (label, text) in self.machine.rows() {
            writeln!(out, "{label:<12}  {}", printable(&text))?;
        }
        writeln!(out, "\nUncontended: medians, and their ratios to a memcpy of the same size")?;
        let names = [">state", ">memcpy", ">publish", ">ratio", ">snapshot", ">ratio"];
        Table::new(names, self.uncontended.iter().map(Uncontended::cells)).print()?;
        writeln!(out, "\n{CONTENDED}")?;
        let names =
            [">state", ">p50", ">p99", ">publications/s", ">snapshots", ">retries/snapshot", ">gave up"];
        Table::new(names, self.contended.iter().map(Contended::cells)).print()?;
        let Fleet { attach_ns, query: Query { channels, bytes, ns, ratio, .. } } = self.fleet;
        writeln!(out, "\nAttaching to a channel, with its first snapshot: {}", time(attach_ns))?;
        let all = format!("{channels} channels of {bytes} B by name: {}", time(ns));
        writeln!(out, "All states of {all}, {ratio:.1} times the memcpy")?;
        writeln!(out, "\n{NOTE}")
    }
}

impl Uncontended {
    fn cells(&self) -> [(String, Style); 6] {
        [
            bytes(self.bytes as u64),
            time(self.memcpy_ns),
            time(self.publish_ns),
            format!("{:.1}", self.publish_ratio),
            time(self.snapshot_ns),
            format!("{:.1}", self.snapshot_ratio),
        ]
        .map(plain)
    }
}

impl Contended {
    fn cells(&self) -> [(String, Style); 7] {
        [
            bytes(self.bytes as u64),
            time(self.p50_ns as f64),
            time(self.p99_ns as f64),
            format!("{:.0}", self.publications_per_second),
            self.snapshots.to_string(),
            format!("{:.4}", self.retries_per_snapshot),
            self.give_ups.to_string(),
        ]
        .map(plain)
    }
}

/// `14.6 ns`, `3.20 µs`, `1.25 ms`.
fn time(nanos: f64) -> String {
    match nanos {
        ..1e3 => format!("{nanos:.1} ns"),
        ..1e6 => format!("{:.2} µs", nanos / 1e3),
        _ => format!("{:.2} ms", nanos / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_unit_that_fits() {
        assert_eq!([time(14.62), time(3_204.0), time(1_254_000.0)], ["14.6 ns", "3.20 µs", "1.25 ms"]);
    }
}
