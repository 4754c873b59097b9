//! Unlinking the names of channels in use (`rm`, logind's RemoveIPC, a container's volume) harms
//! neither their users nor a successor. Main processes find the fleet that is started next, and
//! writers learn that no process finds them.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::common::{Actor, OwnNamespace, eventually, orders, pattern, role, say, wait_for_end};
use tearless::{
    Bytes, Namespace, Postcard, Reader, Writer, WriterBuilder,
    error::{AttachError, CreateError, PublishError, SnapshotError},
    hub::Health,
    inspect::WriterState,
};
use testkit::objects::{DIRECTORY, Objects, listed};

fn open(namespace: &Namespace) -> Writer<[u8], Bytes> {
    namespace.writer_builder::<[u8]>("worker").codec::<Bytes>().open().unwrap()
}

fn attach(namespace: &Namespace) -> Result<Reader<Vec<u8>, Bytes>, AttachError> {
    namespace.reader_builder::<Vec<u8>>("worker").codec::<Bytes>().open()
}

/// A writer that obeys orders.
fn write_as_ordered(namespace: &Namespace) {
    let mut writer = Some(open(namespace));
    say("ready");
    for command in orders() {
        match command.as_str() {
            "touch" => eventually("the writer learns of it", || {
                matches!(writer.as_mut().unwrap().touch(), Err(PublishError::NamesRemoved { .. }))
            }),
            "grow" => {
                let error = writer.as_mut().unwrap().publish(&pattern(20_000)).unwrap_err();
                assert!(matches!(error, PublishError::NamesRemoved { .. }), "{error}");
            }
            "close" => writer.take().unwrap().close().unwrap(),
            len => drop(writer.as_mut().unwrap().publish(&pattern(len.parse().unwrap())).unwrap()),
        }
        say("done");
    }
}

fn obey(writer: &mut Actor, command: &str) {
    writer.order(command);
    writer.await_line("done");
}

fn remove_all(objects: &Objects) {
    for kind in objects.listed() {
        fs::remove_file(objects.path(&kind)).unwrap();
    }
}

/// A writer in a process of its own, and a reader that has mapped both of its segments, which have
/// grown. Then the names are unlinked.
fn removed(test: &str, own: &OwnNamespace) -> (Actor, Reader<Vec<u8>, Bytes>, Objects) {
    let mut writer = Actor::start(test, "writer", own);
    writer.await_line("ready");
    let mut reader = attach(own).unwrap();
    for len in ["10001", "10002"] {
        obey(&mut writer, len);
        reader.snapshot().unwrap();
    }
    let objects = Objects::of(own.name(), "worker");
    assert_eq!(objects.listed(), ["a2", "b2", "c"]);
    remove_all(&objects);
    (writer, reader, objects)
}

#[test]
fn the_writer_and_attached_readers_continue() {
    let test = "removed_names::the_writer_and_attached_readers_continue";
    if let Some((_, namespace)) = role() {
        return write_as_ordered(&namespace);
    }
    let own = OwnNamespace::new(&["worker"]);
    let (mut writer, mut reader, objects) = removed(test, &own);
    for len in 3..100 {
        obey(&mut writer, &len.to_string());
        assert_eq!(*reader.snapshot().unwrap(), pattern(len));
    }
    assert!(matches!(attach(&own), Err(AttachError::NotFound { .. })));
    assert_eq!(reader.writer_state().unwrap(), WriterState::Alive);
    obey(&mut writer, "touch");
    obey(&mut writer, "grow");
    assert_eq!(*reader.snapshot().unwrap(), pattern(99), "a failed growth leaves the published state");
    obey(&mut writer, "100");
    assert_eq!(*reader.snapshot().unwrap(), pattern(100));
    assert_eq!(objects.listed(), Vec::<String>::new(), "no process has created the names again");
    writer.kill();
    assert_eq!(reader.writer_state().unwrap(), WriterState::Dead);
    assert_eq!(*reader.snapshot().unwrap(), pattern(100));
}

