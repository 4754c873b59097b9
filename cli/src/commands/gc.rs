//! `tearless gc`: removes what ended processes have left in shared memory.

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
use crate::output::{ago, print_json, printable, stderr, style};
use crate::resolve;

/// Removes what ended processes have left in shared memory; never a live channel
#[derive(Debug, Args)]
#[command(after_help = "\
Removes objects that no process can use any more. The last states of dead and of lingering writers stay, unless \
--keep limits them; their number is printed on standard error, but not with --json.

Examples:
  tearless -n fleet gc --dry-run
  tearless -n fleet gc --keep 1day      also last states older than a day
  tearless -n fleet gc --keep nothing   also all last states

Keys of --json, one object for each removal:
  channel (null: objects without a channel), pid (0: unknown), age_seconds
  (null: unknown), reason (dead, lingered, half-made, half-removed, orphaned,
  nameless: a registry entry whose objects were all unlinked), objects (names
  in /dev/shm)

Exit codes: 0, also if there is nothing to remove; 1 an object could not be removed; 3 no such namespace")]
pub(crate) struct GcArguments {
    /// Prints what would be removed, and removes nothing
    #[arg(long)]
    dry_run: bool,
    /// How long the last states of ended writers are kept: all, nothing, or a time such as 90s, 2h,
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
            .map_err(|error| format!("{error}; give all, nothing, or a time such as 90s, 2h, 1day")),
    }
}

pub(crate) fn run(arguments: &GcArguments, context: &Context) -> Result<(), Failure> {
    let namespace = context.namespace()?;
    // Before the cleanup, which may remove the last object of the namespace.
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
            print_line("nothing to remove")?;
        }
    }
    match context.json {
        true => print_documents(&cleaned, &struck)?,
        false => {
            print_sentences(&cleaned, &struck, arguments)?;
            report_kept(&namespace, &cleaned, arguments);
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
        true => ("would remove", "would remove the entry of"),
        false => ("removed", "removed the entry of"),
    };
    let removed = cleaned.removed.iter().map(|removed| format!("{removing} {}", sentence(removed)));
    let struck = struck.iter().map(|info| format!("{striking} {}", struck_sentence(info)));
    removed.chain(struck).try_for_each(|line| print_line(&line))
}

/// Reports how many last states were kept, and how to remove them.
fn report_kept(namespace: &Namespace, cleaned: &CleanupReport, arguments: &GcArguments) {
    if arguments.keep == Retention::Nothing {
        return;
    }
    let Ok(all) = namespace.would_clean(Retention::Nothing) else { return };
    let is_removed = |last: &Removed| cleaned.removed.iter().any(|removed| removed.channel == last.channel);
    let is_last = |removed: &Removed| {
        matches!(removed.reason, RemovalReason::Dead | RemovalReason::Exited | RemovalReason::Lingered)
    };
    let kept = all.removed.iter().filter(|removed| is_last(removed) && !is_removed(removed)).count();
    let what = if kept == 1 { "last state of an ended writer" } else { "last states of ended writers" };
    if kept > 0 {
        stderr(format_args!(
            "kept {kept} {what}: --keep TIME removes older ones, --keep nothing removes all of them"
        ));
    }
}

/// Registry entries of dead writers whose objects were unlinked by hand. If the registry can't be
/// read, the cleanup itself reports why.
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
    format!("{name}: its writer, process {pid}, is dead, and its objects were unlinked by hand")
}

/// With the same keys as a removal.
fn struck_document(info: &ChannelInfo) -> Value {
    json!({
        "channel": info.name,
        "pid": info.writer_pid,
        "age_seconds": null,
        "reason": "nameless",
        "objects": [],
    })
}

fn print_line(line: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}")
}

fn failures(cleaned: &CleanupReport) -> Result<(), Failure> {
    let odd = style::ODD;
    for error in &cleaned.failed {
        stderr(format_args!("{odd}not removed:{odd:#} {}", printable(&error.to_string())));
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
        RemovalReason::Exited => {
            format!("its writer, process {}, exited without closing it", removed.pid)
        }
        RemovalReason::Lingered => {
            format!("its writer, process {}, closed it and left the last state", removed.pid)
        }
        RemovalReason::HalfMade => "its creator died before it was complete".into(),
        RemovalReason::HalfRemoved => {
            "the process that removed it died, or a part was unlinked by hand".into()
        }
        RemovalReason::Orphaned => "no channel refers to them".into(),
        reason => format!("{reason:?}"),
    };
    format!("{what}: {why}{age} ({})", printable(&removed.objects.join(", ")))
}

fn document(removed: &Removed) -> Value {
    let reason = match removed.reason {
        RemovalReason::Dead => "dead",
        RemovalReason::Exited => "exited",
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
