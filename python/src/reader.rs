//! Reading: values, bytes, arrays in place.

use std::ffi::c_int;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::PyTuple;
use tearless::SnapshotInfo;
use tearless::dynamic::DynamicReader;
use tearless::error::SnapshotError;
use tearless::view::View as SharedView;

use crate::buffer::fill;
use crate::errors::raise;
use crate::fork;
use crate::stream::Stream;
use crate::values::{self, Format};

/// Copies from this size on let other threads run.
pub(crate) const LARGE: usize = 64 << 10;

/// How long one wait takes before Python's signals are looked at.
const SLICE: Duration = Duration::from_millis(100);

/// Calls `wait` until it returns true or the time is over; `None` is no limit.
pub(crate) fn wait_in_slices<E: Send>(
    py: Python<'_>,
    timeout: Option<f64>,
    raise: impl Fn(E) -> PyErr,
    mut wait: impl FnMut(Duration) -> Result<bool, E> + Send,
) -> PyResult<bool> {
    let timeout = timeout.map(values::duration).transpose()?;
    let begin = Instant::now();
    loop {
        let left = timeout.map_or(SLICE, |timeout| timeout.saturating_sub(begin.elapsed()).min(SLICE));
        if py.detach(|| wait(left)).map_err(&raise)? {
            return Ok(true);
        }
        py.check_signals()?;
        if timeout.is_some_and(|timeout| begin.elapsed() >= timeout) {
            return Ok(false);
        }
    }
}

/// A state and what is known of its publication. It never changes.
///
/// >>> worker = fleet.writer("worker-7")
/// >>> worker.publish([1, 2])
/// 1
/// >>> snapshot = fleet.reader("worker-7").snapshot()
/// >>> snapshot.value, snapshot.publication, 0 <= snapshot.age < 60, snapshot.payload_len
/// ([1, 2], 1, True, 3)
#[pyclass(frozen, module = "tearless")]
pub(crate) struct Snapshot {
    /// The state.
    #[pyo3(get)]
    value: Py<PyAny>,
    info: SnapshotInfo,
}

impl Snapshot {
    pub(crate) fn new(value: Bound<'_, PyAny>, info: SnapshotInfo) -> Snapshot {
        Snapshot { value: value.unbind(), info }
    }
}

#[pymethods]
impl Snapshot {
    /// The number of the publication: 1 is the first of the channel, also across restarts.
    #[getter]
    fn publication(&self) -> u64 {
        self.info.publication()
    }

    /// Seconds since it was published, as of now; None if the channel has no timestamps.
    #[getter]
    fn age(&self) -> Option<f64> {
        self.info.age().map(|age| age.as_secs_f64())
    }

    /// When it was published, in UTC, by the clock of the reader; None without timestamps.
    #[getter]
    fn published_at<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.info.published_at().map(|time| values::time_of_day(py, time)).transpose()
    }

    /// Of a channel that mirrors one of another host: that host, and the number of the publication
    /// there. None of any other channel.
    #[getter]
    fn origin(&self) -> Option<Origin> {
        self.info.origin().map(|origin| Origin { origin })
    }

    /// Bytes that the state takes in shared memory.
    #[getter]
    fn payload_len(&self) -> usize {
        self.info.payload_len()
    }

    /// There is no `__clear__`, as tuples have none: what never changes is made after what it refers
    /// to, so that a cycle has another object to break it at.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.value)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let value = self.value.bind(py).repr()?;
        Ok(match self.info.age() {
            Some(age) => format!("<Snapshot {} ({age:.3?} ago): {value}>", self.info.publication()),
            None => format!("<Snapshot {}: {value}>", self.info.publication()),
        })
    }
}

/// Where a state of a mirrored channel comes from. It never changes.
///
/// `str` of it is for people: ``publication 12 of host a``.
#[pyclass(frozen, eq, hash, module = "tearless")]
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    origin: tearless::mirror::Origin,
}

#[pymethods]
impl Origin {
    /// The name of the host.
    #[getter]
    fn host(&self) -> &'static str {
        self.origin.host()
    }

    /// The number of the publication on that host.
    #[getter]
    fn publication(&self) -> u64 {
        self.origin.publication()
    }

    fn __str__(&self) -> String {
        self.origin.to_string()
    }

    fn __repr__(&self) -> String {
        format!("<Origin: {}>", self.origin)
    }
}

struct Inner {
    reader: DynamicReader,
    /// The memory that payloads are copied to.
    payload: Vec<u8>,
}

/// A reader of one channel: made by `Namespace.reader`.
///
/// Reading has no effect on the writer, and works after its death, too. A reader may be used by
/// several threads, and by a fork, and is pickled as its name.
///
/// >>> worker = fleet.writer("worker-7")
/// >>> worker.publish({"jobs_done": 3})
/// 1
/// >>> reader = fleet.reader("worker-7")
/// >>> reader.snapshot().value, reader.has_changed(), reader.writer_state()
/// ({'jobs_done': 3}, False, 'alive')
/// >>> worker.publish({"jobs_done": 4})
/// 2
/// >>> reader.changed(timeout=1)
/// True
#[pyclass(frozen, weakref, module = "tearless._tearless")]
pub(crate) struct Reader {
    inner: Mutex<Inner>,
    format: Format,
    /// Whether the last payload is known to have been small.
    is_small: AtomicBool,
    /// Whether the last view copied little or nothing.
    is_light: AtomicBool,
    channel: String,
    is_raw: bool,
    /// The `Namespace` of Python that opened it.
    namespace: Py<PyAny>,
}

