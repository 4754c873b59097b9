//! Huge pages for large channels: mappings of writers and readers have them, states stay what they
//! are, and where there are none an error says so.

use std::fs;

use crate::common::{OwnNamespace, eventually};
use crate::directory::OwnDirectory;
use tearless::error::{CreateError, ObjectError, PublishError};
use tearless::options::HugePages;
use tearless::{Bytes, Namespace, Reader, Writer, WriterBuilder};
use testkit::objects::Objects;

const LEN: usize = 5 << 20;
const HUGE: u64 = 2 << 20;

fn builder(namespace: &Namespace, huge_pages: HugePages) -> WriterBuilder<[u8], Bytes> {
    namespace.writer_builder::<[u8]>("camera").codec::<Bytes>().slots(2).huge_pages(huge_pages)
}

/// Opens the writer; `None` on a system without huge pages for shared memory, if it requires some.
fn open(builder: WriterBuilder<[u8], Bytes>) -> Option<Writer<[u8], Bytes>> {
    match builder.open() {
        Err(error @ CreateError::Object { source: ObjectError::NoHugePages { .. }, .. }) => {
            println!("skipped: {error}");
            None
        }
        opened => Some(opened.unwrap()),
    }
}

fn reader(namespace: &Namespace) -> Reader<Vec<u8>, Bytes> {
    namespace.reader_builder::<Vec<u8>>("camera").codec::<Bytes>().open().unwrap()
}

