//! A fleet of worker processes and a main process that asks all of them how they are, all the time.
//!
//! ```text
//! cargo run --release --example fleet -- --workers 12 --seconds 5
//! ```
//!
//! The program starts itself N times as a worker. Every worker samples something real of this Linux host, at its own rate
//! and in its own shape: fixed structs, lists, maps, a table that grows and shrinks. Those that are cheap publish each
//! sampling by hand, those that hardly change publish only what has changed, and the large ones leave the moment to a
//! `Syncer`. The main process queries them through a `Hub`, as fast as it can. Every state carries what proves that it is
//! one whole sampling, and the main process checks that for each single snapshot.
//!
//! The workers also pass coins round, and every second the main process counts the coins of all workers in a cut: as of
//! one moment none is missing and none is there twice.
//!
//! Half-way it stops a worker for a moment, kills another one, looks at the state that it left, and starts it again. At
//! the end it prints a table, and how many snapshots were torn.

mod accident;
mod fleet;
mod options;
mod query;
mod report;
mod state;
mod worker;

use std::{
    env,
    error::Error,
    io, mem,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use tearless::{CreateError, Keep, Namespace, Pod, Writer};

use crate::{
    accident::Accident,
    fleet::Fleet,
    options::{Command, HELP, Options},
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

/// The main process's own channel: who has it runs the only fleet of the namespace.
const MAIN: &str = "main";

/// A namespace without any other fleet, for as long as this lives.
struct Alone {
    namespace: Namespace,
    _main: Writer<u64, Pod>,
}

/// Opens the namespace, and removes from it what a fleet that was killed has left: nothing of it is worth keeping here.
fn open_alone(name: &str) -> Result<Alone, Box<dyn Error>> {
    let namespace = Namespace::open(name)?;
    eprint!("{}", namespace.cleaned_at_open());
    let main = match namespace.writer_builder::<u64>(MAIN).codec::<Pod>().open() {
        Err(CreateError::AlreadyOwned { pid, .. }) => {
            let message = format!(
                "another fleet, of process {pid}, runs in the namespace {name:?}; wait for its end, or choose another \
                 one with --namespace"
            );
            return Err(message.into());
        }
        main => main?,
    };
    // The workers of a main process that was killed end by themselves, but not at once.
    let begin = Instant::now();
    loop {
        eprint!("{}", namespace.clean(Keep::Nothing)?);
        let Some(other) = namespace.channels()?.into_iter().find(|channel| channel.name != MAIN) else {
            return Ok(Alone { namespace, _main: main });
        };
        if begin.elapsed() > Duration::from_secs(2) {
            let (channel, pid) = (other.name, other.writer_pid);
            return Err(
                format!("process {pid} publishes {channel:?} in the namespace {name:?}: end it").into()
            );
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Starts the workers, queries them, ends them, and tells what it saw.
fn main_process(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let alone = open_alone(&options.namespace)?;
    let hub = alone.namespace.hub();
    let mut fleet = Fleet::start(&alone.namespace, options.workers, options.codec)?;
    let mut queries = Queries::of(&hub, &mut fleet)?;
    let first_half = queries.run(options.duration / 2);
    let accident = Accident::happen(&mut fleet, &hub)?;
    let elapsed = first_half + queries.run(options.duration / 2);
    let casualties = fleet.stop();
    println!("\n{accident}\n");
    let wrong_cuts = mem::take(&mut queries.wrong_cuts);
    wrong_cuts.iter().for_each(|wrong| println!("{wrong}"));
    let statistics = queries.into_statistics();
    report::print(&mut io::stdout().lock(), &statistics, &casualties, elapsed)?;
    let is_well = statistics.iter().all(|one| one.torn == 0 && one.failures == 0);
    let is_well = is_well && casualties.is_empty() && wrong_cuts.is_empty();
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
