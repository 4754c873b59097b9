//! Forks. A fork has only the thread that made it: what another thread was in the middle of stays
//! that way there, and a lock that it held stays locked.
//!
//! A thread of Python forks while it is attached to the interpreter. So a lock is held either by an
//! attached thread that calls no Python code, or [inside](enter) of the gate, which a fork waits
//! for. What waits can do neither: such objects are made again in the fork ([`generation`]).

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};

use pyo3::prelude::*;
use pyo3::sync::MutexExt;

static GATE: RwLock<()> = RwLock::new(());
static GENERATION: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static FORKING: RefCell<Option<RwLockWriteGuard<'static, ()>>> = const { RefCell::new(None) };
    /// Whether this thread is inside of the gate, or forks: it must not ask again.
    static IS_INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// No fork is made as long as it lives.
pub(crate) struct Inside(Option<RwLockReadGuard<'static, ()>>);

impl Drop for Inside {
    fn drop(&mut self) {
        if self.0.take().is_some() {
            IS_INSIDE.set(false);
        }
    }
}

/// As long as the result lives, no fork is made. It is asked for before any lock, and dropped before
/// Python code is called.
pub(crate) fn enter(py: Python<'_>) -> Inside {
    if IS_INSIDE.get() {
        return Inside(None);
    }
    let guard = loop {
        match GATE.try_read() {
            Ok(guard) => break guard,
            Err(TryLockError::Poisoned(guard)) => break guard.into_inner(),
            Err(TryLockError::WouldBlock) => py.detach(|| drop(GATE.read())),
        }
    };
    IS_INSIDE.set(true);
    Inside(Some(guard))
}

/// Locks `mutex`. Other threads of Python run while it waits; no fork is made from then on until this
/// thread has both the lock and the interpreter.
pub(crate) fn lock<'a, T>(py: Python<'_>, mutex: &'a Mutex<T>) -> MutexGuard<'a, T> {
    match mutex.try_lock() {
        Ok(guard) => return guard,
        Err(TryLockError::Poisoned(guard)) => return guard.into_inner(),
        Err(TryLockError::WouldBlock) => {}
    }
    let _inside = enter(py);
    mutex.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
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
    IS_INSIDE.set(true);
}

/// Called after it, by both processes.
#[pyfunction]
pub(crate) fn after_fork(is_child: bool) {
    if is_child {
        GENERATION.fetch_add(1, Ordering::Relaxed);
    }
    FORKING.take();
    IS_INSIDE.set(false);
}
