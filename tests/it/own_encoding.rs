//! Programs that encode and decode payloads themselves write and read the same channels as those
//! that leave it to a codec.

use tearless::accept::{Any, MatchingFields, SameSchema};
use tearless::error::{AttachError, ErrorKind, SnapshotError};
use tearless::schema::{Describe, Encoding, Field, Fields, Scalar, Schema, Type};
use tearless::{
    Bytes, MessagePack, Namespace, Pod, Reader, ReaderBuilder, SnapshotInfo, Writer, describe_pod,
};

#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Robot {
    jobs: u64,
    position: [f32; 2],
}

describe_pod!(Robot { jobs, position });

const ROBOT: Robot = Robot { jobs: 3, position: [0.5, -2.0] };

fn namespace() -> Namespace {
    Namespace::in_process("own-encoding").unwrap()
}

fn bytes_builder(namespace: &Namespace) -> ReaderBuilder<Vec<u8>, Bytes> {
    namespace.reader_builder("worker").codec::<Bytes>()
}

/// A writer of bytes for plain data that is described as `Robot`.
fn robot_writer(namespace: &Namespace) -> Writer<[u8], Bytes> {
    let builder = namespace.writer_builder::<[u8]>("worker").codec::<Bytes>().encoded_by(Pod::NAME);
    let builder = builder.type_name("Robot of 16 bytes aligned to 8");
    builder.schema(&<Pod as Describe<Robot>>::describe()).open().unwrap()
}

/// The `jobs` alone, after as many bytes.
fn jobs_at(offset: u64) -> Schema {
    let value = Type::Scalar(Scalar::U64);
    let fields = Fields::Named(vec![Field { name: "jobs".into(), offset, value }]);
    Schema::new(Encoding::Pod, Type::Struct { name: "Jobs".into(), fields }).unwrap()
}

