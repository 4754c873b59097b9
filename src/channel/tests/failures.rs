//! Every single call of the operating system fails once: nothing is lost, nothing is left behind,
//! and the next try succeeds.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use super::*;
use crate::channel::{PublishError, SchemaBytes, remove};
use crate::layout::Kind;
use crate::memory::MemoryMut;
use crate::object::{Access, Backend, ObjectError, hooked};

/// The heap, with calls that fail according to a plan.
#[derive(Clone, Debug)]
struct Failing {
    heap: Heap,
    plan: Plan,
}

/// Number of calls that still succeed; then one fails.
#[derive(Clone, Debug)]
struct Plan(Arc<AtomicU32>);

impl Plan {
    fn call(&self, operation: &'static str) -> Result<(), ObjectError> {
        match self.0.load(Relaxed) {
            0 => {
                self.0.store(u32::MAX, Relaxed);
                let source = io::Error::from_raw_os_error(libc::EMFILE);
                Err(ObjectError::Os { object: "planned".into(), operation, source })
            }
            left => {
                self.0.store(left - 1, Relaxed);
                Ok(())
            }
        }
    }

    fn has_failed(&self) -> bool {
        self.0.load(Relaxed) > u32::MAX / 2
    }
}

impl Failing {
    fn shared(&self) -> Arc<dyn Backend> {
        let Failing { heap, plan } = self.clone();
        hooked(&self.heap, move |call, _| {
            if matches!(call, "part" | "listed") {
                return Ok(());
            }
            plan.call(call)?;
            // Once the page's name is free, the next writer may use the names of the segments.
            let left = if call == "claim_remove" { heap.names() } else { Vec::new() };
            assert!(plan.has_failed() || left.len() <= 1, "the page's name goes last: {left:?}");
            Ok(())
        })
    }
}

/// Runs `story` again and again, with the first call failing, then the second, and so on, until no
/// call fails.
fn every_call_fails_once(story: impl Fn(&Failing)) {
    let mut failures = 0;
    for succeeding in 0.. {
        let backend = Failing { heap: Heap::new(), plan: Plan(Arc::new(AtomicU32::new(succeeding))) };
        story(&backend);
        if !backend.plan.has_failed() {
            break;
        }
        failures += 1;
    }
    assert!(failures > 0, "the story makes no call");
}

/// `work` with no call failing.
fn undisturbed<R>(backend: &Failing, work: impl FnOnce() -> R) -> R {
    let left = backend.plan.0.swap(u32::MAX / 4, Relaxed);
    let result = work();
    backend.plan.0.store(left, Relaxed);
    result
}

/// Options without and with a schema.
fn formats() -> [WriterOptions; 2] {
    [options(), WriterOptions { schema: SchemaBytes::new(&[7; 5_000]), ..options() }]
}

#[test]
fn a_failing_creation_leaves_nothing() {
    // One more call, as the object is not made with these permissions.
    let shared = WriterOptions { access: Access { mode: 0o640, group: None }, ..options() };
    for options in formats().into_iter().chain([shared]) {
        every_call_fails_once(|backend| {
            let opened = crate::channel::open(&backend.shared(), &name(), &options).map(drop);
            let left = backend.heap.names();
            assert!(opened.is_ok() || left.is_empty(), "{opened:?}: {left:?}");
            undisturbed(backend, || {
                drop(crate::channel::open(&backend.shared(), &name(), &options).unwrap());
            });
            assert!(backend.heap.names().is_empty(), "{:?}", backend.heap.names());
        });
    }
}

#[test]
fn a_failing_takeover_leaves_the_channel_as_it_was() {
    for options in formats() {
        a_takeover_fails(&options, b"two");
        a_takeover_fails(&options, &[2; 5_000]);
    }
}

fn a_takeover_fails(options: &WriterOptions, state: &[u8]) {
    every_call_fails_once(|backend| {
        let heap = &backend.heap;
        let mut first = open(heap, options).unwrap();
        first.publish(b"one").unwrap();
        first.publish(state).unwrap();
        let mut attached = attach(heap).unwrap();
        kill(first);
        let opened = crate::channel::open(&backend.shared(), &name(), options);
        assert_eq!(snapshot(&mut attached).unwrap(), (2, state.to_vec()), "{:?}", opened.err());
        assert_eq!(snapshot(&mut attach(heap).unwrap()).unwrap().0, 2);
        if let Ok(mut writer) = opened {
            writer.owner = ForkToken::of_another_process();
        }
        let mut third = open(heap, options).unwrap();
        assert_eq!(third.publish(b"three").unwrap(), 3);
        assert_eq!(attached.schema_bytes().unwrap().is_some(), options.schema.is_some());
        drop(third);
        assert!(heap.names().is_empty());
    });
}

