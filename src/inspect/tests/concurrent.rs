//! Channels that change between two steps of an inspection.

use std::sync::{Arc, Mutex};

use super::*;
use crate::channel::{AttachError, WriterState};
use crate::object::hooked;

/// An inspection that runs `step` once, before the first call that `is_before` picks by the names
/// of a method and of its object.
fn try_inspect_while(
    heap: &Heap,
    name: &ChannelName,
    is_before: fn(&str, &str) -> bool,
    step: impl FnOnce() + Send + 'static,
) -> Result<Inspection, AttachError> {
    let step = Mutex::new(Some(step));
    let once = move |call: &'static str, object: &str| {
        let step = is_before(call, object).then(|| step.lock().unwrap().take()).flatten();
        step.into_iter().for_each(|step| step());
        Ok(())
    };
    inspect(&hooked(heap, once), name)
}

/// An inspection that runs `step` once, before it maps the first segment that has an object, or
/// finds that there is none.
fn inspect_while(heap: &Heap, name: &ChannelName, step: impl FnOnce() + Send + 'static) -> Inspection {
    let maps_segment = |call: &str, object: &str| call == "view" && object.ends_with('2');
    try_inspect_while(heap, name, maps_segment, step).unwrap()
}

#[test]
fn a_segment_that_is_replaced_is_reported_as_it_is_now() {
    let (heap, name, mut writer) = channel();
    for _ in 0..2 {
        writer.publish(&[1; 5_000]).unwrap();
    }
    let writer = Arc::new(Mutex::new(writer));
    let growing = Arc::clone(&writer);
    let inspection = inspect_while(&heap, &name, move || {
        for _ in 0..2 {
            growing.lock().unwrap().publish(&[1; 10_000]).unwrap();
        }
    });
    assert_eq!((inspection.publication, inspection.generations, inspection.growths), (9, [3, 3], 4));
    for segment in inspection.segments {
        let segment = segment.unwrap();
        assert!(segment.generation == 3 && segment.capacity >= 10_000);
        let last = segment.slots.iter().find(|slot| slot.publication > 7).unwrap();
        assert_eq!((last.state, last.len), (SlotState::Whole, 10_000));
    }
}

#[test]
fn an_inspection_is_of_one_writer() {
    let (heap, name, writer) = channel();
    drop(writer);
    let successor = Arc::new(Mutex::new(None));
    let (kept, opened, of) = (Arc::clone(&successor), heap.clone(), name.clone());
    let inspection = inspect_while(&heap, &name, move || *kept.lock().unwrap() = Some(open(&opened, &of)));
    assert_eq!((inspection.incarnation, inspection.writer_state), (2, WriterState::Alive));
    assert!(successor.lock().unwrap().is_some());
}

#[test]
fn a_channel_that_is_removed_after_attaching_is_not_found() {
    let (heap, name, writer) = channel();
    drop(writer);
    let (shared, of) = (heap.shared(), name.clone());
    // The status is read after the reader has attached.
    let removed = try_inspect_while(
        &heap,
        &name,
        |call, _| call == "status",
        move || {
            assert!(crate::channel::remove(&shared, &of).unwrap().is_some());
        },
    );
    assert!(matches!(removed.unwrap_err(), AttachError::NotFound { channel, .. } if channel == "worker"));
}
