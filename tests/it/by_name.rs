//! Programs of different versions read each other's states by the names of fields.

use crate::common::OwnNamespace;
use serde::{Deserialize, Serialize};
use tearless::{
    Boxed, MessagePack, Pod, accept,
    error::{AttachError, SnapshotError},
    hub::QueryError,
};

#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Part {
    load: f32,
    heat: f32,
}
tearless::describe_pod!(Part { load, heat });

#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct New {
    moves: u64,
    energy: f64,
    parts: [Part; 2],
    id: u32,
    flags: u32,
}
tearless::describe_pod!(New { moves, energy, parts, id, flags });

const STATE: New = New {
    moves: 1,
    energy: 2.0,
    parts: [Part { load: 3.0, heat: 4.0 }, Part { load: 5.0, heat: 6.0 }],
    id: 7,
    flags: 8,
};

/// The type of an older program: fewer fields, in another order, also inside a part.
mod old {
    #[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
    #[repr(C)]
    pub(super) struct Part {
        pub(super) heat: f32,
    }
    tearless::describe_pod!(Part { heat });

    #[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
    #[repr(C)]
    pub(super) struct Old {
        pub(super) flags: u32,
        pub(super) id: u32,
        pub(super) moves: u64,
        pub(super) parts: [Part; 2],
    }
    tearless::describe_pod!(Old { flags, id, moves, parts });

    #[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
    #[repr(C)]
    pub(super) struct Other {
        pub(super) moves: u64,
        pub(super) id: u64,
        pub(super) colour: u64,
    }
    tearless::describe_pod!(Other { moves, id, colour });
}

#[test]
fn plain_data_fields_are_found_by_name() {
    let own = OwnNamespace::new(&["robot"]);
    let mut writer = own.writer_builder::<New>("robot").codec::<Pod>().with_schema().open().unwrap();
    let builder = own.reader_builder::<old::Old>("robot").codec::<Pod>();
    assert!(matches!(builder.clone().open(), Err(AttachError::FormatMismatch { .. })), "not without");
    let mut reader = builder.accept(accept::MatchingFields).open().unwrap();
    assert!(matches!(reader.snapshot(), Err(SnapshotError::Empty { .. })));
    writer.publish(&STATE).unwrap();
    let snapshot = reader.snapshot().unwrap();
    let parts = [old::Part { heat: 4.0 }, old::Part { heat: 6.0 }];
    assert_eq!(*snapshot, old::Old { flags: 8, id: 7, moves: 1, parts });
    assert_eq!((snapshot.publication(), snapshot.payload_len()), (1, size_of::<New>()));
    assert_eq!(reader.publication(), 1);
}

