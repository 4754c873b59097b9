//! Removing channels that no process writes: one by name, or the leftovers of dead writers.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use super::control_page::{ControlPage, PageProblem, is_abandoned, owner_of};
use super::segments::Segments;
use super::{ChannelName, RemoveError};
use crate::clock;
use crate::layout::{Kind, ObjectNames, PAGE_BYTES, Publication, Side, control, segment};
use crate::liveness::{ProcessIdentity, ProcessState};
use crate::memory::{Memory, SharedWords, Words};
use crate::object::{self, Backend, Claim, ClaimOptions, ObjectError, Size};
use crate::seqlock::{ChannelState, Generations};

/// How long a cleanup keeps the last state of a writer that has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retention {
    /// Keep it until another writer takes the channel over, or it is removed by name. The default.
    /// A state that another version of the layout left is removed at once: no reader of this
    /// version can read it.
    #[default]
    UntilReplaced,
    /// Keep it until the last publication is this old. Channels without timestamps, or without a
    /// publication, are kept.
    For(Duration),
    /// Remove it at once. Don't use it while a worker is about to restart: its readers would find
    /// the channel closed, and its numbers would begin at 1 again.
    Nothing,
}

/// Why a cleanup removed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RemovalReason {
    /// The writer died, and the retention does not keep its state; or the owner of a block died.
    Dead,
    /// The writer's process exited without closing the channel, and the retention does not keep its
    /// state.
    Exited,
    /// The writer closed the channel and left the last state, which the retention does not keep.
    Lingered,
    /// The creator died before the channel or block was whole; or it has only just begun, and then
    /// starts again.
    HalfMade,
    /// The process that removed the channel or block died during the removal; or a part of the
    /// channel was removed by hand.
    HalfRemoved,
    /// No channel refers to the objects, or the header of a block was spoiled.
    Orphaned,
    /// Another version of the layout made it, and no process writes it: this version can't read it.
    OtherVersion,
}

/// Objects of one channel, a block, or objects without a channel, that a cleanup removed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Removed {
    /// The channel's name, if it still had one.
    pub channel: Option<String>,
    /// The block's name, if it is a [block](crate::block) that still had one.
    pub block: Option<String>,
    /// Process id of the last writer, or of the block's owner, in its own PID namespace; 0 if it is
    /// not known.
    pub pid: u64,
    /// Age of the last publication, if there was one and it has a timestamp.
    pub age: Option<Duration>,
    /// Why it was removed.
    pub reason: RemovalReason,
    /// The names of the objects.
    pub objects: Vec<String>,
}

impl Removed {
    pub(crate) fn without_channel(reason: RemovalReason, objects: Vec<String>) -> Removed {
        Removed { channel: None, block: None, pid: 0, age: None, reason, objects }
    }
}

/// The objects that one channel's names have, as of one listing.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) objects: Vec<String>,
    /// The channel's writer according to the registry.
    pub(crate) writer: Option<ProcessIdentity>,
}

/// Outcome of cleaning up one channel's objects.
pub(crate) enum CleanupOutcome {
    /// Nothing to do: this instance is whole, and there is no other object. Whether its writer is
    /// alive was not checked.
    InOrder(u64),
    /// This was removed. Nothing if the channel is in use, kept, or not ours.
    Removed(Option<Removed>),
}

/// Removes the objects that dead writers left in a namespace.
pub(crate) struct Cleanup<'a> {
    pub(crate) backend: &'a Arc<dyn Backend>,
    /// Compared with the name in control pages, because names of namespaces may have the same hash.
    pub(crate) namespace: &'a str,
    pub(crate) retention: Retention,
    /// If not zero, states that were published within this time stay, whatever the retention is,
    /// and so do those that their writers left on purpose. A state without a timestamp has no age.
    pub(crate) min_age: Duration,
    /// How long to wait for another process's step.
    pub(crate) patience: Duration,
}

/// Decision about a channel whose writer has ended.
enum Verdict {
    LeaveAlone,
    KeepCurrent,
    Remove(RemovalReason),
}

