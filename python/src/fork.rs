//! Forks. A fork has only the thread that made it: what another thread was in the middle of stays
//! that way there, and a lock that it held stays locked.
//!
//! A thread of Python forks while it is attached to the interpreter. So a lock is held either by an
//! attached thread that calls no Python code, or [inside](enter) of the gate, which a fork waits
//! for. What waits can do neither: such objects are made again in the fork ([`generation`]).

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};

use pyo3::prelude::*;

static GATE: RwLock<()> = RwLock::new(());
static GENERATION: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static FORKING: RefCell<Option<RwLockWriteGuard<'static, ()>>> = const { RefCell::new(None) };
}

/// As long as the result lives, no fork is made. It is asked for before any lock, and dropped before
/// Python code is called.
pub(crate) fn enter(py: Python<'_>) -> RwLockReadGuard<'static, ()> {
    loop {
        match GATE.try_read() {
            Ok(inside) => return inside,
            Err(TryLockError::Poisoned(inside)) => return inside.into_inner(),
            Err(TryLockError::WouldBlock) => py.detach(|| drop(GATE.read())),
        }
    }
}

/// Does `work`, which may take locks of the library, while other threads of Python run.
pub(crate) fn detached<R: Send>(py: Python<'_>, work: impl FnOnce() -> R + Send) -> R {
    let _inside = enter(py);
    py.detach(work)
}

/// The number of forks that this process is away from the one that loaded the module.
pub(crate) fn generation() -> u64 {
    // Relaxed: stored by the only thread that there is in a fork.
    GENERATION.load(Ordering::Relaxed)
}

/// Called by this thread before it forks.
#[pyfunction]
pub(crate) fn before_fork(py: Python<'_>) {
    py.detach(|| {
        let guard = GATE.write().unwrap_or_else(PoisonError::into_inner);
        FORKING.set(Some(guard));
    });
}

/// Called after it, by both processes.
#[pyfunction]
pub(crate) fn after_fork(is_child: bool) {
    if is_child {
        GENERATION.fetch_add(1, Ordering::Relaxed);
    }
    FORKING.take();
}
