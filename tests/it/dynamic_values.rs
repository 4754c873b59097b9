//! A state that is read without its type equals the value that `serde_json` makes of it, with every
//! codec.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;

use proptest::prelude::*;
use serde::de::{self, DeserializeOwned, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};
use tearless::dynamic::{DecodeError, FieldPath, decode, decode_seed, leaves};
use tearless::schema::{Describe, Schema, postcard_schema};
use tearless::{Encode, MessagePack, Pod, Postcard};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, postcard_schema::Schema)]
struct Id(u64);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, postcard_schema::Schema)]
struct Point(i16, f64);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, postcard_schema::Schema)]
struct Job {
    id: Id,
    deadline: Option<u64>,
    #[serde(rename = "labels of the job")]
    labels: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, postcard_schema::Schema)]
enum Colour {
    Red,
    Green,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, postcard_schema::Schema)]
enum Phase {
    Idle,
    Working(Box<Job>),
    Moving { to: Point, r#for: f32 },
    Pair(u8, bool),
    Failed(Result<u8, String>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, postcard_schema::Schema)]
struct Numbers {
    unsigned: (u8, u16, u32, u64),
    signed: (i8, i16, i32, i64),
    floats: (f32, f64),
    letter: char,
    flag: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, postcard_schema::Schema)]
struct Maps {
    by_name: BTreeMap<String, Point>,
    by_number: BTreeMap<i32, Option<char>>,
    by_colour: BTreeMap<Colour, BTreeMap<char, u8>>,
    set: BTreeSet<u16>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, postcard_schema::Schema)]
struct State {
    numbers: Numbers,
    queue: Vec<Job>,
    phases: Vec<Phase>,
    maps: Maps,
    grid: [[u8; 3]; 2],
    one: [u32; 1],
    single: (String,),
    none: [u8; 0],
    nothing: (),
    bytes: Vec<u8>,
    nested: Vec<Vec<Option<i8>>>,
}

fn job() -> impl Strategy<Value = Job> {
    (any::<u64>(), any::<Option<u64>>(), proptest::collection::vec(".*", 0..3))
        .prop_map(|(id, deadline, labels)| Job { id: Id(id), deadline, labels })
}

fn point() -> impl Strategy<Value = Point> {
    (any::<i16>(), -1e300..1e300).prop_map(|(x, y)| Point(x, y))
}

