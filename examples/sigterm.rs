//! A worker that a deployment stops: SIGTERM publishes its last state, and no tool takes it for a
//! crashed one. Start it, stop it, and ask how it ended:
//!
//! ```text
//! cargo run --example sigterm &
//! kill -TERM %1                     dead after kill -KILL, closed after kill -INT
//! tearless -n examples postmortem worker-7
//! ```

use std::{error::Error, time::Duration};

use serde::{Deserialize, Serialize};
use tearless::Namespace;
use tokio::signal::{
    ctrl_c,
    unix::{SignalKind, signal},
};

#[derive(Debug, Default, Serialize, Deserialize)]
struct WorkerState {
    jobs_done: u64,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> Result<(), Box<dyn Error>> {
    let channel = Namespace::open("examples")?.writer_builder("worker-7").linger(true);
    // A restarted worker begins where its predecessor ended.
    let state = channel.syncer(WorkerState::default()).resume().spawn()?;

    // The two lines. The process exits, and the exit publishes the last state of every syncer.
    let mut stop = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        if stop.recv().await.is_some() {
            std::process::exit(0)
        }
    });

    // A worker with a main loop can end it instead, and close the channel.
    while tokio::time::timeout(Duration::from_millis(10), ctrl_c()).await.is_err() {
        state.update(|state| state.jobs_done += 1);
    }
    println!("{}", state.shutdown()?);
    Ok(())
}
