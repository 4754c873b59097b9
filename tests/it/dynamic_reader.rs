//! A reader reads a channel without knowing its type.

use std::fs;
use std::time::Duration;

use crate::common::{Actor, OwnNamespace, role, wait_for_end};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tearless::dynamic::{DecodeError, DynamicError, DynamicReader};
use tearless::schema::postcard_schema;
use tearless::{
    Bytes, MessagePack, Namespace, Pod, ReaderBuilder,
    accept::Any,
    error::{AttachError, SnapshotError},
    inspect::WriterState,
};
use testkit::objects::Objects;

#[derive(Serialize, Deserialize, postcard_schema::Schema)]
struct State {
    jobs_done: u64,
    queue: Vec<(u32, String)>,
}

fn state(jobs_done: u64) -> State {
    State { jobs_done, queue: vec![(7, "a job".into())] }
}

#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Robot {
    moves: u64,
    position: [f64; 3],
    image: [u8; 4096],
}
tearless::describe_pod!(Robot { moves, position, image });

fn publish_and_wait(namespace: &Namespace) {
    let mut writer = namespace
        .writer_builder::<State>("worker")
        .codec::<tearless::Postcard>()
        .with_schema()
        .open()
        .unwrap();
    for jobs_done in 1..=3 {
        writer.publish(&state(jobs_done)).unwrap();
    }
    println!("published");
    wait_for_end();
}

#[test]
fn a_channel_is_read_without_its_type_also_after_its_writers_death() {
    if let Some((_, namespace)) = role() {
        return publish_and_wait(&namespace);
    }
    let own = OwnNamespace::new(&["worker"]);
    let test = "dynamic_reader::a_channel_is_read_without_its_type_also_after_its_writers_death";
    let mut worker = Actor::start(test, "worker", &own);
    worker.await_line("published");
    let mut attached = own.dynamic_reader("worker").unwrap();
    worker.kill();
    let mut late = own.dynamic_reader("worker").unwrap();
    for reader in [&mut attached, &mut late] {
        let snapshot = reader.snapshot().unwrap();
        assert_eq!(*snapshot, json!({ "jobs_done": 3, "queue": [[7, "a job"]] }));
        assert_eq!(snapshot.publication(), 3);
        assert!(snapshot.age().is_some());
        assert_eq!(*reader.field(&"queue[0][1]".parse().unwrap()).unwrap(), json!("a job"));
        assert_eq!((reader.codec(), reader.type_name()), ("postcard", "State"));
        assert!(matches!(reader.reader().writer_state(), Ok(WriterState::Dead)));
        let older: Vec<_> =
            reader.reader_mut().history().map(|snapshot| snapshot.unwrap().into_inner()).collect();
        let older: Vec<_> =
            older.iter().map(|payload| reader.decode(payload).unwrap()["jobs_done"].clone()).collect();
        assert!(older.contains(&json!(2)), "{older:?}");
    }
}

