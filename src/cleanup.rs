//! Removes what dead and closed writers have left: options and results of
//! [`Namespace::clean`](crate::Namespace::clean).
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use tearless::{Namespace, cleanup::Retention};
//!
//! let fleet = Namespace::open("fleet-of-the-cleanup")?;
//! let report = fleet.clean(Retention::UntilReplaced)?; // last states stay readable
//! print!("{report}");
//! # Ok(())
//! # }
//! ```
//!
//! A channel with a living writer is never changed, and neither is a [block] with a
//! living owner. A block whose owner is dead is removed whatever the retention is.

use std::collections::HashSet;
use std::fmt;

use crate::block;
use crate::catalog::Catalog;
use crate::channel::{Cleanup, CleanupOutcome, instance_of};
pub use crate::channel::{RemovalReason, Removed, Retention};
use crate::layout::{Kind, ObjectNames};
use crate::liveness::ProcessState;
use crate::object::ObjectError;
use crate::registry::{ChannelInfo, Registry};

/// What [`Namespace::clean`](crate::Namespace::clean) did. `Display` prints a line for each removal
/// and each error.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct CleanupReport {
    /// What was removed.
    pub removed: Vec<Removed>,
    /// What could not be examined or removed, and why.
    pub failed: Vec<ObjectError>,
}

impl CleanupReport {
    fn add(&mut self, removed: Result<Option<Removed>, ObjectError>) {
        match removed {
            Ok(removed) => self.removed.extend(removed),
            Err(error) if is_of_another_user(&error) => {}
            Err(error) => self.failed.push(error),
        }
    }
}

/// Whether the error is that of an object of another user, which is left to that user: a dry run
/// passes over it, too.
fn is_of_another_user(error: &ObjectError) -> bool {
    match error {
        ObjectError::OtherOwner { .. } => true,
        ObjectError::PermissionDenied { owner: Some(owner), .. } => {
            *owner != rustix::process::geteuid().as_raw()
        }
        _ => false,
    }
}

impl fmt::Display for CleanupReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for removed in &self.removed {
            writeln!(formatter, "removed {removed}")?;
        }
        for error in &self.failed {
            writeln!(formatter, "left alone: {error}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Removed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.channel, &self.block) {
            (Some(channel), _) => write!(formatter, "channel {channel:?} of process {}", self.pid)?,
            (None, Some(block)) => write!(formatter, "block {block:?} of process {}", self.pid)?,
            (None, None) => write!(formatter, "objects without a channel")?,
        }
        if let Some(age) = self.age {
            write!(formatter, ", last published {age:.1?} ago")?;
        }
        write!(formatter, " ({:?}: {})", self.reason, self.objects.join(", "))
    }
}

/// Cleans a namespace, channel by channel, and then its registry. Waits up to `patience` for
/// another process that holds the lock of a channel.
pub(crate) fn clean(cleanup: &Cleanup<'_>) -> Result<CleanupReport, ObjectError> {
    let Cleanup { backend, namespace, .. } = *cleanup;
    let (catalog, registered) = Catalog::read_with_registry(backend, namespace)?;
    let mut report = CleanupReport::default();
    let mut in_order = HashSet::new();
    for (names, found) in &catalog.channels {
        report.add(cleanup.clean(names, found).map(|outcome| match outcome {
            CleanupOutcome::Removed(removed) => removed,
            CleanupOutcome::InOrder(instance) => {
                in_order.insert(instance);
                None
            }
        }));
    }
    for object in &catalog.blocks {
        report.add(block::clean(backend, namespace, object, cleanup.patience));
    }
    for (object, version) in catalog.other_registries(backend.as_ref()) {
        let is_used =
            || Ok(Catalog::read(backend.as_ref(), namespace)?.has_version(backend.as_ref(), version, &[]));
        let removed = Registry::of(backend, namespace).remove_other(object, is_used);
        let is_removed = removed.as_ref().is_ok_and(|is_removed| *is_removed);
        report.add(removed.map(|is_removed| is_removed.then(|| other_version(object))));
        for chunk in catalog.chunks(version).into_iter().filter(|_| is_removed) {
            let removed = backend.remove_leftover(&chunk);
            report.add(removed.map(|is_removed| is_removed.then(|| other_version(&chunk))));
        }
    }
    let mut leftover = catalog.leftover_chunks(namespace, &report.removed);
    if !leftover.is_empty() {
        let removed = Registry::of(backend, namespace).remove_leftover_chunks();
        leftover.retain(|object| matches!(backend.size(object), Err(ObjectError::NotFound { .. })));
        report
            .add(removed.map(|is_removed| (is_removed && !leftover.is_empty()).then(|| orphaned(leftover))));
    }
    let table = listed(registered, cleanup, &report).and_then(|mut registered| {
        let has_none = registered.is_empty();
        registered.retain(|info| !in_order.contains(&info.instance));
        registered.retain(|info| is_gone(cleanup, info, &catalog, &report.removed));
        let gone: Vec<_> = registered.iter().map(|info| (info.name.as_str(), info.instance)).collect();
        match has_none || !gone.is_empty() {
            true => Registry::of(backend, namespace)
                .deregister(&gone)
                .or_else(|error| if is_of_another_user(&error) { Ok(()) } else { Err(error) }),
            false => Ok(()),
        }
    });
    report.failed.extend(table.err());
    Ok(report)
}

