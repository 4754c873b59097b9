//! Bad input gives a typed error whose text says what to do, and changes nothing.

use std::time::Duration;

use crate::common::OwnNamespace;
use tearless::{
    Bytes, Namespace, Pod,
    error::{AttachError, CreateError, NameError, PublishError, SnapshotError},
};

#[test]
fn names_are_checked_before_anything_is_created() {
    let empty = Namespace::open("").unwrap_err();
    assert!(matches!(empty, NameError::Empty { what: "namespace" }), "{empty}");
    let long = Namespace::open(&"x".repeat(129)).unwrap_err();
    assert!(matches!(long, NameError::TooLong { len: 129, max: 128, .. }), "{long}");
    let control = Namespace::open("a\nb").unwrap_err();
    assert!(matches!(control, NameError::ControlCharacter { character: '\n', .. }), "{control}");

    let own = OwnNamespace::new(&[]);
    for (name, part) in [("", "empty"), (&"ü".repeat(129), "258"), ("tab\t", "\\t"), ("nul\0", "\\0")] {
        let writer = own.writer::<u64>(name).map(drop).unwrap_err();
        let reader = own.reader::<u64>(name).map(drop).unwrap_err();
        assert!(matches!(writer, CreateError::Name(_)) && writer.to_string().contains(part), "{writer}");
        assert!(matches!(reader, AttachError::Name(_)) && reader.to_string().contains(part), "{reader}");
    }
    assert!(Namespace::open(&"x".repeat(128)).is_ok());
}

#[test]
fn unusual_but_valid_names_work() {
    let names = ["ü/../x", " ", "worker 7", "🦀", ".", "a/b\\c:*?"];
    let own = OwnNamespace::new(&names);
    for (number, name) in names.into_iter().enumerate() {
        let mut writer = own.writer::<usize>(name).unwrap();
        writer.publish(&number).unwrap();
        assert_eq!(*own.reader::<usize>(name).unwrap().snapshot().unwrap(), number);
    }
}

#[test]
fn impossible_sizes_are_refused() {
    let own = OwnNamespace::new(&[]);
    let builder = || own.writer_builder::<[u8]>("size").codec::<Bytes>();
    let refused = [
        builder().capacity(0).open(),
        builder().capacity(usize::MAX).max_state_len(usize::MAX).open(),
        builder().max_state_len(0).open(),
        builder().capacity(10).max_state_len(usize::MAX).open(),
        builder().slots(0).open(),
        builder().slots(usize::MAX).open(),
        builder().capacity(1 << 40).max_state_len(1 << 62).slots(1 << 17).open(),
    ];
    for (case, result) in refused.into_iter().enumerate() {
        let error = result.map(drop).unwrap_err();
        assert!(matches!(error, CreateError::InvalidSize { .. }), "case {case}: {error}");
    }
    let error = builder().capacity(101).max_state_len(100).open().map(drop).unwrap_err();
    assert!(
        matches!(error, CreateError::CapacityAboveLimit { capacity: 101, max_state_len: 100, .. }),
        "{error}"
    );
    for mode in [0o400, 0o1600, 0] {
        let error = builder().permissions(mode).open().map(drop).unwrap_err();
        assert!(matches!(error, CreateError::InvalidPermissions { .. }), "{error}");
        assert!(!error.to_string().contains("decimal"), "{error}");
    }
    let error = builder().permissions(644).open().map(drop).unwrap_err();
    assert!(error.to_string().ends_with("; 644 in decimal is not 0o644"), "{error}");
    assert!(matches!(own.reader::<u64>("size"), Err(AttachError::NotFound { .. })), "nothing was created");
}

#[test]
fn a_second_writer_gets_the_pid_of_the_first() {
    let own = OwnNamespace::new(&["owned"]);
    let mut first = own.writer::<u64>("owned").unwrap();
    first.publish(&1).unwrap();
    let error = own.writer::<u64>("owned").unwrap_err();
    let pid = std::process::id();
    assert!(
        matches!(error, CreateError::AlreadyOwned { pid: owner, .. } if owner == u64::from(pid)),
        "{error}"
    );
    assert!(error.to_string().contains(&pid.to_string()));
    assert_eq!(first.publish(&2).unwrap(), 2, "the first writer is unaffected");
}

