//! Removes what writers that are gone have left behind; never anything that lives.

use std::collections::BTreeMap;
use std::fmt;

use crate::channel::{Keep, Removed, Tidied, tidy};
use crate::layout::{Kind, ObjectNames, control};
use crate::memory::Memory;
use crate::registry::{self, ChannelInfo};
use crate::segment::{Backend, ObjectError};

/// What [`Namespace::clean`](crate::Namespace::clean) did. Its text has a line for each thing.
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

/// Looks at every object whose name says that it belongs to `namespace`, channel by channel.
pub(crate) fn clean<B: Backend>(backend: &B, namespace: &str, keep: Keep) -> Result<Cleaned, ObjectError> {
    let mut channels: BTreeMap<ObjectNames, Vec<String>> = BTreeMap::new();
    for object in backend.list(&ObjectNames::prefix(namespace))? {
        if let Some(names) = ObjectNames::of_object(&object) {
            channels.entry(names).or_default().push(object);
        }
    }
    let mut cleaned = Cleaned::default();
    for (names, objects) in channels {
        match tidy(backend, namespace, &names, &objects, keep) {
            Ok(Tidied::Kept) => {}
            Ok(Tidied::Removed(removed)) => cleaned.removed.push(removed),
            Err(error) => cleaned.failed.push(error),
        }
    }
    let entered = registry::list(backend, namespace).unwrap_or_else(|error| {
        cleaned.failed.push(error);
        Vec::new()
    });
    for info in entered {
        if let Err(error) = strike_if_gone(backend, namespace, &info) {
            cleaned.failed.push(error);
        }
    }
    cleaned.failed.extend(registry::tidy(backend, namespace).err());
    Ok(cleaned)
}

/// Removes the entry of a channel that is not there any more, at least not this instance of it.
fn strike_if_gone<B: Backend>(backend: &B, namespace: &str, info: &ChannelInfo) -> Result<(), ObjectError> {
    let page = ObjectNames::new(namespace, &info.name).object(Kind::Control);
    let there = match backend.view(&page) {
        Ok(page) => page.len() > control::INSTANCE && page.load(control::INSTANCE) == info.instance,
        // What is just being made under its name is another instance.
        Err(ObjectError::NotFound { .. } | ObjectError::Unfinished { .. }) => false,
        Err(error) => return Err(error),
    };
    if there { Ok(()) } else { registry::deregister(backend, namespace, &info.name, info.instance) }
}
