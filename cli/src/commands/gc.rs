//! `tearless gc`: removes what ended processes have left in shared memory.

use std::collections::BTreeMap;
use std::io::{self, Write};

use clap::Args;
use serde_json::{Value, json};
use tearless::{
    Namespace,
    cleanup::{CleanupReport, RemovalReason, Removed, Retention},
    error::{AttachError, ObjectError},
    hub::Health,
    inspect::{ChannelInfo, ChannelState, Inspection, WriterState},
};

use crate::blocks;
use crate::context::Context;
use crate::error::{ExitStatus, Failure, for_shells};
use crate::health;
use crate::output::{ago, print_all_json, printable, seconds, stderr, style};
use crate::resolve;

/// Removes what ended processes have left in shared memory; never a live channel or block
#[derive(Debug, Args)]
#[command(visible_alias = "rm")]
#[command(after_help = "\
Removes objects that no process can use any more. The last states of dead and of lingering writers stay, unless \
--keep limits them; their number is printed on standard error, but not with --json. Blocks of dead owners do not stay. \
What readers have mapped, views too, keeps its memory until they let go of it.

Examples:
  tearless -n fleet gc --dry-run
  tearless -n fleet gc --keep 1day      also last states older than a day
  tearless -n fleet gc --keep nothing   also all last states
  tearless -n fleet gc worker-7         only this channel or block, with its last state

Keys of --json, one object for each removal:
  channel (null: objects without a channel), block (null: no block), pid (0: unknown), age_seconds (null: unknown), reason (dead, exited, \
lingered, half-made, half-removed, orphaned, nameless: a registry entry whose objects were all unlinked), \
objects (names in the directory)

Exit codes: 0, also if there is nothing to remove; 1 an object could not be removed, or is another user's; 3 no such namespace or \
NAME; 6 a process writes or owns a NAME: none is removed")]
pub(crate) struct GcArguments {
    /// Removes only these channels, with their last states, and the blocks of these names
    #[arg(value_name = "NAME", conflicts_with = "retention")]
    channels: Vec<String>,
    /// Prints what would be removed, and removes nothing
    #[arg(long)]
    dry_run: bool,
    /// How long the last states of ended writers are kept: all, nothing, or a time such as 90s, 2h,
    /// 1day
    #[arg(long = "keep", value_name = "TIME", default_value = "all", value_parser = retention)]
    retention: Retention,
}

fn retention(text: &str) -> Result<Retention, String> {
    match text {
        "all" => Ok(Retention::UntilReplaced),
        "nothing" => Ok(Retention::Nothing),
        time => humantime::parse_duration(time)
            .map(Retention::For)
            .map_err(|error| format!("{error}; give all, nothing, or a time such as 90s, 2h, 1day")),
    }
}

/// Something that was removed, or would be: for JSON, and for people.
type Removal = (Value, String);

fn removal(removed: &Removed) -> Removal {
    let (what, role) = match (&removed.channel, &removed.block) {
        (Some(channel), _) => (format!("channel {}", printable(channel)), "writer"),
        (None, Some(block)) => (format!("block {}", printable(block)), "owner"),
        (None, None) => ("objects without a channel".into(), "writer"),
    };
    let writer = format!("its {role}, process {},", removed.pid);
    let (reason, why) = match removed.reason {
        RemovalReason::Dead => ("dead", format!("{writer} is dead")),
        RemovalReason::Exited => ("exited", format!("{writer} exited without closing it")),
        RemovalReason::Lingered => ("lingered", format!("{writer} closed it and left the last state")),
        RemovalReason::HalfMade => ("half-made", "its creator died before it was complete".into()),
        RemovalReason::HalfRemoved => {
            ("half-removed", "the process that removed it died, or a part was unlinked by hand".into())
        }
        RemovalReason::Orphaned => ("orphaned", "no channel refers to them".into()),
        RemovalReason::OtherVersion => {
            ("other-version", "another version of tearless made them, and no process uses them".into())
        }
        reason => ("other", format!("{reason:?}")),
    };
    let age = removed.age.map(|age| format!(", last published {}", ago(Some(age)))).unwrap_or_default();
    let document = json!({
        "channel": removed.channel, "block": removed.block, "pid": removed.pid, "age_seconds": seconds(removed.age),
        "reason": reason, "objects": removed.objects,
    });
    (document, format!("{what}: {why}{age} ({})", printable(&removed.objects.join(", "))))
}

/// A registry entry without objects.
fn removal_of_entry(info: &ChannelInfo) -> Removal {
    let (channel, pid) = (&info.name, info.writer_pid);
    let why = format!("its writer, process {pid}, is dead, and its objects were unlinked by hand");
    let document = json!({
        "channel": channel, "block": null, "pid": pid, "age_seconds": null, "reason": "nameless", "objects": [],
    });
    (document, format!("the entry of {}: {why}", printable(channel)))
}

