//! Answers the questions of `docs/experiments.md` by measurements, and writes their tables and
//! plots.
//!
//! ```text
//! cargo run --release -p experiments -- all
//! ```
//!
//! For each experiment, the program writes into the output directory: `NAME.md` with the question,
//! the machine, the table and the answer; the same figures as CSV; and plots as SVG. An experiment
//! measures in this process, on a CPU of its own, and starts this program again as worker processes
//! on the other CPUs.
//!
//! This process owns no channel. Workers close their channels when this process closes their input
//! or dies: whichever process is killed, nothing stays in shared memory.

#[path = "../../common/mod.rs"]
mod common;
#[path = "../../contended/cpus.rs"]
mod cpus;
#[path = "../../uncontended/worker_state.rs"]
mod worker_state;

mod context;
mod depth;
mod formats;
mod growth;
mod interference;
mod interval;
mod latency;
mod machine;
mod measure;
mod options;
mod pages;
mod payload;
mod plain_state;
mod plot;
mod progress;
mod reading;
mod report;
mod table;
mod worker;
mod workers;

use std::env;
use std::error::Error;
use std::process::ExitCode;

use crate::context::Context;
use crate::options::{Command, HELP, Options};
use crate::report::Report;

/// An error that ends the program after it is printed.
type Failure = Box<dyn Error + Send + Sync>;

/// One experiment: its name on the command line, and the function that runs it.
struct Experiment {
    name: &'static str,
    run: fn(&mut Context) -> Result<Report, Failure>,
}

/// All experiments, in the order of the page.
const EXPERIMENTS: [Experiment; 8] = [
    Experiment { name: "latency", run: latency::run },
    Experiment { name: "interference", run: interference::run },
    Experiment { name: "interval", run: interval::run },
    Experiment { name: "workers", run: workers::run },
    Experiment { name: "formats", run: formats::run },
    Experiment { name: "depth", run: depth::run },
    Experiment { name: "growth", run: growth::run },
    Experiment { name: "pages", run: pages::run },
];

/// Runs experiments, or is a worker of one.
fn main() -> ExitCode {
    let result = match options::parse(env::args().skip(1)) {
        Ok(Command::Help) => {
            println!("{HELP}");
            Ok(())
        }
        Ok(Command::Worker(assignment)) => worker::run(&assignment),
        Ok(Command::Experiments(options)) => experiments(&options),
        Err(message) => {
            eprintln!("experiments: {message}\nTry --help.");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("experiments: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the experiments that the command line names, one after the other.
fn experiments(options: &Options) -> Result<(), Failure> {
    let mut context = Context::new(options)?;
    for experiment in EXPERIMENTS.iter().filter(|one| options.wants(one.name)) {
        let report = (experiment.run)(&mut context)?;
        context.progress.end();
        report.write(&context)?;
        println!("{}: {}", experiment.name, report.answer);
    }
    context.finish()
}
