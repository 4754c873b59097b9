//! Removing channels that nobody writes: one by name, or what is left of one that only its objects tell of.

use crate::memory::Words;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use super::header::{ControlHeader, is_abandoned, read_identity};
use super::schema::SchemaMark;
use super::segments::Segments;
use super::{ChannelName, RemoveError};
use crate::clock;
use crate::layout::{Kind, ObjectNames, Publication, Side, WORD_BYTES, control};
use crate::liveness::{ProcessIdentity, ProcessState};
use crate::memory::Memory;
use crate::object::{self, Backend, Claim, ClaimOptions, Extent, ObjectError};
use crate::seqlock::ready::{self, Readiness};
use crate::seqlock::{ChannelState, Generations};

/// How long the last state of a writer that is gone is kept by who cleans up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retention {
    /// Until another writer takes the channel over, or somebody removes it by name. The default.
    #[default]
    UntilReplaced,
    /// Until the last publication is this old. Channels that don't date their publications, or have none yet, are kept.
    For(Duration),
    /// Not at all. Not for a moment in which a worker is about to be started again: its readers would be told that the
    /// channel is closed, and its numbers would begin anew.
    Nothing,
}

/// Why something was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RemovalReason {
    /// Its writer died, and its state is not to be kept.
    Dead,
    /// Its writer closed it and left the last state, which is not to be kept.
    Lingered,
    /// Its creator died before it was whole; or has only just begun, and then begins again.
    HalfMade,
    /// Its writer, or who removed it, died while removing it; or somebody else removed a part of it.
    HalfRemoved,
    /// Objects that no channel refers to.
    Orphaned,
}

/// What was removed of one channel, or of none.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Removed {
    /// The channel's name, if it still had one.
    pub channel: Option<String>,
    /// Process id of its last writer, in its own PID namespace; 0 if it is not known.
    pub pid: u64,
    /// Age of its last publication, if there was one and it is dated.
    pub age: Option<Duration>,
    /// Why.
    pub reason: RemovalReason,
    /// The names of the objects.
    pub objects: Vec<String>,
}

/// What remains to be said of the objects of one stem.
pub(crate) enum CleanupOutcome {
    /// Nothing to do: this instance is whole, and there is nothing besides it. Whether it lives was not looked at.
    InOrder(u64),
    /// Nothing to do: it is in use, or to be kept, or none of ours.
    Kept,
    /// This was removed.
    Removed(Removed),
}

/// How what writers that are gone have left in a namespace is removed.
pub(crate) struct Cleanup<'a> {
    pub(crate) backend: &'a Arc<dyn Backend>,
    /// Compared with what control pages say, because names of namespaces may have the same hash.
    pub(crate) namespace: &'a str,
    pub(crate) keep: Retention,
    /// How long somebody else's step is waited for.
    pub(crate) patience: Duration,
}

impl Cleanup<'_> {
    /// Looks at all `objects` that have the same stem and removes what nobody needs. Never touches what lives.
    ///
    /// `writer` is who is known to have the channel. Where the page's name was removed by hand there is no lock to tell
    /// whether its segments are still published into, and only a writer that is known to be dead has left them.
    pub(crate) fn clean(
        &self,
        names: &ObjectNames,
        objects: &[String],
        writer: Option<ProcessIdentity>,
    ) -> Result<CleanupOutcome, ObjectError> {
        if let Some(instance) = self.instance_in_order(names, objects) {
            return Ok(CleanupOutcome::InOrder(instance));
        }
        let page_name = names.object(Kind::Control);
        let has_page = objects.contains(&page_name);
        if !has_page && writer.is_some_and(|writer| writer.state() != ProcessState::Dead) {
            return Ok(CleanupOutcome::Kept);
        }
        let options = ClaimOptions {
            extent: Extent::full(control::BYTES),
            // Segments without a page: the gate is on the page, so one is made to pass it.
            create: !has_page,
            patience: self.patience,
        };
        let claim = match self.backend.claim(&page_name, options, &|page| is_abandoned(page)) {
            Ok(claim) => claim,
            Err(ObjectError::Claimed { .. } | ObjectError::NotFound { .. }) => {
                return Ok(CleanupOutcome::Kept);
            }
            Err(error) => return Err(error),
        };
        let leftovers = Leftovers { backend: self.backend, names, page: claim.memory(), objects };
        match leftovers.verdict(self.namespace, has_page, self.keep) {
            Verdict::LeaveAlone => Ok(CleanupOutcome::Kept),
            Verdict::Remove(reason) => leftovers.remove_all(&claim, reason),
            Verdict::KeepCurrent => leftovers.remove_orphans(),
        }
    }

    /// The instance of a channel where a look without the lock finds nothing to do, whether its writer lives or not.
    /// What changes meanwhile is looked at by the next cleaning.
    pub(super) fn instance_in_order(&self, names: &ObjectNames, objects: &[String]) -> Option<u64> {
        if self.keep != Retention::UntilReplaced {
            return None;
        }
        let page = self.backend.view(&names.object(Kind::Control)).ok()?;
        let whole = page.len() * WORD_BYTES == control::BYTES
            && ready::check(&page) == Readiness::Ready
            && ChannelState::load(&page) != ChannelState::Removed;
        let needed = needed(names, &page);
        let nothing_else =
            objects.len() == needed.len() && needed.iter().all(|object| objects.contains(object));
        (whole && nothing_else).then(|| page.load(control::INSTANCE))
    }
}

