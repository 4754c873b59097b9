//! Looks inside the channels of tearless: what each worker is doing now, or did last.

#![forbid(unsafe_code)]
#![warn(unreachable_pub)]

mod child;
mod arguments;
mod commands;
mod context;
mod error;
mod interrupt;
mod health;
mod machine;
mod output;
mod states;
mod resolve;

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
