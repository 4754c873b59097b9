//! `tearless completions` and `tearless man`: texts generated from the definition of the command
//! line.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::error::{ExitStatus, Failure};

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

pub(super) fn completions(arguments: &CompletionsArguments, mut definition: Command) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut definition, "tearless", &mut script);
    // Generated in memory first: the generator panics if it can't write.
    Ok(io::stdout().lock().write_all(&script)?)
}

/// Prints the manual page, or writes one page for each command to a folder
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tearless man | man -l -
  tearless man --to ~/.local/share/man/man1")]
pub(crate) struct ManArguments {
    /// Writes tearless.1, tearless-ls.1, … to this folder, and creates it if it does not exist
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
}

pub(super) fn man(arguments: &ManArguments, definition: Command) -> Result<(), Failure> {
    match &arguments.to {
        Some(folder) => {
            let written =
                fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(definition, folder));
            written.map_err(|error| {
                let folder = folder.display();
                Failure::new(ExitStatus::Failed, format!("can't write manual pages to {folder}: {error}"))
            })
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(definition).render(&mut page)?;
            Ok(io::stdout().lock().write_all(&page)?)
        }
    }
}
