//! Workers start and end. The test sets the time.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tearless::{Bytes, Namespace, Writer, WriterBuilder, cleanup::Retention};

use super::{Fleet, LINGER};
use crate::commands::top::data::Row;
use crate::commands::top::inspector::Inspector;
use crate::directory::Directory;

/// How long a test waits for what it expects.
const PATIENCE: Duration = Duration::from_secs(60);

/// A separate namespace with its fleet; removed at the end.
struct Stage {
    namespace: Namespace,
    fleet: Fleet,
}

impl Stage {
    fn new() -> Stage {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test-top-fleet-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let namespace = Namespace::open(&name).unwrap();
        Stage { fleet: Fleet::new(namespace.clone(), &Directory::default()), namespace }
    }

    fn builder(&self, channel: &str) -> WriterBuilder<[u8], Bytes> {
        self.namespace.writer_builder::<[u8]>(channel).codec::<Bytes>()
    }

    fn writer(&self, channel: &str) -> Writer<[u8], Bytes> {
        self.builder(channel).open().unwrap()
    }

    fn row(&self, channel: &str) -> &Row {
        self.fleet.rows.iter().find(|row| row.name == channel).expect("there is such a row")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Removed one by one: a cleanup that removes a channel keeps its entry while its writer's
        // process is alive.
        for info in self.namespace.channels().unwrap_or_default() {
            let _ = self.namespace.remove_channel(&info.name);
        }
        let _ = self.namespace.clean(Retention::Nothing);
        if !std::thread::panicking() {
            let left = self.namespace.memory().unwrap();
            assert_eq!(left.total().objects, 0, "{left:?}");
        }
    }
}

#[test]
fn a_trouble_that_has_passed_is_not_shown() {
    let directory = Path::new("/dev/shm").join(format!("test-top-trouble-{}", std::process::id()));
    let away = directory.with_extension("away");
    fs::create_dir(&directory).unwrap();
    let namespace = Namespace::builder("test-top").directory(&directory).open().unwrap();
    let writer = namespace.writer_builder::<[u8]>("worker").codec::<Bytes>().open().unwrap();
    let mut fleet = Fleet::new(namespace, &Directory::default());
    let mut troubles = (0..).map(|at| {
        fleet.sample(seconds(at * 100));
        fleet.trouble().map(String::from)
    });
    assert_eq!(troubles.next().unwrap(), None);
    fs::rename(&directory, &away).unwrap();
    assert!(troubles.next().unwrap().is_some());
    fs::rename(&away, &directory).unwrap();
    assert_eq!(troubles.next().unwrap(), None);
    drop(writer);
    fs::remove_dir_all(&directory).unwrap();
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn rows_say_what_workers_do() {
    let mut stage = Stage::new();
    assert!(!stage.fleet.sample(seconds(0)));
    assert!(stage.fleet.rows.is_empty() && stage.fleet.memory.is_some());
    let mut writer = stage.writer("worker");
    assert!(stage.fleet.sample(seconds(1)));
    let row = stage.row("worker");
    assert_eq!((row.word(), row.age, row.bytes, row.growths), ("alive", None, None, Some(0)));
    assert_eq!(row.pid, Some(u64::from(std::process::id())));
    for number in 1_usize..=10 {
        writer.publish(&vec![7; 1_000 * number]).unwrap();
    }
    assert!(!stage.fleet.sample(seconds(3)));
    let row = stage.row("worker");
    assert_eq!((row.bytes, row.rates.per_second()), (Some(10_000), Some(5.0)));
    assert!(row.age.is_some() && row.growths > Some(0) && row.trouble.is_none(), "{row:?}");
}

#[test]
fn blocks_come_and_go_and_count_as_memory() {
    let mut stage = Stage::new();
    let _worker = stage.writer("prices");
    let block = stage.namespace.block("prices", 1 << 20).unwrap();
    assert!(stage.fleet.sample(seconds(0)));
    let rows: Vec<_> = stage.fleet.rows.iter().map(|row| (row.kind(), row.word(), row.bytes)).collect();
    assert_eq!(rows, [("channel", "alive", None), ("block", "alive", Some(1 << 20))]);
    assert!(stage.fleet.memory.unwrap().resident > 1 << 20);
    let (_second, later) = (stage.writer("another"), stage.namespace.block("later", 8).unwrap());
    assert!(stage.fleet.sample(seconds(1)), "a channel is noticed at once");
    assert_eq!(stage.fleet.rows.len(), 3, "blocks are listed at times");
    // As long as a listing that took long makes the next one wait.
    assert!(stage.fleet.sample(seconds(1_000)));
    let names: Vec<_> = stage.fleet.rows[2..].iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["later", "prices"]);
    drop((block, later));
    assert!(stage.fleet.sample(seconds(2_000)));
    assert!(stage.fleet.rows.iter().all(|row| row.block.is_none()) && stage.fleet.rows.len() == 2);
    assert!(stage.fleet.memory.unwrap().resident < 1 << 20);
}

