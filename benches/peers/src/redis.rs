//! A separate Redis server, if one is installed: `GET` over a Unix socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::place::Place;

/// How often the run checks for the server's socket, a hundredth of a second apart.
const PATIENCE: usize = 500;

/// The server, which stores nothing on disk, and a connection to it.
pub(crate) struct Redis {
    process: Child,
    stream: BufReader<UnixStream>,
}

impl Redis {
    /// Starts a server on `cpu`; `None` if none is installed.
    pub(crate) fn start(place: &Place, cpu: Option<usize>) -> Option<Redis> {
        let socket = place.file();
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--daemonize", "no"]);
        command.arg("--dir").arg(place.directory()).arg("--unixsocket").arg(&socket);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut process = command.spawn().ok()?;
        if let Some(cpu) = cpu {
            let mut only = CpuSet::new();
            only.set(cpu);
            // If pinning is forbidden, the figures are noisier.
            let _ = sched_setaffinity(Some(Pid::from_child(&process)), &only);
        }
        for _ in 0..PATIENCE {
            if let Ok(stream) = UnixStream::connect(&socket) {
                return Some(Redis { process, stream: BufReader::new(stream) });
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = process.kill();
        let _ = process.wait();
        None
    }

    /// Stores a value.
    pub(crate) fn set(&mut self, key: &str, value: &[u8]) {
        let head = format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n", key.len(), value.len());
        let message = [head.as_bytes(), value, b"\r\n"].concat();
        self.stream.get_mut().write_all(&message).expect("the server listens");
        assert_eq!(self.line(), "+OK");
    }

    /// Fetches a value.
    pub(crate) fn get(&mut self, key: &str, value: &mut Vec<u8>) {
        let message = format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len());
        self.stream.get_mut().write_all(message.as_bytes()).expect("the server listens");
        let len = self.line().strip_prefix('$').and_then(|len| len.parse().ok());
        let len: usize = len.expect("the value was stored");
        value.resize(len + 2, 0);
        self.stream.read_exact(value).expect("the server answers");
        value.truncate(len);
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("the server answers");
        line.trim().into()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // Both fail only if the server has ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
