//! Attaching to a channel: what is missing or not ready yet is awaited, what is not what it should be is an error.

use crate::memory::ReadOnlyWords;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::header::{ControlHeader, not_ours, read_identity};
use super::options::ReaderOptions;
use super::{AttachError, ChannelName, ChannelReader};
use crate::layout::{self, Kind, control};
use crate::memory::Memory;
use crate::object::{Backend, ObjectError};
use crate::seqlock::ChannelState;
use crate::seqlock::ready::{self, Readiness};

/// How long a wait sleeps at most before it looks again.
const MAX_SLEEP: Duration = Duration::from_millis(1);

/// What attaching awaits.
enum Attaching<V> {
    /// There is no control page.
    Missing,
    /// There is one, but its creator is not done.
    NotReady,
    /// There is a channel.
    Ready(V, ControlHeader),
}

impl ChannelReader {
    /// Attaches to a channel, waiting for it as long as the options say.
    pub(crate) fn attach(
        backend: &Arc<dyn Backend>,
        name: &ChannelName,
        options: &ReaderOptions,
    ) -> Result<Self, AttachError> {
        let begin = Instant::now();
        let mut unready_since = None;
        let mut backoff = Backoff::new();
        loop {
            match look(backend, name)? {
                Attaching::Ready(page, header) => {
                    let reader = Self::start(backend, name, options, page, &header);
                    if let Some(expected) = &options.format {
                        reader.has_format(expected)?;
                    }
                    return Ok(reader);
                }
                Attaching::Missing => {
                    unready_since = None;
                    if begin.elapsed() >= options.attach.missing {
                        let ChannelName { namespace, channel, .. } = name.clone();
                        return Err(AttachError::NotFound {
                            namespace,
                            channel,
                            waited: options.attach.missing,
                        });
                    }
                }
                Attaching::NotReady => {
                    let waited = unready_since.get_or_insert_with(Instant::now).elapsed();
                    if waited >= options.attach.not_ready {
                        return Err(AttachError::NotReady { channel: name.channel.clone(), waited });
                    }
                }
            }
            backoff.wait();
        }
    }
}

/// One look at a channel's control page.
fn look(backend: &Arc<dyn Backend>, name: &ChannelName) -> Result<Attaching<ReadOnlyWords>, AttachError> {
    let object = name.objects.object(Kind::Control);
    let failed = |source| AttachError::Object { channel: name.channel.clone(), source };
    let page = match backend.view(&object) {
        Ok(page) => page,
        Err(ObjectError::NotFound { .. }) => return Ok(Attaching::Missing),
        Err(ObjectError::Unfinished { .. }) => return Ok(Attaching::NotReady),
        Err(source) => return Err(failed(source)),
    };
    let foreign =
        |reason: &str| failed(ObjectError::Foreign { object: object.clone(), reason: reason.into() });
    if page.len() * layout::WORD_BYTES != control::BYTES {
        return Err(foreign("it has not the size of a control page"));
    }
    match ready::check(&page) {
        Readiness::NotReady => return Ok(Attaching::NotReady),
        Readiness::Ready => {}
        Readiness::Foreign(found) => return Err(foreign(&not_ours(found))),
        Readiness::OtherVersion(found) => {
            let channel = name.channel.clone();
            return Err(AttachError::LayoutVersion { channel, found, expected: layout::VERSION });
        }
    }
    let header = ControlHeader::read(&page);
    if let Some(other) = header.collides_with(name) {
        let channel = format!("{}/{}", name.namespace, name.channel);
        return Err(AttachError::NameCollision { channel, other });
    }
    if header.needs_more_than_we_know() {
        let (channel, bits) = (name.channel.clone(), header.features_required);
        return Err(AttachError::UnknownFeatures { channel, bits });
    }
    if let Some([found, expected]) = read_identity(&page).other_boot() {
        return Err(AttachError::OtherBoot { channel: name.channel.clone(), found, expected });
    }
    match ChannelState::load(&page) {
        ChannelState::Removed => Ok(Attaching::Missing),
        ChannelState::Open | ChannelState::Lingering => Ok(Attaching::Ready(page, header)),
    }
}

/// Growing pauses while something is awaited: first spins, then sleeps of up to a millisecond.
pub(crate) struct Backoff {
    spins: crossbeam_utils::Backoff,
    sleep: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Backoff {
        Backoff { spins: crossbeam_utils::Backoff::new(), sleep: Duration::from_micros(10) }
    }

    pub(crate) fn wait(&mut self) {
        if !self.spins.is_completed() {
            return self.spins.snooze();
        }
        thread::sleep(self.sleep);
        self.sleep = (self.sleep * 2).min(MAX_SLEEP);
    }
}
