//! What another version of the layout left is refused, and removed on request; a living writer of
//! another version is left alone, and a new fleet starts beside both. `ci/upgrades` tries it with
//! real versions.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::common::{Actor, OwnNamespace, role, say, wait_for_end};
use tearless::cleanup::{CleanupReport, RemovalReason, Retention};
use tearless::error::{AttachError, CreateError, RemoveError};
use testkit::objects::{DIRECTORY, Objects, listed};

/// Rewrites the version in an object's first word, and gives the object this many pages.
fn give_version(path: &PathBuf, version: u8, pages: u64) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    for page in 1..pages {
        file.write_all_at(&[0; 4096], page * 4096).unwrap();
    }
    file.write_all_at(&[version], 6).unwrap();
}

fn removed(report: &CleanupReport) -> Vec<String> {
    assert!(report.failed.is_empty(), "{report}");
    assert!(report.removed.iter().all(|removed| removed.reason == RemovalReason::OtherVersion), "{report}");
    let mut objects: Vec<_> = report.removed.iter().flat_map(|removed| removed.objects.clone()).collect();
    objects.sort();
    objects
}

fn refuses(own: &OwnNamespace, channel: &str, version: u64) {
    let attach = own.reader::<u64>(channel).unwrap_err();
    assert!(matches!(&attach, AttachError::LayoutVersion { found, .. } if *found == version), "{attach}");
    let create = own.writer::<u64>(channel).unwrap_err();
    assert!(matches!(&create, CreateError::LayoutVersion { found, .. } if *found == version), "{create}");
    for text in [attach.to_string(), create.to_string()] {
        assert!(text.contains("tearless gc") && text.contains("Namespace::clean"), "{text}");
    }
}

#[test]
fn leftovers_of_another_version_are_refused_and_removed_on_request() {
    let test = "other_versions::leftovers_of_another_version_are_refused_and_removed_on_request";
    if let Some((_, namespace)) = role() {
        let writers = ["old", "larger"].map(|channel| {
            let mut writer = namespace.writer::<Vec<u64>>(channel).unwrap();
            writer.publish(&vec![5; 4_000]).unwrap();
            writer
        });
        say("published");
        wait_for_end();
        return drop(writers);
    }
    let own = OwnNamespace::new(&["old", "larger", "new"]);
    let mut older = Actor::start(test, "worker", &own);
    older.await_line("published");
    let [old, larger] = ["old", "larger"].map(|channel| Objects::of(own.name(), channel));
    let prefix = old.namespace_prefix();
    // The first versions gave the first segments and the schema objects of their own.
    for kind in ["a1", "b1", "s"] {
        fs::copy(old.path("c"), old.path(kind)).unwrap();
        give_version(&old.path(kind), 1, 1);
    }
    let registry =
        listed(prefix).into_iter().find(|name| !name.starts_with(&old.name("")) && name.len() < 13);
    let registry: PathBuf = format!("{DIRECTORY}/{}", registry.unwrap()).into();
    // Later versions may have pages of another size. The first version's registry was sparse.
    give_version(&old.path("c"), 1, 1);
    give_version(&larger.path("c"), 7, 2);
    let others = ["r", "r7"].map(|kind| PathBuf::from(format!("{DIRECTORY}/{prefix}{kind}")));
    fs::rename(&registry, &others[0]).unwrap();
    fs::File::options().write(true).open(&others[0]).unwrap().set_len(64 << 20).unwrap();
    let mut word = [0; 8];
    fs::File::open(&others[0]).unwrap().read_exact_at(&mut word, 0).unwrap();
    fs::write(&others[1], word).unwrap();
    give_version(&others[0], 1, 1);
    give_version(&others[1], 7, 2);
    let all = listed(prefix);
    let stranger = PathBuf::from(format!("{DIRECTORY}/{prefix}rest"));
    fs::write(&stranger, [7; 4096]).unwrap();
    assert_eq!(all.len(), 9, "of two channels, which have grown, and two registries: {all:?}");

    // Their writer lives.
    assert!(matches!(own.reader::<u64>("old"), Err(AttachError::LayoutVersion { found: 1, .. })));
    assert!(matches!(own.writer::<u64>("old"), Err(CreateError::LayoutVersion { found: 1, .. })));
    for retention in [Retention::UntilReplaced, Retention::Nothing] {
        assert!(removed(&own.clean(retention).unwrap()).is_empty());
        assert!(removed(&own.would_clean(retention).unwrap()).is_empty());
    }
    assert!(matches!(own.remove_channel("old"), Err(RemoveError::AlreadyOwned { .. })));
    // A new fleet starts beside it.
    let mut new = own.writer::<u64>("new").unwrap();
    new.publish(&6).unwrap();
    assert_eq!(own.hub().channels("*").unwrap(), ["new".into()]);

    older.kill();
    refuses(&own, "old", 1);
    refuses(&own, "larger", 7);
    assert_eq!(removed(&own.would_clean(Retention::UntilReplaced).unwrap()), all);
    assert!(all.iter().all(|object| listed(prefix).contains(object)), "nothing was removed");
    assert!(own.remove_channel("larger").unwrap());
    let rest: Vec<_> = all.into_iter().filter(|object| !object.starts_with(&larger.name(""))).collect();
    assert_eq!(removed(&own.clean(Retention::UntilReplaced).unwrap()), rest);
    assert!(stranger.exists(), "it is no registry");
    fs::remove_file(stranger).unwrap();
    own.writer::<u64>("old").unwrap().publish(&7).unwrap();
    assert_eq!(*own.hub().get::<u64>("new").unwrap(), 6);
}

#[test]
fn objects_of_another_version_under_the_names_of_this_one_are_removed_on_request() {
    let own = OwnNamespace::new(&["left", "other"]);
    own.writer_builder::<u64>("left").linger(true).open().unwrap().publish(&1).unwrap();
    let objects = Objects::of(own.name(), "left");
    let all = listed(objects.namespace_prefix());
    for object in &all {
        give_version(&PathBuf::from(format!("{DIRECTORY}/{object}")), 9, 1);
    }
    refuses(&own, "left", 9);
    let error = own.writer::<u64>("other").unwrap_err().to_string();
    assert!(error.contains("layout version 9") && error.contains("tearless gc"), "{error}");
    assert!(!error.contains("which program made it"), "{error}");
    assert_eq!(removed(&own.would_clean(Retention::Nothing).unwrap()), all);
    assert_eq!(removed(&own.clean(Retention::Nothing).unwrap()), all);
    own.writer::<u64>("other").unwrap().publish(&2).unwrap();
}
