//! A backend whose calls a test can accompany by steps of its own, or let fail.

use std::fmt;
use std::sync::Arc;

use super::{Access, Backend, Claim, ClaimOptions, Heap, Holder, ObjectError, ObjectStatus};
use crate::memory::{ObjectId, ReadOnlyWords, TrustedWriters, Words};

/// Called with the names of a method and of its object. An error becomes the call's.
type Hook = Arc<dyn Fn(&'static str, &str) -> Result<(), ObjectError> + Send + Sync>;

/// A backend that calls a hook before each call, and as `listed` after a listing. The methods of a
/// claim that have the names of a backend's are `claim_remove` and `claim_status`.
struct Hooked {
    backend: Arc<dyn Backend>,
    hook: Hook,
}

/// A claim on such a backend.
struct HookedClaim {
    claim: Box<dyn Claim>,
    object: String,
    hook: Hook,
}

/// `heap`, with calls of `hook`.
pub(crate) fn hooked(
    heap: &Heap,
    hook: impl Fn(&'static str, &str) -> Result<(), ObjectError> + Send + Sync + 'static,
) -> Arc<dyn Backend> {
    hooked_backend(heap.shared(), hook)
}

/// `backend`, with calls of `hook`.
pub(crate) fn hooked_backend(
    backend: Arc<dyn Backend>,
    hook: impl Fn(&'static str, &str) -> Result<(), ObjectError> + Send + Sync + 'static,
) -> Arc<dyn Backend> {
    Arc::new(Hooked { backend, hook: Arc::new(hook) })
}

macro_rules! with_the_hook {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        $(fn $name(&self, object: &str, $($argument: $type),*) -> Result<$result, ObjectError> {
            (self.hook)(stringify!($name), object)?;
            self.backend.$name(object, $($argument),*)
        })*
    };
}

impl Backend for Hooked {
    with_the_hook! {
        create(bytes: usize, access: Access) -> Words;
        view() -> ReadOnlyWords;
        reopen() -> Words;
        part(start: usize, bytes: usize) -> Words;
        hold(id: ObjectId, start: usize, bytes: usize) -> (Words, Box<dyn Holder>);
        remove(memory: &Words) -> ();
        collapse(words: &Words) -> ();
        remove_leftover() -> bool;
        status() -> ObjectStatus;
        is_named(id: ObjectId) -> bool;
        is_claimed(view: &ReadOnlyWords) -> Option<bool>;
    }

    fn trusted(&self) -> Option<TrustedWriters> {
        self.backend.trusted()
    }

    fn is_sealed(&self) -> bool {
        self.backend.is_sealed()
    }

    fn must_have_memory(&self, bytes: usize) -> Result<(), ObjectError> {
        self.backend.must_have_memory(bytes)
    }
    fn populate(&self, words: &ReadOnlyWords, start: usize, bytes: usize) -> Result<(), ObjectError> {
        (self.hook)("populate", "")?;
        self.backend.populate(words, start, bytes)
    }

    fn directory(&self) -> Option<&str> {
        self.backend.directory()
    }

    fn claim(
        &self,
        object: &str,
        options: ClaimOptions,
        abandoned: &dyn Fn(&Words) -> bool,
    ) -> Result<Box<dyn Claim>, ObjectError> {
        (self.hook)("claim", object)?;
        let claim = self.backend.claim(object, options, abandoned)?;
        Ok(Box::new(HookedClaim { claim, object: object.into(), hook: Arc::clone(&self.hook) }))
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, ObjectError> {
        (self.hook)("list", prefix)?;
        let listed = self.backend.list(prefix)?;
        (self.hook)("listed", prefix).map(|()| listed)
    }
}

impl Claim for HookedClaim {
    fn memory(&self) -> &Words {
        self.claim.memory()
    }
    fn settle(&self) {
        self.claim.settle();
    }
    fn set_access(&self, access: Access) -> Result<(), ObjectError> {
        (self.hook)("set_access", &self.object)?;
        self.claim.set_access(access)
    }
    fn status(&self) -> Result<ObjectStatus, ObjectError> {
        (self.hook)("claim_status", &self.object)?;
        self.claim.status()
    }
    fn grow(&mut self, bytes: usize) -> Result<(), ObjectError> {
        (self.hook)("grow", &self.object)?;
        self.claim.grow(bytes)
    }
    fn reserve(&self, start: usize, bytes: usize) -> Result<(), ObjectError> {
        (self.hook)("reserve", &self.object)?;
        self.claim.reserve(start, bytes)
    }
    fn remove(&self) -> Result<(), ObjectError> {
        (self.hook)("claim_remove", &self.object)?;
        self.claim.remove()
    }
}

impl fmt::Debug for Hooked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Hooked")
    }
}

impl fmt::Debug for HookedClaim {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("HookedClaim")
    }
}
