//! Checks the writers, and the leftovers of killed ones.

use std::time::Duration;

use tearless::{
    Namespace,
    cleanup::Retention,
    error::{AttachError, ObjectError},
    hub::Health,
    inspect::{ChannelInfo, Inspection, SchemaInspection, WriterState, quoted},
};

use super::finding::{Finding, Refusals, Severity, few_of_each};
use super::names;
use crate::context::Context;
use crate::error::Failure;
use crate::health;
use crate::output::ago;
use crate::resolve;

pub(super) fn examine(context: &Context) -> Result<Vec<Finding>, Failure> {
    if let Some(name) = &context.namespace {
        let namespace = context.directory.open(name)?;
        let mut findings = findings(&namespace, context);
        findings.extend(names::in_namespace(&namespace, &context.directory));
        let missing = if findings.is_empty() {
            resolve::no_such_namespace(&namespace, &context.directory)
        } else {
            None
        };
        return missing.map_or(Ok(findings), Err);
    }
    Ok(context.all_namespaces()?.iter().flat_map(|namespace| findings(namespace, context)).collect())
}

/// The findings in a namespace. An object that this user may not open is a note, and not a problem.
fn findings(namespace: &Namespace, context: &Context) -> Vec<Finding> {
    let mut refusals = Refusals::default();
    let mut findings = leftovers(namespace, &mut refusals);
    match namespace.channels() {
        Ok(channels) => findings.extend(of_all(namespace, channels, &mut refusals)),
        Err(error) => {
            findings.extend(taken(namespace, &error, context).or_else(|| unusable(&error, &mut refusals)));
        }
    }
    // If the registry can't be read, a finding has said so.
    let unlisted = namespace.unlisted_channels().unwrap_or_default();
    findings.extend(unlisted.iter().flat_map(|it| judge_unlisted(namespace, it)));
    // Of an object of one's own, the examination of all objects has said so.
    let refused = refusals.findings();
    findings.extend(refused.filter(|it| it.severity == Severity::Note || context.namespace.is_some()));
    for finding in &mut findings {
        finding.namespace = Some(namespace.name().to_owned());
    }
    few_of_each(findings, context)
}

/// What to do about an object that is not ours.
const UNLINK: &str = "find out which process created it, and unlink it";

fn unusable(error: &ObjectError, refusals: &mut Refusals) -> Option<Finding> {
    let what = format!("can't open the registry: {error}");
    let is_ours = matches!(error, ObjectError::OtherVersion { .. });
    let advice = if is_ours { "end the processes of that version, or use another namespace" } else { UNLINK };
    (!refusals.take(error)).then(|| Finding::problem("unusable", what, advice))
}

/// A registry whose name another user has, although objects of this user need it.
fn taken(namespace: &Namespace, error: &ObjectError, context: &Context) -> Option<Finding> {
    let ObjectError::OtherOwner { object, owner } = error else { return None };
    let (own, prefix) = (rustix::process::geteuid().as_raw(), namespace.object_prefix(None));
    let objects = context.directory.objects().ok().filter(|_| *owner != own)?;
    let mut objects = objects.iter().filter(|it| it.name.starts_with(&prefix));
    let what = format!(
        "user {owner} has the name of its list of channels, {object}: no writer of yours can open, and no \
         channel is listed"
    );
    let advice = "unless your writers should run as that user: that user or root must remove it";
    let is_taken = objects.any(|it| it.owner_uid == own || object.ends_with(&it.name) && it.bytes == 0);
    is_taken.then(|| Finding::problem("unusable", what, advice))
}

/// The objects that `tearless gc` would remove.
fn leftovers(namespace: &Namespace, refusals: &mut Refusals) -> Vec<Finding> {
    let gc = gc(namespace);
    let cleaned = match namespace.would_clean(Retention::UntilReplaced) {
        Ok(cleaned) => cleaned,
        Err(error) => return unusable(&error, refusals).into_iter().collect(),
    };
    let removable = cleaned.removed.iter().map(|removed| {
        let block = removed.block.as_ref().map(|block| format!("block {block:?}, ")).unwrap_or_default();
        let what = format!("left by a process that was killed: {block}{}", removed.objects.join(", "));
        let channel = removed.channel.clone();
        Finding { channel, ..Finding::problem("leftovers", what, format!("remove them: `{gc}`")) }
    });
    let failed = cleaned.failed.into_iter().filter(|error| !refusals.take(error));
    let failed = failed.map(|error| Finding::problem("unreadable", error.to_string(), UNLINK));
    removable.chain(failed).collect()
}

/// The call of `tearless gc` for a namespace.
fn gc(namespace: &Namespace) -> String {
    format!("tearless -n {} gc", quoted(namespace.name()))
}

/// The call of `tearless gc` for a channel.
fn gc_of(namespace: &Namespace, inspection: &Inspection) -> String {
    format!("{} {}", gc(namespace), quoted(&inspection.channel))
}

fn of_all(namespace: &Namespace, mut channels: Vec<ChannelInfo>, refusals: &mut Refusals) -> Vec<Finding> {
    channels.sort_by(|one, other| one.name.cmp(&other.name));
    let (mut findings, mut missing) = (Vec::new(), Vec::new());
    for info in channels {
        let of_channel = match namespace.inspect(&info.name) {
            Ok(inspection) => judge(namespace, &inspection),
            Err(AttachError::NotFound { .. }) => {
                missing.push(info);
                continue;
            }
            Err(AttachError::Object { source, .. }) if refusals.take(&source) => continue,
            Err(error) => {
                let advice = "open a writer for it, which creates it again";
                vec![Finding::problem("unusable", error.to_string(), advice)]
            }
        };
        let name = Some(info.name);
        findings.extend(of_channel.into_iter().map(|it| Finding { channel: name.clone(), ..it }));
    }
    // If the registry can't be read any more, the next run reports it.
    let missing = health::nameless(namespace, missing).unwrap_or_default();
    findings.extend(missing.into_iter().map(|info| nameless(namespace, info)));
    findings
}

