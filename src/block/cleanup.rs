//! Blocks as a namespace sees them: what there is, and what dead owners have left.

use std::sync::Arc;
use std::time::Duration;

use super::BlockError;
use super::header::{BlockName, Header, Problem, is_removed};
use super::open::{owner_state, remove};
use crate::channel::{RemovalReason, Removed, WriterState, is_abandoned, owner_of};
use crate::layout::{ObjectNames, PAGE_BYTES};
use crate::memory::SharedWords;
use crate::object::{Backend, ClaimOptions, ObjectError, Size, if_exists};
use crate::seqlock::ready::{self, Readiness};

/// A block of a namespace: see [`Namespace::blocks`](crate::Namespace::blocks).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockInfo {
    /// Its name.
    pub name: String,
    /// What its owner says about the contents: [`BlockBuilder::label`](super::BlockBuilder::label).
    pub label: String,
    /// Bytes of its contents.
    pub len: usize,
    /// Bytes of memory that its object takes.
    pub resident: u64,
    /// Random id, by which a block differs from others that had its name.
    pub instance: u64,
    /// State of the process that owns it.
    pub owner: WriterState,
    /// The owner's process id, in its own PID namespace.
    pub owner_pid: u64,
    /// Numeric id of the user that owns the object.
    pub owner_uid: u32,
    /// Permission bits of the object, for example `0o600`.
    pub permissions: u32,
    /// Time since it was created, if that is known.
    pub age: Option<Duration>,
    /// The name of its object in the namespace's directory.
    pub object: String,
}

/// The objects of blocks in a namespace, or in one whose name has the same hash.
fn objects(backend: &dyn Backend, namespace: &str) -> Result<Vec<String>, ObjectError> {
    let mut objects = backend.list(&ObjectNames::prefix(namespace))?;
    objects.retain(|object| ObjectNames::is_block(object));
    Ok(objects)
}

