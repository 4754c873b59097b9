//! The memory of namespaces on the heap.

use std::sync::{Arc, Mutex};

use super::{MemoryUsage, NamespaceMemory};
use crate::layout::{Kind, ObjectNames, PAGE_BYTES, Side};
use crate::object::{Access, Backend, Heap, hooked};
use crate::{Bytes, Namespace, Writer, testing::LeakCheck};

const PAGE: u64 = PAGE_BYTES as u64;

fn namespace() -> (Heap, Namespace) {
    let heap = Heap::new();
    let namespace = Namespace::on_heap(&heap, "fleet").unwrap();
    (heap, namespace)
}

fn open(namespace: &Namespace, channel: &str) -> Writer<[u8], Bytes> {
    namespace.writer_builder::<[u8]>(channel).codec::<Bytes>().open().unwrap()
}

fn pages(pages: u64) -> MemoryUsage {
    MemoryUsage { bytes: pages * PAGE, resident: pages * PAGE, objects: 1 }
}

/// Creates an object of this many pages.
fn put(heap: &Heap, name: &str, pages: usize) {
    heap.create(name, pages * PAGE_BYTES, Access::OWNER).unwrap();
}

#[test]
fn every_object_is_in_its_column() {
    let (heap, namespace) = namespace();
    let mut writers = ["b", "a"].map(|channel| open(&namespace, channel));
    writers[0].publish(&[1; 10_000]).unwrap();
    let names = ObjectNames::new("fleet", "a");
    put(&heap, &names.object(Kind::Segment(Side::A, 2)), 3);
    put(&heap, &names.object(Kind::Segment(Side::B, 9)), 4);
    let unknown = ObjectNames::new("fleet", "nobody's");
    put(&heap, &unknown.object(Kind::Segment(Side::A, 1)), 5);
    put(&heap, &format!("{}x", ObjectNames::prefix("fleet")), 6);
    put(&heap, &ObjectNames::new("another", "a").object(Kind::Control), 7);
    let memory = namespace.memory().unwrap();
    let [a, b] = &memory.channels[..] else { panic!("{memory:?}") };
    assert_eq!((a.channel.as_str(), b.channel.as_str()), ("a", "b"));
    assert_eq!(
        (a.control, a.segment_a, a.segment_b),
        (pages(3), MemoryUsage::default(), MemoryUsage::default())
    );
    assert_eq!(a.replaced, MemoryUsage { objects: 2, ..pages(7) });
    let grown = heap.size(&ObjectNames::new("fleet", "b").object(Kind::Segment(Side::B, 2))).unwrap();
    assert_eq!((b.control, b.segment_b), (pages(3), grown.into()));
    assert_eq!((b.segment_a, b.replaced), (MemoryUsage::default(), MemoryUsage::default()));
    assert_eq!((memory.unnamed, memory.other), (pages(5), pages(6)));
    assert_eq!(memory.registry.objects, 1);
    let all = heap.names().into_iter().filter(|name| name.starts_with(&ObjectNames::prefix("fleet")));
    let sum = all.map(|name| heap.size(&name).unwrap().into()).reduce(|a: MemoryUsage, b| a + b).unwrap();
    assert_eq!(memory.total(), sum);
}

#[test]
#[cfg(feature = "schema")]
fn a_schema_counts_with_its_channel_and_an_earlier_versions_is_replaced() {
    let (heap, namespace) = namespace();
    let open = || namespace.writer_builder::<u64>("worker").codec::<crate::Postcard>().with_schema();
    let check = LeakCheck::begin(&namespace).unwrap();
    let with_schema = open().linger(true).open().unwrap();
    let memory = namespace.memory().unwrap();
    let [worker] = &memory.channels[..] else { panic!("{memory:?}") };
    assert_eq!((worker.control, worker.replaced), (pages(3), MemoryUsage::default()));
    assert_eq!(worker.total().objects, 1);
    drop(with_schema);
    drop(open().open().unwrap());
    check.assert_nothing_left();
    let plain = namespace.writer_builder::<u64>("worker").codec::<crate::Postcard>().open().unwrap();
    put(&heap, &ObjectNames::new("fleet", "worker").object(Kind::Schema), 3);
    let memory = namespace.memory().unwrap();
    assert_eq!(memory.channels[0].replaced, pages(3));
    heap.remove_leftover(&ObjectNames::new("fleet", "worker").object(Kind::Schema)).unwrap();
    let check = LeakCheck::begin(&namespace).unwrap();
    plain.close_lingering().unwrap();
    drop(open().linger(true).open().unwrap());
    assert_eq!(check.leaks().unwrap().left, [], "the channel is known from before");
}

