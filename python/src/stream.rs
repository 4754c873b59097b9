//! Changes for a loop of asyncio, which is woken through a descriptor.

use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{read, write};
use tearless::dynamic::DynamicReader;
use tearless::hub::HubChanges;
use tearless::{Bytes, Reader};

use crate::errors::{Class, raise};
use crate::hub::Hub;
use crate::reader::{Snapshot, decode};
use crate::values::Format;

/// Wakes the loop: makes the descriptor readable.
struct Signal(OwnedFd);

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        // It is full only if it is readable already.
        let _ = write(&self.0, &1_u64.to_ne_bytes());
    }
}

/// What is followed.
enum Changes {
    Channel { changes: Box<tearless::Changes<Vec<u8>, Bytes>>, decoder: Box<DynamicReader>, format: Format },
    Hub { changes: Box<HubChanges<Vec<u8>>>, hub: Py<Hub> },
}

/// States, for `async for`.
#[pyclass(frozen, module = "tearless._tearless")]
pub(crate) struct Stream {
    changes: Mutex<Changes>,
    signal: Arc<Signal>,
    waker: Waker,
}

impl Stream {
    pub(crate) fn of_reader(reader: Reader<Vec<u8>, Bytes>, format: Format) -> PyResult<Stream> {
        let decoder = DynamicReader::from(reader.clone());
        Stream::new(Changes::Channel { changes: Box::new(reader.changes()), decoder: decoder.into(), format })
    }

    pub(crate) fn of_hub(changes: HubChanges<Vec<u8>>, hub: Py<Hub>) -> PyResult<Stream> {
        Stream::new(Changes::Hub { changes: Box::new(changes), hub })
    }

    fn new(changes: Changes) -> PyResult<Stream> {
        let signal = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(|error| {
            Class::Limit.error("", &format!("there is no descriptor to wake the loop: {error}"))
        })?;
        let signal = Arc::new(Signal(signal));
        let waker = Waker::from(Arc::clone(&signal));
        Ok(Stream { changes: Mutex::new(changes), signal, waker })
    }
}

#[pymethods]
impl Stream {
    /// A descriptor that is readable once `next` may have a state.
    fn fileno(&self) -> i32 {
        self.signal.0.as_raw_fd()
    }

    /// `(True, state)`, `(True, None)` at the end, or `(False, None)` if there is none yet. Of a hub,
    /// a state is `(channel, state or error)`.
    fn next(&self, py: Python<'_>) -> PyResult<(bool, Option<Py<PyAny>>)> {
        // What was signalled so far is looked at now.
        let _ = read(&self.signal.0, &mut [0; 8]);
        let mut changes = self.changes.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
        let mut context = Context::from_waker(&self.waker);
        match &mut *changes {
            Changes::Channel { changes, decoder, format } => match pin!(changes.next()).poll(&mut context) {
                Poll::Pending => Ok((false, None)),
                Poll::Ready(None) => Ok((true, None)),
                Poll::Ready(Some(Err(error))) => Err(raise(error)),
                Poll::Ready(Some(Ok(payload))) => {
                    let value = decode(py, decoder, *format, &payload)?;
                    let state = Py::new(py, Snapshot::new(value, payload.info()))?;
                    Ok((true, Some(state.into_any())))
                }
            },
            Changes::Hub { changes, hub } => match pin!(changes.next()).poll(&mut context) {
                Poll::Pending => Ok((false, None)),
                Poll::Ready(next) => {
                    let state = hub.get().state_of(py, &next.channel, next.state);
                    let item = (&*next.channel, state).into_pyobject(py)?;
                    Ok((true, Some(item.into_any().unbind())))
                }
            },
        }
    }
}
