//! All channels of a namespace.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use tearless::accept::Any;
use tearless::error::QueryError;
use tearless::hub::{CutTime, HubWatch, Skew};
use tearless::{Bytes, Snapshot as Payload, hub};

use crate::errors::{Class, raise};
use crate::namespace::Namespace;
use crate::stream::Stream;
use crate::reader::{Reader, Snapshot, wait_in_slices};
use crate::values;

/// Reads the channels of a namespace by their names, from any thread.
#[pyclass(frozen, weakref, module = "tearless._tearless")]
pub(crate) struct Hub {
    hub: hub::Hub<Bytes, Any>,
    namespace: Py<Namespace>,
    readers: Mutex<HashMap<String, Py<Reader>>>,
}

/// The status of a worker.
#[pyclass(frozen, get_all, module = "tearless")]
pub(crate) struct Status {
    /// `fresh`, `unchanged`, `stalled`, `dead`, `exited`, `closed`, `empty` or `unknown`.
    health: &'static str,
    /// Number of the last publication; 0 before the first.
    publication: u64,
    writer_pid: u64,
    /// Number of writers that the channel has had, one after the other.
    incarnation: u64,
    text: String,
}

#[pymethods]
impl Status {
    fn __str__(&self) -> &str {
        &self.text
    }

    fn __repr__(&self) -> String {
        format!("<Status: {}>", self.text)
    }
}

impl Hub {
    pub(crate) fn new(
        namespace: Bound<'_, Namespace>,
        fresh_within: Option<f64>,
        stalled_after: Option<f64>,
    ) -> PyResult<Hub> {
        let mut builder = namespace.get().namespace.hub_builder().codec::<Bytes>().accept(Any);
        if let Some(seconds) = fresh_within {
            builder = builder.fresh_within(values::duration(seconds)?);
        }
        if let Some(seconds) = stalled_after {
            builder = builder.stalled_after(values::duration(seconds)?);
        }
        Ok(Hub { hub: builder.open(), namespace: namespace.unbind(), readers: Mutex::default() })
    }

    fn readers(&self, py: Python<'_>) -> MutexGuard<'_, HashMap<String, Py<Reader>>> {
        self.readers.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
    }

    /// The result of `read` for the reader of a channel. One whose channel has been removed or
    /// replaced is opened again.
    fn with_reader<R>(&self, py: Python<'_>, channel: &str, read: impl Fn(&Reader) -> PyResult<R>) -> PyResult<R> {
        let known = self.readers(py).get(channel).map(|reader| reader.clone_ref(py));
        if let Some(reader) = known {
            match read(reader.get()) {
                Err(error) if Class::Closed.is_of(py, &error) => drop(self.readers(py).remove(channel)),
                read => return read,
            }
        }
        let reader = Py::new(py, Namespace::open_reader(self.namespace.bind(py), py, channel, false, 0.0)?)?;
        self.readers(py).insert(channel.into(), reader.clone_ref(py));
        read(reader.get())
    }

    /// The snapshot of a payload, or the error.
    pub(crate) fn state_of(
        &self,
        py: Python<'_>,
        channel: &str,
        payload: Result<Payload<Vec<u8>>, QueryError>,
    ) -> Py<PyAny> {
        let taken = payload.map_err(raise).and_then(|payload| {
            let value = self.with_reader(py, channel, |reader| reader.decode(py, &payload).map(Bound::unbind))?;
            Ok(Py::new(py, Snapshot::new(value.into_bound(py), payload.info()))?.into_any())
        });
        taken.unwrap_or_else(|error| error.into_value(py).into_any())
    }
}

#[pymethods]
impl Hub {
    /// The latest state of a channel.
    fn get(&self, py: Python<'_>, channel: &str) -> PyResult<Snapshot> {
        self.with_reader(py, channel, |reader| reader.snapshot(py))
    }

    /// The names of the channels that a pattern with `*` and `?` matches, sorted.
    #[pyo3(signature = (pattern="*"))]
    fn channels(&self, py: Python<'_>, pattern: &str) -> PyResult<Vec<String>> {
        let listed = py.detach(|| self.hub.channels(pattern)).map_err(raise)?;
        Ok(listed.iter().map(|channel| channel.to_string()).collect())
    }

