//! The accident in the middle of the run: one worker is stopped; another one is killed, its last
//! state is read, and it is started again.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tearless::hub::{Health, Status};

use crate::{fleet::Fleet, patience::within, query::Queries};

/// How long an event may take until the hub shows it.
const PATIENCE: Duration = Duration::from_secs(10);

const VICTIM: usize = 0;
const STOPPED: usize = 1;

/// Causes the accident, and prints what the hub shows of it.
pub(crate) fn happen(fleet: &mut Fleet, queries: &mut Queries) -> Result<(), Box<dyn Error>> {
    println!("\nAn accident, as the hub reports it:");
    if fleet.workers.len() > STOPPED {
        fleet.signal(STOPPED, Signal::STOP)?;
        see("stopped", fleet, STOPPED, |status| matches!(status.health, Health::Stalled { .. }))?;
        fleet.signal(STOPPED, Signal::CONT)?;
    }
    fleet.kill(VICTIM)?;
    let last = see("killed", fleet, VICTIM, |status| matches!(status.health, Health::Dead { .. }))?;
    queries.ask_all();
    fleet.restart(VICTIM)?;
    see("started again", fleet, VICTIM, |now| {
        now.incarnation > last.incarnation && now.publication > last.publication
    })?;
    Ok(())
}

/// Asks for the worker's status until it is `expected`.
fn see(
    event: &str,
    fleet: &Fleet,
    index: usize,
    expected: impl Fn(&Status) -> bool,
) -> Result<Status, Box<dyn Error>> {
    let begin = Instant::now();
    let channel = fleet.workers[index].options.channel();
    let look = || fleet.hub.status(&channel).map(|status| Some(status).filter(&expected));
    let status = within(PATIENCE, fleet.hub.watch(&channel), look)?
        .ok_or_else(|| format!("the hub does not report within {PATIENCE:?} that {channel} is {event}"))?;
    let Status { writer_pid, health, publication, incarnation, .. } = status;
    println!(
        "  {channel} was {event}. After {:.1?} its writer number {incarnation}, process {writer_pid}, is {health}. \
         Its publication {publication} can be read.",
        begin.elapsed()
    );
    Ok(status)
}
