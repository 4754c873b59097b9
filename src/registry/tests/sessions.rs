//! Sessions: a channel is entered while its writer lives, also if the table or its names are lost.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::*;
use crate::channel::{CreateError, Format, PublishError, WriterOptions};
use crate::layout::PAGE_BYTES;
use crate::object::{Sealed, hooked};

fn open(heap: &Heap) -> Result<Session, CreateError> {
    open_with(&heap.shared())
}

fn open_with(backend: &Arc<dyn Backend>) -> Result<Session, CreateError> {
    let name = ChannelName::new(NAMESPACE, "a").unwrap();
    Session::open(backend, &name, &WriterOptions::new(Format::new("bytes", "test")))
}

/// Touches until the writer's look at its names has had a consequence.
fn touch_until(session: &mut Session, mut is_seen: impl FnMut(Result<(), PublishError>) -> bool) {
    let begin = Instant::now();
    while !is_seen(session.touch()) {
        assert!(begin.elapsed() < Duration::from_secs(60), "the writer's look has no such consequence");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A heap whose names can't be looked up while the flag is set, and the number of such looks.
fn blind_heap(heap: &Heap) -> (Arc<dyn Backend>, Arc<AtomicBool>, Arc<AtomicU32>) {
    let (is_blind, looks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let (blind, counted) = (Arc::clone(&is_blind), Arc::clone(&looks));
    let backend = hooked(heap, move |call, object| match call {
        "is_named" if blind.load(Ordering::Relaxed) => {
            counted.fetch_add(1, Ordering::Relaxed);
            let source = std::io::Error::from_raw_os_error(libc::EACCES);
            Err(ObjectError::Os { object: object.into(), operation: "stat", source })
        }
        _ => Ok(()),
    });
    (backend, is_blind, looks)
}

#[test]
fn a_session_enters_its_channel_and_removes_the_entry_with_it() {
    let heap = Heap::new();
    for (lingering, closed) in [(false, false), (false, true), (true, true)] {
        let mut session = open(&heap).unwrap();
        let [entry] = &listed(&heap)[..] else { panic!("one entry") };
        assert_eq!((entry.name.as_str(), entry.instance), ("a", session.channel.instance()));
        session.channel.publish(b"state").unwrap();
        match (lingering, closed) {
            (true, _) => session.close_lingering().unwrap(),
            (false, true) => session.close().unwrap(),
            (false, false) => {}
        }
        drop(session);
        assert_eq!(listed(&heap).len(), usize::from(lingering));
        assert_eq!(heap.names().is_empty(), !lingering, "{:?}", heap.names());
    }
    open(&heap).unwrap().abandon().unwrap();
    assert_eq!(listed(&heap).len(), 1, "the former writer's state stays, and its entry");
}

#[test]
fn an_abandoned_sealed_channel_stays_readable() {
    let name = ChannelName::new(NAMESPACE, "a").unwrap();
    let options = WriterOptions::new(Format::new("codec", "type"));
    let mut session = Session::open_sealed(&name, options).unwrap();
    let sealed = Sealed::open(session.backend.descriptor().unwrap()).unwrap();
    let name = crate::channel::name_of_sealed(&sealed).unwrap();
    let backend: Arc<dyn Backend> = Arc::new(sealed);
    let registry = Registry::of(&backend, &name.namespace);
    session.abandon().unwrap();
    let reader = registry.attach(&name, &ReaderOptions::default()).unwrap();
    assert!(reader.is_closed() && !reader.is_removed());
}

#[test]
fn a_session_that_can_not_register_leaves_a_former_writers_state_and_no_empty_channel() {
    let heap = Heap::new();
    let table = ObjectNames::registry(NAMESPACE);
    let corrupt_table = || {
        heap.remove_leftover(&table).unwrap();
        heap.create(&table, PAGE_BYTES, Access::OWNER).unwrap()
    };
    corrupt_table();
    assert!(matches!(open(&heap).map(drop), Err(CreateError::Object { .. })));
    assert_eq!(heap.names(), std::slice::from_ref(&table));
    heap.remove_leftover(&table).unwrap();
    let mut former = open(&heap).unwrap();
    former.channel.publish(b"state").unwrap();
    former.close_lingering().unwrap();
    drop(former);
    corrupt_table();
    assert!(matches!(open(&heap).map(drop), Err(CreateError::Object { .. })));
    let name = ChannelName::new(NAMESPACE, "a").unwrap();
    let mut payload = Vec::new();
    let mut reader = crate::channel::attach(&heap.shared(), &name, &ReaderOptions::default()).unwrap();
    assert_eq!(reader.snapshot(&mut &mut payload).unwrap().publication(), 1);
    assert_eq!(payload, b"state");
}

#[test]
fn a_registry_that_can_not_be_made_again_is_reported_until_it_can() {
    let heap = Heap::new();
    let (backend, is_blind, looks) = blind_heap(&heap);
    let mut session = open_with(&backend).unwrap();
    let is_reported = |touched| match touched {
        Err(PublishError::RegistryNotRestored { source, .. }) => {
            matches!(*source, ObjectError::Foreign { .. })
        }
        touched => touched.map_or_else(|error| panic!("{error}"), |()| false),
    };
    let table = ObjectNames::registry(NAMESPACE);
    heap.remove_leftover(&table).unwrap();
    heap.create(&table, PAGE_BYTES, Access::OWNER).unwrap();
    touch_until(&mut session, is_reported);
    // Between two checks, and after one that can't look.
    is_blind.store(true, Ordering::Relaxed);
    touch_until(&mut session, |touched| {
        assert!(is_reported(touched), "each call tells it");
        // Of the page, and of the registry.
        looks.load(Ordering::Relaxed) > 1
    });
    is_blind.store(false, Ordering::Relaxed);
    heap.remove_leftover(&table).unwrap();
    touch_until(&mut session, |touched| !is_reported(touched));
    assert_eq!(listed(&heap)[0].instance, session.channel.instance());
    session.touch().unwrap();
    // Closing does not care for a registry that has no entry of the channel.
    heap.remove_leftover(&table).unwrap();
    heap.create(&table, PAGE_BYTES, Access::OWNER).unwrap();
    session.close().unwrap();
    assert_eq!(heap.names(), [table]);
}

#[test]
fn a_lost_name_stays_lost_while_it_can_not_be_looked_up() {
    let heap = Heap::new();
    let (backend, is_blind, looks) = blind_heap(&heap);
    let mut session = open_with(&backend).unwrap();
    let names = heap.names();
    names.iter().for_each(|object| assert!(heap.remove_leftover(object).unwrap()));
    let is_reported = |touched| matches!(touched, Err(PublishError::NamesRemoved { .. }));
    touch_until(&mut session, is_reported);
    is_blind.store(true, Ordering::Relaxed);
    touch_until(&mut session, |touched| {
        assert!(is_reported(touched), "each call tells it");
        looks.load(Ordering::Relaxed) > 0
    });
}

#[test]
fn a_touch_waits_for_no_process_that_holds_the_registry() {
    let (heap, claims) = (Heap::new(), Arc::new(AtomicU32::new(0)));
    let counted = Arc::clone(&claims);
    let backend = hooked(&heap, move |call, _| {
        counted.fetch_add(u32::from(call == "claim"), Ordering::Relaxed);
        Ok(())
    });
    let mut session = open_with(&backend).unwrap();
    let table = ObjectNames::registry(NAMESPACE);
    heap.remove_leftover(&table).unwrap();
    let held = heap.claim(&table, ClaimOptions::create(Size::Exactly(BYTES)), &|_| false).unwrap();
    let before = claims.load(Ordering::Relaxed);
    touch_until(&mut session, |touched| {
        let is_reported = matches!(touched, Err(PublishError::RegistryNotRestored { .. }));
        assert!(is_reported || touched.is_ok(), "{touched:?}");
        is_reported
    });
    assert_eq!(claims.load(Ordering::Relaxed), before + 1, "the first check tries once");
    held.remove().unwrap();
    drop(held);
    touch_until(&mut session, |touched| touched.is_ok());
    assert_eq!(listed(&heap)[0].instance, session.channel.instance());
}

#[test]
fn a_registry_that_lost_its_name_has_a_successor_whose_waiters_are_woken() {
    let heap = Heap::new();
    let mut session = open(&heap).unwrap();
    let name = ChannelName::new(NAMESPACE, "a").unwrap();
    let reader = crate::channel::attach(&heap.shared(), &name, &ReaderOptions::default()).unwrap();
    let page_of_waiters = || Registry::of(&heap.shared(), NAMESPACE).waiters_page().unwrap();
    let former = page_of_waiters().unwrap().instance;
    assert_eq!(reader.page().waiters_instance(), former);
    heap.remove_leftover(&ObjectNames::registry(NAMESPACE)).unwrap();
    touch_until(&mut session, |touched| {
        touched.unwrap();
        page_of_waiters().is_some()
    });
    assert_eq!(listed(&heap)[0].instance, session.channel.instance());
    let successor = page_of_waiters().unwrap().instance;
    assert!(successor != former && reader.page().waiters_instance() == successor);
    drop(session);
    assert!(heap.names().is_empty());
}

#[test]
fn a_writer_whose_name_a_successor_has_leaves_the_successors_entry() {
    let heap = Heap::new();
    let mut first = open(&heap).unwrap();
    for object in heap.names() {
        heap.remove_leftover(&object).unwrap();
    }
    let second = open(&heap).unwrap();
    touch_until(&mut first, |touched| matches!(touched, Err(PublishError::NamesRemoved { .. })));
    assert!(matches!(first.reopen(), Err(CreateError::AlreadyOwned { .. })));
    drop(first);
    assert_eq!(listed(&heap)[0].instance, second.channel.instance());
}

#[test]
fn a_name_that_can_not_be_looked_up_is_not_lost() {
    let heap = Heap::new();
    let (backend, is_blind, looks) = blind_heap(&heap);
    is_blind.store(true, Ordering::Relaxed);
    let mut session = open_with(&backend).unwrap();
    let objects = heap.names();
    touch_until(&mut session, |touched| {
        touched.unwrap();
        looks.load(Ordering::Relaxed) > 0
    });
    assert!(matches!(session.reopen(), Err(CreateError::Object { .. })));
    assert_eq!(heap.names(), objects, "nothing is given up");
    drop(session);
    assert!(heap.names().is_empty());
}

#[test]
fn a_new_channel_removes_dead_ones_without_a_listing_of_all_objects() {
    let heap = Heap::new();
    // Linux gives no such process ids.
    for pid in [5_000_000, 5_000_001] {
        register(&heap, &info(&format!("dead-{pid}"), pid)).unwrap();
    }
    let asked = Arc::new(Mutex::new(BTreeSet::new()));
    let noted = Arc::clone(&asked);
    let names = ObjectNames::new(NAMESPACE, "dead-5000000");
    let stem = names.stem().to_owned();
    let backend = hooked(&heap, move |call, object| match call {
        "list" => Err(ObjectError::NotFound { object: object.into() }),
        _ => {
            noted.lock().unwrap().extend(object.strip_prefix(&stem).map(str::to_owned));
            Ok(())
        }
    });
    let name = ChannelName::new(NAMESPACE, "a").unwrap();
    let open = |max_dead| {
        let options = WriterOptions { max_dead, ..WriterOptions::new(Format::new("bytes", "test")) };
        Session::open(&backend, &name, &options).unwrap()
    };
    drop(open(3));
    assert_eq!(listed(&heap).len(), 2, "there are few");
    let session = open(2);
    assert_eq!(listed(&heap), [ChannelInfo::of(&session.channel)]);
    let asked: Vec<_> = asked.lock().unwrap().iter().cloned().collect();
    assert_eq!(asked, ["a2", "b2", "c"], "objects that layout 3 has");
}
