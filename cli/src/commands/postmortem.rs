//! `tearless postmortem`: how a worker ended, and what it did last.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::{Value, json};
use tearless::{
    hub::Health,
    inspect::{ChannelState, Inspection},
    saved::Saved,
};

use super::history::{self, Past};
use super::saved;
use crate::context::Context;
use crate::error::Failure;
use crate::health;
use crate::output::{Fields, ago, bytes, clock, duration, print_json, seconds, style, timestamp};
use crate::resolve;
use crate::states::States;

/// Shows how and when a worker ended, and what it did last
#[derive(Debug, Args)]
#[command(after_help = "\
The last states of a killed worker stay readable until a successor takes the channel over. Its publications and \
heartbeats (WriterBuilder::heartbeat_interval) bound the time of its death. A worker that handles SIGTERM closes the \
channel or exits, and is not taken for a crashed one. Times of day are UTC, by the clock as it is set now.

Examples:
  tearless postmortem worker-7
  tearless postmortem worker-7 --last 10
  tearless postmortem worker-7 --json | jq .died_at_most_seconds_ago
  tearless postmortem worker-7 --from report.saved

Keys of --json; null: unknown:
  channel, namespace, writer (alive, stalled, stopped, dead, exited, closed, unknown, unreachable), origin (of a \
mirrored channel: host, publication, instance, incarnation, pid, news_age_seconds; else null), pid, incarnation, verdict \
(a sentence), ended_seconds (since it closed the channel or exited), last_sign_seconds, died_at_most_seconds_ago \
and died_at_least_seconds_ago (of a dead writer), published_at (UTC), unfinished (number of the publication that \
its death interrupted), publication (number of the last one), saved_at (UTC, of --from: ages are of that time), states (as `tearless history --json` prints them, \
newest first)

Exit codes: 0, also if the writer lives; 3 no such channel")]
pub(crate) struct PostmortemArguments {
    /// The channel
    channel: String,
    /// How many of the latest states to print, as far as the channel holds them
    #[arg(short, long, value_name = "STATES", default_value_t = 3)]
    last: usize,
    /// Reads the channel from a file of `tearless save`, not from shared memory
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    from: Option<PathBuf>,
}

pub(crate) fn run(arguments: &PostmortemArguments, context: &Context) -> Result<(), Failure> {
    if let Some(file) = &arguments.from {
        let saved = Saved::open(file)?;
        let channel = saved::channel(&saved, &arguments.channel)?;
        let past = history::past_of_saved(&saved, channel, arguments.last);
        return match context.json {
            true => Ok(print_json(&document(&channel.inspection, &past, Some(saved.origin().saved_at)))?),
            false => print(&channel.inspection, &past, Some(&saved)),
        };
    }
    let namespace = context.namespace()?;
    let inspection = health::inspect(&namespace, &arguments.channel)
        .map_err(|error| resolve::unattached(&namespace, error, &context.directory))?;
    // The report on the writer does not need its states, which may be unreadable.
    let states = States::attach(&namespace, &arguments.channel, Duration::ZERO, context);
    let past = states.map(|mut states| history::past(&mut states, None, arguments.last));
    match context.json {
        true => Ok(print_json(&document(&inspection, past.as_deref().unwrap_or_default(), None))?),
        false => print(&inspection, &past?, None),
    }
}

fn print(inspection: &Inspection, past: &[Past], from: Option<&Saved>) -> Result<(), Failure> {
    let mut fields = Fields::default();
    fields.styled("channel", inspection.channel.as_str(), style::STRONG);
    if let Some(saved) = from {
        fields.add("saved", saved::origin(saved));
    }
    let Inspection { writer_pid, incarnation, origin, .. } = inspection;
    let process = health::process(*writer_pid, *origin);
    let incarnation = origin.map_or(*incarnation, |origin| origin.incarnation);
    fields.add("writer", format!("{process} (number {incarnation} of this channel)"));
    fields.styled("verdict", verdict(inspection), health::style(Some(inspection.health())));
    if let Some((at_most, at_least)) = death(inspection) {
        fields.add("died", death_text(at_most, at_least));
    }
    if let Some(latest) = health::latest(inspection) {
        let (age, at, size) = (ago(latest.age), clock(latest.published_at), bytes(latest.len));
        fields.add("last state", format!("publication {}, {age} ({at}), {size}", latest.publication));
    }
    if inspection.heartbeat_age.is_some() {
        fields.add("heartbeat", ago(inspection.heartbeat_age));
    }
    if let Some(rate) = health::rate(inspection) {
        fields.add("rate", format!("{rate:.1} publications a second, in the latest states"));
    }
    if let Some(unfinished) = inspection.unfinished() {
        let text = format!("publication {unfinished} was interrupted: readers get the whole one before it");
        fields.styled("unfinished", text, style::BAD);
    }
    fields.print()?;
    if past.is_empty() {
        return Ok(());
    }
    writeln!(io::stdout().lock())?;
    Ok(history::table(past).print()?)
}

