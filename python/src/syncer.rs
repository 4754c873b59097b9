//! A state that a thread of the library publishes in the background.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use tearless::error::{CodecError, ShutdownError};
use tearless::{Codec, Decode, Encode, syncer};

use crate::errors::{Class, is_interrupt, raise};
use crate::fork;
use crate::values::{self, Packed};

/// A value of Python, and what packs it.
pub(crate) struct State {
    value: Py<PyAny>,
    pack: Py<PyAny>,
    /// The thread that packs it.
    packing: Arc<Mutex<Option<ThreadId>>>,
}

impl State {
    pub(crate) fn new(py: Python<'_>, value: Py<PyAny>) -> PyResult<State> {
        Ok(State { value, pack: values::make_pack(py)?, packing: Arc::default() })
    }
}

thread_local! {
    /// What interrupted a call of this thread; `None` outside of one.
    static INTERRUPT: RefCell<Option<Option<PyErr>>> = const { RefCell::new(None) };
}

/// Does `work`, in which this thread may pack a state, while other threads of Python run. What ends
/// packing and is no error of the state, as `KeyboardInterrupt`, is raised.
pub(crate) fn interruptible<R: Send>(py: Python<'_>, work: impl FnOnce() -> R + Send) -> PyResult<R> {
    let outer = INTERRUPT.replace(Some(None));
    let result = py.detach(work);
    match INTERRUPT.replace(outer).flatten() {
        Some(interrupt) => Err(interrupt),
        None => Ok(result),
    }
}

impl Codec<State> for Packed {
    const NAME: &'static str = <Packed as Codec<[u8]>>::NAME;

    fn type_name() -> String {
        "python".into()
    }
}

impl Encode<State> for Packed {
    /// On the thread of the syncer, which holds the state's lock and waits for the interpreter. So a
    /// thread of Python lets go of the interpreter before it takes that lock.
    fn encode<'a>(state: &'a State, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], CodecError> {
        Python::try_attach(|py| {
            let packed = {
                let _packing = Busy::begin(&state.packing);
                values::pack(state.pack.bind(py), state.value.bind(py))
            };
            let payload = packed.inspect_err(|error| {
                if is_interrupt(py, error) {
                    INTERRUPT.with_borrow_mut(|call| {
                        if let Some(call) = call {
                            *call = Some(error.clone_ref(py));
                        }
                    });
                }
            })?;
            scratch.clear();
            scratch.extend_from_slice(payload.as_bytes());
            Ok(())
        })
        .ok_or("the interpreter has ended")?
        .map_err(|error: PyErr| error.to_string())?;
        Ok(scratch)
    }
}

/// For a syncer that resumes.
impl Decode<State> for Packed {
    fn decode(payload: &[u8]) -> Result<State, CodecError> {
        Python::try_attach(|py| State::new(py, values::unpack(py, payload)?.unbind()))
            .ok_or("the interpreter has ended")?
            .map_err(|error: PyErr| error.to_string().into())
    }
}

/// A state that a thread publishes whenever it has changed: made by `Namespace.syncer`.
///
/// Changing it costs no publication. It may be changed by several threads.
///
/// >>> with fleet.syncer("worker-7", {"jobs_done": 0}) as worker:
/// ...     for job in range(3):
/// ...         worker.update(lambda state: {"jobs_done": state["jobs_done"] + 1})
/// ...     number = worker.flush()
/// ...     fleet.reader("worker-7").snapshot().value
/// {'jobs_done': 3}
#[pyclass(frozen, weakref, module = "tearless._tearless")]
pub(crate) struct Syncer {
    /// `None` only while it is dropped.
    syncer: Option<syncer::Syncer<State, Packed>>,
    generation: u64,
    /// The thread that is in `change`, which was passed to `update`.
    changing: Mutex<Option<ThreadId>>,
    /// The state's.
    packing: Arc<Mutex<Option<ThreadId>>>,
    logged: Mutex<Logged>,
}

/// What was logged of the errors of ticks.
#[derive(Default)]
struct Logged {
    text: String,
    looked: Option<Instant>,
}

/// How often a call looks whether a tick has failed: that may wait for a tick that publishes.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A thread that is at work on the state, and has its lock.
struct Busy<'a>(&'a Mutex<Option<ThreadId>>);

impl<'a> Busy<'a> {
    fn begin(thread: &'a Mutex<Option<ThreadId>>) -> Busy<'a> {
        *thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread::current().id());
        Busy(thread)
    }

