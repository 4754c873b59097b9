//! Named objects on the heap of this process: for channels inside one process, and for tests.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    Access, Backend, Claim, ClaimOptions, Holder, ObjectError, ObjectSize, ObjectStatus, ResourceLimit, Size,
    if_exists,
};
use crate::layout::{PAGE_BYTES, WORD_BYTES};
use crate::memory::{Memory, MemoryMut, ObjectId, ReadOnlyWords, TrustedWriters, Words};

/// Named objects on the heap, shared by all clones of the value. They are freed with the last
/// clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heap(Arc<Mutex<BTreeMap<String, Object>>>);

#[derive(Clone, Debug)]
struct Object {
    words: Words,
    claimed: Arc<AtomicBool>,
}

/// A claimed object of a [`Heap`].
#[derive(Debug)]
pub(crate) struct HeapClaim {
    heap: Heap,
    name: String,
    object: Object,
}

impl Heap {
    /// An empty heap.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn new() -> Heap {
        Heap::default()
    }

    /// The heap as a channel holds its backend.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn shared(&self) -> Arc<dyn Backend> {
        Arc::new(self.clone())
    }

    /// The names of all objects.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn names(&self) -> Vec<String> {
        self.objects().keys().cloned().collect()
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Object>> {
        // A panic while the lock is held leaves a map that is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, object: &str) -> Result<Object, ObjectError> {
        self.objects().get(object).cloned().ok_or_else(|| ObjectError::NotFound { object: object.into() })
    }

    fn try_claim(&self, name: &str, object: Object, size: Size) -> Result<HeapClaim, ObjectError> {
        let bytes = object.words.len() * WORD_BYTES;
        if !size.includes(bytes) {
            let reason = format!("it has {bytes} bytes instead of {}", size.of_new());
            return Err(ObjectError::Foreign { object: name.into(), reason });
        }
        // Acquire: what the former holder stored must be seen. Pairs with the release of its drop.
        if object.claimed.swap(true, Ordering::Acquire) {
            return Err(ObjectError::Claimed { object: name.into() });
        }
        Ok(HeapClaim { heap: self.clone(), name: name.into(), object })
    }
}

impl Object {
    fn new(name: &str, bytes: usize) -> Result<Object, ObjectError> {
        let words = Words::try_zeroed(bytes.next_multiple_of(PAGE_BYTES) / WORD_BYTES);
        Ok(Object { words: allocated(name, words)?, claimed: Arc::default() })
    }

    fn status(&self) -> ObjectStatus {
        let bytes = (self.words.len() * WORD_BYTES) as u64;
        ObjectStatus {
            owner: rustix::process::geteuid().as_raw(),
            group: rustix::process::getegid().as_raw(),
            permissions: 0o600,
            is_regular: true,
            size: ObjectSize { bytes, resident: bytes },
        }
    }
}

fn allocated(name: &str, words: Option<Words>) -> Result<Words, ObjectError> {
    let (operation, limit) = ("allocate", ResourceLimit::Mappings);
    words.ok_or_else(|| ObjectError::Limit { object: name.into(), operation, limit })
}

impl Backend for Heap {
    fn trusted(&self) -> Option<TrustedWriters> {
        // SAFETY: no other process has this process's heap, and here only writers store to objects.
        Some(unsafe { TrustedWriters::new() })
    }

    fn create(&self, object: &str, bytes: usize, _access: Access) -> Result<Words, ObjectError> {
        let mut objects = self.objects();
        if objects.contains_key(object) {
            return Err(ObjectError::Exists { object: object.into() });
        }
        let new = Object::new(object, bytes)?;
        objects.insert(object.into(), new.clone());
        Ok(new.words)
    }

    fn view(&self, object: &str) -> Result<ReadOnlyWords, ObjectError> {
        self.find(object).map(|found| found.words.read_only())
    }

    fn reopen(&self, object: &str) -> Result<Words, ObjectError> {
        self.find(object).map(|found| found.words)
    }

    fn part(&self, object: &str, start: usize, bytes: usize) -> Result<Words, ObjectError> {
        let found = self.find(object)?;
        let (start, words) = (start / WORD_BYTES, bytes / WORD_BYTES);
        found.words.part(start, words).ok_or_else(|| ObjectError::Unfinished { object: object.into() })
    }

