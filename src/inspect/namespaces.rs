//! The namespaces of this machine, for who has no name to begin with.

use std::collections::BTreeMap;

use super::ObjectKind;
use super::listing::{self, Listed};
use crate::layout::ObjectNames;
use crate::object::ObjectError;

/// A namespace that has objects in this machine's shared memory: see [`namespaces`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamespaceInfo {
    /// Its name; `None` if its objects may not be opened, or none of them is whole enough to tell it.
    pub name: Option<String>,
    /// Numeric id of the user who owns the objects that are counted here.
    pub owner_uid: u32,
    /// Channels, counted by their control pages.
    pub channels: u64,
    /// Objects.
    pub objects: u64,
    /// Bytes of those objects that have memory.
    pub bytes: u64,
    /// Whether they may be opened, by whose they are.
    pub readable: bool,
}

/// All namespaces that have objects in this machine's shared memory: `inspect::namespaces().list()?`.
pub fn namespaces() -> NamespaceListing {
    NamespaceListing { trusted: Vec::new() }
}

/// Lists the namespaces of this machine. Made by [`namespaces`].
#[derive(Clone, Debug)]
#[must_use = "nothing is listed before `list`"]
pub struct NamespaceListing {
    trusted: Vec<u32>,
}

impl NamespaceListing {
    /// Opens the objects of another user, too, given by numeric id. Default: objects of other users are
    /// counted, not opened.
    pub fn trust_owner(mut self, user: u32) -> Self {
        self.trusted.push(user);
        self
    }

    /// The namespaces, sorted by name. A namespace in which several users have objects is listed once
    /// for each of them.
    ///
    /// Takes no lock and changes nothing. Objects that are created or removed in between may or may not
    /// be counted.
    ///
    /// Cost: a listing of shared memory, a system call for each object, and mapping one object of each
    /// namespace.
    ///
    /// # Errors
    ///
    /// If shared memory can't be listed.
    pub fn list(&self) -> Result<Vec<NamespaceInfo>, ObjectError> {
        let mut groups: BTreeMap<(String, u32), Vec<Listed>> = BTreeMap::new();
        for object in listing::list(&self.trusted)? {
            let is_known = object.kind != ObjectKind::Unknown && object.status.is_regular;
            let Some(prefix) = ObjectNames::prefix_of_object(&object.name).filter(|_| is_known) else {
                continue;
            };
            groups.entry((prefix.to_owned(), object.status.owner)).or_default().push(object);
        }
        let mut namespaces: Vec<_> =
            groups.into_iter().map(|((_, owner), group)| info(owner, &group)).collect();
        // Those without a name last.
        namespaces.sort_by(|one, other| {
            (one.name.is_none(), &one.name, one.owner_uid).cmp(&(
                other.name.is_none(),
                &other.name,
                other.owner_uid,
            ))
        });
        Ok(namespaces)
    }
}

/// What the objects of one namespace and one user are together.
fn info(owner_uid: u32, group: &[Listed]) -> NamespaceInfo {
    let of_kind = |kind| group.iter().filter(move |object| object.kind == kind);
    // The registry first: there is one, and the pages may be many.
    let mut tellers = of_kind(ObjectKind::Registry).chain(of_kind(ObjectKind::Control));
    NamespaceInfo {
        name: tellers.find_map(Listed::names).map(|names| names.namespace),
        owner_uid,
        channels: of_kind(ObjectKind::Control).count() as u64,
        objects: group.len() as u64,
        bytes: group.iter().map(|object| object.status.size.resident).sum(),
        readable: group.iter().all(Listed::is_trusted),
    }
}
