//! `tearless save` and `tearless restore`: channels in a file, across a reboot.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use tearless::saved::{RestoreOutcome, RestorePolicy, Restored, Saved, SavedChannel};
use tearless::{Namespace, error::SavedError, hub::Pattern};

use crate::blocks;
use crate::context::{AccessArguments, Context};
use crate::error::{ExitStatus, Failure, for_shells};
use crate::output::{
    ago, bytes, clock, print_all_json, print_json, printable, seconds, stderr, style, timestamp,
};
use crate::resolve;

/// Saves the channels of a namespace to a file, with checksums: for a reboot, or a bug report
#[derive(Debug, Args)]
#[command(after_help = "\
Saves each channel with its latest states and everything that `tearless postmortem` and `ls` show of it. Workers \
notice nothing. The file is replaced as a whole, so after a kill, a loss of power or a full disk it is the former one \
or the new one. Only its user may read it. A symbolic link at FILE is replaced. Blocks are not saved.

Examples:
  tearless save /var/lib/fleet/channels.saved
  tearless save report.saved 'worker-*'
  tearless postmortem worker-7 --from report.saved
  tearless restore /var/lib/fleet/channels.saved      after the boot

Keys of --json:
  file, channels and states (how many), bytes, unsaved (channels that could not be saved: channel, reason)

Exit codes: 1 the file can't be written, or no channel can be read, and the former one is as it was (if only its directory can't be flushed, the new \
one is there); or a channel could not be saved, and the others are; 3 no such namespace or channel")]
pub(crate) struct SaveArguments {
    /// The file
    #[arg(value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    /// Only these channels; `*` matches any characters, `?` matches one
    #[arg(value_name = "CHANNEL")]
    channels: Vec<String>,
}

/// Restores channels from a file of `tearless save`, for their next writers and for readers
#[derive(Debug, Args)]
#[command(after_help = "\
The whole file is checked first. Each channel is as if its writer had closed it and left its states: readers get them, \
and the next writer continues with the next number. A channel with a living writer stays as it is, and so does a state \
that a writer left, unless --overwrite is given. The namespace is --namespace, $TEARLESS_NAMESPACE, or that of the file.

Examples:
  tearless restore /var/lib/fleet/channels.saved
  tearless restore report.saved --dry-run
  tearless -n copy restore report.saved worker-7      to look at it beside the fleet

Keys of --json, one object a channel; null: not known, or does not apply:
  channel, outcome (restored, in-use: a process writes it; exists: it has a state; empty: nothing was published; failed), \
publication, age_seconds (of that state), pid (of the process that writes it), error

Exit codes: 0, also if channels that are there are left alone; 1 a channel could not be restored, the file is not whole, \
or a CHANNEL that was named exists; 3 no such CHANNEL in the file; 6 a process writes a CHANNEL that was named")]
pub(crate) struct RestoreArguments {
    /// The file
    #[arg(value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    /// Only these channels; `*` matches any characters, `?` matches one
    #[arg(value_name = "CHANNEL")]
    channels: Vec<String>,
    /// Prints what would be restored, and restores nothing
    #[arg(long)]
    dry_run: bool,
    /// Also replaces the states of writers that have ended
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    access: AccessArguments,
}

fn patterns(channels: &[String]) -> Vec<Pattern> {
    channels.iter().map(Pattern::new).collect()
}

pub(crate) fn save(arguments: &SaveArguments, context: &Context) -> Result<(), Failure> {
    let namespace = context.namespace()?;
    // Says what there is instead, where the library only says that there is no channel.
    resolve::channels(&namespace, &context.directory)?;
    let saved = namespace.save(&arguments.file, &patterns(&arguments.channels));
    let report = saved.map_err(|error| unsaved(&namespace, error))?;
    let file = arguments.file.to_string_lossy();
    if context.json {
        let unsaved = report.unsaved.iter().map(|it| json!({ "channel": it.channel, "reason": it.reason }));
        print_json(&json!({
            "file": file, "channels": report.channels, "states": report.states, "bytes": report.bytes,
            "unsaved": unsaved.collect::<Vec<_>>(),
        }))?;
    } else {
        let counted = |count, what| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let (channels, states) = (counted(report.channels, "channel"), counted(report.states, "state"));
        let text = format!("saved {channels} with {states} to {file}, {}", bytes(report.bytes));
        writeln!(io::stdout().lock(), "{}", printable(&text))?;
    }
    match report.unsaved.is_empty() {
        true => Ok(()),
        false => {
            for unsaved in report.unsaved.iter().filter(|_| !context.json) {
                let bad = style::BAD;
                let text = format!("channel {:?}: {}", unsaved.channel, unsaved.reason);
                stderr(format_args!("{bad}not saved:{bad:#} {}", printable(&text)));
            }
            Err(Failure::silent(ExitStatus::Failed))
        }
    }
}