#[test]
fn a_failing_replacement_leaves_the_old_channel_or_the_new_one() {
    for (old, new) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        a_replacement_fails(&formats()[old], &formats()[new]);
    }
}

fn a_replacement_fails(old: &WriterOptions, new: &WriterOptions) {
    every_call_fails_once(|backend| {
        let heap = &backend.heap;
        let mut first = open(heap, old).unwrap();
        first.publish(b"old format").unwrap();
        kill(first);
        let mut other = new.clone();
        other.format = Format::new("bytes", "another schema");
        let is_open = crate::channel::open(&backend.shared(), &name(), &other).is_ok();
        undisturbed(backend, || drop(crate::channel::open(&backend.shared(), &name(), &other).unwrap()));
        assert!(heap.names().is_empty(), "{is_open}: {:?}", heap.names());
    });
}

#[test]
fn a_replacement_for_which_there_is_no_room_leaves_the_old_channel() {
    let heap = Heap::new();
    let mut first = open(&heap, &options()).unwrap();
    first.publish(b"old format").unwrap();
    kill(first);
    let mut other = options();
    other.format = Format::new("bytes", "another schema");
    // The claim succeeds, and the new object does not fit.
    let backend = Failing { heap: heap.clone(), plan: Plan(Arc::new(AtomicU32::new(1))) };
    assert!(crate::channel::open(&backend.shared(), &name(), &other).is_err());
    assert_eq!(snapshot(&mut attach(&heap).unwrap()).unwrap(), (1, b"old format".to_vec()));
    assert_eq!(heap.names().len(), 1);
}

#[test]
fn a_failing_growth_keeps_the_state_and_a_failing_end_is_repeated() {
    formats().iter().for_each(a_growth_or_an_end_fails);
}

fn a_growth_or_an_end_fails(options: &WriterOptions) {
    every_call_fails_once(|backend| {
        let heap = &backend.heap;
        let mut writer =
            undisturbed(backend, || crate::channel::open(&backend.shared(), &name(), options).unwrap());
        let mut reader = attach(heap).unwrap();
        let (mut number, mut state) = (0, Vec::new());
        for len in [10, 5_000, 5_000, 40_000, 40_000, 20] {
            let payload = vec![u8::try_from(len % 251).unwrap(); len];
            match writer.publish(&payload) {
                Ok(published) => (number, state) = (published, payload),
                Err(error) => assert!(backend.plan.has_failed(), "{error}"),
            }
            assert_eq!(snapshot(&mut reader).unwrap(), (number, state.clone()));
        }
        let ended = writer.end();
        drop(writer);
        let left = heap.names();
        assert!(left.is_empty(), "{ended:?}: {left:?}");
    });
}

#[test]
fn a_failing_loan_keeps_the_state_and_leaves_nothing() {
    every_call_fails_once(|backend| {
        let heap = &backend.heap;
        let mut writer =
            undisturbed(backend, || crate::channel::open(&backend.shared(), &name(), &options()).unwrap());
        let mut reader = attach(heap).unwrap();
        undisturbed(backend, || writer.publish(b"state").unwrap());
        let (mut number, mut state) = (1, b"state".to_vec());
        for (len, publishes) in [(5_000, false), (5_000, true), (40_000, false), (5_000, true), (9, true)] {
            let payload = vec![u8::try_from(len % 251).unwrap(); len];
            match writer.loan(len) {
                Ok(mut loan) => {
                    loan.write_at(0, &payload);
                    if publishes {
                        (number, state) = (loan.publish().unwrap(), payload);
                    }
                }
                Err(error) => assert!(backend.plan.has_failed(), "{error}"),
            }
            assert_eq!(snapshot(&mut reader).unwrap(), (number, state.clone()));
        }
        let ended = writer.end();
        drop(writer);
        assert!(heap.names().is_empty(), "{ended:?}: {:?}", heap.names());
    });
}