#[test]
fn a_reader_before_the_first_publish_gets_an_error_or_waits() {
    let own = OwnNamespace::new(&["empty"]);
    let mut writer = own.writer::<u64>("empty").unwrap();
    let mut reader = own.reader::<u64>("empty").unwrap();
    assert!(matches!(reader.snapshot(), Err(SnapshotError::Empty { .. })));
    let begin = std::time::Instant::now();
    let error = reader.snapshot().unwrap_err();
    assert!(!reader.changed(Duration::from_millis(30)).unwrap());
    assert!(matches!(error, SnapshotError::Empty { .. }) && begin.elapsed() >= Duration::from_millis(30));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| *reader.wait_after(0, Duration::from_secs(60)).unwrap().unwrap());
        std::thread::sleep(Duration::from_millis(20));
        writer.publish(&5).unwrap();
        assert_eq!(waiting.join().unwrap(), 5);
    });
}

#[test]
fn a_reader_before_the_writer_gets_an_error_or_waits() {
    let own = OwnNamespace::new(&["late"]);
    let error = own.reader::<u64>("late").unwrap_err();
    assert!(matches!(error, AttachError::NotFound { .. }), "{error}");
    assert!(error.to_string().contains("late") && error.to_string().contains(own.name()), "{error}");
    let wait = |longest| own.reader_builder::<u64>("late").attach_within(longest).open();
    let error = wait(Duration::from_millis(30)).unwrap_err();
    assert!(matches!(error, AttachError::NotFound { waited, .. } if waited >= Duration::from_millis(30)));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut reader = wait(Duration::from_secs(60)).unwrap();
            *reader.wait_after(0, Duration::from_secs(60)).unwrap().unwrap()
        });
        std::thread::sleep(Duration::from_millis(20));
        let mut writer = own.writer::<u64>("late").unwrap();
        writer.publish(&6).unwrap();
        assert_eq!(waiting.join().unwrap(), 6);
    });
}

#[test]
fn another_type_or_codec_is_refused_with_both_names() {
    let own = OwnNamespace::new(&["typed"]);
    let mut writer = own.writer_builder::<[u32; 4]>("typed").codec::<Pod>().open().unwrap();
    writer.publish(&[1, 2, 3, 4]).unwrap();
    let errors = [
        own.reader::<[u32; 4]>("typed").map(drop).unwrap_err(),
        own.reader_builder::<[u32; 5]>("typed").codec::<Pod>().open().map(drop).unwrap_err(),
        own.reader_builder::<[f32; 4]>("typed").codec::<Pod>().open().map(drop).unwrap_err(),
        own.reader_builder::<Vec<u8>>("typed").codec::<Bytes>().open().map(drop).unwrap_err(),
        own.reader_builder::<[u32; 4]>("typed")
            .codec::<Pod>()
            .type_name("other")
            .open()
            .map(drop)
            .unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, AttachError::FormatMismatch { .. }), "{error}");
        assert!(error.to_string().contains("[u32; 4] of 16 bytes aligned to 4"), "{error}");
    }
    let mut reader = own.reader_builder::<[u32; 4]>("typed").codec::<Pod>().open().unwrap();
    assert_eq!(*reader.snapshot().unwrap(), [1, 2, 3, 4]);
}

#[test]
fn a_state_above_the_limit_leaves_the_published_one() {
    let own = OwnNamespace::new(&["limited"]);
    let mut writer =
        own.writer_builder::<[u8]>("limited").codec::<Bytes>().max_state_len(1_000).open().unwrap();
    writer.publish(&[7; 1_000]).unwrap();
    let error = writer.publish(&[8; 2_000]).unwrap_err();
    assert!(matches!(error, PublishError::TooLarge { len: 2_000, max_state_len: 1_000, .. }), "{error}");
    let mut reader = own.reader_builder::<Vec<u8>>("limited").codec::<Bytes>().open().unwrap();
    assert_eq!(*reader.snapshot().unwrap(), vec![7; 1_000]);
}

#[test]
fn closed_channels_leave_nothing() {
    let own = OwnNamespace::new(&[]);
    let mut writer = own.writer::<Vec<u8>>("closed").unwrap();
    for len in [1, 10_000, 100_000] {
        writer.publish(&vec![0; len]).unwrap();
    }
    writer.close().unwrap();
    assert!(matches!(own.reader::<Vec<u8>>("closed"), Err(AttachError::NotFound { .. })));
    assert!(!own.remove_channel("closed").unwrap());
}