#[test]
fn what_a_program_encodes_is_read_by_the_codec() {
    let namespace = namespace();
    let mut writer = robot_writer(&namespace);
    writer.publish(bytemuck::bytes_of(&ROBOT)).unwrap();
    for reader in [
        namespace.reader_builder::<Robot>("worker").codec::<Pod>().open(),
        namespace.reader_builder::<Robot>("worker").codec::<Pod>().accept(SameSchema).open(),
        namespace.reader_builder::<Robot>("worker").codec::<Pod>().accept(MatchingFields).open(),
    ] {
        assert_eq!(*reader.unwrap().snapshot().unwrap(), ROBOT);
    }
    let value = namespace.dynamic_reader("worker").unwrap().snapshot().unwrap();
    assert_eq!(value.to_string(), r#"{"jobs":3,"position":[0.5,-2.0]}"#);

    let words = namespace.writer_builder::<[u8]>("words").codec::<Bytes>().encoded_by(MessagePack::NAME);
    let mut words = words.type_name("Vec<u8>").open().unwrap();
    words.publish(&[0x93, 1, 2, 3]).unwrap();
    assert_eq!(*namespace.reader::<Vec<u8>>("words").unwrap().snapshot().unwrap(), [1, 2, 3]);
}

#[test]
fn what_a_codec_encodes_is_read_as_bytes_of_that_codec_only() {
    let namespace = namespace();
    let mut writer = namespace.writer_builder::<Robot>("worker").codec::<Pod>().open().unwrap();
    writer.publish(&ROBOT).unwrap();
    let named = || bytes_builder(&namespace).type_name("Robot of 16 bytes aligned to 8");
    let mut reader = named().encoded_by(Pod::NAME).open().unwrap();
    assert_eq!(*reader.snapshot().unwrap(), bytemuck::bytes_of(&ROBOT));
    for refused in
        [named(), named().encoded_by(MessagePack::NAME), named().encoded_by(Pod::NAME).type_name("Robot")]
    {
        let error = refused.open().unwrap_err();
        assert!(matches!(error, AttachError::FormatMismatch { .. }), "{error}");
        assert_eq!((error.kind(), error.name()), (ErrorKind::TypeMismatch, "Attach.FormatMismatch"));
    }
    // The name of a codec is for bytes, and another codec forgets it.
    let builder = namespace.reader_builder::<Vec<u8>>("worker").codec::<Bytes>().encoded_by("own-codec");
    let error = builder.codec::<MessagePack>().open().unwrap_err().to_string();
    assert!(error.contains(MessagePack::NAME) && !error.contains("own-codec"), "{error}");
}

#[test]
fn a_schema_chooses_fields_wherever_the_channel_has_them() {
    let namespace = namespace();
    let mut writer = robot_writer(&namespace);
    writer.publish(bytemuck::bytes_of(&ROBOT)).unwrap();
    let plain = || bytes_builder(&namespace).encoded_by(Pod::NAME);
    let mut reader = plain().schema(jobs_at(8)).accept(MatchingFields).open().unwrap();
    let state = reader.snapshot().unwrap();
    assert_eq!(state[8..], 3_u64.to_le_bytes());
    assert_eq!((state.len(), state.info().payload_len()), (16, 16));
    let mut buffer = [0xAA; 20];
    reader.snapshot_into_slice(&mut buffer).unwrap();
    assert_eq!((&buffer[8..16], &buffer[16..]), (&3_u64.to_le_bytes()[..], &[0xAA; 4][..]));
    writer.publish(bytemuck::bytes_of(&Robot { jobs: 4, ..ROBOT })).unwrap();
    let older = reader.history_into_slice(2, &mut buffer).unwrap().unwrap();
    assert_eq!((older.publication(), &buffer[8..16]), (1, &3_u64.to_le_bytes()[..]));
    assert!(matches!(
        reader.snapshot_into_slice(&mut [0; 15]),
        Err(SnapshotError::WrongLength { .. } | SnapshotError::BufferTooSmall { .. })
    ));

    let whole = <Pod as Describe<Robot>>::describe();
    assert!(plain().schema(whole).accept(SameSchema).open().is_ok());
    let error = plain().schema(jobs_at(8)).accept(SameSchema).open().unwrap_err();
    assert!(matches!(error, AttachError::SchemaDiffers { .. }), "{error}");
    let error = plain().accept(MatchingFields).open().unwrap_err();
    assert!(error.to_string().contains("`ReaderBuilder::schema`"), "{error}");
    let error = bytes_builder(&namespace).schema(jobs_at(0)).accept(MatchingFields).open().unwrap_err();
    assert!(matches!(error, AttachError::FormatMismatch { .. }), "bytes are not plain data: {error}");
}

#[test]
fn message_pack_has_its_fields_by_name_and_needs_no_schema() {
    let namespace = namespace();
    let _writer = namespace.writer::<u64>("worker").unwrap();
    let builder = bytes_builder(&namespace).encoded_by(MessagePack::NAME);
    assert!(builder.accept(MatchingFields).open().is_ok());
}

fn numbered(number: u64) -> Vec<u8> {
    vec![u8::try_from(number).unwrap(); usize::try_from(number).unwrap()]
}

#[track_caller]
fn check(read: SnapshotInfo, buffer: &[u8]) -> u64 {
    assert_eq!(buffer[..read.payload_len()], numbered(read.publication()));
    read.publication()
}

#[test]
fn a_slice_receives_the_latest_state_and_older_ones_at_its_beginning() {
    let namespace = namespace();
    let mut writer = namespace.writer_builder::<[u8]>("worker").codec::<Bytes>().slots(8).open().unwrap();
    let mut reader: Reader<Vec<u8>, Bytes> = bytes_builder(&namespace).accept(Any).open().unwrap();
    let mut buffer = [0; 16];
    assert!(matches!(reader.snapshot_into_slice(&mut buffer), Err(SnapshotError::Empty { .. })));
    assert!(reader.history_into_slice(u64::MAX, &mut buffer).unwrap().is_none());
    for number in 1..=16 {
        writer.publish(&numbered(number)).unwrap();
    }
    assert_eq!(check(reader.snapshot_into_slice(&mut buffer).unwrap(), &buffer), 16);
    assert!(!reader.has_changed());
    let (mut before, mut numbers) = (u64::MAX, Vec::new());
    while let Some(info) = reader.history_into_slice(before, &mut buffer).unwrap() {
        before = check(info, &buffer);
        numbers.push(before);
    }
    assert_eq!(numbers[..8], [16, 15, 14, 13, 12, 11, 10, 9]);
    assert_eq!(numbers, reader.history().map(|state| state.unwrap().publication()).collect::<Vec<_>>());
    assert!(reader.history_into_slice(1, &mut buffer).unwrap().is_none());

    for (len, read) in
        [(15, reader.snapshot_into_slice(&mut buffer[..15])), (0, reader.snapshot_into_slice(&mut []))]
    {
        let error = read.unwrap_err();
        let SnapshotError::BufferTooSmall { publication: 16, len: 16, capacity, .. } = error else {
            panic!("{error}");
        };
        assert_eq!((capacity, error.kind()), (len, ErrorKind::Limit));
    }
    let error = reader.history_into_slice(u64::MAX, &mut [0; 15]).unwrap_err();
    assert!(matches!(error, SnapshotError::BufferTooSmall { publication: 16, .. }), "{error}");
}

#[test]
fn a_slice_receives_states_that_have_checksums_and_grow() {
    let namespace = namespace();
    let builder = namespace.writer_builder::<[u8]>("worker").codec::<Bytes>().checksum(true).capacity(64);
    let mut writer = builder.open().unwrap();
    let mut reader = bytes_builder(&namespace).open().unwrap();
    let mut buffer = vec![0; 1 << 20];
    for len in [10, 60, 5_000, 1 << 20, 3] {
        writer.publish(&vec![7; len]).unwrap();
        let info = reader.snapshot_into_slice(&mut buffer).unwrap();
        assert_eq!((info.payload_len(), buffer[..len].iter().all(|byte| *byte == 7)), (len, true));
        buffer.fill(0);
    }
}

#[test]
fn the_number_of_a_timestamp_has_its_age() {
    let namespace = namespace();
    let mut writer = namespace.writer::<u64>("worker").unwrap();
    writer.publish(&1).unwrap();
    let info = namespace.reader::<u64>("worker").unwrap().snapshot().unwrap().info();
    let time = info.boot_nanos().unwrap();
    assert_eq!(u64::try_from(time).ok(), info.monotonic_nanos());
    let (before, age) = (info.age().unwrap(), SnapshotInfo::age_of(time));
    assert!(before <= age && age <= info.age().unwrap());
    let long_ago = SnapshotInfo::age_of(time - 1_000_000_000_000_000_000);
    assert!(long_ago.as_nanos() > 1_000_000_000_000_000_000, "from before the boot: {long_ago:?}");
}
