//! The reported cost of a namespace is what the system reports, channel by channel. Budgets are
//! kept, and leftovers are found.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::common::{Actor, OwnNamespace, orders, pattern, role, rounds, say};
use tearless::{
    Bytes, Namespace, Reader, Writer,
    cleanup::Retention,
    error::{BudgetScope, CreateError, PublishError, SizeLimit},
    testing::LeakCheck,
    usage::{ChannelMemory, MemoryUsage},
};
use testkit::objects::{DIRECTORY, Objects};

const CHANNEL: &str = "worker";

/// Characters that the names of all objects of a namespace begin with.
const NAMESPACE_PREFIX: usize = 10;

fn open(namespace: &Namespace, channel: &str) -> Result<Writer<[u8], Bytes>, CreateError> {
    namespace.writer_builder::<[u8]>(channel).codec::<Bytes>().open()
}

fn attach(namespace: &Namespace) -> Reader<Vec<u8>, Bytes> {
    namespace.reader_builder::<Vec<u8>>(CHANNEL).codec::<Bytes>().open().unwrap()
}

/// The system's figures of objects: their bytes, their bytes that have memory, and their number.
type Figures = (u64, u64, u64);

fn stat(path: &Path) -> Figures {
    let metadata = fs::metadata(path).unwrap();
    (metadata.len(), metadata.blocks() * 512, 1)
}

fn stat_all(begins_with: &str) -> Figures {
    let entries = fs::read_dir(DIRECTORY).unwrap().map(Result::unwrap);
    let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(begins_with));
    ours.map(|entry| stat(&entry.path())).fold((0, 0, 0), |a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2))
}

fn figures_of(usage: MemoryUsage) -> Figures {
    (usage.bytes, usage.resident, usage.objects)
}

fn memory_of(namespace: &Namespace, channel: &str) -> ChannelMemory {
    let channels = namespace.memory().unwrap().channels;
    channels.into_iter().find(|memory| memory.channel == channel).expect("the channel is listed")
}

/// Obeys: `publish LEN`, `grow` (for ever, up and down), `open BUDGET`.
fn play(namespace: &Namespace) {
    let mut writer = None;
    for command in orders() {
        let (verb, number) = command.split_once(' ').unwrap_or((&command, "0"));
        let number: usize = number.parse().unwrap();
        match verb {
            "open" => {
                let namespace = Namespace::builder(namespace.name());
                let opened = open(&namespace.max_memory(number as u64).open().unwrap(), CHANNEL);
                say(if opened.is_ok() { "answer: opened" } else { "answer: refused" });
                writer = opened.ok();
            }
            "publish" => {
                let published = writer.as_mut().unwrap().publish(&pattern(number));
                say(if published.is_ok() { "answer: published" } else { "answer: refused" });
            }
            _ => loop {
                let writer: &mut Writer<[u8], Bytes> = writer.as_mut().unwrap();
                for len in [200_000, 200_001] {
                    writer.publish(&pattern(len)).unwrap();
                }
                writer.shrink_to_fit();
                for len in [10, 11] {
                    writer.publish(&pattern(len)).unwrap();
                }
            },
        }
    }
}

/// A worker process with a budget in bytes.
fn start(test: &str, own: &OwnNamespace, budget: usize) -> Actor {
    let mut worker = Actor::start(test, "worker", own);
    ask(&mut worker, &format!("open {budget}"), "opened");
    worker
}

/// Sends a worker an order. Panics unless it answers as expected.
fn ask(worker: &mut Actor, command: &str, expected: &str) {
    worker.order(command);
    let answer = worker.await_line_with("answer: ");
    assert!(answer.ends_with(expected), "{command}: {answer}");
}

