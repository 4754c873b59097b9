//! Tables that another process damaged or made.

use proptest::prelude::*;

use super::*;
use crate::object::SharedMemory;

/// Words that decide something, and what another process stores there.
fn damage() -> impl Strategy<Value = Vec<(usize, usize, u64)>> {
    let first = Chunk(0);
    let word = prop_oneof![
        (Just(0), 0..first.entry(2)),
        (Just(0), registry::HOT..registry::CURSOR + 1),
        (Just(0), waiters::START..waiters::START + 2),
        (1..3_usize, 0..Chunk(1).entry(Chunk(1).start() + 1)),
    ];
    let value = prop_oneof![any::<u64>(), 0..20_u64, Just(registry::MAX as u64), Just(u64::MAX)];
    proptest::collection::vec((word, value).prop_map(|((chunk, word), value)| (chunk, word, value)), 0..6)
}

proptest! {
    #[test]
    fn a_damaged_table_is_refused_or_works(
        damage in damage(),
        pages in proptest::option::of((0..3_usize, 0..=6_u64)),
    ) {
        const WRITERS: u64 = 10;
        let backend: Arc<dyn Backend> = Arc::new(SharedMemory::default());
        let namespace = format!("damaged-{}", std::process::id());
        let registry = Registry::of(&backend, &namespace);
        let remove = || {
            for object in backend.list(&ObjectNames::prefix(&namespace)).unwrap() {
                backend.remove_leftover(&object).unwrap();
            }
        };
        remove();
        for number in 0..WRITERS {
            registry.register(&info(&format!("worker-{number}"), number), Access::OWNER).unwrap();
        }
        for (chunk, word, value) in damage {
            backend.reopen(&registry.name(Chunk(chunk))).unwrap().store(word, value);
        }
        if let Some((chunk, pages)) = pages {
            let path = format!("/dev/shm/{}", registry.name(Chunk(chunk)));
            let bytes = (pages * 4096).min(Chunk(chunk).bytes() as u64);
            std::fs::File::options().write(true).open(path).unwrap().set_len(bytes).unwrap();
        }
        let listed = registry.list();
        prop_assert!(listed.as_ref().map_or(0, Vec::len) as u64 <= WRITERS, "{listed:?}");
        let _ = (registry.waiters_page(), ChannelWatch::new(Arc::clone(&backend), &namespace).changed());
        let new = info("one more", 99);
        if registry.register(&new, Access::OWNER).is_ok() {
            prop_assert!(registry.list().unwrap().contains(&new));
            registry.deregister(&[("one more", 99)]).unwrap();
            prop_assert!(!registry.list().unwrap().contains(&new));
        }
        remove();
    }
}

#[test]
fn another_namespaces_table_is_refused() {
    let heap = Heap::new();
    register(&heap, &info("a", 1)).unwrap();
    let memory = heap.reopen(&ObjectNames::registry(NAMESPACE)).unwrap();
    memory.store(registry::NAMESPACE.bytes_at(), u64::from_le_bytes(*b"wrong\0\0\0"));
    let error = Registry::of(&heap.shared(), NAMESPACE).list().unwrap_err().to_string();
    assert!(error.contains("\"wrong\"") && error.contains("\"tests\""), "{error}");
    assert!(error.contains("choose another name") && !error.contains("remove it"), "{error}");
    assert!(register(&heap, &info("b", 1)).is_err());
}
