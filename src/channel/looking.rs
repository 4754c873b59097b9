//! What a reader sees of a channel without copying a payload.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use super::header::read_identity;
use super::options::Format;
use super::{AttachError, ChannelReader, Received};
use crate::clock::{self, TimestampSource};
use crate::layout::{Kind, Publication, control};
use crate::liveness::ProcessState;
use crate::memory::Memory;
use crate::object::{self, ObjectError, Slept};
use crate::seqlock::{ChannelState, Published, WakeMode};

/// How often the date of the latest publication is looked for, of a writer that overwrites it meanwhile. It takes as long
/// as a few loads, so that one that can do so twice in a row is hardly to be had.
const MAX_DATES: u32 = 64;

/// What has become of a channel's writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WriterState {
    /// It lives. Whether it publishes is another question: see [`Snapshot::age`](crate::Snapshot::age).
    Alive,
    /// It lives, but is stopped by a signal or a debugger. The channel stays its own.
    Stopped,
    /// It died without closing the channel. The last state stays readable; the next writer goes on with it.
    Dead,
    /// It closed the channel, or the channel was removed or made anew after its writer was gone.
    Closed,
    /// The channel's names were removed by hand, and the writer is in another PID namespace.
    Unknown,
}

/// How far a channel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) state: ChannelState,
    pub(crate) publication: u64,
}

impl Progress {
    /// Whether the channel was closed or removed.
    pub(crate) fn has_ended(self) -> bool {
        self.state != ChannelState::Open
    }
}

impl ChannelReader {
    /// Number of the latest publication, 0 before the first. One load.
    #[inline]
    pub(crate) fn publication(&self) -> u64 {
        Published::of_channel(self.reader.control()).peek()
    }

    /// The same, and everything that the writer did before announcing it.
    pub(crate) fn latest_acquired(&self) -> u64 {
        // A number that no writer stores is given as it is: who sleeps compares it with what stands there.
        Published::of_channel(self.reader.control())
            .latest()
            .map_or_else(|| self.publication(), Publication::get)
    }