#[test]
fn a_successor_is_unharmed_by_the_first_writer() {
    let test = "removed_names::a_successor_is_unharmed_by_the_first_writer";
    if let Some((_, namespace)) = role() {
        return write_as_ordered(&namespace);
    }
    for end in ["close", "kill"] {
        let own = OwnNamespace::new(&["worker"]);
        let (mut first, mut firsts_reader, objects) = removed(test, &own);
        let mut second = open(&own);
        for len in [10_001, 10_002, 50] {
            second.publish(&pattern(len)).unwrap();
        }
        let mut reader = attach(&own).unwrap();
        obey(&mut first, "grow");
        obey(&mut first, "7");
        assert_eq!(
            (&*firsts_reader.snapshot().unwrap(), &*reader.snapshot().unwrap()),
            (&pattern(7), &pattern(50))
        );
        assert_eq!(firsts_reader.writer_state().unwrap(), WriterState::Alive);
        if end == "close" {
            obey(&mut first, "close");
            assert_eq!(firsts_reader.writer_state().unwrap(), WriterState::Closed);
            assert!(matches!(firsts_reader.snapshot(), Err(SnapshotError::Closed { last: 3, .. })));
        } else {
            first.kill();
            assert_eq!(firsts_reader.writer_state().unwrap(), WriterState::Dead);
        }
        assert_eq!(objects.listed(), ["a2", "b2", "c"], "{end}");
        assert_eq!(reader.writer_state().unwrap(), WriterState::Alive);
        second.publish(&pattern(30_000)).unwrap();
        assert_eq!(*reader.snapshot().unwrap(), pattern(30_000));
        assert_eq!(*attach(&own).unwrap().snapshot().unwrap(), pattern(30_000));
    }
}

#[test]
fn a_reader_that_needs_an_unlinked_segment_gets_its_name() {
    let own = OwnNamespace::new(&["worker"]);
    let mut writer = open(&own);
    let mut reader = attach(&own).unwrap();
    writer.publish(&pattern(10_001)).unwrap();
    reader.snapshot().unwrap();
    writer.publish(&pattern(10_002)).unwrap();
    let objects = Objects::of(own.name(), "worker");
    let segment = objects.name("a2");
    remove_all(&objects);
    let error = reader.snapshot().unwrap_err();
    assert!(matches!(error, SnapshotError::Object { .. }) && error.to_string().contains(&segment), "{error}");
    writer.publish(&pattern(3)).unwrap();
    assert_eq!(*reader.snapshot().unwrap(), pattern(3), "the side that it has mapped is still read");
}

/// Removes every name that the namespace has in `/dev/shm`, as a cleanup by hand does.
fn remove_all_names(own: &OwnNamespace) {
    for name in listed(Objects::of(own.name(), "worker").namespace_prefix()) {
        fs::remove_file(format!("{DIRECTORY}/{name}")).unwrap();
    }
}

/// Publishes its number on the channel of its name, and waits.
fn work(channel: &str, namespace: &Namespace) {
    let (channel, number) = channel.split_once('=').unwrap();
    let mut writer = namespace.writer::<u64>(channel).unwrap();
    writer.publish(&number.parse().unwrap()).unwrap();
    say("ready");
    wait_for_end();
    drop(writer);
}

#[test]
fn a_main_process_finds_the_next_fleet() {
    let test = "removed_names::a_main_process_finds_the_next_fleet";
    if let Some((role, namespace)) = role() {
        return work(&role, &namespace);
    }
    let own = OwnNamespace::new(&["worker", "other", "gone"]);
    let start = |role: &str| {
        let mut actor = Actor::start(test, role, &own);
        actor.await_line("ready");
        actor
    };
    let first = [start("worker=1"), start("gone=3")];
    let (hub, getter) = (own.hub(), own.hub());
    let (mut list, mut watch) = (own.watch_channels(), hub.watch("*"));
    assert_eq!(*hub.get::<u64>("worker").unwrap(), 1);
    assert_eq!(*getter.get::<u64>("worker").unwrap(), 1);
    assert!(list.changed().unwrap() && !list.changed().unwrap());
    assert_eq!(*getter.get::<u64>("gone").unwrap(), 3);
    assert_eq!(watch.changed().unwrap(), ["gone".into(), "worker".into()]);

    remove_all_names(&own);
    eventually("the hub lists nothing", || hub.channels("*").unwrap().is_empty());
    eventually("the list changes", || list.changed().unwrap());
    first.into_iter().for_each(Actor::kill);
    let second = [start("worker=1000"), start("other=2000")];
    // A query alone, without a listing.
    eventually("a query finds it", || *getter.get::<u64>("worker").unwrap() == 1_000);
    eventually("the list changes again", || list.changed().unwrap());
    let mut found = BTreeSet::new();
    eventually("what does not come back is gone", || {
        getter.get::<u64>("gone").is_err_and(|error| error.is_gone())
    });
    while found.len() < 3 {
        found.extend(watch.wait_any(Duration::from_secs(60)).unwrap());
    }
    assert_eq!(hub.channels("*").unwrap(), ["other".into(), "worker".into()]);
    assert_eq!((*hub.get::<u64>("worker").unwrap(), *hub.get::<u64>("other").unwrap()), (1_000, 2_000));
    let health = hub.status("worker").unwrap().health;
    assert!(matches!(health, Health::Fresh { .. } | Health::Unchanged { .. }), "{health}");
    drop(second);
}