impl Reader {
    pub(crate) fn new(reader: DynamicReader, is_raw: bool, namespace: Py<PyAny>) -> Reader {
        let format = if is_raw { Format::Raw } else { Format::of(&reader) };
        let channel = reader.reader().channel().into();
        let inner = Mutex::new(Inner { reader, payload: Vec::new() });
        Reader {
            inner,
            format,
            is_small: AtomicBool::new(false),
            is_light: AtomicBool::new(false),
            channel,
            is_raw,
            namespace,
        }
    }

    /// The value of a payload of this channel.
    pub(crate) fn decode<'py>(&self, py: Python<'py>, payload: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        self.format.value(py, payload)
    }

    fn lock(&self, py: Python<'_>) -> MutexGuard<'_, Inner> {
        fork::lock(py, &self.inner)
    }

    /// Does `work`, which copies payloads. If they are large, other threads of Python run meanwhile.
    fn with<R: Send>(&self, py: Python<'_>, work: impl FnOnce(&mut Inner) -> R + Send) -> R {
        let mut inner = self.lock(py);
        if !is_large(&mut inner.reader) {
            return work(&mut inner);
        }
        drop(inner);
        let _inside = fork::enter(py);
        let mut inner = self.lock(py);
        let inner = &mut *inner;
        py.detach(|| work(inner))
    }

    /// The latest payload, in place or as a copy.
    pub(crate) fn view(&self, py: Python<'_>) -> PyResult<View> {
        // Relaxed: either way there is a view.
        let view = match self.is_light.load(Ordering::Relaxed) {
            true => self.lock(py).reader.reader_mut().view(),
            false => self.with(py, |inner| inner.reader.reader_mut().view()),
        };
        let view = view.map_err(raise)?;
        self.is_light.store(view.is_in_place() || view.len() < LARGE, Ordering::Relaxed);
        Ok(View { view })
    }

    /// Copies the latest payload, and gives it to `look`, which calls no Python code.
    pub(crate) fn look(
        &self,
        py: Python<'_>,
        look: impl FnOnce(&[u8]) -> Option<()>,
    ) -> Result<Option<SnapshotInfo>, SnapshotError> {
        let mut inner = self.lock(py);
        let info = inner.receive()?;
        Ok(look(&inner.payload).map(|()| info))
    }
}

impl Inner {
    /// Copies the latest payload into `self.payload`.
    fn receive(&mut self) -> Result<SnapshotInfo, SnapshotError> {
        self.reader.reader_mut().snapshot_into(&mut self.payload)
    }
}

/// Whether the latest payload is large, or can't be seen.
pub(crate) fn is_large(reader: &mut DynamicReader) -> bool {
    reader.reader_mut().latest_info().is_none_or(|info| info.payload_len() >= LARGE)
}

#[pymethods]
impl Reader {
    /// The latest state: one whole publication, copied and unpacked.
    ///
    /// It makes no system call and does not wait. Other threads run while 64 KiB or more are copied.
    ///
    /// Raises `EmptyError` before the first publication, `ClosedError` when the channel is removed or
    /// replaced, and `DecodeError` for bytes that are no value.
    pub(crate) fn snapshot(&self, py: Python<'_>) -> PyResult<Snapshot> {
        let take = |inner: &mut Inner| (inner.receive(), mem::take(&mut inner.payload));
        // Relaxed: either way it is copied. Small states are usually followed by small ones, and to look
        // would take longer than to copy them.
        let (copied, payload) = match self.is_small.load(Ordering::Relaxed) {
            true => take(&mut self.lock(py)),
            false => self.with(py, take),
        };
        self.is_small.store(copied.is_ok() && payload.len() < LARGE, Ordering::Relaxed);
        let info = copied.map_err(raise)?;
        let value = self.decode(py, &payload)?;
        self.lock(py).payload = payload;
        Ok(Snapshot::new(value, info))
    }

    /// The state with this number, if the channel still has it; else None. A channel has a few slots.
    fn snapshot_at(&self, py: Python<'_>, publication: u64) -> PyResult<Option<Snapshot>> {
        let found = self.with(py, |inner| inner.reader.reader_mut().snapshot_at(publication));
        found
            .map_err(raise)?
            .map(|found| Ok(Snapshot::new(self.decode(py, &found)?, found.info())))
            .transpose()
    }

    /// The last states that the channel holds, the latest first: at most as many as it has slots.
    fn history(&self, py: Python<'_>) -> PyResult<Vec<Snapshot>> {
        let found = self.with(py, |inner| inner.reader.reader_mut().history().collect::<Result<Vec<_>, _>>());
        found
            .map_err(raise)?
            .iter()
            .map(|found| Ok(Snapshot::new(self.decode(py, found)?, found.info())))
            .collect()
    }