fn unsaved(namespace: &Namespace, error: SavedError) -> Failure {
    let is_block = match &error {
        SavedError::NoSuchChannel { pattern, .. } => {
            blocks::matching(namespace, Some(&Pattern::new(pattern))).is_ok_and(|blocks| !blocks.is_empty())
        }
        _ => false,
    };
    let failure = Failure::from(error);
    if is_block { failure.hint("a block matches: blocks are not saved") } else { failure }
}

pub(crate) fn restore(arguments: &RestoreArguments, context: &Context) -> Result<(), Failure> {
    let saved = Saved::open(&arguments.file)?;
    let namespace = context.namespace_or(&saved.origin().namespace, &arguments.access)?;
    let policy = RestorePolicy::default().overwrite(arguments.overwrite).dry_run(arguments.dry_run);
    let report = namespace.restore(&saved, &patterns(&arguments.channels), policy)?;
    if context.json {
        print_all_json(report.channels.iter().map(document))?;
    } else {
        for restored in &report.channels {
            let verb = match restored.outcome {
                RestoreOutcome::Restored { .. } if arguments.dry_run => "would restore ",
                RestoreOutcome::Restored { .. } => "restored ",
                _ => "",
            };
            let text = for_shells(&restored.to_string());
            writeln!(io::stdout().lock(), "{verb}{}", printable(&text))?;
        }
    }
    let outcomes = || report.channels.iter().map(|it| &it.outcome);
    let is_named = !arguments.channels.is_empty();
    if outcomes().any(|it| matches!(it, RestoreOutcome::Failed(_))) {
        return Err(Failure::silent(ExitStatus::Failed));
    }
    if is_named && outcomes().any(|it| matches!(it, RestoreOutcome::InUse { .. })) {
        return Err(Failure::silent(ExitStatus::Owned));
    }
    if is_named && outcomes().any(|it| matches!(it, RestoreOutcome::Exists)) {
        return Err(Failure::new(ExitStatus::Failed, "a channel that was named has a state")
            .hint("--overwrite replaces it"));
    }
    Ok(())
}

/// The help documents the keys.
fn document(restored: &Restored) -> Value {
    let (word, publication, age, pid, error) = match &restored.outcome {
        RestoreOutcome::Restored { publication, age } => ("restored", Some(*publication), *age, None, None),
        RestoreOutcome::InUse { pid } => ("in-use", None, None, Some(*pid), None),
        RestoreOutcome::Exists => ("exists", None, None, None, None),
        RestoreOutcome::Empty => ("empty", None, None, None, None),
        outcome => ("failed", None, None, None, Some(outcome.to_string())),
    };
    json!({
        "channel": restored.channel, "outcome": word, "publication": publication,
        "age_seconds": seconds(age), "pid": pid, "error": error,
    })
}

/// The channel of this name in a file.
pub(super) fn channel<'a>(saved: &'a Saved, name: &str) -> Result<&'a SavedChannel, Failure> {
    let missing = || {
        let file = saved.path().display();
        let failure = Failure::new(ExitStatus::NotFound, format!("there is no channel {name:?} in {file}"));
        let names: Vec<_> = saved.channels().iter().map(SavedChannel::name).collect();
        match saved.unsaved().iter().find(|it| it.channel == name) {
            Some(unsaved) => failure.hint(format!("it could not be saved: {}", unsaved.reason)),
            None => failure.hint(
                resolve::similar(name, &names)
                    .unwrap_or_else(|| format!("it has: {}", resolve::listed(&names))),
            ),
        }
    };
    saved.channel(name).ok_or_else(missing)
}

/// When and where a file was saved, in a sentence.
pub(super) fn origin(saved: &Saved) -> String {
    let it = saved.origin();
    let at = Some(it.saved_at);
    let (time, age) = (timestamp(at).unwrap_or_else(|| clock(at)), ago(it.saved_at.elapsed().ok()));
    format!(
        "{time} ({age}), by process {} of user {} on {:?}: ages are of that time",
        it.pid, it.user, it.host
    )
}
