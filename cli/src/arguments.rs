//! What can be said on the command line.

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::{
    bench, completions, doctor, export, gc, get, history, ls, man, namespaces, postmortem, put, stat, top,
    verify, watch,
};

/// Looks inside the channels of tearless: what each worker is doing now, or did last
///
/// A worker publishes its latest state on a channel; the channels of one fleet make up a namespace. This
/// command reads them straight from shared memory: workers are not asked, don't notice, and may be stopped or
/// dead.
#[derive(Debug, Parser)]
#[command(name = "tearless", version, propagate_version = true, after_help = SEE_LONG, after_long_help = AFTER_HELP)]
#[command(infer_subcommands = true, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: CommonArguments,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct CommonArguments {
    /// The namespace. Default: the only one on this machine
    #[arg(short, long, global = true, env = "TEARLESS_NAMESPACE", value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// Prints JSON, one document a line; the help of each command that has any lists the keys
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// When to use colours; NO_COLOR is respected unless this says otherwise
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,
    /// Also opens what this user (a numeric id) has in shared memory. May be repeated
    #[arg(long, global = true, value_name = "UID")]
    pub(crate) trust_owner: Vec<u32>,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal
    Auto,
    /// Everywhere
    Always,
    /// Nowhere
    Never,
}

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
    Namespaces(namespaces::NamespacesArguments),
    Export(export::ExportArguments),
    Verify(verify::VerifyArguments),
    Bench(bench::BenchArguments),
    Completions(completions::CompletionsArguments),
    Man(man::ManArguments),
}

const SEE_LONG: &str = "`tearless --help` has examples and the exit codes; so has `tearless COMMAND --help`.";

const AFTER_HELP: &str = "\
Examples:
  tearless ls                               which channels there are, and who writes them
  tearless get worker-7                     the latest state of one
  tearless get worker-7 --field queue[0]    a field of it
  tearless watch worker-7 --diff            what changes, as it changes
  tearless postmortem worker-7              what it did last, and how it ended
  tearless doctor                           what is wrong, and what to do about it
  echo 3 | tearless -n fleet put jobs       a channel from a shell; -n makes its namespace

Exit codes:
  0  done, also when the reader of a pipe has had enough
  1  failed; doctor: something is wrong
  2  wrong usage
  3  no such namespace, channel, field or state
  4  the channel's writer is not alive, or its state too old, where that was asked
  5  the state can't be decoded
  6  the channel has another writer

Environment:
  TEARLESS_NAMESPACE  the namespace, where --namespace is not given; empty: as if not set
  NO_COLOR            no colours, where --color is not given";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Arguments;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }
}