impl Cleanup<'_> {
    /// Removes those of one channel's objects that no process needs; never anything in use.
    ///
    /// If the control page has been unlinked there is no lock to query, so the segments are removed
    /// only if the writer in the registry is known to be dead.
    pub(crate) fn clean(&self, names: &ObjectNames, found: &Found) -> Result<CleanupOutcome, ObjectError> {
        match self.instance_in_order(names, &found.objects) {
            Some(instance) => Ok(CleanupOutcome::InOrder(instance)),
            None => self.clean_locked(names, found).map(CleanupOutcome::Removed),
        }
    }

    fn clean_locked(&self, names: &ObjectNames, found: &Found) -> Result<Option<Removed>, ObjectError> {
        let page_name = names.object(Kind::Control);
        let has_page = found.objects.contains(&page_name);
        if !has_page && found.writer.is_some_and(|writer| writer.state() != ProcessState::Dead) {
            return Ok(None);
        }
        let options = ClaimOptions {
            size: Size::AtLeast(PAGE_BYTES),
            // Segments without a page: the gate is on the page, so one is created to pass it.
            create: !has_page,
            patience: self.patience,
        };
        let claim = match self.backend.claim(&page_name, options, &|page| is_abandoned(page)) {
            Ok(claim) => claim,
            Err(ObjectError::Claimed { .. } | ObjectError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let leftovers = Leftovers::examine(self.backend, names, claim.memory().clone(), &found.objects)?;
        match leftovers.verdict(self, has_page) {
            Verdict::LeaveAlone => Ok(None),
            Verdict::Remove(reason) => leftovers.remove_all(claim.as_ref(), reason),
            Verdict::KeepCurrent => leftovers.with_orphans(|object| remove_ours(self.backend, object)),
        }
    }

    /// The objects that [`Cleanup::clean`] would remove. Stores nothing and only queries the lock,
    /// so a channel that is being changed may be reported in an intermediate state.
    pub(crate) fn dry_run(&self, names: &ObjectNames, found: &Found) -> Result<Option<Removed>, ObjectError> {
        let Found { objects, writer } = found;
        if self.instance_in_order(names, objects).is_some() {
            return Ok(None);
        }
        let page_name = names.object(Kind::Control);
        if !objects.contains(&page_name) {
            let is_left = writer.is_none_or(|writer| writer.state() == ProcessState::Dead);
            return if is_left { self.without_page(RemovalReason::Orphaned, found) } else { Ok(None) };
        }
        let page = match self.backend.view(&page_name) {
            Ok(page) => page,
            Err(ObjectError::NotFound { .. }) => return Ok(None),
            // The creator died before the page had memory, or is at work at this moment: the two
            // look alike.
            Err(ObjectError::Unfinished { .. }) => return self.without_page(RemovalReason::HalfMade, found),
            // A claim would set other permissions, and then read the page.
            Err(error @ ObjectError::PermissionDenied { .. }) if self.backend.owns(&page_name)? => {
                return self.behind_permissions(error, found);
            }
            Err(error) => return Err(error),
        };
        let leftovers = Leftovers::examine(self.backend, names, page.clone(), objects)?;
        let is_free = self.backend.is_claimed(&page_name, &page)? == Some(false);
        if !is_free && !is_abandoned(&page) {
            return Ok(None);
        }
        match leftovers.verdict(self, true) {
            Verdict::LeaveAlone => Ok(None),
            Verdict::Remove(reason) => {
                with_objects(leftovers.removed(reason), objects.iter(), |object| self.backend.owns(object))
            }
            Verdict::KeepCurrent => leftovers.with_orphans(|object| self.backend.owns(object)),
        }
    }

    /// The instance of a channel for which a look without the lock finds nothing to do, whether its
    /// writer is alive or not. The next cleanup finds what changes in the meantime.
    fn instance_in_order(&self, names: &ObjectNames, objects: &[String]) -> Option<u64> {
        if self.retention != Retention::UntilReplaced {
            return None;
        }
        let page = ControlPage::validate(self.backend.view(&names.object(Kind::Control)).ok()?).ok()?;
        let needed = needed(names, &page);
        let is_complete =
            objects.len() == needed.len() && needed.iter().all(|object| objects.contains(object));
        (page.state() != ChannelState::Removed && is_complete).then(|| page.instance())
    }

    /// The objects to remove if the page is our own and may not be opened: its creator died under a
    /// umask that forbids even the owner, before it set other permissions. A creator that is in the
    /// registry got further, and the permissions were changed since.
    fn behind_permissions(&self, error: ObjectError, found: &Found) -> Result<Option<Removed>, ObjectError> {
        match found.writer.map(ProcessIdentity::state) {
            None => self.without_page(RemovalReason::HalfMade, found),
            Some(ProcessState::Dead) => Err(error),
            Some(_) => Ok(None),
        }
    }

    /// Objects that no page claims.
    fn without_page(&self, reason: RemovalReason, found: &Found) -> Result<Option<Removed>, ObjectError> {
        let removed = Removed::without_channel(reason, Vec::new());
        with_objects(removed, found.objects.iter(), |object| self.backend.owns(object))
    }
}

/// `removed` with those of the objects for which `is_removed` returns `true`; `None` if there is
/// none.
fn with_objects<'a>(
    mut removed: Removed,
    objects: impl Iterator<Item = &'a String>,
    is_removed: impl Fn(&str) -> Result<bool, ObjectError>,
) -> Result<Option<Removed>, ObjectError> {
    for object in objects {
        if is_removed(object)? {
            removed.objects.push(object.clone());
        }
    }
    Ok(Some(removed).filter(|removed| !removed.objects.is_empty()))
}

