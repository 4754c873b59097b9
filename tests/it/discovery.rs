//! The namespaces and objects of a machine are found without any name. Objects of other users are
//! counted, and not opened.

use std::fs;
use std::os::unix::fs::FileExt;

use crate::common::{Actor, OwnNamespace, is_root, orders, role, say};
use rustix::fs::{CWD, FileType, Mode};
use tearless::{
    Bytes, Namespace, Writer,
    cleanup::Retention,
    inspect::{NamespaceInfo, ObjectInfo, ObjectKind, ObjectState, SegmentSide, namespaces, objects},
};
use testkit::fork::become_user;
use testkit::objects::{DIRECTORY, Objects};

const OTHER_USER: u32 = 65_534;

fn open(namespace: &Namespace, channel: &str) -> Writer<[u8], Bytes> {
    namespace.writer_builder::<[u8]>(channel).codec::<Bytes>().open().unwrap()
}

fn of(namespace: &Namespace, all: Vec<NamespaceInfo>) -> Option<NamespaceInfo> {
    let mut found = all.into_iter().filter(|info| info.name.as_deref() == Some(namespace.name()));
    let info = found.next();
    assert!(found.next().is_none(), "once");
    info
}

/// The objects of a channel's namespace, which the prefix of their names identifies.
fn objects_of(objects: &Objects, all: Vec<ObjectInfo>) -> Vec<ObjectInfo> {
    let prefix = objects.namespace_prefix();
    all.into_iter().filter(|object| object.name.starts_with(prefix)).collect()
}

#[test]
fn a_namespace_is_found_while_it_has_objects() {
    let own = OwnNamespace::new(&[]);
    assert_eq!(of(&own, namespaces().list().unwrap()), None);
    let [first, second] = ["first", "second"].map(|channel| open(&own, channel));
    let info = of(&own, namespaces().list().unwrap()).unwrap();
    assert_eq!((info.channels, info.objects), (2, 3));
    assert_eq!(info.bytes, own.memory().unwrap().total().resident);
    assert!(info.readable && info.owner_uid == rustix::process::geteuid().as_raw());
    drop(first);
    // Without a registry, a control page has the namespace's name.
    fs::remove_file(Objects::of(own.name(), "second").registry()).unwrap();
    let info = of(&own, namespaces().list().unwrap()).unwrap();
    assert_eq!((info.channels, info.objects), (1, 1));
    drop(second);
    assert_eq!(of(&own, namespaces().list().unwrap()), None);
}