#[test]
fn a_namespace_of_blocks_alone_exists() {
    let mut stage = Stage::new();
    let _block = stage.namespace.block("prices", 8).unwrap();
    stage.fleet.sample(seconds(0));
    assert_eq!((stage.fleet.rows.len(), &stage.fleet.missing), (1, &None));
}

#[test]
fn rows_say_which_pins_are_held() {
    // All code inside this process is trusted with views.
    let namespace = Namespace::in_process("fleet").unwrap();
    let mut fleet = Fleet::new(namespace.clone(), &Directory::default());
    let builder = |channel: &str| namespace.writer_builder::<[u8]>(channel).codec::<Bytes>();
    let mut writers =
        [builder("pinned").pins(2).capacity(100_000), builder("without")].map(|it| it.open().unwrap());
    for writer in &mut writers {
        writer.publish(&[7; 100_000]).unwrap();
    }
    let pinned = |fleet: &Fleet, channel: &str| {
        let row = fleet.rows.iter().find(|row| row.name == channel);
        row.expect("there is such a row").pinned.clone()
    };
    fleet.sample(seconds(0));
    assert_eq!((pinned(&fleet, "pinned"), pinned(&fleet, "without")), (vec![0, 0], vec![]));
    let mut reader = namespace.reader_builder::<Vec<u8>>("pinned").codec::<Bytes>().open().unwrap();
    let view = reader.view().unwrap();
    assert!(view.is_in_place());
    fleet.sample(seconds(2));
    assert_eq!(pinned(&fleet, "pinned").iter().sum::<u64>(), 1, "publication 1 is viewed");
    drop(view);
    fleet.sample(seconds(4));
    assert_eq!(pinned(&fleet, "pinned"), [0, 0]);
}

#[test]
fn a_missing_namespace_is_reported_until_it_is_created() {
    let mut stage = Stage::new();
    stage.fleet.sample(seconds(0));
    let missing = stage.fleet.missing.clone().unwrap_or_default();
    assert!(missing.contains("there is no namespace \"test-top-fleet-"), "{missing}");
    let mut writer = stage.writer("worker");
    writer.publish(&[1]).unwrap();
    stage.fleet.sample(seconds(1));
    assert_eq!((stage.fleet.rows.len(), &stage.fleet.missing), (1, &None));
    let stays = stage.writer("another");
    writer.close().unwrap();
    stage.fleet.sample(seconds(2));
    stays.close().unwrap();
    stage.fleet.sample(seconds(3));
    stage.fleet.sample(seconds(3) + LINGER);
    assert_eq!(stage.fleet.rows.len(), 0);
    assert!(stage.fleet.missing.is_some(), "it has ended with its last channel");
}

