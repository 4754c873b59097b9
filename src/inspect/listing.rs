//! The objects and the namespaces of this machine, for callers that don't know any name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::report::{NamespaceInfo, ObjectInfo, ObjectKind, ObjectState};
use crate::block;
use crate::catalog;
use crate::channel::ChannelName;
use crate::layout::ObjectNames;
use crate::memory::Memory;
use crate::object::{Backend, ObjectError, ObjectStatus, SharedMemory, if_exists, may_be_unmapped};
use crate::seqlock::ready::{self, Readiness};

/// Something that channels use of the system, as one try found it: see [`capabilities`] and
/// [`capabilities_of`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Capability {
    /// `create`, `reserve`, `lock`, `map`, `futex` or `membarrier`.
    pub name: &'static str,
    /// Why it failed; `None` if it works.
    pub problem: Option<ObjectError>,
}

impl Capability {
    /// Whether there are no channels without it. Without `futex`, waiting polls; without
    /// `membarrier`, writers have fences.
    #[must_use]
    pub fn is_required(&self) -> bool {
        !["futex", "membarrier"].contains(&self.name)
    }
}

/// Tries once what channels use of the system. Leaves nothing. What depends on a step that failed
/// is not tried.
#[must_use]
pub fn capabilities() -> Vec<Capability> {
    tried(&SharedMemory::default())
}

/// The same with this directory instead of `/dev/shm`, if it belongs to this user, root or one of
/// those `trusted`: [`NamespaceBuilder::directory`](crate::NamespaceBuilder::directory).
///
/// # Errors
///
/// [`ObjectError::Unusable`] if the directory is refused.
pub fn capabilities_of(directory: impl AsRef<Path>, trusted: &[u32]) -> Result<Vec<Capability>, ObjectError> {
    backend_in(Some(directory.as_ref()), trusted).map(|backend| tried(&backend))
}

fn backend_in(directory: Option<&Path>, trusted: &[u32]) -> Result<SharedMemory, ObjectError> {
    let mut backend = SharedMemory::default();
    trusted.iter().for_each(|user| backend.trust_owner(*user));
    let moved = directory.map_or(Ok(()), |directory| backend.move_to(directory));
    moved.map(|()| backend).map_err(|problem| ObjectError::Unusable { problem })
}

fn tried(backend: &SharedMemory) -> Vec<Capability> {
    backend.try_steps().into_iter().map(|(name, problem)| Capability { name, problem }).collect()
}

