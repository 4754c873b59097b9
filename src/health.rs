//! The one judge of a worker's health: what its signs of life mean.
//!
//! The hub, a reader, an inspection and every command ask [`Health::judge`], so that no two of them
//! can disagree about a worker.

use std::fmt;
use std::time::Duration;

use crate::channel::{ChannelReader, WriterState, origin_of};
use crate::clock::TimestampSource;

/// A writer is stalled when it is silent for more than this many of the intervals that it promises.
const INTERVALS: u32 = 3;

/// Maximum number of looks at a channel whose writer is replaced during each of them.
const MAX_LOOKS: u32 = 8;

/// A state is fresh for this long if its writer promises no interval.
const FRESH: Duration = Duration::from_secs(1);

/// How a worker is. Ages count back from the moment of the call.
///
/// A sign of life is a publication, a heartbeat, or the opening of the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// It lives and has published recently
    /// ([`HubBuilder::fresh_within`](crate::hub::HubBuilder::fresh_within)).
    Fresh {
        /// Age of its last publication.
        age: Duration,
    },
    /// It lives, and its state has not changed for some time.
    Unchanged {
        /// Age of its last publication; `None` if publications carry no timestamp.
        age: Option<Duration>,
    },
    /// It lives, but a signal or a debugger has stopped it, its control group is frozen, or it has
    /// been silent for too long
    /// ([`HubBuilder::stalled_after`](crate::hub::HubBuilder::stalled_after)): it hangs or is
    /// starved.
    ///
    /// Time for which the machine slept does not count: no worker is stalled because the machine
    /// has just woken up.
    Stalled {
        /// Time awake since its last sign of life; `None` if none has a timestamp.
        silent: Option<Duration>,
        /// Whether a signal or a debugger has stopped it, or its control group is frozen. This is a
        /// fact; the rest is judged by the clock.
        is_stopped: bool,
    },
    /// It was killed, or crashed, without closing the channel. The last state stays readable.
    Dead {
        /// Time since its last sign of life: it died after that. `None` if none has a timestamp.
        since: Option<Duration>,
    },
    /// Its process exited without closing the channel ([`WriterState::Exited`]). The last state
    /// stays readable.
    Exited {
        /// Time since then.
        since: Option<Duration>,
    },
    /// It closed the channel.
    Closed,
    /// It lives and has published nothing yet.
    Empty,
    /// This process cannot determine whether it lives ([`WriterState::Unknown`]).
    Unknown {
        /// Time since its last sign of life; `None` if none has a timestamp.
        silent: Option<Duration>,
    },
    /// Only of a [mirrored](crate::mirror) channel: there is no news of the worker's host
    /// ([`WriterState::Unreachable`]). The worker may be well; the last state stays readable.
    Unreachable {
        /// Time since the last news; `None` if there was none.
        since: Option<Duration>,
    },
}

/// The limits between fresh and unchanged, and between patience and stalled. `None` leaves a limit
/// to the interval that the writer promises.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Thresholds {
    pub(crate) fresh_within: Option<Duration>,
    pub(crate) stalled_after: Option<Duration>,
}

/// Everything that a judgement depends on. Durations are ages, except for the interval.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signs {
    /// State of the writer's process and of its channel.
    pub(crate) writer: WriterState,
    /// Number of the channel's last publication, 0 before the first. It may be a predecessor's.
    pub(crate) publication: u64,
    /// Age of that publication; `None` if it has no timestamp.
    pub(crate) age: Option<Duration>,
    /// Age of the current writer's last heartbeat.
    pub(crate) heartbeat_age: Option<Duration>,
    /// Time since the current writer opened the channel; `None` if it neither timestamps its
    /// publications nor promises an interval.
    pub(crate) opened_ago: Option<Duration>,
    /// The heartbeat interval that the current writer promises.
    pub(crate) heartbeat_interval: Option<Duration>,
    /// How long the machine has slept since the last of these signs.
    pub(crate) slept: Duration,
    /// Time since the current writer closed the channel, or its process exited.
    pub(crate) ended_ago: Option<Duration>,
    /// Time since the last news of the origin of a mirrored channel.
    pub(crate) news_age: Option<Duration>,
}

impl Health {
    /// The judgement. Pure: it depends on its arguments only.
    pub(crate) fn judge(signs: &Signs, thresholds: Thresholds) -> Health {
        let silent = signs.silent();
        let awake = silent.map(|silent| silent.saturating_sub(signs.slept));
        match signs.writer {
            WriterState::Closed => Health::Closed,
            WriterState::Dead => Health::Dead { since: silent },
            WriterState::Exited => Health::Exited { since: signs.ended_ago },
            WriterState::Stopped => Health::Stalled { silent: awake, is_stopped: true },
            WriterState::Unknown => Health::Unknown { silent },
            WriterState::Unreachable => Health::Unreachable { since: signs.news_age },
            WriterState::Alive => Health::of_living(signs, awake, thresholds),
        }
    }

