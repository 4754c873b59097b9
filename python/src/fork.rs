//! Forks. A fork has only the thread that made it: what another thread was in the middle of stays
//! that way there, and a lock that it held stays locked.
//!
//! A thread of Python forks while it is attached to the interpreter. So a lock is held either by an
//! attached thread that calls no Python code, or [inside](enter) of the gate, which a fork waits
//! for. What waits can do neither: such objects belong to one process ([`Ours`]).

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use std::thread;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::sync::MutexExt;

static GATE: RwLock<()> = RwLock::new(());
/// Whether a thread that forks has the gate. Relaxed: stored and loaded by attached threads.
static IS_HELD: AtomicBool = AtomicBool::new(false);
/// Whether its fork has not come for too long.
static IS_LATE: AtomicBool = AtomicBool::new(false);
static GENERATION: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static FORKING: RefCell<Option<RwLockWriteGuard<'static, ()>>> = const { RefCell::new(None) };
    /// Whether this thread is inside of the gate, or forks: it must not ask again.
    static IS_INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// How often a thread looks, a millisecond later each time, for a fork that does not come. Time itself
/// says nothing: the process may have been stopped, as a machine that sleeps is.
const PATIENCE: u32 = 1000;

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
    let mut looks = 0;
    let guard = loop {
        match GATE.try_read() {
            Ok(guard) => break guard,
            Err(TryLockError::Poisoned(guard)) => break guard.into_inner(),
            // The thread that forks has the gate, but not the interpreter: it waits in a hook of
            // another module, maybe for a lock of this thread. A fork in the middle of what this
            // thread does next is the lesser evil.
            Err(TryLockError::WouldBlock)
                if IS_HELD.load(Ordering::Relaxed)
                    && (IS_LATE.load(Ordering::Relaxed) || looks == PATIENCE) =>
            {
                IS_LATE.store(true, Ordering::Relaxed);
                return Inside(None);
            }
            Err(TryLockError::WouldBlock) => {
                looks += 1;
                py.detach(|| thread::sleep(Duration::from_millis(1)));
            }
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

/// What a fork of the process that made it can't use: a thread that the fork does not have may have
/// locked it. It is not even dropped there.
pub(crate) struct Ours<T> {
    generation: u64,
    /// `None` only while it is dropped.
    value: Option<T>,
}

impl<T> Ours<T> {
    pub(crate) fn new(value: T) -> Ours<T> {
        Ours { generation: generation(), value: Some(value) }
    }

    fn is_ours(&self) -> bool {
        self.generation == generation()
    }

    /// `None` in a fork.
    pub(crate) fn get(&self) -> Option<&T> {
        self.value.as_ref().filter(|_| self.is_ours())
    }

    /// `None` in a fork.
    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        let is_ours = self.is_ours();
        self.value.as_mut().filter(|_| is_ours)
    }
}

impl<T> Drop for Ours<T> {
    fn drop(&mut self) {
        if !self.is_ours() {
            std::mem::forget(self.value.take());
        }
    }
}

/// Called by this thread before it forks, after all else that may wait.
#[pyfunction]
pub(crate) fn before_fork(py: Python<'_>) {
    py.detach(|| {
        let guard = GATE.write().unwrap_or_else(PoisonError::into_inner);
        FORKING.set(Some(guard));
    });
    IS_INSIDE.set(true);
    IS_HELD.store(true, Ordering::Relaxed);
}

/// Called after it, by both processes. Again, it does nothing.
#[pyfunction]
pub(crate) fn after_fork(is_child: bool) {
    let Some(_gate) = FORKING.take() else { return };
    if is_child {
        GENERATION.fetch_add(1, Ordering::Relaxed);
    }
    IS_INSIDE.set(false);
    IS_HELD.store(false, Ordering::Relaxed);
    IS_LATE.store(false, Ordering::Relaxed);
}