#[test]
fn a_hub_finds_fields_by_name() {
    let own = OwnNamespace::new(&["robot-1", "robot-2", "plain"]);
    let open = |channel| own.writer_builder::<New>(channel).codec::<Pod>().with_schema().open().unwrap();
    let mut writers = [open("robot-1"), open("robot-2")];
    let old = |flags| {
        let parts = [old::Part { heat: 4.0 }, old::Part { heat: 6.0 }];
        old::Old { flags, id: 7, moves: 1, parts }
    };

    let exact = own.hub_builder().codec::<Pod>().open();
    let hub = own.hub_builder().accept(accept::MatchingFields).codec::<Pod>().open();
    let mut robots = hub.select("robot-*");
    for flags in 0..10 {
        for writer in &mut writers {
            writer.publish(&New { flags, ..STATE }).unwrap();
        }
        assert_eq!(*hub.get::<old::Old>("robot-1").unwrap(), old(flags));
        assert_eq!(**hub.get::<Boxed<old::Old>>("robot-1").unwrap(), old(flags));
        let mut state = old(99);
        let info = hub.get_into("robot-1", &mut state).unwrap();
        assert_eq!((info.publication(), info.payload_len()), (u64::from(flags) + 1, size_of::<New>()));
        assert_eq!(state, old(flags));
        let all: Vec<_> =
            hub.iter::<old::Old>("robot-*").unwrap().map(|robot| *robot.state.unwrap()).collect();
        assert_eq!(all, [old(flags); 2]);
        let all: Vec<_> = robots.iter::<old::Old>().unwrap().map(|robot| *robot.state.unwrap()).collect();
        assert_eq!(all, [old(flags); 2]);
        let cut = hub.cut::<old::Old>(["robot-1", "robot-2"]);
        assert!(cut.is_consistent());
        let all: Vec<_> = cut.states.into_iter().map(|robot| *robot.state.unwrap()).collect();
        assert_eq!(all, [old(flags); 2]);

        // Queries of other types and choices in between, by handles of the same hub.
        let same = hub.with_accept(accept::SameType);
        assert_eq!(same.get::<New>("robot-1").unwrap().energy.to_bits(), STATE.energy.to_bits());
        assert_eq!(hub.get::<New>("robot-1").unwrap().flags, flags);
        for hub in [&same, &exact] {
            let error = hub.get::<old::Old>("robot-1").unwrap_err();
            assert!(matches!(error, QueryError::Attach(AttachError::FormatMismatch { .. })), "{error}");
        }
    }

    let error = hub.get::<old::Other>("robot-1").unwrap_err();
    assert!(error.to_string().contains("colour: missing in the channel"), "{error}");
    let error = hub.with_accept(accept::SameSchema).get::<old::Old>("robot-1").unwrap_err();
    assert!(matches!(error, QueryError::Attach(AttachError::SchemaDiffers { .. })), "{error}");
    let _writer = own.writer_builder::<New>("plain").codec::<Pod>().open().unwrap();
    let error = hub.get::<old::Old>("plain").unwrap_err();
    assert!(matches!(error, QueryError::Attach(AttachError::NoSchema { .. })), "{error}");
    let cut = hub.cut::<old::Old>(["robot-1", "plain"]);
    assert!(cut.states[0].state.is_ok() && cut.states[1].state.is_err());
}

#[test]
fn a_successor_with_other_fields_is_compared_again() {
    let own = OwnNamespace::new(&["robot"]);
    let hub = own.hub_builder().accept(accept::MatchingFields).codec::<Pod>().open();
    let mut writer = own.writer_builder::<New>("robot").codec::<Pod>().with_schema().open().unwrap();
    writer.publish(&STATE).unwrap();
    assert_eq!(hub.get::<old::Old>("robot").unwrap().id, 7);
    writer.close().unwrap();
    let state = old::Old { flags: 1, id: 2, moves: 3, parts: [old::Part { heat: 4.0 }; 2] };
    let mut writer = own.writer_builder::<old::Old>("robot").codec::<Pod>().with_schema().open().unwrap();
    writer.publish(&state).unwrap();
    assert_eq!(*hub.get::<old::Old>("robot").unwrap(), state);
    assert!(hub.get::<New>("robot").unwrap_err().to_string().contains("energy"));
}

#[cfg(feature = "async")]
#[tokio::test]
async fn a_hubs_stream_finds_fields_by_name() {
    let own = OwnNamespace::new(&["robot"]);
    let mut writer = own.writer_builder::<New>("robot").codec::<Pod>().with_schema().open().unwrap();
    let hub = own.hub_builder().codec::<Pod>().accept(accept::MatchingFields).open();
    let (mut one, mut all) = (hub.changes::<old::Old>("robot").unwrap(), hub.changes_of::<old::Old>("*"));
    assert!(hub.changes::<old::Other>("robot").is_err());
    for flags in 0..3 {
        writer.publish(&New { flags, ..STATE }).unwrap();
        assert_eq!(one.next().await.state.unwrap().flags, flags);
        assert_eq!(all.next().await.state.unwrap().flags, flags);
    }
}