#[test]
fn a_field_of_plain_data_is_read_alone() {
    let own = OwnNamespace::new(&["robot"]);
    let mut writer = own.writer_builder::<Robot>("robot").codec::<Pod>().with_schema().open().unwrap();
    writer.publish(&Robot { moves: 5, position: [1.0, 2.5, f64::NAN], image: [9; 4096] }).unwrap();
    let mut reader = own.dynamic_reader("robot").unwrap();
    let schema = reader.schema().unwrap();
    let located = schema.locate(&"position[1]".parse().unwrap()).unwrap();
    assert_eq!((located.offset, located.len, located.r#type.to_string()), (16, 8, "f64".into()));
    assert_eq!(schema.locate(&"position[3]".parse().unwrap()), None);
    for (path, value) in [
        ("moves", json!(5)),
        ("position[1]", json!(2.5)),
        ("position", json!([1.0, 2.5, "NaN"])),
        ("image[4095]", json!(9)),
    ] {
        let field = reader.field(&path.parse().unwrap()).unwrap();
        assert_eq!((&*field, field.publication(), field.payload_len()), (&value, 1, size_of::<Robot>()));
    }
    assert_eq!(reader.snapshot().unwrap()["moves"], json!(5));
    let error = reader.field(&"positions".parse().unwrap()).unwrap_err();
    let DynamicError::NoSuchField { path, fields, count: 3, .. } = &error else { panic!("{error}") };
    assert_eq!((path.as_str(), fields.join(" ")), ("positions", "moves position image".into()));
}

#[derive(Clone, Serialize, Deserialize, postcard_schema::Schema)]
struct Queues {
    jobs: Vec<Job>,
    by_name: std::collections::BTreeMap<String, Job>,
    retries: [u8; 2],
}

#[derive(Clone, Serialize, Deserialize, postcard_schema::Schema)]
struct Job {
    tags: Vec<u32>,
}

#[test]
fn an_error_proposes_only_paths_that_lead_to_fields_and_all_containers() {
    let own = OwnNamespace::new(&["described", "open"]);
    let job = Job { tags: vec![7] };
    let full = Queues { jobs: vec![job.clone()], by_name: [("a b".into(), job)].into(), retries: [1, 2] };
    let empty = Queues { jobs: vec![], by_name: Default::default(), retries: [1, 2] };
    let builder = |name: &str| own.writer_builder::<Queues>(name);
    let mut described = builder("described").codec::<tearless::Postcard>().with_schema().open().unwrap();
    let mut open = builder("open").codec::<MessagePack>().open().unwrap();
    let [mut first, mut second] = ["described", "open"].map(|name| own.dynamic_reader(name).unwrap());
    let proposed = |reader: &mut DynamicReader| match reader.field(&"x".parse().unwrap()) {
        Err(DynamicError::NoSuchField { fields, count, .. }) => {
            assert_eq!(count, fields.len());
            fields
        }
        other => panic!("{other:?}"),
    };
    described.publish(&full).unwrap();
    open.publish(&full).unwrap();
    let by_schema = ["jobs", "jobs[0].tags", "by_name", "retries"];
    let of_state = [
        &["jobs", "jobs[0]", "jobs[0].tags", "jobs[0].tags[0]"][..],
        &["by_name", "by_name[\"a b\"]", "by_name[\"a b\"].tags", "by_name[\"a b\"].tags[0]"],
        &["retries", "retries[0]"],
    ];
    for (reader, expected) in [(&mut first, by_schema.to_vec()), (&mut second, of_state.concat())] {
        let fields = proposed(reader);
        assert_eq!(fields, expected);
        for field in fields {
            reader.field(&field.parse().unwrap()).unwrap();
        }
    }
    described.publish(&empty).unwrap();
    open.publish(&empty).unwrap();
    assert_eq!(proposed(&mut first), by_schema, "whatever the state has");
    assert_eq!(proposed(&mut second), ["jobs", "by_name", "retries", "retries[0]"]);
}

#[test]
fn message_pack_needs_no_schema_and_others_do() {
    let own = OwnNamespace::new(&["open", "closed", "raw", "new"]);
    let mut writer = own.writer_builder::<State>("open").codec::<MessagePack>().open().unwrap();
    writer.publish(&state(4)).unwrap();
    let mut reader = own.dynamic_reader("open").unwrap();
    assert_eq!(reader.schema(), None);
    assert_eq!(*reader.field(&"jobs_done".parse().unwrap()).unwrap(), json!(4));
    let error = reader.field(&"jobs".parse().unwrap()).unwrap_err();
    assert!(error.to_string().contains("jobs_done, queue, queue[0], queue[0][0], queue[0][1]"), "{error}");

    let mut writer = own.writer_builder::<State>("closed").codec::<tearless::Postcard>().open().unwrap();
    writer.publish(&state(4)).unwrap();
    let mut reader = own.dynamic_reader("closed").unwrap();
    let error = reader.snapshot().unwrap_err();
    let DynamicError::Decode { channel, publication: 1, source } = &error else { panic!("{error}") };
    assert_eq!((channel.as_str(), source), ("closed", &DecodeError::NoSchema { codec: "postcard".into() }));
    assert_eq!(reader.payload().unwrap()[0], 4);

    let mut writer = own.writer_builder::<[u8]>("raw").codec::<Bytes>().open().unwrap();
    writer.publish(b"raw").unwrap();
    let mut reader = own.dynamic_reader("raw").unwrap();
    assert!(matches!(reader.snapshot(), Err(DynamicError::Decode { .. })));
    assert_eq!(reader.payload().unwrap().as_slice(), b"raw");

    let _writer = own.writer::<u8>("new").unwrap();
    let mut reader = own.dynamic_reader("new").unwrap();
    assert!(matches!(reader.snapshot(), Err(DynamicError::Snapshot(SnapshotError::Empty { .. }))));
}

fn payloads(namespace: &Namespace, channel: &str) -> ReaderBuilder<Vec<u8>, Bytes, Any> {
    namespace.reader_builder(channel).codec().accept(Any)
}

#[test]
fn a_missing_channel_is_awaited_up_to_the_timeout() {
    let own = OwnNamespace::new(&["none", "late"]);
    assert!(matches!(own.dynamic_reader("none"), Err(AttachError::NotFound { .. })));
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            payloads(&own, "late").attach_within(Duration::from_secs(60)).open().map(DynamicReader::from)
        });
        let mut writer =
            own.writer_builder::<State>("late").codec::<tearless::Postcard>().with_schema().open().unwrap();
        writer.publish(&state(1)).unwrap();
        let mut reader = reader.join().unwrap().unwrap();
        assert_eq!(reader.snapshot().unwrap()["jobs_done"], json!(1));
    });
}

#[test]
fn a_damaged_schema_does_not_prevent_reading_payloads() {
    let own = OwnNamespace::new(&["worker"]);
    let mut writer =
        own.writer_builder::<State>("worker").codec::<tearless::Postcard>().with_schema().open().unwrap();
    writer.publish(&state(1)).unwrap();
    let objects = Objects::of(own.name(), "worker");
    let whole = fs::read(objects.path("c")).unwrap();
    let name = whole.windows(9).position(|bytes| bytes == b"jobs_done").unwrap() as u64;
    objects.overwrite(name, b"k");
    let mut reader = own.dynamic_reader("worker").unwrap();
    assert_eq!(reader.schema(), None);
    let error = reader.snapshot().unwrap_err();
    assert!(matches!(&error, DynamicError::Decode { source: DecodeError::Schema { .. }, .. }), "{error}");
    assert_eq!(reader.payload().unwrap()[0], 1);
    objects.overwrite(name, b"j");
    assert_eq!(own.dynamic_reader("worker").unwrap().snapshot().unwrap()["jobs_done"], json!(1));
}