#[test]
fn another_namespaces_channel_under_names_of_this_one_is_left_out() {
    let (heap, namespace) = namespace();
    let writer = open(&namespace, "worker");
    let page = heap.reopen(&ObjectNames::new("fleet", "worker").object(Kind::Control)).unwrap();
    crate::channel::write_text(&page, crate::layout::control::NAMESPACE, "a fleet with the same hash");
    assert!(namespace.memory().unwrap().channels.is_empty());
    drop(writer);
}

#[test]
fn two_namespaces_whose_names_have_one_hash_are_two() {
    let heap = Heap::new();
    let [first, second] =
        ["fleet-79741", "fleet-300736"].map(|name| Namespace::on_heap(&heap, name).unwrap());
    let writer = open(&first, "worker");
    assert_eq!(first.memory().unwrap().registry.objects, 1);
    assert_eq!(second.memory().unwrap().total(), MemoryUsage::default());
    let error = second.writer_builder::<[u8]>("other").codec::<Bytes>().open().unwrap_err().to_string();
    for part in ["\"fleet-79741\"", "\"fleet-300736\"", "choose another name"] {
        assert!(error.contains(part), "{error}");
    }
    assert!(!error.contains("remove"), "{error}");
    drop(writer);
    assert!(heap.names().is_empty());
}

#[test]
fn a_page_that_is_not_ready_claims_nothing() {
    let (heap, namespace) = namespace();
    put(&heap, &ObjectNames::new("fleet", "worker").object(Kind::Control), 1);
    let memory = namespace.memory().unwrap();
    assert_eq!((memory.unnamed, memory.channels.len()), (pages(1), 0));
}

#[test]
fn the_text_has_a_line_for_each_channel_and_for_everything_else() {
    let (heap, namespace) = namespace();
    let empty = namespace.memory().unwrap();
    assert_eq!(empty.to_string(), "total: 0 bytes in 0 objects");
    let _writer = open(&namespace, "worker-ü");
    put(&heap, &ObjectNames::new("fleet", "nobody's").object(Kind::Segment(Side::A, 1)), 5);
    let mut memory = namespace.memory().unwrap();
    memory.registry = pages(2);
    assert_eq!(
        memory.to_string(),
        "\
worker-ü: 12288 bytes in 1 object: control 12288, A 0, B 0, replaced 0
(unnamed): 20480 bytes in 1 object
(registry): 8192 bytes in 1 object
total: 40960 bytes in 3 objects"
    );
}

#[test]
fn a_difference_has_what_was_added_grew_and_was_removed() {
    let (_heap, namespace) = namespace();
    let (mut grows, goes, _stays) =
        (open(&namespace, "grows"), open(&namespace, "goes"), open(&namespace, "stays"));
    let earlier = namespace.memory().unwrap();
    let before = grows.capacity();
    grows.publish(&[1; 10_000]).unwrap();
    assert!(grows.capacity() == before, "one side only");
    drop(goes);
    let _comes = open(&namespace, "comes");
    let now = namespace.memory().unwrap();
    let change = now.diff(&earlier);
    let changed: Vec<_> = change.channels.iter().map(|it| (it.channel.as_str(), it.change.objects)).collect();
    assert_eq!(changed, [("comes", 1), ("goes", -1), ("grows", 1)]);
    let growth = change.channels[2].change.resident;
    assert!(growth == 5 * 4_096 && change.total.resident == growth, "{change}");
    assert!(change.to_string().contains("goes: -12288 bytes in -1 objects\ngrows: +"), "{change}");
    assert_eq!(earlier.diff(&now).total.resident, -growth);
    assert!(now.diff(&now).channels.is_empty() && now.diff(&now).total.is_zero());
}