#[test]
fn a_channel_alone_that_is_replaced_is_found() {
    let own = OwnNamespace::new(&["worker"]);
    let hub = own.hub();
    let mut first = own.writer::<u64>("worker").unwrap();
    first.publish(&1).unwrap();
    assert_eq!(*hub.get::<u64>("worker").unwrap(), 1);
    // The registry keeps its name.
    remove_all(&Objects::of(own.name(), "worker"));
    let mut second = own.writer::<u64>("worker").unwrap();
    second.publish(&2).unwrap();
    eventually("a query finds it", || *hub.get::<u64>("worker").unwrap() == 2);
    eventually("the first learns of it", || matches!(first.touch(), Err(PublishError::NamesRemoved { .. })));
    second.touch().unwrap();
    drop(first);
    assert_eq!(*own.reader::<u64>("worker").unwrap().snapshot().unwrap(), 2);
}

#[test]
fn a_writer_creates_its_channel_again_and_a_syncer_does_so_by_itself() {
    let own = OwnNamespace::new(&["worker", "other"]);
    let mut writer = own.writer::<u64>("worker").unwrap();
    writer.publish(&1).unwrap();
    let mut attached = own.reader::<u64>("worker").unwrap();
    assert_eq!(*attached.snapshot().unwrap(), 1);
    assert!(writer.reopen().is_err(), "it has its names");
    assert_eq!(writer.publish(&2).unwrap(), 2);
    let syncer = own.syncer("other", 1_u64).unwrap();
    remove_all_names(&own);
    eventually("the writer learns of it", || {
        matches!(writer.touch(), Err(PublishError::NamesRemoved { .. }))
    });
    writer.reopen().unwrap();
    assert_eq!(writer.publish(&3).unwrap(), 1);
    assert!(attached.is_closed() && writer.touch().is_ok());
    assert_eq!(*own.reader::<u64>("worker").unwrap().snapshot().unwrap(), 3);
    eventually("the syncer has published again", || {
        own.reader::<u64>("other").is_ok_and(|mut reader| reader.snapshot().is_ok())
    });
    let mut reader = own.reader::<u64>("other").unwrap();
    syncer.replace(7);
    eventually("it continues", || *reader.snapshot().unwrap() == 7);
    assert_eq!(own.hub().channels("*").unwrap(), ["other".into(), "worker".into()]);

    // A successor of the same name keeps it.
    remove_all(&Objects::of(own.name(), "worker"));
    let mut successor = own.writer::<u64>("worker").unwrap();
    assert!(matches!(writer.reopen(), Err(CreateError::AlreadyOwned { .. })));
    successor.publish(&4).unwrap();
    successor.close_lingering().unwrap();
    assert!(matches!(writer.reopen(), Err(CreateError::AlreadyOwned { .. })), "it left its state");
    drop(writer);
    assert_eq!(*own.reader::<u64>("worker").unwrap().snapshot().unwrap(), 4);
}

/// A part of a channel with a schema that has grown, or the registry that lists it.
const NAMES: [&str; 4] = ["registry", "c", "a2", "b2"];

/// A state for which both sides grow.
type Large = Vec<u8>;

fn large(number: u8) -> Large {
    vec![number; 3_000]
}

fn path_of(own: &OwnNamespace, name: &str) -> PathBuf {
    let objects = Objects::of(own.name(), "worker");
    if name == "registry" { objects.registry() } else { objects.path(name) }
}

/// Whether processes that come now find all of the channel, with this state.
fn is_found(own: &OwnNamespace, state: u8) -> bool {
    let hub = own.hub().with_codec::<Postcard>();
    let has_schema =
        |reader: Reader<Large, Postcard>| reader.schema_bytes().is_ok_and(|bytes| bytes.is_some());
    hub.channels("*").unwrap() == ["worker".into()]
        && hub.get::<Large>("worker").is_ok_and(|found| *found == large(state))
        && own.reader_builder("worker").codec().open().is_ok_and(has_schema)
}

fn described(own: &OwnNamespace) -> WriterBuilder<Large, Postcard> {
    own.writer_builder("worker").codec::<Postcard>().with_schema()
}

