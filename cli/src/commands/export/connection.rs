//! Connections that can't take more than their share: of memory, of time, of each other's places.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// Connections at a time. Others wait until one ends, or is ended.
const MAX_CONNECTIONS: usize = 16;

/// The most bytes of one request, line and headers.
const MAX_REQUEST_BYTES: usize = 16 * 1024;

/// How long a request may take to arrive, from the connection's begin or the end of the last answer; and an
/// answer to be taken.
const MAX: Duration = Duration::from_secs(10);

/// How long accepting waits after an error, for example for want of descriptors.
const PAUSE: Duration = Duration::from_millis(200);

/// Accepts as many connections as have a place.
#[derive(Debug)]
pub(super) struct Entrance {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

impl Entrance {
    pub(super) fn new(listener: TcpListener) -> Entrance {
        Entrance { listener, places: Arc::new(Semaphore::new(MAX_CONNECTIONS)) }
    }
}

impl Listener for Entrance {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            // The semaphore is never closed, so that this is a place.
            let place = Arc::clone(&self.places).acquire_owned().await.ok();
            match self.listener.accept().await {
                Ok((stream, address)) => return (Connection::new(stream, place), address),
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Which way bytes went last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Request,
    Answer,
}

/// A connection that ends with an error when a request is too long, or request or answer take too much time.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    turn: Turn,
    /// Bytes of the present request.
    received: usize,
    deadline: Pin<Box<Sleep>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Connection {
    fn new(stream: TcpStream, place: Option<OwnedSemaphorePermit>) -> Connection {
        let deadline = Box::pin(sleep(MAX));
        Connection { stream, turn: Turn::Request, received: 0, deadline, _place: place }
    }

    /// Time begins anew with each turn, and not with each byte.
    fn take_turn(&mut self, turn: Turn) {
        if self.turn != turn {
            self.turn = turn;
            self.received = 0;
            self.deadline.as_mut().reset(Instant::now() + MAX);
        }
    }

    fn check_time(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.deadline.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_time(context)?;
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        let len = buffer.filled().len() - before;
        if len > 0 {
            self.take_turn(Turn::Request);
            self.received += len;
        }
        match self.received > MAX_REQUEST_BYTES {
            true => Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
            false => result,
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.take_turn(Turn::Answer);
        self.check_time(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
