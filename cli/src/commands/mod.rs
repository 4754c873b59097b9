//! The commands, one file or folder each.

mod bench;
mod doctor;
mod export;
mod external;
mod gc;
mod generated;
mod get;
mod history;
mod ls;
mod namespaces;
mod postmortem;
mod put;
mod saved;
mod stat;
mod top;
mod verify;
mod watch;

use std::ffi::OsString;

use clap::Subcommand;

use crate::context::Context;
use crate::error::{ExitStatus, Failure};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Ls(ls::LsArguments),
    Get(get::GetArguments),
    Watch(watch::WatchArguments),
    Top(top::TopArguments),
    Put(put::PutArguments),
    Stat(stat::StatArguments),
    History(history::HistoryArguments),
    Postmortem(postmortem::PostmortemArguments),
    Doctor(doctor::DoctorArguments),
    Gc(gc::GcArguments),
    Save(saved::SaveArguments),
    Restore(saved::RestoreArguments),
    Namespaces(namespaces::NamespacesArguments),
    Export(export::ExportArguments),
    Verify(verify::VerifyArguments),
    Bench(bench::BenchArguments),
    Completions(generated::CompletionsArguments),
    Man(generated::ManArguments),
    #[command(external_subcommand)]
    External(Vec<OsString>),
}

/// Runs `command`. `definition` gives the definition of the whole command line.
pub(crate) fn run(
    command: &Command,
    context: &Context,
    definition: fn() -> clap::Command,
) -> Result<(), Failure> {
    if context.json {
        refuse_without_json(command)?;
    }
    match command {
        Command::Ls(arguments) => ls::run(arguments, context),
        Command::Get(arguments) => get::run(arguments, context),
        Command::Watch(arguments) => watch::run(arguments, context),
        Command::Put(arguments) => put::run(arguments, context),
        Command::Stat(arguments) => stat::run(arguments, context),
        Command::History(arguments) => history::run(arguments, context),
        Command::Postmortem(arguments) => postmortem::run(arguments, context),
        Command::Doctor(arguments) => doctor::run(arguments, context),
        Command::Gc(arguments) => gc::run(arguments, context),
        Command::Save(arguments) => saved::save(arguments, context),
        Command::Restore(arguments) => saved::restore(arguments, context),
        Command::Namespaces(arguments) => namespaces::run(arguments, context),
        Command::Top(arguments) => top::run(arguments, context),
        Command::Export(arguments) => export::run(arguments, context),
        Command::Verify(arguments) => verify::run(arguments, context),
        Command::Bench(arguments) => bench::run(arguments, context),
        Command::Completions(arguments) => generated::completions(arguments, definition()),
        Command::Man(arguments) => generated::man(arguments, definition()),
        Command::External(arguments) => external::run(arguments, context, &definition()),
    }
}

/// Refuses `--json` for commands that have no JSON output.
fn refuse_without_json(command: &Command) -> Result<(), Failure> {
    let other = match command {
        Command::Export(_) => "export prints the text format of Prometheus",
        Command::Completions(_) => "completions prints a script for a shell",
        Command::Man(_) => "man prints manual pages",
        _ => return Ok(()),
    };
    let failure = Failure::new(ExitStatus::Usage, format!("{other}, which has no JSON form"));
    Err(failure.hint("leave out --json; `tearless ls --json` and `tearless get --json` print data"))
}
