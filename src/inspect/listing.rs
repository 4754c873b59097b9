//! All objects of this machine that are this library's by their names.

use std::collections::BTreeMap;

use super::{ObjectInfo, ObjectKind, ObjectState};
use crate::channel::{ChannelName, check_namespace, read_text};
use crate::layout::{Kind, ObjectNames, PAGE_BYTES, WORD_BYTES, control, registry};
use crate::memory::Memory;
use crate::object::{Backend, Extent, ObjectError, ObjectStatus, SharedMemory};
use crate::seqlock::ready::{self, Readiness};

/// The first page of an object, which is all that is looked at here.
const FIRST_PAGE: Extent = Extent { bytes: PAGE_BYTES, reserved: PAGE_BYTES };

/// All objects in this machine's shared memory whose names are this library's:
/// `inspect::objects().list()?`.
pub fn objects() -> ObjectListing {
    ObjectListing { trusted: Vec::new() }
}

/// Lists the objects of this library. Made by [`objects`].
#[derive(Clone, Debug)]
#[must_use = "nothing is listed before `list`"]
pub struct ObjectListing {
    trusted: Vec<u32>,
}

impl ObjectListing {
    /// Opens the objects of another user, too, given by numeric id. Default: objects of other users are
    /// listed, not opened.
    pub fn trust_owner(mut self, user: u32) -> Self {
        self.trusted.push(user);
        self
    }

    /// The objects, sorted by name.
    ///
    /// Takes no lock and changes nothing. Objects that are created or removed in between may or may not
    /// be included. An object whose name was removed is not found, even if processes have it mapped.
    ///
    /// Cost: a listing of shared memory, and for each trusted object mapping its first page once.
    ///
    /// # Errors
    ///
    /// If shared memory can't be listed. Errors of one object are in its [`ObjectInfo::state`].
    pub fn list(&self) -> Result<Vec<ObjectInfo>, ObjectError> {
        let listed = list(&self.trusted)?;
        let known = KnownNames::of(&listed);
        Ok(listed.into_iter().filter_map(|object| known.info(object)).collect())
    }
}

/// The full names behind the names of objects, as far as anything tells them.
#[derive(Default)]
struct KnownNames {
    /// By what the objects' names begin with.
    namespaces: BTreeMap<String, String>,
    channels: BTreeMap<ObjectNames, String>,
}

impl KnownNames {
    fn of(listed: &[Listed]) -> KnownNames {
        let mut known = KnownNames::default();
        for object in listed {
            let Some(names) = object.names() else { continue };
            if let Some(prefix) = ObjectNames::prefix_of_object(&object.name) {
                known.namespaces.insert(prefix.into(), names.namespace);
            }
            if let (Some(stem), Some(channel)) = (ObjectNames::of_object(&object.name), names.channel) {
                known.channels.insert(stem, channel);
            }
        }
        known
    }

    /// All about an object; `None` if it is gone by now.
    fn info(&self, object: Listed) -> Option<ObjectInfo> {
        let state = object.state()?;
        let prefix = ObjectNames::prefix_of_object(&object.name);
        let stem = ObjectNames::of_object(&object.name);
        Some(ObjectInfo {
            kind: object.kind,
            namespace: prefix.and_then(|prefix| self.namespaces.get(prefix).cloned()),
            channel: stem.and_then(|stem| self.channels.get(&stem).cloned()),
            owner_uid: object.status.owner,
            permissions: object.status.permissions,
            bytes: object.status.size.bytes,
            resident: object.status.size.resident,
            state,
            name: object.name,
        })
    }
}

/// An object that was listed.
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) kind: ObjectKind,
    pub(super) status: ObjectStatus,
    /// What may open it; `None` if it is not ours to open.
    backend: Option<SharedMemory>,
}

/// The full names that an object tells.
pub(super) struct Names {
    pub(super) namespace: String,
    /// None of a registry.
    pub(super) channel: Option<String>,
}

