//! `tearless doctor`: what is wrong, and what to do about it.

mod channels;
mod limits;
mod objects;
mod refusals;

use std::io::{self, Write};

use clap::Args;
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{ExitStatus, Failure, for_shells};
use crate::output::{print_json, printable, style};

/// Looks for what is wrong: on this machine, in its namespaces, with their writers
#[derive(Debug, Args)]
#[command(after_help = "\
Looks at: the size and fullness of /dev/shm, and the memory that the control group still has; what killed \
processes have left; objects that are not what their names say, of other versions, or with odd permissions; \
writers that are dead, stopped, stalled (silent for 3 of the intervals that they promised), or whose names \
somebody removed by hand. Changes nothing.

Of all namespaces of this machine, or of the one that -n names. A note is no problem: it does not change the \
exit code.

Examples:
  tearless doctor
  tearless -n fleet doctor || page-somebody
  tearless doctor --json | jq -r 'select(.severity == \"problem\") | .advice'

Keys of --json, one object a finding:
  severity (problem, note), check (shm-size, shm-full, cgroup-memory,
  leftovers, foreign, layout-version, permissions, unreadable, other-user,
  dead, stopped, stalled, nameless, segment-missing, schema-missing,
  schema-spoiled, unusable), namespace, channel (null: it concerns none),
  what, advice

Exit codes: 0 all is well; 1 there are problems; 3 there is no such namespace as -n names")]
pub(crate) struct DoctorArguments {}

/// Whether anything has to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Severity {
    Problem,
    Note,
}

/// What was found, and what to do about it.
#[derive(Debug)]
struct Finding {
    severity: Severity,
    check: &'static str,
    namespace: Option<String>,
    channel: Option<String>,
    what: String,
    advice: String,
}

impl Finding {
    fn problem(check: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding {
            severity: Severity::Problem,
            check,
            namespace: None,
            channel: None,
            what: for_shells(&what.into()),
            advice: advice.into(),
        }
    }

    fn note(check: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { severity: Severity::Note, ..Finding::problem(check, what, advice) }
    }

    fn of(self, namespace: Option<&str>, channel: Option<&str>) -> Finding {
        Finding { namespace: namespace.map(str::to_owned), channel: channel.map(str::to_owned), ..self }
    }
}

pub(crate) fn run(_: &DoctorArguments, context: &Context) -> Result<(), Failure> {
    let mut findings = limits::examine();
    findings.extend(objects::examine(context)?);
    findings.extend(channels::examine(context)?);
    for finding in &findings {
        match context.json {
            true => print_json(&document(finding))?,
            false => print(finding)?,
        }
    }
    let problems = findings.iter().filter(|finding| finding.severity == Severity::Problem).count();
    if !context.json {
        summary(problems)?;
    }
    match problems {
        0 => Ok(()),
        _ => Err(Failure::silent(ExitStatus::Failed)),
    }
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
        0 => writeln!(output, "{good}all is well{good:#}"),
        1 => writeln!(output, "1 problem"),
        problems => writeln!(output, "{problems} problems"),
    }
}

/// The keys are documented above.
fn document(finding: &Finding) -> Value {
    json!({
        "severity": match finding.severity { Severity::Problem => "problem", Severity::Note => "note" },
        "check": finding.check,
        "namespace": finding.namespace,
        "channel": finding.channel,
        "what": finding.what,
        "advice": finding.advice,
    })
}