    /// Whether there is a later state than that of the last snapshot.
    fn has_changed(&self, py: Python<'_>) -> bool {
        self.lock(py).reader.reader().has_changed()
    }

    /// Waits for a later state than that of the last snapshot; false after `timeout` seconds.
    ///
    /// Without a `timeout` it waits for ever. The writer wakes it; other threads run meanwhile, and
    /// Ctrl-C ends it. Raises `ClosedError` when the channel ends.
    #[pyo3(signature = (timeout=None))]
    fn changed(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        // A reader of its own, so that other threads can read meanwhile.
        let mut waiting = self.lock(py).reader.reader().clone();
        wait_in_slices(py, timeout, raise, |left| waiting.changed(left))
    }

    /// `alive`, `stopped`, `dead`, `exited`, `closed`, `unknown` or `unreachable`: asks the kernel.
    fn writer_state(&self, py: Python<'_>) -> PyResult<&'static str> {
        let state = self.lock(py).reader.reader().writer_state();
        Ok(state.map_err(raise)?.name())
    }

    /// How the writer is, as a sentence: with the age of its last state, or how it ended.
    fn health(&self, py: Python<'_>) -> PyResult<String> {
        let health = self.lock(py).reader.reader_mut().health();
        Ok(health.map_err(raise)?.to_string())
    }

    /// The states of the channel from now on, for a loop of asyncio.
    #[pyo3(name = "_stream")]
    fn stream(&self, py: Python<'_>) -> PyResult<Stream> {
        let reader = self.lock(py).reader.reader().clone();
        Stream::of_reader(reader, self.format.clone())
    }

    /// The channel's name.
    #[getter]
    fn channel(&self) -> &str {
        &self.channel
    }

    /// The number of the latest publication; 0 if there is none.
    #[getter]
    fn publication(&self, py: Python<'_>) -> u64 {
        self.lock(py).reader.reader().publication()
    }

    /// The format of the payloads: `message-pack`, `bytes`, `pod` or another one of the library's.
    #[getter]
    fn codec(&self, py: Python<'_>) -> String {
        self.lock(py).reader.codec().into()
    }

    /// The name of the type that the writer publishes.
    #[getter]
    fn type_name(&self, py: Python<'_>) -> String {
        self.lock(py).reader.type_name().into()
    }

    /// The process that writes the channel, or was the last to.
    #[getter]
    fn writer_pid(&self, py: Python<'_>) -> u64 {
        self.lock(py).reader.reader().writer_pid()
    }

    /// Whether the writer has closed the channel.
    #[getter]
    pub(crate) fn is_closed(&self, py: Python<'_>) -> bool {
        self.lock(py).reader.reader().is_closed()
    }

    /// The latest state and every later one, for `async for`: see `Changes`.
    fn changes<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("tearless._aio")?.getattr("Changes")?.call1((slf,))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.namespace)
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_error))]
    fn __exit__(&self, _error: &Bound<'_, PyTuple>) {}

    fn __repr__(&self, py: Python<'_>) -> String {
        let inner = self.lock(py);
        let (codec, type_name) = (inner.reader.codec(), inner.reader.type_name());
        format!("<Reader of {:?}: {codec}, {type_name}>", self.channel)
    }

    /// A reader is pickled as its names.
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let open = py.import("tearless._namespace")?.getattr("_reopen")?;
        (open, (&self.namespace, &self.channel, self.is_raw)).into_pyobject(py)
    }
}

/// A publication in place: an object with the buffer protocol, read-only. Arrays that are made of
/// it keep it, and it keeps the memory. `ArrayReader.view` makes an array of one.
#[pyclass(frozen, module = "tearless._tearless")]
pub(crate) struct View {
    view: SharedView<[u8]>,
}

impl View {
    pub(crate) fn payload(&self) -> &[u8] {
        &self.view
    }

    pub(crate) fn info(&self) -> SnapshotInfo {
        self.view.info()
    }
}

#[pymethods]
impl View {
    /// The number of the publication.
    #[getter]
    fn publication(&self) -> u64 {
        self.view.info().publication()
    }

    /// Seconds since it was published, as of now; None if the channel has no timestamps.
    #[getter]
    fn age(&self) -> Option<f64> {
        self.view.info().age().map(|age| age.as_secs_f64())
    }

    /// Whether these are the writer's bytes. Otherwise they are a copy.
    #[getter]
    fn is_in_place(&self) -> bool {
        self.view.is_in_place()
    }

    /// Whether there is no later publication.
    #[getter]
    fn is_latest(&self) -> bool {
        self.view.is_latest()
    }

    fn __len__(&self) -> usize {
        self.view.len()
    }

    /// # Safety
    ///
    /// Called by Python only, with a view to fill.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let (start, len) = (slf.get().view.as_ptr().cast_mut(), slf.get().view.len());
        // SAFETY: the view keeps its bytes mapped, and this object keeps the view. They are given
        // out as read-only. `view` is what Python gave.
        unsafe { fill(slf.into_any(), view, flags, start, len, true) }
    }
}
