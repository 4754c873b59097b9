//! Where the states of a mirrored channel come from: a channel of another host.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// The publication of another host that a snapshot of a [mirrored](crate::mirror) channel is a copy
/// of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    host: Host,
    publication: u64,
}

impl Origin {
    pub(super) fn new(host: Host, publication: u64) -> Origin {
        Origin { host, publication }
    }

    /// The name of the host, as its mirror gives it. Text of another process, verbatim: it may hold
    /// control characters, so escape it before showing it.
    #[must_use]
    pub fn host(&self) -> &'static str {
        self.host.name()
    }

    /// The number that the publication has on that host. Mirrored channels skip publications, and
    /// number those that they have by themselves.
    #[must_use]
    pub fn publication(&self) -> u64 {
        self.publication
    }
}

/// `publication 12 of host a`
impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "publication {} of host {}", self.publication, self.host())
    }
}

/// The name of a host, kept as long as the process lives: in one word, so that a snapshot can have
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Host(&'static &'static str);

impl Host {
    /// Takes memory once for each name that this process meets.
    pub(crate) fn of(name: &str) -> Host {
        static KNOWN: Mutex<BTreeMap<&str, Host>> = Mutex::new(BTreeMap::new());
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = known.get(name) {
            return *host;
        }
        let name: &'static str = Box::leak(Box::from(name));
        let host = Host(Box::leak(Box::new(name)));
        known.insert(name, host);
        host
    }

    pub(crate) fn name(self) -> &'static str {
        self.0
    }
}

/// The channel that a mirrored one is a copy of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mirrored {
    /// Name of its host.
    pub(crate) host: String,
    pub(crate) instance: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_one_place() {
        let [first, second, other] = ["host-a", "host-a", "host-b"].map(Host::of);
        assert!(std::ptr::eq(first.0, second.0) && first == second && first != other);
        assert_eq!(Origin::new(other, 12).to_string(), "publication 12 of host host-b");
    }
}
