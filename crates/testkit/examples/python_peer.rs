//! The other side of `python/tests/test_values_fuzz.py`: reads the states of a Python process, and
//! publishes them again.
//!
//! `python_peer NAMESPACE` reads three channels of Python: `any` comes back on `any-back`; `state`,
//! read by its fields, on `state-packed`, on `state-compact` (Postcard with its schema), and the
//! part of it that is plain data on `state-plain`; and `plain`, read by its type's name, on
//! `plain-back`. On `keys-packed` and `keys-compact` are maps with keys of other kinds; `a/keys`
//! and `b/keys` mirror the former as that of two hosts, of which the second is unreachable. It
//! prints `ready`, and ends when its input does.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::io::{Read, stdin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use postcard_schema::Schema;
use postcard_schema::schema::{DataModelType, NamedType};
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tearless::accept::{Any, MatchingFields};
use tearless::mirror::{MirrorReader, MirrorWriter};
use tearless::{Decode, Namespace, Pod, Postcard, Reader};

/// How long to wait for a writer, and for each state.
const PATIENCE: Duration = Duration::from_secs(60);
const SLICE: Duration = Duration::from_millis(50);

/// A value of any kind, as MessagePack has it.
#[derive(Clone, Debug)]
enum Kept {
    Null,
    Bool(bool),
    Unsigned(u128),
    Signed(i128),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Kept>),
    Map(Vec<(Kept, Kept)>),
    /// Such as a time.
    Extension(i8, Vec<u8>),
}

impl Serialize for Kept {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Kept::Null => serializer.serialize_unit(),
            Kept::Bool(value) => serializer.serialize_bool(*value),
            Kept::Unsigned(value) => serializer.serialize_u128(*value),
            Kept::Signed(value) => serializer.serialize_i128(*value),
            Kept::Float(value) => serializer.serialize_f64(*value),
            Kept::Text(value) => serializer.serialize_str(value),
            Kept::Bytes(value) => serializer.serialize_bytes(value),
            Kept::List(values) => serializer.collect_seq(values),
            Kept::Map(entries) => serializer.collect_map(entries.iter().map(|(key, value)| (key, value))),
            // What `rmp_serde` writes as an extension.
            Kept::Extension(kind, bytes) => {
                serializer.serialize_newtype_struct("_ExtStruct", &(*kind, Blob(bytes.clone())))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Kept {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Kept, D::Error> {
        deserializer.deserialize_any(KeptVisitor)
    }
}

struct KeptVisitor;

macro_rules! keep {
    ($($method:ident($value:ident: $type:ty) $kept:expr;)*) => {$(
        fn $method<E: de::Error>(self, $value: $type) -> Result<Kept, E> {
            Ok($kept)
        }
    )*};
}

impl<'de> Visitor<'de> for KeptVisitor {
    type Value = Kept;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    keep! {
        visit_bool(value: bool) Kept::Bool(value);
        visit_u64(value: u64) Kept::Unsigned(value.into());
        visit_i64(value: i64) Kept::Signed(value.into());
        visit_f64(value: f64) Kept::Float(value);
        visit_str(value: &str) Kept::Text(value.into());
        visit_bytes(value: &[u8]) Kept::Bytes(value.into());
    }

    fn visit_unit<E: de::Error>(self) -> Result<Kept, E> {
        Ok(Kept::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Kept, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            list.push(element);
        }
        Ok(Kept::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Kept, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Kept::Map(map))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Kept, D::Error> {
        let (kind, Blob(bytes)) = Deserialize::deserialize(inner)?;
        Ok(match (kind, <[u8; 16]>::try_from(&*bytes)) {
            (105, Ok(number)) => Kept::Signed(i128::from_be_bytes(number)),
            (117, Ok(number)) => Kept::Unsigned(u128::from_be_bytes(number)),
            _ => Kept::Extension(kind, bytes),
        })
    }
}

/// Bytes that serde does not take for a list.
#[derive(Clone, Debug)]
struct Blob(Vec<u8>);

impl Schema for Blob {
    const SCHEMA: &'static NamedType = &NamedType { name: "Blob", ty: &DataModelType::ByteArray };
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Blob, D::Error> {
        struct BlobVisitor;

        impl Visitor<'_> for BlobVisitor {
            type Value = Blob;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("bytes")
            }

            fn visit_bytes<E: de::Error>(self, value: &[u8]) -> Result<Blob, E> {
                Ok(Blob(value.into()))
            }
        }

        deserializer.deserialize_bytes(BlobVisitor)
    }
}

/// A field of each kind.
#[derive(Clone, Debug, Serialize, Deserialize, Schema)]
struct State {
    id: u64,
    offset: i16,
    wide: u128,
    low: i128,
    load: f64,
    ratio: f32,
    is_up: bool,
    letter: char,
    name: String,
    data: Blob,
    deadline: Option<i64>,
    phases: Vec<Phase>,
    by_pair: BTreeMap<(u8, bool), Option<String>>,
    by_name: BTreeMap<String, Vec<f64>>,
    nested: Option<Box<Nested>>,
    plain: Plain,
}

#[derive(Clone, Debug, Serialize, Deserialize, Schema)]
struct Nested {
    pair: (i32, String),
    by_level: BTreeMap<Level, u128>,
}

/// Maps whose keys Python has no types for.
#[derive(Clone, Debug, Serialize, Deserialize, Schema)]
struct Keys {
    by_level: BTreeMap<Level, u128>,
    by_option: BTreeMap<Option<i8>, ()>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Schema)]