/// The names of a channel's objects according to its control page: its own, and those of the
/// current segments that have objects of their own.
fn needed(names: &ObjectNames, page: &ControlPage<impl Memory>) -> Vec<String> {
    let current = Side::BOTH.map(|side| (side, Generations(page).current(side)));
    let grown = current.into_iter().filter(|(_, generation)| *generation != segment::FIRST);
    let kinds = grown.map(|(side, generation)| Kind::Segment(side, generation));
    [Kind::Control].into_iter().chain(kinds).map(|kind| names.object(kind)).collect()
}

/// A channel that no process writes, and its objects at an earlier listing. A cleanup has claimed
/// the page; a dry run only maps it.
struct Leftovers<'a, const W: bool> {
    backend: &'a Arc<dyn Backend>,
    names: &'a ObjectNames,
    memory: SharedWords<W>,
    page: Result<ControlPage<SharedWords<W>>, PageProblem>,
    objects: &'a [String],
}

impl<'a, const W: bool> Leftovers<'a, W> {
    /// An error if the page has a size that no page of this version has.
    fn examine(
        backend: &'a Arc<dyn Backend>,
        names: &'a ObjectNames,
        memory: SharedWords<W>,
        objects: &'a [String],
    ) -> Result<Leftovers<'a, W>, ObjectError> {
        match ControlPage::validate(memory.clone()) {
            Err(problem @ PageProblem::WrongSize(_)) => {
                Err(problem.foreign(backend.path(&names.object(Kind::Control))))
            }
            page => Ok(Leftovers { backend, names, memory, page, objects }),
        }
    }

    fn verdict(&self, cleanup: &Cleanup<'_>, had_page: bool) -> Verdict {
        let page = match &self.page {
            Ok(page) => page,
            Err(PageProblem::NotReady) if had_page => return Verdict::Remove(RemovalReason::HalfMade),
            Err(PageProblem::NotReady) => return Verdict::Remove(RemovalReason::Orphaned),
            // The page's texts may be anywhere. Its name, which is ours, has a hash of the
            // namespace.
            Err(PageProblem::OtherVersion(_)) => return Verdict::Remove(RemovalReason::OtherVersion),
            Err(PageProblem::Foreign(_) | PageProblem::WrongSize(_)) => return Verdict::LeaveAlone,
        };
        if page.header().namespace != cleanup.namespace {
            return Verdict::LeaveAlone;
        }
        let reason = match page.state() {
            ChannelState::Removed => return Verdict::Remove(RemovalReason::HalfRemoved),
            _ if self.lacks_a_segment(page) => return Verdict::Remove(RemovalReason::HalfRemoved),
            ChannelState::Lingering if !cleanup.min_age.is_zero() => return Verdict::KeepCurrent,
            ChannelState::Lingering => RemovalReason::Lingered,
            // Of a mirrored channel, that is the end of the origin's writer.
            ChannelState::Open if page.ended_ago().is_some() && page.header().mirrored.is_none() => {
                RemovalReason::Exited
            }
            ChannelState::Open => RemovalReason::Dead,
        };
        let age = self.age(page);
        let is_expired = age.is_none_or(|age| age >= cleanup.min_age)
            && match cleanup.retention {
                Retention::UntilReplaced => false,
                Retention::For(max_age) => age.is_some_and(|age| age >= max_age),
                Retention::Nothing => true,
            };
        if is_expired { Verdict::Remove(reason) } else { Verdict::KeepCurrent }
    }

    /// Whether a current segment has no name any more, so that no process can attach to the channel
    /// or resume it.
    fn lacks_a_segment(&self, page: &ControlPage<SharedWords<W>>) -> bool {
        Side::BOTH.into_iter().any(|side| {
            let generation = Generations(page).current(side);
            generation != segment::FIRST
                && matches!(self.segments().view(side, generation), Err(ObjectError::NotFound { .. }))
        })
    }

    /// Those of the objects to which the page does not refer that `is_removed` removes.
    fn with_orphans(
        &self,
        is_removed: impl Fn(&str) -> Result<bool, ObjectError>,
    ) -> Result<Option<Removed>, ObjectError> {
        let needed = self.page.as_ref().map_or_else(|_| Vec::new(), |page| needed(self.names, page));
        let orphans = self.objects.iter().filter(|object| !needed.contains(object));
        with_objects(self.removed(RemovalReason::Orphaned), orphans, is_removed)
    }

    fn segments(&self) -> Segments {
        let (instance, spares) = (control::INSTANCE, control::PINS);
        let spares = usize::try_from(self.memory.load(spares)).unwrap_or(0);
        Segments::new(self.backend, self.names, self.memory.load(instance), spares)
    }

    fn removed(&self, reason: RemovalReason) -> Removed {
        let page = self.page.as_ref().ok();
        let is_readable = reason != RemovalReason::OtherVersion;
        Removed {
            channel: page.map(|page| page.header().channel),
            block: None,
            pid: if is_readable { owner_of(&self.memory).pid } else { 0 },
            age: page.and_then(|page| self.age(page)),
            reason,
            objects: Vec::new(),
        }
    }

    /// Age of the last publication. No process writes: the slot is whole if its stamp says so.
    fn age(&self, page: &ControlPage<SharedWords<W>>) -> Option<Duration> {
        let publication = Publication::new(page.publication())?;
        let side = publication.side();
        let header = match Generations(page).current(side) {
            segment::FIRST => page.first_segment(side)?.ring.holds(publication)?.1,
            generation => self.segments().view(side, generation).ok()?.holds(publication)?.1,
        };
        NonZeroU64::new(header.time).map(clock::age)
    }
}

