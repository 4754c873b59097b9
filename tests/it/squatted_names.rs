//! A foreign object under one of a channel's names gives an error that names the object, and the
//! object is not removed.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{OwnNamespace, pattern};
use tearless::{
    Bytes, Namespace, Reader, Writer,
    error::{AttachError, CreateError, ObjectError, PublishError, RemoveError},
};
use testkit::objects::Objects;

const OTHER_USER: u32 = 65_534;

/// A foreign object, removed when dropped.
struct Squatter {
    kind: &'static str,
    path: PathBuf,
    inode: u64,
}

type Kind = (&'static str, fn(&Path));

/// Everything that is not an object of this user.
const KINDS: [Kind; 6] = [
    ("symlink", |path| symlink("/etc/hostname", path).unwrap()),
    ("dangling symlink", |path| symlink("/nowhere", path).unwrap()),
    ("directory", |path| fs::create_dir(path).unwrap()),
    ("fifo", |path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success())),
    ("socket", |path| drop(UnixListener::bind(path).unwrap())),
    ("other owner", |path| {
        fs::write(path, [0; 4096]).unwrap();
        std::os::unix::fs::chown(path, Some(OTHER_USER), None).unwrap();
    }),
];

fn inode(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}

impl Squatter {
    fn new((kind, make): Kind, path: PathBuf) -> Squatter {
        make(&path);
        Squatter { kind, inode: inode(&path), path }
    }

    /// Asserts that the object still exists, and that `error` names it.
    fn assert_named_by(&self, error: &ObjectError) {
        assert_eq!(inode(&self.path), self.inode, "{} was removed", self.kind);
        let right = match error {
            ObjectError::OtherOwner { owner: OTHER_USER, .. } => self.kind == "other owner",
            ObjectError::Foreign { .. } => self.kind != "other owner",
            _ => false,
        };
        let object = self.path.file_name().unwrap().to_str().unwrap();
        assert!(right && error.to_string().contains(object), "{}: {error}", self.kind);
    }
}

impl Drop for Squatter {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_dir(&self.path);
    }
}

fn kinds() -> impl Iterator<Item = Kind> {
    let root = crate::common::is_root("to make an object of another user");
    KINDS.into_iter().filter(move |(kind, _)| root || *kind != "other owner")
}

fn create(namespace: &Namespace) -> Result<Writer<[u8], Bytes>, CreateError> {
    namespace.writer_builder::<[u8]>("worker").codec::<Bytes>().open()
}

fn attach(namespace: &Namespace) -> Result<Reader<Vec<u8>, Bytes>, AttachError> {
    namespace.reader_builder::<Vec<u8>>("worker").codec::<Bytes>().open()
}

/// Replaces a channel whose writer has ended: its states have no checksums.
fn replace(namespace: &Namespace) -> Result<Writer<[u8], Bytes>, CreateError> {
    namespace.writer_builder::<[u8]>("worker").codec::<Bytes>().checksum(true).open()
}

/// The names that the channel's objects will have.
fn names(namespace: &Namespace) -> Objects {
    let _writer = create(namespace).unwrap();
    Objects::of(namespace.name(), "worker")
}

#[test]
fn a_squatted_control_page_is_refused() {
    let own = OwnNamespace::new(&["worker"]);
    let objects = names(&own);
    let text: Kind = ("text", |path| fs::write(path, "not ours").unwrap());
    let page: Kind = ("a page of text", |path| fs::write(path, [b'x'; 4096]).unwrap());
    for kind in kinds().chain([text, page]) {
        let squatter = Squatter::new(kind, objects.path("c"));
        let Err(CreateError::Object { source, .. }) = create(&own) else { panic!("{}", kind.0) };
        squatter.assert_named_by(&source);
        let Err(AttachError::Object { source, .. }) = attach(&own) else { panic!("{}", kind.0) };
        squatter.assert_named_by(&source);
        let Err(RemoveError::Object { source, .. }) = own.remove_channel("worker") else {
            panic!("{}", kind.0)
        };
        squatter.assert_named_by(&source);
        assert_eq!(objects.listed(), ["c"], "{}", kind.0);
    }
    create(&own).unwrap().publish(&pattern(1)).expect("the name is free again");
}

#[test]
fn an_empty_page_of_ours_is_a_half_made_channel() {
    let own = OwnNamespace::new(&["worker"]);
    let objects = names(&own);
    fs::write(objects.path("c"), "").unwrap();
    assert!(matches!(attach(&own), Err(AttachError::NotReady { .. })));
    create(&own).unwrap().publish(&pattern(1)).unwrap();
    assert_eq!(objects.listed(), Vec::<String>::new());
}

