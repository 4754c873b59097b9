//! Looks inside the channels of tearless: what each worker is doing now, or did last.

#![forbid(unsafe_code)]
#![warn(unreachable_pub)]

mod arguments;
mod child;
mod commands;
mod context;
mod error;
mod health;
mod interrupt;
mod machine;
mod output;
mod resolve;
mod states;

use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;
use context::Context;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let context = Context::new(&arguments.common);
    match commands::run(&arguments.command, &context) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
