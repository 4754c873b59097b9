//! Claiming an object: passing its gate, and owning it until the process ends or lets go.

use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use super::super::{Claim, ClaimOptions, Extent, ForkToken, Mode, ObjectError, lock};
use super::object::{
    failed, foreign, identity, map, names, remove_if_same, reserve_range, reserved_bytes, set_mode,
};
use crate::memory::Words;

/// How long to sleep before the gate is tried again.
const GATE_PAUSE: Duration = Duration::from_micros(100);

/// A claimed object: mapped, with the descriptor that holds the lock.
#[derive(Debug)]
pub(super) struct ShmClaim {
    words: Words,
    object: String,
    lock: OwnerLock,
}

impl ShmClaim {
    /// One try; `None` if the name meanwhile means another object.
    pub(super) fn take(
        fd: OwnedFd,
        object: &str,
        options: ClaimOptions,
        abandoned: &dyn Fn(&Words) -> bool,
    ) -> Result<Option<ShmClaim>, ObjectError> {
        let extent = options.extent;
        let Some(lock) = OwnerLock::pass_gate(fd, object, options.patience)? else {
            return Err(ObjectError::Claimed { object: object.into() });
        };
        // Objects are given their size and memory behind the gate: only who was killed there has left less.
        let stat = rustix::fs::fstat(&lock.fd).map_err(|errno| failed(object, "fstat", errno))?;
        if stat.st_nlink == 0 {
            // Whoever passed the gate before has removed it.
            return Ok(None);
        }
        let size = usize::try_from(stat.st_size).unwrap_or(usize::MAX);
        if ![0, extent.reserved, extent.bytes].contains(&size) {
            return Err(foreign(object, format!("it has {size} bytes instead of {}", extent.bytes)));
        }
        let is_whole = size == extent.bytes && reserved_bytes(&stat) >= extent.reserved;
        let os = |source| ObjectError::Os { object: object.into(), operation: "lock", source };
        let vacancy = lock::vacancy(lock.fd.as_fd()).map_err(os)?;
        if vacancy.is_behind_another() {
            let is_live = !is_whole || !abandoned(&map(&lock.fd, &stat, object, extent.bytes)?);
            if is_live {
                return Err(ObjectError::Claimed { object: object.into() });
            }
        }
        vacancy.fill(lock.fd.as_fd()).map_err(os)?;
        // An owner that ends removes the name without passing the gate, and then its lock is gone: only now that there
        // is no other owner does the name stay what it is.
        if !names(object, identity(&stat)) {
            return Ok(None);
        }
        let claimed = if is_whole { Ok(()) } else { give_memory(&lock.fd, object, extent) };
        match claimed.and_then(|()| map(&lock.fd, &stat, object, extent.bytes)) {
            Ok(words) => Ok(Some(ShmClaim { words, object: object.into(), lock })),
            Err(error) => {
                if !is_whole {
                    // Nothing stands in it yet: it is not left behind for want of memory.
                    let _ = remove_if_same(object, identity(&stat));
                }
                Err(error)
            }
        }
    }
}

/// Gives an object the memory that it needs at once, and then its size: who sees the size may touch that memory.
fn give_memory(fd: &OwnedFd, object: &str, extent: Extent) -> Result<(), ObjectError> {
    reserve_range(fd, object, 0, extent.reserved)?;
    rustix::io::retry_on_intr(|| rustix::fs::ftruncate(fd, extent.bytes as u64))
        .map_err(|errno| failed(object, "ftruncate", errno))
}

/// The descriptor that holds the locks of a claim, and gives them up when it is dropped.
#[derive(Debug)]
struct OwnerLock {
    fd: OwnedFd,
    token: ForkToken,
}

impl OwnerLock {
    /// Waits for the gate; `None` if it is not passed in time.
    fn pass_gate(fd: OwnedFd, object: &str, patience: Duration) -> Result<Option<OwnerLock>, ObjectError> {
        let lock = OwnerLock { fd, token: ForkToken::take() };
        let begin = Instant::now();
        loop {
            let passed = lock::try_lock_gate(lock.fd.as_fd());
            let os = |source| ObjectError::Os { object: object.into(), operation: "lock", source };
            if passed.map_err(os)? {
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
        // Closing the descriptor would leave the locks to forks of this process, which share them; a fork itself must
        // leave them to this process.
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

    fn set_mode(&self, mode: Mode) -> Result<(), ObjectError> {
        set_mode(&self.lock.fd, &self.object, mode)
    }

    fn reserve(&self, start: usize, bytes: usize) -> Result<(), ObjectError> {
        reserve_range(&self.lock.fd, &self.object, start, bytes)
    }

    fn is_named(&self) -> bool {
        names(&self.object, self.words.object())
    }

    fn remove(&self) -> Result<(), ObjectError> {
        remove_if_same(&self.object, self.words.object())
    }
}