enum Level {
    Low,
    Of(i8),
    At { x: i8, steps: Vec<u8> },
}

#[derive(Clone, Debug, Serialize, Deserialize, Schema)]
enum Phase {
    Idle,
    Working(u64),
    Moving { to: (f64, f64), data: Blob },
    Pair(i8, bool),
}

#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable, Serialize, Deserialize, Schema)]
#[repr(C)]
struct Plain {
    wide: u128,
    low: i128,
    load: f64,
    count: u64,
    ratios: [f32; 2],
    offset: i32,
    small: [i16; 2],
}
tearless::describe_pod!(Plain { wide, low, load, count, ratios, offset, small });

/// Gives each state of a channel to `publish`, until it is the end.
fn each<T, C>(
    is_end: &AtomicBool,
    mut reader: Reader<T, C>,
    mut publish: impl FnMut(&T) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>>
where
    C: Decode<T>,
{
    // Relaxed: nothing else is read after it.
    while !is_end.load(Ordering::Relaxed) {
        if reader.changed(SLICE)? {
            publish(&*reader.snapshot()?)?;
        }
    }
    Ok(())
}

/// Makes `HOST/keys` a copy of `keys-packed`, as if that were of another host.
fn mirror(
    fleet: &Namespace,
    host: &str,
    unreachable: Option<Duration>,
) -> Result<MirrorWriter, Box<dyn Error>> {
    let mut origin = MirrorReader::open(fleet, "keys-packed")?;
    let (instance, format) = (origin.instance(), origin.format());
    let mut mirror = MirrorWriter::open(fleet, &format!("{host}/keys"), host, instance, &format)?;
    let mut payload = Vec::new();
    let age = origin.snapshot_into(&mut payload)?.age();
    mirror.publish(&payload, 12, age)?;
    mirror.set_status(&origin.status()?);
    mirror.set_unreachable(unreachable);
    Ok(mirror)
}

fn run(namespace: &str) -> Result<(), Box<dyn Error>> {
    let fleet = &Namespace::open(namespace)?;
    let any = fleet.reader_builder::<Kept>("any").accept(Any).attach_within(PATIENCE).open()?;
    let state =
        fleet.reader_builder::<State>("state").accept(MatchingFields).attach_within(PATIENCE).open()?;
    let plain = fleet
        .reader_builder::<Plain>("plain")
        .codec::<Pod>()
        .type_name("Plain")
        .attach_within(PATIENCE)
        .open()?;
    let mut any_back = fleet.writer::<Kept>("any-back")?;
    let mut packed = fleet.writer::<State>("state-packed")?;
    let mut compact =
        fleet.writer_builder::<State>("state-compact").codec::<Postcard>().with_schema().open()?;
    let described = |channel| fleet.writer_builder::<Plain>(channel).codec::<Pod>().with_schema().open();
    let (mut of_state, mut back) = (described("state-plain")?, described("plain-back")?);
    let keys = Keys {
        by_level: [(Level::Low, 1), (Level::Of(-1), 1 << 127), (Level::At { x: 2, steps: vec![3, 4] }, 5)]
            .into(),
        by_option: [(None, ()), (Some(-6), ())].into(),
    };
    let mut keys_packed = fleet.writer::<Keys>("keys-packed")?;
    let mut keys_compact =
        fleet.writer_builder::<Keys>("keys-compact").codec::<Postcard>().with_schema().open()?;
    keys_packed.publish(&keys)?;
    keys_compact.publish(&keys)?;
    let _mirrors = [mirror(fleet, "a", None)?, mirror(fleet, "b", Some(Duration::from_secs(60)))?];
    println!("ready");
    let is_end = &AtomicBool::new(false);
    thread::scope(|scope| {
        let end = |result: Result<(), Box<dyn Error>>| {
            if let Err(error) = result {
                eprintln!("python_peer: {error}");
            }
        };
        scope.spawn(move || end(each(is_end, any, |value| Ok(any_back.publish(value).map(drop)?))));
        scope.spawn(move || {
            end(each(is_end, state, |state| {
                packed.publish(state)?;
                compact.publish(state)?;
                of_state.publish(&state.plain)?;
                Ok(())
            }));
        });
        scope.spawn(move || end(each(is_end, plain, |plain| Ok(back.publish(plain).map(drop)?))));
        let _ = stdin().read_to_end(&mut Vec::new());
        is_end.store(true, Ordering::Relaxed);
    });
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    run(&std::env::args().nth(1).ok_or("usage: python_peer NAMESPACE")?)
}
