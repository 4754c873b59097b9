//! The command line.

use std::net::SocketAddr;

pub(crate) const HELP: &str = "\
Serves the states of the example 'fleet' as JSON: /workers, /workers/NAME, /workers/NAME/changes and /cut.

Usage: cargo run --release --manifest-path examples/http/Cargo.toml -- [OPTIONS]

Options:
  --namespace N  where the fleet publishes [default: fleet-example]
  --address A    address and port to listen on [default: 127.0.0.1:8080]. There is no authentication: any
                 client that reaches the address reads all states
  --help         print this";

/// What this process is to do.
pub(crate) enum Command {
    Help,
    Serve(Options),
}

/// Which fleet is served, and at which address.
pub(crate) struct Options {
    pub(crate) namespace: String,
    pub(crate) address: SocketAddr,
}

/// Parses the arguments after the program's name. The error says what is wrong with them.
pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Command, String> {
    let mut arguments = arguments.into_iter();
    let mut options =
        Options { namespace: "fleet-example".to_owned(), address: SocketAddr::from(([127, 0, 0, 1], 8080)) };
    while let Some(option) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{option} needs a value"));
        match option.as_str() {
            "--help" | "-h" => return Ok(Command::Help),
            "--namespace" => options.namespace = value()?,
            "--address" => {
                let value = value()?;
                let is_none =
                    |_| format!("--address takes an address and a port, as in 127.0.0.1:8080, not {value:?}");
                options.address = value.parse().map_err(is_none)?;
            }
            _ => return Err(format!("there is no option {option:?}")),
        }
    }
    Ok(Command::Serve(options))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_served_by_default() {
        let Ok(Command::Serve(options)) = parse([]) else { panic!("no argument is needed") };
        assert!(options.address.ip().is_loopback());
        assert!(parse(["--address".into(), "anywhere".into()]).is_err());
    }
}
