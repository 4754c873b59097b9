//! A state that a thread of the library publishes in the background.

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use tearless::error::CodecError;
use tearless::{Codec, Decode, Encode};

use crate::errors::raise;
use crate::values::{self, Packed};

/// A value of Python, and what packs it.
pub(crate) struct State {
    value: Py<PyAny>,
    pack: Py<PyAny>,
}

impl State {
    pub(crate) fn new(py: Python<'_>, value: Py<PyAny>) -> PyResult<State> {
        Ok(State { value, pack: values::make_pack(py)? })
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
            let payload = values::pack(state.pack.bind(py), state.value.bind(py))?;
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

/// A state that is published in the background, whenever it has changed.
#[pyclass(frozen, weakref, module = "tearless._tearless")]
pub(crate) struct Syncer {
    pub(crate) syncer: tearless::syncer::Syncer<State, Packed>,
}

#[pymethods]
impl Syncer {
    /// Calls `change(state)`, while nothing is published. What it returns, unless that is None, is
    /// the new state.
    fn update(&self, py: Python<'_>, change: &Bound<'_, PyAny>) -> PyResult<()> {
        let change = change.as_unbound();
        py.detach(|| {
            self.syncer.update(|state| {
                Python::attach(|py| {
                    let changed = change.call1(py, (&state.value,))?;
                    if !changed.is_none(py) {
                        state.value = changed;
                    }
                    Ok(())
                })
            })
        })
    }

    /// The state, published or not.
    #[getter]
    fn state(&self, py: Python<'_>) -> Py<PyAny> {
        py.detach(|| self.syncer.read(|state| Python::attach(|py| state.value.clone_ref(py))))
    }

    #[setter]
    fn set_state(&self, py: Python<'_>, value: Py<PyAny>) {
        let old = py.detach(|| self.syncer.update(|state| std::mem::replace(&mut state.value, value)));
        drop(old);
    }

    /// Publishes the state now, if it has changed; returns the number of the last publication.
    fn flush(&self, py: Python<'_>) -> PyResult<u64> {
        py.detach(|| self.syncer.flush()).map_err(raise)
    }

    /// The error of the last tick that failed, as a text.
    #[getter]
    fn last_error(&self, py: Python<'_>) -> Option<String> {
        py.detach(|| self.syncer.last_error()).map(|error| error.to_string())
    }

    #[getter]
    fn channel(&self) -> &str {
        self.syncer.channel()
    }

    /// Publishes the last state and ends the channel. Again, it does nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        use tearless::error::ShutdownError;
        match py.detach(|| self.syncer.shutdown()) {
            Ok(_) | Err(ShutdownError::AlreadyShutDown { .. }) => Ok(()),
            Err(error) => Err(raise(error)),
        }
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