    /// When the latest publication was published, in nanoseconds of the monotonic clock; `None` before the first, and of
    /// a writer that doesn't date them.
    pub(crate) fn date_of_latest(&mut self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.details_of_latest()?.details.time)
    }

    /// What stands beside the latest publication, unverified; `None` before the first, and if it can't be had.
    pub(crate) fn details_of_latest(&mut self) -> Option<Received> {
        for _ in 0..MAX_DATES {
            let publication = Publication::new(self.latest_acquired())?;
            if let Some(details) = self.details_of(publication) {
                return Some(Received { publication, details, retries: 0 });
            }
            // Otherwise it may just have been overwritten.
            if self.publication() == publication.get() {
                return None;
            }
        }
        None
    }

    /// When a publication was published that is, or was, the latest one; `None` also if it has been overwritten.
    pub(crate) fn date_of(&mut self, publication: Publication) -> Option<NonZeroU64> {
        NonZeroU64::new(self.details_of(publication)?.time)
    }

    /// How far the channel is: if it has ended, the number is its last.
    pub(crate) fn progress(&self) -> Progress {
        let state = ChannelState::load_before_number(self.reader.control());
        Progress { state, publication: self.latest_acquired() }
    }

    /// When the writer opened the channel, as an age; `None` if it is not known.
    pub(crate) fn opened(&self) -> Option<Duration> {
        // Relaxed: it carries nothing but itself.
        NonZeroU64::new(self.reader.control().load(control::OPENED)).map(clock::age)
    }

    /// How the writer dates its publications.
    pub(crate) fn dating(&self) -> TimestampSource {
        // Relaxed: it carries nothing but itself.
        TimestampSource::of_word(self.reader.control().load(control::DATING))
    }

    /// c1 of a cut: see `seqlock::cut`.
    pub(crate) fn collect(&self) -> Option<Publication> {
        self.reader.collect()
    }

    /// c3 of a cut.
    pub(crate) fn is_still_at(&self, collected: Option<Publication>) -> bool {
        self.reader.is_still_at(collected)
    }

    /// Instance of the registry on whose waiters' page the writer looks, 0 if on none.
    pub(crate) fn waiters_instance(&self) -> u64 {
        self.reader.control().load(control::WAITERS)
    }

    /// How the writer wakes those who wait.
    pub(crate) fn wake_mode(&self) -> WakeMode {
        WakeMode::load(self.reader.control())
    }

    /// Sleeps until somebody is woken on the channel, if its latest publication is still `seen`.
    pub(crate) fn sleep_on_published(&self, seen: u64, timeout: Duration) -> Slept {
        object::sleep(self.reader.control().memory(), control::PUBLISHED, seen, timeout)
    }

    /// Whether the writer has closed the channel.
    pub(crate) fn is_closed(&self) -> bool {
        ChannelState::load(self.reader.control()) != ChannelState::Open
    }

    /// What has become of the writer.
    pub(crate) fn writer_state(&self) -> Result<WriterState, ObjectError> {
        let page = self.reader.control();
        if ChannelState::load(page) != ChannelState::Open {
            return Ok(WriterState::Closed);
        }
        // Acquire: whose channel it is must be loaded after that it is open. Pairs with the release fence in
        // `Opening::take_over`.
        page.fence_acquire();
        match self.state_of_owner()? {
            // It may have closed the channel and let go of it since: the kernel orders that it says so first.
            WriterState::Dead | WriterState::Unknown if self.is_closed() => Ok(WriterState::Closed),
            state => Ok(state),
        }
    }

    /// What has become of whom the page names as its owner.
    fn state_of_owner(&self) -> Result<WriterState, ObjectError> {
        let page = self.reader.control();
        let name = self.segments.names.object(Kind::Control);
        if self.segments.backend.is_claimed(&name, page.memory())? == Some(false) {
            return Ok(WriterState::Dead);
        }
        // Somebody has the lock: the writer, or a fork of it that outlives it. Or the name is gone, and with it the way
        // to ask for the lock.
        let identity = read_identity(page);
        Ok(match identity.state() {
            // A lock does not outlive a boot: it is a container with a boot id of its own.
            ProcessState::Dead if identity.other_boot().is_some() => WriterState::Unknown,
            ProcessState::Dead => WriterState::Dead,
            ProcessState::Stopped => WriterState::Stopped,
            ProcessState::Running => WriterState::Alive,
            ProcessState::Unknown if self.segments.backend.is_claimed(&name, page.memory())?.is_none() => {
                WriterState::Unknown
            }
            ProcessState::Unknown => WriterState::Alive,
        })
    }

    /// How many writers the channel has had.
    pub(crate) fn incarnation(&self) -> u64 {
        self.reader.control().load(control::INCARNATION)
    }

    /// Process id of the writer, in its own PID namespace.
    pub(crate) fn writer_pid(&self) -> u64 {
        self.reader.control().load(control::PID)
    }

    /// Segments that were replaced by larger or smaller ones, by all writers that the channel has had.
    pub(crate) fn growths(&self) -> u64 {
        self.reader.control().load(control::GROWTHS)
    }

    /// How long ago the writer last said that it is at work; `None` if it never has.
    pub(crate) fn heartbeat_age(&self) -> Option<Duration> {
        // Relaxed: it carries nothing but itself.
        NonZeroU64::new(self.reader.control().load(control::HEARTBEAT)).map(clock::age)
    }

    /// Within what time the writer promises to say so again; `None` if it promises nothing.
    pub(crate) fn heartbeat_interval(&self) -> Option<Duration> {
        // Relaxed: it carries nothing but itself.
        let interval = NonZeroU64::new(self.reader.control().load(control::INTERVAL))?;
        Some(Duration::from_nanos(interval.get()))
    }

    pub(crate) fn channel(&self) -> &str {
        &self.channel
    }

    /// The channel's name, shared.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.channel
    }

    /// Which instance of its name it reads.
    pub(crate) fn instance(&self) -> u64 {
        self.segments.instance
    }

    /// Whether the channel was removed: what stands under its name by now is another one.
    pub(crate) fn is_removed(&self) -> bool {
        ChannelState::load(self.reader.control()) == ChannelState::Removed
    }

    /// Whether the other one has mapped what this one has.
    pub(crate) fn maps_as(&self, other: &ChannelReader) -> bool {
        self.instance() == other.instance() && self.reader.installed() == other.reader.installed()
    }

    /// In what form the channel's states are.
    pub(crate) fn format(&self) -> &Format {
        &self.format
    }

    /// Whether the channel's states have this form.
    pub(crate) fn has_format(&self, expected: &Format) -> Result<(), AttachError> {
        if self.format.fingerprint == expected.fingerprint {
            return Ok(());
        }
        Err(self.mismatch(expected))
    }

    /// Whether the channel's states are encoded by this form's codec, as far as the control page holds its name.
    #[cfg(any(feature = "schema", feature = "message-pack"))]
    pub(crate) fn has_codec(&self, expected: &Format) -> Result<(), AttachError> {
        if self.format.codec == control::CODEC.cut(&expected.codec) {
            return Ok(());
        }
        Err(self.mismatch(expected))
    }

    fn mismatch(&self, expected: &Format) -> AttachError {
        AttachError::FormatMismatch {
            channel: self.channel.to_string(),
            found_codec: self.format.codec.clone(),
            found_type_name: self.format.type_name.clone(),
            expected_codec: expected.codec.clone(),
            expected_type_name: expected.type_name.clone(),
        }
    }
}