/// The blocks of a namespace that can be opened, sorted by name.
pub(crate) fn list(backend: &Arc<dyn Backend>, namespace: &str) -> Result<Vec<BlockInfo>, ObjectError> {
    let mut found = Vec::new();
    for object in objects(backend.as_ref(), namespace)? {
        let Some((header, memory)) = header_of(backend.as_ref(), &object) else { continue };
        let Some(status) = if_exists(backend.status(&object))? else { continue };
        if header.namespace != namespace {
            continue;
        }
        let owner = match is_removed(&memory) {
            true => WriterState::Closed,
            false => owner_state(backend, &object, &memory).unwrap_or(WriterState::Unknown),
        };
        found.push(BlockInfo {
            age: header.age(),
            name: header.name,
            label: header.label,
            len: header.len,
            resident: status.size.resident,
            instance: header.instance,
            owner,
            owner_pid: header.owner.pid,
            owner_uid: status.owner,
            permissions: status.permissions,
            object,
        });
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// The full names of the block that has `object`: its namespace's and its own. A header is believed
/// only about its own object.
pub(crate) fn names_of(backend: &dyn Backend, object: &str) -> Option<(String, String)> {
    header_of(backend, object).map(|(header, _)| (header.namespace, header.name))
}

fn header_of(backend: &dyn Backend, object: &str) -> Option<(Header, SharedWords<false>)> {
    let memory = backend.view(object).ok()?;
    let header = Header::read(&memory).ok()?;
    (ObjectNames::block(&header.namespace, &header.name) == object).then_some((header, memory))
}

/// Removes the blocks of a namespace whose owners are dead, without waiting for another process.
/// Errors are left to a cleanup that is asked for.
pub(super) fn remove_dead(backend: &Arc<dyn Backend>, namespace: &str) {
    for object in objects(backend.as_ref(), namespace).unwrap_or_default() {
        let _ = clean(backend, namespace, &object, Duration::ZERO);
    }
}

/// Removes a block's object if its owner is dead, waiting up to `patience` for another process that
/// is claiming it; never one of a living owner or of another user.
pub(crate) fn clean(
    backend: &Arc<dyn Backend>,
    namespace: &str,
    object: &str,
    patience: Duration,
) -> Result<Option<Removed>, ObjectError> {
    // A look without the lock spares a living owner the claim.
    if dry_run(backend, namespace, object)?.is_none() {
        return Ok(None);
    }
    let options = ClaimOptions { patience, ..ClaimOptions::existing(Size::AtLeast(PAGE_BYTES)) };
    let claim = match backend.claim(object, options, &|page| is_abandoned(page)) {
        Ok(claim) => claim,
        Err(ObjectError::Claimed { .. } | ObjectError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(removed) = leftover(namespace, object, claim.memory()) else { return Ok(None) };
    match removed.reason {
        // The state may be anywhere.
        RemovalReason::OtherVersion => claim.remove()?,
        _ => remove(claim.as_ref())?,
    }
    Ok(Some(removed))
}

/// What [`clean`] would remove. Stores nothing, takes no lock and waits for no process.
pub(crate) fn dry_run(
    backend: &Arc<dyn Backend>,
    namespace: &str,
    object: &str,
) -> Result<Option<Removed>, ObjectError> {
    if !backend.owns(object)? {
        return Ok(None);
    }
    let memory = match backend.view(object) {
        Ok(memory) => memory,
        Err(ObjectError::NotFound { .. }) => return Ok(None),
        // The creator died before the object had memory, or is at work at this moment: the two look
        // alike. The same under a umask that forbids even the owner.
        Err(ObjectError::Unfinished { .. } | ObjectError::PermissionDenied { .. }) => {
            return Ok(Some(half_made(object)));
        }
        Err(error) => return Err(error),
    };
    let is_free = backend.is_claimed(object, &memory)? == Some(false);
    let removed = leftover(namespace, object, &memory);
    Ok(removed.filter(|_| is_free || is_abandoned(&memory)))
}

fn half_made(object: &str) -> Removed {
    Removed::without_channel(RemovalReason::HalfMade, vec![object.to_owned()])
}

/// What a block without an owner is removed as; `None` if it is none of this namespace.
fn leftover<const W: bool>(namespace: &str, object: &str, memory: &SharedWords<W>) -> Option<Removed> {
    let without_name = |reason| Removed::without_channel(reason, vec![object.to_owned()]);
    match Header::read(memory) {
        // A process that may write has changed its length or its names. It is no block any more.
        Err(Problem::Foreign(_)) if matches!(ready::check(memory), Readiness::Ready) => {
            Some(without_name(RemovalReason::Orphaned))
        }
        Ok(header) if ObjectNames::block(&header.namespace, &header.name) != object => {
            Some(without_name(RemovalReason::Orphaned))
        }
        Ok(header) if header.namespace != namespace => None,
        Ok(header) => {
            let reason = if is_removed(memory) { RemovalReason::HalfRemoved } else { RemovalReason::Dead };
            let pid = header.owner.pid;
            Some(Removed { block: Some(header.name), pid, ..without_name(reason) })
        }
        Err(Problem::NotReady) => Some(Removed { pid: owner_of(memory).pid, ..half_made(object) }),
        Err(Problem::OtherVersion(_)) => Some(without_name(RemovalReason::OtherVersion)),
        Err(Problem::Foreign(_)) => None,
    }
}

/// Removes a block that no process owns; `false` if there is none of that name.
pub(super) fn remove_named(backend: &Arc<dyn Backend>, name: &BlockName) -> Result<bool, BlockError> {
    let failed = |source| name.failed(source);
    let options = ClaimOptions::existing(Size::AtLeast(PAGE_BYTES));
    let claim = match backend.claim(&name.object, options, &|page| is_abandoned(page)) {
        Ok(claim) => claim,
        Err(ObjectError::NotFound { .. }) => return Ok(false),
        Err(ObjectError::Claimed { .. }) => {
            let pid = backend.view(&name.object).map_or(0, |page| owner_of(&page).pid);
            return Err(BlockError::AlreadyOwned { block: name.block.clone(), pid });
        }
        Err(source) => return Err(failed(source)),
    };
    match Header::read(claim.memory()) {
        Ok(header) => header.check(name)?,
        Err(Problem::NotReady) => {}
        Err(Problem::OtherVersion(_)) => return claim.remove().map(|()| true).map_err(failed),
        Err(problem) => problem.error(name, backend.path(&name.object)).map_or(Ok(()), Err)?,
    }
    remove(claim.as_ref()).map(|()| true).map_err(failed)
}
