//! Every codec returns what was published. A state that cannot be encoded is not published.

use std::collections::BTreeMap;

use crate::common::OwnNamespace;
use serde::{Deserialize, Serialize, Serializer};
use tearless::{
    Bytes, Codec, Decode, Encode, MessagePack, Pod, Postcard,
    error::{PublishError, SnapshotError},
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Phase {
    Idle,
    Busy { job: String, progress: f64 },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct State {
    done: u64,
    phase: Phase,
    queue: Vec<Option<String>>,
    rates: BTreeMap<String, i64>,
}

fn state(size: usize) -> State {
    State {
        done: size as u64,
        phase: if size == 0 { Phase::Idle } else { Phase::Busy { job: "ü".repeat(size), progress: 0.5 } },
        queue: (0..size).map(|index| (index % 2 == 0).then(|| index.to_string())).collect(),
        rates: (0..size).map(|index| (format!("rate {index}"), -(index as i64))).collect(),
    }
}

fn round_trips<C: Encode<State> + Decode<State>>() {
    let own = OwnNamespace::new(&["state"]);
    let mut writer = own.writer_builder::<State>("state").codec::<C>().checksum(true).open().unwrap();
    let mut reader = own.reader_builder::<State>("state").codec::<C>().open().unwrap();
    let mut reused = state(3);
    for size in [0, 1, 10, 1_000, 0] {
        let number = writer.publish(&state(size)).unwrap();
        let snapshot = reader.snapshot().unwrap();
        assert_eq!((&*snapshot, snapshot.publication()), (&state(size), number));
        assert!(snapshot.age().unwrap() < std::time::Duration::from_secs(60));
        let info = reader.snapshot_into(&mut reused).unwrap();
        assert_eq!(
            (&reused, info.publication(), info.payload_len()),
            (&state(size), number, snapshot.payload_len())
        );
        assert!(reader.publication() <= number && reader.publication() > number - 1);
    }
}

#[test]
fn postcard() {
    round_trips::<Postcard>();
}

#[test]
fn message_pack() {
    round_trips::<MessagePack>();
}

#[test]
fn message_pack_has_the_names_of_fields_and_variants() {
    let payload =
        |value: &State| <MessagePack as Encode<State>>::encode(value, &mut Vec::new()).map(<[u8]>::to_vec);
    let payload = payload(&state(1)).unwrap();
    for name in ["done", "phase", "Busy", "job", "progress", "queue", "rates"] {
        let name = [&[0xa0 + u8::try_from(name.len()).unwrap()], name.as_bytes()].concat();
        assert!(payload.windows(name.len()).any(|window| window == name), "{name:?} in {payload:?}");
    }
    assert_eq!(payload[0], 0x84, "a map of four fields");
}

#[test]
fn message_pack_tolerates_added_and_removed_fields() {
    #[derive(Serialize)]
    struct Old {
        gone: String,
        done: u64,
        phase: Phase,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    struct New {
        phase: Phase,
        done: u64,
        #[serde(default)]
        new: Option<u8>,
    }
    let own = OwnNamespace::new(&["evolved"]);
    let builder = own.writer_builder::<Old>("evolved").codec::<MessagePack>();
    let mut writer = builder.type_name("evolved").open().unwrap();
    writer.publish(&Old { gone: "x".into(), done: 7, phase: Phase::Idle }).unwrap();
    let builder = own.reader_builder::<New>("evolved").codec::<MessagePack>();
    let mut reader = builder.type_name("evolved").open().unwrap();
    assert_eq!(*reader.snapshot().unwrap(), New { phase: Phase::Idle, done: 7, new: None });
}

#[test]
fn pod_of_any_size_and_alignment() {
    fn round_trip<T: bytemuck::Pod + PartialEq + std::fmt::Debug>(values: &[T]) {
        let own = OwnNamespace::new(&["pod"]);
        let mut writer = own.writer_builder::<T>("pod").codec::<Pod>().open().unwrap();
        let mut reader = own.reader_builder::<T>("pod").codec::<Pod>().open().unwrap();
        let mut reused = T::zeroed();
        for value in values {
            writer.publish(value).unwrap();
            assert_eq!(&*reader.snapshot().unwrap(), value);
            reader.snapshot_into(&mut reused).unwrap();
            assert_eq!(&reused, value);
        }
        assert_eq!(writer.growths(), 0, "a fixed size never grows");
    }
    round_trip::<u8>(&[0, 1, 255]);
    round_trip::<[u8; 13]>(&[[1; 13], [2; 13]]);
    round_trip::<u128>(&[u128::MAX, 5]);
    round_trip::<[f32; 31]>(&[[0.5; 31]]);
    round_trip::<[u64; 1000]>(&[[7; 1000], [8; 1000], [9; 1000]]);
    round_trip::<()>(&[(), ()]);
}

#[test]
fn raw_bytes() {
    let own = OwnNamespace::new(&["bytes"]);
    let mut writer = own.writer_builder::<[u8]>("bytes").codec::<Bytes>().open().unwrap();
    let mut reader = own.reader_builder::<Vec<u8>>("bytes").codec::<Bytes>().open().unwrap();
    let mut reused = Vec::new();
    for len in [5, 0, 1, 7, 8, 9, 4_097, 3] {
        let payload = vec![u8::try_from(len % 255).unwrap(); len];
        writer.publish(&payload).unwrap();
        assert_eq!(*reader.snapshot().unwrap(), payload);
        reader.snapshot_into(&mut reused).unwrap();
        assert_eq!(reused, payload);
    }
}

#[test]
fn the_same_type_from_another_module_is_the_same_schema() {
    mod elsewhere {
        #[derive(serde::Deserialize)]
        pub struct State {
            pub done: u64,
        }
    }
    #[derive(Serialize)]
    struct State {
        done: u64,
    }
    let own = OwnNamespace::new(&["modules"]);
    let mut writer = own.writer::<State>("modules").unwrap();
    writer.publish(&State { done: 4 }).unwrap();
    assert_eq!(own.reader::<elsewhere::State>("modules").unwrap().snapshot().unwrap().done, 4);
}

/// Fails or panics in the middle of its own serialization.
struct Treacherous(&'static str);

impl Serialize for Treacherous {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::{Error, SerializeTuple};
        let mut tuple = serializer.serialize_tuple(2)?;
        tuple.serialize_element(&1_u64)?;
        match self.0 {
            "fail" => return Err(S::Error::custom("not today")),
            "panic" => panic!("in the middle of serialize"),
            _ => {}
        }
        tuple.serialize_element(&2_u64)?;
        tuple.end()
    }
}

impl<'de> Deserialize<'de> for Treacherous {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Treacherous, D::Error> {
        <(u64, u64)>::deserialize(deserializer).map(|_| Treacherous("read"))
    }
}

fn treachery<C: Encode<Treacherous> + Decode<(u64, u64)>>() {
    let own = OwnNamespace::new(&["treacherous"]);
    let mut writer =
        own.writer_builder::<Treacherous>("treacherous").codec::<C>().type_name("pair").open().unwrap();
    let mut reader =
        own.reader_builder::<(u64, u64)>("treacherous").codec::<C>().type_name("pair").open().unwrap();
    writer.publish(&Treacherous("well")).unwrap();
    let error = writer.publish(&Treacherous("fail")).unwrap_err();
    assert!(
        matches!(error, PublishError::Encode { codec, .. } if codec == <C as Codec<Treacherous>>::NAME),
        "{error}"
    );
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = writer.publish(&Treacherous("panic"));
    }));
    assert!(panicked.is_err());
    assert_eq!(writer.statistics().failed, 2, "the error and the panic");
    let snapshot = reader.snapshot().unwrap();
    assert_eq!((snapshot.publication(), *snapshot), (1, (1, 2)), "nothing was published");
    assert_eq!(writer.publish(&Treacherous("well")).unwrap(), 2, "the channel still works");
}

