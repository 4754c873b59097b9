//! Unlinking the names of a channel that is in use harms neither its users nor a successor.

use std::fs;

use crate::common::{Actor, OwnNamespace, orders, pattern, role, say};
use tearless::{
    Bytes, Namespace, Reader, Writer,
    error::{AttachError, PublishError, SnapshotError},
    inspect::WriterState,
};
use testkit::objects::Objects;

fn open(namespace: &Namespace) -> Writer<[u8], Bytes> {
    namespace.writer_builder::<[u8]>("worker").codec::<Bytes>().open().unwrap()
}

fn attach(namespace: &Namespace) -> Result<Reader<Vec<u8>, Bytes>, AttachError> {
    namespace.reader_builder::<Vec<u8>>("worker").codec::<Bytes>().open()
}

/// A writer that obeys orders.
fn obey(namespace: &Namespace) {
    let mut writer = Some(open(namespace));
    say("ready");
    for command in orders() {
        match command.as_str() {
            "grow" => {
                let error = writer.as_mut().unwrap().publish(&pattern(20_000)).unwrap_err();
                assert!(matches!(error, PublishError::NamesRemoved), "{error}");
            }
            "close" => writer.take().unwrap().close().unwrap(),
            len => drop(writer.as_mut().unwrap().publish(&pattern(len.parse().unwrap())).unwrap()),
        }
        say("done");
    }
}

fn order(writer: &mut Actor, command: &str) {
    writer.order(command);
    writer.await_line("done");
}

fn remove_all(objects: &Objects) {
    for kind in objects.listed() {
        fs::remove_file(objects.path(&kind)).unwrap();
    }
}

/// A writer in a process of its own, and a reader that has mapped both of its segments. Then the
/// names are unlinked.
fn removed(test: &str, own: &OwnNamespace) -> (Actor, Reader<Vec<u8>, Bytes>, Objects) {
    let mut writer = Actor::start(test, "writer", own);
    writer.await_line("ready");
    let mut reader = attach(own).unwrap();
    for len in ["1", "2"] {
        order(&mut writer, len);
        reader.snapshot().unwrap();
    }
    let objects = Objects::of(own.name(), "worker");
    remove_all(&objects);
    (writer, reader, objects)
}

#[test]
fn the_writer_and_attached_readers_go_on() {
    let test = "removed_names::the_writer_and_attached_readers_go_on";
    if let Some((_, namespace)) = role() {
        return obey(&namespace);
    }
    let own = OwnNamespace::new(&["worker"]);
    let (mut writer, mut reader, objects) = removed(test, &own);
    for len in 3..100 {
        order(&mut writer, &len.to_string());
        assert_eq!(*reader.snapshot().unwrap(), pattern(len));
    }
    assert!(matches!(attach(&own), Err(AttachError::NotFound { .. })));
    assert_eq!(reader.writer_state().unwrap(), WriterState::Alive);
    order(&mut writer, "grow");
    assert_eq!(*reader.snapshot().unwrap(), pattern(99), "what can't grow leaves the published state");
    order(&mut writer, "100");
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
        return obey(&namespace);
    }
    for end in ["close", "kill"] {
        let own = OwnNamespace::new(&["worker"]);
        let (mut first, mut firsts_reader, objects) = removed(test, &own);
        let mut second = open(&own);
        second.publish(&pattern(50)).unwrap();
        let mut reader = attach(&own).unwrap();
        order(&mut first, "grow");
        order(&mut first, "7");
        assert_eq!(
            (&*firsts_reader.snapshot().unwrap(), &*reader.snapshot().unwrap()),
            (&pattern(7), &pattern(50))
        );
        assert_eq!(firsts_reader.writer_state().unwrap(), WriterState::Alive);
        if end == "close" {
            order(&mut first, "close");
            assert_eq!(firsts_reader.writer_state().unwrap(), WriterState::Closed);
            assert!(matches!(firsts_reader.snapshot(), Err(SnapshotError::Closed { last: 3, .. })));
        } else {
            first.kill();
            assert_eq!(firsts_reader.writer_state().unwrap(), WriterState::Dead);
        }
        assert_eq!(objects.listed(), ["a1", "b1", "c"], "{end}");
        assert_eq!(reader.writer_state().unwrap(), WriterState::Alive);
        second.publish(&pattern(30_000)).unwrap();
        assert_eq!(*reader.snapshot().unwrap(), pattern(30_000));
        assert_eq!(*attach(&own).unwrap().snapshot().unwrap(), pattern(30_000));
    }
}

#[test]
fn a_reader_that_needs_a_removed_segment_gets_an_error_that_names_it() {
    let own = OwnNamespace::new(&["worker"]);
    let mut writer = open(&own);
    let mut reader = attach(&own).unwrap();
    writer.publish(&pattern(1)).unwrap();
    reader.snapshot().unwrap();
    let objects = Objects::of(own.name(), "worker");
    let segment = objects.name("a1");
    remove_all(&objects);
    writer.publish(&pattern(2)).unwrap();
    let error = reader.snapshot().unwrap_err();
    assert!(matches!(error, SnapshotError::Object { .. }) && error.to_string().contains(&segment), "{error}");
    writer.publish(&pattern(3)).unwrap();
    assert_eq!(*reader.snapshot().unwrap(), pattern(3), "the side that it has mapped goes on");
}
