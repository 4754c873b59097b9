//! Namespaces: where everything is opened.

use std::path::PathBuf;
use std::time::Duration;

use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tearless::accept::Any;
use tearless::cleanup::Retention;
use tearless::error::{AttachError, BlockError};
use tearless::hub::Pattern;
use tearless::options::Group;
use tearless::view::TrustedWriters;
use tearless::{Bytes, Namespace as Opened, WriterBuilder};

use crate::block::Block;
use crate::errors::{Class, raise};
use crate::fork;
use crate::reader::{Reader, wait_in_slices};
use crate::syncer::{State, Syncer, interruptible};
use crate::values::{self, Packed};
use crate::writer::{Kind, Writer};

/// The channels and blocks of a fleet, under one name.
#[pyclass(frozen, module = "tearless._tearless", subclass)]
pub(crate) struct Namespace {
    pub(crate) namespace: Opened,
}

/// Options of a writer.
#[derive(Default)]
struct WriterOptions {
    capacity: Option<usize>,
    slots: Option<usize>,
    max_state_len: Option<usize>,
    pins: Option<usize>,
    max_memory: Option<u64>,
    checksum: Option<bool>,
    permissions: Option<u32>,
    heartbeat_interval: Option<Duration>,
    linger: Option<bool>,
}

impl WriterOptions {
    const NAMES: &str =
        "capacity, slots, max_state_len, pins, max_memory, checksum, permissions, heartbeat_interval, linger";

    fn of(keywords: Option<&Bound<'_, PyDict>>) -> PyResult<WriterOptions> {
        let mut options = WriterOptions::default();
        for (name, value) in keywords.into_iter().flatten() {
            let name: String = name.extract()?;
            match name.as_str() {
                "capacity" => options.capacity = number(&name, &value)?,
                "slots" => options.slots = number(&name, &value)?,
                "max_state_len" => options.max_state_len = number(&name, &value)?,
                "pins" => options.pins = number(&name, &value)?,
                "max_memory" => options.max_memory = number(&name, &value)?,
                "checksum" => options.checksum = value.extract()?,
                "permissions" => options.permissions = number(&name, &value)?,
                "heartbeat_interval" => {
                    options.heartbeat_interval =
                        value.extract::<Option<f64>>()?.map(values::duration).transpose()?;
                }
                "linger" => options.linger = value.extract()?,
                _ => {
                    let text = format!("a writer has no option {name:?}: it has {}", WriterOptions::NAMES);
                    return Err(PyTypeError::new_err(text));
                }
            }
        }
        Ok(options)
    }

    fn apply<T: ?Sized, C>(self, mut builder: WriterBuilder<T, C>) -> WriterBuilder<T, C> {
        if let Some(bytes) = self.capacity {
            builder = builder.capacity(bytes);
        }
        if let Some(slots) = self.slots {
            builder = builder.slots(slots);
        }
        if let Some(bytes) = self.max_state_len {
            builder = builder.max_state_len(bytes);
        }
        if let Some(pins) = self.pins {
            builder = builder.pins(pins);
        }
        if let Some(bytes) = self.max_memory {
            builder = builder.max_memory(bytes);
        }
        if let Some(checksum) = self.checksum {
            builder = builder.checksum(checksum);
        }
        if let Some(permissions) = self.permissions {
            builder = builder.permissions(permissions);
        }
        if let Some(interval) = self.heartbeat_interval {
            builder = builder.heartbeat_interval(interval);
        }
        if let Some(linger) = self.linger {
            builder = builder.linger(linger);
        }
        builder
    }
}

/// The number that an option has.
fn number<'py, T>(name: &str, value: &Bound<'py, PyAny>) -> PyResult<Option<T>>
where
    Option<T>: FromPyObjectOwned<'py, Error = PyErr>,
{
    value.extract().map_err(|error: PyErr| match error.is_instance_of::<PyOverflowError>(value.py()) {
        true => Class::Argument.error("", &format!("{name}={value} is negative or too large")),
        false => error,
    })
}

/// A group's name or number.
#[derive(FromPyObject)]
enum GroupOf {
    Number(u32),
    Name(String),
}