/// The state of the writer in a sentence.
fn verdict(inspection: &Inspection) -> String {
    let verdict = match (inspection.health(), inspection.state) {
        (Health::Dead { .. }, _) => {
            "is dead and did not close the channel: it was killed, or it crashed".into()
        }
        (Health::Exited { since }, _) => {
            format!("exited {} without closing the channel: it was not killed", ago(since))
        }
        (Health::Closed, ChannelState::Lingering) => {
            format!("closed the channel {}, and left its last state on purpose", ago(inspection.ended_ago))
        }
        (Health::Closed, _) => "closed the channel".into(),
        (Health::Stalled { is_stopped: true, .. }, _) => format!("is {}", health::STOPPED),
        (Health::Unreachable { since }, _) => {
            format!(
                "can't be seen from here: the last news of its host came {}, and it may be well; see whether the \
                 link is up, and `tearless mirror` is at work on both hosts",
                ago(since)
            )
        }
        (Health::Unknown { .. }, _) if inspection.origin.is_some() => {
            "is not known yet: its host has not told of it".into()
        }
        (Health::Unknown { .. }, _) => {
            "can't be seen from here, and the channel has no name: its state is unknown".into()
        }
        _ => match health::breach(inspection) {
            Some(breach) => format!("is alive, but {breach}"),
            None => "is alive".into(),
        },
    };
    format!("{} {verdict}", health::process(inspection.writer_pid, inspection.origin))
}

/// Bounds of the time since a writer died: at most, and at least.
fn death(inspection: &Inspection) -> Option<(Duration, Option<Duration>)> {
    let Health::Dead { since: Some(at_most) } = inspection.health() else { return None };
    let promised = inspection.heartbeat_age.and(inspection.heartbeat_interval);
    // The machine may have slept during the last interval.
    let awake = at_most.saturating_sub(inspection.slept);
    Some((at_most, promised.map(|interval| awake.saturating_sub(interval))))
}

fn death_text(at_most: Duration, at_least: Option<Duration>) -> String {
    let max = duration(at_most);
    match at_least.filter(|min| !min.is_zero()).map(duration) {
        Some(min) => format!("between {max} and {min} ago, unless it hung before that"),
        None => format!("at most {max} ago, after its last sign of life"),
    }
}

/// The help documents the keys.
fn document(inspection: &Inspection, past: &[Past], saved_at: Option<SystemTime>) -> Value {
    let death = death(inspection);
    json!({
        "channel": inspection.channel, "namespace": inspection.namespace,
        "writer": health::word(Some(inspection.health())), "origin": health::origin_of(inspection),
        "pid": inspection.writer_pid,
        "incarnation": inspection.incarnation, "verdict": verdict(inspection),
        "ended_seconds": seconds(inspection.ended_ago), "last_sign_seconds": seconds(inspection.silent()),
        "died_at_most_seconds_ago": seconds(death.map(|(at_most, _)| at_most)),
        "died_at_least_seconds_ago": seconds(death.and_then(|(_, at_least)| at_least)),
        "published_at": timestamp(health::latest(inspection).and_then(|slot| slot.published_at)),
        "unfinished": inspection.unfinished(), "publication": inspection.publication,
        "saved_at": timestamp(saved_at),
        "states": past.iter().map(Past::document).collect::<Vec<_>>(),
    })
}