/// Changes, by the process that has claimed the page.
impl Leftovers<'_, true> {
    fn remove_all(&self, claim: &dyn Claim, reason: RemovalReason) -> Result<Option<Removed>, ObjectError> {
        let mut removed = self.removed(reason);
        let is_readable = reason != RemovalReason::OtherVersion;
        if is_readable {
            end_for_readers(claim.memory());
        }
        let page = self.names.object(Kind::Control);
        for object in self.objects.iter().filter(|object| **object != page) {
            if remove_ours(self.backend, object)? {
                removed.objects.push(object.clone());
            }
        }
        match is_readable {
            true => unlink_all(claim, &self.segments())?,
            false => claim.remove()?,
        }
        removed.objects.extend(self.objects.contains(&page).then_some(page));
        Ok(Some(removed).filter(|removed| !removed.objects.is_empty()))
    }
}

/// Marks the channel as removed and wakes its waiters, before any of its objects is unlinked.
fn end_for_readers(page: &Words) {
    ChannelState::Removed.store(page);
    object::wake(page, control::PUBLISHED);
}

/// Removes a claimed channel.
pub(super) fn destroy(claim: &dyn Claim, segments: &Segments) -> Result<(), ObjectError> {
    end_for_readers(claim.memory());
    unlink_all(claim, segments)
}

