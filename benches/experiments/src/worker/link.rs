//! The connection of the main process and a worker: lines of JSON over a pair of sockets. The
//! worker's end is its standard input.

use std::io::{self, BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Failure;

/// One end of the connection.
pub(crate) struct Link {
    pub(crate) stream: BufReader<UnixStream>,
}

impl Link {
    /// The end that is `stream`.
    pub(crate) fn new(stream: UnixStream) -> Link {
        Link { stream: BufReader::new(stream) }
    }

    /// The end of this process, if it is a worker.
    pub(crate) fn of_worker() -> io::Result<Link> {
        Ok(Link::new(UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?)))
    }

    /// Sends an order, which is a line.
    pub(crate) fn order(&mut self, order: &str) -> io::Result<()> {
        self.stream.get_mut().write_all(format!("{order}\n").as_bytes())
    }

    /// Sends a value.
    pub(crate) fn say<T: Serialize>(&mut self, value: &T) -> Result<(), Failure> {
        Ok(self.order(&serde_json::to_string(value)?)?)
    }

    /// The next line of the other process; `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<String>> {
        let mut line = String::new();
        let len = self.stream.read_line(&mut line)?;
        Ok((len > 0).then(|| line.trim_end().into()))
    }

    /// The next value from the other process.
    pub(crate) fn hear<T: DeserializeOwned>(&mut self) -> Result<T, Failure> {
        let line = self.next()?.ok_or("a worker ended before its time")?;
        Ok(serde_json::from_str(&line)?)
    }

    /// Ends the input of the other process.
    pub(crate) fn close(&self) -> io::Result<()> {
        self.stream.get_ref().shutdown(Shutdown::Write)
    }
}
