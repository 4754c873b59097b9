//! The command line.

use std::{ops::RangeInclusive, str::FromStr, time::Duration};

use crate::state::kind::{Assignment, Choice};

pub(crate) const HELP: &str = "\
Starts worker processes that sample this host and publish what they see in shared memory,
queries all of them as fast as it can, and checks that no snapshot mixes two states.

Usage: cargo run --release --example fleet -- [OPTIONS]

Options:
  --workers N    how many worker processes, 1 to 500 [default: 8, one of each kind]
  --seconds S    how long to query them, up to 86400, also fractions [default: 5]
  --codec CODEC  how the states become bytes [default: mixed]
                   pod           only workers whose states have a fixed size and need no codec
                   postcard      all kinds; those with strings and lists as Postcard
                   message-pack  all kinds; those with strings and lists as MessagePack
                   mixed         all kinds; the table of processes as Postcard with a schema, others as MessagePack
  --namespace N  where to publish [default: fleet-example]; a name is for one fleet at a time
  --help         print this

Exit code: 0 all snapshots were whole, 1 some were not, or a query or a worker failed, 2 wrong usage.";

/// What this process is to do.
pub(crate) enum Command {
    Help,
    Fleet(Options),
    Worker(WorkerOptions),
}

/// The main process's options.
pub(crate) struct Options {
    pub(crate) namespace: String,
    pub(crate) workers: usize,
    pub(crate) duration: Duration,
    pub(crate) codec: Choice,
}

/// A worker's options, given by the main process.
#[derive(Clone)]
pub(crate) struct WorkerOptions {
    pub(crate) namespace: String,
    pub(crate) index: usize,
    /// Number of workers in the ring.
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

    /// The arguments that start this worker; [`parse`] reads them.
    pub(crate) fn arguments(&self) -> [String; 8] {
        let (index, ring) = (self.index.to_string(), self.ring.to_string());
        ["--worker", &index, "--workers", &ring, "--namespace", &self.namespace, "--codec", self.codec.name()]
            .map(str::to_owned)
    }
}

/// Parses the arguments after the program's name. The error says what is wrong with them.
pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Command, String> {
    let mut arguments = arguments.into_iter();
    let (mut namespace, mut workers, mut codec) = ("fleet-example".to_owned(), 8, Choice::Mixed);
    let (mut seconds, mut worker) = (5.0, None);
    while let Some(option) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{option} needs a value"));
        match option.as_str() {
            "--help" | "-h" => return Ok(Command::Help),
            "--namespace" => namespace = value()?,
            "--workers" => {
                workers = chosen(&option, "a whole number from 1 to 500", &value()?, number(1..=500))?;
            }
            "--seconds" => {
                seconds =
                    chosen(&option, "a number from 0.001 to 86400", &value()?, number(0.001..=86_400.0))?;
            }
            "--codec" => {
                codec =
                    chosen(&option, "pod, postcard, message-pack or mixed", &value()?, Choice::from_name)?;
            }
            // Used by the main process only.
            "--worker" => worker = Some(chosen(&option, "an index", &value()?, number(0..=499))?),
            _ => return Err(format!("there is no option {option:?}")),
        }
    }
    Ok(match worker {
        Some(index) => Command::Worker(WorkerOptions { namespace, index, ring: workers, codec }),
        None => {
            let duration = Duration::from_secs_f64(seconds);
            Command::Fleet(Options { namespace, workers, duration, codec })
        }
    })
}

/// Parses a value. The error says `what` it may be.
fn chosen<T>(option: &str, what: &str, value: &str, read: impl Fn(&str) -> Option<T>) -> Result<T, String> {
    read(value).ok_or_else(|| format!("{option} takes {what}, not {value:?}"))
}

fn number<N: FromStr + PartialOrd>(range: RangeInclusive<N>) -> impl Fn(&str) -> Option<N> {
    move |value| value.parse().ok().filter(|number| range.contains(number))
}