#[test]
fn every_kind_has_the_size_that_the_system_reports() {
    let own = OwnNamespace::new(&[]);
    let mut writers = ["one", "two", "three"].map(|channel| open(&own, channel).unwrap());
    writers[1].publish(&pattern(70_000)).unwrap();
    let memory = own.memory().unwrap();
    assert_eq!(memory.namespace, own.name());
    let if_any = |path: Option<PathBuf>| path.map_or((0, 0, 0), |path| stat(&path));
    for (channel, b) in [("one", None), ("two", Some("b2")), ("three", None)] {
        let objects = Objects::of(own.name(), channel);
        let found = memory.channels.iter().find(|memory| memory.channel == channel).unwrap();
        assert_eq!(figures_of(found.control), stat(&objects.path("c")), "{channel}");
        assert_eq!(found.segment_a, MemoryUsage::default(), "{channel}");
        assert_eq!(figures_of(found.segment_b), if_any(b.map(|b| objects.path(b))), "{channel}");
        assert_eq!(figures_of(found.total()), stat_all(&objects.name("")), "{channel}");
        assert_eq!(found.total().bytes, found.total().resident, "a channel's memory is reserved");
    }
    let all = Objects::of(own.name(), "one").name("c");
    assert_eq!(figures_of(memory.total()), stat_all(&all[..NAMESPACE_PREFIX]));
    assert_eq!(memory.registry.resident, memory.registry.bytes, "nothing is sparse: {memory}");
    assert_eq!((memory.unnamed.objects, memory.other.objects), (0, 0));
    drop(writers);
    assert_eq!(own.memory().unwrap().total(), MemoryUsage::default());
}

#[test]
fn a_growing_process_is_followed_and_its_peak_remembered() {
    let test = "memory::a_growing_process_is_followed_and_its_peak_remembered";
    if let Some((_, namespace)) = role() {
        return play(&namespace);
    }
    let own = OwnNamespace::new(&[CHANNEL]);
    let mut worker = start(test, &own, 1 << 30);
    static HEAP: AtomicU64 = AtomicU64::new(0);
    let mut tracker = own.peak_memory().with_heap(|| HEAP.load(Relaxed));
    let objects = Objects::of(own.name(), CHANNEL);
    let mut before = tracker.observe().unwrap();
    let mut more = 2;
    for len in [10_000, 100_000, 1_000_000_i64] {
        for _ in 0..2 {
            ask(&mut worker, &format!("publish {len}"), "published");
        }
        HEAP.store(len.unsigned_abs(), Relaxed);
        let now = tracker.observe().unwrap();
        assert_eq!(figures_of(now.channels[0].total()), stat_all(&objects.name("")));
        let change = now.diff(&before);
        assert!(change.total.resident > 3 * len && change.channels[0].channel == CHANNEL, "{change}");
        assert_eq!(change.total.objects, more, "the first segments stay, and replaced ones are gone");
        assert_eq!(tracker.peak(), now.total());
        (before, more) = (now, 0);
    }
    worker.finish();
    HEAP.store(0, Relaxed);
    assert_eq!(tracker.observe().unwrap().total(), MemoryUsage::default());
    assert_eq!(tracker.peak(), before.total());
    assert_eq!(tracker.peak_heap(), 1_000_000);
}

#[test]
fn leftovers_of_a_killed_growth_are_reported_until_they_are_removed() {
    let test = "memory::leftovers_of_a_killed_growth_are_reported_until_they_are_removed";
    if let Some((_, namespace)) = role() {
        return play(&namespace);
    }
    let own = OwnNamespace::new(&[CHANNEL]);
    // A growing writer often has one segment too many, so that a few kills are enough.
    let end = Instant::now() + Duration::from_secs(60);
    let mut left = MemoryUsage::default();
    while left.objects == 0 {
        assert!(Instant::now() < end, "no kill has hit a growth");
        let mut worker = start(test, &own, 1 << 30);
        assert_eq!(memory_of(&own, CHANNEL).replaced.objects, 0, "a takeover removes the leftovers");
        let before = attach(&own).publication();
        worker.order("grow");
        let reader = attach(&own);
        crate::common::eventually("it publishes", || reader.publication() > before + 20);
        worker.kill();
        left = memory_of(&own, CHANNEL).replaced;
    }
    let objects = Objects::of(own.name(), CHANNEL);
    let all = memory_of(&own, CHANNEL);
    assert_eq!(figures_of(all.total()), stat_all(&objects.name("")));
    assert_eq!(left.objects, objects.listed().len() as u64 - 3);
    own.clean(Retention::UntilReplaced).unwrap();
    assert_eq!(memory_of(&own, CHANNEL), {
        let mut kept = all;
        kept.replaced = MemoryUsage::default();
        kept
    });
    assert!(!attach(&own).snapshot().unwrap().is_empty(), "the last state is still there");
}

