//! All channels of a namespace.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use tearless::accept::Any;
use tearless::error::QueryError;
use tearless::hub::{CutTime, HubWatch, Skew};
use tearless::{Bytes, Snapshot as Payload, hub};

use crate::errors::{Class, raise};
use crate::fork;
use crate::namespace::Namespace;
use crate::reader::{Reader, Snapshot, wait_in_slices};
use crate::stream::Stream;
use crate::values;

/// Reads the channels of a namespace by their names, from any thread.
#[pyclass(frozen, weakref, subclass, module = "tearless._tearless")]
pub(crate) struct Hub {
    namespace: Py<Namespace>,
    options: Options,
    opened: Mutex<Opened>,
    readers: Mutex<Readers>,
}

#[derive(Clone, Copy)]
struct Options {
    fresh_within: Option<Duration>,
    stalled_after: Option<Duration>,
}

/// The library's hub. A fork opens another: a thread of its parent may have locked this one.
struct Opened {
    generation: u64,
    hub: Arc<hub::Hub<Bytes, Any>>,
}

impl Opened {
    fn open(namespace: &Namespace, options: Options) -> Opened {
        let mut builder = namespace.namespace.hub_builder().codec::<Bytes>().accept(Any);
        if let Some(limit) = options.fresh_within {
            builder = builder.fresh_within(limit);
        }
        if let Some(limit) = options.stalled_after {
            builder = builder.stalled_after(limit);
        }
        Opened { generation: fork::generation(), hub: Arc::new(builder.open()) }
    }
}

#[derive(Default)]
struct Readers {
    by_channel: HashMap<String, Py<Reader>>,
    /// When there are more, those of channels that have ended are dropped.
    many: usize,
}

/// How the writer of a channel is: made by `Hub.status`.
///
/// >>> worker = fleet.writer("worker-7")
/// >>> worker.publish({"jobs_done": 3})
/// 1
/// >>> status = fleet.hub().status("worker-7")
/// >>> status.health, status.publication, status.incarnation
/// ('fresh', 1, 1)
#[pyclass(frozen, get_all, module = "tearless")]
pub(crate) struct Status {
    /// `fresh`, `unchanged`, `stalled`, `dead`, `exited`, `closed`, `empty` or `unknown`.
    health: &'static str,
    /// Number of the last publication; 0 before the first.
    publication: u64,
    /// The process that writes the channel, or was the last to.
    writer_pid: u64,
    /// Number of writers that the channel has had, one after the other.
    incarnation: u64,
    /// All of it as a sentence.
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
    fn hub(&self, py: Python<'_>) -> Arc<hub::Hub<Bytes, Any>> {
        let mut opened = self.opened.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
        if opened.generation != fork::generation() {
            let other = Opened::open(self.namespace.get(), self.options);
            // Not dropped: that might take its locks.
            std::mem::forget(std::mem::replace(&mut *opened, other));
        }
        Arc::clone(&opened.hub)
    }

    fn readers(&self, py: Python<'_>) -> MutexGuard<'_, Readers> {
        self.readers.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a reader. Once there are many, drops those of channels that have ended.
    fn keep(&self, py: Python<'_>, channel: &str, reader: Py<Reader>) {
        let (former, all) = {
            let mut readers = self.readers(py);
            let former = readers.by_channel.insert(channel.into(), reader);
            let is_many = readers.by_channel.len() > readers.many.max(64);
            let entries = readers.by_channel.iter().filter(|_| is_many);
            (
                former,
                entries.map(|(channel, reader)| (channel.clone(), reader.clone_ref(py))).collect::<Vec<_>>(),
            )
        };
        drop(former);
        if all.is_empty() {
            return;
        }
        let ended: Vec<_> = all.into_iter().filter(|(_, reader)| reader.get().is_closed(py)).collect();
        let mut readers = self.readers(py);
        for (channel, _) in &ended {
            readers.by_channel.remove(channel);
        }
        readers.many = 2 * readers.by_channel.len();
    }

    /// The result of `read` for the reader of a channel. One whose channel has been removed or
    /// replaced is opened again.
    fn with_reader<R>(
        &self,
        py: Python<'_>,
        channel: &str,
        read: impl Fn(&Reader) -> PyResult<R>,
    ) -> PyResult<R> {
        let known = self.readers(py).by_channel.get(channel).map(|reader| reader.clone_ref(py));
        if let Some(reader) = known {
            match read(reader.get()) {
                Err(error) if Class::Closed.is_of(py, &error) => {
                    let former = self.readers(py).by_channel.remove(channel);
                    drop(former);
                }
                read => return read,
            }
        }
        let reader = Py::new(py, Namespace::open_reader(self.namespace.bind(py), py, channel, false, 0.0)?)?;
        self.keep(py, channel, reader.clone_ref(py));
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
            let value =
                self.with_reader(py, channel, |reader| reader.decode(py, &payload).map(Bound::unbind))?;
            Ok(Py::new(py, Snapshot::new(value.into_bound(py), payload.info()))?.into_any())
        });
        taken.unwrap_or_else(|error| error.into_value(py).into_any())
    }
}

/// A channel of a cut: its name, its state or the error, and by what the state is not of the
/// moment.
type Cutting = (String, Py<PyAny>, Option<String>);

