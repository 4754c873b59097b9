//! Checks each object in shared memory.

use std::collections::BTreeMap;

use tearless::inspect::{ObjectInfo, ObjectKind, ObjectState, quoted};

use super::finding::{Finding, few_of_each};
use crate::context::Context;
use crate::directory::Directory;
use crate::error::{Failure, trust};

/// Permission bits that no object of ours has: writing by other users, and execution.
const UNUSUAL_PERMISSIONS: u32 = 0o7133;
/// Permission bits that the owner needs.
const OWNER_PERMISSIONS: u32 = 0o600;

pub(super) fn examine(context: &Context) -> Result<Vec<Finding>, Failure> {
    let objects = context.directory.objects()?;
    // With -n, only objects that are known to belong to that namespace.
    let wanted = |object: &&ObjectInfo| context.namespace.is_none() || context.namespace == object.namespace;
    let is_legible = |object: &&ObjectInfo| !is_refused(object);
    let mut findings: Vec<Finding> = objects
        .iter()
        .filter(wanted)
        .filter(is_legible)
        .filter_map(|object| judge(object, &context.directory))
        .collect();
    if context.namespace.is_none() {
        findings.extend(of_others(&objects));
    }
    Ok(few_of_each(findings, context))
}

/// Whether the object belongs to another user and was not opened.
fn is_refused(object: &ObjectInfo) -> bool {
    match object.state {
        ObjectState::NotOpened => true,
        ObjectState::Unreadable { .. } => object.owner_uid != rustix::process::geteuid().as_raw(),
        _ => false,
    }
}

/// One finding for each other user, however many objects that user has.
fn of_others(objects: &[ObjectInfo]) -> impl Iterator<Item = Finding> {
    let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
    for object in objects.iter().filter(|object| is_refused(object)) {
        *counts.entry(object.owner_uid).or_default() += 1;
    }
    counts.into_iter().map(|(user, count)| {
        Finding::note(
            "other-user",
            format!("user {user} has {count} objects here, which were not opened"),
            trust(user) + "; the objects must also permit reading",
        )
    })
}

fn judge(object: &ObjectInfo, directory: &Directory) -> Option<Finding> {
    let path = directory.path().join(&object.name).display().to_string();
    let finding = match &object.state {
        ObjectState::NotOpened => return None,
        ObjectState::OtherVersion { found } => Finding::problem(
            "layout-version",
            format!("{path} has layout version {found}, which this version can't read"),
            "use the same version of tearless in all processes; `tearless gc` removes it if no process writes it",
        ),
        ObjectState::Foreign { reason } => Finding::problem(
            "foreign",
            format!("{path} is not what its name says: {reason}"),
            "find out which process created it, and unlink it",
        ),
        ObjectState::Unreadable { reason } if !is_unusual(object.permissions) => Finding::problem(
            "unreadable",
            format!("can't open {path}: {reason}"),
            format!("find out which process created it; if no process needs it: rm {}", quoted(&path)),
        ),
        // A block may be for several users to write.
        _ if object.kind == ObjectKind::Block => {
            let permissions = object.permissions;
            if !is_unusual(permissions & !0o066) {
                return None;
            }
            Finding::problem(
                "permissions",
                format!(
                    "{path} has permissions {permissions:o}: a block's owner needs 600, and no user executes it"
                ),
                format!("chmod 600 {} (660 or 666 if other users write to it)", quoted(&path)),
            )
        }
        _ => judge_permissions(&path, object.permissions)?,
    };
    let (namespace, channel) = (object.namespace.clone(), object.channel.clone());
    Some(Finding { namespace, channel, ..finding })
}

fn is_unusual(permissions: u32) -> bool {
    permissions & UNUSUAL_PERMISSIONS != 0 || permissions & OWNER_PERMISSIONS != OWNER_PERMISSIONS
}

fn judge_permissions(path: &str, permissions: u32) -> Option<Finding> {
    let what =
        format!("{path} has permissions {permissions:o}: its owner needs 600, and no other user may write");
    let advice = format!("chmod 600 {} (640 or 644 if other users read it)", quoted(path));
    is_unusual(permissions).then(|| Finding::problem("permissions", what, advice))
}

#[cfg(test)]
mod tests {
    use super::judge_permissions;

    #[test]
    fn only_the_owner_may_write_and_every_user_may_read() {
        for fine in [0o600, 0o640, 0o644, 0o604] {
            assert!(judge_permissions("", fine).is_none(), "{fine:o}");
        }
        for odd in [0o400, 0o660, 0o666, 0o606, 0o700, 0o4600, 0o000] {
            assert!(judge_permissions("", odd).is_some(), "{odd:o}");
        }
    }
}