fn phase() -> impl Strategy<Value = Phase> {
    prop_oneof![
        Just(Phase::Idle),
        job().prop_map(|job| Phase::Working(Box::new(job))),
        (point(), -1e30_f32..1e30).prop_map(|(to, duration)| Phase::Moving { to, r#for: duration }),
        any::<(u8, bool)>().prop_map(|(number, flag)| Phase::Pair(number, flag)),
        any::<u8>().prop_map(|number| Phase::Failed(Ok(number))),
        ".*".prop_map(|text| Phase::Failed(Err(text))),
    ]
}

fn numbers() -> impl Strategy<Value = Numbers> {
    (
        any::<(u8, u16, u32, u64)>(),
        any::<(i8, i16, i32, i64)>(),
        (-1e30_f32..1e30, -1e300..1e300),
        any::<(char, bool)>(),
    )
        .prop_map(|(unsigned, signed, floats, (letter, flag))| Numbers {
            unsigned,
            signed,
            floats,
            letter,
            flag,
        })
}

fn maps() -> impl Strategy<Value = Maps> {
    let colour = prop_oneof![Just(Colour::Red), Just(Colour::Green)];
    (
        proptest::collection::btree_map(".*", point(), 0..3),
        proptest::collection::btree_map(any::<i32>(), any::<Option<char>>(), 0..3),
        proptest::collection::btree_map(
            colour,
            proptest::collection::btree_map(any::<char>(), any::<u8>(), 0..3),
            0..3,
        ),
        proptest::collection::btree_set(any::<u16>(), 0..4),
    )
        .prop_map(|(by_name, by_number, by_colour, set)| Maps { by_name, by_number, by_colour, set })
}

fn state() -> impl Strategy<Value = State> {
    (
        (numbers(), maps(), any::<[[u8; 3]; 2]>(), any::<[u32; 1]>(), ".*"),
        proptest::collection::vec(job(), 0..4),
        proptest::collection::vec(phase(), 0..4),
        any::<Vec<u8>>(),
        proptest::collection::vec(any::<Vec<Option<i8>>>(), 0..3),
    )
        .prop_map(|((numbers, maps, grid, one, single), queue, phases, bytes, nested)| State {
            numbers,
            queue,
            phases,
            maps,
            grid,
            one,
            single: (single,),
            none: [],
            nothing: (),
            bytes,
            nested,
        })
}

/// The value of a state after Postcard has encoded and decoded it.
fn through_postcard<T: Serialize + DeserializeOwned + postcard_schema::Schema>(state: &T) -> Value {
    let mut scratch = Vec::new();
    let payload = Postcard::encode(state, &mut scratch).unwrap();
    decode("postcard", Some(&<Postcard as Describe<T>>::describe()), payload).unwrap()
}

#[test]
fn a_schema_allows_paths_that_no_state_has() {
    let schema = <Postcard as Describe<State>>::describe();
    let may_have = |path: &str| schema.may_have(&path.parse().unwrap());
    for path in
        ["queue[99].deadline", "phases[7].Moving.to[1]", "maps.by_name.anyone[0]", "phases[0].Failed.Ok"]
    {
        assert!(may_have(path), "{path}");
    }
    for path in [
        "queues",
        "queue.len",
        "queue[0].deadline.at",
        "queue[0][0]",
        "phases[0].Idle",
        "phases[0].Idle.since",
        "phases[0].Moving[0]",
        "phases[0].Pair[2]",
        "maps.by_name[0]",
        "maps.by_name.anyone[2]",
        "grid[2]",
        "grid[1][3]",
        "one[1]",
        "none[0]",
        "nothing[0]",
        "numbers.letter[0]",
    ] {
        assert!(!may_have(path), "{path}");
    }
}

proptest! {
    #[test]
    fn postcard_decodes_to_the_same_value(state in state()) {
        prop_assert_eq!(through_postcard(&state), serde_json::to_value(&state).unwrap());
    }

    #[test]
    fn message_pack_decodes_to_the_same_value(state in state()) {
        let mut scratch = Vec::new();
        let payload = MessagePack::encode(&state, &mut scratch).unwrap();
        prop_assert_eq!(decode("message-pack", None, payload), Ok(serde_json::to_value(&state).unwrap()));
    }

    #[test]
    fn the_schema_allows_every_path_of_a_state(state in state()) {
        let schema = <Postcard as Describe<State>>::describe();
        for (path, _) in leaves(&through_postcard(&state)).found {
            let prefixes = (0..=path.steps().len()).map(|len| path.steps()[..len].iter().cloned().collect());
            for prefix in prefixes.collect::<Vec<FieldPath>>() {
                prop_assert!(schema.may_have(&prefix), "{prefix}");
            }
        }
    }

    #[test]
    fn a_truncated_or_extended_payload_is_refused(state in state(), cut in any::<prop::sample::Index>()) {
        let schema = <Postcard as Describe<State>>::describe();
        let mut scratch = Vec::new();
        let payload = Postcard::encode(&state, &mut scratch).unwrap();
        let cut = &payload[..cut.index(payload.len())];
        prop_assert!(decode("postcard", Some(&schema), cut).is_err());
        prop_assert!(decode("postcard", Some(&schema), &[payload, &[0]].concat()).is_err());
    }

    #[test]
    fn plain_data_decodes_to_the_same_value(
        (counts, signs, floats, point) in any::<([u16; 3], (i8, u8, i16, u32), [f32; 2], (f64, u64))>(),
        (wide, signed) in any::<(u64, i64)>(),
    ) {
        let (near, far, small, id) = signs;
        prop_assume!(floats.iter().all(|float| float.is_finite()) && point.0.is_finite());
        let state = Plain {
            wide: u128::from(wide),
            signed: i128::from(signed),
            id: Count(u64::from(id)),
            points: [Pair(point.0, point.1), Pair(0.5, 7)],
            floats,
            counts,
            near,
            far,
            small,
            last: [1; 6],
        };
        let mut scratch = Vec::new();
        let payload = Pod::encode(&state, &mut scratch).unwrap();
        let value = decode("pod", Some(&<Pod as Describe<Plain>>::describe()), payload);
        prop_assert_eq!(value, Ok(serde_json::to_value(state).unwrap()));
    }
}

#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable, Serialize)]
#[repr(transparent)]
struct Count(u64);
tearless::describe_pod!(Count(0));

#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable, Serialize)]
#[repr(C)]
struct Pair(f64, u64);
tearless::describe_pod!(Pair(1, 0));

#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable, Serialize)]
#[repr(C)]
struct Plain {
    wide: u128,
    signed: i128,
    id: Count,
    points: [Pair; 2],
    floats: [f32; 2],
    counts: [u16; 3],
    near: i8,
    far: u8,
    small: i16,
    last: [u8; 6],
}
tearless::describe_pod!(Plain { last, wide, signed, id, points, floats, counts, near, far, small });

#[derive(Serialize, Deserialize, postcard_schema::Schema)]
struct Odd {
    large: u128,
    low: i128,
    not_a_number: f64,
    infinite: f32,
    by_pair: BTreeMap<(u8, bool), ()>,
    unit: Unit,
    optional: Option<()>,
}

#[derive(Serialize, Deserialize, postcard_schema::Schema)]
struct Unit;

#[test]
fn values_that_json_cannot_express_are_text() {
    let state = Odd {
        large: u128::MAX,
        low: i128::MIN,
        not_a_number: f64::NAN,
        infinite: f32::NEG_INFINITY,
        by_pair: BTreeMap::from([((7, true), ())]),
        unit: Unit,
        optional: Some(()),
    };
    let expected = json!({
        "large": "340282366920938463463374607431768211455",
        "low": "-170141183460469231731687303715884105728",
        "not_a_number": "NaN",
        "infinite": "-inf",
        "by_pair": { "[7,true]": null },
        "unit": null,
        "optional": null,
    });
    assert_eq!(through_postcard(&state), expected);
}

/// What a visitor is given, as text.
struct Seen(String);

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Seen, D::Error> {
        deserializer.deserialize_any(SeenVisitor).map(Seen)
    }
}

struct SeenVisitor;

macro_rules! see {
    ($($method:ident: $type:ty;)*) => {$(
        fn $method<E: de::Error>(self, value: $type) -> Result<String, E> {
            Ok(format!("{value:?}: {}", stringify!($type)))
        }
    )*};
}

impl<'de> Visitor<'de> for SeenVisitor {
    type Value = String;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value but true")
    }

    see! {
        visit_i64: i64; visit_u64: u64; visit_i128: i128; visit_u128: u128; visit_f32: f32; visit_f64: f64;
        visit_char: char;
        visit_str: &str;
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<String, E> {
        if value { Err(E::custom("true is refused")) } else { Ok("false".into()) }
    }

    fn visit_unit<E: de::Error>(self) -> Result<String, E> {
        Ok("()".into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<String, A::Error> {
        let mut seen = Vec::new();
        while let Some(Seen(element)) = elements.next_element()? {
            seen.push(element);
        }
        Ok(format!("[{}]", seen.join(", ")))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<String, A::Error> {
        let mut seen = Vec::new();
        while let Some((Seen(key), Seen(value))) = entries.next_entry()? {
            seen.push(format!("{key} = {value}"));
        }
        Ok(format!("{{{}}}", seen.join(", ")))
    }
}

fn seen<T: Serialize + DeserializeOwned + postcard_schema::Schema>(state: &T) -> Result<String, DecodeError> {
    let mut scratch = Vec::new();
    let payload = Postcard::encode(state, &mut scratch).unwrap();
    let schema = <Postcard as Describe<T>>::describe();
    decode_seed("postcard", Some(&schema), payload, PhantomData::<Seen>).map(|Seen(seen)| seen)
}

#[test]
fn a_seed_gets_what_json_cannot_express() {
    assert_eq!(seen(&(1_u8, -1_i64, u128::MAX, i128::MIN)).unwrap(), {
        format!("[1: u64, -1: i64, {}: u128, {}: i128]", u128::MAX, i128::MIN)
    });
    assert_eq!(seen(&(f64::NAN, f32::NEG_INFINITY, 'ü')).unwrap(), "[NaN: f64, -inf: f32, 'ü': char]");
    assert_eq!(seen(&(Some(()), None::<u8>, Unit, Id(7))).unwrap(), "[(), (), (), 7: u64]");
    let phases = vec![Phase::Idle, Phase::Pair(1, false), Phase::Failed(Err("no".into()))];
    assert_eq!(
        seen(&phases).unwrap(),
        "[\"Idle\": &str, {\"Pair\": &str = [1: u64, false]}, {\"Failed\": &str = {\"Err\": &str = \"no\": &str}}]"
    );
    let by_pair = BTreeMap::from([((7_u8, false), Point(-1, 0.5))]);
    assert_eq!(seen(&by_pair).unwrap(), "{[7: u64, false] = [-1: i64, 0.5: f64]}");

    // A schema of bytes; they are not copied.
    let (schema, payload) = (Schema::from_bytes(&[1, 0, 17]).unwrap(), [2, 7, 8]);
    let bytes = decode_seed("postcard", Some(&schema), &payload, PhantomData::<&[u8]>).unwrap();
    assert_eq!(bytes.as_ptr(), payload[1..].as_ptr());
}

#[test]
fn a_refusal_of_a_visitor_has_its_place() {
    let refused = |error: Result<String, DecodeError>| match error.unwrap_err() {
        DecodeError::Payload { at, reason } => (at, reason),
        error => panic!("{error}"),
    };
    assert_eq!(refused(seen(&(false, 1_u8, true, 2_u8))), (2, "true is refused".into()));
    assert_eq!(refused(seen(&BTreeMap::from([(false, 1_u8), (true, 2)]))).0, 3, "where the key begins");
}