/// Dry run of [`clean`]. Stores nothing, takes no lock and waits for no process.
pub(crate) fn would_clean(cleanup: &Cleanup<'_>) -> Result<CleanupReport, ObjectError> {
    let (catalog, registered) = Catalog::read_with_registry(cleanup.backend, cleanup.namespace)?;
    let mut report = CleanupReport::default();
    for (names, found) in &catalog.channels {
        report.add(cleanup.dry_run(names, found));
    }
    for object in &catalog.blocks {
        report.add(block::dry_run(cleanup.backend, cleanup.namespace, object));
    }
    for (object, version) in catalog.other_registries(cleanup.backend.as_ref()) {
        if !catalog.has_version(cleanup.backend.as_ref(), version, &report.removed) {
            let objects = [object.to_owned()].into_iter().chain(catalog.chunks(version));
            report.removed.extend(objects.map(|object| other_version(&object)));
        }
    }
    let mut leftover = catalog.leftover_chunks(cleanup.namespace, &report.removed);
    leftover.retain(|object| cleanup.backend.owns(object).unwrap_or(false));
    report.removed.extend((!leftover.is_empty()).then(|| orphaned(leftover)));
    let table = listed(registered, cleanup, &report);
    report.failed.extend(table.err());
    Ok(report)
}

/// An object of a registry of another version of the layout.
fn other_version(object: &str) -> Removed {
    Removed::without_channel(RemovalReason::OtherVersion, vec![object.to_owned()])
}

/// Objects that no registry refers to.
fn orphaned(objects: Vec<String>) -> Removed {
    Removed::without_channel(RemovalReason::Orphaned, objects)
}

/// What the registry lists: nothing, if the report says that it is removed.
fn listed(
    registered: Result<Vec<ChannelInfo>, ObjectError>,
    cleanup: &Cleanup<'_>,
    report: &CleanupReport,
) -> Result<Vec<ChannelInfo>, ObjectError> {
    let registry = ObjectNames::registry(cleanup.namespace);
    let is_removed = report.removed.iter().any(|removed| removed.objects.contains(&registry));
    if is_removed { Ok(Vec::new()) } else { registered }
}

/// Whether the registered instance of a channel no longer exists. `removed` was removed after
/// `catalog` was read.
fn is_gone(cleanup: &Cleanup<'_>, info: &ChannelInfo, catalog: &Catalog, removed: &[Removed]) -> bool {
    let names = ObjectNames::new(cleanup.namespace, &info.name);
    let page = names.object(Kind::Control);
    match cleanup.backend.view(&page) {
        // Of any page, ready or not: a damaged page doesn't show that its writer has ended.
        Ok(memory) => instance_of(&memory) != Some(info.instance),
        // If the page's name was removed by hand, the channel exists as long as its writer.
        Err(ObjectError::NotFound { .. }) => {
            let was_removed = removed.iter().any(|removed| removed.objects.contains(&page));
            was_removed
                || !catalog.channels.contains_key(&names)
                || info.identity.state() == ProcessState::Dead
        }
        // A page that is being made is that of another instance.
        Err(ObjectError::Unfinished { .. }) => true,
        // The cleanup of the channel itself has met that error.
        Err(_) => false,
    }
}
