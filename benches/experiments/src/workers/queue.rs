//! Workers that send each state through a queue. The main process keeps the latest state.

use std::io::{ErrorKind, Read};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::process;

use rustix::net::sockopt::socket_send_buffer_size;

use super::UPDATES;
use super::memory::Private;
use super::sharing::Load;
use crate::Failure;
use crate::context::Context;
use crate::worker::{Role, STATE_WORDS};

/// The cost of a number of workers.
pub(crate) struct Queue {
    /// The memory that both processes gained.
    pub(crate) private: u64,
    /// The memory that the kernel may use for them.
    pub(crate) buffers: u64,
    /// The descriptors of the main process.
    pub(crate) descriptors: usize,
    pub(crate) load: Load,
}

/// The receiving end of one worker's queue.
struct Inbox {
    stream: UnixStream,
    latest: [u8; STATE_WORDS * 8],
    /// The beginning of a state whose rest has not arrived yet.
    rest: Vec<u8>,
}

/// Measures `workers` workers in one process.
pub(crate) fn measure(context: &Context, workers: usize) -> Result<Queue, Failure> {
    let name = format!("{} {workers}", context.namespace.name());
    let role = |sockets| Role::Send { sockets, rate: UPDATES, name: name.clone() };
    let idle = context.start(role(0))?;
    let without = Private::of(idle.pid());
    idle.end()?;
    let before = Private::of(process::id());
    let mut worker = context.start(role(workers))?;
    let mut inboxes = (0..workers).map(|_| Inbox::connect(&name)).collect::<Result<Vec<_>, _>>()?;
    let mut buffer = vec![0; 1 << 16];
    let load = Load::measure(context, &mut worker, || {
        inboxes.iter_mut().try_for_each(|inbox| inbox.drain(&mut buffer))
    })?;
    let buffers = inboxes.iter().map(|inbox| socket_send_buffer_size(&inbox.stream));
    let buffers = buffers.sum::<Result<usize, _>>()? as u64;
    let private =
        Private::of(worker.pid()).since(without).private + Private::of(process::id()).since(before).private;
    let queue = Queue { private, buffers, descriptors: inboxes.len(), load };
    // The queues are emptied first, so that the worker never waits for space.
    drop(inboxes);
    worker.end()?;
    Ok(queue)
}

impl Inbox {
    /// Connects to the workers' process.
    fn connect(name: &str) -> Result<Inbox, Failure> {
        let stream = UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?)?;
        stream.set_nonblocking(true)?;
        Ok(Inbox { stream, latest: [0; STATE_WORDS * 8], rest: Vec::new() })
    }

    /// Reads everything that has arrived, and keeps the last whole state.
    fn drain(&mut self, buffer: &mut [u8]) -> Result<(), Failure> {
        let state = self.latest.len();
        loop {
            let before = self.rest.len();
            buffer[..before].copy_from_slice(&self.rest);
            let arrived = match self.stream.read(&mut buffer[before..]) {
                Ok(0) => return Err("a worker ended before its time".into()),
                Ok(len) => before + len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let (whole, rest) = buffer[..arrived].split_at(arrived / state * state);
            if let Some(latest) = whole.rchunks_exact(state).next() {
                self.latest.copy_from_slice(latest);
            }
            self.rest.clear();
            self.rest.extend_from_slice(rest);
            if arrived < buffer.len() {
                return Ok(());
            }
        }
    }
}
