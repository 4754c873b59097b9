//! What a process has mapped of a namespace's registry: each object once for all of its writers and
//! waiters, and none for longer than they use it.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use crate::common::{Actor, OwnNamespace, eventually, role, wait_for_end};
use tearless::{Namespace, Writer};
use testkit::fork::Forked;
use testkit::objects::{DIRECTORY, Objects, listed};

/// How the maps of a process mark an object without a name.
const UNLINKED: &str = " (deleted)";

/// Whether this is the name of the registry's first object or of a chunk, without the namespace's
/// characters: a letter and a number.
fn is_registrys(name: &str) -> bool {
    let number = name.strip_prefix(['r', 't']).map(|rest| rest.trim_end_matches(UNLINKED));
    number.is_some_and(|number| number.len() < 4 && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The characters that the names of all objects of the namespace begin with. It has channel
/// `worker`.
fn prefix_of(namespace: &Namespace) -> String {
    Objects::of(namespace.name(), "worker").namespace_prefix().to_owned()
}

/// The registry's objects that this process has mapped, as often as it has, sorted.
fn mapped(prefix: &str) -> Vec<String> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let names = maps.lines().filter_map(|line| line.split_once(&format!("{DIRECTORY}/{prefix}")));
    let mut names: Vec<_> = names.map(|(_, name)| name.to_owned()).filter(|it| is_registrys(it)).collect();
    names.sort();
    names
}

/// The registry's first object, without the namespace's characters.
fn registry_of(prefix: &str) -> String {
    let names = listed(prefix).into_iter().map(|name| name[prefix.len()..].to_owned());
    names.filter(|name| is_registrys(name)).find(|name| name.starts_with('r')).unwrap()
}

fn open(namespace: &Namespace, channel: &str) -> Writer<u64> {
    namespace.writer::<u64>(channel).unwrap()
}

fn names(namespace: &Namespace) -> BTreeSet<String> {
    namespace.channels().unwrap().into_iter().map(|channel| channel.name).collect()
}

#[test]
fn the_writers_and_waiters_of_a_process_share_the_mappings_of_the_registry() {
    let own = OwnNamespace::new(&[]);
    let mut worker = open(&own, "worker");
    worker.publish(&1).unwrap();
    let prefix = prefix_of(&own);
    let registry = registry_of(&prefix);
    assert_eq!(mapped(&prefix), [&*registry]);
    // More than the first object and the first chunk have entries for.
    let others: Vec<_> = (0..40).map(|number| open(&own, &format!("worker-{number}"))).collect();
    let mut readers = [(); 3].map(|()| own.reader::<u64>("worker").unwrap());
    for reader in &mut readers {
        reader.snapshot().unwrap();
        assert!(!reader.changed(Duration::from_millis(50)).unwrap());
    }
    let now = mapped(&prefix);
    let once: BTreeSet<_> = now.iter().collect();
    assert!(once.len() == now.len() && once.len() > 2, "{now:?}");
    drop(others);
    assert_eq!(mapped(&prefix), [&*registry], "a chunk stays mapped for its writers only");
    drop(worker);
    // For the waiters, of which none may have come to sleep.
    assert!(mapped(&prefix).len() <= 1);
    drop(readers);
    assert_eq!(mapped(&prefix), [""; 0]);
}

#[test]
fn a_registry_that_ended_is_not_taken_for_the_next_one() {
    let own = OwnNamespace::new(&[]);
    let mut waiters = Vec::new();
    for round in 1..4 {
        let mut worker = open(&own, "worker");
        worker.publish(&round).unwrap();
        let prefix = prefix_of(&own);
        let (former, now): (Vec<_>, Vec<_>) =
            mapped(&prefix).into_iter().partition(|name| name.ends_with(UNLINKED));
        assert_eq!(now, [registry_of(&prefix)]);
        assert!(former.len() <= waiters.len(), "{former:?}");
        assert_eq!(names(&own), BTreeSet::from(["worker".into()]));
        // A waiter that comes to sleep keeps its registry's page.
        let mut waiter = own.reader::<u64>("worker").unwrap();
        assert_eq!(*waiter.snapshot().unwrap(), round);
        assert!(!waiter.changed(Duration::from_millis(50)).unwrap());
        waiters.push(waiter);
        drop(worker);
        assert!(mapped(&prefix).iter().all(|name| name.ends_with(UNLINKED)), "{round}");
    }
}

#[test]
fn a_registry_that_was_removed_by_hand_is_unmapped_once_its_writers_have_the_next() {
    let own = OwnNamespace::new(&[]);
    let mut writers = ["worker", "second"].map(|channel| open(&own, channel));
    let prefix = prefix_of(&own);
    let registry = registry_of(&prefix);
    fs::remove_file(format!("{DIRECTORY}/{prefix}{registry}")).unwrap();
    let third = open(&own, "third");
    assert_eq!(names(&own), BTreeSet::from(["third".into()]));
    assert_eq!(mapped(&prefix), [registry.clone(), format!("{registry}{UNLINKED}")]);
    eventually("the writers enter their channels again", || {
        writers.iter_mut().for_each(|writer| drop(writer.touch()));
        names(&own).len() == 3
    });
    assert_eq!(mapped(&prefix), [registry]);
    drop((writers, third));
    assert_eq!(listed(&prefix), [""; 0]);
    assert_eq!(mapped(&prefix), [""; 0]);
}

#[test]
fn a_fork_enters_channels_of_its_own_beside_those_of_its_parent() {
    let test = "mappings::a_fork_enters_channels_of_its_own_beside_those_of_its_parent";
    if let Some((_, namespace)) = role() {
        let worker = open(&namespace, "worker");
        let prefix = prefix_of(&namespace);
        let resting = Forked::start(wait_for_end);
        let enter_and_leave = |channel: &str| {
            for _ in 0..50 {
                let _writer = open(&namespace, channel);
                let both = BTreeSet::from(["worker".to_owned(), channel.into()]);
                assert!(names(&namespace).is_superset(&both));
            }
        };
        let busy = Forked::start(|| enter_and_leave("childs"));
        enter_and_leave("parents");
        assert_eq!(busy.wait().exit_status(), Some(0));
        assert_eq!((names(&namespace).len(), mapped(&prefix).len()), (1, 1));
        drop((worker, resting));
        assert_eq!(listed(&prefix), [""; 0]);
        return assert_eq!(mapped(&prefix), [""; 0]);
    }
    let own = OwnNamespace::new(&[]);
    Actor::start(test, "alone", &own).finish();
}
