//! `tearless verify`: tortures this build on this machine. It is the evidence for **a snapshot is
//! never torn**.
//!
//! Word for word, a reader gets the payload that was published under the number of its snapshot.
//! Writer and reader processes work on every combination of options at once. They outnumber the
//! processors, so the kernel preempts all of them in the middle of everything. The run is evidence
//! on one machine and no proof: the models in the library's `seqlock` check the orderings.

mod combination;
mod content;
mod leftovers;
mod reader;
mod report;
mod tally;
mod workers;
mod writer;

use std::process;
use std::time::{Duration, Instant};

use clap::Args;
use serde::{Deserialize, Serialize};
use tearless::Namespace;

use crate::child::{self, Lifetime};
use crate::context::Context;
use crate::directory::Directory;
use crate::error::{ExitStatus, Failure};
use crate::interrupt::Interrupt;
use crate::machine::Machine;
use crate::output::print_json;
use report::{Report, Run, Verdict};
use workers::{Setup, Size, Workers};
use writer::Share;

/// Tortures this build on this machine, and verifies every word that its readers get
#[derive(Debug, Args)]
#[command(after_help = "\
Several processes publish as fast as they can, on channels with and without checksum, with one slot and with \
the usual number, of plain data, and of bytes of sizes from 0 to 256 KiB that make them grow and shrink. Others \
take snapshots and histories, hold views for up to a second, and compare every word with what was published under \
that number; numbers and times must never go backwards. Now and then a writer is killed, and another process takes its channels over. \
Attach the report to a bug. The run uses a namespace of its own, and leaves nothing in /dev/shm or the --directory.

Examples:
  tearless verify
  tearless verify --seconds 600 --writers 4 --readers 8
  tearless verify --json | jq -e '.verdict == \"fine\"'

Keys of --json, one object:
  verdict (fine, unfinished, wrong), machine (what it ran on), seconds, writers, readers, seed, forgeries (tried, \
accepted), snapshots, fresh (of a new publication), history (states out of histories), views, \
views_in_place, bytes (verified), publications, retries, give_ups, growths, remaps, kills, takeovers, torn, \
backwards, failures, leftovers, faults (texts), notes (texts), channels (an array of channel and the same counts of it)

Exit codes: 0 nothing is wrong; 1 something is, or it was interrupted before it could say so")]
pub(crate) struct VerifyArguments {
    /// How long
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Writer processes. Default: half the processors, from 2 to 4
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=8))]
    writers: Option<u16>,
    /// Reader processes. Default: as many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    readers: Option<u16>,
    /// Repeats the sizes and contents of the run that reported this seed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    #[arg(long, hide = true, value_name = "TASK")]
    child: Option<String>,
}

/// The task of a child process.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
struct Task {
    seed: u64,
    #[serde(flatten)]
    role: Role,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
enum Role {
    Writer(Share),
    /// Reads all channels, beginning with number `first`.
    Reader {
        first: usize,
    },
}

/// Runs the torture and prints the report.
pub(crate) fn run(arguments: &VerifyArguments, context: &Context) -> Result<(), Failure> {
    if let Some(order) = &arguments.child {
        return child::run(order, &context.directory, work);
    }
    let interrupt = Interrupt::catch(|_| {})?;
    let report = torture(arguments, &context.directory, &interrupt)
        .map_err(|reason| Failure::new(ExitStatus::Failed, reason))?;
    if context.json { print_json(&report) } else { report.print() }?;
    match report.verdict {
        Verdict::Fine => Ok(()),
        Verdict::Unfinished | Verdict::Wrong => Err(Failure::silent(ExitStatus::Failed)),
    }
}

/// Does a child's work, until its lifetime is over.
fn work(Task { seed, role }: Task, namespace: &Namespace, lifetime: &Lifetime) -> Result<(), String> {
    match role {
        Role::Writer(share) => writer::run(share, namespace, seed, lifetime),
        Role::Reader { first } => {
            let tallies = reader::run(first, (namespace, seed, lifetime))?;
            child::say(&serde_json::to_string(&tallies).map_err(child::text)?);
            Ok(())
        }
    }
}

fn torture(
    arguments: &VerifyArguments,
    directory: &Directory,
    interrupt: &Interrupt,
) -> Result<Report, String> {
    let machine = Machine::look(directory);
    let now = child::number_of_run();
    let (seed, size) = (arguments.seed.unwrap_or(now), arguments.size());
    let forgeries = content::try_forgeries(seed);
    let namespace = directory.open(&format!("tearless-verify-{}-{now}", process::id()));
    let namespace = namespace.map_err(child::text)?;
    let begin = Instant::now();
    let mut workers = Workers::start(Setup { directory, namespace, seed, size, interrupt })?;
    workers.torture(Duration::from_secs(arguments.seconds));
    let is_complete = !interrupt.is_raised();
    let outcome = workers.finish();
    let seconds = begin.elapsed().as_secs_f64();
    Ok(Report::new(Run { machine, seconds, size, seed, forgeries, is_complete }, outcome))
}

impl VerifyArguments {
    fn size(&self) -> Size {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let usual = (processors / 2).clamp(2, 4);
        let writers = self.writers.map_or(usual, usize::from);
        Size { writers, readers: self.readers.map_or(writers, usize::from) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_survives_a_round_trip() {
        let share = Share { index: 1, writers: 3, life: 9 };
        for role in [Role::Reader { first: 2 }, Role::Writer(share)] {
            let task = Task { seed: u64::MAX, role };
            let text = serde_json::to_string(&task).unwrap();
            assert_eq!(serde_json::from_str::<Task>(&text).unwrap(), task);
        }
        assert!(serde_json::from_str::<Task>("{}").is_err());
    }
}