/// A namespace in the directory of temporary files; `None` if that is no disk, but a tmpfs.
fn on_a_disk() -> Option<(OwnDirectory, Namespace)> {
    let own = OwnDirectory::below(&std::env::temp_dir());
    let fleet = Namespace::builder("fleet").directory(&own.0).open().unwrap();
    match builder(&fleet, HugePages::Required).capacity(LEN).open() {
        Err(CreateError::Object { source: ObjectError::NoHugePages { .. }, .. }) => Some((own, fleet)),
        Ok(_) => {
            println!("skipped: files of {} can have huge pages", own.0.display());
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Bytes of this process's mappings of the channel's objects that are in huge pages.
fn huge_bytes(objects: &Objects) -> u64 {
    let (name, mut is_ours, mut bytes) = (objects.name(""), false, 0);
    for line in fs::read_to_string("/proc/self/smaps").unwrap().lines() {
        if let Some(size) = line.strip_prefix("ShmemPmdMapped:") {
            let size = size.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10;
            bytes += if is_ours { size } else { 0 };
        } else if line.split(' ').next().is_some_and(|first| first.contains('-')) {
            is_ours = line.contains(&name);
        }
    }
    bytes
}

fn state(number: u64, len: usize) -> Vec<u8> {
    (0..len as u64 / 8).flat_map(|at| (number << 32 | at).to_le_bytes()).collect()
}

#[test]
fn writers_and_readers_have_the_huge_pages_that_are_required() {
    let own = OwnNamespace::new(&["camera"]);
    let required = || builder(&own, HugePages::Required).capacity(LEN).linger(true);
    let Some(mut writer) = open(required()) else { return };
    let objects = Objects::of(own.name(), "camera");
    for number in 1..=4 {
        assert_eq!(writer.publish(&state(number, LEN)).unwrap(), number);
    }
    let written = huge_bytes(&objects);
    assert!(written >= 4 * HUGE, "two slots of 5 MiB: {written}");
    let mut reader = reader(&own);
    assert!(*reader.snapshot().unwrap() == state(4, LEN));
    assert!(huge_bytes(&objects) > written, "those of the reader, too");
    // Both sides grow; the reader maps them.
    for number in 5..=6 {
        let published = writer.publish(&state(number, 2 * LEN));
        if let Err(error @ PublishError::Growth { source: ObjectError::NoHugePages { .. }, .. }) = published {
            return println!("skipped: {error}");
        }
        assert_eq!(published.unwrap(), number);
        assert!(*reader.snapshot().unwrap() == state(number, 2 * LEN));
    }
    assert_eq!(writer.growths(), 2);
    let grown = huge_bytes(&objects);
    assert!(grown >= written + 4 * 4 * HUGE, "{grown} after the growth of both sides, {written} before");
    // A successor resumes what its predecessor has left in small pages or in huge ones.
    drop(reader);
    writer.close().unwrap();
    let Some(mut writer) = open(required()) else { return };
    assert_eq!(writer.publish(&state(7, LEN)).unwrap(), 7);
    assert!(huge_bytes(&objects) >= 4 * HUGE);
}

#[test]
fn huge_pages_come_while_the_writer_publishes() {
    let own = OwnNamespace::new(&["camera"]);
    if open(builder(&own, HugePages::Required).capacity(LEN)).is_none() {
        return;
    }
    // Each writer asks once.
    eventually("the writer and the reader have huge pages", || {
        let mut writer = builder(&own, HugePages::IfPossible).capacity(LEN).open().unwrap();
        let objects = Objects::of(own.name(), "camera");
        let mut reader = reader(&own);
        (1..=50).any(|number| {
            writer.publish(&state(number, LEN)).unwrap();
            assert!(*reader.snapshot().unwrap() == state(number, LEN));
            huge_bytes(&objects) >= 4 * HUGE
        })
    });
}

#[test]
fn small_channels_and_default_ones_have_small_pages() {
    let own = OwnNamespace::new(&["camera"]);
    let Some(mut writer) = open(builder(&own, HugePages::Required)) else { return };
    writer.publish(&state(1, 1000)).unwrap();
    drop(writer);
    let mut writer = builder(&own, HugePages::Never).capacity(LEN).open().unwrap();
    writer.publish(&state(1, LEN)).unwrap();
    let setting = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/shmem_enabled").unwrap();
    if setting.contains("[never]") {
        assert_eq!(huge_bytes(&Objects::of(own.name(), "camera")), 0);
    }
}

/// A channel of another type is replaced only if the new one can have what it requires.
#[test]
fn a_channel_that_is_to_be_replaced_stays_if_there_are_none() {
    let Some((own, fleet)) = on_a_disk() else { return };
    let mut former = fleet.writer_builder::<[u8]>("camera").codec::<Bytes>().linger(true).open().unwrap();
    former.publish(b"the last state").unwrap();
    former.close().unwrap();
    let other = || builder(&fleet, HugePages::Required).type_name("another");
    let error = other().capacity(LEN).open().unwrap_err();
    assert!(matches!(error, CreateError::Object { source: ObjectError::NoHugePages { .. }, .. }), "{error}");
    assert_eq!(*reader(&fleet).snapshot().unwrap(), b"the last state");
    // What is too small for huge pages needs none.
    let mut writer = other().open().unwrap();
    assert_eq!(writer.publish(b"another").unwrap(), 1);
    let files = || fs::read_dir(&own.0).unwrap().count();
    let before = files();
    let error = writer.publish(&state(2, LEN)).unwrap_err();
    assert!(matches!(error, PublishError::Growth { source: ObjectError::NoHugePages { .. }, .. }), "{error}");
    assert_eq!(files(), before, "the segment that could have none is removed");
    assert_eq!(writer.publish(b"small").unwrap(), 2);
}

#[test]
fn a_namespace_inside_a_process_has_none_to_require() {
    let fleet = Namespace::in_process("fleet").unwrap();
    let error = builder(&fleet, HugePages::Required).open().unwrap_err().to_string();
    assert!(error.contains("no huge pages") && error.contains("HugePages::IfPossible"), "{error}");
    let mut writer = builder(&fleet, HugePages::IfPossible).open().unwrap();
    writer.publish(&state(1, LEN)).unwrap();
    assert!(*reader(&fleet).snapshot().unwrap() == state(1, LEN));
    // What is refused leaves nothing: the same name opens again.
    drop(writer);
    assert_eq!(builder(&fleet, HugePages::Never).open().unwrap().publish(&[1]).unwrap(), 1);
}
