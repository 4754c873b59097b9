//! What has become of a worker.

use std::time::Duration;

use super::{Hub, QueryError};
use crate::channel::{ChannelReader, WriterState};
use crate::clock;
/// How many of the intervals that a writer promises may pass before its silence means something.
const INTERVALS: u32 = 3;

/// How often a status is looked up anew because another writer has come meanwhile.
const MAX_LOOKS: u32 = 8;

/// Until when a state is fresh if its writer promises no interval.
const FRESH: Duration = Duration::from_secs(1);

/// What has become of a worker, and of its state. Made by [`Hub::status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// How the worker is.
    pub health: Health,
    /// Number of its last publication, 0 before the first.
    pub publication: u64,
    /// Process id of the writer, or of the last one, in its own PID namespace.
    pub writer_pid: u64,
    /// How many writers the channel has had, one after the other.
    pub incarnation: u64,
}

/// How a worker is. Ages are as of the moment of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// It lives, and has published lately ([`HubBuilder::fresh_within`](crate::hub::HubBuilder::fresh_within)).
    Fresh {
        /// How old its last publication is.
        age: Duration,
    },
    /// It lives, and its state is what it has been for some time.
    Unchanged {
        /// How old its last publication is; `None` if it doesn't date them.
        age: Option<Duration>,
    },
    /// It lives, but gives no sign of life ([`HubBuilder::stalled_after`](crate::hub::HubBuilder::stalled_after)): it hangs, is
    /// starved, or stopped by a signal or a debugger.
    Stalled {
        /// How long ago the last publication or heartbeat was, or the writer has opened the channel since; `None` if there
        /// was neither publication nor heartbeat, or undated ones only.
        silent: Option<Duration>,
    },
    /// It died without closing the channel. The last state stays readable.
    Dead {
        /// How long ago its last sign of life was: it died after that. `None` as for `silent`.
        since: Option<Duration>,
    },
    /// It closed the channel.
    Closed,
    /// It lives, and has published nothing yet.
    Empty,
}

/// From when on silence means what; `None` for what the writer's interval says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Thresholds {
    pub(super) fresh_within: Option<Duration>,
    pub(super) stalled_after: Option<Duration>,
}

impl<C> Hub<C> {
    /// What has become of the worker that writes `channel`. That it is dead is never a guess: see
    /// [`Reader::writer_state`](crate::Reader::writer_state). That it is stalled is one, by the clock.
    ///
    /// Cost: some system calls, microseconds.
    ///
    /// # Errors
    ///
    /// [`QueryError::Attach`] if there is no such channel, [`QueryError::Writer`] if the system does not let the writer's
    /// lock be looked at.
    pub fn status(&self, channel: &str) -> Result<Status, QueryError> {
        let mut reader = self.shared.reader_or_removed(channel)?;
        let mut status = None;
        for _ in 0..MAX_LOOKS {
            let incarnation = reader.incarnation();
            let found = self.look(&mut reader, incarnation)?;
            status = Some(found);
            // Otherwise another writer has come meanwhile, and it is partly about either.
            if reader.incarnation() == incarnation {
                break;
            }
        }
        self.shared.keep(&reader, None);
        status.map_or_else(|| Err(reader.closed().into()), Ok)
    }

    fn look(&self, reader: &mut ChannelReader, incarnation: u64) -> Result<Status, QueryError> {
        let channel = reader.channel().to_owned();
        let state = reader.writer_state().map_err(|source| QueryError::Writer { channel, source })?;
        let age = reader.date_of_latest().map(clock::age);
        // After the date, which is of this publication or of one before it.
        let publication = reader.publication();
        Ok(Status {
            health: self.shared.thresholds.judge(reader, state, age, publication),
            publication,
            writer_pid: reader.writer_pid(),
            incarnation,
        })
    }
}

impl Thresholds {
    fn judge(
        self,
        reader: &ChannelReader,
        state: WriterState,
        age: Option<Duration>,
        publication: u64,
    ) -> Health {
        let signs = [age, reader.heartbeat_age()].into_iter().flatten();
        // The last publication may be a former writer's: this one is not silent for longer than it has been there.
        let silent = signs.min().map(|silent| reader.opened().map_or(silent, |opened| silent.min(opened)));
        match state {
            WriterState::Closed => return Health::Closed,
            WriterState::Dead => return Health::Dead { since: silent },
            WriterState::Stopped => return Health::Stalled { silent },
            WriterState::Alive | WriterState::Unknown => {}
        }
        let interval = reader.heartbeat_interval().map(|interval| interval * INTERVALS);
        let fresh_within = self.fresh_within.or(interval).unwrap_or(FRESH);
        let stalled_after = self.stalled_after.or(interval);
        match age {
            // First: who asks for less patience than a state stays fresh wants to know.
            _ if silent.zip(stalled_after).is_some_and(|(silent, after)| silent > after) => {
                Health::Stalled { silent }
            }
            Some(age) if age <= fresh_within => Health::Fresh { age },
            None if publication == 0 => Health::Empty,
            age => Health::Unchanged { age },
        }
    }
}
