//! Attaching to a channel: waits while the channel is missing or not ready; any other problem is an
//! error.

use std::sync::Arc;
use std::time::Instant;

use super::control_page::{ControlPage, PageProblem};
use super::options::ReaderOptions;
use super::segments::Segments;
use super::{AttachError, ChannelName, ChannelReader, KnownChannels};
use crate::layout::{self, Kind, ObjectNames, WORD_BYTES};
use crate::memory::{Memory, ReadOnlyWords};
use crate::object::{Backend, Backoff, ObjectError, Sealed, if_exists};
use crate::seqlock::ChannelState;

/// Result of looking up a channel's name once.
enum Found {
    /// No control page.
    Missing,
    /// A page that its creator has not finished.
    NotReady,
    /// A channel.
    Ready(ControlPage<ReadOnlyWords>),
}

/// Attaches to a channel, waiting for it as long as the options say.
pub(crate) fn attach(
    backend: &Arc<dyn Backend>,
    name: &ChannelName,
    options: &ReaderOptions,
) -> Result<ChannelReader, AttachError> {
    let begin = Instant::now();
    let mut unready_since = None;
    let mut backoff = Backoff::new();
    loop {
        match find(backend, name)? {
            Found::Ready(page) => {
                let segments = Segments::new(backend, &name.objects, page.instance(), page.pins());
                let source = segments.impossible_shape(Kind::Control);
                let failed = |source| AttachError::Object { channel: name.channel.clone(), source };
                let reader = ChannelReader::new(page, segments, name, options);
                let mut reader = reader.ok_or_else(|| failed(source))?;
                if backend.is_sealed() {
                    reader.admit_headers().map_err(failed)?;
                }
                return Ok(reader);
            }
            Found::Missing => {
                unready_since = None;
                let waited = options.attach.missing;
                if begin.elapsed() >= waited {
                    let ChannelName { namespace, channel, .. } = name.clone();
                    let known = KnownChannels::default();
                    return Err(AttachError::NotFound { namespace, channel, waited, known });
                }
            }
            Found::NotReady => {
                let waited = unready_since.get_or_insert_with(Instant::now).elapsed();
                if waited >= options.attach.not_ready {
                    return Err(AttachError::NotReady { channel: name.channel.clone(), waited });
                }
            }
        }
        backoff.wait();
    }
}

/// The name in the object of a sealed channel.
pub(crate) fn name_of_sealed(sealed: &Sealed) -> Result<ChannelName, AttachError> {
    let channel = || sealed.label().to_owned();
    let failed = |source| AttachError::Object { channel: channel(), source };
    let object = ObjectNames::new("", "").object(Kind::Control);
    match ControlPage::validate(sealed.view(&object).map_err(failed)?) {
        Ok(page) => page.name().ok_or_else(|| {
            let reason = "it names no channel".into();
            failed(ObjectError::Foreign { object: sealed.label().into(), reason })
        }),
        Err(PageProblem::OtherVersion(found)) => {
            Err(AttachError::LayoutVersion { channel: channel(), found, expected: layout::VERSION })
        }
        Err(problem) => Err(failed(problem.foreign(sealed.label().into()))),
    }
}

/// Looks up a channel's control page once.
fn find(backend: &Arc<dyn Backend>, name: &ChannelName) -> Result<Found, AttachError> {
    let object = name.objects.object(Kind::Control);
    let channel = || name.channel.clone();
    let failed = |source| AttachError::Object { channel: channel(), source };
    let words = match backend.view(&object) {
        Ok(words) => words,
        Err(ObjectError::NotFound { .. }) => return Ok(Found::Missing),
        Err(ObjectError::Unfinished { .. }) => return Ok(Found::NotReady),
        Err(source) => return Err(failed(source)),
    };
    let page = match ControlPage::validate(words) {
        Ok(page) => page,
        Err(PageProblem::NotReady) => return Ok(Found::NotReady),
        Err(PageProblem::OtherVersion(found)) => {
            return Err(AttachError::LayoutVersion { channel: channel(), found, expected: layout::VERSION });
        }
        Err(problem) => return Err(failed(problem.foreign(backend.path(&object)))),
    };
    let header = page.header();
    if let Some(other) = header.collides_with(name) {
        let channel = format!("{}/{}", name.namespace, name.channel);
        return Err(AttachError::NameCollision { channel, other });
    }
    if header.needs_unknown_features() {
        return Err(AttachError::UnknownFeatures { channel: channel(), bits: header.features_required });
    }
    // No memory without a name outlives a boot: that is another container's id of the same boot.
    if let Some([found, expected]) = page.owner().other_boot()
        && !backend.is_sealed()
    {
        return Err(AttachError::OtherBoot { channel: channel(), found, expected });
    }
    // A creator gives the object its whole size shortly before the page is ready. An object that
    // was mapped with less is mapped again.
    let mapped = (page.memory().len() * WORD_BYTES) as u64;
    if page.first_segments().is_none()
        && if_exists(backend.size(&object)).map_err(failed)?.is_none_or(|size| size.bytes > mapped)
    {
        return Ok(Found::NotReady);
    }
    match page.state() {
        ChannelState::Removed => Ok(Found::Missing),
        ChannelState::Open | ChannelState::Lingering => Ok(Found::Ready(page)),
    }
}