#[test]
fn every_object_is_listed_with_its_kind_and_state() {
    let own = OwnNamespace::new(&["worker"]);
    let mut writer = open(&own, "worker");
    let objects_on_disk = Objects::of(own.name(), "worker");
    writer.publish(&[1]).unwrap();
    writer.publish(&[1; 10_000]).unwrap();
    let listed = objects_of(&objects_on_disk, objects().list().unwrap());
    let segment = |side, generation| ObjectKind::Segment { side, generation };
    let kinds: Vec<_> = listed.iter().map(|object| object.kind).collect();
    let expected = [segment(SegmentSide::A, 2), ObjectKind::Control, ObjectKind::Registry];
    assert_eq!(kinds.len(), 3, "a side that has not grown has no object: {kinds:?}");
    assert!(expected.iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
    for object in &listed {
        assert_eq!((object.permissions, &object.state), (0o600, &ObjectState::Ready), "{object:?}");
        assert_eq!(object.namespace.as_deref(), Some(own.name()));
        assert!(object.layout_version().is_some() && object.resident > 0 && object.bytes >= object.resident);
        let channel = (object.kind != ObjectKind::Registry).then_some("worker");
        assert_eq!(object.channel.as_deref(), channel);
    }
}

#[test]
fn defects_of_objects_are_reported() {
    let own = OwnNamespace::new(&["worker"]);
    let mut writer = open(&own, "worker");
    writer.publish(&[1; 10_000]).unwrap();
    let on_disk = Objects::of(own.name(), "worker");
    let state = |kind: &str| {
        let name = on_disk.name(kind);
        objects().list().unwrap().into_iter().find(|object| object.name == name)
    };
    fs::write(on_disk.path("a7"), "").unwrap();
    fs::write(on_disk.path("a8"), [0; 4096]).unwrap();
    fs::write(on_disk.path("a9"), vec![b'x'; 4096]).unwrap();
    fs::write(on_disk.path("b7"), "text").unwrap();
    rustix::fs::mknodat(CWD, on_disk.path("b8"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    fs::write(on_disk.path("z"), [0; 4096]).unwrap();
    assert_eq!(state("a7").unwrap().state, ObjectState::Unfinished);
    assert_eq!(state("a8").unwrap().state, ObjectState::Unfinished);
    for kind in ["a9", "b7", "b8"] {
        let object = state(kind).unwrap();
        assert!(matches!(object.state, ObjectState::Foreign { .. }), "{object:?}");
        assert_eq!(object.layout_version(), None);
    }
    assert_eq!(state("z").unwrap().kind, ObjectKind::Unknown);
    assert_eq!(
        of(&own, namespaces().list().unwrap()).unwrap().objects,
        3 + 4,
        "of known kinds, and regular files"
    );
    let page = fs::OpenOptions::new().write(true).open(on_disk.path("c")).unwrap();
    page.write_all_at(&9_u16.to_le_bytes(), 6).unwrap();
    let object = state("c").unwrap();
    assert_eq!(
        (object.state.clone(), object.layout_version()),
        (ObjectState::OtherVersion { found: 9 }, Some(9))
    );
    assert_eq!((object.channel.as_deref(), object.namespace.as_deref()), (None, Some(own.name())));
    fs::remove_file(on_disk.path("c")).unwrap();
    assert_eq!(state("b2").unwrap().channel, None, "a segment without a page belongs to no channel");
    for kind in on_disk.listed() {
        fs::remove_file(on_disk.path(&kind)).unwrap();
    }
    drop(writer);
    own.clean(Retention::Nothing).unwrap();
}

#[test]
fn names_that_do_not_match_their_objects_are_not_trusted() {
    let own = OwnNamespace::new(&["worker"]);
    let _writer = open(&own, "worker");
    let objects = Objects::of(own.name(), "worker");
    fs::remove_file(objects.registry()).unwrap();
    // The namespace's name in the control page: see docs/layout.md.
    objects.forge(512, 4);
    let page = fs::OpenOptions::new().write(true).open(objects.path("c")).unwrap();
    page.write_all_at(b"lies", 520).unwrap();
    assert_eq!(of(&own, namespaces().list().unwrap()), None);
    assert!(namespaces().list().unwrap().iter().all(|info| info.name.as_deref() != Some("lies")));
    let path = |object: &ObjectInfo| format!("{DIRECTORY}/{}", object.name);
    let all = tearless::inspect::objects().list().unwrap();
    let listed = all.iter().find(|object| objects.path("c") == *path(object)).unwrap();
    assert_eq!((&listed.namespace, &listed.channel), (&None, &None));
    fs::remove_file(objects.path("c")).unwrap();
    for kind in objects.listed() {
        fs::remove_file(objects.path(&kind)).unwrap();
    }
}

#[test]
fn objects_of_other_users_are_counted_and_opened_only_if_trusted() {
    let test = "discovery::objects_of_other_users_are_counted_and_opened_only_if_trusted";
    if let Some((_, namespace)) = role() {
        become_user(OTHER_USER);
        let mut writer = open(&namespace, "worker");
        writer.publish(&[1; 10_000]).unwrap();
        say("ready");
        orders().for_each(drop);
        return;
    }
    if !is_root("to be two users") {
        return;
    }
    let own = OwnNamespace::new(&[]);
    let before = count_of_other_user(&namespaces().list().unwrap());
    let mut other = Actor::start(test, "nobody", &own);
    other.await_line("ready");
    let info = of(&own, namespaces().trust_owner(OTHER_USER).list().unwrap()).unwrap();
    assert_eq!((info.owner_uid, info.channels, info.objects, info.readable), (OTHER_USER, 1, 3, true));
    assert_eq!(of(&own, namespaces().list().unwrap()), None);
    let all = namespaces().list().unwrap();
    assert!(count_of_other_user(&all) > before || before > 0);
    let others = all.iter().filter(|info| info.owner_uid == OTHER_USER);
    assert!(others.into_iter().all(|info| info.name.is_none() && !info.readable && info.objects > 0));
    let on_disk = Objects::of(own.name(), "worker");
    let [ours, trusting] = [objects().list().unwrap(), objects().trust_owner(OTHER_USER).list().unwrap()];
    let ours = objects_of(&on_disk, ours);
    assert!(ours.len() == 3 && ours.iter().all(|object| object.state == ObjectState::NotOpened));
    assert!(ours.iter().all(|object| object.namespace.is_none() && object.bytes > 0));
    let trusting = objects_of(&on_disk, trusting);
    assert!(trusting.iter().all(|object| object.state == ObjectState::Ready && object.namespace.is_some()));
    other.finish();
}

fn count_of_other_user(all: &[NamespaceInfo]) -> usize {
    all.iter().filter(|info| info.owner_uid == OTHER_USER).count()
}

#[cfg(feature = "schema")]
#[test]
fn a_schema_is_reported_with_its_channel_and_has_no_object() {
    let own = OwnNamespace::new(&[]);
    let writer = own
        .writer_builder::<(u64, String)>("worker")
        .codec::<tearless::Postcard>()
        .with_schema()
        .open()
        .unwrap();
    let plain = open(&own, "plain");
    let reader = own.reader_builder::<(u64, String)>("worker").codec::<tearless::Postcard>().open().unwrap();
    let bytes = reader.schema_bytes().unwrap().unwrap().len() as u64;
    assert_eq!(own.inspect("worker").unwrap().schema_bytes, Some(bytes));
    assert_eq!(own.inspect("plain").unwrap().schema_bytes, None);
    let all = objects_of(&Objects::of(own.name(), "worker"), objects().list().unwrap());
    let of_worker: Vec<_> = all.iter().filter(|it| it.channel.as_deref() == Some("worker")).collect();
    let [object] = &of_worker[..] else { panic!("{all:?}") };
    assert_eq!((object.kind, &object.state), (ObjectKind::Control, &ObjectState::Ready));
    drop((writer, plain));
}
