//! The workers of the example `fleet` as JSON over HTTP, for dashboards and `curl`.
//!
//! ```text
//! cargo run --release --example fleet -- --seconds 600
//! cargo run --release --manifest-path examples/http/Cargo.toml
//! curl http://127.0.0.1:8080/workers
//! ```
//!
//! | request | answer |
//! |---|---|
//! | `GET /workers` | all workers: name, health, age, publication and state of each |
//! | `GET /workers/{name}` | one of them |
//! | `GET /workers/{name}/changes` | its states as server-sent events, up to ten a second |
//! | `GET /cut` | the purses of all workers as of one moment, and their coins |
//!
//! It asks no worker: each request reads shared memory, in microseconds and without blocking, so it
//! runs on the runtime's own threads. Workers may start later, be killed, and return.

mod cut;
mod failure;
mod options;
mod routes;
#[path = "../../fleet/state/mod.rs"]
#[allow(dead_code, reason = "this program reads the states only; the workers make them")]
mod state;
mod workers;

use std::{env, error::Error, process::ExitCode};

use tearless::Namespace;
use tokio::{net::TcpListener, sync::watch};

use options::{Command, HELP, Options};
use workers::Workers;

fn main() -> ExitCode {
    let result = match options::parse(env::args().skip(1)) {
        Ok(Command::Help) => {
            println!("{HELP}");
            Ok(())
        }
        Ok(Command::Serve(options)) => serve(&options),
        Err(message) => {
            eprintln!("http: {message}\nTry --help.");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("http: {error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn serve(options: &Options) -> Result<(), Box<dyn Error>> {
    // A program that only reads removes nothing.
    let namespace = Namespace::open(&options.namespace)?;
    let (shutdown, is_ending) = watch::channel(false);
    let routes = routes::routes(Workers::of(&namespace), is_ending);
    let listener = TcpListener::bind(options.address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, routes)
        .with_graceful_shutdown(async move {
            // If no handler can be installed, the signal ends the process at once, which is fine,
            // too.
            let _ = tokio::signal::ctrl_c().await;
            // Otherwise the streams of changes would last as long as their workers.
            shutdown.send_replace(true);
        })
        .await?;
    Ok(())
}
