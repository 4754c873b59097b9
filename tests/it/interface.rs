//! The interface keeps its promises to users: a reader remembers what it has seen and can be
//! cloned, large states need no stack, a successor can read its predecessor's state, and one error
//! type holds all others.

use std::thread;
use std::time::Duration;

use tearless::{Boxed, MessagePack, Namespace, Pod, Postcard, Reader, Writer, accept, field_of};

const NOT_LONG: Duration = Duration::from_millis(20);

#[test]
fn a_reader_remembers_what_it_returned() {
    let namespace = Namespace::in_process("interface").unwrap();
    let mut writer: Writer<u64> = namespace.writer("worker").unwrap();
    let mut reader: Reader<u64> = namespace.reader("worker").unwrap();
    assert!(!reader.has_changed() && !reader.changed(NOT_LONG).unwrap());
    writer.publish(&1).unwrap();
    assert!(reader.has_changed() && reader.changed(Duration::ZERO).unwrap());
    assert!(!reader.has_changed(), "`changed` has marked the state as seen");
    writer.publish(&2).unwrap();
    assert_eq!(reader.snapshot_at(1).unwrap().map(|state| *state), Some(1));
    assert!(reader.has_changed(), "an old state is not the latest");
    assert_eq!(*reader.snapshot().unwrap(), 2);
    assert!(!reader.has_changed() && !reader.changed(NOT_LONG).unwrap());
    let read: [fn(&mut Reader<u64>) -> u64; 4] = [
        |reader| reader.snapshot_into(&mut 0).unwrap().publication(),
        |reader| reader.wait_after(3, Duration::ZERO).unwrap().unwrap().publication(),
        |reader| reader.read_at(0, &mut [0]).unwrap().publication(),
        |reader| reader.history().next().unwrap().unwrap().publication(),
    ];
    for (number, read) in (3..).zip(read) {
        writer.publish(&number).unwrap();
        assert!(reader.has_changed(), "{number}");
        assert_eq!(reader.latest_info().unwrap().publication(), number);
        assert!(reader.has_changed(), "reading the info marks nothing as seen");
        assert_eq!(read(&mut reader), number);
        assert!(!reader.has_changed(), "{number}");
    }
    writer.close().unwrap();
    assert!(reader.changed(NOT_LONG).is_err(), "the channel has ended");
}

#[test]
fn a_clone_reads_the_same_channel_and_has_its_own_memory() {
    let namespace = Namespace::in_process("interface").unwrap();
    let mut writer: Writer<u64> = namespace.writer("worker").unwrap();
    writer.publish(&1).unwrap();
    let mut reader: Reader<u64> = namespace.reader("worker").unwrap();
    reader.snapshot().unwrap();
    let mut clone = reader.clone();
    assert!(!clone.has_changed(), "the clone has seen what the original has seen");
    writer.publish(&2).unwrap();
    assert_eq!(thread::spawn(move || *clone.snapshot().unwrap()).join().unwrap(), 2);
    assert!(reader.has_changed());
    assert_eq!(*reader.snapshot().unwrap(), 2);
}

#[test]
fn a_state_larger_than_the_stack_is_read_into_a_box() {
    const LEN: usize = 4 << 20;
    let namespace = Namespace::in_process("interface").unwrap();
    let mut writer = namespace.writer_builder::<[u8; LEN]>("large").codec::<Pod>().open().unwrap();
    let mut state = bytemuck::zeroed_box::<[u8; LEN]>();
    state.fill(7);
    writer.publish(&state).unwrap();
    let reader = move || {
        let mut reader = namespace.reader_builder::<Boxed<[u8; LEN]>>("large").codec::<Pod>().open().unwrap();
        let snapshot = reader.snapshot().unwrap();
        (snapshot.publication(), snapshot.iter().all(|byte| *byte == 7))
    };
    let reader = thread::Builder::new().stack_size(256 << 10).spawn(reader).unwrap();
    assert_eq!(reader.join().unwrap(), (1, true));
}

#[test]
fn a_successor_reads_the_state_of_its_predecessor() {
    let namespace = Namespace::in_process("interface").unwrap();
    let mut first: Writer<Vec<u64>> = namespace.writer("worker").unwrap();
    assert!(first.latest().unwrap().is_none());
    first.publish(&vec![1, 2]).unwrap();
    first.close_lingering().unwrap();
    let mut second: Writer<Vec<u64>> = namespace.writer("worker").unwrap();
    let found = second.latest().unwrap().unwrap();
    assert_eq!((found.publication(), found.into_inner()), (1, vec![1, 2]));
    second.publish(&vec![3]).unwrap();
    assert_eq!(*second.latest().unwrap().unwrap(), [3]);
}

