//! What became of the writers, and what they have left.

use std::time::Duration;

use tearless::{
    AttachError, ChannelInfo, Inspection, Keep, Namespace, ObjectError, WriterState, namespaces_trusting,
};

use super::Finding;
use crate::context::Context;
use crate::error::Failure;
use crate::look;
use crate::output::{ago, printable};

/// A writer that ends in order takes less than that between its first step and its last, unless it is stopped
/// there.
const END: Duration = Duration::from_millis(50);

pub(super) fn examine(context: &Context) -> Result<Vec<Finding>, Failure> {
    let mut names: Vec<String> = match &context.namespace {
        Some(name) => vec![name.clone()],
        None => namespaces_trusting(&context.trust)?.into_iter().filter_map(|info| info.name).collect(),
    };
    names.dedup();
    let mut findings = Vec::new();
    for name in &names {
        // A name out of shared memory may be one that can't be.
        let Ok(namespace) = context.open(name) else { continue };
        findings.extend(leftovers(&namespace));
        match namespace.channels() {
            Ok(mut channels) => {
                channels.sort_by(|one, other| one.name.cmp(&other.name));
                findings.extend(channels.iter().filter_map(|info| channel(&namespace, info)).flatten());
            }
            Err(error) => findings.push(unusable(&error).of(Some(name), None)),
        }
    }
    Ok(findings)
}

fn unusable(error: &ObjectError) -> Finding {
    Finding::problem(
        "unusable",
        format!("the registry can't be opened: {error}"),
        "find out who made it, and remove it",
    )
}

/// What `tearless gc` would remove.
fn leftovers(namespace: &Namespace) -> Vec<Finding> {
    let name = namespace.name();
    let gc = format!("tearless -n '{}' gc", printable(name));
    let cleaned = match namespace.would_clean(Keep::UntilReplaced) {
        Ok(cleaned) => cleaned,
        Err(error) => return vec![unusable(&error).of(Some(name), None)],
    };
    let removable = cleaned.removed.iter().map(|removed| {
        let what = format!("left by a process that was killed: {}", removed.objects.join(", "));
        Finding::problem("leftovers", what, format!("remove them: {gc}"))
            .of(Some(name), removed.channel.as_deref())
    });
    let failed = cleaned.failed.iter().map(|error| {
        Finding::problem("unreadable", error.to_string(), "find out who made it, and remove it")
            .of(Some(name), None)
    });
    removable.chain(failed).collect()
}

/// `None` if it is not there any more, and nobody misses it.
fn channel(namespace: &Namespace, info: &ChannelInfo) -> Option<Vec<Finding>> {
    let findings = match namespace.inspect(&info.name) {
        Ok(inspection) => judge(&inspection),
        Err(AttachError::NotFound { .. }) if info.writer_state() == WriterState::Dead => return None,
        Err(AttachError::NotFound { .. }) => vec![nameless(namespace, info)?],
        Err(error) => {
            vec![Finding::problem("unusable", error.to_string(), "open a writer for it, which makes it anew")]
        }
    };
    Some(findings.into_iter().map(|finding| finding.of(Some(namespace.name()), Some(&info.name))).collect())
}

/// `None` if it has just ended in order: then its entry is gone as well.
fn nameless(namespace: &Namespace, info: &ChannelInfo) -> Option<Finding> {
    // Names go first, and the entry after them.
    std::thread::sleep(END);
    let is_entered = namespace.channels().ok()?.contains(info);
    is_entered.then(|| {
        Finding::problem(
            "nameless",
            format!("its names were removed from /dev/shm by hand, while process {} goes on publishing: nobody new finds it",
                info.writer_pid),
            "restart that process, or let it open a new writer",
        )
    })
}

fn judge(inspection: &Inspection) -> Vec<Finding> {
    let mut findings = Vec::new();
    let pid = inspection.writer_pid;
    match inspection.writer_state {
        WriterState::Dead => findings.push(dead(inspection)),
        WriterState::Stopped => findings.push(Finding::problem(
            "stopped",
            format!("its writer, process {pid}, is stopped by a signal or a debugger"),
            format!("let it go on: kill -CONT {pid}"),
        )),
        _ => {
            if let Some(staleness) = look::staleness(inspection) {
                let what = format!("its writer, process {pid}, {staleness}");
                let advice = "see whether it hangs, or the machine is overloaded";
                findings.push(Finding::problem("stale", what, advice));
            }
        }
    }
    let missing = |segment: &Result<_, std::sync::Arc<ObjectError>>| {
        segment.as_ref().is_err_and(|error| matches!(**error, ObjectError::NotFound { .. }))
    };
    if inspection.segments.iter().any(missing) {
        findings.push(Finding::problem(
            "segment-missing",
            "a segment's name was removed from /dev/shm by hand: who is not attached yet can't read it",
            "restart its writer, or remove the channel with `tearless gc` if that is dead",
        ));
    }
    findings
}

fn dead(inspection: &Inspection) -> Finding {
    let middle = match inspection.unfinished() {
        Some(unfinished) => format!(", in the middle of publication {unfinished}"),
        None => String::new(),
    };
    let sign = ago(look::last_sign(inspection));
    Finding::problem(
        "dead",
        format!("its writer, process {}, died{middle}; last sign of life: {sign}", inspection.writer_pid),
        "see `tearless postmortem`; then start it again, or remove its last state: `tearless gc --keep nothing`",
    )
}
