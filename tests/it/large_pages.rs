//! Kernels with pages of 16 and 64 KiB map files only from a multiple of their page on. A filter of
//! system calls replaces such a kernel: a worker, its successor and a main process do
//! everything that maps objects. `object::conformance` does the same with single objects.

use std::time::Duration;

use crate::common::{Actor, OwnNamespace, role, say, wait_for_end};
use crate::waiting_faults::{asleep, ends};
use tearless::{
    Namespace, Pod, Postcard, Reader, Writer, cleanup::Retention, hub::Health, options::WaitPolicy,
};

const TEST: &str = "large_pages::everything_works_with_pages_of_16_and_64_kib";

/// Longer than any test takes.
const FOREVER: Duration = Duration::from_secs(86_400);

type State = Vec<u64>;

fn state(len: u64) -> State {
    (0..len).collect()
}

fn writer(namespace: &Namespace) -> Writer<State, Postcard> {
    namespace.writer_builder("worker").codec::<Postcard>().with_schema().linger(true).open().unwrap()
}

/// Only a wake-up ends a sleep, not the end of a slice.
fn reader(namespace: &Namespace) -> Reader<State, Postcard> {
    let policy = WaitPolicy::default().spin(Duration::ZERO).slice(FOREVER);
    namespace.reader_builder("worker").codec::<Postcard>().wait_policy(policy).open().unwrap()
}

/// Creates the channel, grows it, and waits to be killed.
pub(crate) fn work(namespace: &Namespace) {
    let mut writer = writer(namespace);
    for len in [1, 100, 50_000] {
        writer.publish(&state(len)).unwrap();
    }
    assert!(writer.growths() > 0);
    say("at work");
    wait_for_end();
}

/// Looks at the killed worker's channel, resumes and shrinks it, waits for it, and removes it.
pub(crate) fn succeed(namespace: &Namespace) {
    let hub = namespace.hub_builder().codec::<Postcard>().open();
    assert!(matches!(hub.status("worker").unwrap().health, Health::Dead { .. }));
    assert_eq!(*hub.get::<State>("worker").unwrap(), state(50_000));
    assert_eq!(namespace.channels().unwrap().len(), 1);
    assert_eq!(namespace.inspect("worker").unwrap().publication, 3);

    let mut writer = writer(namespace);
    assert_eq!(writer.publication(), 3);
    writer.shrink_to_fit();
    for len in [10, 11, 12] {
        writer.publish(&state(len)).unwrap();
    }
    assert!(writer.capacity() < 50_000, "{}", writer.capacity());

    let mut reader = reader(namespace);
    assert_eq!(*reader.snapshot().unwrap(), state(12));
    assert_eq!(*reader.history().nth(1).unwrap().unwrap(), state(11));
    assert!(reader.schema_bytes().unwrap().is_some());
    let mut other = namespace.writer_builder::<u64>("other").codec::<Pod>().open().unwrap();
    other.publish(&7).unwrap();
    assert!(hub.with_codec::<Pod>().cut::<u64>(["other"]).is_consistent());
    assert_eq!(namespace.memory().unwrap().channels.len(), 2);

    let changed = asleep(move || reader.wait_after(6, FOREVER).unwrap().map(|state| state.len()));
    writer.publish(&state(20)).unwrap();
    assert_eq!(ends(changed), Some(20));
    let mut watch = hub.watch("*");
    assert_eq!(watch.changed().unwrap().len(), 2);
    let changed = asleep(move || watch.wait_any(FOREVER).unwrap());
    other.publish(&8).unwrap();
    assert_eq!(ends(changed).first().map(|name| &**name), Some("other"));

    drop((writer, other));
    namespace.clean(Retention::Nothing).unwrap();
    assert!(namespace.channels().unwrap().is_empty());
}

#[test]
fn everything_works_with_pages_of_16_and_64_kib() {
    if let Some((role, namespace)) = role() {
        let (task, page) = role.split_once(' ').unwrap();
        testkit::seccomp::map_files_by(page.parse().unwrap());
        return if task == "work" { work(&namespace) } else { succeed(&namespace) };
    }
    for page in [16 << 10, 64 << 10] {
        let own = OwnNamespace::new(&["worker", "other"]);
        let mut worker = Actor::start(TEST, &format!("work {page}"), &own);
        worker.await_line("at work");
        worker.kill();
        Actor::start(TEST, &format!("succeed {page}"), &own).finish();
    }
}
