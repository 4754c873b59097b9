//! Worker processes: this program, started again with an assignment.

use std::env;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tearless::Namespace;

use crate::{Failure, cpus};

mod answer;
mod grow;
mod hold;
mod link;
mod orders;
mod publish;
mod read;
mod send;
mod work;

pub(crate) use answer::ask_for_state;
pub(crate) use grow::{Grow, Grown};
pub(crate) use hold::{Held, STATE_WORDS, channel_name};
pub(crate) use link::Link;
pub(crate) use orders::Rate;
pub(crate) use publish::Published;
pub(crate) use read::Reads;
pub(crate) use work::Worked;

/// The channel of a worker that has only one.
pub(crate) const CHANNEL: &str = "state";

/// The order that asks a worker for its figures.
pub(crate) const REPORT: &str = "report";

/// How long a worker may take to end before it is killed.
const PATIENCE: Duration = Duration::from_secs(5);

/// The work of a worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Role {
    /// Publishes a plain state.
    Publish { words: usize, depth: Option<usize>, rate: Rate },
    /// Publishes a state of so many jobs, and answers requests for it.
    Answer { jobs: usize },
    /// Reads a plain state as fast as it can.
    Read { words: usize },
    /// Works as fast as it can, and publishes a state of so many jobs at an interval, or never.
    Work { jobs: usize, interval: Option<Duration> },
    /// Publishes in many channels, as many workers would: those from number `first` on.
    Hold { first: usize, channels: usize, rate: Rate },
    /// Sends the same states through sockets that are connected under a name.
    Send { sockets: usize, rate: Rate, name: String },
    /// Publishes states of the ordered sizes.
    Grow,
}

/// The assignment of a worker process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Assignment {
    namespace: String,
    cpu: Option<usize>,
    role: Role,
}

impl Assignment {
    /// Reads what [`Worker::start`] has written on the command line.
    pub(crate) fn parse(argument: &str) -> Result<Assignment, String> {
        serde_json::from_str(argument).map_err(|error| format!("worker: {error}"))
    }
}

/// In a worker process: does its work until its input ends.
pub(crate) fn run(assignment: &Assignment) -> Result<(), Failure> {
    if let Some(cpu) = assignment.cpu {
        cpus::pin(cpu);
    }
    // The main process has cleaned the namespace up.
    let namespace = Namespace::open(&assignment.namespace)?;
    let link = Link::of_worker()?;
    match &assignment.role {
        Role::Publish { words, depth, rate } => publish::run(&namespace, link, *words, *depth, *rate),
        Role::Answer { jobs } => answer::run(&namespace, link, *jobs),
        Role::Read { words } => read::run(&namespace, link, *words),
        Role::Work { jobs, interval } => work::run(&namespace, link, *jobs, *interval),
        Role::Hold { first, channels, rate } => hold::run(&namespace, link, *first..first + channels, *rate),
        Role::Send { sockets, rate, name } => send::run(link, *sockets, *rate, name),
        Role::Grow => grow::run(&namespace, link),
    }
}

/// A worker process as the main process sees it. When this is dropped, the process has ended.
pub(crate) struct Worker {
    process: Child,
    pub(crate) link: Link,
}

impl Worker {
    /// Starts one, and waits until it is ready.
    pub(crate) fn start(namespace: &Namespace, role: Role, cpu: Option<usize>) -> Result<Worker, Failure> {
        let assignment = Assignment { namespace: namespace.name().into(), cpu, role };
        let (own, other) = UnixStream::pair()?;
        let process = Command::new(env::current_exe()?)
            .args(["worker", &serde_json::to_string(&assignment)?])
            .stdin(Stdio::from(OwnedFd::from(other)))
            .stdout(Stdio::null())
            // An interrupt ends the main process only. The workers see its end, and close their channels.
            .process_group(0)
            .spawn()?;
        let mut worker = Worker { process, link: Link::new(own) };
        worker.link.hear::<String>()?;
        Ok(worker)
    }

    /// What the worker answers to an order.
    pub(crate) fn ask<T: DeserializeOwned>(&mut self, order: &str) -> Result<T, Failure> {
        self.link.order(order)?;
        self.link.hear()
    }

    /// The worker's process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Closes the worker's input, which makes it close its channels, and waits for its end.
    pub(crate) fn end(mut self) -> Result<(), Failure> {
        self.link.close()?;
        let status = self.process.wait()?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("a worker failed ({status})").into()),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // If the worker has ended by itself, none of this has an effect.
        let _ = self.link.close();
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