    fn thread(thread: &Mutex<Option<ThreadId>>) -> Option<ThreadId> {
        *thread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Syncer {
    pub(crate) fn new(syncer: syncer::Syncer<State, Packed>) -> Syncer {
        // Its thread may have the state already, and need the interpreter.
        let packing = Python::attach(|py| py.detach(|| syncer.read(|state| Arc::clone(&state.packing))));
        Syncer {
            syncer: Some(syncer),
            generation: fork::generation(),
            changing: Mutex::default(),
            packing,
            logged: Mutex::default(),
        }
    }

    /// Logs the error of the last tick that failed, once: a program that never flushes would not
    /// know of it.
    fn log(&self, py: Python<'_>) {
        // No code of Python is called while it is locked, so that no fork copies it locked.
        let logged = || self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last = logged();
        if last.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY) {
            return;
        }
        last.looked = Some(Instant::now());
        drop(last);
        let Some(error) = py.detach(|| self.inner().last_error()) else { return };
        let text = error.to_string();
        if std::mem::replace(&mut logged().text, text.clone()) == text {
            return;
        }
        let warn = || -> PyResult<()> {
            let logger = py.import("logging")?.call_method1("getLogger", ("tearless",))?;
            let text = ("a tick of the syncer of channel %r failed: %s", self.inner().channel(), text);
            logger.call_method1("warning", text).map(drop)
        };
        // The change that is made here succeeded, whatever logging does.
        if let Err(error) = warn() {
            error.write_unraisable(py, None);
        }
    }

    fn inner(&self) -> &syncer::Syncer<State, Packed> {
        self.syncer.as_ref().expect("it is not being dropped")
    }

    fn is_forked(&self) -> bool {
        self.generation != fork::generation()
    }

    fn changing(&self) -> Option<ThreadId> {
        Busy::thread(&self.changing)
    }

    /// An error where this thread would wait for itself, or for a thread that a fork does not have.
    fn check(&self) -> PyResult<&syncer::Syncer<State, Packed>> {
        let channel = self.inner().channel();
        if self.is_forked() {
            let text = format!(
                "the syncer of channel {channel:?} belongs to the process that this one is a fork of: \
                                open a writer for another channel in this process"
            );
            return Err(Class::Forked.error("Publish.Forked", &text));
        }
        let this = Some(thread::current().id());
        if self.changing() == this || Busy::thread(&self.packing) == this {
            let text = format!(
                "the state of channel {channel:?} is being changed or packed by this thread: don't call its \
                                syncer in a function that was passed to update, nor while the state is packed"
            );
            return Err(Class::Error.error("", &text));
        }
        Ok(self.inner())
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        let Some(syncer) = self.syncer.take() else { return };
        if self.changing().is_some() {
            // A thread that the end of the interpreter stopped holds the state for ever.
            std::mem::forget(syncer);
            return;
        }
        // Its thread may need the interpreter before it ends.
        let mut syncer = Some(syncer);
        let dropped = Python::try_attach(|py| {
            let syncer = syncer.take();
            py.detach(|| drop(syncer));
        });
        if dropped.is_none() {
            std::mem::forget(syncer);
        }
    }
}

#[pymethods]
impl Syncer {
    /// Calls `change(state)`, while nothing is published. What it returns, unless that is None, is
    /// the new state.
    fn update(&self, py: Python<'_>, change: &Bound<'_, PyAny>) -> PyResult<()> {
        let syncer = self.check()?;
        let change = change.as_unbound();
        let former = py.detach(|| {
            syncer.update(|state| {
                Python::attach(|py| {
                    let _changing = Busy::begin(&self.changing);
                    let changed = change.call1(py, (&state.value,))?;
                    let is_new = !changed.is_none(py);
                    Ok::<_, PyErr>(is_new.then(|| std::mem::replace(&mut state.value, changed)))
                })
            })
        });
        // Dropped without the lock: that may call Python code.
        former.map(drop)?;
        self.log(py);
        Ok(())
    }

    /// The state, published or not. The next tick looks whether it was changed in place.
    #[getter]
    fn state(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let syncer = self.check()?;
        let state = py.detach(|| syncer.update(|state| Python::attach(|py| state.value.clone_ref(py))));
        self.log(py);
        Ok(state)
    }

    #[setter]
    fn set_state(&self, py: Python<'_>, value: Py<PyAny>) -> PyResult<()> {
        let syncer = self.check()?;
        let old = py.detach(|| syncer.update(|state| std::mem::replace(&mut state.value, value)));
        drop(old);
        self.log(py);
        Ok(())
    }

    /// Publishes the state now, if it has changed; returns the number of the last publication.
    ///
    /// Raises what `Writer.publish` does, for example `EncodeError` for a state that can't be packed.
    fn flush(&self, py: Python<'_>) -> PyResult<u64> {
        let syncer = self.check()?;
        interruptible(py, || {
            // It may have been changed in place.
            syncer.update(|_| ());
            syncer.flush()
        })?
        .map_err(raise)
    }

    /// The error of the last tick that failed, as a text. It is logged, too, when the state is next
    /// used, unless the last one that was logged is the same.
    #[getter]
    fn last_error(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let syncer = self.check()?;
        Ok(py.detach(|| syncer.last_error()).map(|error| error.to_string()))
    }

    /// The channel's name.
    #[getter]
    fn channel(&self) -> &str {
        self.inner().channel()
    }

    /// Publishes the last state and ends the channel. Again, or in a fork, it does nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_forked() {
            return Ok(());
        }
        let syncer = self.check()?;
        match interruptible(py, || syncer.shutdown())? {
            Ok(_) | Err(ShutdownError::AlreadyShutDown { .. }) => Ok(()),
            Err(error) => Err(raise(error)),
        }
    }

    /// Closes it at the end of the interpreter, which does not wait long for `change` of another
    /// thread. The channel then ends as if the process had been killed.
    fn _end(&self, py: Python<'_>) -> PyResult<()> {
        let begin = Instant::now();
        while self.changing().is_some() {
            if begin.elapsed() > Duration::from_secs(1) {
                return Ok(());
            }
            py.detach(|| thread::sleep(Duration::from_millis(5)));
        }
        self.close(py)
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_error))]
    fn __exit__(&self, py: Python<'_>, _error: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.close(py)
    }

    fn __repr__(&self) -> String {
        format!("<Syncer of {:?}>", self.channel())
    }
}