/// The names of a channel's objects, as its control page says: itself, the current segments, and the schema.
fn needed(names: &ObjectNames, page: &impl Memory) -> Vec<String> {
    let current = Side::BOTH.map(|side| Kind::Segment(side, Generations(page).current(side)));
    let schema = SchemaMark::read(page).is_some().then_some(Kind::Schema);
    let kinds = [Kind::Control].into_iter().chain(current).chain(schema);
    kinds.map(|kind| names.object(kind)).collect()
}

/// What is to be done with a channel whose writer is gone.
pub(super) enum Verdict {
    LeaveAlone,
    KeepCurrent,
    Remove(RemovalReason),
}

/// A channel that nobody writes, and the objects that its stem was found on before. Who changes it has claimed it; who
/// only says what would be done looks at its page.
pub(super) struct Leftovers<'a, M> {
    pub(super) backend: &'a Arc<dyn Backend>,
    pub(super) names: &'a ObjectNames,
    pub(super) page: &'a M,
    pub(super) objects: &'a [String],
}

impl<M: Memory> Leftovers<'_, M> {
    pub(super) fn verdict(&self, namespace: &str, had_page: bool, keep: Retention) -> Verdict {
        let page = self.page;
        match ready::check(page) {
            Readiness::NotReady if had_page => return Verdict::Remove(RemovalReason::HalfMade),
            Readiness::NotReady => return Verdict::Remove(RemovalReason::Orphaned),
            Readiness::OtherVersion(_) | Readiness::Foreign(_) => return Verdict::LeaveAlone,
            Readiness::Ready => {}
        }
        if ControlHeader::read(page).namespace != namespace {
            return Verdict::LeaveAlone;
        }
        let reason = match ChannelState::load(page) {
            ChannelState::Removed => return Verdict::Remove(RemovalReason::HalfRemoved),
            _ if self.lacks_a_segment() => return Verdict::Remove(RemovalReason::HalfRemoved),
            ChannelState::Lingering => RemovalReason::Lingered,
            ChannelState::Open => RemovalReason::Dead,
        };
        let expired = match keep {
            Retention::UntilReplaced => false,
            Retention::For(max_age) => self.age().is_some_and(|age| age >= max_age),
            Retention::Nothing => true,
        };
        if expired { Verdict::Remove(reason) } else { Verdict::KeepCurrent }
    }

    /// Whether a current segment has no name any more, so that nobody can begin to read the channel or go on with it.
    fn lacks_a_segment(&self) -> bool {
        Side::BOTH.into_iter().any(|side| {
            let generation = Generations(self.page).current(side);
            matches!(self.segments().view(side, generation), Err(ObjectError::NotFound { .. }))
        })
    }

    /// The objects of the stem that the page does not refer to.
    pub(super) fn orphans(&self) -> impl Iterator<Item = &String> {
        let needed = needed(self.names, self.page);
        self.objects.iter().filter(move |object| !needed.contains(object))
    }

    fn segments(&self) -> Segments {
        let instance = self.page.load(control::INSTANCE);
        Segments { backend: self.backend.clone(), names: self.names.clone(), instance }
    }

    pub(super) fn removed(&self, reason: RemovalReason) -> Removed {
        let page = self.page;
        let is_ready = ready::check(page) == Readiness::Ready;
        Removed {
            channel: is_ready.then(|| ControlHeader::read(page).channel),
            pid: read_identity(page).pid,
            age: self.age(),
            reason,
            objects: Vec::new(),
        }
    }

    /// Age of the last publication. Nobody writes: the slot is whole if its stamp says so.
    fn age(&self) -> Option<Duration> {
        let page = self.page;
        let publication = Publication::new(page.load(control::PUBLISHED))?;
        let side = publication.side();
        let ring = self.segments().view(side, Generations(page).current(side)).ok()?;
        ring.date_of(publication).and_then(NonZeroU64::new).map(clock::age)
    }
}

