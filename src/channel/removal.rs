//! Removing channels that nobody writes: one by name, or what is left of one that only its objects tell of.

use std::num::NonZeroU64;
use std::time::Duration;

use super::description::{Description, is_abandoned, read_identity};
use super::segments::Segments;
use super::{ChannelName, RemoveError};
use crate::clock;
use crate::layout::segment::slot;
use crate::layout::{Kind, ObjectNames, Publication, Side, control};
use crate::memory::Memory;
use crate::segment::{Backend, Claim, Extent, ObjectError};
use crate::seqlock::ready::{self, Readiness};
use crate::seqlock::{Ending, Generations};

/// How long the last state of a writer that is gone is kept by who cleans up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Until another writer takes the channel over, or somebody removes it by name. The default.
    #[default]
    UntilReplaced,
    /// Until the last publication is this old. Channels that don't date their publications are kept.
    For(Duration),
    /// Not at all.
    Nothing,
}

/// Why something was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// Its writer died, and its state is not to be kept.
    Dead,
    /// Its writer closed it and left the last state, which is not to be kept.
    Lingered,
    /// Its creator died before it was whole.
    HalfMade,
    /// Its writer, or who removed it, died while removing it.
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
    pub cause: Cause,
    /// The names of the objects.
    pub objects: Vec<String>,
}

/// What remains to be said of the objects of one stem.
pub(crate) enum Tidied {
    /// Nothing to do: it is in use, or to be kept, or none of ours.
    Kept,
    /// This was removed.
    Removed(Removed),
}

/// Looks at all `objects` that have the same stem and removes what nobody needs. Never touches what lives.
///
/// `namespace` is compared with what the control page says, because names of namespaces may have the same hash.
pub(crate) fn tidy<B: Backend>(
    backend: &B,
    namespace: &str,
    names: &ObjectNames,
    objects: &[String],
    keep: Keep,
) -> Result<Tidied, ObjectError> {
    let page_name = names.object(Kind::Control);
    let has_page = objects.contains(&page_name);
    let claim = match has_page {
        true => backend.claim_existing(&page_name, Extent::full(control::BYTES), is_abandoned),
        // Segments without a page: the gate is on the page, so one is made to pass it.
        false => backend.claim(&page_name, Extent::full(control::BYTES), 0o600, is_abandoned),
    };
    let claim = match claim {
        Ok(claim) => claim,
        Err(ObjectError::Claimed { .. } | ObjectError::NotFound { .. }) => return Ok(Tidied::Kept),
        Err(error) => return Err(error),
    };
    let remains = Remains { backend, names, claim: &claim, objects };
    match remains.verdict(namespace, has_page, keep) {
        Verdict::LeaveAlone => Ok(Tidied::Kept),
        Verdict::Remove(cause) => remains.remove_all(cause),
        Verdict::KeepInForce => remains.remove_orphans(),
    }
}

/// What is to be done with a channel whose writer is gone.
enum Verdict {
    LeaveAlone,
    KeepInForce,
    Remove(Cause),
}

/// A claimed channel, and the objects that its stem was found on before.
struct Remains<'a, B: Backend> {
    backend: &'a B,
    names: &'a ObjectNames,
    claim: &'a B::Claim,
    objects: &'a [String],
}