pub(crate) fn run(arguments: &GcArguments, context: &Context) -> Result<(), Failure> {
    let namespace = context.namespace()?;
    // Before the cleanup, which may remove the last object of the namespace.
    let missing = resolve::no_such_namespace(&namespace, &context.directory);
    let mut ghosts = ghosts(&namespace);
    let (cleaned, struck) = match arguments.dry_run {
        _ if !arguments.channels.is_empty() => (remove(&namespace, arguments, context)?, Vec::new()),
        true => {
            let cleaned = namespace.would_clean(arguments.retention)?;
            (cleaned, health::nameless(&namespace, ghosts).unwrap_or_default())
        }
        false => {
            let cleaned = namespace.clean(arguments.retention)?;
            let left = if ghosts.is_empty() { Vec::new() } else { namespace.channels().unwrap_or_default() };
            // Of a channel that was removed, the entry went with it.
            ghosts.retain(|info| !left.contains(info) && !is_removed(&cleaned, &info.name));
            (cleaned, ghosts)
        }
    };
    let entries = struck.iter().map(removal_of_entry);
    let removals: Vec<_> = cleaned.removed.iter().map(removal).chain(entries).collect();
    if removals.is_empty() && cleaned.failed.is_empty() {
        missing.map_or(Ok(()), Err)?;
    }
    if context.json {
        print_all_json(removals.iter().map(|(document, _)| document))?;
    } else {
        print(&removals, &cleaned, arguments.dry_run)?;
    }
    let is_left = arguments.channels.is_empty() && report_left(&namespace, &cleaned, arguments, context);
    report_failed(&namespace, &cleaned);
    let is_complete = !is_left && cleaned.failed.is_empty();
    if is_complete { Ok(()) } else { Err(Failure::silent(ExitStatus::Failed)) }
}

/// Removes the channels and blocks that the user named; none of them if one has a writer or an
/// owner.
fn remove(
    namespace: &Namespace,
    arguments: &GcArguments,
    context: &Context,
) -> Result<CleanupReport, Failure> {
    let named = &arguments.channels;
    let mut cleaned = namespace.would_clean(Retention::Nothing)?;
    cleaned.failed.clear();
    let name_of = |removed: &Removed| removed.channel.clone().or_else(|| removed.block.clone());
    cleaned.removed.retain(|removed| name_of(removed).is_some_and(|name| named.contains(&name)));
    // A channel and a block may have one name: each of the two must be removable, or absent.
    for channel in named {
        let goes = |block: bool| {
            let name_of =
                |removed: &Removed| if block { removed.block.clone() } else { removed.channel.clone() };
            cleaned.removed.iter().any(|removed| name_of(removed).as_ref() == Some(channel))
        };
        let (has_block, has_channel) = (goes(true), goes(false));
        if !has_block && let Some(block) = blocks::named(namespace, channel) {
            let (pid, owner) = (block.owner_pid, block.owner_uid);
            let (exit, why) = match block.owner {
                WriterState::Dead => {
                    (ExitStatus::Failed, format!("of user {owner} is left: run this as that user"))
                }
                _ => (ExitStatus::Owned, format!("belongs to process {pid}: end that first")),
            };
            return Err(Failure::new(exit, format!("block {channel:?} {why}")));
        }
        if !has_channel {
            let found = match namespace.inspect(channel) {
                Err(AttachError::NotFound { .. }) if has_block => continue,
                Err(AttachError::NotFound { .. }) => {
                    let what = "channel or block";
                    return Err(resolve::not_found(namespace, channel, what, &context.directory));
                }
                inspected => inspected?,
            };
            let (pid, owner) = (found.writer_pid, found.owner_uid);
            let (exit, why) = match has_ended(&found) {
                true => (ExitStatus::Failed, format!("belongs to user {owner}: run this as that user")),
                false => (ExitStatus::Owned, format!("is written by process {pid}: end that first")),
            };
            return Err(Failure::new(exit, format!("channel {channel:?} {why}")));
        }
    }
    if !arguments.dry_run {
        for removed in &cleaned.removed {
            removed.channel.as_ref().map(|channel| namespace.remove_channel(channel)).transpose()?;
            removed.block.as_ref().map(|block| namespace.block_builder(block).remove()).transpose()?;
        }
    }
    Ok(cleaned)
}

