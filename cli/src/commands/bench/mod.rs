//! `tearless bench`: what publications and snapshots cost on this machine.

mod contended;
mod fleet;
mod report;
mod timing;
mod uncontended;

use std::process;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use tearless::{Namespace, cleanup::Retention, inspect::namespaces};

use crate::child;
use crate::context::Context;
use crate::error::{ExitStatus, Failure};
use crate::interrupt::Interrupt;
use crate::machine::Machine;
use report::Report;

/// How the names of its namespaces begin.
const PREFIX: &str = "tearless-bench-";

/// Payload bytes that are measured.
const SIZES: [usize; 4] = [64, 1 << 10, 64 << 10, 1 << 20];

/// Measures publications and snapshots on this machine, beside memcpy in the same run
#[derive(Debug, Args)]
#[command(after_help = "\
Four sizes of states: publish and snapshot while nobody else uses the channel, and single snapshots under a \
writer in another process that publishes as fast as it can; attaching to a channel, and the states of 200 \
channels. Every state is checked. The ratios to memcpy matter: times are those of this machine at this load. \
It uses a namespace of its own, and leaves nothing in /dev/shm; what one left that was killed is removed \
by the next one.

Examples:
  tearless bench
  tearless bench --seconds 60
  tearless bench --json | jq '.contended[] | {bytes, p99_ns}'

Keys of --json, one object:
  machine (what it ran on), uncontended (an array of bytes, memcpy_ns,
  publish_ns, publish_ratio, snapshot_ns, snapshot_ratio), contended (an
  array of bytes, p50_ns, p99_ns, publications_per_second, snapshots,
  retries_per_snapshot, give_ups), attach_ns, query (channels, bytes, ns,
  memcpy_ns, ratio)

Exit codes: 0 measured; 1 it failed, or a state was not what was published")]
pub(crate) struct BenchArguments {
    /// About how long all of it takes
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    #[arg(long, hide = true, value_name = "TASK")]
    child: Option<String>,
}

/// Measures, and prints the figures.
pub(crate) fn run(arguments: &BenchArguments, context: &Context) -> Result<(), Failure> {
    if let Some(task) = &arguments.child {
        return contended::write(task).map_err(|reason| {
            // Its parent reads this.
            child::say(&reason);
            Failure::silent(ExitStatus::Failed)
        });
    }
    let interrupt = Interrupt::catch()?;
    clean_up_after_the_killed();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos());
    let name = format!("{PREFIX}{}-{now}", process::id());
    let namespace = Namespace::open(&name)?;
    let measured = measure(&namespace, Duration::from_secs(arguments.seconds.into()), &interrupt);
    // After an error something may be left, about which there is nothing to say but that error.
    let _ = namespace.clean(Retention::Nothing);
    let report = measured.map_err(|reason| Failure::new(ExitStatus::Failed, reason))?;
    Ok(report.print(context.json)?)
}

/// Removes what runs have left that were killed. Those that are at work keep theirs: what is alive is never
/// removed.
fn clean_up_after_the_killed() {
    // What can't be looked at or removed is no reason not to measure.
    let names = namespaces().list().unwrap_or_default().into_iter().filter_map(|info| info.name);
    for name in names.filter(|name| name.starts_with(PREFIX)) {
        if let Ok(namespace) = Namespace::open(&name) {
            let _ = namespace.clean(Retention::Nothing);
        }
    }
}

fn measure(namespace: &Namespace, budget: Duration, interrupt: &Interrupt) -> Result<Report, String> {
    let machine = Machine::look();
    // A share for each of the four sizes in either table, and one for the fleet.
    let share = budget / 9;
    let uncontended = SIZES.iter().map(|bytes| uncontended::measure(namespace, *bytes, share, interrupt));
    let uncontended = uncontended.collect::<Result<_, _>>()?;
    let contended = SIZES.iter().map(|bytes| contended::measure(namespace, *bytes, share, interrupt));
    let contended = contended.collect::<Result<_, _>>()?;
    let fleet = fleet::measure(namespace, share, interrupt)?;
    Ok(Report { machine, uncontended, contended, fleet })
}
