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
//! A channel with a living writer is never changed.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::channel::{Cleanup, CleanupOutcome};
pub use crate::channel::{RemovalReason, Removed, Retention};
use crate::layout::{Kind, ObjectNames, control};
use crate::liveness::{ProcessIdentity, ProcessState};
use crate::memory::Memory;
use crate::object::{Backend, ObjectError};
use crate::registry::{self, ChannelInfo};

/// What a cleaning of a [`Namespace`](crate::Namespace::clean) did. Its text has a line for each thing.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct CleanupReport {
    /// What was removed.
    pub removed: Vec<Removed>,
    /// What could not be looked at or removed, and why.
    pub failed: Vec<ObjectError>,
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
        match &self.channel {
            Some(channel) => write!(formatter, "channel {channel:?} of process {}", self.pid)?,
            None => write!(formatter, "objects without a channel")?,
        }
        if let Some(age) = self.age {
            write!(formatter, ", last published {age:.1?} ago")?;
        }
        write!(formatter, " ({:?}: {})", self.reason, self.objects.join(", "))
    }
}

/// Looks at every object of the namespace, by their names, channel by channel. Waits up to `patience`
/// for another process that holds a lock.
pub(crate) fn clean(
    backend: &Arc<dyn Backend>,
    namespace: &str,
    retention: Retention,
    patience: Duration,
) -> Result<CleanupReport, ObjectError> {
    let mut cleaned = CleanupReport::default();
    // Before the objects: then a writer whose objects are found has been in the table, if it ever was.
    let entered = registry::list(backend, namespace);
    let channels = objects_by_channel(backend, namespace)?;
    let writers = writers_by_channel(namespace, entered.as_deref().unwrap_or_default());
    let cleanup = Cleanup { backend, namespace, retention, patience };
    let mut in_order = HashSet::new();
    for (names, objects) in &channels {
        match cleanup.clean(names, objects, writers.get(names).copied()) {
            Ok(CleanupOutcome::InOrder(instance)) => drop(in_order.insert(instance)),
            Ok(CleanupOutcome::Kept) => {}
            Ok(CleanupOutcome::Removed(removed)) => cleaned.removed.push(removed),
            // Another user's business.
            Err(ObjectError::OtherOwner { .. }) => {}
            Err(error) => cleaned.failed.push(error),
        }
    }
    let table = entered.and_then(|entered| {
        let unseen = entered.iter().filter(|info| !in_order.contains(&info.instance));
        let mut gone = Vec::new();
        for info in unseen {
            if is_gone(backend, namespace, info, &channels, &cleaned.removed)? {
                gone.push((info.name.as_str(), info.instance));
            }
        }
        match (entered.is_empty(), gone.is_empty()) {
            (true, _) => registry::clean(backend, namespace, patience),
            (false, true) => Ok(()),
            (false, false) => registry::deregister(backend, namespace, &gone, patience),
        }
    });
    cleaned.failed.extend(table.err());
    Ok(cleaned)
}

/// What [`clean`] would remove. Stores nothing, takes no lock and waits for nobody.
pub(crate) fn would_clean(
    backend: &Arc<dyn Backend>,
    namespace: &str,
    retention: Retention,
) -> Result<CleanupReport, ObjectError> {
    let mut cleaned = CleanupReport::default();
    // Before the objects, as in `clean`.
    let entered = registry::list(backend, namespace);
    let channels = objects_by_channel(backend, namespace)?;
    let writers = writers_by_channel(namespace, entered.as_deref().unwrap_or_default());
    let cleanup = Cleanup { backend, namespace, retention, patience: Duration::ZERO };
    for (names, objects) in &channels {
        match cleanup.dry_run(names, objects, writers.get(names).copied()) {
            Ok(removed) => cleaned.removed.extend(removed),
            // Another user's business.
            Err(ObjectError::OtherOwner { .. }) => {}
            Err(error) => cleaned.failed.push(error),
        }
    }
    cleaned.failed.extend(entered.err());
    Ok(cleaned)
}

type Channels = BTreeMap<ObjectNames, Vec<String>>;

fn objects_by_channel(backend: &Arc<dyn Backend>, namespace: &str) -> Result<Channels, ObjectError> {
    let mut channels = Channels::new();
    for object in backend.list(&ObjectNames::prefix(namespace))? {
        if let Some(names) = ObjectNames::of_object(&object) {
            channels.entry(names).or_default().push(object);
        }
    }
    Ok(channels)
}

fn writers_by_channel(namespace: &str, entered: &[ChannelInfo]) -> BTreeMap<ObjectNames, ProcessIdentity> {
    entered.iter().map(|info| (ObjectNames::new(namespace, &info.name), info.identity)).collect()
}

/// Whether the instance of a channel that was entered is not there any more: `channels` were found before `removed` were
/// removed.
fn is_gone(
    backend: &Arc<dyn Backend>,
    namespace: &str,
    info: &ChannelInfo,
    channels: &Channels,
    removed: &[Removed],
) -> Result<bool, ObjectError> {
    let names = ObjectNames::new(namespace, &info.name);
    let page = names.object(Kind::Control);
    match backend.view(&page) {
        Ok(page) => Ok(page.len() <= control::INSTANCE || page.load(control::INSTANCE) != info.instance),
        // Somebody removed the page's name: the channel is there as long as its writer.
        Err(ObjectError::NotFound { .. }) => {
            let was_removed = removed.iter().any(|removed| removed.objects.contains(&page));
            Ok(was_removed || !channels.contains_key(&names) || info.identity.state() == ProcessState::Dead)
        }
        // What is just being made under its name is another instance.
        Err(ObjectError::Unfinished { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}