#[test]
fn a_worker_that_breaks_its_promise_is_stalled_and_one_that_promised_nothing_is_not() {
    let mut stage = Stage::new();
    let interval = Duration::from_millis(1);
    let mut promised = stage.builder("promised").heartbeat_interval(interval).open().unwrap();
    let mut free = stage.writer("free");
    for writer in [&mut promised, &mut free] {
        writer.publish(b"state").unwrap();
    }
    sleep(interval * 4);
    stage.fleet.sample(seconds(1));
    assert_eq!((stage.row("promised").word(), stage.row("free").word()), ("stalled", "alive"));
}

#[test]
fn a_channel_that_ends_is_shown_for_a_while_and_comes_back_if_it_does() {
    let mut stage = Stage::new();
    let mut writer = stage.writer("worker");
    writer.publish(b"first").unwrap();
    stage.fleet.sample(seconds(1));
    drop(writer);
    assert!(!stage.fleet.sample(seconds(2)));
    let row = stage.row("worker");
    assert_eq!((row.word(), row.bytes), ("closed", Some(5)), "its last numbers can be read");

    let mut writer = stage.writer("worker");
    writer.publish(b"another").unwrap();
    stage.fleet.sample(seconds(3));
    assert_eq!((stage.row("worker").word(), stage.row("worker").bytes), ("alive", Some(7)));

    drop(writer);
    stage.fleet.sample(seconds(4));
    let end = seconds(4) + LINGER;
    assert!(!stage.fleet.sample(end - seconds(1)));
    assert!(stage.fleet.sample(end));
    assert!(stage.fleet.rows.is_empty());
}

#[test]
fn a_lingering_channel_stays_and_its_successor_is_noticed_at_once() {
    let mut stage = Stage::new();
    let mut writer = stage.builder("worker").linger(true).open().unwrap();
    writer.publish(b"last words").unwrap();
    drop(writer);
    stage.fleet.sample(seconds(1));
    stage.fleet.sample(seconds(100));
    assert_eq!((stage.row("worker").word(), stage.row("worker").bytes), ("closed", Some(10)));
    let _successor = stage.writer("worker");
    stage.fleet.sample(seconds(100));
    assert_eq!(stage.row("worker").word(), "alive");
}

#[test]
fn a_channel_without_its_object_reports_why_it_can_not_be_read() {
    let mut stage = Stage::new();
    let before = objects();
    let _writer = stage.writer("worker");
    for object in objects().into_iter().filter(|object| !before.contains(object) && object.ends_with('c')) {
        // Another test may run at this moment: only objects of this namespace are unlinked.
        if is_of(&object, stage.namespace.name()) {
            fs::remove_file(format!("/dev/shm/{object}")).unwrap();
        }
    }
    stage.fleet.sample(seconds(1));
    let row = stage.row("worker");
    assert_eq!(row.health, None);
    assert!(row.trouble.as_ref().is_some_and(|trouble| trouble.contains("worker")), "{row:?}");
}

#[test]
fn a_channel_that_lost_its_names_is_replaced_by_its_successor() {
    let mut stage = Stage::new();
    let mut first = stage.writer("worker");
    first.publish(&[1; 10]).unwrap();
    stage.fleet.sample(seconds(0));
    let mut inspector = Inspector::new(stage.namespace.clone());
    inspector.look(Some("worker"), seconds(0));
    assert_eq!((stage.row("worker").bytes, inspector.detail.publication), (Some(10), 1));
    for object in objects().iter().filter(|object| is_of(object, stage.namespace.name())) {
        fs::remove_file(format!("/dev/shm/{object}")).unwrap();
    }
    let mut second = stage.writer("worker");
    for _ in 0..3 {
        second.publish(&[2; 20]).unwrap();
    }
    let (mut at, begin) = (seconds(0), Instant::now());
    while stage.row("worker").bytes != Some(20) {
        assert!(begin.elapsed() < PATIENCE, "the successor was not noticed: {:?}", stage.row("worker"));
        sleep(Duration::from_millis(10));
        at += Duration::from_millis(10);
        stage.fleet.sample(at);
    }
    inspector.look(Some("worker"), at + seconds(60));
    assert_eq!(inspector.detail.publication, 3);
    drop(first);
}

