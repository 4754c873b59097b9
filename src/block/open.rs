//! Creating a block, finding one, and what its owner does until it ends.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use super::BlockError;
use super::header::{BlockName, Header, Problem, is_removed, object_bytes};
use crate::channel::{Budgets, WriterState, is_abandoned, owner_of, state_of_owner, store_owner};
use crate::layout::{Kind, ObjectNames, PAGE_BYTES, WORD_BYTES, block};
use crate::liveness::ProcessIdentity;
use crate::memory::{Memory, MemoryMut, ReadOnlyWords, Words};
use crate::object::{
    self, Access, AtExit, Backend, Backoff, Claim, ClaimOptions, ForkToken, ObjectError, PATIENCE, Size,
    if_exists,
};
use crate::seqlock::ChannelState;

/// Attempts to create, each of which first removes what a dead owner has left.
const MAX_TRIES: usize = 16;

/// A block's ownership. It ends when this is dropped, and when the process exits.
#[derive(Debug)]
pub(super) struct Ownership {
    claim: Box<dyn Claim>,
    owner: ForkToken,
}

impl Ownership {
    /// The words of the block's object.
    pub(super) fn memory(&self) -> &Words {
        self.claim.memory()
    }

    /// Removes the block's name, unless this process is a fork of the owner. May be repeated.
    pub(super) fn end(&self) -> Result<(), ObjectError> {
        // A fork shares the owner's lock, and must not end what the owner still uses.
        if !self.owner.is_ours() {
            return Ok(());
        }
        remove(self.claim.as_ref())
    }
}

impl Drop for Ownership {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

impl AtExit for Ownership {
    fn at_exit(self: Arc<Self>, _done: Sender<()>) {
        // Waits for no lock: no code that holds the heap's map exits.
        let _ = self.end();
    }
}

/// Removes a claimed block. Those that have it mapped see that it is removed before its name is
/// free.
pub(super) fn remove(claim: &dyn Claim) -> Result<(), ObjectError> {
    ChannelState::Removed.store(claim.memory());
    claim.remove()
}

/// A block that is to be created.
pub(super) struct Creation<'a> {
    pub(super) backend: &'a Arc<dyn Backend>,
    pub(super) name: &'a BlockName,
    pub(super) access: Access,
    pub(super) budgets: Budgets,
    pub(super) label: &'a str,
    pub(super) len: usize,
}

