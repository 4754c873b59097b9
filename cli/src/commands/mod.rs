//! The commands, one file or folder each.

pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod export;
pub(crate) mod gc;
pub(crate) mod get;
pub(crate) mod history;
pub(crate) mod ls;
pub(crate) mod man;
pub(crate) mod namespaces;
pub(crate) mod postmortem;
pub(crate) mod put;
pub(crate) mod stat;
pub(crate) mod top;
pub(crate) mod verify;
pub(crate) mod watch;

use crate::arguments::Command;
use crate::context::Context;
use crate::error::{ExitStatus, Failure};

/// Does what was asked.
pub(crate) fn run(command: &Command, context: &Context) -> Result<(), Failure> {
    if context.json {
        must_print_json(command)?;
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
        Command::Namespaces(arguments) => namespaces::run(arguments, context),
        Command::Top(arguments) => top::run(arguments, context),
        Command::Export(arguments) => export::run(arguments, context),
        Command::Verify(arguments) => verify::run(arguments, context),
        Command::Bench(arguments) => bench::run(arguments, context),
        Command::Completions(arguments) => completions::run(arguments),
        Command::Man(arguments) => man::run(arguments),
    }
}

/// Who asks for JSON is to get it, or to be told that there is none.
fn must_print_json(command: &Command) -> Result<(), Failure> {
    let other = match command {
        Command::Export(_) => "export prints the format of Prometheus",
        Command::Completions(_) => "completions prints a script for a shell",
        Command::Man(_) => "man prints manual pages",
        _ => return Ok(()),
    };
    let failure = Failure::new(ExitStatus::Usage, format!("{other}, and no JSON"));
    Err(failure.hint("leave --json out; `tearless ls --json` and `tearless get --json` print data"))
}
