//! Other processes of the run: their jobs, and the handle on one of them.
//!
//! Such a process is this program again, with its job in an environment variable. Both sides
//! exchange lines, one answer to each order. When its input ends, the process removes what it has
//! created, and ends.

use std::env;
use std::io::BufReader;
use std::process::{ChildStdin, ChildStdout};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use testkit::child::Child;

use crate::place::Place;

/// The variable with the job, and the one with the CPU.
const JOB: &str = "TEARLESS_PEERS_JOB";
const CPU: &str = "TEARLESS_PEERS_CPU";

/// How long a process has to remove what it has created before it is killed.
const GRACE: Duration = Duration::from_secs(60);

/// The work of such a process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Job {
    /// Publishes states of `words` words by the peer of that name, `hertz` times a second.
    Publish { peer: String, words: usize, hertz: Option<u32>, place: Place },
    /// Publishes a state of `jobs` jobs a thousand times a second.
    PublishState { jobs: usize, place: Place },
    /// Reads at each order, for as long as the order says.
    Read { peer: String, words: usize, place: Place },
    /// Answers requests for the state of `jobs` jobs, at a socket or by its output.
    Answer { jobs: Option<usize>, socket: Option<Place> },
    /// Films, or displays for so many seconds.
    Frames { way: Way, role: Role, seconds: f64, place: Place },
    /// Keeps `count` channels.
    KeepChannels { count: usize, place: Place },
    /// Reads `count` channels in turn.
    ReadChannels { count: usize, place: Place },
}

/// A way for frames to go from the camera to the displays.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Way {
    /// tearless, by loans and views.
    InPlace,
    /// tearless, by publications and snapshots.
    Copied,
    /// iceoryx2, by loans and samples.
    PubSub,
    /// Python's `shared_memory` under a lock.
    Lock,
    /// Python's `shared_memory` with a counter.
    Counter,
}

/// A process of a way, and its work.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Role {
    Camera,
    Display,
}

/// A job, and the CPU for it.
pub(crate) struct Assignment {
    pub(crate) job: Job,
    pub(crate) cpu: Option<usize>,
}

impl Assignment {
    /// The job of this process; `None` in the main process.
    pub(crate) fn of_this_process() -> Option<Assignment> {
        let job = serde_json::from_str(&env::var(JOB).ok()?).expect("the main process wrote the job");
        Some(Assignment { job, cpu: env::var(CPU).ok().and_then(|cpu| cpu.parse().ok()) })
    }
}

/// Another process. Dropping this value ends the process.
pub(crate) struct Worker(Child);

impl Worker {
    /// Starts a process on `cpu`, and waits until it is ready.
    pub(crate) fn start(job: &Job, cpu: Option<usize>) -> Worker {
        let mut command = Child::this_program();
        command.env(JOB, serde_json::to_string(job).expect("a job is plain data"));
        if let Some(cpu) = cpu {
            command.env(CPU, cpu.to_string());
        }
        Worker(Child::start_ready(command).with_grace(GRACE))
    }

    /// Sends an order.
    pub(crate) fn order(&mut self, line: &str) {
        self.0.order(line);
    }

    /// Waits for a line.
    pub(crate) fn answer(&mut self) -> String {
        self.0.answer()
    }

    /// Sends an order, and waits for the number that answers it.
    pub(crate) fn ask(&mut self, line: &str) -> u64 {
        self.0.ask(line).parse().expect("the answer is a number")
    }

    /// Its input and its output, for requests that are not lines.
    pub(crate) fn pipes(&mut self) -> (&mut ChildStdin, &mut BufReader<ChildStdout>) {
        self.0.pipes()
    }

    /// Ends the process, which removes what it has created.
    pub(crate) fn end(self) {
        self.0.finish();
    }
}