impl Creation<'_> {
    /// Creates the block, in place of one whose owner has died.
    pub(super) fn create(&self) -> Result<(Arc<Ownership>, Header), BlockError> {
        let block = || self.name.block.clone();
        let bytes = object_bytes(self.len)
            .ok_or_else(|| BlockError::InvalidSize { block: block(), bytes: self.len })?;
        if self.label.len() > block::LABEL.max {
            return Err(BlockError::LabelTooLong { block: block(), len: self.label.len() });
        }
        let mode = self.access.mode;
        if mode & !0o777 != 0 || mode & 0o600 != 0o600 {
            return Err(BlockError::InvalidPermissions { block: block(), mode });
        }
        for _ in 0..MAX_TRIES {
            let claim = self.claim()?;
            let status = claim.status().map_err(|source| self.name.failed(source))?;
            status.must_be_ours(&self.path()).map_err(|source| self.name.failed(source))?;
            match Header::read(claim.memory()) {
                Err(Problem::NotReady) if claim.memory().len() * WORD_BYTES <= self.memory_of(PAGE_BYTES) => {
                    return self.fill(claim, bytes, status.access());
                }
                Err(Problem::NotReady) => {}
                Ok(header) => header.check(self.name)?,
                Err(problem) => {
                    let error = problem.error(self.name, self.path());
                    return Err(error.unwrap_or_else(|| self.already_owned()));
                }
            }
            // What a dead owner or creator has left.
            remove(claim.as_ref()).map_err(|source| self.name.failed(source))?;
        }
        Err(self.already_owned())
    }

    fn claim(&self) -> Result<Box<dyn Claim>, BlockError> {
        let options = ClaimOptions::create(Size::AtLeast(PAGE_BYTES));
        let claim = self.backend.claim(&self.name.object, options, &|page| is_abandoned(page));
        claim.map_err(|source| match self.backend.view(&self.name.object).map(|page| Header::read(&page)) {
            Ok(Err(problem @ Problem::OtherVersion(_))) => {
                problem.error(self.name, self.path()).unwrap_or_else(|| self.already_owned())
            }
            _ if !matches!(source, ObjectError::Claimed { .. }) => self.name.failed(source),
            Ok(Ok(header)) => header.check(self.name).err().unwrap_or_else(|| self.already_owned()),
            _ => self.already_owned(),
        })
    }

    /// Makes a block of a claimed object that holds nothing. If that fails, the object is removed.
    fn fill(
        &self,
        mut claim: Box<dyn Claim>,
        bytes: usize,
        found: Access,
    ) -> Result<(Arc<Ownership>, Header), BlockError> {
        let filled = self.try_fill(claim.as_mut(), bytes, found);
        if filled.is_err() {
            let _ = claim.remove();
        }
        filled?;
        let owned = Arc::new(Ownership { claim, owner: ForkToken::take() });
        object::at_exit(&owned);
        match Header::read(owned.memory()) {
            Ok(header) => Ok((owned, header)),
            // Another process has overwritten it.
            Err(problem) => {
                Err(problem.error(self.name, self.path()).unwrap_or_else(|| self.already_owned()))
            }
        }
    }

    fn try_fill(&self, claim: &mut dyn Claim, bytes: usize, found: Access) -> Result<(), BlockError> {
        let failed = |source| self.name.failed(source);
        let instance = getrandom::u64()
            .map_err(|error| BlockError::NoRandomness(self.name.block.clone(), error.to_string()))?;
        // A creator that died may have left anything.
        (0..claim.memory().len()).for_each(|word| claim.memory().store(word, 0));
        // The owner first, and then the gate is opened: to reserve a large block takes long.
        store_owner(claim.memory(), ProcessIdentity::of_self());
        claim.settle();
        let group = self.access.admitted_group().or(found.group);
        if (Access { group, ..self.access }) != found {
            claim.set_access(self.access).map_err(failed)?;
        }
        self.afford((self.memory_of(bytes) - self.memory_of(PAGE_BYTES)) as u64)?;
        claim.grow(bytes).map_err(failed)?;
        Header::publish(claim.memory(), self.name, self.label, self.len, instance);
        Ok(())
    }

    fn afford(&self, needed: u64) -> Result<(), BlockError> {
        let BlockName { namespace, block, .. } = self.name;
        // Only the namespace's name counts: a block has no budget of its own.
        let names = ObjectNames::new(namespace, block);
        let exceeded = Budgets { channel: None, ..self.budgets }.exceeded(self.backend, &names, needed);
        match exceeded.map_err(|source| self.name.failed(source))? {
            Some(over) => Err(BlockError::OverBudget { block: block.clone(), over }),
            None => Ok(()),
        }
    }

    fn memory_of(&self, bytes: usize) -> usize {
        self.backend.memory_of(bytes)
    }

    fn path(&self) -> String {
        self.backend.path(&self.name.object)
    }

    fn already_owned(&self) -> BlockError {
        let page = self.backend.view(&self.name.object);
        let is_known = |page: &ReadOnlyWords| !matches!(Header::read(page), Err(Problem::OtherVersion(_)));
        let pid = page.ok().filter(is_known).map_or(0, |page| owner_of(&page).pid);
        BlockError::AlreadyOwned { block: self.name.block.clone(), pid }
    }
}

/// Result of looking up a block's name once.
enum Found {
    Missing,
    /// Its creator has not finished it.
    NotReady,
    /// The owner of this process id has died.
    OwnerDied(u64),
    Ready(Header, ReadOnlyWords),
}

