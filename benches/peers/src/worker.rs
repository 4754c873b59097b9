//! Other processes of the run: this very binary, told by an environment variable what to do; and the handle on one.
//!
//! They talk in lines, an answer to each. When its input ends, such a process clears up and ends.

use std::env;
use std::io::{BufRead, BufReader, Write, stdin};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::cpus;
use crate::place::Place;
use crate::{answering, channels, publishing, reading};

/// The variable, and the one with the CPU.
const JOB: &str = "TEARLESS_PEERS_JOB";
const CPU: &str = "TEARLESS_PEERS_CPU";

/// What such a process does.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Job {
    /// Publishes states of so many words by the peer of that name, so often.
    Publish { peer: String, words: usize, hertz: Option<u32>, place: Place },
    /// Publishes a state with so many jobs a thousand times a second.
    PublishState { jobs: usize, place: Place },
    /// Reads for as long as it is told each time.
    Read { peer: String, words: usize, place: Place },
    /// Answers requests for the state of so many jobs at that socket; without one, by its output.
    Answer { jobs: Option<usize>, socket: Option<Place> },
    /// Keeps so many channels.
    KeepChannels { count: usize, place: Place },
    /// Reads so many channels round.
    ReadChannels { count: usize, place: Place },
}

/// Another process. However this ends, it is gone afterwards.
pub(crate) struct Worker {
    process: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts it on `cpu`, and waits until it is ready.
    pub(crate) fn start(job: &Job, cpu: Option<usize>) -> Worker {
        let mut command = Command::new(env::current_exe().expect("the benchmark knows its own path"));
        command.env(JOB, serde_json::to_string(job).expect("a job can be written down"));
        if let Some(cpu) = cpu {
            command.env(CPU, cpu.to_string());
        }
        // A group of its own: Ctrl-C ends the main process, and the end of its input tells this one to clear up.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("the benchmark can be run once more");
        let orders = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut worker = Worker { process, orders, answers };
        assert_eq!(worker.answer(), "ready");
        worker
    }

    /// Sends a line.
    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.both().0, "{line}").expect("it listens");
    }

    /// Waits for a line.
    pub(crate) fn answer(&mut self) -> String {
        let mut line = String::new();
        let len = self.answers.read_line(&mut line).expect("its output can be read");
        assert!(len > 0, "another process of the run ended too early");
        line.trim().into()
    }

    /// Sends a line, and waits for the number that is the answer to it.
    pub(crate) fn ask(&mut self, line: &str) -> u64 {
        self.tell(line);
        self.answer().parse().expect("the answer is a number")
    }

    /// Its input and its output, for requests that are no lines.
    pub(crate) fn both(&mut self) -> (&mut ChildStdin, &mut BufReader<ChildStdout>) {
        (self.orders.as_mut().expect("it was not ended yet"), &mut self.answers)
    }

    /// Lets it clear up, and waits for that.
    pub(crate) fn end(mut self) {
        self.orders = None;
        let status = self.process.wait().expect("it is a child of this process");
        assert!(status.success(), "another process of the run ended with {status}");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.orders = None;
        // Nothing is done if it has been waited for already.
        let _ = self.process.wait();
    }
}

/// In such a process, does the job. `false` in the main one.
pub(crate) fn run_if_told() -> bool {
    let Ok(job) = env::var(JOB) else { return false };
    if let Some(cpu) = env::var(CPU).ok().and_then(|cpu| cpu.parse().ok()) {
        cpus::pin(cpu);
    }
    match serde_json::from_str(&job).expect("the main process wrote it") {
        Job::Publish { peer, words, hertz, place } => publishing::run(&peer, words, hertz, &place),
        Job::PublishState { jobs, place } => publishing::run_state(jobs, &place),
        Job::Read { peer, words, place } => reading::run(&peer, words, &place),
        Job::Answer { jobs, socket: Some(place) } => answering::at_socket(jobs, &place),
        Job::Answer { jobs, socket: None } => answering::by_pipe(jobs),
        Job::KeepChannels { count, place } => channels::keep(count, &place),
        Job::ReadChannels { count, place } => channels::read_round(count, &place),
    }
    true
}

/// The next line of this process's input, `None` at its end.
pub(crate) fn next_order() -> Option<String> {
    let mut line = String::new();
    let len = stdin().lock().read_line(&mut line).unwrap_or(0);
    (len > 0).then(|| line.trim().into())
}
