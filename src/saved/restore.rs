//! Restoring the channels of a file.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{Saved, SavedChannel, SavedError, SavedState};
use crate::channel::{
    AttachError, ChannelName, ChannelWriter, CreateError, Format, ReaderOptions, SchemaBytes, WriterOptions,
    WriterState, writer_state,
};
use crate::clock::{self, TimestampSource};
use crate::hub::Pattern;
use crate::layout::Publication;
use crate::liveness::ProcessIdentity;
use crate::object::{Access, Backend};
use crate::registry::{Registry, Session};
use crate::seqlock::WakeMode;

policy! {
    /// How [`Namespace::restore`](crate::Namespace::restore) restores.
    pub struct RestorePolicy {
        /// Whether to replace the state of a channel whose writer has ended. A channel with a
        /// living writer is never changed.
        ///
        /// The saved states are checked before the former ones are removed. These can still be
        /// lost if a budget or a lack of memory refuses the restored channel, or by a kill.
        overwrite: bool = false,
        /// Whether only to say what would happen.
        dry_run: bool = false,
    }
}

/// What [`Namespace::restore`](crate::Namespace::restore) did.
#[derive(Debug)]
#[non_exhaustive]
pub struct RestoreReport {
    /// Each channel, in the order of the file.
    pub channels: Vec<Restored>,
}

/// A channel of the file.
#[derive(Debug)]
#[non_exhaustive]
pub struct Restored {
    /// Its name.
    pub channel: String,
    /// Its outcome.
    pub outcome: RestoreOutcome,
}

/// The outcome of one channel.
#[derive(Debug)]
#[non_exhaustive]
pub enum RestoreOutcome {
    /// It is restored, or would be.
    Restored {
        /// Number of its latest publication.
        publication: u64,
        /// Age of that state, as readers see it; `None` if it is not known.
        age: Option<Duration>,
    },
    /// A living process writes a channel of this name, which is as it was.
    InUse {
        /// Its process id; 0 if it is not known.
        pid: u64,
    },
    /// There is a channel of this name, with a state of a writer that has ended, which is as it
    /// was: see [`RestorePolicy::overwrite`].
    Exists,
    /// Nothing had been published on it.
    Empty,
    /// It could not be restored.
    Failed(SavedError),
}

impl RestoreReport {
    /// Whether all channels of the file that have a state are restored.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let is_done =
            |it: &Restored| matches!(it.outcome, RestoreOutcome::Restored { .. } | RestoreOutcome::Empty);
        self.channels.iter().all(is_done)
    }
}

/// A line for each channel.
impl fmt::Display for RestoreReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.channels.iter().try_for_each(|it| writeln!(formatter, "{it}"))
    }
}

impl fmt::Display for Restored {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "channel {:?}: {}", self.channel, self.outcome)
    }
}

impl fmt::Display for RestoreOutcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RestoreOutcome::Restored { publication, age: Some(age) } => {
                write!(formatter, "publication {publication}, published {age:.1?} ago")
            }
            RestoreOutcome::Restored { publication, age: None } => {
                write!(formatter, "publication {publication}, of unknown age")
            }
            RestoreOutcome::InUse { pid } => write!(formatter, "left alone: process {pid} writes it"),
            RestoreOutcome::Exists => formatter
                .write_str("left alone: it has a state, of a writer that has ended; overwriting replaces it"),
            RestoreOutcome::Empty => formatter.write_str("left out: nothing was published on it"),
            RestoreOutcome::Failed(error) => error.fmt(formatter),
        }
    }
}

/// Restores the channels that one of the patterns matches, or all if there is none. `options` are
/// those of the namespace's writers.
pub(crate) fn restore(
    backend: &Arc<dyn Backend>,
    namespace: &str,
    options: &WriterOptions,
    saved: &Saved,
    patterns: &[Pattern],
    policy: RestorePolicy,
) -> Result<RestoreReport, SavedError> {
    let matches_none = |pattern: &&Pattern| !saved.channels().iter().any(|it| pattern.matches(it.name()));
    if let Some(pattern) = patterns.iter().find(matches_none) {
        let place = saved.path().display().to_string();
        return Err(SavedError::NoSuchChannel { pattern: pattern.to_string(), place });
    }
    let is_wanted = |name: &str| patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(name));
    let restoring = Restoring { backend, namespace, options, saved, policy, now: SystemTime::now() };
    let wanted = saved.channels().iter().filter(|channel| is_wanted(channel.name()));
    let channels = wanted.map(|channel| {
        let outcome = restoring.channel(channel).unwrap_or_else(|error| match error {
            SavedError::Create(CreateError::AlreadyOwned { pid, .. }) => RestoreOutcome::InUse { pid },
            error => RestoreOutcome::Failed(error),
        });
        Restored { channel: channel.name().into(), outcome }
    });
    Ok(RestoreReport { channels: channels.collect() })
}