/// Changes: only for who has claimed the page.
impl Leftovers<'_, Words> {
    fn remove_all(
        &self,
        claim: &Box<dyn Claim>,
        reason: RemovalReason,
    ) -> Result<CleanupOutcome, ObjectError> {
        let mut removed = self.removed(reason);
        // Readers first. The page last: when its name is free, so are those of the segments, for the next writer.
        ChannelState::Removed.store(self.page);
        object::wake(self.page, control::PUBLISHED);
        let page = self.names.object(Kind::Control);
        for object in self.objects.iter().filter(|object| **object != page) {
            if remove_ours(self.backend, object)? {
                removed.objects.push(object.clone());
            }
        }
        destroy(claim, &self.segments())?;
        removed.objects.extend(self.objects.contains(&page).then_some(page));
        Ok(if removed.objects.is_empty() { CleanupOutcome::Kept } else { CleanupOutcome::Removed(removed) })
    }

    /// Removes the orphans of a channel that is kept.
    fn remove_orphans(&self) -> Result<CleanupOutcome, ObjectError> {
        let mut objects = Vec::new();
        for object in self.orphans() {
            if remove_ours(self.backend, object)? {
                objects.push(object.clone());
            }
        }
        match objects.is_empty() {
            true => Ok(CleanupOutcome::Kept),
            false => {
                Ok(CleanupOutcome::Removed(Removed { objects, ..self.removed(RemovalReason::Orphaned) }))
            }
        }
    }
}

/// Removes a claimed channel and tells attached readers.
pub(super) fn destroy(claim: &Box<dyn Claim>, segments: &Segments) -> Result<(), ObjectError> {
    let page = claim.memory();
    ChannelState::Removed.store(page);
    object::wake(page, control::PUBLISHED);
    for side in Side::BOTH {
        let generation = Generations(page).current(side);
        if (1..=ObjectNames::MAX_GENERATION).contains(&generation) {
            // The page stays if it fails, so that this can be repeated.
            remove_ours(&segments.backend, &segments.name(side, generation))?;
        }
        let _ = segments.remove_around(side, generation);
    }
    // Whatever the page says: who was killed before it was ready has said nothing.
    remove_ours(&segments.backend, &segments.schema_name())?;
    claim.remove()
}

/// Removes an object of a claimed channel, and says whether there was one; what is not ours is not for us to remove.
fn remove_ours(backend: &Arc<dyn Backend>, object: &str) -> Result<bool, ObjectError> {
    match backend.remove_leftover(object) {
        Err(ObjectError::Foreign { .. } | ObjectError::OtherOwner { .. }) => Ok(false),
        removed => removed,
    }
}

/// Removes a channel that nobody writes. The instance that was removed; `None` if there is no such channel.
pub(crate) fn remove(backend: &Arc<dyn Backend>, name: &ChannelName) -> Result<Option<u64>, RemoveError> {
    let page_name = name.objects.object(Kind::Control);
    let object = |source| RemoveError::Object { channel: name.channel.clone(), source };
    let options = ClaimOptions::existing(Extent::full(control::BYTES));
    let claim = match backend.claim(&page_name, options, &|page| is_abandoned(page)) {
        Ok(claim) => claim,
        Err(ObjectError::NotFound { .. }) => return Ok(None),
        // A page whose creator died before it had memory, and for which there still is none: claiming has removed it,
        // and nothing was made before it.
        Err(ObjectError::NoSpace { .. }) => return Ok(Some(0)),
        Err(ObjectError::Claimed { .. }) => {
            let pid = owner_pid(backend, &page_name);
            return Err(RemoveError::AlreadyOwned { channel: name.channel.clone(), pid });
        }
        Err(source) => return Err(object(source)),
    };
    let header = ControlHeader::read(claim.memory());
    match ready::check(claim.memory()) {
        Readiness::NotReady => {}
        Readiness::Ready if header.collides_with(name).is_some() => return Ok(None),
        Readiness::Ready => {}
        Readiness::Foreign(_) | Readiness::OtherVersion(_) => {
            let reason = "it is not a control page of this version".into();
            return Err(object(ObjectError::Foreign { object: page_name, reason }));
        }
    }
    let instance = header.instance;
    let segments = Segments { backend: backend.clone(), names: name.objects.clone(), instance };
    destroy(&claim, &segments).map_err(object)?;
    Ok(Some(instance))
}

/// The pid that the claimed page of another writer names; 0 if it names none yet.
pub(super) fn owner_pid(backend: &Arc<dyn Backend>, page_name: &str) -> u64 {
    match backend.view(page_name) {
        Ok(page) if page.len() > control::PID => page.load(control::PID),
        _ => 0,
    }
}