#[pymethods]
impl Namespace {
    #[new]
    #[pyo3(signature = (name, *, directory=None, permissions=None, group=None, max_memory=None, max_dead_channels=None, trust_owner=None))]
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    fn new(
        py: Python<'_>,
        name: &str,
        directory: Option<PathBuf>,
        permissions: Option<u32>,
        group: Option<GroupOf>,
        max_memory: Option<u64>,
        max_dead_channels: Option<usize>,
        trust_owner: Option<u32>,
    ) -> PyResult<Namespace> {
        let mut builder = Opened::builder(name);
        if let Some(directory) = directory {
            builder = builder.directory(directory);
        }
        if let Some(permissions) = permissions {
            builder = builder.permissions(permissions);
        }
        if let Some(group) = group {
            builder = match group {
                GroupOf::Number(number) => builder.group(number),
                GroupOf::Name(name) => builder.group(Group::from(name.as_str())),
            };
        }
        if let Some(bytes) = max_memory {
            builder = builder.max_memory(bytes);
        }
        if let Some(channels) = max_dead_channels {
            builder = builder.max_dead_channels(channels);
        }
        if let Some(user) = trust_owner {
            builder = builder.trust_owner(user);
        }
        Ok(Namespace { namespace: py.detach(|| builder.open()).map_err(raise)? })
    }

    /// The name.
    #[getter]
    fn name(&self) -> &str {
        self.namespace.name()
    }

    /// The directory of its objects, if it was opened in one.
    #[getter]
    fn directory(&self) -> Option<PathBuf> {
        self.namespace.directory().map(Into::into)
    }