/// The beginning of a listing, which opens the objects of this user and of those that it trusts.
macro_rules! listing {
    ($(#[$doc:meta])* $begin:ident; $(#[$type_doc:meta])* $Listing:ident) => {
        $(#[$doc])*
        pub fn $begin() -> $Listing {
            $Listing { trusted: Vec::new(), directory: None }
        }

        $(#[$type_doc])*
        #[derive(Clone, Debug)]
        #[must_use = "nothing is listed before `list`"]
        pub struct $Listing {
            trusted: Vec<u32>,
            directory: Option<PathBuf>,
        }

        impl $Listing {
            /// Opens the objects of another user, too, given by numeric id. Default: objects of
            /// other users are listed or counted, not opened.
            pub fn trust_owner(mut self, user: u32) -> Self {
                self.trusted.push(user);
                self
            }

            /// Lists this directory instead of `/dev/shm`:
            /// [`NamespaceBuilder::directory`](crate::NamespaceBuilder::directory).
            pub fn directory(mut self, path: impl Into<PathBuf>) -> Self {
                self.directory = Some(path.into());
                self
            }

            fn listed(&self) -> Result<Vec<Listed>, ObjectError> {
                list(&backend_in(self.directory.as_deref(), &self.trusted)?)
            }
        }
    };
}

listing! {
    /// All objects in this machine's shared memory whose names are this library's:
    /// `inspect::objects().list()?`.
    objects;
    /// Lists the objects of this library. Made by [`objects`].
    ObjectListing
}

impl ObjectListing {
    /// The objects, sorted by name.
    ///
    /// Takes no lock and changes nothing. Objects that are created or removed in between may or may
    /// not be included. An object whose name was removed is not found, even if processes have it
    /// mapped.
    ///
    /// Cost: a listing of shared memory, and for each trusted object mapping it once.
    ///
    /// # Errors
    ///
    /// If shared memory can't be listed, or the directory is refused. Errors of one object are in
    /// its [`ObjectInfo::state`].
    pub fn list(&self) -> Result<Vec<ObjectInfo>, ObjectError> {
        let listed = self.listed()?;
        let known = KnownNames::of(&listed);
        Ok(listed.into_iter().filter_map(|object| known.info(object)).collect())
    }
}

listing! {
    /// All namespaces that have objects in this machine's shared memory:
    /// `inspect::namespaces().list()?`.
    namespaces;
    /// Lists the namespaces of this machine. Made by [`namespaces`].
    NamespaceListing
}

impl NamespaceListing {
    /// The namespaces, sorted by name, those without a name last. A namespace in which several
    /// users have objects is listed once for each of them.
    ///
    /// Takes no lock and changes nothing. Objects that are created or removed in between may or may
    /// not be counted.
    ///
    /// Cost: a listing of shared memory, a system call for each object, and mapping one object of
    /// each namespace.
    ///
    /// # Errors
    ///
    /// If shared memory can't be listed, or the directory is refused.
    pub fn list(&self) -> Result<Vec<NamespaceInfo>, ObjectError> {
        let mut groups: BTreeMap<(String, u32), Vec<Listed>> = BTreeMap::new();
        for object in self.listed()? {
            let is_known = object.kind != ObjectKind::Unknown && object.status.is_regular;
            let Some(prefix) = ObjectNames::prefix_of_object(&object.name).filter(|_| is_known) else {
                continue;
            };
            groups.entry((prefix.to_owned(), object.status.owner)).or_default().push(object);
        }
        let mut namespaces: Vec<_> =
            groups.into_iter().map(|((_, owner), group)| namespace_info(owner, &group)).collect();
        namespaces.sort_by_cached_key(|info| (info.name.is_none(), info.name.clone(), info.owner_uid));
        Ok(namespaces)
    }
}

/// Sum over the objects that one user has in one namespace.
fn namespace_info(owner_uid: u32, group: &[Listed]) -> NamespaceInfo {
    let of_kind = |kind| group.iter().filter(move |object| object.kind == kind);
    // The registry first: there is one, and there may be many pages.
    let kinds = [ObjectKind::Registry, ObjectKind::Control, ObjectKind::Block];
    let mut named = kinds.into_iter().flat_map(of_kind);
    NamespaceInfo {
        name: named.find_map(Listed::namespace),
        owner_uid,
        channels: of_kind(ObjectKind::Control).count() as u64,
        blocks: of_kind(ObjectKind::Block).count() as u64,
        objects: group.len() as u64,
        bytes: group.iter().map(|object| object.status.size.resident).sum(),
        readable: group.iter().all(Listed::is_readable),
    }
}

/// The full names behind the names of objects, as far as control pages and registries hold them.
#[derive(Default)]
struct KnownNames {
    /// By the prefix of the objects' names.
    namespaces: BTreeMap<String, String>,
    channels: BTreeMap<ObjectNames, String>,
    /// By the names of their objects.
    blocks: BTreeMap<String, String>,
}

impl KnownNames {
    fn of(listed: &[Listed]) -> KnownNames {
        let mut known = KnownNames::default();
        for object in listed {
            let namespace = match object.names() {
                Some(Names::Registry(namespace)) => namespace,
                Some(Names::Channel(name)) => {
                    known.channels.insert(name.objects, name.channel);
                    name.namespace
                }
                Some(Names::Block(namespace, block)) => {
                    known.blocks.insert(object.name.clone(), block);
                    namespace
                }
                None => continue,
            };
            known.namespaces.insert(ObjectNames::prefix(&namespace), namespace);
        }
        known
    }

    /// The report of an object; `None` if it has been removed.
    fn info(&self, object: Listed) -> Option<ObjectInfo> {
        let state = object.state()?;
        let prefix = ObjectNames::prefix_of_object(&object.name);
        let names = ObjectNames::of_object(&object.name);
        Some(ObjectInfo {
            kind: object.kind,
            namespace: prefix.and_then(|prefix| self.namespaces.get(prefix).cloned()),
            channel: names.and_then(|names| self.channels.get(&names).cloned()),
            block: self.blocks.get(&object.name).cloned(),
            owner_uid: object.status.owner,
            permissions: object.status.permissions,
            bytes: object.status.size.bytes,
            resident: object.status.size.resident,
            state,
            name: object.name,
        })
    }
}

/// The full names that an object holds: the namespace's, and those of what it is.
enum Names {
    Registry(String),
    Channel(ChannelName),
    Block(String, String),
}

/// An object that was listed.
struct Listed {
    name: String,
    kind: ObjectKind,
    status: ObjectStatus,
    /// What may open it; `None` for an object that is not a regular file of a trusted user.
    backend: Option<SharedMemory>,
}

/// All objects with this library's prefix, sorted by name.
fn list(backend: &SharedMemory) -> Result<Vec<Listed>, ObjectError> {
    let mut names = backend.list(ObjectNames::PREFIX)?;
    names.sort_unstable();
    let mut listed = Vec::with_capacity(names.len());
    for name in names {
        if let Some(status) = if_exists(backend.status(&name))? {
            let kind = ObjectKind::of_name(&name);
            let backend = (status.is_regular && backend.trusts(status.owner)).then(|| backend.clone());
            listed.push(Listed { name, kind, status, backend });
        }
    }
    Ok(listed)
}

impl Listed {
    /// Whether this user may open the object, and trusts its owner.
    fn is_readable(&self) -> bool {
        self.backend.as_ref().is_some_and(|backend| self.status.is_ours() || backend.may_read(&self.name))
    }

    /// The full names that the object holds, if it is a page, a block or a registry that may be
    /// opened.
    fn names(&self) -> Option<Names> {
        let backend = self.backend.as_ref()?;
        match self.kind {
            ObjectKind::Control => {
                let names = ObjectNames::of_object(&self.name)?;
                Some(Names::Channel(catalog::own_page(backend, &names)?.name))
            }
            ObjectKind::Block => {
                let (namespace, block) = block::names_of(backend, &self.name)?;
                Some(Names::Block(namespace, block))
            }
            ObjectKind::Registry => catalog::namespace_of_registry(backend, &self.name).map(Names::Registry),
            _ => None,
        }
    }

    /// The namespace that the object names.
    fn namespace(&self) -> Option<String> {
        Some(match self.names()? {
            Names::Registry(namespace) | Names::Block(namespace, _) => namespace,
            Names::Channel(name) => name.namespace,
        })
    }

    /// What the object's first word shows; `None` if it has been removed.
    fn state(&self) -> Option<ObjectState> {
        if !self.status.is_regular {
            return Some(ObjectState::Foreign { reason: "it is not a regular file".into() });
        }
        let Some(backend) = &self.backend else { return Some(ObjectState::NotOpened) };
        Some(match backend.view(&self.name) {
            Ok(view) => state_of(&view),
            Err(ObjectError::NotFound { .. }) => return None,
            Err(ObjectError::Unfinished { .. }) => ObjectState::Unfinished,
            Err(ObjectError::OtherOwner { .. }) => ObjectState::NotOpened,
            Err(ObjectError::PermissionDenied { owner: Some(owner), .. }) if may_be_unmapped(owner) => {
                ObjectState::NotOpened
            }
            Err(ObjectError::Foreign { reason, .. }) => ObjectState::Foreign { reason },
            Err(ObjectError::OtherVersion { found, .. }) => ObjectState::OtherVersion { found },
            Err(error) => ObjectState::Unreadable { reason: error.to_string() },
        })
    }
}

/// The ready word is that of any kind of object; `ControlPage::validate` is for control pages only.
fn state_of(view: &impl Memory) -> ObjectState {
    match ready::check(view) {
        Readiness::NotReady => ObjectState::Unfinished,
        Readiness::Ready => ObjectState::Ready,
        Readiness::OtherVersion(found) => ObjectState::OtherVersion { found },
        Readiness::Foreign(word) => ObjectState::Foreign { reason: format!("it begins with {word:#018x}") },
    }
}
