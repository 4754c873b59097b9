//! `tearless gc`: removes what processes that are gone have left.

use std::io::{self, Write};

use clap::Args;
use serde_json::{Value, json};
use tearless::{
    Namespace,
    cleanup::{CleanupReport, RemovalReason, Removed, Retention},
    inspect::{ChannelInfo, WriterState},
};

use crate::context::Context;
use crate::error::{ExitStatus, Failure};
use crate::health;
use crate::output::{ago, print_error, print_json, printable, style};
use crate::resolve;

/// Removes what processes that are gone have left; never anything that lives
#[derive(Debug, Args)]
#[command(after_help = "\
Last states of dead and of lingering writers are kept unless --keep says otherwise: only what nobody can use \
any more is removed. How many are kept is told on standard error, though not with --json.

Examples:
  tearless -n fleet gc --dry-run
  tearless -n fleet gc --keep 1day      also last states that are older than a day
  tearless -n fleet gc --keep nothing   also all last states

Keys of --json, one object for each thing that is removed:
  channel (null: objects without a channel), pid (0: not known), age_seconds
  (null: not known), reason (dead, lingered, half-made, half-removed,
  orphaned, nameless: an entry of the list, all of whose names are gone),
  objects (names in /dev/shm)

Exit codes: 0, also when there is nothing to remove; 1 something could not be removed; 3 no such namespace")]
pub(crate) struct GcArguments {
    /// Says what would be removed, and removes nothing
    #[arg(long)]
    dry_run: bool,
    /// For how long last states of writers that are gone are kept: all, nothing, or a time such as 90s, 2h,
    /// 1day
    #[arg(long, value_name = "TIME", default_value = "all", value_parser = keep)]
    keep: Retention,
}

fn keep(text: &str) -> Result<Retention, String> {
    match text {
        "all" => Ok(Retention::UntilReplaced),
        "nothing" => Ok(Retention::Nothing),
        time => humantime::parse_duration(time)
            .map(Retention::For)
            .map_err(|error| format!("{error}; say all, nothing, or a time such as 90s, 2h, 1day")),
    }
}

pub(crate) fn run(arguments: &GcArguments, context: &Context) -> Result<(), Failure> {
    let namespace = context.namespace()?;
    // Before the cleaning, with which the namespace may end.
    let missing = resolve::no_such_namespace(&namespace, &context.trust);
    let ghosts = ghosts(&namespace);
    let cleaned = match arguments.dry_run {
        true => namespace.would_clean(arguments.keep)?,
        false => namespace.clean(arguments.keep)?,
    };
    let struck = match arguments.dry_run {
        true => health::nameless(&namespace, ghosts).unwrap_or_default(),
        false => without_those_entered(ghosts, &namespace),
    };
    if cleaned.removed.is_empty() && cleaned.failed.is_empty() && struck.is_empty() {
        missing.map_or(Ok(()), Err)?;
        if !context.json {
            say("nothing to remove")?;
        }
    }
    match context.json {
        true => print_documents(&cleaned, &struck)?,
        false => {
            print_sentences(&cleaned, &struck, arguments)?;
            tell_of_kept(&namespace, &cleaned, arguments);
        }
    }
    failures(&cleaned)
}

fn print_documents(cleaned: &CleanupReport, struck: &[ChannelInfo]) -> io::Result<()> {
    let mut documents = cleaned.removed.iter().map(document).chain(struck.iter().map(struck_document));
    documents.try_for_each(|document| print_json(&document))
}

fn print_sentences(
    cleaned: &CleanupReport,
    struck: &[ChannelInfo],
    arguments: &GcArguments,
) -> io::Result<()> {
    let (removing, striking) = match arguments.dry_run {
        true => ("would remove", "would strike"),
        false => ("removed", "struck"),
    };
    let removed = cleaned.removed.iter().map(|removed| format!("{removing} {}", sentence(removed)));
    let struck = struck.iter().map(|info| format!("{striking} {}", struck_sentence(info)));
    removed.chain(struck).try_for_each(|line| say(&line))
}