#[test]
fn one_error_takes_all_others_with_their_texts() {
    fn run(channel: &str) -> Result<u64, tearless::Error> {
        let namespace = Namespace::in_process("interface")?;
        let mut writer: Writer<u64> = namespace.writer("worker")?;
        writer.publish(&7)?;
        Ok(*namespace.reader(channel)?.snapshot()?)
    }
    assert_eq!(run("worker").unwrap(), 7);
    let error = run("other").unwrap_err();
    assert!(matches!(error, tearless::Error::Attach(_)), "{error}");
    assert!(error.to_string().contains("there is no channel \"other\""), "{error}");
}

#[test]
fn a_mismatch_names_what_else_can_be_accepted() {
    let namespace = Namespace::in_process("interface").unwrap();
    let _writer: Writer<u64> = namespace.writer("worker").unwrap();
    let error = namespace.reader::<i64>("worker").unwrap_err().to_string();
    assert!(error.contains("accept::MatchingFields"), "{error}");
    let reader = namespace.reader_builder::<i64>("worker");
    reader.clone().accept(accept::MatchingFields).open().unwrap();
    assert!(reader.clone().accept(accept::MatchingFields).codec::<MessagePack>().open().is_ok());
    let error = reader.codec::<Postcard>().open().unwrap_err().to_string();
    assert!(error.contains("postcard") && error.contains("message-pack"), "{error}");
}

#[test]
fn slots_are_those_of_the_whole_channel() {
    let namespace = Namespace::in_process("interface").unwrap();
    for (asked, given) in [(1, 2), (2, 2), (3, 4), (4, 4), (5, 8), (64, 64)] {
        let writer = namespace.writer_builder::<u64>("worker").slots(asked).open().unwrap();
        assert!(writer.slots() >= given, "{asked}: {}", writer.slots());
        assert_eq!(writer.slots(), given, "{asked}");
        writer.close().unwrap();
    }
    let error = namespace.writer_builder::<u64>("worker").slots(0).open().unwrap_err().to_string();
    assert!(error.contains("in 0 slots"), "{error}");
}

mod layouts {
    #[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
    #[repr(C)]
    pub(super) struct New {
        pub(super) added: u64,
        pub(super) speed: f64,
        pub(super) id: u64,
    }
    tearless::describe_pod!(New { added, speed, id });

    #[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
    #[repr(C)]
    pub(super) struct Old {
        pub(super) id: u64,
        pub(super) speed: f64,
    }
    tearless::describe_pod!(Old { id, speed });
}

#[test]
fn every_way_to_read_finds_fields_at_other_offsets() {
    use layouts::{New, Old};
    let namespace = Namespace::in_process("interface").unwrap();
    let mut writer = namespace.writer_builder::<New>("robot").codec::<Pod>().with_schema().open().unwrap();
    let builder = namespace.reader_builder::<Old>("robot").codec::<Pod>();
    let mut reader = builder.accept(accept::MatchingFields).open().unwrap();
    for id in 1..=2 {
        writer.publish(&New { added: 9, speed: 0.5, id }).unwrap();
    }
    let expected = |id| Old { id, speed: 0.5 };
    assert_eq!(*reader.snapshot().unwrap(), expected(2));
    let builder = namespace.reader_builder::<Boxed<Old>>("robot").codec::<Pod>();
    let boxed = builder.accept(accept::MatchingFields).open().unwrap().snapshot().unwrap();
    assert_eq!(**boxed, expected(2));
    let mut state = expected(0);
    reader.snapshot_into(&mut state).unwrap();
    assert_eq!(state, expected(2));
    assert_eq!(reader.snapshot_at(1).unwrap().map(|state| *state), Some(expected(1)));
    let history: Vec<_> = reader.history().map(|state| *state.unwrap()).collect();
    assert_eq!(history, [expected(2), expected(1)]);
    assert_eq!(*reader.field(field_of!(Old, speed)).unwrap(), 0.5);
    assert_eq!(*reader.clone().field(field_of!(Old, id)).unwrap(), 2);
    assert_eq!(*reader.wait_after(1, Duration::ZERO).unwrap().unwrap(), expected(2));
}

/// What a program prints of them in its log.
#[test]
fn the_debug_output_of_each_handle_is_short_and_names_it() {
    let namespace = Namespace::in_process("fleet").unwrap();
    let writer = namespace.writer::<u64>("worker").unwrap();
    let reader = namespace.reader::<u64>("worker").unwrap();
    let hub = namespace.hub();
    let shown = [
        format!("{namespace:?}"),
        format!("{writer:?}"),
        format!("{reader:?}"),
        format!("{hub:?}"),
        format!("{:?}", hub.watch("worker")),
        format!("{:?}", hub.select("worker")),
        format!("{:?}", namespace.writer_builder::<u64>("other-worker").syncer(1).spawn().unwrap()),
    ];
    for shown in shown {
        assert!(shown.contains("fleet") || shown.contains("worker"), "{shown}");
        assert!(shown.len() < 300, "{shown}");
    }
}
