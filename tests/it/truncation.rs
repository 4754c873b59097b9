//! Truncating a channel's objects makes a process that touches the truncated part fault, as
//! documented, and no other process.

use crate::common::{Actor, OwnNamespace, is_pattern, orders, pattern, role, say};
use tearless::{
    Bytes, Namespace,
    error::{AttachError, ObjectError, SnapshotError},
};
use testkit::objects::Objects;

/// Writes or reads as ordered, and dies of SIGBUS at truncated memory.
fn play(role: &str, namespace: &Namespace) {
    let reader = || namespace.reader_builder::<Vec<u8>>("worker").codec::<Bytes>().open();
    let writer = || namespace.writer_builder::<[u8]>("worker").codec::<Bytes>().open();
    let mut writer = (role == "writer").then(|| writer().unwrap());
    if let Some(writer) = &mut writer {
        // Both sides grow.
        writer.publish(&pattern(10_000)).unwrap();
        writer.publish(&pattern(10_001)).unwrap();
    }
    let mut reader = reader().unwrap();
    say("ready");
    for _ in orders() {
        match &mut writer {
            Some(writer) => drop(writer.publish(&pattern(12)).unwrap()),
            None => assert!(is_pattern(&reader.snapshot().unwrap())),
        }
        say("done");
    }
}

#[test]
fn truncation_faults_only_processes_that_touch_the_removed_part() {
    let test = "truncation::truncation_faults_only_processes_that_touch_the_removed_part";
    if let Some((role, namespace)) = role() {
        return play(&role, &namespace);
    }
    for kind in ["c", "a2", "b2"] {
        let own = OwnNamespace::new(&["worker", "other"]);
        let mut other = own.writer::<u64>("other").unwrap();
        let mut others_reader = own.reader::<u64>("other").unwrap();
        other.publish(&1).unwrap();

        let mut writer = Actor::start(test, "writer", &own);
        writer.await_line("ready");
        let mut reader = Actor::start(test, "reader", &own);
        reader.await_line("ready");
        let objects = Objects::of(own.name(), "worker");
        for _ in 0..2 {
            reader.order("read");
            reader.await_line("done");
            writer.order("publish");
            writer.await_line("done");
        }
        reader.order("read");
        reader.await_line("done");
        objects.truncate(kind, 0);
        attach_says_so(&own, kind);
        reader.order("read");
        if kind == "a2" {
            // Publication 4 is on this side.
            assert_eq!(reader.death(), Some(libc::SIGBUS), "{kind}");
            writer.order("publish");
            writer.await_line("done");
        } else if kind == "c" {
            assert_eq!(reader.death(), Some(libc::SIGBUS), "{kind}");
        }
        writer.order("publish");
        assert_eq!(writer.death(), Some(libc::SIGBUS), "{kind}");

        other.publish(&2).unwrap();
        assert_eq!(*others_reader.snapshot().unwrap(), 2, "other channels are fine");
        let mut successor = own.writer_builder::<[u8]>("worker").codec::<Bytes>().open().unwrap();
        assert_eq!(successor.publish(&pattern(13)).unwrap(), 1, "the next writer creates the channel again");
    }
}

/// A reader that attaches afterwards gets a typed error, or a state that still exists.
fn attach_says_so(namespace: &Namespace, kind: &str) {
    let reader = namespace.reader_builder::<Vec<u8>>("worker").codec::<Bytes>().open();
    if kind == "c" {
        let error = reader.unwrap_err();
        assert!(matches!(error, AttachError::NotReady { .. }), "{error}");
        return;
    }
    match reader.unwrap().snapshot() {
        Ok(snapshot) => assert!(kind == "b2" && is_pattern(&snapshot)),
        Err(error) => {
            let unfinished = ObjectError::Unfinished { object: String::new() };
            let SnapshotError::Object { source, .. } = &error else { panic!("{error}") };
            assert_eq!(std::mem::discriminant(source), std::mem::discriminant(&unfinished), "{error}");
            assert_eq!(kind, "a2");
        }
    }
}