    fn hold(
        &self,
        object: &str,
        id: ObjectId,
        start: usize,
        bytes: usize,
    ) -> Result<(Words, Box<dyn Holder>), ObjectError> {
        static HOLDERS: AtomicU64 = AtomicU64::new(1);
        let part = self.part(object, start, bytes)?;
        // Relaxed: only the difference between the numbers matters.
        let holder = HeapHolder(HOLDERS.fetch_add(1, Ordering::Relaxed));
        let is_same = part.object() == id;
        is_same
            .then(|| (part, Box::new(holder) as _))
            .ok_or_else(|| ObjectError::NotFound { object: object.into() })
    }

    fn remove(&self, object: &str, memory: &Words) -> Result<(), ObjectError> {
        let mut objects = self.objects();
        if objects.get(object).is_some_and(|found| found.words.object() == memory.object()) {
            objects.remove(object);
        }
        Ok(())
    }

    fn remove_leftover(&self, object: &str) -> Result<bool, ObjectError> {
        Ok(self.objects().remove(object).is_some())
    }

    fn claim(
        &self,
        object: &str,
        options: ClaimOptions,
        _abandoned: &dyn Fn(&Words) -> bool,
    ) -> Result<Box<dyn Claim>, ObjectError> {
        // The map stays locked until the claim is made, so that the name means the claimed object.
        let mut objects = self.objects();
        if options.create && !objects.contains_key(object) {
            objects.insert(object.into(), Object::new(object, options.size.of_new())?);
        }
        let found = objects.get(object).cloned();
        let found = found.ok_or_else(|| ObjectError::NotFound { object: object.into() })?;
        Ok(Box::new(self.try_claim(object, found, options.size)?))
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, ObjectError> {
        Ok(self.objects().keys().filter(|name| name.starts_with(prefix)).cloned().collect())
    }

    /// The heap has no owners and no permissions: every object belongs to this user. It does not
    /// record which pages were touched: all of an object counts.
    fn status(&self, object: &str) -> Result<ObjectStatus, ObjectError> {
        self.find(object).map(|found| found.status())
    }

    fn is_named(&self, object: &str, id: ObjectId) -> Result<bool, ObjectError> {
        Ok(self.objects().get(object).is_some_and(|found| found.words.object() == id))
    }

    fn collapse(&self, object: &str, _words: &Words) -> Result<(), ObjectError> {
        Err(ObjectError::NoHugePages { object: object.into(), reason: "it is inside this process".into() })
    }

    fn is_claimed(&self, object: &str, view: &ReadOnlyWords) -> Result<Option<bool>, ObjectError> {
        let found = if_exists(self.find(object))?.filter(|found| found.words.object() == view.object());
        // Relaxed: says nothing about what the holder stored.
        Ok(found.map(|found| found.claimed.load(Ordering::Relaxed)))
    }
}

/// A holder in this process, which dies with all others.
#[derive(Debug)]
struct HeapHolder(u64);

impl Holder for HeapHolder {
    fn number(&self) -> u64 {
        self.0
    }

    fn exists(&self, _number: u64) -> bool {
        true
    }
}

impl Claim for HeapClaim {
    fn memory(&self) -> &Words {
        &self.object.words
    }

    /// Nothing to do: a claim is a flag of this process, and a fork has a heap of its own.
    fn settle(&self) {}

    /// The heap has no permissions.
    fn set_access(&self, _access: Access) -> Result<(), ObjectError> {
        Ok(())
    }

    fn status(&self) -> Result<ObjectStatus, ObjectError> {
        Ok(self.object.status())
    }

    /// Replaces the block by a larger one: views of the former one show no more changes.
    fn grow(&mut self, bytes: usize) -> Result<(), ObjectError> {
        let former = &self.object.words;
        if bytes <= former.len() * WORD_BYTES {
            return Ok(());
        }
        let words = Words::try_zeroed_as(bytes.next_multiple_of(PAGE_BYTES) / WORD_BYTES, former.object());
        let words = allocated(&self.name, words)?;
        (0..former.len()).for_each(|word| words.store(word, former.load(word)));
        let larger = Object { words, claimed: Arc::clone(&self.object.claimed) };
        let mut objects = self.heap.objects();
        if let Some(named) = objects.get_mut(&self.name)
            && named.words.object() == former.object()
        {
            *named = larger.clone();
        }
        drop(objects);
        self.object = larger;
        Ok(())
    }

    fn remove(&self) -> Result<(), ObjectError> {
        self.heap.remove(&self.name, &self.object.words)
    }
}

impl Drop for HeapClaim {
    fn drop(&mut self) {
        // Release: the next holder must see what this one stored. Pairs with the acquire of its
        // claim.
        self.object.claimed.store(false, Ordering::Release);
    }
}
