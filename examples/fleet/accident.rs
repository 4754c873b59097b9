//! The accident in the middle of the run: a worker is killed, its last state is looked at, and it is started again.

use std::{
    error::Error,
    fmt, io, thread,
    time::{Duration, Instant},
};

use tearless::WriterState;

use crate::{
    fleet::Fleet,
    query::{Queries, Sighting},
};

/// How long the successor may take until its first publication.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was seen of it.
pub(crate) struct Accident {
    channel: String,
    /// Right after the kill.
    dead: Sighting,
    /// From the kill until the main process knew.
    noticed_after: Duration,
    /// When the successor had published.
    successor: Sighting,
    /// From the start of the successor's process to its first publication.
    resumed_after: Duration,
}

impl Accident {
    /// Kills the first worker, starts it again, and watches through a reader that is attached all the time.
    pub(crate) fn happen(fleet: &mut Fleet, queries: &mut Queries) -> Result<Accident, Box<dyn Error>> {
        const VICTIM: usize = 0;
        let channel = fleet.workers[VICTIM].options.channel.clone();
        fleet.kill(VICTIM)?;
        let killed = Instant::now();
        let dead = queries.sight(VICTIM)?;
        let noticed_after = killed.elapsed();
        if dead.state != WriterState::Dead {
            return Err(format!("{channel} was killed but is seen as {:?}", dead.state).into());
        }
        fleet.restart(VICTIM)?;
        let started = Instant::now();
        let successor = loop {
            let now = queries.sight(VICTIM)?;
            if now.publication > dead.publication {
                break now;
            }
            if started.elapsed() > PATIENCE {
                return Err(
                    io::Error::new(io::ErrorKind::TimedOut, format!("{channel} did not resume")).into()
                );
            }
            thread::sleep(Duration::from_micros(100));
        };
        Ok(Accident { channel, dead, noticed_after, successor, resumed_after: started.elapsed() })
    }
}

impl fmt::Display for Accident {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Accident { channel, dead, successor, .. } = self;
        writeln!(
            formatter,
            "{channel}: process {} was killed; seen as {:?} {:.1?} later, its last state still there: #{}, {:.1?} old",
            dead.pid,
            dead.state,
            self.noticed_after,
            dead.publication,
            dead.age.unwrap_or_default()
        )?;
        write!(
            formatter,
            "{channel}: process {} took over {:.1?} after its start: #{}, incarnation {}, same reader",
            successor.pid, self.resumed_after, successor.publication, successor.incarnation
        )
    }
}
