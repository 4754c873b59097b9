//! The accident in the middle of the run: a worker is stopped, another one is killed, the state that it left is looked at,
//! and it is started again.

use std::{
    error::Error,
    fmt,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tearless::{Health, Hub, Status};

use crate::fleet::Fleet;

/// How long anything may take until it is seen.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was seen of one worker.
struct Sighting {
    channel: String,
    status: Status,
    /// From the event until it was seen.
    after: Duration,
}

/// What was seen of it all.
pub(crate) struct Accident {
    /// Where there is a second worker.
    stopped: Option<Sighting>,
    dead: Sighting,
    successor: Sighting,
}

impl Accident {
    pub(crate) fn happen(fleet: &mut Fleet, hub: &Hub) -> Result<Accident, Box<dyn Error>> {
        const STOPPED: usize = 1;
        const VICTIM: usize = 0;
        let mut stopped = None;
        if fleet.workers.len() > STOPPED {
            fleet.signal(STOPPED, Signal::STOP)?;
            let is_stalled = |status: &Status| matches!(status.health, Health::Stalled { .. });
            stopped = Some(Sighting::of(fleet.workers[STOPPED].options.channel(), hub, is_stalled)?);
            fleet.signal(STOPPED, Signal::CONT)?;
        }
        let channel = fleet.workers[VICTIM].options.channel();
        fleet.kill(VICTIM)?;
        let is_dead = |status: &Status| matches!(status.health, Health::Dead { .. });
        let dead = Sighting::of(channel.clone(), hub, is_dead)?;
        fleet.restart(VICTIM)?;
        let last = dead.status;
        let is_successor =
            |now: &Status| now.incarnation > last.incarnation && now.publication > last.publication;
        let successor = Sighting::of(channel, hub, is_successor)?;
        Ok(Accident { stopped, dead, successor })
    }
}

impl Sighting {
    /// Looks until it is `expected`, whenever the channel changes and now and then.
    fn of(
        channel: String,
        hub: &Hub,
        expected: impl Fn(&Status) -> bool,
    ) -> Result<Sighting, Box<dyn Error>> {
        let begin = Instant::now();
        let mut watch = hub.watch(&channel);
        loop {
            let status = hub.status(&channel)?;
            let after = begin.elapsed();
            if expected(&status) {
                return Ok(Sighting { channel, status, after });
            }
            if after > PATIENCE {
                return Err(format!("{channel} is still seen as {status:?} after {PATIENCE:?}").into());
            }
            watch.wait_any(Duration::from_millis(1));
        }
    }
}

impl fmt::Display for Sighting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sighting { channel, status: Status { writer_pid, health, publication, incarnation, .. }, after } =
            self;
        write!(
            formatter,
            "{channel}: {after:.1?} later process {writer_pid}, the channel's writer number {incarnation}, is seen as \
             {health:.1?}, its state #{publication} there"
        )
    }
}

impl fmt::Display for Accident {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(stopped) = &self.stopped {
            writeln!(formatter, "stopped\n  {stopped}")?;
        }
        write!(formatter, "killed\n  {}\nstarted again\n  {}", self.dead, self.successor)
    }
}