    /// The latest states of all channels that a pattern matches, by their names. A channel without
    /// a state has the error in its place.
    #[pyo3(signature = (pattern="*"))]
    fn all(&self, py: Python<'_>, pattern: &str) -> PyResult<Vec<(String, Py<PyAny>)>> {
        self.channels(py, pattern)?
            .into_iter()
            .map(|channel| {
                let state = match self.get(py, &channel) {
                    Ok(snapshot) => Py::new(py, snapshot)?.into_any(),
                    Err(error) if error.is_instance_of::<pyo3::exceptions::PyException>(py) => {
                        error.into_value(py).into_any()
                    }
                    Err(error) => return Err(error),
                };
                Ok((channel, state))
            })
            .collect()
    }

    /// How the worker is that writes a channel.
    fn status(&self, py: Python<'_>, channel: &str) -> PyResult<Status> {
        let status = py.detach(|| self.hub.status(channel)).map_err(raise)?;
        Ok(Status {
            health: status.health.name(),
            publication: status.publication,
            writer_pid: status.writer_pid,
            incarnation: status.incarnation,
            text: status.to_string(),
        })
    }

    /// The states of several channels as of one moment: `(consistent, instant, [(name, state or
    /// error, skew)])`.
    #[pyo3(name = "_cut")]
    fn cut(&self, py: Python<'_>, channels: Vec<String>) -> PyResult<(bool, bool, Vec<(String, Py<PyAny>, Option<String>)>)> {
        let cut = py.detach(|| self.hub.cut::<Vec<u8>>(&channels));
        let (consistent, instant) = (cut.is_consistent(), cut.moment == CutTime::Instant);
        let states = cut.states.into_iter().map(|of| {
            let state = self.state_of(py, &of.channel, of.state);
            let skew = match of.skew {
                Skew::None => None,
                Skew::Later(by) => Some(format!("later by {by:.1?}")),
                Skew::Coarse => Some("its timestamps are coarse".into()),
                Skew::NoTimestamps => Some("it has no timestamps".into()),
                Skew::Deferred => Some("it is published later than it changes".into()),
                other => Some(format!("{other:?}")),
            };
            Ok((of.channel.to_string(), state, skew))
        });
        Ok((consistent, instant, states.collect::<PyResult<_>>()?))
    }

    /// Waits for changes of the channels that a pattern matches.
    #[pyo3(signature = (pattern="*"))]
    fn watch(&self, pattern: &str) -> Watch {
        Watch { watch: Arc::new(Mutex::new(self.hub.watch(pattern))) }
    }

    /// The states of the channels that a pattern matches, from now on, for a loop of asyncio.
    #[pyo3(name = "_stream")]
    fn stream(slf: Bound<'_, Self>, pattern: &str) -> PyResult<Stream> {
        Stream::of_hub(slf.get().hub.changes_of(pattern), slf.unbind())
    }

    /// The latest states and every later one, for `async for channel, state in`.
    #[pyo3(signature = (pattern="*"))]
    fn changes<'py>(slf: Bound<'py, Self>, pattern: &str) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("tearless._aio")?.getattr("Changes")?.call1((slf, pattern))
    }

    fn __repr__(&self) -> String {
        format!("<Hub of {:?}>", self.namespace.get().namespace.name())
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, ())> {
        Ok((self.namespace.bind(py).getattr("hub")?, ()))
    }

    fn _repr_html_<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("tearless._hub")?.getattr("table")?.call1((slf,))
    }
}

/// What has changed in a namespace since the last call.
#[pyclass(frozen, module = "tearless._tearless")]
pub(crate) struct Watch {
    watch: Arc<Mutex<HubWatch>>,
}

#[pymethods]
impl Watch {
    /// The channels that have changed since the last call, or are new, closed or removed. Waits for
    /// one, up to `timeout` seconds.
    #[pyo3(signature = (timeout=None))]
    fn wait_any(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Vec<String>> {
        let mut changed = Vec::new();
        wait_in_slices(py, timeout, raise, |left| -> Result<bool, QueryError> {
            changed = self.watch.lock().unwrap_or_else(PoisonError::into_inner).wait_any(left)?;
            Ok(!changed.is_empty())
        })?;
        Ok(changed.iter().map(|channel| channel.to_string()).collect())
    }
}