    fn of_living(signs: &Signs, silent: Option<Duration>, thresholds: Thresholds) -> Health {
        let promised = signs.heartbeat_interval.map(|interval| interval.saturating_mul(INTERVALS));
        let fresh_within = thresholds.fresh_within.or(promised).unwrap_or(FRESH);
        let stalled_after = thresholds.stalled_after.or(promised);
        // A writer that promises nothing owes nothing before the first publication.
        let owes = promised.is_some() || signs.publication > 0;
        // First: a caller may set `stalled_after` below `fresh_within`, and wants the news then.
        if owes && silent.zip(stalled_after).is_some_and(|(silent, after)| silent > after) {
            return Health::Stalled { silent, is_stopped: false };
        }
        match signs.age {
            Some(age) if age <= fresh_within => Health::Fresh { age },
            None if signs.publication == 0 => Health::Empty,
            age => Health::Unchanged { age },
        }
    }

    /// The name of the variant in lower case: `fresh`, `unchanged`, `stalled`, `dead`, `exited`,
    /// `closed`, `empty`, `unknown` or `unreachable`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Health::Fresh { .. } => "fresh",
            Health::Unchanged { .. } => "unchanged",
            Health::Stalled { .. } => "stalled",
            Health::Dead { .. } => "dead",
            Health::Exited { .. } => "exited",
            Health::Closed => "closed",
            Health::Empty => "empty",
            Health::Unknown { .. } => "unknown",
            Health::Unreachable { .. } => "unreachable",
        }
    }

    /// The age of the last publication, of the last sign of life, of the last news, or of the exit.
    fn age(self) -> Option<Duration> {
        match self {
            Health::Fresh { age } => Some(age),
            Health::Unchanged { age } => age,
            Health::Stalled { silent, .. } | Health::Unknown { silent } => silent,
            Health::Dead { since } | Health::Exited { since } | Health::Unreachable { since } => since,
            Health::Closed | Health::Empty => None,
        }
    }
}

impl Signs {
    /// The signs that a reader sees now, of a writer whose state is known.
    pub(crate) fn of(reader: &mut ChannelReader, writer: WriterState) -> Signs {
        // Before the times.
        let slept = reader.page().slept_since_sign();
        let before = reader.publication();
        let age = match reader.latest_info() {
            Some(info) => info.age(),
            // The writer overwrote its slots during the look: it publishes at this moment.
            None if reader.publication() > before && reader.page().timestamps() != TimestampSource::None => {
                Some(Duration::ZERO)
            }
            None => None,
        };
        // A closed channel needs no look at the process. `writer` may be older than the end.
        let writer = if reader.is_closed() { WriterState::Closed } else { writer };
        Signs {
            writer,
            // After the timestamp, which is of this publication or of an earlier one.
            publication: reader.publication(),
            age,
            heartbeat_age: reader.page().heartbeat_age(),
            opened_ago: reader.page().opened_ago(),
            heartbeat_interval: reader.page().heartbeat_interval(),
            slept,
            ended_ago: reader.page().ended_ago(),
            news_age: origin_of(reader).and_then(|origin| origin.news_age),
        }
    }

    /// Time since the last sign of life, time asleep included. The last publication may be a dead
    /// predecessor's, so the opening counts, too: a writer has not been silent for longer than it
    /// has had the channel.
    pub(crate) fn silent(&self) -> Option<Duration> {
        [self.age, self.heartbeat_age, self.opened_ago].into_iter().flatten().min()
    }
}

/// Calls `look` until the channel had one and the same writer for all of the call: otherwise the
/// result mixes two writers. The result of the last of [`MAX_LOOKS`] calls may be mixed.
pub(crate) fn look_at_one_writer<R, E>(
    reader: &mut ChannelReader,
    mut look: impl FnMut(&mut ChannelReader) -> Result<R, E>,
) -> Result<R, E> {
    for _ in 1..MAX_LOOKS {
        let writers = reader.page().writers();
        let seen = look(reader)?;
        if reader.page().writers() == writers {
            return Ok(seen);
        }
    }
    look(reader)
}

impl fmt::Display for Health {
    /// The [name](Health::name), and the age where there is one: `stalled, silent for 3.2s`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())?;
        if let Health::Stalled { is_stopped: true, .. } = self {
            formatter.write_str(" (the process is stopped)")?;
        }
        let Some(age) = self.age() else { return Ok(()) };
        match self {
            Health::Fresh { .. } => write!(formatter, ", published {age:.1?} ago"),
            Health::Unchanged { .. } => write!(formatter, " since a publication {age:.1?} ago"),
            Health::Dead { .. } => write!(formatter, ", last sign of life {age:.1?} ago"),
            Health::Exited { .. } => write!(formatter, " {age:.1?} ago"),
            Health::Unreachable { .. } => write!(formatter, ", last news {age:.1?} ago"),
            _ => write!(formatter, ", silent for {age:.1?}"),
        }
    }
}

#[cfg(any(feature = "postcard", feature = "message-pack"))]
impl serde::Serialize for Health {
    /// A structure of the [name](Health::name), the age in seconds (of the last publication where
    /// the worker is fresh or unchanged, of the exit where it has exited, of the last news where it
    /// is unreachable, else of the last sign of life) and whether the process is stopped.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let is_stopped = matches!(self, Health::Stalled { is_stopped: true, .. });
        let mut fields = serializer.serialize_struct("Health", 3)?;
        fields.serialize_field("name", self.name())?;
        fields.serialize_field("age_seconds", &self.age().map(|age| age.as_secs_f64()))?;
        fields.serialize_field("is_stopped", &is_stopped)?;
        fields.end()
    }
}

#[cfg(test)]
mod tests;
