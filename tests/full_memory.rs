//! Full shared memory is an error of create and of growth, never a SIGBUS. The published state
//! stays, and nothing is left behind.

mod common;

use std::fs::{self, File};
use std::io::Write;

use common::{Actor, OwnNamespace, is_root, pattern, role};
use tearless::{
    Bytes, Namespace, Reader, Writer,
    error::{AttachError, BlockError, CreateError, ObjectError, PublishError},
};
use testkit::objects::{DIRECTORY, Objects};

const PAGE: usize = 4096;

/// Runs `test` in another role, in a mount namespace with a small `/dev/shm`. Returns `false` in
/// the test itself.
fn in_small_memory(test: &str, size: &str, play: fn(&Namespace)) {
    if let Some((_, namespace)) = role() {
        assert_eq!(listed(), Vec::<String>::new(), "/dev/shm is not the test's own");
        return play(&namespace);
    }
    if is_root("to mount a small /dev/shm") {
        let own = OwnNamespace::new(&[]);
        let mount = format!("mount -t tmpfs -o {size} small {DIRECTORY} && exec \"$@\"");
        let wrapper = ["unshare", "-m", "sh", "-c", &mount, "sh"];
        Actor::start_by(&wrapper, test, "alone", &own).finish();
    }
}

fn listed() -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(DIRECTORY)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Fills the memory until only `pages` are free. [`make_room`] removes the file.
fn fill_all_but(pages: usize) {
    let mut file = File::create(format!("{DIRECTORY}/filler")).unwrap();
    while file.write_all(&[1; PAGE]).is_ok() {}
    let len = file.metadata().unwrap().len() / PAGE as u64 * PAGE as u64;
    file.set_len(len - (pages * PAGE) as u64).unwrap();
}

fn make_room() {
    fs::remove_file(format!("{DIRECTORY}/filler")).unwrap();
}

fn create(namespace: &Namespace) -> Result<Writer<[u8], Bytes>, CreateError> {
    namespace.writer_builder::<[u8]>("worker").codec::<Bytes>().checksum(true).open()
}

fn attach(namespace: &Namespace) -> Result<Reader<Vec<u8>, Bytes>, AttachError> {
    namespace.reader_builder::<Vec<u8>>("worker").codec::<Bytes>().open()
}

fn assert_no_space(result: Result<Writer<[u8], Bytes>, CreateError>) {
    let error = result.map(drop).unwrap_err();
    assert!(
        matches!(&error, CreateError::Object { source: ObjectError::NoSpace { .. }, .. }),
        "{error}, {error:?}"
    );
}

#[test]
fn a_create_without_room_leaves_nothing() {
    in_small_memory("a_create_without_room_leaves_nothing", "size=128k", |namespace| {
        for pages in 0..6 {
            fill_all_but(pages);
            assert_no_space(create(namespace));
            assert_eq!(listed(), ["filler"], "with room for {pages} of 6 pages");
            assert!(matches!(attach(namespace), Err(AttachError::NotFound { .. })));
            make_room();
        }
        create(namespace).unwrap().publish(&pattern(1)).unwrap();
        assert_eq!(listed(), Vec::<String>::new());
    });
}

#[test]
fn a_growth_without_room_leaves_the_published_state() {
    in_small_memory("a_growth_without_room_leaves_the_published_state", "size=128k", |namespace| {
        let mut writer = create(namespace).unwrap();
        let mut reader = attach(namespace).unwrap();
        writer.publish(&pattern(100)).unwrap();
        let objects = Objects::of(namespace.name(), "worker");
        for pages in [5, 1, 0] {
            fill_all_but(pages);
            let error = writer.publish(&pattern(20_000)).unwrap_err();
            let PublishError::Growth { source: ObjectError::NoSpace { object, .. }, .. } = &error else {
                panic!("{error}, {error:?}");
            };
            let expected = objects.path(if writer.publication() % 2 == 1 { "a2" } else { "b2" });
            assert_eq!(*object, expected.to_str().unwrap());
            assert_eq!(*reader.snapshot().unwrap(), pattern(100));
            assert_eq!(*attach(namespace).unwrap().snapshot().unwrap(), pattern(100));
            assert_eq!(objects.listed(), ["c"]);
            writer.publish(&pattern(100)).expect("a state that fits is still published");
            make_room();
        }
        writer.publish(&pattern(20_000)).expect("there is room again");
        assert_eq!(*reader.snapshot().unwrap(), pattern(20_000));
        drop(writer);
        assert_eq!(listed(), Vec::<String>::new());
    });
}

