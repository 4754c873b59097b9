//! The program's process, and a minimal HTTP client for it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long to wait for a byte of an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program. It is killed when this is dropped.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: String,
}

/// How a process ended.
#[derive(Debug, PartialEq)]
pub(crate) enum State {
    Exited(i32),
    Killed,
    /// It has not ended within the time limit.
    Running,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// A stream of events.
pub(crate) struct Events(BufReader<TcpStream>);

/// One event of the stream.
pub(crate) struct StateEvent {
    pub(crate) id: u64,
    pub(crate) data: Value,
}

impl Server {
    /// Starts the program on a free port.
    pub(crate) fn start(namespace: &str) -> Server {
        let mut process = Command::new(env!("CARGO_BIN_EXE_http"))
            .args(["--namespace", namespace, "--address", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").expect(&line).to_owned();
        Server { process, address }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path)
    }

    pub(crate) fn ask(&self, method: &str, path: &str) -> Answer {
        let mut text = String::new();
        self.send(method, path).read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer has a head");
        let status = head.split(' ').nth(1).expect("a status line has three parts").parse().unwrap();
        Answer { status, body: body.to_owned() }
    }

    pub(crate) fn events(&self, path: &str) -> Events {
        let mut stream = BufReader::new(self.send("GET", path));
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(stream.read_line(&mut head).unwrap(), 0, "the head ends: {head:?}");
        }
        assert!(head.contains(" 200 ") && head.contains("text/event-stream"), "{head}");
        Events(stream)
    }

    /// HTTP 1.0: an answer ends with the connection and is never chunked.
    fn send(&self, method: &str, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "{method} {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address).unwrap();
        stream
    }

    /// Sends a signal, and waits for the process to end.
    pub(crate) fn end_by(mut self, signal: Signal) -> State {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.code().map_or(State::Killed, State::Exited);
            }
            thread::sleep(Duration::from_millis(5));
        }
        State::Running
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail if the process has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

impl Events {
    pub(crate) fn next_state(&mut self) -> StateEvent {
        let (mut id, mut data) = (None, None);
        loop {
            let mut line = String::new();
            assert_ne!(self.0.read_line(&mut line).unwrap(), 0, "the stream has not ended");
            match line.trim_end().split_once(": ") {
                Some(("id", number)) => id = number.parse().ok(),
                Some(("data", text)) => data = serde_json::from_str(text).ok(),
                Some(("event", name)) => assert_eq!(name, "state"),
                _ => {
                    if let (Some(id), Some(data)) = (id, data.take()) {
                        return StateEvent { id, data };
                    }
                }
            }
        }
    }

    /// Fails if the stream does not end.
    pub(crate) fn read_to_end(mut self) {
        self.0.read_to_end(&mut Vec::new()).unwrap();
    }
}
