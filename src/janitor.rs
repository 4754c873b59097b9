//! Removes what writers that are gone have left behind; never anything that lives.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::time::Duration;

use crate::channel::{Keep, Removed, Tidied, Tidying};
use crate::layout::{Kind, ObjectNames, control};
use crate::memory::Memory;
use crate::registry::{self, ChannelInfo};
use crate::segment::{Backend, ObjectError};

/// What a cleaning of a [`Namespace`](crate::Namespace::clean) did. Its text has a line for each thing.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Cleaned {
    /// What was removed.
    pub removed: Vec<Removed>,
    /// What could not be looked at or removed, and why.
    pub failed: Vec<ObjectError>,
}

impl fmt::Display for Cleaned {
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
        write!(formatter, " ({:?}: {})", self.cause, self.objects.join(", "))
    }
}

/// Looks at every object whose name says that it belongs to the namespace, channel by channel. Waits `patience` for
/// somebody else's step.
pub(crate) fn clean<B: Backend>(
    backend: &B,
    namespace: &str,
    keep: Keep,
    patience: Duration,
) -> Result<Cleaned, ObjectError> {
    let tidying = Tidying { backend, namespace, keep, patience };
    let mut channels: BTreeMap<ObjectNames, Vec<String>> = BTreeMap::new();
    for object in backend.list(&ObjectNames::prefix(namespace))? {
        if let Some(names) = ObjectNames::of_object(&object) {
            channels.entry(names).or_default().push(object);
        }
    }
    let mut cleaned = Cleaned::default();
    let mut in_order = HashSet::new();
    for (names, objects) in channels {
        match tidying.tidy(&names, &objects) {
            Ok(Tidied::InOrder(instance)) => drop(in_order.insert(instance)),
            Ok(Tidied::Kept) => {}
            Ok(Tidied::Removed(removed)) => cleaned.removed.push(removed),
            Err(error) => cleaned.failed.push(error),
        }
    }
    let entered = registry::list(backend, namespace).unwrap_or_else(|error| {
        cleaned.failed.push(error);
        Vec::new()
    });
    let mut note = |result: Result<(), ObjectError>| match result {
        // Somebody who was not to be waited for changes the table.
        Err(ObjectError::Claimed { .. }) if patience.is_zero() => {}
        result => cleaned.failed.extend(result.err()),
    };
    for info in entered.iter().filter(|info| !in_order.contains(&info.instance)) {
        note(strike_if_gone(&tidying, info));
    }
    if entered.is_empty() {
        note(registry::tidy(backend, namespace, patience));
    }
    Ok(cleaned)
}

/// Removes the entry of a channel that is not there any more, at least not this instance of it.
fn strike_if_gone<B: Backend>(tidying: &Tidying<'_, B>, info: &ChannelInfo) -> Result<(), ObjectError> {
    let Tidying { backend, namespace, patience, .. } = *tidying;
    let page = ObjectNames::new(namespace, &info.name).object(Kind::Control);
    let there = match backend.view(&page) {
        Ok(page) => page.len() > control::INSTANCE && page.load(control::INSTANCE) == info.instance,
        // What is just being made under its name is another instance.
        Err(ObjectError::NotFound { .. } | ObjectError::Unfinished { .. }) => false,
        Err(error) => return Err(error),
    };
    match there {
        true => Ok(()),
        false => registry::deregister(backend, namespace, &info.name, info.instance, patience),
    }
}