/// Unlinks the objects of a claimed channel that has ended. The page is unlinked last: when its
/// name is free, so are those of the segments, for the next writer.
fn unlink_all(claim: &dyn Claim, segments: &Segments) -> Result<(), ObjectError> {
    for side in Side::BOTH {
        let generation = Generations(claim.memory()).current(side);
        if (segment::FIRST + 1..=ObjectNames::MAX_GENERATION).contains(&generation) {
            // The page stays if it fails, so that this can be repeated.
            remove_ours(&segments.backend, &segments.name(side, generation))?;
        }
        let _ = segments.remove_around(side, generation);
    }
    claim.remove()
}

/// Removes an object of a claimed channel, and returns whether there was one. Objects that are not
/// ours stay.
fn remove_ours(backend: &Arc<dyn Backend>, object: &str) -> Result<bool, ObjectError> {
    match backend.remove_leftover(object) {
        Err(ObjectError::Foreign { .. } | ObjectError::OtherOwner { .. }) => Ok(false),
        removed => removed,
    }
}

/// Removes a channel that no process writes. Returns the removed instance; `None` if there is no
/// such channel.
pub(crate) fn remove(backend: &Arc<dyn Backend>, name: &ChannelName) -> Result<Option<u64>, RemoveError> {
    let page_name = name.objects.object(Kind::Control);
    let failed = |source| RemoveError::Object { channel: name.channel.clone(), source };
    let options = ClaimOptions::existing(Size::AtLeast(PAGE_BYTES));
    let claim = match backend.claim(&page_name, options, &|page| is_abandoned(page)) {
        Ok(claim) => claim,
        Err(ObjectError::NotFound { .. }) => return Ok(None),
        // The creator died before the page had memory, and there still is none. The claim has
        // removed the page, and no other object was made before it.
        Err(ObjectError::NoSpace { .. }) => return Ok(Some(0)),
        // Another channel, whose name has the same hash.
        Err(ObjectError::Claimed { .. }) if collision(backend, name).is_some() => return Ok(None),
        Err(ObjectError::Claimed { .. }) => {
            let pid = owner_pid(backend, &page_name);
            return Err(RemoveError::AlreadyOwned { channel: name.channel.clone(), pid });
        }
        Err(source) => return Err(failed(source)),
    };
    match ControlPage::validate(claim.memory().clone()) {
        Ok(page) if page.header().collides_with(name).is_some() => return Ok(None),
        Ok(_) | Err(PageProblem::NotReady) => {}
        Err(PageProblem::OtherVersion(_)) => {
            let objects = backend.list(name.objects.stem()).map_err(failed)?;
            let leftovers = Leftovers::examine(backend, &name.objects, claim.memory().clone(), &objects);
            let reason = RemovalReason::OtherVersion;
            leftovers.and_then(|leftovers| leftovers.remove_all(claim.as_ref(), reason)).map_err(failed)?;
            return Ok(Some(0));
        }
        Err(problem) => return Err(failed(problem.foreign(backend.path(&page_name)))),
    }
    let instance = claim.memory().load(control::INSTANCE);
    destroy(claim.as_ref(), &Segments::new(backend, &name.objects, instance, 0)).map_err(failed)?;
    Ok(Some(instance))
}

/// The full name of another channel that has the objects of channel `name`, if their hashes
/// collide.
pub(super) fn collision(backend: &Arc<dyn Backend>, name: &ChannelName) -> Option<String> {
    let page = ControlPage::validate(backend.view(&name.objects.object(Kind::Control)).ok()?).ok()?;
    page.header().collides_with(name)
}

/// Process id of the owner that a page names, 0 if it can't be read.
pub(super) fn owner_pid(backend: &Arc<dyn Backend>, page_name: &str) -> u64 {
    match backend.view(page_name) {
        // A page that its creator has not finished has its process id already.
        Ok(page) if !matches!(ControlPage::validate(page.clone()), Err(PageProblem::OtherVersion(_))) => {
            owner_of(&page).pid
        }
        _ => 0,
    }
}