#[test]
fn each_name_alone_is_restored_by_a_syncer() {
    for name in NAMES {
        let own = OwnNamespace::new(&["worker"]);
        let builder = described(&own).syncer(large(1));
        let syncer = builder.interval(Duration::from_millis(5)).spawn().unwrap();
        syncer.replace(large(2));
        syncer.flush().unwrap();
        let (hub, mut list) = (own.hub().with_codec::<Postcard>(), own.watch_channels());
        let mut watch = hub.watch("*");
        assert!(is_found(&own, 2) && list.changed().unwrap());
        assert_eq!(*hub.get::<Large>("worker").unwrap(), large(2));
        assert_eq!(watch.changed().unwrap(), ["worker".into()]);
        let path = path_of(&own, name);
        fs::remove_file(&path).unwrap();
        eventually("a list that was open has changed", || list.changed().unwrap());
        eventually(&format!("the channel is found without its former {name}"), || is_found(&own, 2));
        // One publication on each side.
        for number in 3..5 {
            syncer.replace(large(number));
            syncer.flush().unwrap();
            eventually("a hub that was open follows", || {
                *hub.get::<Large>("worker").unwrap() == large(number)
            });
            assert!(is_found(&own, number), "{name}");
        }
        assert!(path.exists(), "{name}");
        let changed = watch.wait_any(Duration::from_secs(60)).unwrap();
        assert_eq!(changed, ["worker".into()], "a watch that was open follows");
        drop(syncer);
        assert_eq!(listed(&registry_prefix(&path)), Vec::<String>::new(), "{name}");
    }
}

/// What the names of all objects in the namespace of the object at `path` begin with.
fn registry_prefix(path: &std::path::Path) -> String {
    path.file_name().unwrap().to_str().unwrap()[..testkit::objects::NAMESPACE_PREFIX].to_owned()
}

#[test]
fn a_channel_that_no_list_has_is_found_until_its_writer_lists_it_again() {
    let own = OwnNamespace::new(&["worker", "other"]);
    let unlisted = || {
        let found = own.unlisted_channels().unwrap().into_iter();
        found.map(|it| (it.channel, it.writer_pid)).collect::<Vec<_>>()
    };
    assert_eq!(unlisted(), [], "the namespace does not exist");
    let mut writer = open(&own);
    writer.publish(&pattern(20_000)).unwrap();
    assert_eq!(unlisted(), [], "it is listed");
    fs::remove_file(path_of(&own, "registry")).unwrap();
    writer.publish(&pattern(7)).unwrap();
    let found = [("worker".to_owned(), u64::from(std::process::id()))];
    assert_eq!((unlisted(), own.channels().unwrap().len()), (found.to_vec(), 0));
    assert_eq!(*attach(&own).unwrap().snapshot().unwrap(), pattern(7), "it is read by its name");
    let other = own.writer_builder::<[u8]>("other").codec::<Bytes>().open().unwrap();
    assert_eq!(unlisted(), found, "another writer made a list of its own");
    eventually("the writer lists it again", || {
        writer.touch().unwrap();
        own.channels().unwrap().len() == 2
    });
    assert_eq!(unlisted(), []);
    drop((writer, other));
    assert_eq!(unlisted(), []);
}

#[test]
fn a_writer_restores_the_registry_and_learns_of_each_other_name() {
    for name in NAMES {
        let own = OwnNamespace::new(&["worker"]);
        let mut writer = described(&own).open().unwrap();
        for number in 1..3 {
            writer.publish(&large(number)).unwrap();
        }
        let mut attached = own.reader_builder::<Large>("worker").codec::<Postcard>().open().unwrap();
        assert_eq!(*attached.snapshot().unwrap(), large(2));
        let path = path_of(&own, name);
        fs::remove_file(&path).unwrap();
        if name == "registry" {
            eventually("a touch enters the channel again", || {
                writer.touch().unwrap();
                is_found(&own, 2)
            });
            assert!(matches!(writer.reopen(), Err(CreateError::AlreadyOwned { .. })), "it has its names");
            assert_eq!(writer.publish(&large(3)).unwrap(), 3);
            assert_eq!(*attached.snapshot().unwrap(), large(3), "readers notice nothing");
        } else {
            let is_lost = |touched| matches!(touched, Err(PublishError::NamesRemoved { .. }));
            eventually("the writer learns of it", || is_lost(writer.touch()));
            assert_eq!(writer.publish(&large(3)).unwrap(), 3);
            writer.reopen().unwrap();
            assert!(attached.is_closed() && writer.touch().is_ok());
            assert_eq!(writer.publish(&large(4)).unwrap(), 1);
            assert_eq!(writer.publish(&large(3)).unwrap(), 2);
        }
        assert!(is_found(&own, 3), "{name}");
        assert_eq!(Objects::of(own.name(), "worker").listed(), ["a2", "b2", "c"]);
        drop(writer);
        assert_eq!(listed(&registry_prefix(&path)), Vec::<String>::new(), "{name}");
    }
}