fn print(removals: &[Removal], cleaned: &CleanupReport, dry_run: bool) -> io::Result<()> {
    let mut output = io::stdout().lock();
    if removals.is_empty() && cleaned.failed.is_empty() {
        return writeln!(output, "nothing to remove");
    }
    let removing = if dry_run { "would remove" } else { "removed" };
    removals.iter().try_for_each(|(_, sentence)| writeln!(output, "{removing} {sentence}"))
}

/// Reports how many last states were kept, and how to remove them; and the channels that only
/// another user can remove, which a cleanup passes over, as its dry run does. Returns whether there
/// are any.
fn report_left(
    namespace: &Namespace,
    cleaned: &CleanupReport,
    arguments: &GcArguments,
    context: &Context,
) -> bool {
    let (user, mut kept) = (rustix::process::geteuid().as_raw(), Vec::new());
    let mut others: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    let unlisted = namespace.unlisted_channels().unwrap_or_default().into_iter().map(|found| found.channel);
    let listed = namespace.channels().unwrap_or_default().into_iter().map(|info| info.name);
    for name in listed.chain(unlisted).filter(|name| !is_removed(cleaned, name)) {
        let owner = match namespace.inspect(&name) {
            Ok(found) if has_ended(&found) && is_kept(&found, arguments.retention) => {
                kept.push((matches!(found.health(), Health::Dead { .. }), found.owner_uid == user));
                continue;
            }
            Ok(found) if has_ended(&found) => found.owner_uid,
            Err(AttachError::Object { source: ObjectError::PermissionDenied { owner, .. }, .. }) => {
                owner.unwrap_or(user)
            }
            _ => continue,
        };
        // What this user has was removed, or the cleanup has said why not.
        if owner != user {
            others.entry(owner).or_default().push(name);
        }
    }
    if !kept.is_empty() && !context.json {
        report_kept(&kept);
    }
    for (owner, names) in &others {
        let names = resolve::listed(names);
        not_removed(&format!("channels of user {owner} ({names}): run this as that user, or as root"));
    }
    !others.is_empty()
}

/// Of each last state, `kept` has whether its writer is dead, and whether it is this user's.
fn report_kept(kept: &[(bool, bool)]) {
    let dead = kept.iter().filter(|(is_dead, _)| *is_dead).count();
    let dead = if dead > 0 { format!(" (`tearless doctor` reports {dead})") } else { String::new() };
    let whose = if kept.iter().all(|(_, is_own)| *is_own) { "" } else { ", if their owner runs it" };
    let what = match kept.len() {
        1 => "1 last state of an ended writer".into(),
        count => format!("{count} last states of ended writers"),
    };
    stderr(format_args!(
        "kept {what}{dead}: --keep TIME removes older ones, --keep nothing removes all of them{whose}"
    ));
}

fn is_removed(cleaned: &CleanupReport, channel: &String) -> bool {
    cleaned.removed.iter().any(|removed| removed.channel.as_ref() == Some(channel))
}

/// Whether `--keep` keeps the last state of a writer that has ended.
fn is_kept(found: &Inspection, retention: Retention) -> bool {
    match retention {
        Retention::UntilReplaced => true,
        Retention::For(max) => health::latest(found).and_then(|it| it.age).is_none_or(|age| age < max),
        Retention::Nothing => false,
    }
}

/// Of a mirrored channel: whether its mirror closed it.
fn has_ended(found: &Inspection) -> bool {
    match found.origin {
        Some(_) => found.state != ChannelState::Open,
        None => matches!(found.health(), Health::Dead { .. } | Health::Exited { .. } | Health::Closed),
    }
}

/// Registry entries of dead writers whose objects were unlinked by hand. If the registry can't be
/// read, the cleanup itself reports why.
fn ghosts(namespace: &Namespace) -> Vec<ChannelInfo> {
    let entered = namespace.channels().unwrap_or_default().into_iter();
    let is_dead = |info: &ChannelInfo| info.writer_state() == WriterState::Dead;
    entered.filter(|info| is_dead(info) && health::is_missing(namespace, &info.name)).collect()
}

fn report_failed(namespace: &Namespace, cleaned: &CleanupReport) {
    let channels =
        if cleaned.failed.is_empty() { Vec::new() } else { namespace.channels().unwrap_or_default() };
    for error in &cleaned.failed {
        let text = for_shells(&error.to_string());
        let is_its = |info: &&ChannelInfo| text.contains(&namespace.object_prefix(Some(&info.name)));
        let channel = channels.iter().find(is_its).map(|info| format!("channel {:?}: ", info.name));
        not_removed(&(channel.unwrap_or_default() + &text));
    }
}

fn not_removed(text: &str) {
    let odd = style::ODD;
    stderr(format_args!("{odd}not removed:{odd:#} {}", printable(text)));
}
