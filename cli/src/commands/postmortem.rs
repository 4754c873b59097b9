//! `tearless postmortem`: what a worker did last.

use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tearless::inspect::{ChannelState, Inspection, WriterState};

use super::history::{self, Past};
use crate::context::Context;
use crate::error::Failure;
use crate::health;
use crate::output::{Fields, ago, bytes, duration, print_json, style};
use crate::resolve;
use crate::states::States;

/// Tells what became of a worker, when, and what it did last
#[derive(Debug, Args)]
#[command(after_help = "\
What a worker published last stays readable after it was killed, until its successor goes on with the \
channel. When it died is known as well as it gave signs of life: by publications, and by \
WriterBuilder::heartbeat_interval.

Examples:
  tearless postmortem worker-7
  tearless postmortem worker-7 --last 10
  tearless postmortem worker-7 --json | jq .died_at_most_seconds_ago

Keys of --json; null is what is not known:
  channel, namespace, writer (alive, stalled, stopped, dead, closed,
  unknown), pid, incarnation, verdict (a sentence), last_sign_seconds,
  died_at_most_seconds_ago and died_at_least_seconds_ago (of a dead writer),
  unfinished (number of the publication that it was in the middle of),
  published, states (as `tearless history --json` has them, newest first)

Exit codes: 0, also if the writer lives; 3 no such channel")]
pub(crate) struct PostmortemArguments {
    /// The channel
    channel: String,
    /// So many of the last states, as far as the channel holds them
    #[arg(short, long, value_name = "STATES", default_value_t = 3)]
    last: usize,
}

pub(crate) fn run(arguments: &PostmortemArguments, context: &Context) -> Result<(), Failure> {
    let namespace = context.namespace()?;
    let inspection = health::inspect(&namespace, &arguments.channel)
        .map_err(|error| resolve::unattached(&namespace, error, &context.trust))?;
    // What is told of the writer does not depend on whether its states can still be mapped.
    let states = States::attach(&namespace, &arguments.channel, Duration::ZERO, context);
    let past = states.map(|mut states| history::past(&mut states, None, arguments.last));
    match context.json {
        true => Ok(print_json(&document(&inspection, past.as_deref().unwrap_or_default()))?),
        false => print(&inspection, &past?),
    }
}

fn print(inspection: &Inspection, past: &[Past]) -> Result<(), Failure> {
    let mut fields = Fields::default();
    fields.styled("channel", inspection.channel.as_str(), style::STRONG);
    fields.add(
        "writer",
        format!("process {} (number {} of this channel)", inspection.writer_pid, inspection.incarnation),
    );
    fields.styled("verdict", verdict(inspection), health::writer_style(inspection));
    if let Some(when) = death(inspection) {
        fields.add("died", when.text());
    }
    if let Some(latest) = health::latest(inspection) {
        let (age, size) = (ago(latest.age), bytes(latest.len));
        fields.add("last state", format!("publication {}, {age}, {size}", latest.publication));
    }
    if inspection.heartbeat.is_some() {
        fields.add("heartbeat", ago(inspection.heartbeat));
    }
    if let Some(rate) = health::rate(inspection) {
        fields.add("rate", format!("{rate:.1} publications a second, towards the end"));
    }
    if let Some(unfinished) = inspection.unfinished() {
        let text = format!("in the middle of publication {unfinished}: readers get the one before it, whole");
        fields.styled("unfinished", text, style::BAD);
    }
    fields.print()?;
    if past.is_empty() {
        return Ok(());
    }
    writeln!(io::stdout().lock())?;
    Ok(history::table(past).print()?)
}

/// What became of the writer, in a sentence.
fn verdict(inspection: &Inspection) -> String {
    let pid = inspection.writer_pid;
    match (inspection.writer_state, inspection.state) {
        (WriterState::Dead, _) => {
            format!(
                "process {pid} is dead, and did not close the channel: it was killed, it crashed, or it exited at once"
            )
        }
        (WriterState::Closed, ChannelState::Lingering) => {
            format!("process {pid} closed the channel in order, and left its last state on purpose")
        }
        (WriterState::Closed, _) => format!("process {pid} closed the channel in order"),
        (WriterState::Stopped, _) => format!("process {pid} lives, but is stopped by a signal or a debugger"),
        (WriterState::Alive, _) => match health::stall(inspection) {
            Some(stall) => format!("process {pid} lives, but {stall}"),
            None => format!("process {pid} lives"),
        },
        _ => format!("process {pid} is in another PID namespace: nothing is known of it"),
    }
}

/// Between which times a dead writer died, as ages.
struct Death {
    at_most: Duration,
    at_least: Option<Duration>,
}

impl Death {
    fn text(&self) -> String {
        match self.at_least.filter(|min| !min.is_zero()) {
            Some(min) => {
                format!("between {} and {} ago, unless it hung before", duration(self.at_most), duration(min))
            }
            None => format!("at most {} ago: that was its last sign of life", duration(self.at_most)),
        }
    }
}

fn death(inspection: &Inspection) -> Option<Death> {
    if inspection.writer_state != WriterState::Dead {
        return None;
    }
    let at_most = health::last_sign(inspection)?;
    let promised = inspection.heartbeat.and(inspection.heartbeat_interval);
    Some(Death { at_most, at_least: promised.map(|interval| at_most.saturating_sub(interval)) })
}

/// The keys are documented above.
fn document(inspection: &Inspection, past: &[Past]) -> Value {
    let death = death(inspection);
    let seconds = |age: Option<Duration>| age.map(|age| age.as_secs_f64());
    json!({
        "channel": inspection.channel,
        "namespace": inspection.namespace,
        "writer": health::writer_word(inspection),
        "pid": inspection.writer_pid,
        "incarnation": inspection.incarnation,
        "verdict": verdict(inspection),
        "last_sign_seconds": seconds(health::last_sign(inspection)),
        "died_at_most_seconds_ago": seconds(death.as_ref().map(|death| death.at_most)),
        "died_at_least_seconds_ago": seconds(death.as_ref().and_then(|death| death.at_least)),
        "unfinished": inspection.unfinished(),
        "published": inspection.published,
        "states": past.iter().map(Past::document).collect::<Vec<_>>(),
    })
}