fn objects() -> Vec<String> {
    let entries = fs::read_dir("/dev/shm").unwrap().filter_map(Result::ok);
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Whether a control page names this namespace.
fn is_of(object: &str, namespace: &str) -> bool {
    let content = fs::read(format!("/dev/shm/{object}")).unwrap_or_default();
    content.windows(namespace.len()).any(|part| part == namespace.as_bytes())
}

#[test]
fn the_inspector_follows_the_selected_worker() {
    let stage = Stage::new();
    let mut first = stage.writer("first");
    let mut second = stage.builder("second").linger(true).open().unwrap();
    second.publish(b"of the second").unwrap();
    let mut inspector = Inspector::new(stage.namespace.clone());
    inspector.look(None, seconds(0));
    assert!(inspector.detail.label.is_empty());
    inspector.look(Some("first"), seconds(1));
    let detail = &inspector.detail;
    assert_eq!(
        (detail.label.as_str(), detail.format.as_str(), detail.publication),
        ("first", "bytes bytes", 0)
    );
    assert!(detail.note.as_ref().is_some_and(|note| note.contains("nothing has been published")));
    first.publish(b"abc").unwrap();
    inspector.look(Some("first"), seconds(20));
    assert_eq!((inspector.detail.publication, inspector.detail.lines.len()), (1, 1));
    assert!(inspector.detail.lines[0].value.ends_with("abc"));
    assert!(inspector.is_of_another(Some("second")));
    inspector.look(Some("second"), seconds(20));
    assert_eq!(inspector.detail.lines.len(), 2, "the fields of the other worker, at once");
    drop(second);
    inspector.look(Some("second"), seconds(40));
    assert_eq!(inspector.detail.publication, 1, "the last state stays");
    let mut large = stage.writer("large");
    large.publish(&vec![0; (1 << 20) + 1]).unwrap();
    inspector.look(Some("large"), seconds(50));
    assert!(inspector.detail.lines.is_empty());
    assert!(
        inspector.detail.note.as_ref().is_some_and(|note| note.contains("too large")),
        "{:?}",
        inspector.detail
    );
    inspector.look(Some("third"), seconds(60));
    assert!(
        inspector.detail.note.as_ref().is_some_and(|note| note.contains("third")),
        "{:?}",
        inspector.detail
    );
}

#[test]
fn a_channel_with_a_schema_shows_its_fields_and_one_without_says_why_not() {
    let stage = Stage::new();
    let builder = stage
        .namespace
        .writer_builder::<(u64, String)>("with-schema")
        .codec::<tearless::Postcard>()
        .with_schema();
    let mut writer = builder.open().unwrap();
    writer.publish(&(7, "seven".into())).unwrap();
    let builder = stage.namespace.writer_builder::<(u64, String)>("other").codec::<tearless::Postcard>();
    let mut other = builder.open().unwrap();
    other.publish(&(7, "seven".into())).unwrap();
    let mut inspector = Inspector::new(stage.namespace.clone());
    let lines = |inspector: &Inspector| -> Vec<String> {
        let lines = inspector.detail.lines.iter();
        lines.map(|line| format!("{} = {}", line.path, line.value)).collect()
    };
    inspector.look(Some("with-schema"), seconds(1));
    assert_eq!(lines(&inspector), ["[0] = 7", "[1] = \"seven\""]);
    inspector.look(Some("other"), seconds(2));
    assert!(lines(&inspector)[0].starts_with("0000 = 07 05 73 65"), "{:?}", inspector.detail);
    assert!(
        inspector.detail.note.as_ref().is_some_and(|note| note.contains("schema")),
        "{:?}",
        inspector.detail
    );
}
