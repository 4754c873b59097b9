//! `tearless bench`: what publications and snapshots cost on this machine.

mod contended;
mod measure;
mod report;

use std::process;
use std::time::Duration;

use clap::Args;
use tearless::{Namespace, cleanup::Retention};

use crate::child;
use crate::context::Context;
use crate::directory::Directory;
use crate::error::{ExitStatus, Failure};
use crate::interrupt::Interrupt;
use crate::machine::Machine;
use crate::output::print_json;
use measure::Run;
use report::Report;

/// The prefix of its namespaces' names.
const PREFIX: &str = "tearless-bench-";

/// The measured sizes, in payload bytes.
const SIZES: [usize; 4] = [64, 1 << 10, 64 << 10, 1 << 20];

/// Measures publications and snapshots on this machine, with memcpy in the same run
#[derive(Debug, Args)]
#[command(after_help = "\
Measures, for states of four sizes, publishing and snapshots without contention, and single snapshots beside a \
writer in another process that publishes as fast as it can; also attaching to a channel, and the states of 200 \
channels. Every state is checked. Compare the ratios to memcpy: times are those of this machine at this load. \
The command uses its own namespace, and leaves nothing in /dev/shm or the --directory; the next run removes what a killed one left.

Examples:
  tearless bench
  tearless bench --seconds 60
  tearless bench --json | jq '.contended[] | {bytes, p99_ns}'

Keys of --json, one object:
  machine (a description), uncontended (an array of bytes, memcpy_ns, publish_ns, publish_ratio, snapshot_ns, \
snapshot_ratio), contended (an array of bytes, p50_ns, p99_ns, publications_per_second, snapshots, \
retries_per_snapshot, give_ups), attach_ns, query (channels, bytes, ns, memcpy_ns, ratio)

Exit codes: 0 measured; 1 it failed, or a state was not the published one")]
pub(crate) struct BenchArguments {
    /// About how many seconds the command takes
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    #[arg(long, hide = true, value_name = "TASK")]
    child: Option<String>,
}

/// Measures, and prints the results.
pub(crate) fn run(arguments: &BenchArguments, context: &Context) -> Result<(), Failure> {
    if let Some(order) = &arguments.child {
        return child::run(order, &context.directory, contended::write);
    }
    let interrupt = Interrupt::catch(|_| {})?;
    clean_up_killed_runs(&context.directory);
    let namespace =
        context.directory.open(&format!("{PREFIX}{}-{}", process::id(), child::number_of_run()))?;
    let measured =
        measure((&context.directory, &namespace), Duration::from_secs(arguments.seconds.into()), &interrupt);
    // After an error, objects may be left. The error itself is reported.
    let _ = namespace.clean(Retention::Nothing);
    let report = measured.map_err(|reason| Failure::new(ExitStatus::Failed, reason))?;
    Ok(if context.json { print_json(&report) } else { report.print() }?)
}

/// Removes what killed runs have left. A running one keeps its channels: a cleanup never removes
/// live ones.
fn clean_up_killed_runs(directory: &Directory) {
    // A cleanup that fails does not affect the measurement.
    let names = directory.namespaces().unwrap_or_default().into_iter().filter_map(|info| info.name);
    for name in names.filter(|name| name.starts_with(PREFIX)) {
        if let Ok(namespace) = directory.open(&name) {
            let _ = namespace.clean(Retention::Nothing);
        }
    }
}

fn measure(
    (directory, namespace): (&Directory, &Namespace),
    budget: Duration,
    interrupt: &Interrupt,
) -> Result<Report, String> {
    let machine = Machine::look(directory);
    // A share for each of the four sizes in both tables, and one for the fleet.
    let run = &Run { directory, namespace, interrupt, budget: budget / 9 };
    let uncontended =
        SIZES.iter().map(|bytes| measure::uncontended(run, *bytes)).collect::<Result<_, _>>()?;
    let contended = SIZES.iter().map(|bytes| contended::contended(run, *bytes)).collect::<Result<_, _>>()?;
    Ok(Report { machine, uncontended, contended, fleet: measure::fleet(run)? })
}
