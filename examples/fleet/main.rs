//! A fleet of worker processes, and a main process that reads all their states without pause.
//!
//! ```text
//! cargo run --release --example fleet -- --workers 12 --seconds 5
//! ```
//!
//! The program starts itself N times as a worker. Each worker samples a part of this Linux host, at
//! its own rate and in its own shape: fixed structs, lists, maps, a table that grows and shrinks.
//! Cheap samples are published one by one, samples that seldom change are published when they do,
//! and large samples are left to a `Syncer`. The main process queries the workers through a `Hub`,
//! as fast as it can. Every state carries a proof that it is one whole sample, and the main process
//! checks the proof of each snapshot.
//!
//! The workers also pass coins round a ring. Every second the main process counts all coins in a
//! cut: as of one moment no coin is missing and none is counted twice.
//!
//! Half-way, the main process stops one worker for a moment. It kills another one, reads the state
//! that the dead worker left, and starts it again. At the end it prints a table, and the number of
//! torn snapshots.

mod accident;
mod fleet;
mod options;
mod patience;
mod query;
mod report;
mod state;
mod worker;

use std::{env, error::Error, process::ExitCode, time::Duration};

use tearless::{Namespace, Pod, Writer, cleanup::Retention};

use crate::{
    fleet::Fleet,
    options::{Command, HELP, Options},
    patience::within,
    query::Queries,
};

fn main() -> ExitCode {
    let result = match options::parse(env::args().skip(1)) {
        Ok(Command::Help) => {
            println!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        Ok(Command::Worker(options)) => worker::run(&options).map(|()| ExitCode::SUCCESS).map_err(|error| {
            format!("{} ({}): {error}", options.channel(), options.assignment().kind.name()).into()
        }),
        Ok(Command::Fleet(options)) => main_process(&options),
        Err(message) => {
            eprintln!("fleet: {message}\nTry --help.");
            return ExitCode::from(2);
        }
    };
    result.unwrap_or_else(|error| {
        eprintln!("fleet: {error}");
        ExitCode::FAILURE
    })
}

/// The main process's own channel: its writer runs the only fleet of the namespace.
const MAIN: &str = "main";

/// How long the workers of a killed main process may take to end by themselves.
const PATIENCE: Duration = Duration::from_secs(2);

/// A namespace without another fleet, as long as this value lives.
struct Alone {
    namespace: Namespace,
    _main: Writer<u64, Pod>,
}

/// Opens the namespace and removes what a killed fleet has left: this program needs none of it.
fn open_alone(name: &str) -> Result<Alone, Box<dyn Error>> {
    let namespace = Namespace::open(name)?;
    eprint!("{}", namespace.clean(Retention::UntilReplaced)?);
    let main = namespace.writer_builder(MAIN).codec().open().map_err(|error| {
        format!("{error}\nA namespace is for one fleet at a time: choose another one with --namespace.")
    })?;
    let hub = namespace.hub();
    let is_alone = || {
        eprint!("{}", namespace.clean(Retention::Nothing)?);
        Ok::<_, Box<dyn Error>>(hub.channels("*")?.iter().all(|channel| **channel == *MAIN).then_some(()))
    };
    let Some(()) = within(PATIENCE, hub.watch("*"), is_alone)? else {
        let channels = hub.channels("*")?;
        return Err(
            format!("other processes publish in the namespace {name:?}, end them: {channels:?}").into()
        );
    };
    Ok(Alone { namespace, _main: main })
}

/// Starts the workers, queries them, ends them, and reports what it saw.
fn main_process(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let alone = open_alone(&options.namespace)?;
    let mut fleet = Fleet::start(&alone.namespace, options.workers, options.codec)?;
    let mut queries = Queries::of(&mut fleet)?;
    println!("{} worker processes pass coins round a ring, 1000 each at the start.", options.workers);
    println!("Each second the main process counts the coins in a cut, as of one moment:");
    queries.run(options.duration / 2);
    accident::happen(&mut fleet, &mut queries)?;
    println!("\nThe coins after the accident:");
    queries.run(options.duration / 2);
    queries.wrong.extend(fleet.stop());
    report::print(&queries);
    Ok(if queries.are_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