/// A channel that has objects and no entry in the registry.
fn judge_unlisted(namespace: &Namespace, inspection: &Inspection) -> Vec<Finding> {
    let what =
        "the namespace's list of channels was removed by hand: hubs, watches and `tearless ls` don't find it";
    let advice = "`touch` and `publish_if_changed` list it again within a second, as a Syncer's ticks do";
    let mut advice = format!("{advice}; restart process {} if it only publishes", inspection.writer_pid);
    if matches!(inspection.health(), Health::Closed | Health::Exited { .. }) {
        advice = format!("start its writer, or remove the channel: `{}`", gc_of(namespace, inspection));
    }
    let mut findings = judge(namespace, inspection);
    if !matches!(inspection.health(), Health::Dead { .. }) {
        findings.push(Finding::problem("unlisted", what, advice));
    }
    findings.into_iter().map(|it| Finding { channel: Some(inspection.channel.clone()), ..it }).collect()
}

fn nameless(namespace: &Namespace, info: ChannelInfo) -> Finding {
    let pid = info.writer_pid;
    let (writer, advice) = match info.writer_state() {
        WriterState::Dead => (
            format!("its writer, process {pid}, is dead"),
            format!("remove its registry entry: `{}`", gc(namespace)),
        ),
        _ => (
            format!("process {pid} still publishes on it: new readers can't find it"),
            "restart that process, or let it open a new writer".into(),
        ),
    };
    let what = format!("its objects were unlinked by hand, and {writer}");
    Finding { channel: Some(info.name), ..Finding::problem("nameless", what, advice) }
}

fn judge(namespace: &Namespace, inspection: &Inspection) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (pid, process) = (inspection.writer_pid, health::process(inspection.writer_pid, inspection.origin));
    match inspection.health() {
        Health::Unreachable { since } => {
            let host = inspection.origin.map_or("", |origin| origin.host);
            findings.push(Finding::problem(
                "unreachable",
                format!("the last news of host {host:?}, which it mirrors, came {}", ago(since)),
                format!(
                    "see whether the link is up, and `tearless mirror` is at work on both hosts; its writer may be \
                     well; once the mirror here has ended, `{}` removes the copy",
                    gc_of(namespace, inspection)
                ),
            ));
        }
        // A copy in place of a living channel: the lost name is what is wrong.
        Health::Dead { .. } if names::has_lost(namespace, inspection) => {}
        Health::Dead { since } => findings.push(dead(namespace, inspection, since)),
        Health::Stalled { is_stopped: true, .. } => findings.push(Finding::problem(
            "stopped",
            format!("its writer, {process}, is {}", health::STOPPED),
            match inspection.origin {
                None => format!("continue it, with `kill -CONT {pid}` or by thawing its control group"),
                Some(_) => "continue it there, with `kill -CONT` or by thawing its control group".into(),
            },
        )),
        _ => {
            if let Some(breach) = health::breach(inspection) {
                let what = format!("its writer, {process}, {breach}");
                let advice = "see whether it hangs, or the machine is overloaded; a Syncer that can't publish \
                              says why in `last_error`";
                findings.push(Finding::problem("stalled", what, advice));
            }
        }
    }
    let missing = |segment: &Result<_, std::sync::Arc<ObjectError>>| {
        segment.as_ref().is_err_and(|error| matches!(**error, ObjectError::NotFound { .. }))
    };
    if inspection.segments.iter().any(missing) {
        findings.push(Finding::problem(
            "segment-missing",
            "a segment was unlinked by hand: new readers can't read the channel",
            "restart its writer; if that is dead, remove the channel with `tearless gc`",
        ));
    }
    findings.extend(schema(inspection));
    if !inspection.pinned.is_empty() && !inspection.pinned.contains(&0) {
        let what = format!("all of its {} pins are taken: further views are copies", inspection.pinned.len());
        let advice = "drop views sooner, or open its writer with more `pins`; a killed reader's pin is taken by \
                      the next reader that needs one";
        findings.push(Finding::note("pins", what, advice));
    }
    findings
}

/// A problem with the channel's schema.
fn schema(inspection: &Inspection) -> Option<Finding> {
    let SchemaInspection::Corrupt { reason } = &inspection.schema else { return None };
    let what =
        format!("its schema is corrupt: {reason}; only readers with the type of the states can decode them");
    Some(Finding::problem("schema-corrupt", what, "restart its writer, which writes the schema again"))
}

fn dead(namespace: &Namespace, inspection: &Inspection, since: Option<Duration>) -> Finding {
    let unfinished = inspection.unfinished();
    let middle =
        unfinished.map_or_else(String::new, |number| format!(", in the middle of publication {number}"));
    let (sign, gc) = (ago(since), gc_of(namespace, inspection));
    let process = health::process(inspection.writer_pid, inspection.origin);
    let advice = match inspection.origin {
        None => format!("see `tearless postmortem`; then restart it, or remove its last state: `{gc}`"),
        Some(_) => {
            "see `tearless postmortem`; then restart it, or remove its last state, on that host".into()
        }
    };
    let what = format!("its writer, {process}, died{middle}; last sign of life: {sign}");
    Finding::problem("dead", what, advice)
}