/// The object that tries out whether there is room for the new channel has this name.
#[test]
fn a_squatted_segment_is_refused_when_the_channel_is_replaced() {
    let own = OwnNamespace::new(&["worker"]);
    let objects = names(&own);
    for kind in kinds() {
        let mut first = create(&own).unwrap();
        first.publish(&pattern(1)).unwrap();
        first.close_lingering().unwrap();
        let squatter = Squatter::new(kind, objects.path("a2"));
        let Err(CreateError::Object { source, .. }) = replace(&own) else { panic!("{}", kind.0) };
        squatter.assert_named_by(&source);
        assert_eq!(objects.listed(), ["a2", "c"], "nothing half-made stays: {}", kind.0);
        assert_eq!(*attach(&own).unwrap().snapshot().unwrap(), pattern(1), "{}", kind.0);
        let mut second = create(&own).expect("a takeover does not need the name");
        assert_eq!(second.publish(&pattern(2)).unwrap(), 2, "{}", kind.0);
        second.close_lingering().unwrap();
        drop(squatter);
        assert_eq!(replace(&own).expect("the name is free again").publish(&pattern(3)).unwrap(), 1);
        assert_eq!(objects.listed(), Vec::<String>::new(), "{}", kind.0);
    }
}

#[test]
fn a_squatted_segment_stops_growth_and_leaves_the_published_state() {
    let own = OwnNamespace::new(&["worker"]);
    let mut writer = create(&own).unwrap();
    writer.publish(&pattern(1)).unwrap();
    let objects = Objects::of(own.name(), "worker");
    let mut reader = attach(&own).unwrap();
    for kind in kinds() {
        let squatters = ["a2", "b2"].map(|segment| Squatter::new(kind, objects.path(segment)));
        for len in [2, 3] {
            let squatter = &squatters[usize::from(writer.publication().is_multiple_of(2))];
            let Err(PublishError::Growth { source, .. }) = writer.publish(&pattern(20_000)) else {
                panic!("{}", kind.0)
            };
            squatter.assert_named_by(&source);
            writer.publish(&pattern(len)).expect("a state that fits is still published");
            assert_eq!(*reader.snapshot().unwrap(), pattern(len));
            assert_eq!(*attach(&own).unwrap().snapshot().unwrap(), pattern(len));
        }
        assert_eq!(objects.listed(), ["a2", "b2", "c"], "{}", kind.0);
    }
    writer.publish(&pattern(20_000)).expect("the names are free again");
    assert_eq!(*reader.snapshot().unwrap(), pattern(20_000));
}

#[test]
fn a_squatted_segment_does_not_keep_the_next_writer_from_the_channel() {
    let own = OwnNamespace::new(&["worker"]);
    for kind in kinds() {
        let mut first = create(&own).unwrap();
        first.publish(&pattern(1)).unwrap();
        let objects = Objects::of(own.name(), "worker");
        let mut reader = attach(&own).unwrap();
        first.close_lingering().unwrap();
        let squatter = Squatter::new(kind, objects.path("a2"));
        let mut second = create(&own).unwrap_or_else(|error| panic!("{}: {error}", kind.0));
        assert_eq!(*reader.snapshot().unwrap(), pattern(1), "the published state stays: {}", kind.0);
        assert_eq!(second.publish(&pattern(2)).unwrap(), 2);
        // Publication 3 is on the other side.
        assert_eq!(second.publish(&pattern(20_000)).unwrap(), 3);
        let Err(PublishError::Growth { source, .. }) = second.publish(&pattern(20_000)) else {
            panic!("{}", kind.0)
        };
        squatter.assert_named_by(&source);
        assert_eq!(*reader.snapshot().unwrap(), pattern(20_000));
    }
}

#[test]
fn a_squatted_registry_is_refused_and_leaves_the_published_state() {
    let own = OwnNamespace::new(&["worker"]);
    let mut writer = create(&own).unwrap();
    writer.publish(&pattern(1)).unwrap();
    let objects = Objects::of(own.name(), "worker");
    let registry = objects.registry();
    let mut reader = attach(&own).unwrap();
    writer.close_lingering().unwrap();
    for kind in kinds() {
        fs::remove_file(&registry).unwrap();
        let squatter = Squatter::new(kind, registry.clone());
        let Err(CreateError::Object { source, .. }) = create(&own) else { panic!("{}", kind.0) };
        squatter.assert_named_by(&source);
        assert_eq!(*reader.snapshot().unwrap(), pattern(1), "{}", kind.0);
        drop(squatter);
        create(&own).unwrap().close_lingering().expect("the name is free again");
    }
}

/// A regular file of this user under a segment's name looks like what a dead writer leaves.
#[test]
fn a_regular_file_of_ours_under_a_segments_name_is_a_leftover() {
    let own = OwnNamespace::new(&["worker"]);
    let objects = names(&own);
    for content in ["", "text"] {
        create(&own).unwrap().close_lingering().unwrap();
        fs::write(objects.path("a2"), content).unwrap();
        let mut writer = replace(&own).unwrap();
        fs::write(objects.path("b2"), content).unwrap();
        writer.publish(&pattern(20_000)).unwrap();
        assert_eq!(*attach(&own).unwrap().snapshot().unwrap(), pattern(20_000));
    }
    assert_eq!(objects.listed(), Vec::<String>::new());
}
