//! `tearless doctor`: what is wrong, and what to do about it.

mod channels;
mod finding;
mod limits;
mod names;
mod objects;

use std::io::{self, Write};

use clap::Args;

use crate::context::Context;
use crate::error::{ExitStatus, Failure};
use crate::output::{print_json, printable, style};
use finding::{Finding, Severity};

/// Checks this machine, its namespaces and their writers, and advises what to do
#[derive(Debug, Args)]
#[command(after_help = "\
Tries once to create, reserve, lock and map an object, to sleep and to issue a barrier; checks the size and free \
space of /dev/shm or the --directory, whether it is on a disk, and whether others may change a directory above it; the memory limit of the control group; what killed processes have left; objects that are \
not what their names say, of other versions, or with unusual permissions; writers that are dead, stopped, stalled \
(silent for 3 of the intervals that they promised), whose objects were unlinked by hand, or whose channels lost the namespace's list; whether logind is set to unlink objects in use. Changes nothing.

Checks all namespaces on this machine, or the one that -n names. A note does not change the exit code. Of many \
findings of one kind in a namespace, 3 are printed and the others counted; --json prints all.

Examples:
  tearless doctor
  tearless -n fleet doctor || page-operator
  tearless doctor --json | jq -r 'select(.severity == \"problem\") | .advice'

Keys of --json, one object a finding:
  severity (problem, note), check (create, reserve, lock, map, futex, membarrier, shm-size, shm-full, shm-huge, \
shm-disk, shm-above, cgroup-memory, leftovers, foreign, layout-version, permissions, unreadable, other-user, \
dead, unreachable, stopped, stalled, nameless, unlisted, segment-missing, schema-corrupt, pins, unusable, remove-ipc), namespace, \
channel (null: it concerns no channel), what, advice

Exit codes: 0 nothing is wrong; 1 there are problems; 3 no such namespace")]
pub(crate) struct DoctorArguments {}

type Examination = fn(&Context) -> Result<Vec<Finding>, Failure>;

pub(crate) fn run(_: &DoctorArguments, context: &Context) -> Result<(), Failure> {
    // Each is printed before the next begins, and none ends the others.
    let examinations: [Examination; 4] = [
        |context| Ok(limits::examine(&context.directory)),
        objects::examine,
        channels::examine,
        names::examine,
    ];
    let (mut problems, mut failed) = (0, None);
    let command = format!("`{} ", context.directory.command());
    for examine in examinations {
        for mut finding in examine(context).map_err(|failure| failed = Some(failure)).unwrap_or_default() {
            finding.advice = finding.advice.replace("`tearless ", &command);
            if context.json { print_json(&finding) } else { print(&finding) }?;
            problems += usize::from(finding.severity == Severity::Problem);
        }
    }
    // If nothing can be listed for lack of shared memory, a finding has said so.
    if let Some(failure) = failed.filter(|it| problems == 0 || it.exit != ExitStatus::Failed) {
        return Err(failure);
    }
    if !context.json {
        summary(problems)?;
    }
    if problems == 0 { Ok(()) } else { Err(Failure::silent(ExitStatus::Failed)) }
}

fn print(finding: &Finding) -> io::Result<()> {
    let (style, word) = match finding.severity {
        Severity::Problem => (style::BAD, "problem"),
        Severity::Note => (style::DIM, "note"),
    };
    let place: Vec<_> =
        [&finding.namespace, &finding.channel].into_iter().flatten().map(|name| printable(name)).collect();
    let place = if place.is_empty() { String::new() } else { format!("{}: ", place.join("/")) };
    let mut output = anstream::stdout().lock();
    writeln!(output, "{style}{word}:{style:#} {place}{}", printable(&finding.what))?;
    writeln!(output, "  -> {}", printable(&finding.advice))
}

fn summary(problems: usize) -> io::Result<()> {
    let mut output = anstream::stdout().lock();
    let good = style::GOOD;
    match problems {
        0 => writeln!(output, "{good}nothing is wrong{good:#}"),
        1 => writeln!(output, "1 problem"),
        problems => writeln!(output, "{problems} problems"),
    }
}
