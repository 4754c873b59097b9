//! What tidying would do, found out without doing it.

use super::header::is_abandoned;
use super::removal::{Cleanup, Leftovers, RemovalReason, Removed, Verdict};
use crate::layout::{Kind, ObjectNames, WORD_BYTES, control};
use crate::liveness::{ProcessIdentity, ProcessState};
use crate::memory::Memory;
use crate::object::ObjectError;

impl Cleanup<'_> {
    /// What [`Cleanup::clean`] would remove. Stores nothing and takes no lock: whose channel it is, the lock is only asked.
    /// So what somebody is just changing may be told as it is between two of his steps.
    pub(crate) fn dry_run(
        &self,
        names: &ObjectNames,
        objects: &[String],
        writer: Option<ProcessIdentity>,
    ) -> Result<Option<Removed>, ObjectError> {
        if self.instance_in_order(names, objects).is_some() {
            return Ok(None);
        }
        let page_name = names.object(Kind::Control);
        if !objects.contains(&page_name) {
            let is_left = writer.is_none_or(|writer| writer.state() == ProcessState::Dead);
            return if is_left { self.without_page(RemovalReason::Orphaned, objects) } else { Ok(None) };
        }
        let page = match self.backend.view(&page_name) {
            Ok(page) => page,
            Err(ObjectError::NotFound { .. }) => return Ok(None),
            // Its creator died before the page had memory; or is there at this moment, which can't be told apart.
            Err(ObjectError::Unfinished { .. }) => {
                return self.without_page(RemovalReason::HalfMade, objects);
            }
            // A claim would give it other permissions, and then see what stands in it.
            Err(error @ ObjectError::PermissionDenied { .. }) if self.is_ours(&page_name)? => {
                return self.behind_permissions(error, objects, writer);
            }
            Err(error) => return Err(error),
        };
        let bytes = page.len() * WORD_BYTES;
        if bytes != control::BYTES {
            // As a claim refuses it.
            let reason = format!("it has {bytes} bytes instead of {}", control::BYTES);
            return Err(ObjectError::Foreign { object: page_name, reason });
        }
        let is_free = self.backend.is_claimed(&page_name, &page)? == Some(false);
        if !is_free && !is_abandoned(&page) {
            return Ok(None);
        }
        let leftovers = Leftovers { backend: self.backend, names, page: &page, objects };
        match leftovers.verdict(self.namespace, true, self.keep) {
            Verdict::LeaveAlone => Ok(None),
            Verdict::Remove(reason) => self.removable(leftovers.removed(reason), objects.iter()),
            Verdict::KeepCurrent => {
                self.removable(leftovers.removed(RemovalReason::Orphaned), leftovers.orphans())
            }
        }
    }

    /// What is left of a page of our own that we may not open: made under a umask that forbids even us, by a creator that
    /// died before it gave it others. Whoever is in the registry came further, and somebody has changed them since.
    fn behind_permissions(
        &self,
        error: ObjectError,
        objects: &[String],
        writer: Option<ProcessIdentity>,
    ) -> Result<Option<Removed>, ObjectError> {
        match writer.map(ProcessIdentity::state) {
            None => self.without_page(RemovalReason::HalfMade, objects),
            Some(ProcessState::Dead) => Err(error),
            Some(_) => Ok(None),
        }
    }

    /// Objects of which no page says to whom they belong.
    fn without_page(
        &self,
        reason: RemovalReason,
        objects: &[String],
    ) -> Result<Option<Removed>, ObjectError> {
        let nothing = Removed { channel: None, pid: 0, age: None, reason, objects: Vec::new() };
        self.removable(nothing, objects.iter())
    }

    /// `removed` with those of the objects that would be removed; `None` if there is none.
    fn removable<'a>(
        &self,
        removed: Removed,
        objects: impl Iterator<Item = &'a String>,
    ) -> Result<Option<Removed>, ObjectError> {
        let mut ours = Vec::new();
        for object in objects {
            if self.is_ours(object)? {
                ours.push(object.clone());
            }
        }
        Ok((!ours.is_empty()).then_some(Removed { objects: ours, ..removed }))
    }

    /// Whether there is such an object, and it is one that we may remove.
    fn is_ours(&self, object: &str) -> Result<bool, ObjectError> {
        match self.backend.status(object) {
            Ok(status) => Ok(status.is_ours()),
            Err(ObjectError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
