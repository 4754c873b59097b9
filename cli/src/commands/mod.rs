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
pub(crate) mod verify;
pub(crate) mod watch;

use crate::arguments::Command;
use crate::context::Context;
use crate::error::Failure;

/// Does what was asked.
pub(crate) fn run(command: &Command, context: &Context) -> Result<(), Failure> {
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
        Command::Export(arguments) => export::run(arguments, context),
        Command::Verify(arguments) => verify::run(arguments, context),
        Command::Bench(arguments) => bench::run(arguments, context),
        Command::Completions(arguments) => completions::run(arguments),
        Command::Man(arguments) => man::run(arguments),
    }
}
