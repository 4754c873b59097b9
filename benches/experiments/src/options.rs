//! The command line.

use std::path::PathBuf;

use crate::EXPERIMENTS;
use crate::worker::Assignment;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Measures the answers for the page of experiments, and writes their tables and plots.

Usage: cargo run --release -p experiments -- [OPTIONS] NAME...

Names:
  all           all of these, in about five minutes
  latency       a query, taken apart, against request and answer over a socket
  interference  readers against the rate of publications, a writer against the number of readers
  interval      how often a worker should publish
  workers       memory and processor time of 1 to 1,000 workers, against a queue
  formats       Pod, Postcard, MessagePack, JSON
  depth         slots against payload and rate
  growth        what a growing state costs writer and readers
  pages         what huge pages buy readers of large states

Options:
  --quick    everything for a moment only: a trial, and no measurement
  --out DIR  where to write [default: docs/experiments]
  --help     print this";

/// The command of this process.
pub(crate) enum Command {
    Help,
    Experiments(Options),
    Worker(Assignment),
}

/// The experiments to run, and their options.
pub(crate) struct Options {
    pub(crate) quick: bool,
    pub(crate) out: PathBuf,
    names: Vec<String>,
}

impl Options {
    /// Whether the experiment called `name` runs.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.names.iter().any(|wanted| wanted == name || wanted == "all")
    }
}

/// Reads the arguments that follow the program's name. The error says what is wrong with them.
pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Command, String> {
    let mut arguments = arguments.into_iter();
    let mut options = Options { quick: false, out: "docs/experiments".into(), names: Vec::new() };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--help" | "-h" => return Ok(Command::Help),
            "--quick" => options.quick = true,
            "--out" => options.out = arguments.next().ok_or("--out needs a directory")?.into(),
            "worker" => return worker(arguments.next()),
            name if name == "all" || EXPERIMENTS.iter().any(|one| one.name == name) => {
                options.names.push(argument);
            }
            _ => return Err(format!("there is neither an option nor an experiment {argument:?}")),
        }
    }
    match options.names.is_empty() {
        true => Err("which experiment? `all` makes all of them".into()),
        false => Ok(Command::Experiments(options)),
    }
}

/// The assignment of a worker.
fn worker(argument: Option<String>) -> Result<Command, String> {
    let argument = argument.ok_or("worker: the assignment is missing")?;
    Assignment::parse(&argument).map(Command::Worker)
}
