//! Who truncates a channel's objects makes those fault who touch them (documented, and why sealing matters); nobody else.

mod common;

use common::objects::Objects;
use common::{Actor, OwnNamespace, commands, is_pattern, pattern, role, say};
use tearless::{
    Bytes, Namespace,
    error::{AttachError, ObjectError, SnapshotError},
};

/// Writes or reads as it is told, and dies of SIGBUS where the memory is gone.
fn play(role: &str, namespace: &Namespace) {
    let reader = || namespace.reader_builder::<Vec<u8>>("worker").codec::<Bytes>().open();
    let writer = || namespace.writer_builder::<[u8]>("worker").codec::<Bytes>().open();
    let mut writer = (role == "writer").then(|| writer().unwrap());
    if let Some(writer) = &mut writer {
        writer.publish(&pattern(10)).unwrap();
        writer.publish(&pattern(11)).unwrap();
    }
    let mut reader = reader().unwrap();
    say("ready");
    for _ in commands() {
        match &mut writer {
            Some(writer) => drop(writer.publish(&pattern(12)).unwrap()),
            None => assert!(is_pattern(&reader.snapshot().unwrap())),
        }
        say("done");
    }
}

#[test]
fn truncation_faults_only_who_touches_what_is_gone() {
    let test = "truncation_faults_only_who_touches_what_is_gone";
    if let Some((role, namespace)) = role() {
        return play(&role, &namespace);
    }
    for kind in ["c", "a1", "b1"] {
        let own = OwnNamespace::new(&["worker", "other"]);
        let mut other = own.writer::<u64>("other").unwrap();
        let mut others_reader = own.reader::<u64>("other").unwrap();
        other.publish(&1).unwrap();

        let mut writer = Actor::start(test, "writer", &own);
        writer.await_line("ready");
        let mut reader = Actor::start(test, "reader", &own);
        reader.await_line("ready");
        let objects = Objects::of(&own, "worker");
        for _ in 0..2 {
            reader.tell("read");
            reader.await_line("done");
            writer.tell("publish");
            writer.await_line("done");
        }
        reader.tell("read");
        reader.await_line("done");
        objects.truncate(kind, 0);
        attach_says_so(&own, kind);
        reader.tell("read");
        if kind == "a1" {
            // Publication 4 is on this side.
            assert_eq!(reader.death(), Some(libc::SIGBUS), "{kind}");
            writer.tell("publish");
            writer.await_line("done");
        } else if kind == "c" {
            assert_eq!(reader.death(), Some(libc::SIGBUS), "{kind}");
        }
        writer.tell("publish");
        assert_eq!(writer.death(), Some(libc::SIGBUS), "{kind}");

        other.publish(&2).unwrap();
        assert_eq!(*others_reader.snapshot().unwrap(), 2, "other channels are fine");
        let mut successor = own.writer_builder::<[u8]>("worker").codec::<Bytes>().open().unwrap();
        assert_eq!(successor.publish(&pattern(13)).unwrap(), 1, "the next writer makes the channel anew");
    }
}

/// Who attaches afterwards gets a typed error, or a state that is still there.
fn attach_says_so(namespace: &Namespace, kind: &str) {
    let reader = namespace.reader_builder::<Vec<u8>>("worker").codec::<Bytes>().open();
    if kind == "c" {
        let error = reader.unwrap_err();
        assert!(matches!(error, AttachError::NotReady { .. }), "{error}");
        return;
    }
    match reader.unwrap().snapshot() {
        Ok(snapshot) => assert!(kind == "b1" && is_pattern(&snapshot)),
        Err(error) => {
            let unfinished = ObjectError::Unfinished { object: String::new() };
            let SnapshotError::Object { source, .. } = &error else { panic!("{error}") };
            assert_eq!(std::mem::discriminant(source), std::mem::discriminant(&unfinished), "{error}");
            assert_eq!(kind, "a1");
        }
    }
}
