//! Publishing: values, bytes, arrays in place.

use std::any::Any;
use std::ffi::c_int;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex};

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use tearless::error::{CreateError, PublishError, RemoveError};
use tearless::{Bytes, Loan, Writer as Channel, WriterBuilder};

use crate::buffer::{Buffer, fill};
use crate::errors::{Class, closed, raise};
use crate::fork;
use crate::values::{self, Packed, Plain};

/// Copies from this size on let other threads run.
const LARGE: usize = 64 << 10;

/// What the states of a channel are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Values,
    Plain,
    Bytes,
}

/// A writer of payloads, by any codec.
enum Payloads {
    Packed(Channel<[u8], Packed>),
    Plain(Channel<[u8], Plain>),
    Bytes(Lender),
}

macro_rules! each {
    ($payloads:expr, $writer:ident => $result:expr) => {
        match $payloads {
            Payloads::Packed($writer) => $result,
            Payloads::Plain($writer) => $result,
            Payloads::Bytes(lender) => {
                let $writer = lender.writer();
                $result
            }
        }
    };
}

impl Payloads {
    /// Whether a slot is lent, so that nothing else may use the writer.
    fn is_lent(&self) -> bool {
        matches!(self, Payloads::Bytes(Lender { loan: Some(_), .. }))
    }

    /// The loan of this number, if it is the one that is lent.
    fn take_back(&mut self, number: u64) -> Option<Loan<'static, [u8], Bytes>> {
        match self {
            Payloads::Bytes(lender) if lender.loans == number => lender.loan.take(),
            _ => None,
        }
    }
}

/// A writer, and the loan that it has given.
struct Lender {
    /// Refers to `writer`, which is not used meanwhile.
    loan: Option<Loan<'static, [u8], Bytes>>,
    /// Number of loans so far.
    loans: u64,
    /// The writer's at the last loan.
    capacity: usize,
    /// From `Box::into_raw`: a loan may refer to it while this value moves.
    writer: NonNull<Channel<[u8], Bytes>>,
}

// SAFETY: the pointer is that of a box, which this value owns; what is in the box may be sent.
unsafe impl Send for Lender
where
    Channel<[u8], Bytes>: Send,
    Loan<'static, [u8], Bytes>: Send,
{
}

impl Lender {
    fn new(writer: Channel<[u8], Bytes>) -> Lender {
        let capacity = writer.capacity();
        Lender { loan: None, loans: 0, capacity, writer: NonNull::from(Box::leak(Box::new(writer))) }
    }

    /// # Panics
    ///
    /// While there is a loan.
    fn writer(&mut self) -> &mut Channel<[u8], Bytes> {
        assert!(self.loan.is_none(), "whoever calls has looked for a loan");
        // SAFETY: the box lives as long as this value, and its only other reference was the loan's.
        unsafe { self.writer.as_mut() }
    }

    /// # Panics
    ///
    /// As `writer`.
    fn lend(&mut self, len: usize) -> Result<&mut Loan<'static, [u8], Bytes>, PublishError> {
        self.capacity = self.writer().capacity();
        self.loans += 1;
        // SAFETY: the box lives as long as this value, which drops the loan before it, and nothing
        // uses the writer while there is a loan (`writer`).
        let writer: &'static mut Channel<[u8], Bytes> = unsafe { &mut *self.writer.as_ptr() };
        Ok(self.loan.insert(writer.loan(len)?))
    }

    fn close(mut self, linger: bool) -> Result<(), RemoveError> {
        self.loan = None;
        let writer = self.writer;
        std::mem::forget(self);
        // SAFETY: from `Box::leak`; the value that owned it is forgotten, and the loan is gone.
        let writer = unsafe { Box::from_raw(writer.as_ptr()) };
        if linger { writer.close_lingering() } else { writer.close() }
    }
}

impl Drop for Lender {
    fn drop(&mut self) {
        self.loan = None;
        // SAFETY: from `Box::leak`, and nothing refers to it any more.
        drop(unsafe { Box::from_raw(self.writer.as_ptr()) });
    }
}

/// A writer of one channel: made by `Namespace.writer` and `Namespace.bytes_writer`.
///
/// It belongs to the process that opened it: a fork gets `ForkedError`. Publishing never waits for
/// readers, and makes no system call, unless the state grows or a reader waits for it. It may be used
/// by several threads.
///
/// >>> with fleet.writer("worker-7") as worker:
/// ...     worker.publish_if_changed({"jobs_done": 3})
/// ...     worker.publish_if_changed({"jobs_done": 3})
/// ...     worker.publish({"jobs_done": 4})
/// 1
/// 2
#[pyclass(frozen, weakref, module = "tearless._tearless")]
pub(crate) struct Writer {
    /// `None` once it is closed.
    payloads: Mutex<Option<Payloads>>,
    is_of_values: bool,
    /// What packs values; `None` while it does.
    pack: Mutex<Option<Py<PyAny>>>,
    channel: String,
}

