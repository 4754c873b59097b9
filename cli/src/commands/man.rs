//! `tearless man`: the manual pages.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};

use crate::arguments::Arguments;
use crate::error::{ExitStatus, Failure};

/// Prints the manual page, or writes one for each command to a folder
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tearless man | man -l -
  tearless man --to ~/.local/share/man/man1")]
pub(crate) struct ManArguments {
    /// Writes tearless.1, tearless-ls.1, … to this folder, which is made if need be
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
}

pub(crate) fn run(arguments: &ManArguments) -> Result<(), Failure> {
    match &arguments.to {
        Some(folder) => write_pages(folder).map_err(|error| {
            let folder = folder.display();
            Failure::new(ExitStatus::Failed, format!("can't write manual pages to {folder}: {error}"))
        }),
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Arguments::command()).render(&mut page)?;
            Ok(io::stdout().lock().write_all(&page)?)
        }
    }
}

fn write_pages(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Arguments::command(), folder)
}