/// Puts a directory in place of the object at `path`.
fn squat(path: &PathBuf) {
    // Its writer may make it again in between.
    eventually("the name is taken", || {
        let _ = fs::remove_file(path);
        fs::create_dir(path).is_ok()
    });
}

#[test]
fn a_syncer_says_why_it_cannot_restore_a_name() {
    for name in ["c", "registry"] {
        let own = OwnNamespace::new(&["worker"]);
        let builder = described(&own).syncer(large(1));
        let syncer = builder.interval(Duration::from_millis(5)).spawn().unwrap();
        let path = path_of(&own, name);
        squat(&path);
        let object = path.file_name().unwrap().to_str().unwrap();
        let why = |error: &PublishError| match error {
            PublishError::NamesNotRestored { source, .. } => Some(source.to_string()),
            PublishError::RegistryNotRestored { source, .. } => Some(source.to_string()),
            _ => None,
        };
        let mut text = None;
        eventually("a tick has failed to restore it", || {
            text = syncer.last_error().and_then(|error| why(&error));
            text.is_some()
        });
        let text = text.unwrap();
        assert!(text.contains(object) && text.contains("it is a directory"), "{text}");
        if name == "c" {
            let error = syncer.flush().unwrap_err();
            assert_eq!(why(&error), Some(text), "a flush says it, too");
        } else {
            syncer.replace(large(2));
            assert_eq!(syncer.flush().unwrap(), 2, "the state was published");
            syncer.replace(large(1));
        }
        fs::remove_dir(&path).unwrap();
        eventually("a later tick restores it", || is_found(&own, 1));
        assert!(syncer.last_error().is_some(), "it is not lost");
    }
}

#[test]
fn a_syncer_ends_its_channel_also_if_the_registry_cannot_be_restored() {
    for is_reported in [false, true] {
        let own = OwnNamespace::new(&["worker"]);
        let builder = described(&own).linger(true).syncer(large(1));
        let syncer = builder.interval(Duration::from_millis(5)).spawn().unwrap();
        let mut reader = own.reader_builder::<Large>("worker").codec::<Postcard>().open().unwrap();
        let path = path_of(&own, "registry");
        squat(&path);
        if is_reported {
            eventually("a tick has failed to restore it", || syncer.last_error().is_some());
        }
        syncer.replace(large(2));
        syncer.shutdown().unwrap();
        assert_eq!(*reader.snapshot().unwrap(), large(2));
        assert!(reader.is_closed());
        fs::remove_dir(&path).unwrap();
    }
}

/// As a backup does that is restored over the files.
#[test]
fn a_copy_that_has_the_name_of_a_living_channel_is_replaced_by_reopening() {
    let own = OwnNamespace::new(&["worker"]);
    let mut writer = open(&own);
    writer.publish(&pattern(10_000)).unwrap();
    writer.publish(&pattern(10_001)).unwrap();
    let objects = Objects::of(own.name(), "worker");
    for kind in objects.listed() {
        let content = fs::read(objects.path(&kind)).unwrap();
        fs::remove_file(objects.path(&kind)).unwrap();
        fs::write(objects.path(&kind), content).unwrap();
    }
    eventually("the writer learns of it", || {
        matches!(writer.touch(), Err(PublishError::NamesRemoved { .. }))
    });
    writer.reopen().unwrap();
    assert_eq!(objects.listed(), ["c"]);
    assert!(matches!(attach(&own).unwrap().snapshot(), Err(SnapshotError::Empty { .. })), "publish again");
    assert_eq!(writer.publish(&pattern(7)).unwrap(), 1);
    assert_eq!(*attach(&own).unwrap().snapshot().unwrap(), pattern(7));
    // The channel of another writer is not a copy of this one.
    fs::remove_file(objects.path("c")).unwrap();
    drop(own.writer_builder::<[u8]>("worker").codec::<Bytes>().linger(true).open().unwrap());
    assert!(matches!(writer.reopen(), Err(CreateError::AlreadyOwned { .. })));
    drop(writer);
    assert!(own.remove_channel("worker").unwrap());
}