#[test]
fn missing_fields_are_named() {
    let own = OwnNamespace::new(&["robot", "plain", "other"]);
    let _writer = own.writer_builder::<New>("robot").codec::<Pod>().with_schema().open().unwrap();
    let error = own
        .reader_builder::<old::Other>("robot")
        .codec::<Pod>()
        .accept(accept::MatchingFields)
        .open()
        .unwrap_err();
    let AttachError::SchemaDiffers { differences, .. } = &error else { panic!("{error}") };
    let expected =
        "id: u32 in the channel, u64 in the reader; colour: missing in the channel, u64 in the reader";
    assert_eq!(differences, expected);

    let _writer = own.writer_builder::<New>("plain").codec::<Pod>().open().unwrap();
    let result = own.reader_builder::<New>("plain").codec::<Pod>().accept(accept::MatchingFields).open();
    assert!(matches!(result, Err(AttachError::NoSchema { .. })));

    let _writer =
        own.writer_builder::<(u64, u64)>("other").codec::<tearless::Postcard>().with_schema().open().unwrap();
    let result = own.reader_builder::<New>("other").codec::<Pod>().accept(accept::MatchingFields).open();
    assert!(matches!(result, Err(AttachError::FormatMismatch { .. })));
}

/// The same bytes, as an array and as a struct without names.
mod shapes {
    #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
    #[repr(C)]
    pub(super) struct Point(pub(super) f64, pub(super) f64);
    tearless::describe_pod!(Point(0, 1));

    #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
    #[repr(C)]
    pub(super) struct Listed {
        pub(super) position: [f64; 2],
    }
    tearless::describe_pod!(Listed { position });

    #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
    #[repr(C)]
    pub(super) struct Pointed {
        pub(super) position: Point,
    }
    tearless::describe_pod!(Pointed { position });
}

#[test]
fn an_array_is_read_as_a_struct_without_names() {
    let own = OwnNamespace::new(&["robot"]);
    let mut writer =
        own.writer_builder::<shapes::Listed>("robot").codec::<Pod>().with_schema().open().unwrap();
    writer.publish(&shapes::Listed { position: [1.0, 2.0] }).unwrap();
    let builder = own.reader_builder::<shapes::Pointed>("robot").codec::<Pod>();
    let named = builder.clone().accept(accept::SameSchema).open().unwrap().snapshot().unwrap().position;
    let by_name = builder.accept(accept::MatchingFields).open().unwrap().snapshot().unwrap().position;
    assert_eq!((named.0, named.1), (1.0, 2.0));
    assert_eq!((by_name.0, by_name.1), (1.0, 2.0));
}

#[derive(Serialize)]
struct Writers<'a> {
    jobs_done: u64,
    host: &'a str,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Readers {
    #[serde(default)]
    restarts: u8,
    jobs_done: u64,
}

#[derive(Debug, Deserialize)]
struct Needing {
    #[expect(dead_code, reason = "no value exists")]
    restarts: u8,
}

#[test]
fn message_pack_fields_are_found_by_name() {
    let own = OwnNamespace::new(&["worker", "other"]);
    let mut writer = own.writer_builder::<Writers<'_>>("worker").codec::<MessagePack>().open().unwrap();
    writer.publish(&Writers { jobs_done: 3, host: "a" }).unwrap();
    let builder = own.reader_builder::<Readers>("worker").codec::<MessagePack>();
    assert!(matches!(builder.clone().open(), Err(AttachError::FormatMismatch { .. })), "not without");
    let mut reader = builder.accept(accept::MatchingFields).open().unwrap();
    assert_eq!(*reader.snapshot().unwrap(), Readers { restarts: 0, jobs_done: 3 });

    let mut reader = own
        .reader_builder::<Needing>("worker")
        .codec::<MessagePack>()
        .accept(accept::MatchingFields)
        .open()
        .unwrap();
    let error = reader.snapshot().unwrap_err();
    let SnapshotError::Decode { source, .. } = &error else { panic!("{error}") };
    assert!(source.to_string().contains("restarts"), "{source}");

    let _writer = own.writer_builder::<u64>("other").codec::<tearless::Postcard>().open().unwrap();
    let result =
        own.reader_builder::<Readers>("other").codec::<MessagePack>().accept(accept::MatchingFields).open();
    assert!(matches!(result, Err(AttachError::FormatMismatch { .. })), "the codec counts");
}
