//! Claiming an object: passing its gate, and owning it until the process ends or drops the claim.

use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::Stat;

use super::super::{Access, Claim, ClaimOptions, ForkToken, ObjectError, ObjectStatus, Size, lock, mapping};
use super::directory::Directory;
use super::object::{
    empty, extend, failed, failed_io, foreign, map, remove_if_same, reserved_bytes, set_access,
    stat_if_named, status_of,
};
use crate::layout::WORD_BYTES;
use crate::memory::{Memory, ObjectId, Words};

/// Pause before the next try to pass the gate.
const GATE_PAUSE: Duration = Duration::from_micros(100);

/// A claimed object: mapped, with the descriptor that holds the lock.
#[derive(Debug)]
pub(super) struct ShmClaim {
    words: Words,
    /// Its path.
    object: String,
    directory: Directory,
    lock: OwnerLock,
}

impl ShmClaim {
    /// One try, by a descriptor of the object `id`; `None` if the name has come to mean another
    /// one.
    pub(super) fn take(
        (fd, id): (OwnedFd, ObjectId),
        object: &str,
        options: ClaimOptions,
        directory: &Directory,
        abandoned: &dyn Fn(&Words) -> bool,
    ) -> Result<Option<ShmClaim>, ObjectError> {
        let wanted = options.size.map(|bytes| directory.round(bytes));
        let Some(lock) = OwnerLock::pass_gate(fd, object, options.patience)? else {
            return Err(ObjectError::Claimed { object: object.into() });
        };
        let os = |error| failed_io(object, "lock", error);
        let vacancy = lock::vacancy(lock.fd.as_fd()).map_err(os)?;
        if vacancy.is_behind_another() {
            let stat = lock.stat(object)?;
            if stat.st_nlink == 0 {
                // The process that passed the gate before has unlinked it.
                return Ok(None);
            }
            let (size, is_whole) = size_behind_gate(&stat, object, wanted)?;
            let is_live = !is_whole || !abandoned(&map(&lock.fd, id, object, size)?);
            if is_live {
                return Err(ObjectError::Claimed { object: object.into() });
            }
        }
        vacancy.fill(lock.fd.as_fd()).map_err(os)?;
        // An owner that ends unlinks the name without passing the gate, and then its lock is gone.
        // Only now, without another owner, does the name keep its meaning.
        let Some(stat) = stat_if_named(object, id)? else { return Ok(None) };
        let (size, is_whole) = size_behind_gate(&stat, object, wanted)?;
        // One that is not whole begins again: its size may be anything.
        let bytes = if is_whole { size } else { directory.round(wanted.of_new()) };
        // This sets the size after the memory is reserved: a process that sees the size can access
        // all of the object.
        let claimed = match is_whole {
            true => Ok(()),
            false => empty(&lock.fd, object, size).and_then(|()| extend(&lock.fd, object, 0, bytes)),
        };
        let mapped = claimed.and_then(|()| match options.size {
            // Of the registry, which each writer of this process claims in turn.
            Size::Exactly(_) => mapping::shared(lock.fd.as_fd(), 0, bytes, id, directory.pages())
                .map_err(|errno| failed(object, "mmap", errno)),
            _ => map(&lock.fd, id, object, bytes),
        });
        match mapped {
            Ok(words) => {
                Ok(Some(ShmClaim { words, object: object.into(), directory: directory.clone(), lock }))
            }
            Err(error) => {
                if !is_whole {
                    // It holds nothing yet: it is not left behind for lack of memory.
                    let _ = remove_if_same(object, id);
                }
                Err(error)
            }
        }
    }
}

/// The size of an object whose gate this process holds, and whether it is whole. Objects get their
/// size and memory behind the gate. An object that has less is one whose creator was killed there.
fn size_behind_gate(stat: &Stat, object: &str, expected: Size) -> Result<(usize, bool), ObjectError> {
    let size = usize::try_from(stat.st_size).unwrap_or(usize::MAX);
    if size != 0 && !expected.includes(size) {
        return Err(foreign(object, format!("it has {size} bytes instead of {}", expected.of_new())));
    }
    Ok((size, expected.is_whole(size, reserved_bytes(stat))))
}

/// The descriptor that holds the locks of a claim. Dropping it releases them.
#[derive(Debug)]
pub(super) struct OwnerLock {
    pub(super) fd: OwnedFd,
    token: ForkToken,
}

impl OwnerLock {
    pub(super) fn stat(&self, object: &str) -> Result<Stat, ObjectError> {
        rustix::fs::fstat(&self.fd).map_err(|errno| failed(object, "fstat", errno))
    }

    /// Waits for the gate; `None` if it stays locked for too long.
    pub(super) fn pass_gate(
        fd: OwnedFd,
        object: &str,
        patience: Duration,
    ) -> Result<Option<OwnerLock>, ObjectError> {
        let lock = OwnerLock { fd, token: ForkToken::take() };
        let begin = Instant::now();
        loop {
            let passed = lock::try_lock_gate(lock.fd.as_fd());
            if passed.map_err(|error| failed_io(object, "lock", error))? {
                return Ok(Some(lock));
            }
            if begin.elapsed() >= patience {
                return Ok(None);
            }
            thread::sleep(GATE_PAUSE);
        }
    }
}

impl Drop for OwnerLock {
    fn drop(&mut self) {
        // Only closing the descriptor would leave the locks to forks of this process, which share
        // them. A fork must leave the locks to this process.
        if self.token.is_ours() {
            lock::unlock_all(self.fd.as_fd());
        }
    }
}

impl Claim for ShmClaim {
    fn memory(&self) -> &Words {
        &self.words
    }

    fn settle(&self) {
        lock::unlock_gate(self.lock.fd.as_fd());
    }

    fn set_access(&self, access: Access) -> Result<(), ObjectError> {
        set_access(&self.lock.fd, &self.lock.stat(&self.object)?, &self.object, access)
    }

    fn status(&self) -> Result<ObjectStatus, ObjectError> {
        self.lock.stat(&self.object).map(|stat| status_of(&stat))
    }

    fn grow(&mut self, bytes: usize) -> Result<(), ObjectError> {
        let (known, bytes) = (self.words.len() * WORD_BYTES, self.directory.round(bytes));
        let Some(more) = bytes.checked_sub(known).filter(|more| *more > 0) else { return Ok(()) };
        extend(&self.lock.fd, &self.object, known, more)?;
        self.words = map(&self.lock.fd, self.words.object(), &self.object, bytes)?;
        Ok(())
    }

    fn remove(&self) -> Result<(), ObjectError> {
        remove_if_same(&self.object, self.words.object())
    }
}
