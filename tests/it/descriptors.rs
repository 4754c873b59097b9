//! Running out of file descriptors is an error that changes nothing.

use std::fs::File;

use crate::common::{Actor, OwnNamespace, role};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tearless::error::RemoveError;

/// Leaves this process exactly `free` descriptors.
pub(super) fn leave(free: usize) -> Vec<File> {
    let limit = Rlimit { current: Some(64), maximum: getrlimit(Resource::Nofile).maximum };
    setrlimit(Resource::Nofile, limit).unwrap();
    let mut files: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    files.truncate(files.len() - free);
    files
}

#[test]
fn opening_without_descriptors_leaves_the_channel() {
    if let Some((_, namespace)) = role() {
        let mut writer = namespace.writer::<u64>("worker").unwrap();
        writer.publish(&1).unwrap();
        let mut reader = namespace.reader::<u64>("worker").unwrap();
        writer.close_lingering().unwrap();
        for free in 0..2 {
            let used = leave(free);
            let error = namespace.writer::<u64>("worker").map(drop).unwrap_err();
            drop(used);
            assert!(
                error.to_string().contains("descriptors") || error.to_string().contains("open files"),
                "{error}"
            );
            assert_eq!(*reader.snapshot().unwrap(), 1, "with {free} free: the published state stays");
        }
        let _used = leave(2);
        assert_eq!(namespace.writer::<u64>("worker").unwrap().publish(&2).unwrap(), 2);
        return;
    }
    let own = OwnNamespace::new(&["worker"]);
    Actor::start("descriptors::opening_without_descriptors_leaves_the_channel", "alone", &own).finish();
}

#[test]
fn a_hub_without_descriptors_lists_changes_later() {
    if let Some((_, namespace)) = role() {
        let hub = namespace.hub();
        let early = namespace.writer::<u64>("early").unwrap();
        assert_eq!(hub.channels("*").unwrap().len(), 1);
        let _late = namespace.writer::<u64>("late").unwrap();
        let used = leave(0);
        assert_eq!(hub.channels("*").unwrap().len(), 1, "the hub has no descriptor for the listing");
        drop(used);
        assert_eq!(hub.channels("*").unwrap().len(), 2);
        return drop(early);
    }
    let own = OwnNamespace::new(&["early", "late"]);
    Actor::start("descriptors::a_hub_without_descriptors_lists_changes_later", "alone", &own).finish();
}

#[test]
fn a_hub_without_descriptors_reads_what_is_attached_and_says_which_limit_it_is() {
    if let Some((_, namespace)) = role() {
        let hub = namespace.hub();
        let mut selection = hub.select("*");
        let mut early = namespace.writer::<u64>("early").unwrap();
        let mut late = namespace.writer::<u64>("late").unwrap();
        late.publish(&2).unwrap();
        let mut states = || -> Vec<_> {
            selection.iter::<u64>().unwrap().map(|found| found.state.map(|state| *state)).collect()
        };
        for number in [1, 3] {
            early.publish(&number).unwrap();
            assert_eq!(*hub.get::<u64>("early").unwrap(), number);
        }
        assert_eq!(states().iter().flatten().collect::<Vec<_>>(), [&3, &2]);
        late.close().unwrap();
        let mut late = namespace.writer::<u64>("late").unwrap();
        late.publish(&4).unwrap();
        let used = leave(0);
        let mut found = states();
        let error = found.pop().unwrap().unwrap_err().to_string();
        assert!(error.contains("descriptors") && error.contains("ulimit -n"), "{error}");
        assert_eq!(*found[0].as_ref().unwrap(), 3);
        let error = hub.get::<u64>("late").unwrap_err().to_string();
        assert!(error.contains("descriptors"), "{error}");
        drop(used);
        assert_eq!(states().iter().flatten().collect::<Vec<_>>(), [&3, &4]);
        return;
    }
    let own = OwnNamespace::new(&["early", "late"]);
    let test = "descriptors::a_hub_without_descriptors_reads_what_is_attached_and_says_which_limit_it_is";
    Actor::start(test, "alone", &own).finish();
}

#[test]
fn closing_without_descriptors_says_that_only_the_entry_stays() {
    if let Some((_, namespace)) = role() {
        let mut writer = namespace.writer::<u64>("worker").unwrap();
        writer.publish(&1).unwrap();
        let used = leave(0);
        let error = writer.close().unwrap_err();
        drop(used);
        assert!(matches!(error, RemoveError::Entry { .. }), "{error}");
        assert!(error.to_string().contains("was removed, but its entry"), "{error}");
        assert!(error.to_string().contains("descriptors"), "{error}");
        assert!(!namespace.remove_channel("worker").unwrap(), "there is no such channel");
        namespace.writer::<u64>("worker").unwrap().publish(&2).unwrap();
        return;
    }
    let own = OwnNamespace::new(&["worker"]);
    let test = "descriptors::closing_without_descriptors_says_that_only_the_entry_stays";
    Actor::start(test, "alone", &own).finish();
}