/// All objects whose names begin as ours, in order.
pub(super) fn list(trusted: &[u32]) -> Result<Vec<Listed>, ObjectError> {
    let own = SharedMemory::default();
    let mut names = own.list(ObjectNames::PREFIX)?;
    names.sort_unstable();
    let mut listed = Vec::with_capacity(names.len());
    for name in names {
        match own.status(&name) {
            Ok(status) => {
                let (kind, backend) = (ObjectKind::of_name(&name), backend_for(&status, trusted));
                listed.push(Listed { name, kind, status, backend });
            }
            Err(ObjectError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(listed)
}

fn backend_for(status: &ObjectStatus, trusted: &[u32]) -> Option<SharedMemory> {
    let mut backend = SharedMemory::default();
    if trusted.contains(&status.owner) {
        backend.trust_owner(status.owner);
    }
    (status.is_regular && backend.trusts(status.owner)).then_some(backend)
}

impl Listed {
    /// Whether it is a regular file that may be opened, by whose it is.
    pub(super) fn is_trusted(&self) -> bool {
        self.backend.is_some()
    }

    /// The full names that it tells, if it is a page or a table that may be opened and they are those of its own name.
    pub(super) fn names(&self) -> Option<Names> {
        let backend = self.backend.as_ref()?;
        match self.kind {
            ObjectKind::Control => self.names_of_page(backend),
            ObjectKind::Registry => self.names_of_registry(backend),
            _ => None,
        }
    }

    fn names_of_page(&self, backend: &SharedMemory) -> Option<Names> {
        let page = backend.view(&self.name).ok()?;
        if page.len() * WORD_BYTES != control::BYTES || ready::check(&page) != Readiness::Ready {
            return None;
        }
        let namespace = read_text(&page, control::NAMESPACE);
        let channel = read_text(&page, control::CHANNEL);
        // A hash can be made for any text. What is no name is not shown to anybody.
        let name = ChannelName::new(&namespace, &channel).ok()?;
        let is_own = name.objects.object(Kind::Control) == self.name;
        is_own.then_some(Names { namespace, channel: Some(channel) })
    }

    fn names_of_registry(&self, backend: &SharedMemory) -> Option<Names> {
        let table = backend.view_sparse(&self.name, FIRST_PAGE).ok()?;
        if table.len() * WORD_BYTES != registry::BYTES || ready::check(&table) != Readiness::Ready {
            return None;
        }
        let namespace = read_text(&table, registry::NAMESPACE);
        check_namespace(&namespace).ok()?;
        let is_own = ObjectNames::registry(&namespace) == self.name;
        is_own.then_some(Names { namespace, channel: None })
    }

    /// What it is found to be; `None` if it is gone.
    fn state(&self) -> Option<ObjectState> {
        if !self.status.is_regular {
            return Some(ObjectState::Foreign { reason: "it is not a regular file".into() });
        }
        let Some(backend) = &self.backend else { return Some(ObjectState::NotOpened) };
        Some(match backend.view_sparse(&self.name, FIRST_PAGE) {
            Ok(view) => state_of(&view),
            Err(ObjectError::NotFound { .. }) => return None,
            Err(ObjectError::Unfinished { .. }) => ObjectState::Unfinished,
            Err(ObjectError::OtherOwner { .. }) => ObjectState::NotOpened,
            Err(ObjectError::Foreign { reason, .. }) => ObjectState::Foreign { reason },
            Err(error) => ObjectState::Unreadable { reason: error.to_string() },
        })
    }
}

fn state_of(view: &impl Memory) -> ObjectState {
    match ready::check(view) {
        Readiness::NotReady => ObjectState::Unfinished,
        Readiness::Ready => ObjectState::Ready,
        Readiness::OtherVersion(found) => ObjectState::OtherVersion { found },
        Readiness::Foreign(word) => ObjectState::Foreign { reason: format!("it begins with {word:#018x}") },
    }
}
