//! The objects belong to the writer alone under any umask. Another process removes none of them
//! when it ends, however it ends.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::panic::resume_unwind;

use crate::common::{Actor, OwnNamespace, pattern, role};
use rustix::fs::Mode;
use tearless::{
    Bytes, Namespace,
    error::{CreateError, RemoveError},
};
use testkit::fork::{become_user, exit_at_once, kill_self};
use testkit::objects::Objects;

/// Creates, grows and takes over under `umask`: every object has exactly the requested permissions.
fn live_under(umask: u32, mode: u32, namespace: &Namespace) {
    rustix::process::umask(Mode::from_raw_mode(umask));
    let open =
        || namespace.writer_builder::<[u8]>("worker").codec::<Bytes>().permissions(mode).open().unwrap();
    let mut writer = open();
    let mut objects = None;
    for (len, count) in [(1, 1), (20_000, 2), (20_001, 3), (100_000, 3)] {
        writer.publish(&pattern(len)).unwrap();
        let objects = objects.get_or_insert_with(|| Objects::of(namespace.name(), "worker"));
        assert_eq!(objects.listed().len(), count);
        for kind in objects.listed() {
            let found = fs::metadata(objects.path(&kind)).unwrap().permissions().mode() & 0o7777;
            assert_eq!(found, mode, "{kind} under umask {umask:o}");
        }
    }
    writer.close_lingering().unwrap();
    open().close().unwrap();
    assert_eq!(objects.unwrap().listed(), Vec::<String>::new());
}

#[test]
fn permissions_are_as_requested_under_any_umask() {
    let test = "strangers::permissions_are_as_requested_under_any_umask";
    if let Some((role, namespace)) = role() {
        if role == "nobody" {
            become_user(65_534);
        }
        for umask in [0, 0o022, 0o077, 0o777] {
            for mode in [0o600, 0o644] {
                live_under(umask, mode, &namespace);
            }
        }
        return;
    }
    let own = OwnNamespace::new(&["worker"]);
    Actor::start(test, "this user", &own).finish();
    if crate::common::is_root("to become a user to whom permissions apply") {
        Actor::start(test, "nobody", &own).finish();
    }
}

/// Uses the channel of another process in every possible way, and ends as `role` says.
fn visit(role: &str, namespace: &Namespace) {
    let mut reader = namespace.reader::<Vec<u64>>("worker").unwrap();
    reader.snapshot().unwrap();
    let refused = namespace.writer::<Vec<u64>>("worker");
    assert!(matches!(refused, Err(CreateError::AlreadyOwned { .. })));
    assert!(matches!(namespace.remove_channel("worker"), Err(RemoveError::AlreadyOwned { .. })));
    match role {
        "returns" => {}
        // Bypasses the panic hook, whose report would look like a failure.
        "panics" => resume_unwind(Box::new("as the test requires")),
        "exits" => std::process::exit(0),
        "exits at once" => exit_at_once(0),
        _ => kill_self(),
    }
}

#[test]
fn a_process_that_does_not_own_the_channel_removes_nothing_at_its_end() {
    let test = "strangers::a_process_that_does_not_own_the_channel_removes_nothing_at_its_end";
    if let Some((role, namespace)) = role() {
        return visit(&role, &namespace);
    }
    let own = OwnNamespace::new(&["worker"]);
    let mut writer = own.writer::<Vec<u64>>("worker").unwrap();
    // Both sides grow.
    let state = |number| vec![number; 4_000];
    for _ in 0..2 {
        writer.publish(&state(0)).unwrap();
    }
    let objects = Objects::of(own.name(), "worker");
    let inodes = || ["c", "a2", "b2"].map(|kind| fs::metadata(objects.path(kind)).unwrap().ino());
    let (before, mut reader) = (inodes(), own.reader::<Vec<u64>>("worker").unwrap());
    for (number, end) in (1..).zip(["returns", "panics", "exits", "exits at once", "kills itself"]) {
        Actor::start(test, end, &own).death();
        assert_eq!(inodes(), before, "{end}");
        assert_eq!(objects.listed(), ["a2", "b2", "c"], "{end}");
        writer.publish(&state(number)).unwrap();
        assert_eq!(*reader.snapshot().unwrap(), state(number), "{end}");
    }
}