impl Writer {
    pub(crate) fn open(
        py: Python<'_>,
        builder: WriterBuilder<[u8]>,
        kind: Kind,
        channel: &str,
    ) -> PyResult<Writer> {
        let opened: Result<Payloads, CreateError> = fork::detached(py, || {
            Ok(match kind {
                Kind::Values => Payloads::Packed(builder.codec().open()?),
                Kind::Plain => Payloads::Plain(builder.codec().open()?),
                Kind::Bytes => Payloads::Bytes(Lender::new(builder.codec().open()?)),
            })
        });
        let payloads = Mutex::new(Some(opened.map_err(raise)?));
        let (is_of_values, pack) = (kind == Kind::Values, Mutex::default());
        Ok(Writer { payloads, is_of_values, pack, channel: channel.into() })
    }

    fn with<R: Send>(
        &self,
        py: Python<'_>,
        len: usize,
        call: impl FnOnce(&mut Payloads) -> R + Send,
    ) -> PyResult<R> {
        let is_large = len >= LARGE;
        let inside = is_large.then(|| fork::enter(py));
        let mut payloads = fork::lock(py, &self.payloads);
        let result = match payloads.as_mut() {
            Some(payloads) if is_large => Some(py.detach(|| call(payloads))),
            payloads => payloads.map(call),
        };
        drop((payloads, inside));
        result.ok_or_else(|| closed("writer", &self.channel))
    }

    /// The same for what uses the writer itself, while it lends no slot.
    fn with_writer<R: Send>(
        &self,
        py: Python<'_>,
        len: usize,
        call: impl FnOnce(&mut Payloads) -> Result<R, PublishError> + Send,
    ) -> PyResult<R> {
        let called = self.with(py, len, |payloads| (!payloads.is_lent()).then(|| call(payloads)))?;
        let called = called.ok_or_else(|| {
            let text = format!("a frame of {:?} is being filled: end its block first", self.channel);
            Class::InUse.error("", &text)
        })?;
        called.map_err(raise)
    }

    /// The payload of a value: of bytes, its memory.
    fn payload<'py>(&self, py: Python<'py>, value: &Bound<'py, PyAny>) -> PyResult<Buffer> {
        if !self.is_of_values {
            return Buffer::of(value);
        }
        // Packing calls Python code, which may publish on this writer, as other threads may
        // meanwhile: a packer that is at work is not to be used.
        let taken = fork::lock(py, &self.pack).take();
        let pack = taken.map_or_else(|| values::make_pack(py), Ok)?;
        let payload = values::pack(pack.bind(py), value);
        let replaced = fork::lock(py, &self.pack).replace(pack);
        drop(replaced);
        Buffer::of(payload?.as_any())
    }
}