impl<B: Backend> Remains<'_, B> {
    fn verdict(&self, namespace: &str, had_page: bool, keep: Keep) -> Verdict {
        let page = self.claim.memory();
        match ready::check(page) {
            Readiness::NotReady if had_page => return Verdict::Remove(Cause::HalfMade),
            Readiness::NotReady => return Verdict::Remove(Cause::Orphaned),
            Readiness::OtherVersion(_) | Readiness::Foreign(_) => return Verdict::LeaveAlone,
            Readiness::Ready => {}
        }
        if Description::read(page).namespace != namespace {
            return Verdict::LeaveAlone;
        }
        let cause = match Ending::load(page) {
            Ending::Removed => return Verdict::Remove(Cause::HalfRemoved),
            Ending::Lingering => Cause::Lingered,
            Ending::Open => Cause::Dead,
        };
        let expired = match keep {
            Keep::UntilReplaced => false,
            Keep::For(longest) => self.age().is_some_and(|age| age >= longest),
            Keep::Nothing => true,
        };
        if expired { Verdict::Remove(cause) } else { Verdict::KeepInForce }
    }

    fn remove_all(&self, cause: Cause) -> Result<Tidied, ObjectError> {
        let removed = self.removed(cause);
        let segments = self.segments();
        destroy(self.claim, &segments)?;
        for object in self.objects.iter().filter(|object| **object != self.names.object(Kind::Control)) {
            self.backend.remove_leftover(object)?;
        }
        Ok(Tidied::Removed(Removed { objects: self.objects.to_vec(), ..removed }))
    }

    /// Removes the segments of the stem that are not in force.
    fn remove_orphans(&self) -> Result<Tidied, ObjectError> {
        let page = self.claim.memory();
        let in_force = Side::BOTH.map(|side| self.segments().name(side, Generations(page).in_force(side)));
        let mut objects = Vec::new();
        for object in self.objects {
            let needed = *object == self.names.object(Kind::Control) || in_force.contains(object);
            if !needed && self.backend.remove_leftover(object)? {
                objects.push(object.clone());
            }
        }
        match objects.is_empty() {
            true => Ok(Tidied::Kept),
            false => Ok(Tidied::Removed(Removed { objects, ..self.removed(Cause::Orphaned) })),
        }
    }

    fn segments(&self) -> Segments<B> {
        let instance = self.claim.memory().load(control::INSTANCE);
        Segments { backend: self.backend.clone(), names: self.names.clone(), instance }
    }

    fn removed(&self, cause: Cause) -> Removed {
        let page = self.claim.memory();
        let is_ready = ready::check(page) == Readiness::Ready;
        Removed {
            channel: is_ready.then(|| Description::read(page).channel),
            pid: read_identity(page).pid,
            age: self.age(),
            cause,
            objects: Vec::new(),
        }
    }

    /// Age of the last publication. Nobody writes: the slot is whole if its stamp says so.
    fn age(&self) -> Option<Duration> {
        let page = self.claim.memory();
        let publication = Publication::new(page.load(control::PUBLISHED))?;
        let side = publication.side();
        let ring = self.segments().view(side, Generations(page).in_force(side)).ok()?;
        let slot = ring.geometry().slot(publication.turn());
        let whole = ring.memory().load(slot + slot::STAMP) == publication.stamp_whole();
        let time = ring.memory().load(slot + slot::TIME);
        NonZeroU64::new(time).filter(|_| whole).map(clock::age)
    }
}

/// Removes a claimed channel and tells attached readers.
pub(super) fn destroy<B: Backend>(claim: &B::Claim, segments: &Segments<B>) -> Result<(), ObjectError> {
    let page = claim.memory();
    Ending::Removed.store(page);
    for side in Side::BOTH {
        let generation = Generations(page).in_force(side);
        if (1..=ObjectNames::MOST_GENERATION).contains(&generation) {
            match segments.backend.remove_leftover(&segments.name(side, generation)) {
                // What is not ours is not for us to remove.
                Ok(_) | Err(ObjectError::Foreign { .. } | ObjectError::OtherOwner { .. }) => {}
                // The page stays, so that this can be repeated.
                Err(error) => return Err(error),
            }
        }
        let _ = segments.remove_around(side, generation);
    }
    claim.remove()
}

/// Removes a channel that nobody writes. The instance that was removed; `None` if there is no such channel.
pub(crate) fn remove<B: Backend>(backend: &B, name: &ChannelName) -> Result<Option<u64>, RemoveError> {
    let page_name = name.objects.object(Kind::Control);
    let object = |source| RemoveError::Object { channel: name.channel.clone(), source };
    let claim = match backend.claim_existing(&page_name, Extent::full(control::BYTES), is_abandoned) {
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
    let description = Description::read(claim.memory());
    match ready::check(claim.memory()) {
        Readiness::NotReady => {}
        Readiness::Ready if description.collides_with(name).is_some() => return Ok(None),
        Readiness::Ready => {}
        Readiness::Foreign(_) | Readiness::OtherVersion(_) => {
            let reason = "it is not a control page of this version".into();
            return Err(object(ObjectError::Foreign { object: page_name, reason }));
        }
    }
    let instance = description.instance;
    let segments = Segments { backend: backend.clone(), names: name.objects.clone(), instance };
    destroy(&claim, &segments).map_err(object)?;
    Ok(Some(instance))
}

/// The pid that the claimed page of another writer names; 0 if it names none yet.
pub(super) fn owner_pid<B: Backend>(backend: &B, page_name: &str) -> u64 {
    match backend.view(page_name) {
        Ok(page) if page.len() > control::PID => page.load(control::PID),
        _ => 0,
    }
}