#[test]
fn the_peak_is_the_most_that_was_seen() {
    let (_heap, namespace) = namespace();
    let mut check = namespace.peak_memory();
    assert_eq!(check.peak(), MemoryUsage::default());
    let writers = [open(&namespace, "one"), open(&namespace, "two")];
    let max = check.observe().unwrap().total();
    drop(writers);
    assert_eq!(check.observe().unwrap().total(), MemoryUsage::default());
    assert_eq!(check.peak(), max);
    assert_eq!(max.objects, 3);
}

/// A heap that runs `step` after each listing.
fn with_steps(heap: &Heap, step: impl Fn() + Send + Sync + 'static) -> Arc<dyn Backend> {
    hooked(heap, move |call, _| {
        if call == "listed" {
            step();
        }
        Ok(())
    })
}

#[test]
fn what_vanishes_after_the_listing_is_left_out() {
    let (heap, namespace) = namespace();
    let writer = Mutex::new(Some(open(&namespace, "worker")));
    assert_eq!(namespace.memory().unwrap().total().objects, 2);
    let backend = with_steps(&heap, move || drop(writer.lock().unwrap().take()));
    let memory = super::measure(&backend, "fleet").unwrap();
    assert_eq!(memory, NamespaceMemory { namespace: "fleet".into(), ..NamespaceMemory::default() });
}

#[test]
fn what_grows_after_the_listing_is_measured_as_it_is_now() {
    let (heap, namespace) = namespace();
    let writer = Arc::new(Mutex::new(open(&namespace, "worker")));
    let growing = Arc::clone(&writer);
    let step = move || assert_eq!(growing.lock().unwrap().publish(&[1; 10_000]).unwrap(), 1);
    let memory = super::measure(&with_steps(&heap, step), "fleet").unwrap();
    assert_eq!(writer.lock().unwrap().growths(), 1);
    assert_eq!(memory, namespace.memory().unwrap());
}

#[test]
fn a_leak_check_finds_what_is_left_and_only_that() {
    let (heap, namespace) = namespace();
    let mut known = open(&namespace, "known");
    known.publish(&[1; 10]).unwrap();
    let check = LeakCheck::begin(&namespace).unwrap();
    assert!(check.leaks().unwrap().is_empty());
    known.publish(&[2; 10_000]).unwrap();
    assert!(check.leaks().unwrap().is_empty(), "a known channel may grow: {}", check.leaks().unwrap());
    let left = open(&namespace, "left");
    put(&heap, &ObjectNames::new("fleet", "known").object(Kind::Segment(Side::A, 7)), 2);
    let leaks = check.leaks().unwrap();
    let channels: Vec<_> = leaks.left.iter().map(|leak| leak.channel.as_deref().unwrap()).collect();
    assert_eq!(channels.iter().filter(|channel| **channel == "left").count(), 1);
    assert_eq!(channels.iter().filter(|channel| **channel == "known").count(), 1);
    let text = leaks.to_string();
    assert!(text.starts_with("2 objects were left in namespace \"fleet\":\n"), "{text}");
    assert!(
        text.contains("8192 bytes, of channel \"known\"") && text.contains("Retention::Nothing"),
        "{text}"
    );
    drop(left);
}

#[test]
#[should_panic(expected = "12288 bytes, of channel \"left\"")]
fn an_assertion_names_what_is_left() {
    let (_heap, namespace) = namespace();
    let check = LeakCheck::begin(&namespace).unwrap();
    let _left = open(&namespace, "left");
    check.assert_nothing_left();
}