struct Restoring<'a> {
    backend: &'a Arc<dyn Backend>,
    namespace: &'a str,
    options: &'a WriterOptions,
    saved: &'a Saved,
    policy: RestorePolicy,
    /// The wall clock.
    now: SystemTime,
}

impl Restoring<'_> {
    fn channel(&self, channel: &SavedChannel) -> Result<RestoreOutcome, SavedError> {
        let Some(latest) = channel.states.first() else {
            return match &channel.problem {
                None => Ok(RestoreOutcome::Empty),
                Some(reason) => {
                    let (channel, reason) = (channel.name().to_owned(), reason.clone());
                    Err(SavedError::NoState { channel, reason })
                }
            };
        };
        let name = ChannelName::new(self.namespace, channel.name()).map_err(AttachError::Name)?;
        let age = clock::age_at(self.time_of(latest));
        let restored = RestoreOutcome::Restored { publication: latest.publication, age };
        if self.policy.dry_run {
            return Ok(self.obstacle(&name)?.unwrap_or(restored));
        }
        if self.policy.overwrite {
            // The former state goes before this one is read.
            for state in &channel.states {
                self.saved.read_payload(state, |_, _| Ok::<_, SavedError>(()))?;
            }
        }
        let session = Session::restore(
            self.backend,
            &name,
            &self.options_of(channel),
            self.policy.overwrite,
            |writer| self.fill(writer, channel),
        )?;
        let Some(mut session) = session else { return Ok(RestoreOutcome::Exists) };
        session.close_lingering()?;
        Ok(restored)
    }

    /// Publishes the states again, the oldest first.
    fn fill(&self, writer: &mut ChannelWriter, channel: &SavedChannel) -> Result<(), SavedError> {
        for state in channel.states.iter().rev() {
            let number = Publication::new(state.publication).expect("checked when the file was opened");
            let len = usize::try_from(state.len).unwrap_or(usize::MAX);
            writer.publish_again(number, self.time_of(state), len, |loan| {
                self.saved.read_payload(state, |offset, part| {
                    loan.write_at(offset, part);
                    Ok::<_, SavedError>(())
                })
            })?;
        }
        writer.add_past(channel.inspection.incarnation, channel.inspection.deferred);
        Ok(())
    }

    /// The options of the channel, as far as the file knows them.
    fn options_of(&self, channel: &SavedChannel) -> WriterOptions {
        let it = &channel.inspection;
        let len = |len| usize::try_from(len).unwrap_or(usize::MAX);
        let longest = channel.states.iter().map(|state| len(state.len)).max().unwrap_or(0);
        let max_state_len = len(it.max_state_len).max(longest).max(1);
        let depth = it.segments.iter().flatten().map(|segment| len(segment.depth)).min();
        WriterOptions {
            capacity: longest.max(self.options.capacity.min(max_state_len)),
            depth,
            max_state_len,
            pins: it.pinned.len(),
            checksum: it.checksum,
            // Times by the wall clock are no better.
            timestamps: TimestampSource::Coarse,
            access: Access { mode: it.permissions, ..self.options.access },
            wake_mode: WakeMode::Never,
            format: Format {
                codec: it.codec.clone(),
                type_name: it.type_name.clone(),
                fingerprint: it.fingerprint,
            },
            schema: channel.schema.as_deref().and_then(SchemaBytes::new),
            ..self.options.clone()
        }
    }

    /// The timestamp of a state on this machine; 0 if its age is not known.
    fn time_of(&self, state: &SavedState) -> u64 {
        let origin = self.saved.origin();
        let own = ProcessIdentity::of_self();
        if own.boot_id != [0; 2] && own.boot() == origin.boot_id {
            return state.time;
        }
        // A clock that was not set yet, or set back, says nothing. A state may be later than the
        // beginning of the save.
        let published = state.published_at.filter(|_| origin.saved_at <= self.now);
        let age = published.and_then(|at| self.now.duration_since(at).ok());
        age.map_or(0, clock::time_of_age)
    }

    /// Why the channel would not be restored.
    fn obstacle(&self, name: &ChannelName) -> Result<Option<RestoreOutcome>, SavedError> {
        use AttachError::{NotFound, NotReady, OtherBoot};
        let attached = Registry::of(self.backend, self.namespace).attach(name, &ReaderOptions::default());
        let reader = match attached {
            Err(NotFound { .. } | NotReady { .. } | OtherBoot { .. }) => return Ok(None),
            attached => attached?,
        };
        Ok(match writer_state(&reader)? {
            // What its origin told is the state of another writer.
            state if reader.host().is_some() && state != WriterState::Closed => {
                Some(RestoreOutcome::InUse { pid: reader.page().owner().pid })
            }
            WriterState::Dead | WriterState::Exited | WriterState::Closed => {
                let stays = reader.publication() != 0 && !self.policy.overwrite;
                stays.then_some(RestoreOutcome::Exists)
            }
            _ => Some(RestoreOutcome::InUse { pid: reader.page().owner().pid }),
        })
    }
}