#[test]
fn leftovers_of_each_kind_are_counted_apart() {
    let own = OwnNamespace::new(&[CHANNEL]);
    let mut writer = open(&own, CHANNEL).unwrap();
    writer.publish(&pattern(10_000)).unwrap();
    let objects = Objects::of(own.name(), CHANNEL);
    fs::write(objects.path("a2"), vec![1; 3 * 4_096]).unwrap();
    assert_eq!(figures_of(memory_of(&own, CHANNEL).replaced), stat(&objects.path("a2")));
    fs::remove_file(objects.path("c")).unwrap();
    let memory = own.memory().unwrap();
    assert_eq!(figures_of(memory.unnamed), stat_all(&objects.name("")));
    assert_eq!((memory.unnamed.objects, memory.channels.len()), (2, 0));
    let unknown = format!("{DIRECTORY}/{}zzz", &objects.name("")[..NAMESPACE_PREFIX]);
    fs::write(&unknown, b"of some later version").unwrap();
    let other = own.memory().unwrap().other;
    let expected = stat(Path::new(&unknown));
    fs::remove_file(&unknown).unwrap();
    assert_eq!(figures_of(other), expected);
    drop(writer);
    for kind in objects.listed() {
        fs::remove_file(objects.path(&kind)).unwrap();
    }
}

#[test]
fn a_channels_budget_refuses_growth_and_keeps_the_state() {
    let own = OwnNamespace::new(&[CHANNEL]);
    let budget = 100_000;
    let builder = own.writer_builder::<[u8]>(CHANNEL).codec::<Bytes>();
    let refused = builder.clone().max_memory(3 * 4_096 - 1).open().unwrap_err();
    assert!(matches!(refused, CreateError::OverBudget { .. }), "{refused}");
    assert!(refused.to_string().contains("raise WriterBuilder::max_memory"), "{refused}");
    assert_eq!(own.memory().unwrap().total(), MemoryUsage::default(), "nothing is left");
    let mut writer = builder.max_memory(budget).open().unwrap();
    let mut reader = attach(&own);
    writer.publish(&pattern(10_000)).unwrap();
    let before = memory_of(&own, CHANNEL);
    let error = writer.publish(&pattern(60_000)).unwrap_err();
    let PublishError::TooLarge { len: 60_000, limit: SizeLimit::Budget(over), .. } = &error else {
        panic!("{error}");
    };
    assert_eq!((over.scope, over.budget), (BudgetScope::Channel, budget));
    assert_eq!(over.used, before.total().resident);
    assert!(over.used + over.needed > budget);
    assert_eq!(*reader.snapshot().unwrap(), pattern(10_000));
    assert_eq!(memory_of(&own, CHANNEL), before);
    assert_eq!(writer.publish(&pattern(9_000)).unwrap(), 2);
    assert_eq!(*reader.snapshot().unwrap(), pattern(9_000));
    assert_eq!((writer.statistics().publications, writer.statistics().failed), (2, 1));
    assert_eq!((reader.statistics().snapshots, reader.statistics().bytes), (2, 19_000));
    reader.read_at(0, &mut [0; 10]).unwrap();
    assert_eq!((reader.statistics().snapshots, reader.statistics().bytes), (3, 28_000));
}

