//! What tidying would do, found out without doing it.

use super::description::is_abandoned;
use super::removal::{Cause, Remains, Removed, Tidying, Verdict};
use crate::layout::{Kind, ObjectNames};
use crate::liveness::{Fate, ProcessIdentity};
use crate::segment::{Backend, ObjectError};

impl<B: Backend> Tidying<'_, B> {
    /// What [`Tidying::tidy`] would remove. Stores nothing and takes no lock: whose channel it is, the lock is only asked.
    /// So what somebody is just changing may be told as it is between two of his steps.
    pub(crate) fn foresee(
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
            let is_left = writer.is_none_or(|writer| writer.fate() == Fate::Dead);
            return if is_left { self.without_page(Cause::Orphaned, objects) } else { Ok(None) };
        }
        let page = match self.backend.view(&page_name) {
            Ok(page) => page,
            Err(ObjectError::NotFound { .. }) => return Ok(None),
            // Its creator died before the page had memory; or is there at this moment, which can't be told apart.
            Err(ObjectError::Unfinished { .. }) => return self.without_page(Cause::HalfMade, objects),
            Err(error) => return Err(error),
        };
        let is_free = self.backend.is_claimed(&page_name, &page)? == Some(false);
        if !is_free && !is_abandoned(&page) {
            return Ok(None);
        }
        let remains = Remains { backend: self.backend, names, page: &page, objects };
        match remains.verdict(self.namespace, true, self.keep) {
            Verdict::LeaveAlone => Ok(None),
            Verdict::Remove(cause) => self.removable(remains.removed(cause), objects.iter()),
            Verdict::KeepInForce => self.removable(remains.removed(Cause::Orphaned), remains.orphans()),
        }
    }

    /// Objects of which no page says to whom they belong.
    fn without_page(&self, cause: Cause, objects: &[String]) -> Result<Option<Removed>, ObjectError> {
        let nothing = Removed { channel: None, pid: 0, age: None, cause, objects: Vec::new() };
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
            match self.backend.status(object) {
                Ok(status) if status.is_ours() => ours.push(object.clone()),
                Ok(_) | Err(ObjectError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok((!ours.is_empty()).then_some(Removed { objects: ours, ..removed }))
    }
}