#[test]
fn an_error_or_a_panic_in_serialize_publishes_nothing() {
    treachery::<Postcard>();
    treachery::<MessagePack>();
}

#[test]
fn a_payload_of_another_type_is_a_decode_error_and_leaves_the_value() {
    let own = OwnNamespace::new(&["garbage"]);
    let mut writer =
        own.writer_builder::<(u8, u8, u8)>("garbage").codec::<Postcard>().type_name("liar").open().unwrap();
    writer.publish(&(1, 9, 9)).unwrap();
    let mut reader =
        own.reader_builder::<(u8, String)>("garbage").codec::<Postcard>().type_name("liar").open().unwrap();
    let mut value = (0, "kept".to_owned());
    let error = reader.snapshot_into(&mut value).unwrap_err();
    assert!(matches!(error, SnapshotError::Decode { publication: 1, codec: "postcard", .. }), "{error}");
    assert_eq!(value, (0, "kept".to_owned()));
    let mut reader =
        own.reader_builder::<u8>("garbage").codec::<Postcard>().type_name("liar").open().unwrap();
    let error = reader.snapshot().unwrap_err();
    assert!(error.to_string().contains("left over"), "{error}");
}

#[test]
fn any_bytes_after_a_message_pack_value_are_refused() {
    let mut scratch = Vec::new();
    let mut refuses = |payload: &[u8], decode: fn(&[u8]) -> bool| {
        scratch.clear();
        scratch.extend_from_slice(payload);
        assert!(decode(&scratch), "{scratch:?}");
        for byte in 0..=u8::MAX {
            scratch.truncate(payload.len());
            scratch.push(byte);
            assert!(!decode(&scratch), "{scratch:?}");
        }
    };
    refuses(&[7], |payload| MessagePack::decode(payload).is_ok_and(|value: u8| value == 7));
    refuses(&[0xc0], |payload| MessagePack::decode(payload).is_ok_and(|value: Option<u8>| value.is_none()));
    refuses(&[0x92, 1, 2], |payload| {
        MessagePack::decode(payload).is_ok_and(|value: Vec<u8>| value == [1, 2])
    });
    refuses(&[0xa1, b'a'], |payload| MessagePack::decode(payload).is_ok_and(|value: String| value == "a"));
}