#[pymethods]
impl Hub {
    #[new]
    #[pyo3(signature = (namespace, *, fresh_within=None, stalled_after=None))]
    fn new(
        namespace: Bound<'_, Namespace>,
        fresh_within: Option<f64>,
        stalled_after: Option<f64>,
    ) -> PyResult<Hub> {
        let options = Options {
            fresh_within: fresh_within.map(values::duration).transpose()?,
            stalled_after: stalled_after.map(values::duration).transpose()?,
        };
        let opened = Mutex::new(Opened::open(namespace.get(), options));
        Ok(Hub { namespace: namespace.unbind(), options, opened, readers: Mutex::default() })
    }

    /// The latest state of a channel. It attaches to the channel, again if it was removed or
    /// replaced.
    ///
    /// Raises `NotFoundError` if there is no such channel, and what `Reader.snapshot` does.
    fn get(&self, py: Python<'_>, channel: &str) -> PyResult<Snapshot> {
        self.with_reader(py, channel, |reader| reader.snapshot(py))
    }

    /// The names of the channels that a pattern with `*` and `?` matches, sorted.
    #[pyo3(signature = (pattern="*"))]
    fn channels(&self, py: Python<'_>, pattern: &str) -> PyResult<Vec<String>> {
        let hub = self.hub(py);
        let listed = fork::detached(py, || hub.channels(pattern)).map_err(raise)?;
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

    /// The status of a channel: whether its writer lives, hangs or has ended. It asks the kernel.
    fn status(&self, py: Python<'_>, channel: &str) -> PyResult<Status> {
        let hub = self.hub(py);
        let status = fork::detached(py, || hub.status(channel)).map_err(raise)?;
        Ok(Status {
            health: status.health.name(),
            publication: status.publication,
            writer_pid: status.writer_pid,
            incarnation: status.incarnation,
            text: status.to_string(),
        })
    }

    /// The states of several channels as of one moment: `(consistent, instant, states)`.
    #[pyo3(name = "_cut")]
    fn cut(&self, py: Python<'_>, channels: Vec<String>) -> PyResult<(bool, bool, Vec<Cutting>)> {
        let hub = self.hub(py);
        let cut = fork::detached(py, || hub.cut::<Vec<u8>>(&channels));
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

    /// What waits for changes of the channels that a pattern matches, without polling them.
    #[pyo3(signature = (pattern="*"))]
    fn watch(slf: Bound<'_, Self>, pattern: &str) -> Watch {
        let watch = Watched::new(&slf, pattern);
        Watch { hub: slf.unbind(), pattern: pattern.into(), watch: Mutex::new(watch) }
    }

    /// The states of the channels that a pattern matches, from now on, for a loop of asyncio.
    #[pyo3(name = "_stream")]
    fn stream(slf: Bound<'_, Self>, pattern: &str) -> PyResult<Stream> {
        Stream::of_hub(slf.get().hub(slf.py()).changes_of(pattern), slf.unbind())
    }

    /// The latest states and every later one, for `async for channel, state in`: see `Changes`.
    #[pyo3(signature = (pattern="*"))]
    fn changes<'py>(slf: Bound<'py, Self>, pattern: &str) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("tearless._aio")?.getattr("Changes")?.call1((slf, pattern))
    }

    fn __repr__(&self) -> String {
        format!("<Hub of {:?}>", self.namespace.get().namespace.name())
    }
}

/// What has changed in a namespace since the last call: made by `Hub.watch`.
///
/// >>> watch = fleet.hub().watch("worker-*")
/// >>> worker = fleet.writer("worker-7")
/// >>> worker.publish({"jobs_done": 3})
/// 1
/// >>> watch.wait_any(timeout=10)
/// ['worker-7']
/// >>> watch.wait_any(timeout=0)
/// []
#[pyclass(frozen, module = "tearless._tearless")]
pub(crate) struct Watch {
    hub: Py<Hub>,
    pattern: String,
    watch: Mutex<Watched>,
}

/// The library's watch, which is locked while it waits. A fork has another one.
struct Watched {
    generation: u64,
    watch: Arc<Mutex<HubWatch>>,
}

impl Watched {
    fn new(hub: &Bound<'_, Hub>, pattern: &str) -> Watched {
        let watch = hub.get().hub(hub.py()).watch(pattern);
        Watched { generation: fork::generation(), watch: Arc::new(Mutex::new(watch)) }
    }
}

impl Watch {
    fn current(&self, py: Python<'_>) -> Arc<Mutex<HubWatch>> {
        let mut watched = self.watch.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
        if watched.generation != fork::generation() {
            let other = Watched::new(self.hub.bind(py), &self.pattern);
            // Not dropped: that might take its locks.
            std::mem::forget(std::mem::replace(&mut *watched, other));
        }
        Arc::clone(&watched.watch)
    }
}

#[pymethods]
impl Watch {
    /// The channels that have changed since the last call, or are new, closed or removed. Waits for
    /// one, up to `timeout` seconds, or for ever; other threads run meanwhile, and Ctrl-C ends it.
    #[pyo3(signature = (timeout=None))]
    fn wait_any(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Vec<String>> {
        let watch = self.current(py);
        let mut changed = Vec::new();
        wait_in_slices(py, timeout, raise, |left| -> Result<bool, QueryError> {
            changed = watch.lock().unwrap_or_else(PoisonError::into_inner).wait_any(left)?;
            Ok(!changed.is_empty())
        })?;
        Ok(changed.iter().map(|channel| channel.to_string()).collect())
    }
}