/// Who expects a last state to go must be told that it was kept, and how it goes.
fn tell_of_kept(namespace: &Namespace, cleaned: &CleanupReport, arguments: &GcArguments) {
    if arguments.keep == Retention::Nothing {
        return;
    }
    let Ok(all) = namespace.would_clean(Retention::Nothing) else { return };
    let is_removed = |last: &Removed| cleaned.removed.iter().any(|removed| removed.channel == last.channel);
    let is_last = |removed: &Removed| matches!(removed.reason, RemovalReason::Dead | RemovalReason::Lingered);
    let kept = all.removed.iter().filter(|removed| is_last(removed) && !is_removed(removed)).count();
    let what = if kept == 1 { "last state of a writer that is" } else { "last states of writers that are" };
    if kept > 0 {
        print_error(format_args!(
            "kept {kept} {what} gone: --keep TIME removes those that are older, --keep nothing all of them"
        ));
    }
}

/// Entries of dead writers whose channels' names were removed by hand. If the list can't be read, cleaning says why.
fn ghosts(namespace: &Namespace) -> Vec<ChannelInfo> {
    let mut entered = namespace.channels().unwrap_or_default();
    entered
        .retain(|info| info.writer_state() == WriterState::Dead && health::is_missing(namespace, &info.name));
    entered
}

fn without_those_entered(mut entries: Vec<ChannelInfo>, namespace: &Namespace) -> Vec<ChannelInfo> {
    if !entries.is_empty()
        && let Ok(entered) = namespace.channels()
    {
        entries.retain(|info| !entered.contains(info));
    }
    entries
}

fn struck_sentence(info: &ChannelInfo) -> String {
    let (name, pid) = (printable(&info.name), info.writer_pid);
    format!("{name} from the list: its writer, process {pid}, is dead, and its names were removed by hand")
}

/// The keys are those of what is removed.
fn struck_document(info: &ChannelInfo) -> Value {
    json!({
        "channel": info.name,
        "pid": info.writer_pid,
        "age_seconds": null,
        "reason": "nameless",
        "objects": [],
    })
}

fn say(line: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}")
}

fn failures(cleaned: &CleanupReport) -> Result<(), Failure> {
    let odd = style::ODD;
    for error in &cleaned.failed {
        print_error(format_args!("{odd}left alone:{odd:#} {}", printable(&error.to_string())));
    }
    match cleaned.failed.len() {
        0 => Ok(()),
        _ => Err(Failure::silent(ExitStatus::Failed)),
    }
}

fn sentence(removed: &Removed) -> String {
    let what = match &removed.channel {
        Some(channel) => format!("channel {}", printable(channel)),
        None => "objects without a channel".into(),
    };
    let age = removed.age.map(|age| format!(", last published {}", ago(Some(age)))).unwrap_or_default();
    let why = match removed.reason {
        RemovalReason::Dead => format!("its writer, process {}, is dead", removed.pid),
        RemovalReason::Lingered => {
            format!("its writer, process {}, closed it and left the last state", removed.pid)
        }
        RemovalReason::HalfMade => "its creator died before it was whole".into(),
        RemovalReason::HalfRemoved => "who removed it died meanwhile, or a part was removed by hand".into(),
        RemovalReason::Orphaned => "no channel refers to them".into(),
        reason => format!("{reason:?}"),
    };
    format!("{what}: {why}{age} ({})", printable(&removed.objects.join(", ")))
}

fn document(removed: &Removed) -> Value {
    let reason = match removed.reason {
        RemovalReason::Dead => "dead",
        RemovalReason::Lingered => "lingered",
        RemovalReason::HalfMade => "half-made",
        RemovalReason::HalfRemoved => "half-removed",
        RemovalReason::Orphaned => "orphaned",
        _ => "other",
    };
    json!({
        "channel": removed.channel,
        "pid": removed.pid,
        "age_seconds": removed.age.map(|age| age.as_secs_f64()),
        "reason": reason,
        "objects": removed.objects,
    })
}
