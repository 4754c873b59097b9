//! `tearless completions`: a script for a shell.

use std::io::Write;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::error::Failure;

/// Prints a script that completes this command in a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tearless completions bash > ~/.local/share/bash-completion/completions/tearless
  tearless completions zsh > ~/.zfunc/_tearless
  tearless completions fish > ~/.config/fish/completions/tearless.fish")]
pub(crate) struct CompletionsArguments {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(arguments: &CompletionsArguments) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "tearless", &mut script);
    // Made in memory: the generator panics where it can't write.
    std::io::stdout().lock().write_all(&script)?;
    Ok(())
}