#[test]
fn a_name_that_can_not_be_looked_up_refuses_a_growth_and_is_not_lost() {
    let heap = Heap::new();
    let backend = hooked(&heap, |call, object| match call {
        "is_named" => {
            let (operation, source) = ("stat", io::Error::from_raw_os_error(libc::EACCES));
            Err(ObjectError::Os { object: object.into(), operation, source })
        }
        _ => Ok(()),
    });
    let mut writer = crate::channel::open(&backend, &name(), &options()).unwrap();
    let error = writer.publish(&[1; 5_000]).unwrap_err();
    assert!(matches!(&error, PublishError::Growth { source: ObjectError::Os { .. }, .. }), "{error}");
    assert!(matches!(writer.has_all_names(), Err(ObjectError::Os { .. })));
    assert_eq!(writer.publish(b"it fits").unwrap(), 1);
    writer.end().unwrap();
    assert!(heap.names().is_empty());
}

#[test]
fn a_shrinking_that_fails_is_postponed() {
    let backend = Failing { heap: Heap::new(), plan: Plan(Arc::new(AtomicU32::new(u32::MAX / 4))) };
    let mut writer = crate::channel::open(&backend.shared(), &name(), &options()).unwrap();
    writer.publish(&[1; 50_000]).unwrap();
    writer.publish(&[2; 50_000]).unwrap();
    writer.shrink_to_fit();
    backend.plan.0.store(0, Relaxed);
    assert_eq!(writer.publish(b"three").unwrap(), 3, "it fits where it is");
    for number in 4..=6 {
        assert_eq!(writer.publish(b"more").unwrap(), number);
    }
    assert!(writer.capacity() < 5_000);
}

#[test]
fn a_failing_clean_up_can_be_repeated() {
    for (orphaned, format) in [(false, 0), (true, 0), (false, 1), (true, 1)] {
        every_call_fails_once(|backend| {
            let heap = &backend.heap;
            kill(open(heap, &formats()[format]).unwrap());
            if orphaned {
                heap.remove_leftover(&name().objects.object(Kind::Control)).unwrap();
            }
            let clean = || crate::cleanup::clean(&cleanup_of(&backend.shared(), Retention::Nothing));
            let _ = clean();
            undisturbed(backend, clean).unwrap();
            assert!(heap.names().is_empty(), "{:?}", heap.names());
        });
    }
}

#[test]
fn a_failing_removal_can_be_repeated() {
    formats().iter().for_each(a_removal_fails);
}

fn a_removal_fails(options: &WriterOptions) {
    every_call_fails_once(|backend| {
        let heap = &backend.heap;
        let mut writer = open(heap, options).unwrap();
        writer.publish(&[1; 5_000]).unwrap();
        kill(writer);
        let removed = remove(&backend.shared(), &name());
        undisturbed(backend, || remove(&backend.shared(), &name()).unwrap());
        assert!(heap.names().is_empty(), "{removed:?}: {:?}", heap.names());
    });
}

#[test]
fn a_page_that_was_being_removed_is_removed_by_the_next_writer() {
    let heap = Heap::new();
    let writer = open(&heap, &options()).unwrap();
    writer.writer.control().store(crate::layout::control::STATE, 2);
    kill(writer);
    assert!(matches!(attach(&heap), Err(AttachError::NotFound { .. })));
    assert_eq!(open(&heap, &options()).unwrap().publish(b"again").unwrap(), 1);
}

#[test]
fn a_capacity_that_a_budget_refuses_is_requested_once() {
    let backend = Failing { heap: Heap::new(), plan: Plan(Arc::new(AtomicU32::new(u32::MAX / 4))) };
    let mut options = options();
    kill(open(&backend.heap, &options).unwrap());
    (options.capacity, options.budgets.channel) = (1 << 20, Some(1 << 16));
    let mut writer = crate::channel::open(&backend.shared(), &name(), &options).unwrap();
    for _ in 0..2 {
        writer.publish(b"state").unwrap();
    }
    let calls_left = backend.plan.0.load(Relaxed);
    for _ in 0..4 {
        writer.publish(b"state").unwrap();
    }
    assert_eq!(backend.plan.0.load(Relaxed), calls_left, "publishing what fits makes no call again");
    assert_eq!(writer.growths(), 0);
}
