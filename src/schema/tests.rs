use std::collections::BTreeMap;

use bytemuck::{Pod, Zeroable};
use proptest::prelude::*;

use super::wire::{Cursor, Fault};
use super::*;
use crate::codec;

#[derive(::postcard_schema::Schema)]
#[expect(dead_code, reason = "only its schema is used")]
struct Job {
    id: u32,
    deadline: u64,
}

#[derive(::postcard_schema::Schema)]
#[expect(dead_code, reason = "only its schema is used")]
enum Phase {
    Idle,
    Working(Job),
    Waiting { since: f64, r#for: Option<String> },
    Pair(u8, bool),
}

#[derive(::postcard_schema::Schema)]
struct Id(#[expect(dead_code, reason = "only its schema is used")] u64);

#[derive(::postcard_schema::Schema)]
#[expect(dead_code, reason = "only its schema is used")]
struct State {
    id: Id,
    queue: Vec<Job>,
    phase: Phase,
    by_name: BTreeMap<String, (u8, i64)>,
    grid: [[u16; 3]; 2],
    nothing: (),
    outcome: Result<u8, char>,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Position(f64, f32, u32);
crate::describe_pod!(Position(2, 0, 1));

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(transparent)]
struct Count(u64);
crate::describe_pod!(Count(0));

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Robot {
    moves: Count,
    position: Position,
    r#type: u64,
    image: [[u8; 4]; 1000],
}
crate::describe_pod!(Robot { image, moves, position, r#type });

fn state() -> Schema {
    <codec::Postcard as Describe<State>>::describe()
}

fn robot() -> Schema {
    <codec::Pod as Describe<Robot>>::describe()
}

#[test]
fn a_schema_survives_its_bytes() {
    for schema in [state(), robot(), <codec::Postcard as Describe<str>>::describe()] {
        assert_eq!(Schema::from_bytes(&schema.to_bytes()), Ok(schema.clone()));
    }
    assert_ne!(state().fingerprint(), robot().fingerprint());
    assert_eq!(state().fingerprint(), state().fingerprint());
}

#[test]
fn a_schema_of_ones_own_is_checked() {
    for schema in [state(), robot()] {
        assert_eq!(Schema::new(schema.encoding(), schema.root().clone()), Ok(schema));
    }
    assert_eq!(Schema::new(Encoding::Pod, Type::String), Err(SchemaError::NotPlain));
    let long = Type::Struct { name: "n".repeat(257), fields: Fields::Unit };
    assert_eq!(Schema::new(Encoding::Postcard, long), Err(SchemaError::LongName { bytes: 257 }));
}

#[test]
fn a_schema_cut_off_anywhere_is_refused() {
    for bytes in [state().to_bytes(), robot().to_bytes()] {
        for len in 0..bytes.len() {
            assert!(Schema::from_bytes(&bytes[..len]).is_err(), "{len} bytes");
        }
        let left = [&bytes[..], &[0, 0]].concat();
        assert_eq!(Schema::from_bytes(&left), Err(SchemaError::Left { bytes: 2 }));
    }
}

/// Bytes of a Postcard schema.
fn hostile(rest: impl IntoIterator<Item = u8>) -> Result<Schema, SchemaError> {
    let bytes: Vec<u8> = [1, 0].into_iter().chain(rest).collect();
    Schema::from_bytes(&bytes)
}

#[test]
fn what_is_no_schema_is_named() {
    assert_eq!(Schema::from_bytes(&[]), Err(SchemaError::Truncated { at: 0 }));
    assert_eq!(Schema::from_bytes(&[2, 0, 1]), Err(SchemaError::Version { found: 2 }));
    assert_eq!(Schema::from_bytes(&[1, 7, 1]), Err(SchemaError::UnknownTag { at: 1, tag: 7 }));
    assert_eq!(Schema::from_bytes(&[1; 70_000]), Err(SchemaError::TooLong { bytes: 70_000 }));
    assert_eq!(hostile([99]), Err(SchemaError::UnknownTag { at: 2, tag: 99 }));
    assert_eq!(hostile([24, 0, 9]), Err(SchemaError::UnknownTag { at: 4, tag: 9 }));
    assert_eq!(hostile([24, 1, 0xff, 0]), Err(SchemaError::Malformed { at: 4 }), "no UTF-8");
    assert_eq!(hostile([24, 0x81, 2]), Err(SchemaError::LongName { bytes: 257 }));
    assert_eq!(hostile([22, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]), {
        Err(SchemaError::Malformed { at: 3 })
    });
    assert_eq!(hostile([24, 0, 3, 2, 1, b'a', 18, 1, b'a', 18]), Err(SchemaError::SameName { at: 11 }));
    assert_eq!(hostile([25, 0, 2, 1, b'a', 0, 1, b'a', 0]), Err(SchemaError::SameName { at: 10 }));
    // The count says 256 million fields, but no field follows.
    assert_eq!(hostile([24, 0, 2, 0xff, 0xff, 0xff, 0x7f]), Err(SchemaError::Truncated { at: 9 }));
}

#[test]
fn depth_and_count_are_limited() {
    let nested = |levels: usize| hostile(std::iter::repeat_n(20, levels - 1).chain([1]));
    assert!(nested(64).is_ok());
    assert_eq!(nested(65), Err(SchemaError::TooDeep));
    assert_eq!(nested(60_000), Err(SchemaError::TooDeep));
    // A tuple of `count` units.
    let wide = |count: u16| {
        let units = std::iter::repeat_n(18, usize::from(count));
        let group = |bits: u16| u8::try_from(bits & 0x7f).unwrap();
        hostile([24, 0, 2, group(count) | 0x80, group(count >> 7)].into_iter().chain(units))
    };
    assert!(wide(9_999).is_ok());
    assert_eq!(wide(10_000), Err(SchemaError::TooManyTypes));
}

#[test]
fn plain_data_has_a_size() {
    let pod = |rest: &[u8]| Schema::from_bytes(&[&[1, 1], rest].concat());
    assert_eq!(pod(&[16]), Err(SchemaError::NotPlain), "a text");
    // Arrays of arrays of 2^35 times 2^35 bytes.
    let large = [22, 0x80, 0x80, 0x80, 0x80, 0x80, 1];
    assert_eq!(pod(&[&large[..], &large, &[1]].concat()), Err(SchemaError::NotPlain));
    assert_eq!(pod(&[22, 3, 2]).map(|schema| schema.fixed_len()), Ok(Some(6)));
    assert_eq!(robot().fixed_len(), Some(size_of::<Robot>() as u64));
    assert_eq!(state().fixed_len(), None);
}

#[test]
fn a_schema_reads_like_rust() {
    assert_eq!(
        state().to_string(),
        "struct State {
    id: struct Id(u64),
    queue: Vec<struct Job {
        id: u32,
        deadline: u64,
    }>,
    phase: enum Phase {
        Idle,
        Working(struct Job {
            id: u32,
            deadline: u64,
        }),
        Waiting {
            since: f64,
            for: Option<String>,
        },
        Pair(u8, bool),
    },
    by_name: Map<String, (u8, i64)>,
    grid: [[u16; 3]; 2],
    nothing: (),
    outcome: enum Result<T, E> {
        Ok(u8),
        Err(char),
    },
}"
    );
    assert_eq!(
        robot().to_string(),
        "struct Robot {
    moves: struct Count(u64) /* at byte 0 */,
    position: struct Position(f64, f32, u32) /* at byte 8 */,
    type: u64 /* at byte 24 */,
    image: [[u8; 4]; 1000] /* at byte 32 */,
}"
    );
}

#[test]
fn all_fields_are_listed() {
    let fields = state().fields();
    let all: Vec<_> = fields.iter().map(|field| (field.path.as_str(), field.type_name.as_str())).collect();
    let expected = [
        ("id", "Id"),
        ("queue", "Vec<Job>"),
        ("queue[].id", "u32"),
        ("queue[].deadline", "u64"),
        ("phase", "Phase"),
        ("phase.Working.id", "u32"),
        ("phase.Working.deadline", "u64"),
        ("phase.Waiting.since", "f64"),
        ("phase.Waiting.for", "Option<String>"),
        ("phase.Pair[0]", "u8"),
        ("phase.Pair[1]", "bool"),
        ("by_name", "Map<String, (u8, i64)>"),
        ("by_name[][0]", "u8"),
        ("by_name[][1]", "i64"),
        ("grid", "[[u16; 3]; 2]"),
        ("nothing", "()"),
        ("outcome", "Result<T, E>"),
    ];
    assert_eq!(all, expected);
}

/// Nested structs of one field each; the innermost field is a tuple of many scalars.
fn long_paths(levels: usize, name: u8, scalars: u16) -> Schema {
    let level = [&[24, 0, 3, 1, 0x80 | (name & 0x7f), name >> 7][..], &vec![1; usize::from(name)]].concat();
    let group = |bits: u16| u8::try_from(bits & 0x7f).unwrap();
    let tuple = [24, 0, 2, group(scalars) | 0x80, group(scalars >> 7) | 0x80, group(scalars >> 14)];
    let rest = [level.repeat(levels), tuple.to_vec(), vec![0; usize::from(scalars)]].concat();
    hostile(rest).unwrap()
}

#[test]
fn listed_fields_are_limited() {
    let text = |schema: &Schema| -> usize {
        schema.fields().iter().map(|field| field.path.len() + field.type_name.len()).sum()
    };
    // Each path has up to 60 names of 255 control characters, each of which takes five bytes: all
    // but three are left out.
    let schema = long_paths(60, 255, 9_900);
    assert_eq!((schema.fields().len(), schema.field_count()), (3, 9_960));
    assert!(schema.fields().iter().all(|field| field.path.len() <= 4096), "no path is cut");
    // Each path is short enough, all paths together are too long.
    let schema = long_paths(2, 100, 9_900);
    assert!((40..70).contains(&schema.fields().len()), "{}", schema.fields().len());
    assert!((60 * 1024..=64 * 1024).contains(&text(&schema)), "{}", text(&schema));
    assert_eq!(schema.field_count(), 9_902);
    // The paths are short, but too many. The text of the struct's type contains those of all
    // fields.
    let schema = long_paths(1, 1, 9_000);
    assert_eq!((schema.fields().len(), schema.field_count()), (1_000, 9_001));
    assert_eq!(schema.fields()[0].type_name.len(), 256 + '…'.len_utf8());
}

/// A schema of a Postcard struct with these fields.
fn with(fields: impl IntoIterator<Item = (&'static str, Type)>) -> Schema {
    let field = |(name, value): (&str, Type)| Field { name: name.into(), offset: 0, value };
    let fields = Fields::Named(fields.into_iter().map(field).collect());
    Schema { encoding: Encoding::Postcard, root: Type::Struct { name: "State".into(), fields } }
}

fn differences(channel: &Schema, reader: &Schema) -> Vec<String> {
    channel.differences(reader).iter().map(ToString::to_string).collect()
}

#[test]
fn differences_name_the_field() {
    let scalar = Type::Scalar;
    let job = |deadline| Type::Sequence(Box::new(with([("deadline", scalar(deadline))]).root));
    let channel = with([
        ("a", scalar(Scalar::U8)),
        ("queue", job(Scalar::U64)),
        ("b", Type::Unit),
        ("c", Type::String),
    ]);
    let reader =
        with([("b", Type::Unit), ("queue", job(Scalar::U32)), ("d", Type::String), ("c", Type::Unit)]);
    assert_eq!(
        differences(&channel, &reader),
        [
            "a: added in the channel (u8), unknown to the reader",
            "queue[].deadline: u64 in the channel, u32 in the reader",
            "b: number 2 in the channel, number 0 in the reader",
            "c: String in the channel, () in the reader",
            "d: missing in the channel, String in the reader",
        ]
    );
}

#[test]
fn what_means_the_same_does_not_differ() {
    let newtype = |inner: Type| Type::Struct { name: "N".into(), fields: Fields::Newtype(Box::new(inner)) };
    let number = || Type::Scalar(Scalar::U64);
    assert_eq!(differences(&with([("a", newtype(newtype(number())))]), &with([("a", number())])), [""; 0]);
    assert_eq!(differences(&state(), &state()), [""; 0]);
    assert_eq!(differences(&robot(), &robot()), [""; 0]);
}

#[test]
fn a_tuple_of_equal_types_is_an_array() {
    let pair = <codec::Postcard as Describe<(u64, u64)>>::describe();
    let array = <codec::Postcard as Describe<[u64; 2]>>::describe();
    let mixed = <codec::Postcard as Describe<(u64, u32)>>::describe();
    assert_eq!(differences(&pair, &array), [""; 0]);
    assert_eq!(differences(&mixed, &array), ["[1]: u32 in the channel, u64 in the reader"]);
    assert_eq!(differences(&array, &mixed), ["[1]: u64 in the channel, u32 in the reader"]);
}

#[test]
fn encodings_and_offsets_differ() {
    assert_eq!(
        differences(&state(), &robot()),
        ["the state: encoded as Postcard by the channel, as Pod by the reader"]
    );
    let mut moved = robot();
    if let Type::Struct { fields: Fields::Named(fields), .. } = &mut moved.root {
        fields[1].offset = 16;
    }
    assert_eq!(
        differences(&robot(), &moved),
        ["position: at byte 8 in the channel, at byte 16 in the reader"]
    );
}

#[test]
fn scalars_are_in_the_order_of_their_tags() {
    let scalars: Vec<Scalar> = (0..=u8::MAX).map_while(Scalar::of_tag).collect();
    assert_eq!(scalars.last(), Some(&Scalar::Char));
    for (tag, scalar) in scalars.into_iter().enumerate() {
        assert_eq!(usize::from(scalar.tag()), tag);
        assert_eq!(scalar.name(), format!("{scalar:?}").to_lowercase());
    }
}

#[test]
fn numbers_have_the_bits_of_their_types() {
    let number = |bytes: &[u8], bits| Cursor::new(bytes).varint(bits);
    assert_eq!(number(&[0xff, 0xff, 3], 16), Ok(u128::from(u16::MAX)));
    assert_eq!(number(&[0xff, 0xff, 4], 16), Err(Fault::Overlong));
    assert_eq!(number(&[0x80, 0x80, 0x80, 0], 16), Err(Fault::Overlong));
    assert_eq!(number(&[0x80], 16), Err(Fault::Short));
}

proptest! {
    #[test]
    fn any_bytes_are_a_schema_or_none(rest in proptest::collection::vec(0_u8..32, 0..200)) {
        if let Ok(schema) = hostile(rest) {
            prop_assert_eq!(Schema::from_bytes(&schema.to_bytes()), Ok(schema.clone()));
            prop_assert!(schema.differences(&schema).is_empty());
            let _: Vec<_> = schema.fields();
            prop_assert!(!schema.to_string().is_empty());
        }
    }
}
