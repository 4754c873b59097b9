//! All channels of a namespace.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::PyDict;
use tearless::accept::Any;
use tearless::error::QueryError;
use tearless::hub::{CutTime, HubWatch, Skew};
use tearless::{Bytes, Snapshot as Payload, hub};

use crate::errors::{Class, is_interrupt, raise};
use crate::fork::{self, Ours};
use crate::namespace::Namespace;
use crate::reader::{Reader, Snapshot, wait_in_slices};
use crate::stream::Stream;
use crate::values;

/// Reads the channels of a namespace by their names, from any thread.
#[pyclass(frozen, weakref, subclass, module = "tearless._tearless")]
pub(crate) struct Hub {
    namespace: Py<Namespace>,
    options: Options,
    /// The library's hub. A fork opens another.
    opened: Mutex<Ours<Arc<Opened>>>,
    /// By their channels. A dictionary of Python, which its garbage collector looks into.
    readers: Py<PyDict>,
    /// When there are more, those of channels that have ended are dropped.
    many: AtomicUsize,
}

type Opened = hub::Hub<Bytes, Any>;

#[derive(Clone, Copy)]
struct Options {
    fresh_within: Option<Duration>,
    stalled_after: Option<Duration>,
}

impl Options {
    fn open(self, namespace: &Namespace) -> Arc<Opened> {
        let mut builder = namespace.namespace.hub_builder().codec::<Bytes>().accept(Any);
        if let Some(limit) = self.fresh_within {
            builder = builder.fresh_within(limit);
        }
        if let Some(limit) = self.stalled_after {
            builder = builder.stalled_after(limit);
        }
        Arc::new(builder.open())
    }
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
    /// `fresh`, `unchanged`, `stalled`, `dead`, `exited`, `closed`, `empty`, `unknown` or `unreachable`.
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
    fn hub(&self, py: Python<'_>) -> Arc<Opened> {
        let mut opened = fork::lock(py, &self.opened);
        if let Some(hub) = opened.get() {
            return Arc::clone(hub);
        }
        let hub = self.options.open(self.namespace.get());
        *opened = Ours::new(Arc::clone(&hub));
        hub
    }

    /// Keeps a reader. Once there are many, drops those of channels that have ended.
    fn keep(&self, channel: &str, reader: &Bound<'_, Reader>) -> PyResult<()> {
        let py = reader.py();
        let readers = self.readers.bind(py);
        readers.set_item(channel, reader)?;
        // Relaxed: a hint.
        if readers.len() <= self.many.load(Ordering::Relaxed).max(64) {
            return Ok(());
        }
        for entry in readers.items() {
            let (channel, reader): (Bound<'_, PyAny>, Bound<'_, Reader>) = entry.extract()?;
            if reader.get().is_closed(py) {
                self.forget(channel)?;
            }
        }
        self.many.store(2 * readers.len(), Ordering::Relaxed);
        Ok(())
    }

    fn forget<'py>(&self, channel: Bound<'py, PyAny>) -> PyResult<()> {
        // Another thread may have been the first.
        let none = channel.py().None();
        self.readers.bind(channel.py()).call_method1("pop", (channel, none)).map(drop)
    }

    /// The result of `read` for the reader of a channel. One whose channel has been removed or
    /// replaced is opened again.
    fn with_reader<R>(
        &self,
        py: Python<'_>,
        channel: &str,
        read: impl Fn(&Reader) -> PyResult<R>,
    ) -> PyResult<R> {
        if let Some(reader) = self.readers.bind(py).get_item(channel)? {
            match read(reader.cast_into::<Reader>()?.get()) {
                Err(error) if Class::Closed.is_of(py, &error) => {
                    self.forget(channel.into_pyobject(py)?.into_any())?;
                }
                read => return read,
            }
        }
        let reader =
            Bound::new(py, Namespace::open_reader(self.namespace.bind(py), py, channel, false, 0.0)?)?;
        self.keep(channel, &reader)?;
        read(reader.get())
    }

    /// The snapshot of a payload, or the error.
    pub(crate) fn state_of(
        &self,
        py: Python<'_>,
        channel: &str,
        payload: Result<Payload<Vec<u8>>, QueryError>,
    ) -> PyResult<Py<PyAny>> {
        let taken = payload.map_err(raise).and_then(|payload| {
            let value =
                self.with_reader(py, channel, |reader| reader.decode(py, &payload).map(Bound::unbind))?;
            Ok(Snapshot::new(value.into_bound(py), payload.info()))
        });
        state_or_error(py, taken)
    }
}

