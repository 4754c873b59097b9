//! The command line.

use std::{str::FromStr, time::Duration};

use crate::state::kind::{Assignment, Choice};

pub(crate) const HELP: &str = "\
Starts worker processes that sample this host and publish what they see in shared memory,
queries all of them as fast as it can, and checks that no snapshot is a mixture of two.

Usage: cargo run --release --example fleet -- [OPTIONS]

Options:
  --workers N    how many worker processes, 1 to 500 [default: 8, one of each kind]
  --seconds S    how long to query them, up to 86400; fractions are welcome [default: 5]
  --codec CODEC  how the states become bytes [default: mixed]
                   pod           only workers whose states have a fixed size and need no codec
                   postcard      all kinds; those with strings and lists as Postcard
                   message-pack  all kinds; those with strings and lists as MessagePack
                   mixed         all kinds; alternating between the two
  --namespace N  where to publish [default: fleet-example]; a name is for one fleet at a time
  --help         print this

Exit code: 0 all snapshots were whole, 1 some were not, or a query or a worker failed, 2 wrong usage.";

/// What this process is asked to do.
pub(crate) enum Command {
    Help,
    Fleet(Options),
    Worker(WorkerOptions),
}

/// What the main process is asked to do.
pub(crate) struct Options {
    pub(crate) namespace: String,
    pub(crate) workers: usize,
    pub(crate) duration: Duration,
    pub(crate) codec: Choice,
}

/// What the main process asks a worker to do.
#[derive(Clone)]
pub(crate) struct WorkerOptions {
    pub(crate) namespace: String,
    pub(crate) index: usize,
    /// How many workers stand in the ring.
    pub(crate) ring: usize,
    pub(crate) codec: Choice,
}

impl WorkerOptions {
    /// The channel of its states.
    pub(crate) fn channel(&self) -> String {
        format!("worker-{}", self.index)
    }

    pub(crate) fn assignment(&self) -> Assignment {
        Assignment::of(self.index, self.codec)
    }

    /// The arguments with which a worker is started; [`parse`] understands them.
    pub(crate) fn arguments(&self) -> [String; 5] {
        let (index, ring) = (self.index.to_string(), self.ring.to_string());
        ["worker", &self.namespace, &index, &ring, self.codec.name()].map(str::to_owned)
    }
}

/// Reads the arguments that follow the program's name. The error says what is wrong with them.
pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Command, String> {
    let mut arguments = arguments.into_iter();
    let mut options = Options {
        namespace: "fleet-example".to_owned(),
        workers: 8,
        duration: Duration::from_secs(5),
        codec: Choice::Mixed,
    };
    while let Some(argument) = arguments.next() {
        let (option, inline) = match argument.split_once('=') {
            Some((option, value)) => (option, Some(value.to_owned())),
            None => (argument.as_str(), None),
        };
        let mut value =
            || inline.clone().or_else(|| arguments.next()).ok_or_else(|| format!("{option} needs a value"));
        match option {
            "--help" | "-h" => return Ok(Command::Help),
            "--namespace" => options.namespace = value()?,
            "--workers" => options.workers = workers(&value()?)?,
            "--seconds" => options.duration = seconds(&value()?)?,
            "--codec" => options.codec = codec(&value()?)?,
            "worker" => return worker(arguments),
            _ => return Err(format!("there is no option {argument:?}")),
        }
    }
    Ok(Command::Fleet(options))
}

fn workers(value: &str) -> Result<usize, String> {
    number(value)
        .filter(|workers| (1..=500).contains(workers))
        .ok_or_else(|| format!("--workers takes a whole number from 1 to 500, not {value:?}"))
}

fn seconds(value: &str) -> Result<Duration, String> {
    number::<f64>(value)
        .filter(|seconds| *seconds > 0.0 && *seconds <= 86_400.0)
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("--seconds takes a number above 0 and up to 86400, not {value:?}"))
}

fn codec(value: &str) -> Result<Choice, String> {
    Choice::from_name(value)
        .ok_or_else(|| format!("--codec takes pod, postcard, message-pack or mixed, not {value:?}"))
}

fn number<N: FromStr>(value: &str) -> Option<N> {
    value.parse().ok()
}

fn worker(arguments: impl Iterator<Item = String>) -> Result<Command, String> {
    let arguments: Vec<String> = arguments.collect();
    let options = || {
        let [namespace, index, ring, codec] = arguments.as_slice() else { return None };
        let (index, ring, codec) = (number(index)?, number(ring)?, Choice::from_name(codec)?);
        Some(WorkerOptions { namespace: namespace.clone(), index, ring, codec })
    };
    options().map(Command::Worker).ok_or_else(|| format!("this is no worker: {arguments:?}"))
}
