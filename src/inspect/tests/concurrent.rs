//! Channels that change between two steps of an inspection.

use crate::memory::ReadOnlyWords;
use crate::memory::Words;
use crate::object::Claim;
use std::sync::{Arc, Mutex};

use super::*;
use crate::channel::{AttachError, WriterState};
use crate::object::{Access, Backend, ClaimOptions, ObjectError, ObjectSize, ObjectStatus};

/// A heap that runs `step` before an object is mapped or its status is read.
#[derive(Clone)]
struct HeapWithSteps {
    heap: Heap,
    step: Arc<dyn Fn(&str) + Send + Sync>,
}

macro_rules! as_of_the_heap {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        $(fn $name(&self, $($argument: $type),*) -> $result { self.heap.$name($($argument),*) })*
    };
}

impl std::fmt::Debug for HeapWithSteps {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("HeapWithSteps")
    }
}

impl HeapWithSteps {
    fn shared(&self) -> Arc<dyn Backend> {
        Arc::new(self.clone())
    }
}

impl Backend for HeapWithSteps {
    as_of_the_heap! {
        create(object: &str, bytes: usize, access: Access) -> Result<Words, ObjectError>;
        reopen(object: &str) -> Result<Words, ObjectError>;
        remove(object: &str, memory: &Words) -> Result<(), ObjectError>;
        remove_leftover(object: &str) -> Result<bool, ObjectError>;
        claim(object: &str, options: ClaimOptions, abandoned: &dyn Fn(&Words) -> bool)
            -> Result<Box<dyn Claim>, ObjectError>;
        part(object: &str, start: usize, bytes: usize) -> Result<Words, ObjectError>;
        list(prefix: &str) -> Result<Vec<String>, ObjectError>;
        size(object: &str) -> Result<ObjectSize, ObjectError>;
        is_claimed(object: &str, view: &ReadOnlyWords) -> Result<Option<bool>, ObjectError>;
    }

    fn view(&self, object: &str) -> Result<ReadOnlyWords, ObjectError> {
        (self.step)(object);
        self.heap.view(object)
    }

    fn status(&self, object: &str) -> Result<ObjectStatus, ObjectError> {
        (self.step)("the status");
        self.heap.status(object)
    }
}

/// An inspection that runs `step` once, before the first access to an object whose name ends with
/// one of `before`.
fn try_inspect_while(
    heap: Heap,
    name: &ChannelName,
    before: &'static [char],
    step: impl FnOnce() + Send + 'static,
) -> Result<Inspection, AttachError> {
    let step = Mutex::new(Some(step));
    let once = move |object: &str| {
        let step = object.ends_with(before).then(|| step.lock().unwrap().take()).flatten();
        step.into_iter().for_each(|step| step());
    };
    inspect(&HeapWithSteps { heap, step: Arc::new(once) }.shared(), name)
}

/// An inspection that runs `step` once, before it maps the first segment.
fn inspect_while(heap: Heap, name: &ChannelName, step: impl FnOnce() + Send + 'static) -> Inspection {
    try_inspect_while(heap, name, &['1', '2'], step).unwrap()
}

#[test]
fn a_segment_that_is_replaced_is_reported_as_it_is_now() {
    let (heap, name, writer) = channel();
    let writer = Arc::new(Mutex::new(writer));
    let growing = Arc::clone(&writer);
    let inspection = inspect_while(heap, &name, move || {
        for _ in 0..2 {
            growing.lock().unwrap().publish(&[1; 10_000]).unwrap();
        }
    });
    assert_eq!((inspection.publication, inspection.generations, inspection.growths), (7, [2, 2], 2));
    for segment in inspection.segments {
        let segment = segment.unwrap();
        assert!(segment.generation == 2 && segment.capacity >= 10_000);
        let last = segment.slots.iter().find(|slot| slot.publication > 5).unwrap();
        assert_eq!((last.state, last.len), (SlotState::Whole, 10_000));
    }
}

#[test]
fn an_inspection_is_of_one_writer() {
    let (heap, name, writer) = channel();
    drop(writer);
    let successor = Arc::new(Mutex::new(None));
    let (kept, opened, of) = (Arc::clone(&successor), heap.clone(), name.clone());
    let inspection = inspect_while(heap, &name, move || *kept.lock().unwrap() = Some(open(&opened, &of)));
    assert_eq!((inspection.incarnation, inspection.writer_state), (2, WriterState::Alive));
    assert!(successor.lock().unwrap().is_some());
}

#[test]
fn a_channel_that_is_removed_after_attaching_is_not_found() {
    let (heap, name, writer) = channel();
    drop(writer);
    let (shared, of) = (heap.shared(), name.clone());
    // The status is read after the reader has attached.
    let removed = try_inspect_while(heap, &name, &['s'], move || {
        assert!(crate::channel::remove(&shared, &of).unwrap().is_some());
    });
    assert!(matches!(removed.unwrap_err(), AttachError::NotFound { channel, .. } if channel == "worker"));
}
