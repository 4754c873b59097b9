//! The figures, for people and as JSON.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::contended::Contended;
use super::measure::{BYTES, CHANNELS, Fleet, Uncontended};
use crate::machine::Machine;
use crate::output::{Table, bytes, print_json, printable, style};

/// All results.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) uncontended: Vec<Uncontended>,
    pub(super) contended: Vec<Contended>,
    pub(super) fleet: Fleet,
}

const NOTE: &str = "\
Compare the ratios to memcpy: the times are those of one run on this machine at this load.
Each publication carries a timestamp, which costs one reading of the clock. The time of a single
snapshot contains two readings.";

impl Report {
    /// Prints the results on standard output.
    pub(super) fn print(&self, json: bool) -> io::Result<()> {
        if json { print_json(&self.to_json()) } else { self.print_text() }
    }

    fn print_text(&self) -> io::Result<()> {
        let mut out = anstream::stdout();
        for (label, text) in self.machine.rows() {
            writeln!(out, "{label:<12}  {}", printable(&text))?;
        }
        writeln!(out, "\nUncontended: medians, and their ratios to a memcpy of the same size")?;
        self.uncontended_table().print()?;
        writeln!(
            out,
            "\nContended: snapshots beside a writer in another process that publishes as fast as it can"
        )?;
        self.contended_table().print()?;
        let Fleet { attach, query, memcpy } = self.fleet;
        writeln!(out, "\nAttaching to a channel, with its first snapshot: {}", time(attach))?;
        let all = format!("{CHANNELS} channels of {BYTES} B by name: {}", time(query));
        writeln!(out, "All states of {all}, {:.1} times the memcpy", query / memcpy)?;
        writeln!(out, "\n{NOTE}")
    }

    fn uncontended_table(&self) -> Table {
        let mut table = Table::new([">state", ">memcpy", ">publish", ">ratio", ">snapshot", ">ratio"]);
        for Uncontended { bytes: len, memcpy, publish, snapshot } in &self.uncontended {
            row(
                &mut table,
                [
                    bytes(*len as u64),
                    time(*memcpy),
                    time(*publish),
                    format!("{:.1}", publish / memcpy),
                    time(*snapshot),
                    format!("{:.1}", snapshot / memcpy),
                ],
            );
        }
        table
    }

    fn contended_table(&self) -> Table {
        let mut table = Table::new([
            ">state",
            ">p50",
            ">p99",
            ">publications/s",
            ">snapshots",
            ">retries/snapshot",
            ">gave up",
        ]);
        for figure in &self.contended {
            row(
                &mut table,
                [
                    bytes(figure.bytes as u64),
                    time(figure.p50 as f64),
                    time(figure.p99 as f64),
                    format!("{:.0}", figure.rate),
                    figure.snapshots.to_string(),
                    format!("{:.4}", figure.retries_per_snapshot()),
                    figure.give_ups.to_string(),
                ],
            );
        }
        table
    }

    fn to_json(&self) -> Value {
        let uncontended = self.uncontended.iter().map(|figure| {
            json!({
                "bytes": figure.bytes,
                "memcpy_ns": figure.memcpy,
                "publish_ns": figure.publish,
                "publish_ratio": figure.publish / figure.memcpy,
                "snapshot_ns": figure.snapshot,
                "snapshot_ratio": figure.snapshot / figure.memcpy,
            })
        });
        let contended = self.contended.iter().map(|figure| {
            json!({
                "bytes": figure.bytes,
                "p50_ns": figure.p50,
                "p99_ns": figure.p99,
                "publications_per_second": figure.rate,
                "snapshots": figure.snapshots,
                "retries_per_snapshot": figure.retries_per_snapshot(),
                "give_ups": figure.give_ups,
            })
        });
        json!({
            "machine": self.machine.to_json(),
            "uncontended": uncontended.collect::<Vec<_>>(),
            "contended": contended.collect::<Vec<_>>(),
            "attach_ns": self.fleet.attach,
            "query": {
                "channels": CHANNELS,
                "bytes": BYTES,
                "ns": self.fleet.query,
                "memcpy_ns": self.fleet.memcpy,
                "ratio": self.fleet.query / self.fleet.memcpy,
            },
        })
    }
}

impl Contended {
    fn retries_per_snapshot(&self) -> f64 {
        self.retries as f64 / self.snapshots.max(1) as f64
    }
}

fn row<const CELLS: usize>(table: &mut Table, cells: [String; CELLS]) {
    table.row(cells.map(|text| (text, style::PLAIN)));
}

/// `14.6 ns`, `3.20 µs`, `1.25 ms`.
fn time(nanos: f64) -> String {
    match nanos {
        ..1e3 => format!("{nanos:.1} ns"),
        ..1e6 => format!("{:.2} µs", nanos / 1e3),
        _ => format!("{:.2} ms", nanos / 1e6),
    }
}

#[test]
fn times_have_the_unit_that_fits() {
    assert_eq!([time(14.62), time(3_204.0), time(1_254_000.0)], ["14.6 ns", "3.20 µs", "1.25 ms"]);
}
