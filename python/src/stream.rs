//! Changes for a loop of asyncio, which is woken through a descriptor.

use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{read, write};
use tearless::dynamic::DynamicReader;
use tearless::error::SnapshotError;
use tearless::hub::{HubChanges, HubState};
use tearless::{Bytes, Reader, Snapshot as Payload};

use crate::errors::{Class, raise};
use crate::fork::{self, Ours};
use crate::hub::Hub;
use crate::reader::{Snapshot, is_large};
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
    Channel { changes: Box<tearless::Changes<Vec<u8>, Bytes>>, latest: Box<DynamicReader> },
    Hub(Box<HubChanges<Vec<u8>>>),
}

/// What a poll found.
enum Found {
    State(Payload<Vec<u8>>),
    OfChannel(HubState<Vec<u8>>),
    End,
}

impl Changes {
    fn poll(&mut self, waker: &Waker) -> Poll<Result<Found, SnapshotError>> {
        let mut context = Context::from_waker(waker);
        match self {
            Changes::Channel { changes, .. } => {
                pin!(changes.next()).poll(&mut context).map(|state| match state {
                    Some(state) => state.map(Found::State),
                    None => Ok(Found::End),
                })
            }
            Changes::Hub(changes) => {
                pin!(changes.next()).poll(&mut context).map(|state| Ok(Found::OfChannel(state)))
            }
        }
    }

    /// Whether a poll may take long: it copies a large state, or opens channels.
    fn is_long(&mut self) -> bool {
        match self {
            Changes::Channel { latest, .. } => is_large(latest),
            Changes::Hub(_) => true,
        }
    }
}

/// Where values come from.
enum Of {
    Channel(Format),
    Hub(Py<Hub>),
}

/// States, for `async for`. A fork has none: the thread that wakes the loop is its parent's.
#[pyclass(frozen, module = "tearless._tearless")]
pub(crate) struct Stream {
    changes: Mutex<Ours<Changes>>,
    of: Of,
    signal: Arc<Signal>,
    waker: Waker,
}

impl Stream {
    pub(crate) fn of_reader(reader: Reader<Vec<u8>, Bytes>, format: Format) -> PyResult<Stream> {
        let latest = DynamicReader::from(reader.clone()).into();
        Stream::new(Changes::Channel { changes: Box::new(reader.changes()), latest }, Of::Channel(format))
    }

    pub(crate) fn of_hub(changes: HubChanges<Vec<u8>>, hub: Py<Hub>) -> PyResult<Stream> {
        Stream::new(Changes::Hub(Box::new(changes)), Of::Hub(hub))
    }

    fn new(changes: Changes, of: Of) -> PyResult<Stream> {
        let signal = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(|error| {
            Class::Limit.error("", &format!("there is no descriptor to wake the loop: {error}"))
        })?;
        let signal = Arc::new(Signal(signal));
        let waker = Waker::from(Arc::clone(&signal));
        Ok(Stream { changes: Mutex::new(Ours::new(changes)), of, signal, waker })
    }

    /// Calls no Python code: it has the lock.
    fn poll(&self, py: Python<'_>) -> PyResult<Poll<Result<Found, SnapshotError>>> {
        let forked = || {
            let text =
                "this iterator belongs to the process that this one is a fork of: call changes() again";
            Class::Forked.error("", text)
        };
        {
            let mut changes = fork::lock(py, &self.changes);
            if let Some(changes) = changes.get_mut() {
                // What was signalled so far is looked at now.
                let _ = read(&self.signal.0, &mut [0; 8]);
                if !changes.is_long() {
                    return Ok(changes.poll(&self.waker));
                }
            }
        }
        let inside = fork::enter(py);
        let mut changes = fork::lock(py, &self.changes);
        let found = changes.get_mut().map(|changes| py.detach(|| changes.poll(&self.waker)));
        drop((changes, inside));
        found.ok_or_else(forked)
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
        let Poll::Ready(found) = self.poll(py)? else { return Ok((false, None)) };
        let state = match (found.map_err(raise)?, &self.of) {
            (Found::State(payload), Of::Channel(format)) => {
                let value = format.value(py, &payload)?;
                Some(Py::new(py, Snapshot::new(value, payload.info()))?.into_any())
            }
            (Found::OfChannel(next), Of::Hub(hub)) => {
                let state = hub.get().state_of(py, &next.channel, next.state)?;
                Some((&*next.channel, state).into_pyobject(py)?.into_any().unbind())
            }
            _ => None,
        };
        Ok((true, state))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match &self.of {
            Of::Hub(hub) => visit.call(hub),
            Of::Channel(_) => Ok(()),
        }
    }
}