#[test]
fn a_namespaces_budget_counts_what_all_processes_have() {
    let test = "memory::a_namespaces_budget_counts_what_all_processes_have";
    if let Some((_, namespace)) = role() {
        return play(&namespace);
    }
    let own = OwnNamespace::new(&[CHANNEL]);
    let mut other = open(&own, "other").unwrap();
    let used = own.memory().unwrap().total().resident;
    let mut worker = Actor::start(test, "worker", &own);
    ask(&mut worker, &format!("open {used}"), "refused");
    assert_eq!(own.memory().unwrap().channels.len(), 1, "the refused channel leaves nothing");
    let budget = used + 100_000;
    ask(&mut worker, &format!("open {budget}"), "opened");
    let mut reader = attach(&own);
    ask(&mut worker, "publish 5000", "published");
    // A channel of another process takes the rest. It has no budget.
    other.publish(&pattern(200_000)).unwrap();
    assert!(own.memory().unwrap().total().resident > budget);
    ask(&mut worker, "publish 20000", "refused");
    assert_eq!(*reader.snapshot().unwrap(), pattern(5_000));
    ask(&mut worker, "publish 900", "published");
    assert_eq!(*reader.snapshot().unwrap(), pattern(900));
    drop(other);
    ask(&mut worker, "publish 10000", "published");
    assert_eq!(*reader.snapshot().unwrap(), pattern(10_000));
    assert!(own.memory().unwrap().total().resident <= budget);
    worker.finish();
}

/// Marks a test as done when it is dropped, so that the test's threads also end when the test
/// fails.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        // Relaxed: the flag orders no other data.
        self.0.store(true, Relaxed);
    }
}

#[test]
fn objects_may_vanish_while_they_are_listed() {
    let own = OwnNamespace::new(&[]);
    let stays = open(&own, "stays").unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (namespace, done) = (&*own, &done);
            scope.spawn(move || {
                // Relaxed: the flag orders no other data.
                while !done.load(Relaxed) {
                    let mut writer = open(namespace, &format!("comes-and-goes-{thread}")).unwrap();
                    writer.publish(&pattern(50_000)).unwrap();
                }
            });
        }
        let _done = Done(&done);
        let mut seen = 0;
        for _ in 0..rounds(2_000, 200_000) {
            let memory = own.memory().unwrap();
            let found = memory.channels.iter().find(|memory| memory.channel == "stays").unwrap();
            assert_eq!((found.total().objects, found.total().bytes), (1, 3 * 4_096));
            assert_eq!(memory.other.objects, 0);
            assert!(memory.channels.len() <= 3, "{memory}");
            seen += memory.channels.len() - 1;
        }
        assert!(seen > 0, "no channel that comes and goes was ever listed");
    });
    drop(stays);
    assert_eq!(own.memory().unwrap().total(), MemoryUsage::default());
}

#[test]
fn a_leak_check_finds_what_a_killed_process_left() {
    let test = "memory::a_leak_check_finds_what_a_killed_process_left";
    if let Some((_, namespace)) = role() {
        return play(&namespace);
    }
    let own = OwnNamespace::new(&[CHANNEL]);
    let tracker = LeakCheck::begin(&own).unwrap();
    let mut worker = start(test, &own, 1 << 30);
    ask(&mut worker, "publish 10000", "published");
    worker.kill();
    let leaks = tracker.leaks().unwrap();
    let objects = Objects::of(own.name(), CHANNEL);
    for kind in ["c", "b2"] {
        let leak = leaks.left.iter().find(|leak| leak.object == objects.name(kind)).unwrap();
        assert_eq!((leak.channel.as_deref(), leak.resident), (Some(CHANNEL), stat(&objects.path(kind)).1));
    }
    assert_eq!(leaks.left.len(), 3, "with the registry: {leaks}");
    assert!(own.remove_channel(CHANNEL).unwrap());
    tracker.assert_nothing_left();
}
