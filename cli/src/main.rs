//! The program `tearless`: shows the channels of tearless, and what each worker does now, or did
//! last.

#![deny(unsafe_code)]
#![warn(unreachable_pub)]

mod blocks;
mod child;
mod commands;
mod context;
mod directory;
mod error;
mod health;
mod interrupt;
mod machine;
mod output;
mod resolve;
mod states;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use commands::Command;
use context::Context;

/// Looks inside the channels of tearless: what each worker does now, or did last
///
/// A worker publishes its latest state on a channel; the channels of one fleet form a namespace.
/// This command reads them directly from shared memory: the workers take no part, and may be busy,
/// stopped or dead.
#[derive(Debug, Parser)]
#[command(name = "tearless", version, propagate_version = true, after_help = SEE_LONG, after_long_help = AFTER_HELP)]
#[command(infer_subcommands = true, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    context: Context,
    #[command(subcommand)]
    command: Command,
}

const SEE_LONG: &str = "`tearless --help` and `tearless COMMAND --help` have examples and the exit codes.";

const AFTER_HELP: &str = "\
Examples:
  tearless ls                               the channels, and the process that writes each
  tearless get worker-7                     the latest state of one channel
  tearless get worker-7 --field queue[0]    one field of it
  tearless watch worker-7 --diff            what changes, as it changes
  tearless postmortem worker-7              what it did last, and how it ended
  tearless doctor                           what is wrong, and what to do about it
  echo 3 | tearless -n fleet put jobs       a channel from a shell; -n creates its namespace
  tearless mirror --help                    runs the program tearless-mirror, as any tearless-NAME on the PATH

Exit codes:
  0  done; also when the reader of a pipe stopped reading
  1  failed; doctor: something is wrong
  2  wrong usage
  3  no such namespace, channel, field or state
  4  the channel's writer is not alive, or its state is too old, where the command requires it
  5  the state can't be decoded
  6  another process writes the channel
  of a program tearless-NAME: its own

Environment:
  TEARLESS_NAMESPACE  the namespace, unless --namespace is given; an empty value counts as unset
  TEARLESS_DIRECTORY  the directory of the shared memory, unless --directory is given; the same
  TEARLESS_PERMISSIONS, TEARLESS_GROUP   of what `put` creates, unless its options are given
  NO_COLOR            no colours, unless --color is given";

fn main() -> ExitCode {
    let mut arguments = Arguments::parse();
    arguments.context.settle();
    match commands::run(&arguments.command, &arguments.context, Arguments::command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => ExitCode::from(failure.report() as u8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }
}