#[pymethods]
impl Writer {
    /// Publishes a state, and returns its number.
    ///
    /// The value is packed and copied: later changes of it don't reach readers. Other threads run
    /// while 64 KiB or more are copied.
    ///
    /// Raises `EncodeError` for a value that can't be packed, with the place in it; `LimitError`
    /// beyond `max_state_len`, or without memory to grow; `ForkedError` in a fork; `ClosedError`
    /// after `close`. The last state then stays.
    fn publish(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<u64> {
        let payload = self.payload(py, value)?;
        self.with_writer(py, payload.len(), |payloads| {
            payload.with(|bytes| each!(payloads, writer => writer.publish(bytes)))
        })
    }

    /// Publishes a state if its payload is another than that of the last call, and returns its
    /// number; else gives a heartbeat and returns None. The first call publishes, and so does one
    /// after `publish`. A heartbeat wakes no reader. Raises what `publish` does.
    fn publish_if_changed(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Option<u64>> {
        let payload = self.payload(py, value)?;
        self.with_writer(py, payload.len(), |payloads| {
            payload.with(|bytes| each!(payloads, writer => writer.publish_if_changed(bytes)))
        })
    }

    /// Gives a heartbeat: the state is as it was, and this process works. It wakes no reader.
    fn touch(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, 0, |payloads| match payloads {
            Payloads::Bytes(Lender { loan: Some(loan), .. }) => loan.touch(),
            payloads => each!(payloads, writer => writer.touch()),
        })?
        .map_err(raise)
    }

    /// Lends the next slot for `head` and `len` more bytes.
    #[pyo3(name = "_lend")]
    fn lend(&self, py: Python<'_>, head: &[u8], len: usize) -> PyResult<Slot> {
        self.with_writer(py, 0, |payloads| {
            let Payloads::Bytes(lender) = payloads else { unreachable!("array writers write bytes") };
            let loan = lender.lend(head.len() + len)?;
            loan.write_at(0, head);
            let slot = Slot::of(loan, head.len());
            Ok(Slot { number: lender.loans, ..slot })
        })
    }

    /// Publishes what was lent, and returns its number.
    #[pyo3(name = "_publish_lent")]
    fn publish_lent(&self, py: Python<'_>, slot: &Slot) -> PyResult<u64> {
        self.with(py, 0, |payloads| payloads.take_back(slot.number).map(Loan::publish))?
            .ok_or_else(|| {
                Class::Closed.error("", "the frame has ended: take another one for the next state")
            })?
            .map_err(raise)
    }

    /// Gives back what was lent. Again, it does nothing.
    #[pyo3(name = "_give_back")]
    fn give_back(&self, py: Python<'_>, slot: &Slot) {
        if let Some(payloads) = &mut *fork::lock(py, &self.payloads) {
            drop(payloads.take_back(slot.number));
        }
    }

    /// Publishes `head` and the bytes of `data`.
    #[pyo3(name = "_publish_parts")]
    fn publish_parts(&self, py: Python<'_>, head: &[u8], data: &Bound<'_, PyAny>) -> PyResult<u64> {
        let data = Buffer::of(data)?;
        self.with_writer(py, data.len(), |payloads| {
            let Payloads::Bytes(lender) = payloads else { unreachable!("array writers write bytes") };
            let mut loan = lender.writer().loan(head.len() + data.len())?;
            loan.write_at(0, head);
            data.with(|data| loan.write_at(head.len(), data));
            loan.publish()
        })
    }

    /// Ends the channel, and removes it, unless it lingers. Again, it does nothing.
    ///
    /// With `linger`, or if the writer was opened so, the last state stays readable.
    #[pyo3(signature = (linger=None))]
    fn close(&self, py: Python<'_>, linger: Option<bool>) -> PyResult<()> {
        let Some(payloads) = fork::lock(py, &self.payloads).take() else { return Ok(()) };
        let is_lingering = linger == Some(true);
        fork::detached(py, || match (payloads, is_lingering) {
            (Payloads::Packed(writer), true) => writer.close_lingering(),
            (Payloads::Packed(writer), false) => writer.close(),
            (Payloads::Plain(writer), true) => writer.close_lingering(),
            (Payloads::Plain(writer), false) => writer.close(),
            (Payloads::Bytes(lender), linger) => lender.close(linger),
        })
        .map_err(raise)
    }

    /// The channel's name.
    #[getter]
    fn channel(&self) -> &str {
        &self.channel
    }

    /// Whether it was closed in this process.
    #[getter]
    fn is_closed(&self, py: Python<'_>) -> bool {
        fork::lock(py, &self.payloads).is_none()
    }

    /// Number of the last publication; 0 before the first.
    #[getter]
    fn publication(&self, py: Python<'_>) -> PyResult<u64> {
        self.with(py, 0, |payloads| match payloads {
            Payloads::Bytes(Lender { loan: Some(loan), .. }) => loan.publication() - 1,
            payloads => each!(payloads, writer => writer.publication()),
        })
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_error))]
    fn __exit__(&self, py: Python<'_>, _error: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.close(py, None)
    }

    fn __reduce__(&self) -> PyResult<()> {
        let text =
            "a writer belongs to its process: pass the Namespace and the channel's name, and open it there";
        Err(PyTypeError::new_err(text))
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        match self.publication(py) {
            Ok(publication) => format!("<Writer of {:?}, publication {publication}>", self.channel),
            Err(_) => format!("<Writer of {:?}, closed>", self.channel),
        }
    }

    /// Bytes that a payload may have before the channel has to grow.
    #[getter]
    fn capacity(&self, py: Python<'_>) -> PyResult<usize> {
        self.with(py, 0, |payloads| match payloads {
            Payloads::Bytes(Lender { loan: Some(_), capacity, .. }) => *capacity,
            payloads => each!(payloads, writer => writer.capacity()),
        })
    }
}

/// The memory of a loan: an object with the buffer protocol. It keeps the memory mapped, also after
/// the loan is published and the writer closed.
#[pyclass(frozen, module = "tearless._tearless")]
pub(crate) struct Slot {
    start: NonNull<u8>,
    len: usize,
    /// Which loan of its writer it is.
    number: u64,
    /// Keeps the bytes at `start` mapped.
    _memory: Arc<dyn Any + Send + Sync>,
}

// SAFETY: the pointer is given out and not followed here; the memory may be sent and shared.
unsafe impl Send for Slot {}
// SAFETY: see above.
unsafe impl Sync for Slot {}

impl Slot {
    fn of(loan: &mut Loan<'_, [u8], Bytes>, skipped: usize) -> Slot {
        let memory = loan.keep().expect("namespaces of Python are in shared memory");
        // SAFETY: the promise is that of the Python program (docs/python.md): processes of this user
        // write to its channels by this library only, and a fork does not fill its parent's frame.
        let bytes = unsafe { loan.lend().into_mut() };
        let bytes = &mut bytes[skipped..];
        let (start, len) = (NonNull::from(&mut *bytes).cast(), bytes.len());
        Slot { start, len, number: 0, _memory: memory }
    }
}

#[pymethods]
impl Slot {
    /// # Safety
    ///
    /// Called by Python only, with a view to fill.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let (start, len) = (slf.get().start.as_ptr(), slf.get().len);
        // SAFETY: this object keeps the bytes mapped, for writing, too. `view` is what Python gave.
        unsafe { fill(slf.into_any(), view, flags, start, len, false) }
    }
}