    /// A writer of `channel`; `kind` is `values`, `plain` or `bytes`.
    #[pyo3(name = "_open_writer", signature = (channel, kind, type_name, **options))]
    fn open_writer(
        &self,
        py: Python<'_>,
        channel: &str,
        kind: &str,
        type_name: &str,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Writer> {
        let builder = self.namespace.writer_builder::<[u8]>(channel).type_name(type_name);
        let kind = match kind {
            "values" => Kind::Values,
            "plain" => Kind::Plain,
            _ => Kind::Bytes,
        };
        Writer::open(py, WriterOptions::of(options)?.apply(builder), kind, channel)
    }

    /// A state that is published in the background.
    #[pyo3(name = "_open_syncer", signature = (channel, initial, type_name, *, interval=None, resume=false, **options))]
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    fn open_syncer(
        &self,
        py: Python<'_>,
        channel: &str,
        initial: Py<PyAny>,
        type_name: &str,
        interval: Option<f64>,
        resume: bool,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Syncer> {
        let builder = self.namespace.writer_builder::<State>(channel).codec::<Packed>().type_name(type_name);
        let mut builder = WriterOptions::of(options)?.apply(builder).syncer(State::new(py, initial)?);
        if let Some(interval) = interval {
            builder = builder.interval(values::duration(interval)?);
        }
        if resume {
            builder = builder.resume();
        }
        let syncer = interruptible(py, || builder.spawn())?.map_err(raise)?;
        Ok(Syncer::new(syncer))
    }

    /// A reader of `channel`, of any format; `timeout` is how long to wait for the channel.
    #[pyo3(name = "_open_reader", signature = (channel, *, raw=false, timeout=0.0))]
    pub(crate) fn open_reader(
        slf: &Bound<'_, Self>,
        py: Python<'_>,
        channel: &str,
        raw: bool,
        timeout: f64,
    ) -> PyResult<Reader> {
        // SAFETY: the promise is that of the Python program, given by `docs/python.md` and the
        // documentation of views: processes of this user store to channels by this library only.
        let promise = unsafe { TrustedWriters::new() };
        let builder = slf.get().namespace.reader_builder::<Vec<u8>>(channel).codec::<Bytes>().accept(Any);
        let builder = builder.views_in_place(promise);
        let limit = values::duration(timeout)?;
        let mut opened = None;
        let mut last = None;
        wait_in_slices(py, Some(timeout), raise, |left| {
            let attempt = builder.clone().attach_within(left).open();
            match attempt {
                Ok(reader) => opened = Some(reader),
                Err(mut error @ (AttachError::NotFound { .. } | AttachError::NotReady { .. })) => {
                    if let AttachError::NotFound { waited, .. } | AttachError::NotReady { waited, .. } =
                        &mut error
                    {
                        // Not the last slice of it alone.
                        *waited = limit;
                    }
                    last = Some(error);
                }
                Err(error) => return Err(error),
            }
            Ok(opened.is_some())
        })?;
        match (opened, last) {
            (Some(reader), _) => Ok(Reader::new(reader.into(), raw, slf.clone().into_any().unbind())),
            (None, Some(error)) => Err(raise(error)),
            (None, None) => unreachable!("there was an attempt"),
        }
    }

    /// Creates a block, which this object owns.
    #[pyo3(name = "_create_block", signature = (name, len, label, *, permissions=None))]
    fn create_block(
        &self,
        py: Python<'_>,
        name: &str,
        len: usize,
        label: &str,
        permissions: Option<u32>,
    ) -> PyResult<Block> {
        let mut builder = self.namespace.block_builder(name).label(label);
        if let Some(permissions) = permissions {
            builder = builder.permissions(permissions);
        }
        fork::detached(py, || builder.create(len)).map(Block::owned).map_err(raise)
    }

    /// Opens a block of another process, or of this one.
    #[pyo3(name = "_open_block", signature = (name, *, read_only=false, timeout=0.0))]
    fn open_block(&self, py: Python<'_>, name: &str, read_only: bool, timeout: f64) -> PyResult<Block> {
        let builder = self.namespace.block_builder(name);
        let limit = values::duration(timeout)?;
        let (mut opened, mut last) = (None, None);
        wait_in_slices(py, Some(timeout), raise, |left| {
            let builder = builder.clone().attach_within(left);
            let attempt = match read_only {
                true => builder.open().map(Block::read_only),
                false => builder.open_mut().map(Block::writable),
            };
            match attempt {
                Ok(block) => opened = Some(block),
                Err(mut error @ (BlockError::NotFound { .. } | BlockError::NotReady { .. })) => {
                    if let BlockError::NotFound { waited, .. } | BlockError::NotReady { waited, .. } =
                        &mut error
                    {
                        *waited = limit;
                    }
                    last = Some(error);
                }
                Err(error) => return Err(error),
            }
            Ok(opened.is_some())
        })?;
        match (opened, last) {
            (Some(block), _) => Ok(block),
            (None, Some(error)) => Err(raise(error)),
            (None, None) => unreachable!("there was an attempt"),
        }
    }

    /// Removes an array whose owner has ended; false if there is none. Raises `InUseError` while the
    /// owner lives.
    fn remove_block(&self, py: Python<'_>, name: &str) -> PyResult<bool> {
        let builder = self.namespace.block_builder(name);
        fork::detached(py, || builder.remove()).map_err(raise)
    }

    /// Removes a channel whose writer has ended; false if there is none. Raises `InUseError` while
    /// the writer lives.
    fn remove_channel(&self, py: Python<'_>, channel: &str) -> PyResult<bool> {
        fork::detached(py, || self.namespace.remove_channel(channel)).map_err(raise)
    }

    /// Names of the channels, sorted, also of those whose writer is dead.
    fn channels(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let listed = fork::detached(py, || self.namespace.channels()).map_err(raise)?;
        let mut names: Vec<_> = listed.into_iter().map(|channel| channel.name).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Names of the arrays that were made by `alloc`, sorted.
    fn blocks(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let listed = fork::detached(py, || self.namespace.blocks()).map_err(raise)?;
        let mut names: Vec<_> = listed.into_iter().map(|block| block.name).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Removes what ended processes have left; returns the names of the removed channels and
    /// blocks. Last states stay for `keep` seconds; of None, until they are replaced.
    #[pyo3(signature = (keep=None))]
    fn clean(&self, py: Python<'_>, keep: Option<f64>) -> PyResult<Vec<String>> {
        let retention = match keep.map(values::duration).transpose()? {
            None => Retention::UntilReplaced,
            Some(Duration::ZERO) => Retention::Nothing,
            Some(age) => Retention::For(age),
        };
        let report = fork::detached(py, || self.namespace.clean(retention)).map_err(raise)?;
        Ok(report.removed.into_iter().filter_map(|removed| removed.channel.or(removed.block)).collect())
    }

    /// Bytes of shared memory that the namespace takes.
    fn memory(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(py.detach(|| self.namespace.memory()).map_err(raise)?.total().resident)
    }

    /// The beginning of the names of its objects in its directory.
    #[pyo3(name = "_object_prefix")]
    fn object_prefix(&self) -> String {
        self.namespace.object_prefix(None)
    }

    /// Saves the latest states of the channels that one of the patterns matches, or of all, to a
    /// file, with checksums; returns how many. The command `tearless restore` brings them back.
    #[pyo3(signature = (path, channels=vec![]))]
    #[expect(clippy::needless_pass_by_value, reason = "arguments of Python")]
    fn save(&self, py: Python<'_>, path: PathBuf, channels: Vec<String>) -> PyResult<usize> {
        let patterns: Vec<_> = channels.iter().map(Pattern::new).collect();
        Ok(py.detach(|| self.namespace.save(path, &patterns)).map_err(raise)?.channels)
    }
}