#[test]
fn a_takeover_needs_no_room() {
    in_small_memory("a_takeover_needs_no_room", "size=128k", |namespace| {
        let mut writer = create(namespace).unwrap();
        writer.publish(&pattern(100)).unwrap();
        writer.close_lingering().unwrap();
        fill_all_but(0);
        let mut reader = attach(namespace).unwrap();
        let mut successor = create(namespace).unwrap();
        assert_eq!(successor.publish(&pattern(101)).unwrap(), 2);
        assert_eq!(*reader.snapshot().unwrap(), pattern(101));
    });
}

/// The state that a creator leaves if it is stopped or killed after it sizes the channel's object
/// and before it reserves the object's memory: no process can read the object's words while there
/// is no memory for them.
#[test]
fn a_half_made_page_without_memory_is_not_touched() {
    in_small_memory("a_half_made_page_without_memory_is_not_touched", "size=128k", |namespace| {
        drop(create(namespace).unwrap().publish(&pattern(1)));
        let mut writer = create(namespace).unwrap();
        writer.publish(&pattern(1)).unwrap();
        let objects = Objects::of(namespace.name(), "worker");
        drop(writer);
        // The first page, all of them, and more than the channel needs.
        for pages in [1, 3, 4] {
            let leave = || {
                let object = File::create(objects.path("c")).unwrap();
                object.set_len((pages * PAGE) as u64).unwrap();
            };
            leave();
            fill_all_but(0);
            let error = attach(namespace).map(drop).unwrap_err();
            assert!(matches!(error, AttachError::NotReady { .. }), "{error}, {error:?}");
            assert_no_space(create(namespace));
            leave();
            assert!(namespace.remove_channel("worker").unwrap(), "removal needs no memory");
            assert!(!namespace.remove_channel("worker").unwrap());
            make_room();
        }
        assert_eq!(listed(), Vec::<String>::new());
    });
}

#[test]
fn running_out_of_inodes_is_refused_and_named() {
    in_small_memory("running_out_of_inodes_is_refused_and_named", "size=128k,nr_inodes=4", |namespace| {
        // The directory itself takes one name.
        for used in 2..4 {
            (0..used).for_each(|number| drop(File::create(format!("{DIRECTORY}/{number}")).unwrap()));
            let before = listed();
            let error = create(namespace).map(drop).unwrap_err();
            assert!(error.to_string().contains("nr_inodes"), "{error}");
            assert_eq!(listed(), before, "with {used} of 3 names used");
            (0..used).for_each(|number| fs::remove_file(format!("{DIRECTORY}/{number}")).unwrap());
        }
        let mut writer = create(namespace).unwrap();
        writer.publish(&pattern(100)).unwrap();
        File::create(format!("{DIRECTORY}/last")).unwrap();
        let error = writer.publish(&pattern(20_000)).unwrap_err();
        assert!(
            matches!(&error, PublishError::Growth { source: ObjectError::Limit { .. }, .. })
                && error.to_string().contains("nr_inodes"),
            "{error}, {error:?}"
        );
        assert_eq!(*attach(namespace).unwrap().snapshot().unwrap(), pattern(100));
        fs::remove_file(format!("{DIRECTORY}/last")).unwrap();
        writer.publish(&pattern(20_000)).unwrap();
        assert_eq!(*attach(namespace).unwrap().snapshot().unwrap(), pattern(20_000));
    });
}

#[test]
fn a_block_that_does_not_fit_is_an_error_and_leaves_nothing() {
    in_small_memory("a_block_that_does_not_fit_is_an_error_and_leaves_nothing", "size=1m", |namespace| {
        for len in [1 << 20, 100 << 20] {
            let refused = namespace.block("table", len).unwrap_err();
            let is_full = matches!(&refused, BlockError::Object { source: ObjectError::NoSpace { .. }, .. });
            assert!(is_full && listed().is_empty(), "{refused}");
        }
        let block = namespace.block("table", 512 << 10).unwrap();
        fill_all_but(0);
        block.write_at(0, &vec![1; 512 << 10]);
        assert!(namespace.block("other", 1).is_err());
        make_room();
        block.close().unwrap();
        assert!(listed().is_empty());
    });
}