/// Finds a block of a living owner and maps all of it, waiting up to `patience`. A creator that is
/// at work is waited for a while in any case.
pub(super) fn find(
    backend: &Arc<dyn Backend>,
    name: &BlockName,
    patience: Duration,
) -> Result<(Header, ReadOnlyWords), BlockError> {
    let begin = Instant::now();
    let mut backoff = Backoff::new();
    loop {
        let found = look(backend, name)?;
        let waited = begin.elapsed();
        let block = || name.block.clone();
        match found {
            Found::Ready(header, memory) => return Ok((header, memory)),
            Found::Missing if waited >= patience => {
                let channel = ObjectNames::new(&name.namespace, &name.block).object(Kind::Control);
                let is_channel = backend.size(&channel).is_ok();
                let namespace = name.namespace.clone();
                return Err(BlockError::NotFound { namespace, block: block(), waited: patience, is_channel });
            }
            Found::OwnerDied(pid) if waited >= patience => {
                return Err(BlockError::OwnerDied { block: block(), pid, waited: patience });
            }
            Found::NotReady if waited >= patience.max(PATIENCE) => {
                return Err(BlockError::NotReady { block: block(), waited });
            }
            _ => backoff.wait(),
        }
    }
}

fn look(backend: &Arc<dyn Backend>, name: &BlockName) -> Result<Found, BlockError> {
    let memory = match backend.view(&name.object) {
        Ok(memory) => memory,
        Err(ObjectError::NotFound { .. }) => return Ok(Found::Missing),
        Err(ObjectError::Unfinished { .. }) => return Ok(Found::NotReady),
        Err(source) => return Err(name.failed(source)),
    };
    let header = match Header::read(&memory) {
        Ok(header) => header,
        // A creator gives the object its whole size shortly before the header is ready. One that
        // was mapped with less is mapped again.
        Err(Problem::Foreign(_)) if !has_size(backend, name, &memory)? => return Ok(Found::NotReady),
        Err(Problem::NotReady) if owner_state(backend, &name.object, &memory) == Some(WriterState::Dead) => {
            return Ok(Found::Missing);
        }
        Err(problem) => {
            return match problem.error(name, backend.path(&name.object)) {
                Some(error) => Err(error),
                None => Ok(Found::NotReady),
            };
        }
    };
    header.check(name)?;
    if is_removed(&memory) {
        return Ok(Found::Missing);
    }
    let state = state_of_owner(backend.as_ref(), &name.object, &memory, || header.owner);
    Ok(match state.map_err(|source| name.failed(source))? {
        // It may have been removed in good order since, and the lock released after that.
        WriterState::Dead if is_removed(&memory) => Found::Missing,
        WriterState::Dead => Found::OwnerDied(header.owner.pid),
        _ => Found::Ready(header, memory),
    })
}

/// Whether the object still has the size that was mapped; also if it has been removed.
fn has_size(
    backend: &Arc<dyn Backend>,
    name: &BlockName,
    memory: &ReadOnlyWords,
) -> Result<bool, BlockError> {
    let size = if_exists(backend.size(&name.object)).map_err(|source| name.failed(source))?;
    Ok(size.is_none_or(|size| size.bytes == (memory.len() * WORD_BYTES) as u64))
}

/// The state of the owner of the object whose beginning `memory` maps; `None` if it can't be
/// determined.
pub(super) fn owner_state(
    backend: &Arc<dyn Backend>,
    object: &str,
    memory: &ReadOnlyWords,
) -> Option<WriterState> {
    state_of_owner(backend.as_ref(), object, memory, || owner_of(memory)).ok()
}

/// The same block, mapped writable; `None` if its name has come to mean another one.
pub(super) fn map_writable(
    backend: &Arc<dyn Backend>,
    name: &BlockName,
    found: &ReadOnlyWords,
) -> Result<Option<Words>, BlockError> {
    let mapped = if_exists(backend.part(&name.object, 0, found.len() * WORD_BYTES));
    let mapped = mapped.map_err(|source| name.failed(source))?;
    Ok(mapped.filter(|words| words.object() == found.object()))
}
