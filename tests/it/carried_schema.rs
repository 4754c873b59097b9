//! A channel may carry the schema of its states. The schema exists while the channel does, and is
//! removed with it. Damage to the schema harms no state.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use crate::common::{Actor, OwnNamespace, orders, role, say, wait_for_end};
use tearless::schema::Schema;
use tearless::{
    Bytes, Namespace, Pod, Postcard, Reader, Writer, WriterBuilder, accept,
    cleanup::Retention,
    error::{AttachError, CreateError, SnapshotError},
    inspect::SchemaInspection,
    options::RetryPolicy,
};
use testkit::objects::{Objects, SCHEMA, SCHEMA_MARK};

type State = (u64, Option<String>);

/// Something else at a path, and its name.
type Squat = (&'static str, fn(&Path));

const NO_OBJECTS: [&str; 0] = [];

fn builder(namespace: &Namespace) -> WriterBuilder<State, Postcard> {
    namespace.writer_builder::<State>("worker").codec::<Postcard>().with_schema()
}

fn state(number: u64) -> State {
    (number, Some("a job".into()))
}

/// A channel with a schema whose writer was killed after it had published one state.
fn left(own: &OwnNamespace, test: &str) -> Objects {
    let mut writer = Actor::start(test, "writer", own);
    writer.await_line("ready");
    writer.kill();
    let objects = Objects::of(own.name(), "worker");
    assert_eq!(objects.listed(), ["c"]);
    objects
}

/// The writer that [`left`] kills.
fn write(namespace: &Namespace) {
    let mut writer = builder(namespace).open().unwrap();
    writer.publish(&state(1)).unwrap();
    say("ready");
    wait_for_end();
}

fn typed(namespace: &Namespace) -> Reader<State, Postcard> {
    namespace.reader_builder("worker").codec().open().unwrap()
}

fn raw(namespace: &Namespace) -> Reader<Vec<u8>, Bytes> {
    try_raw(namespace).unwrap()
}

fn try_raw(namespace: &Namespace) -> Result<Reader<Vec<u8>, Bytes>, AttachError> {
    let patience = RetryPolicy::default().attempts(1).deadline(std::time::Duration::ZERO);
    let builder = namespace.reader_builder("worker").codec::<Bytes>().accept(accept::Any);
    builder.retry_policy(patience).open()
}

#[test]
fn a_schema_outlives_its_writer_and_is_removed_with_its_channel() {
    let test = "carried_schema::a_schema_outlives_its_writer_and_is_removed_with_its_channel";
    if let Some((_, namespace)) = role() {
        return write(&namespace);
    }
    let own = OwnNamespace::new(&["worker"]);
    let objects = left(&own, test);
    let reader = raw(&own);
    assert_eq!((reader.codec_name(), reader.has_timestamps()), ("postcard", true));
    assert_eq!(reader.type_name(), "(u64, Option<String>)");
    let schema = Schema::from_bytes(&reader.schema_bytes().unwrap().unwrap()).unwrap();
    assert_eq!(schema.to_string(), "(u64, Option<String>)");
    assert!(own.clean(Retention::UntilReplaced).unwrap().removed.is_empty());
    let mut successor = builder(&own).open().unwrap();
    assert_eq!(successor.publish(&state(2)).unwrap(), 2);
    successor.close_lingering().unwrap();
    assert!(reader.schema_bytes().unwrap().is_some());
    assert!(own.remove_channel("worker").unwrap());
    assert_eq!(objects.listed(), NO_OBJECTS);
    assert_eq!(reader.schema_bytes().unwrap().unwrap(), schema.to_bytes(), "a reader keeps it");
    drop(builder(&own).open().unwrap());
    assert_eq!(objects.listed(), NO_OBJECTS);
}

#[test]
fn a_successor_of_another_type_replaces_the_schema_and_readers_follow() {
    let test = "carried_schema::a_successor_of_another_type_replaces_the_schema_and_readers_follow";
    if let Some((_, namespace)) = role() {
        return write(&namespace);
    }
    for other in ["none", "another"] {
        let own = OwnNamespace::new(&["worker"]);
        let objects = left(&own, test);
        let mut reader = raw(&own);
        reader.snapshot().unwrap();
        // The type names are equal, so that only the schemas differ.
        let plain =
            own.writer_builder::<(u64, u8)>("worker").codec::<Postcard>().type_name("(u64, Option<String>)");
        let mut writer = if other == "none" { plain.open() } else { plain.with_schema().open() }.unwrap();
        assert_eq!(writer.publish(&(1, 2)).unwrap(), 1, "{other}: a new channel");
        assert!(matches!(reader.snapshot(), Err(SnapshotError::Closed { last: 1, .. })), "{other}");
        let schema_of = |reader: &Reader<Vec<u8>, Bytes>| {
            reader.schema_bytes().unwrap().map(|bytes| Schema::from_bytes(&bytes).unwrap().to_string())
        };
        assert_eq!(
            schema_of(&raw(&own)).as_deref(),
            match other {
                "none" => None,
                _ => Some("(u64, u8)"),
            }
        );
        assert_eq!(schema_of(&reader).unwrap(), "(u64, Option<String>)", "that of its own channel");
        writer.close().unwrap();
        assert_eq!(objects.listed(), NO_OBJECTS, "{other}");
    }
}

#[test]
fn the_next_writer_restores_a_damaged_schema() {
    let test = "carried_schema::the_next_writer_restores_a_damaged_schema";
    if let Some((_, namespace)) = role() {
        return write(&namespace);
    }
    for (harm, byte) in [("zeroes", 0), ("text", b'x')] {
        let own = OwnNamespace::new(&["worker"]);
        let objects = left(&own, test);
        let whole = raw(&own).schema_bytes().unwrap().unwrap();
        objects.overwrite(SCHEMA, &vec![byte; whole.len()]);
        let error = raw(&own).schema_bytes().unwrap_err();
        assert!(error.to_string().contains(&objects.name("c")), "{harm}: {error}");
        assert_eq!(typed(&own).snapshot().unwrap().0, 1, "{harm}");
        let mut successor = builder(&own).open().unwrap();
        assert_eq!(successor.publish(&state(2)).unwrap(), 2, "{harm}: the channel continues");
        assert_eq!(raw(&own).schema_bytes().unwrap().unwrap(), whole, "{harm}");
        successor.close().unwrap();
        assert_eq!(objects.listed(), NO_OBJECTS, "{harm}");
    }
}

#[test]
fn a_squatted_name_is_refused_and_leaves_the_published_state() {
    let test = "carried_schema::a_squatted_name_is_refused_and_leaves_the_published_state";
    if let Some((_, namespace)) = role() {
        return write(&namespace);
    }
    let own = OwnNamespace::new(&["worker"]);
    let objects = left(&own, test);
    let squats: [Squat; 2] = [
        ("directory", |path| fs::create_dir(path).unwrap()),
        ("symlink", |path| symlink("/etc/hostname", path).unwrap()),
    ];
    for (kind, squat) in squats {
        let path = objects.path("a2");
        squat(&path);
        // The new schema makes another channel. Nothing is removed for a channel that can't be
        // created.
        let error = own.writer::<State>("worker").map(drop).unwrap_err();
        assert!(error.to_string().contains(&objects.name("a2")), "{kind}: {error}");
        assert_eq!(typed(&own).snapshot().unwrap().0, 1, "{kind}");
        assert!(raw(&own).schema_bytes().unwrap().is_some(), "{kind}");
        assert_eq!(objects.listed(), ["a2", "c"], "{kind}");
        let _ = fs::remove_file(&path);
        let _ = fs::remove_dir(&path);
    }
    // A new channel and a takeover do not need the name.
    fs::create_dir(objects.path("a2")).unwrap();
    assert_eq!(builder(&own).open().unwrap().publish(&state(2)).unwrap(), 2);
    assert_eq!(builder(&own).open().unwrap().publish(&state(1)).unwrap(), 1);
    fs::remove_dir(objects.path("a2")).unwrap();
    assert_eq!(objects.listed(), NO_OBJECTS);
}

#[test]
fn without_memory_for_the_schema_nothing_is_created_and_nothing_is_replaced() {
    let test = "carried_schema::without_memory_for_the_schema_nothing_is_created_and_nothing_is_replaced";
    if let Some((_, namespace)) = role() {
        return fill(&namespace);
    }
    if crate::common::is_root("to mount a small /dev/shm") {
        let own = OwnNamespace::new(&[]);
        let mount = "mount -t tmpfs -o size=128k small /dev/shm && exec \"$@\"";
        Actor::start_by(&["unshare", "-m", "sh", "-c", mount, "sh"], test, "alone", &own).finish();
    }
}

#[test]
fn an_inspection_reports_whether_the_schema_can_be_read() {
    let own = OwnNamespace::new(&["worker"]);
    let inspected = || own.inspect("worker").unwrap().schema;
    drop(own.writer::<State>("worker").unwrap().close_lingering());
    assert_eq!(inspected(), SchemaInspection::None);
    own.remove_channel("worker").unwrap();
    let writer = builder(&own).open().unwrap();
    assert_eq!(inspected(), SchemaInspection::Whole);
    let objects = Objects::of(own.name(), "worker");
    let whole = fs::read(objects.path("c")).unwrap();
    let damages: [(u64, &[u8], &str); 3] = [
        (SCHEMA, &[0xff; 4], "fingerprint"),
        (SCHEMA_MARK, &[1], "fingerprint"),
        (SCHEMA_MARK + 8, &[0x55; 8], "fingerprint"),
    ];
    for (byte, content, expected) in damages {
        objects.overwrite(byte, content);
        let SchemaInspection::Corrupt { reason } = inspected() else {
            panic!("{expected}: {:?}", inspected())
        };
        assert!(reason.contains(expected), "{reason}");
        let at = usize::try_from(byte).unwrap();
        objects.overwrite(byte, &whole[at..][..content.len()]);
        assert_eq!(inspected(), SchemaInspection::Whole);
    }
    drop(writer);
}

/// Leaves `pages` of the small memory free. `used` pages are already in use.
fn fill_all_but(pages: usize, used: usize) {
    fs::write("/dev/shm/filler", vec![1; (32 - used - pages) * 4096]).unwrap();
}

fn fill(namespace: &Namespace) {
    let is_full = |result: Result<(), CreateError>| {
        let error = result.unwrap_err().to_string();
        assert!(error.contains("no room"), "{error}");
    };
    for pages in 0..4 {
        fill_all_but(pages, 0);
        is_full(builder(namespace).open().map(drop));
        assert_eq!(fs::read_dir("/dev/shm").unwrap().count(), 1, "with room for {pages} pages");
    }
    fs::remove_file("/dev/shm/filler").unwrap();
    // Without a schema first: the channel takes three pages, and the registry and its waiters two,
    // which stay.
    let mut plain = namespace.writer::<State>("worker").unwrap();
    plain.publish(&state(1)).unwrap();
    plain.close_lingering().unwrap();
    let objects = Objects::of(namespace.name(), "worker");
    let used = used_pages();
    for pages in 0..3 {
        fill_all_but(pages, used);
        is_full(builder(namespace).open().map(drop));
        assert_eq!(namespace.reader::<State>("worker").unwrap().snapshot().unwrap().0, 1);
        assert_eq!(objects.listed(), ["c"], "with room for {pages} pages");
    }
    fill_all_but(3, used);
    let with_schema = builder(namespace).open().unwrap();
    assert_eq!(objects.listed(), ["c"]);
    assert!(raw(namespace).schema_bytes().unwrap().is_some());
    with_schema.close_lingering().unwrap();
    fill_all_but(0, used_pages());
    drop(builder(namespace).open().expect("a takeover needs no room"));
    fs::remove_file("/dev/shm/filler").unwrap();
    assert_eq!(fs::read_dir("/dev/shm").unwrap().count(), 0);
}

/// The number of pages of everything in the memory.
fn used_pages() -> usize {
    let entries = fs::read_dir("/dev/shm").unwrap().map(|entry| entry.unwrap());
    let blocks: u64 = entries
        .filter(|entry| entry.file_name() != "filler")
        .map(|entry| entry.metadata().unwrap().blocks())
        .sum();
    usize::try_from(blocks / 8).unwrap()
}

#[test]
fn all_objects_of_a_channel_with_a_schema_have_its_permissions() {
    let own = OwnNamespace::new(&["worker"]);
    let mut writer = builder(&own).permissions(0o644).open().unwrap();
    for number in 1..3 {
        writer.publish(&(number, Some("long".repeat(1_000)))).unwrap();
    }
    let objects = Objects::of(own.name(), "worker");
    assert_eq!(objects.listed(), ["a2", "b2", "c"]);
    for kind in objects.listed() {
        let mode = fs::metadata(objects.path(&kind)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o644, "{kind}");
    }
}

#[test]
fn a_writer_whose_names_were_unlinked_removes_nothing_of_its_successor() {
    let test = "carried_schema::a_writer_whose_names_were_unlinked_removes_nothing_of_its_successor";
    let open_grown = |namespace: &Namespace| {
        let mut writer = builder(namespace).open().unwrap();
        for number in 1..3 {
            writer.publish(&(number, Some("long".repeat(1_000)))).unwrap();
        }
        writer
    };
    if let Some((_, namespace)) = role() {
        let writer = open_grown(&namespace);
        say("ready");
        orders().next();
        return writer.close().unwrap();
    }
    let own = OwnNamespace::new(&["worker"]);
    let mut first = Actor::start(test, "writer", &own);
    first.await_line("ready");
    let objects = Objects::of(own.name(), "worker");
    let orphaned = raw(&own);
    for kind in ["a2", "b2", "c"] {
        fs::remove_file(objects.path(kind)).unwrap();
    }
    let second = open_grown(&own);
    first.order("end");
    first.finish();
    assert_eq!(objects.listed(), ["a2", "b2", "c"]);
    assert!(raw(&own).schema_bytes().unwrap().is_some());
    assert!(orphaned.is_closed() && orphaned.schema_bytes().unwrap().is_some());
    assert_eq!(typed(&own).snapshot().unwrap().0, 2);
    second.close().unwrap();
    assert_eq!(objects.listed(), NO_OBJECTS);
}

/// A type with the same name and other fields.
mod former {
    #[derive(Debug, serde::Serialize, serde::Deserialize, postcard_schema::Schema)]
    pub struct Job {
        pub id: u32,
        pub deadline: u32,
    }
}

#[derive(Debug, serde::Serialize, serde::Deserialize, postcard_schema::Schema)]
struct Job {
    id: u32,
    deadline: u64,
}

#[test]
fn readers_compare_fields_if_the_channel_carries_a_schema_and_type_names_otherwise() {
    let own = OwnNamespace::new(&["worker"]);
    let writer: Writer<former::Job, Postcard> =
        own.writer_builder("worker").codec::<Postcard>().with_schema().open().unwrap();
    let error = own
        .reader_builder::<Job>("worker")
        .codec::<Postcard>()
        .accept(accept::SameSchema)
        .open()
        .unwrap_err();
    assert!(matches!(error, AttachError::SchemaDiffers { .. }), "{error}");
    assert!(error.to_string().contains("deadline: u32 in the channel, u64 in the reader"), "{error}");
    own.reader_builder::<Job>("worker")
        .codec::<Postcard>()
        .open()
        .expect("the type names are equal, and only they are compared");
    own.reader_builder::<(u32, u32)>("worker")
        .codec::<Postcard>()
        .accept(accept::SameSchema)
        .open()
        .expect_err("a tuple has no fields of these names");
    own.reader_builder::<former::Job>("worker")
        .codec::<Postcard>()
        .type_name("other")
        .accept(accept::SameSchema)
        .open()
        .expect("the schemas are equal");
    let error = own
        .reader_builder::<[u32; 2]>("worker")
        .codec::<Pod>()
        .accept(accept::SameSchema)
        .open()
        .unwrap_err();
    assert!(matches!(error, AttachError::FormatMismatch { .. }), "{error}");
    writer.close().unwrap();
    let _writer: Writer<former::Job, Postcard> = own.writer_builder("worker").codec().open().unwrap();
    own.reader_builder::<Job>("worker")
        .codec::<Postcard>()
        .accept(accept::SameSchema)
        .open()
        .expect("only the type names can be compared");
    let error =
        own.reader_builder::<u8>("worker").codec::<Postcard>().accept(accept::SameSchema).open().unwrap_err();
    assert!(matches!(error, AttachError::FormatMismatch { .. }), "{error}");
}

#[test]
fn a_schema_of_another_codec_is_refused_and_a_readers_options_have_no_order() {
    let own = OwnNamespace::new(&["worker"]);
    let builder = own.writer_builder::<[u32; 2]>("worker").codec::<Postcard>().with_schema();
    let lost = builder.codec::<Pod>();
    let error = lost.clone().open().unwrap_err();
    assert!(matches!(error, CreateError::SchemaOfAnotherCodec { .. }), "{error}");
    assert!(error.to_string().contains("call `codec` first"), "{error}");
    assert!(own.channels().unwrap().is_empty(), "nothing was created");
    let _writer = lost.with_schema().open().unwrap();
    let schema = Schema::from_bytes(&raw(&own).schema_bytes().unwrap().unwrap()).unwrap();
    assert_eq!(schema.fixed_len(), Some(8));
    let reader = || own.reader_builder::<[u32; 2]>("worker");
    reader().accept(accept::SameSchema).codec::<Pod>().open().unwrap();
    reader().codec::<Pod>().accept(accept::SameSchema).open().unwrap();
    let other = own.reader_builder::<[f32; 2]>("worker").type_name("other").accept(accept::SameSchema);
    let error = other.codec::<Pod>().open().unwrap_err();
    assert!(matches!(error, AttachError::SchemaDiffers { .. }), "{error}");
}

#[test]
fn every_damaged_byte_of_a_schema_is_detected() {
    let own = OwnNamespace::new(&["worker"]);
    let _writer = builder(&own).open().unwrap();
    let objects = Objects::of(own.name(), "worker");
    let whole = fs::read(objects.path("c")).unwrap();
    let schema = raw(&own).schema_bytes().unwrap().unwrap();
    for byte in (SCHEMA_MARK..SCHEMA_MARK + 16).chain(SCHEMA..SCHEMA + schema.len() as u64) {
        let honest = whole[usize::try_from(byte).unwrap()];
        objects.overwrite(byte, &[honest ^ 0x40]);
        // With another length, the segments may begin where they have no room.
        let error = try_raw(&own).and_then(|reader| reader.schema_bytes()).unwrap_err();
        let has_no_room = byte < SCHEMA_MARK + 8 && error.to_string().contains("impossible shape");
        assert!(has_no_room || matches!(error, AttachError::SchemaCorrupt { .. }), "{byte}: {error}");
        objects.overwrite(byte, &[honest]);
        assert_eq!(raw(&own).schema_bytes().unwrap().unwrap(), schema, "{byte}");
    }
}