#[test]
fn a_pod_payload_of_another_length_is_refused() {
    let own = OwnNamespace::new(&["length"]);
    let mut writer = own.writer_builder::<[u8; 8]>("length").codec::<Pod>().type_name("liar").open().unwrap();
    writer.publish(&[1; 8]).unwrap();
    let mut reader = own.reader_builder::<[u8; 9]>("length").codec::<Pod>().type_name("liar").open().unwrap();
    let error = reader.snapshot().unwrap_err();
    assert!(matches!(error, SnapshotError::WrongLength { len: 8, expected: 9, .. }), "{error}");
}

/// Panics when it is decoded from an odd number.
#[derive(Debug, PartialEq)]
struct Fragile(u64);

impl<'de> Deserialize<'de> for Fragile {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Fragile, D::Error> {
        let number = u64::deserialize(deserializer)?;
        assert!(number.is_multiple_of(2), "in the middle of deserialize");
        Ok(Fragile(number))
    }
}

#[test]
fn a_panic_in_deserialize_leaves_the_reader_usable() {
    let own = OwnNamespace::new(&["fragile"]);
    let mut writer = own.writer_builder::<u64>("fragile").type_name("number").open().unwrap();
    let mut reader = own.reader_builder::<Fragile>("fragile").type_name("number").open().unwrap();
    let mut other = own.reader_builder::<u64>("fragile").type_name("number").open().unwrap();
    for number in 1..10 {
        writer.publish(&number).unwrap();
        let read =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| reader.snapshot().map(|read| read.0)));
        match number % 2 {
            0 => assert_eq!(read.unwrap().unwrap(), number, "the same reader still works"),
            _ => assert!(read.is_err()),
        }
        assert_eq!(*other.snapshot().unwrap(), number);
    }
}