/// The state of a channel, or the error as a value; what ends the program is none of the channel's.
fn state_or_error(py: Python<'_>, taken: PyResult<Snapshot>) -> PyResult<Py<PyAny>> {
    match taken {
        Ok(snapshot) => Ok(Py::new(py, snapshot)?.into_any()),
        Err(error) if is_interrupt(py, &error) => Err(error),
        Err(error) => Ok(error.into_value(py).into_any()),
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
        let opened = Mutex::new(Ours::new(options.open(namespace.get())));
        let readers = PyDict::new(namespace.py()).unbind();
        Ok(Hub { namespace: namespace.unbind(), options, opened, readers, many: AtomicUsize::new(0) })
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
                let state = state_or_error(py, self.get(py, &channel))?;
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
            let state = self.state_of(py, &of.channel, of.state)?;
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
        let watched = Arc::new(Watched::new(slf.get().hub(slf.py()).watch(pattern)));
        Watch { hub: slf.unbind(), pattern: pattern.into(), watched: Mutex::new(Ours::new(watched)) }
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

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.namespace)?;
        visit.call(&self.readers)
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
    /// A fork has another one.
    watched: Mutex<Ours<Arc<Watched>>>,
}

/// The library's watch, which one thread at a time takes to wait.
struct Watched {
    watch: Mutex<Option<HubWatch>>,
    given_back: Condvar,
}

impl Watched {
    fn new(watch: HubWatch) -> Watched {
        Watched { watch: Mutex::new(Some(watch)), given_back: Condvar::new() }
    }

    /// No more than `timeout`, also for a thread that waits.
    fn wait_any(&self, timeout: Duration) -> Result<Vec<Arc<str>>, QueryError> {
        let begin = Instant::now();
        let watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.given_back.wait_timeout_while(watch, timeout, |watch| watch.is_none());
        let taken = waited.unwrap_or_else(PoisonError::into_inner).0.take();
        let Some(mut watch) = taken else { return Ok(Vec::new()) };
        let changed = watch.wait_any(timeout.saturating_sub(begin.elapsed()));
        *self.watch.lock().unwrap_or_else(PoisonError::into_inner) = Some(watch);
        self.given_back.notify_one();
        changed
    }
}

impl Watch {
    fn watched(&self, py: Python<'_>) -> Arc<Watched> {
        if let Some(watched) = fork::lock(py, &self.watched).get() {
            return Arc::clone(watched);
        }
        let other = Arc::new(Watched::new(self.hub.get().hub(py).watch(&self.pattern)));
        *fork::lock(py, &self.watched) = Ours::new(Arc::clone(&other));
        other
    }
}

#[pymethods]
impl Watch {
    /// The channels that have changed since the last call, or are new, closed or removed. Waits for
    /// one, up to `timeout` seconds, or for ever; other threads run meanwhile, and Ctrl-C ends it.
    #[pyo3(signature = (timeout=None))]
    fn wait_any(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Vec<String>> {
        let watched = self.watched(py);
        let mut changed = Vec::new();
        wait_in_slices(py, timeout, raise, |left| -> Result<bool, QueryError> {
            changed = watched.wait_any(left)?;
            Ok(!changed.is_empty())
        })?;
        Ok(changed.iter().map(|channel| channel.to_string()).collect())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.hub)
    }
}
