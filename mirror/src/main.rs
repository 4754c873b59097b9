//! `tearless-mirror`: channels of other hosts in this host's shared memory.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use tearless::Namespace;
use tearless::hub::Health;
use tearless_mirror::config::{Config, Settings};
use tearless_mirror::run::{Events, Running, StatusChannel};
use tearless_mirror::status::{MirrorState, NAMESPACE};

/// Mirrors channels of other hosts: their states appear in this host's shared memory, where
/// readers, hubs and `tearless` read them as any channel, at the speed of memory
#[derive(Parser)]
#[command(
    name = "tearless-mirror",
    bin_name = "tearless mirror",
    version,
    args_conflicts_with_subcommands = true
)]
#[command(after_help = EXAMPLES, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

const EXAMPLES: &str = "\
Examples:
  tearless mirror --listen quic/10.0.0.1:7447 --publish 'fleet/*' --tls-ca ca.pem \\
    --tls-certificate a.pem --tls-key a.key          on host a: others may read its workers
  tearless mirror --connect quic/10.0.0.1:7447 --mirror 'a/fleet/*' …
                                                     on host b: they are a/worker-1, a/worker-2, …
  tearless -n fleet get a/worker-1                   on host b
  tearless mirror status                             links, delays, bytes, and what was refused

SIGTERM ends a mirror and removes its copies. SIGHUP reads the file again.
docs/mirror.md says what is guaranteed.";

#[derive(Args)]
struct Run {
    /// A file of these options, in TOML: host = "a", listen = ["…"], …
    #[arg(long, env = "TEARLESS_MIRROR_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Only says whether the configuration is valid
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Subcommand)]
enum Command {
    /// What the mirrors of this host do at this moment
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
        /// As metrics of Prometheus
        #[arg(long, conflicts_with = "json")]
        prometheus: bool,
        /// Directory of the namespaces
        #[arg(long, env = "TEARLESS_DIRECTORY", value_name = "PATH")]
        directory: Option<PathBuf>,
    },
}

impl Run {
    fn config(&self) -> Result<Config, String> {
        let file = self.config.as_deref().map(Settings::read).transpose()?.unwrap_or_default();
        self.settings.clone().or(file).check()
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Some(Command::Status { json, prometheus, directory }) => status(json, prometheus, directory),
        None => run(&arguments.run),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { text, code }) => {
            anstream::eprintln!("tearless mirror: {text}");
            ExitCode::from(code)
        }
    }
}

struct Failure {
    text: String,
    code: u8,
}

fn wrong(text: String) -> Failure {
    Failure { text, code: 2 }
}

fn failed(text: String) -> Failure {
    Failure { text, code: 1 }
}

fn run(run: &Run) -> Result<(), Failure> {
    let config = run.config().map_err(wrong)?;
    if run.check {
        println!("the configuration is valid: host {}", config.carrier.host);
        return Ok(());
    }
    let (ends, reloads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    for (signal, flag) in [
        (signal_hook::consts::SIGTERM, &ends),
        (signal_hook::consts::SIGINT, &ends),
        (signal_hook::consts::SIGHUP, &reloads),
    ] {
        signal_hook::flag::register(signal, Arc::clone(flag)).map_err(|error| failed(error.to_string()))?;
    }
    let events = Events(config.log);
    let mut status = StatusChannel::open(&config.copies, &config.carrier.host, events);
    let mut running = Running::start(config).map_err(failed)?;
    while !ends.load(Ordering::Relaxed) {
        if reloads.swap(false, Ordering::Relaxed) {
            match run.config() {
                Ok(config) => running.reload(config),
                Err(error) => events.tell("the configuration is as before", &[("reason", &error)]),
            }
        }
        running.tick();
        status.publish(&running.state());
        thread::sleep(Duration::from_millis(100));
    }
    running.stop();
    Ok(())
}

fn status(json: bool, prometheus: bool, directory: Option<PathBuf>) -> Result<(), Failure> {
    let mut builder = Namespace::builder(NAMESPACE);
    if let Some(directory) = directory {
        builder = builder.directory(directory);
    }
    let namespace = builder.open().map_err(|error| wrong(error.to_string()))?;
    let hub = namespace.hub();
    let mut states = Vec::new();
    for of in hub.iter::<MirrorState>("*").map_err(|error| failed(error.to_string()))? {
        match of.state {
            // Another host's mirror speaks for itself there.
            Ok(state) if state.origin().is_some() => {}
            Ok(state) => {
                let health = hub.status(&of.channel).map(|status| status.health);
                let has_ended = health.as_ref().is_ok_and(|health| {
                    matches!(health, Health::Dead { .. } | Health::Exited { .. } | Health::Closed)
                });
                states.push((health.map_or("unknown", Health::name), !has_ended, state.into_inner()));
            }
            Err(error) => anstream::eprintln!("tearless mirror: {error}"),
        }
    }
    for (health, _, state) in &states {
        match json {
            true => println!("{}", serde_json::json!({ "health": health, "mirror": state })),
            false if !prometheus => println!("{}\n  the mirror is {health}", state.text()),
            false => {}
        }
    }
    if states.is_empty() {
        return Err(Failure { text: "no mirror runs on this host".into(), code: 3 });
    }
    if prometheus {
        let states: Vec<_> = states.into_iter().map(|(_, runs, state)| (runs, state)).collect();
        print!("{}", tearless_mirror::status::prometheus(&states));
    }
    Ok(())
}
