//! What is published can be read, and is what was published. The table in docs/schemas.md has a row
//! for each kind of type; each of its cells is tried here, by typed readers, without types, and as
//! JSON.
//!
//! The program is not part of `it`: a writer decodes only the first states of a type, so no other
//! test may publish one.
#![cfg(feature = "dynamic")]

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, LinkedList, VecDeque};
use std::fmt::Debug;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::ser::{SerializeMap, SerializeSeq, SerializeStruct, SerializeTupleStruct};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};
use tearless::dynamic::decode;
use tearless::schema::{Describe, Schema, postcard_schema};
use tearless::{
    Decode, Encode, MessagePack, Namespace, Postcard, Reader, Writer,
    error::{CapError, CodecError, CreateError, EncodeError, PublishError},
};

/// Encodes `value` as its writer does, and decodes it as readers do. Channels are left to
/// `a_channel_publishes_nothing_that_is_refused`: they would be compiled for each type.
fn through<C, T>(value: &T) -> Result<Result<T, CodecError>, CodecError>
where
    C: Encode<T> + Decode<T>,
{
    let (mut scratch, mut again) = (Vec::new(), Vec::new());
    let payload = C::encode(value, &mut scratch)?;
    // Once more, when the writer knows the type.
    assert_eq!(C::encode(value, &mut again).unwrap().len(), payload.len());
    Ok(C::decode(payload))
}

#[track_caller]
fn carried<C, T>(value: &T)
where
    T: Debug + PartialEq,
    C: Encode<T> + Decode<T>,
{
    assert_eq!(through::<C, T>(value).unwrap().unwrap(), *value, "{}", C::NAME);
}

/// Carried by MessagePack, and this value without its type.
#[track_caller]
fn packed<T>(value: &T, shown: Value)
where
    T: Debug + PartialEq + Serialize + DeserializeOwned,
{
    carried::<MessagePack, T>(value);
    let mut scratch = Vec::new();
    let payload = MessagePack::encode(value, &mut scratch).unwrap();
    assert_eq!(decode("message-pack", None, payload), Ok(shown));
}

/// The same, and the value is the one that `serde_json` makes.
#[track_caller]
fn packed_as_json<T>(value: &T)
where
    T: Debug + PartialEq + Serialize + DeserializeOwned,
{
    packed(value, serde_json::to_value(value).unwrap());
}

/// Carried by Postcard, and this value with the schema of the type.
#[track_caller]
fn compact<T>(value: &T, shown: Value)
where
    T: Debug + PartialEq + Serialize + DeserializeOwned + postcard_schema::Schema,
{
    carried::<Postcard, T>(value);
    let schema: Schema = <Postcard as Describe<T>>::describe();
    let mut scratch = Vec::new();
    let payload = Postcard::encode(value, &mut scratch).unwrap();
    assert_eq!(decode("postcard", Some(&schema), payload), Ok(shown));
}

/// Refused by the writer, with all of `texts`.
#[track_caller]
fn refused<C, T>(value: &T, texts: &[&str])
where
    C: Encode<T> + Decode<T>,
{
    for _ in 0..3 {
        has(&C::encode(value, &mut Vec::new()).map(drop), texts);
    }
}

#[track_caller]
fn has(outcome: &Result<(), CodecError>, texts: &[&str]) {
    let error = outcome.as_ref().unwrap_err();
    assert!(error.is::<EncodeError>(), "{error}");
    let error = error.to_string();
    assert!(!error.contains("__"), "a name of serde's own: {error}");
    assert!(texts.iter().all(|text| error.contains(text)), "{texts:?} in: {error}");
    println!("{error}");
}

/// Published, and refused by readers, with all of `texts`: what the writer's type does is visible
/// only there.
#[track_caller]
fn unreadable<C, T>(value: &T, texts: &[&str])
where
    T: Debug,
    C: Encode<T> + Decode<T>,
{
    let error = through::<C, T>(value).unwrap().unwrap_err().to_string();
    assert!(texts.iter().all(|text| error.contains(text)), "{texts:?} in: {error}");
    println!("{error}");
}

/// A row of the table: the cells as docs/schemas.md has them, and what shows that they are true.
struct Row {
    what: &'static str,
    message_pack: &'static str,
    postcard: &'static str,
    shown: &'static str,
    check: fn(),
}

const ROWS: &[Row] = &[
    Row {
        what: "`rename`, `rename_all`, `alias`, `default`, `transparent`, `from` with `into`, `with`",
        message_pack: "carried",
        postcard: "carried",
        shown: "under the name that is written",
        check: names,
    },
    Row {
        what: "`skip` of a field",
        message_pack: "carried, reads its default",
        postcard: "carried, reads its default",
        shown: "not",
        check: skipped_fields,
    },
    Row {
        what: "`skip_serializing_if`",
        message_pack: "carried, reads its default; a reader refuses a missing field without `default`, and any in a tuple, as the writer does once it has published that field (inside of `tag`, `untagged`, `flatten`: see below)",
        postcard: "refused when it skips",
        shown: "not when it skips",
        check: fields_that_are_skipped_by_their_value,
    },
    Row {
        what: "`skip_serializing`, `skip_deserializing` of a field",
        message_pack: "carried; a reader refuses a missing field without `default`, an unknown one with `deny_unknown_fields`, and either in a tuple; both in one tuple move values, not found out",
        postcard: "refused; both in one tuple or side by side, if a first state shows it",
        shown: "what is written",
        check: fields_that_one_side_skips,
    },
    Row {
        what: "`skip_serializing` of a variant",
        message_pack: "carried; the variant itself is refused",
        postcard: "carried; the variant itself is refused",
        shown: "yes",
        check: variants_that_are_not_written,
    },
    Row {
        what: "`skip_deserializing` of a variant",
        message_pack: "carried; a reader refuses the variant itself",
        postcard: "refused: that variant, and those after it",
        shown: "yes",
        check: variants_that_are_not_read,
    },
    Row {
        what: "`skip` of a variant",
        message_pack: "carried; the variant itself is refused",
        postcard: "refused: that variant, and those after it",
        shown: "yes",
        check: skipped_variants,
    },
    Row {
        what: "`flatten`",
        message_pack: "carried; refused if two fields have one name; not found out: a map reads what is flattened after it, a skipped field reads a key of its name, `None` is read as `Some` of what may be empty",
        postcard: "refused",
        shown: "as fields of the outer struct",
        check: flattened_fields,
    },
    Row {
        what: "`tag`",
        message_pack: "carried; refused if a field has the tag's name",
        postcard: "refused",
        shown: "the tag as a field",
        check: internally_tagged_enums,
    },
    Row {
        what: "`tag` with `content`",
        message_pack: "carried",
        postcard: "refused",
        shown: "tag and content as fields",
        check: adjacently_tagged_enums,
    },
    Row {
        what: "`untagged`",
        message_pack: "carried; reads the first variant that fits",
        postcard: "refused",
        shown: "its contents",
        check: untagged_enums,
    },
    Row {
        what: "other enums, also with `other`",
        message_pack: "carried",
        postcard: "carried",
        shown: "`\"Idle\"`, `{\"Working\": 3}`",
        check: enums,
    },
    Row {
        what: "two variants, or two fields, of one name; another name for each side",
        message_pack: "reads the first; a reader refuses it; reads its default",
        postcard: "carried; refused in a chain: `x` is read as `y`, `y` as `z`",
        shown: "what is written",
        check: names_that_clash,
    },
    Row {
        what: "`Option` of `Option`, of `()`, of a unit struct, of a value that may be null",
        message_pack: "refused when it is a `Some` of null",
        postcard: "carried",
        shown: "`null` for each",
        check: options_of_nothing,
    },
    Row {
        what: "`()`, unit structs, `PhantomData`, empty arrays and tuples",
        message_pack: "carried",
        postcard: "carried, without bytes",
        shown: "`null`; arrays and tuples `[]`",
        check: units,
    },
    Row {
        what: "integers of 128 bits",
        message_pack: "carried; a reader refuses them inside of `flatten`, `tag`, `untagged`",
        postcard: "carried",
        shown: "beyond 64 bits as text, not exported",
        check: wide_integers,
    },
    Row {
        what: "`NaN`, infinities",
        message_pack: "carried",
        postcard: "carried",
        shown: "as text, not exported",
        check: odd_floats,
    },
    Row {
        what: "bytes (`serde_bytes`), `[u8; N]`, `Vec<u8>`, `char`, `PathBuf`",
        message_pack: "carried; a path must be UTF-8",
        postcard: "carried; a path must be UTF-8",
        shown: "arrays of numbers; texts",
        check: bytes_and_texts,
    },
    Row {
        what: "addresses, and other types with a human-readable form",
        message_pack: "carried as text; IPv6 without its flow label",
        postcard: "carried, compact; IPv6 without its flow label and scope",
        shown: "as text",
        check: forms_for_people,
    },
    Row {
        what: "maps whose keys are not strings",
        message_pack: "carried",
        postcard: "carried",
        shown: "each key as its JSON text; an error if two are equal",
        check: odd_keys,
    },
    Row {
        what: "`Vec`, `VecDeque`, sets, maps, `Box`, `Arc`, `Cow`, `Duration`, `SystemTime`",
        message_pack: "carried",
        postcard: "carried",
        shown: "yes",
        check: collections,
    },
    Row {
        what: "sequences and maps that do not know their length",
        message_pack: "carried",
        postcard: "refused",
        shown: "yes",
        check: unknown_lengths,
    },
    Row {
        what: "`serde_json::Value` and other types that hold values of any type",
        message_pack: "carried",
        postcard: "refused",
        shown: "yes",
        check: values_of_any_type,
    },
    Row {
        what: "more than 64 levels",
        message_pack: "refused",
        postcard: "refused",
        shown: "up to 128 arrays and objects",
        check: levels,
    },
    Row {
        what: "more than 1,024 elements without bytes",
        message_pack: "carried",
        postcard: "refused",
        shown: "yes",
        check: elements_without_bytes,
    },
    Row {
        what: "types that are only `Serialize`, such as borrowed ones",
        message_pack: "carried",
        postcard: "does not compile",
        shown: "yes",
        check: borrowed,
    },
    Row {
        what: "a `Serialize` that announces another length, or disagrees with `Deserialize`",
        message_pack: "the length is refused, and a tuple of fewer values than before",
        postcard: "refused if a first state is read with other lengths, kinds or variants of values",
        shown: "what is written",
        check: wrong_by_hand,
    },
];

#[test]
fn every_cell_of_the_table_is_true() {
    for row in ROWS {
        println!("{}", row.what);
        (row.check)();
    }
}

#[test]
fn a_channel_publishes_nothing_that_is_refused() {
    fn open<C: Encode<State> + Decode<State>>() -> (Writer<State, C>, Reader<State, C>) {
        let namespace = Namespace::in_process("carried").unwrap();
        let writer = namespace.writer_builder::<State>("state").codec::<C>().open().unwrap();
        (writer, namespace.reader_builder::<State>("state").codec::<C>().open().unwrap())
    }
    let skips = State { a: None, b: 0, c: 300, d: 7 };
    let whole = State { a: Some(1), ..skips.clone() };
    let (mut writer, mut reader) = open::<MessagePack>();
    for (number, state) in [(1, &skips), (2, &whole), (3, &skips)] {
        assert_eq!(writer.publish(state).unwrap(), number);
        assert_eq!(*reader.snapshot().unwrap(), *state);
    }
    let (mut writer, mut reader) = open::<Postcard>();
    for published in 0..3 {
        let error = writer.publish(&skips).unwrap_err();
        let PublishError::Encode { source, .. } = &error else { panic!("{error}") };
        assert!(source.is::<EncodeError>(), "{error}");
        assert!(error.to_string().contains("field `a` is skipped"), "{error}");
        assert_eq!(writer.publication(), published);
        assert_eq!(writer.publish(&whole).unwrap(), published + 1);
        assert_eq!(*reader.snapshot().unwrap(), whole);
    }
}

#[test]
fn the_table_in_the_docs_is_this_one() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schemas.md");
    let page = std::fs::read_to_string(page).unwrap();
    let begin = page.find("## What a codec carries").expect("the section");
    let table: Vec<&str> = page[begin..].lines().skip_while(|line| !line.starts_with('|')).skip(2).collect();
    let rows = ROWS.iter().map(|row| {
        let Row { what, message_pack, postcard, shown, .. } = row;
        format!("| {what} | {message_pack} | {postcard} | {shown} |")
    });
    for (at, row) in rows.enumerate() {
        assert_eq!(table.get(at).copied().unwrap_or_default(), row);
    }
    assert_eq!(table.iter().take_while(|line| line.starts_with('|')).count(), ROWS.len());
}

fn names() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, postcard_schema::Schema)]
    #[serde(rename = "Other")]
    struct Renamed {
        #[serde(rename = "one field", alias = "first")]
        one: u32,
        #[serde(default)]
        two: Option<u8>,
    }
    let value = Renamed { one: 300, two: Some(1) };
    packed(&value, json!({"one field": 300, "two": 1}));
    compact(&value, json!({"one field": 300, "two": 1}));

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "SCREAMING-KEBAB-CASE", deny_unknown_fields)]
    struct Loud {
        one_field: u32,
    }
    packed(&Loud { one_field: 7 }, json!({"ONE-FIELD": 7}));
    carried::<Postcard, _>(&Loud { one_field: 7 });

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(transparent)]
    struct Thin {
        inner: Vec<u16>,
    }
    packed(&Thin { inner: vec![1, 300] }, json!([1, 300]));
    carried::<Postcard, _>(&Thin { inner: vec![1, 300] });

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(from = "(u8, u8)", into = "(u8, u8)")]
    struct Converted {
        sum: u8,
        difference: u8,
    }
    impl From<(u8, u8)> for Converted {
        fn from((one, two): (u8, u8)) -> Converted {
            Converted { sum: one + two, difference: one - two }
        }
    }
    impl From<Converted> for (u8, u8) {
        fn from(it: Converted) -> (u8, u8) {
            (it.sum.midpoint(it.difference), (it.sum - it.difference) / 2)
        }
    }
    packed(&Converted { sum: 9, difference: 1 }, json!([5, 4]));
    carried::<Postcard, _>(&Converted { sum: 9, difference: 1 });

    mod hex {
        use super::*;
        pub fn serialize<S: Serializer>(value: &u32, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(&format_args!("{value:x}"))
        }
        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
            let text = String::deserialize(deserializer)?;
            u32::from_str_radix(&text, 16).map_err(serde::de::Error::custom)
        }
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct With {
        #[serde(with = "hex")]
        number: u32,
    }
    packed(&With { number: 0xbeef }, json!({"number": "beef"}));
    carried::<Postcard, _>(&With { number: 0xbeef });

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Null {
        #[serde(serialize_with = "null")]
        number: Option<u8>,
    }
    fn null<S: Serializer>(_: &Option<u8>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_some(&())
    }
    refused::<MessagePack, _>(&Null { number: None }, &["`number`: `Some`"]);
}

fn skipped_fields() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Skipped {
        #[serde(skip)]
        cache: Vec<u64>,
        kept: u32,
        #[serde(skip, default = "seven")]
        seven: u8,
    }
    fn seven() -> u8 {
        7
    }
    let value = Skipped { cache: Vec::new(), kept: 300, seven: 7 };
    packed(&value, json!({"kept": 300}));
    carried::<Postcard, _>(&value);
    let cached = Skipped { cache: vec![1], kept: 300, seven: 8 };
    assert_eq!(through::<MessagePack, _>(&cached).unwrap().unwrap(), value);
    assert_eq!(through::<Postcard, _>(&cached).unwrap().unwrap(), value);
}

/// A type that has gone through JSON for years.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct State {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    a: Option<u32>,
    b: u8,
    c: u16,
    d: u8,
}

fn fields_that_are_skipped_by_their_value() {
    let skips = State { a: None, b: 0, c: 300, d: 7 };
    packed(&skips, json!({"b": 0, "c": 300, "d": 7}));
    let text = ["`State`", "field `a`", "`skip_serializing_if`", "`MessagePack`"];
    refused::<Postcard, _>(&skips, &text);
    let whole = State { a: Some(1), ..skips.clone() };
    packed(&whole, json!({"a": 1, "b": 0, "c": 300, "d": 7}));
    carried::<Postcard, _>(&whole);
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Pair(#[serde(skip_serializing_if = "Option::is_none")] Option<u8>, u8);
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Step {
        To(#[serde(skip_serializing_if = "Option::is_none")] Option<u8>, u8),
    }
    carried::<Postcard, _>(&Pair(Some(1), 2));
    let fewer = ["written with 1 values and read with 2", "`skip_serializing_if`", "`#[serde(skip)]`"];
    refused::<Postcard, _>(&Pair(None, 0), &fewer);
    carried::<Postcard, _>(&Step::To(Some(1), 2));
    refused::<Postcard, _>(&Step::To(None, 0), &[&fewer[..], &["`Step::To`"]].concat());
    values_that_take_the_place_of_a_skipped_one();
    // MessagePack readers refuse fewer values than the type has, even if those that are left fit.
    // The writer refuses them once it knows how many there are.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Shifts(
        #[serde(skip_serializing_if = "Option::is_none", default)] Option<u8>,
        #[serde(default)] u8,
    );
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Moves {
        To(#[serde(skip_serializing_if = "Option::is_none", default)] Option<u8>, #[serde(default)] u8),
        By(u8, u8),
    }
    unreadable::<MessagePack, _>(&Shifts(None, 7), &["invalid length 1", "`skip_serializing_if`"]);
    unreadable::<MessagePack, _>(&Moves::To(None, 7), &["invalid length 1", "`skip_serializing_if`"]);
    packed_as_json(&Moves::By(1, 2));
    unreadable::<MessagePack, _>(&Moves::To(None, 7), &["invalid length 1"]);
    for _ in 0..2 {
        packed_as_json(&vec![Shifts(Some(1), 2)]);
        packed_as_json(&vec![Moves::To(Some(1), 2)]);
        let text = ["1 values here and had 2", "`skip_serializing_if`", "names"];
        refused::<MessagePack, _>(&vec![Shifts(None, 7)], &[&text[..], &["`[0]`, of type"]].concat());
        refused::<MessagePack, _>(&vec![Moves::To(None, 7)], &[&text[..], &["`[0].To`, of type"]].concat());
    }
    refused::<Postcard, _>(&Shifts(None, 7), &fewer);
    carried::<Postcard, _>(&Shifts(Some(1), 2));
    values_that_move_in_a_buffer();
    // Deep inside, the error says where.
    let deep = BTreeMap::from([(3_u8, vec![(whole.clone(), 1_u8), (skips, 2)])]);
    refused::<Postcard, _>(&deep, &["`[0][1][0]`, of type `State`", "field `a`"]);

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Event {
        Nothing,
        Started {
            at: u64,
            #[serde(skip_serializing_if = "Vec::is_empty", default)]
            labels: Vec<String>,
        },
    }
    let bare = Event::Started { at: 9, labels: vec![] };
    packed(&bare, json!({"Started": {"at": 9}}));
    refused::<Postcard, _>(&bare, &["`Event`", "field `labels`"]);
    carried::<Postcard, _>(&Event::Started { at: 9, labels: vec!["x".into()] });
    carried::<Postcard, _>(&Event::Nothing);

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Required {
        #[serde(skip_serializing_if = "is_zero")]
        count: u32,
        other: u8,
    }
    fn is_zero(count: &u32) -> bool {
        *count == 0
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Seven {
        #[serde(skip_serializing_if = "is_zero", default = "seven")]
        count: u32,
    }
    fn seven() -> u32 {
        7
    }
    assert_eq!(through::<MessagePack, _>(&Seven { count: 0 }).unwrap().unwrap(), Seven { count: 7 });
    packed_as_json(&Required { count: 1, other: 2 });
    unreadable::<MessagePack, _>(&Required { count: 0, other: 2 }, &["`count`", "`#[serde(default)]`"]);
    refused::<Postcard, _>(&Required { count: 0, other: 2 }, &["`Required`", "`count`"]);
}

/// A number is written where a length is read, so that all bytes are taken.
fn values_that_take_the_place_of_a_skipped_one() {
    fn is_zero(number: &u8) -> bool {
        *number == 0
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Move<T>(#[serde(skip_serializing_if = "is_zero")] u8, T, T);
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Step {
        To(#[serde(skip_serializing_if = "is_zero")] u8, Vec<u8>, Vec<u8>),
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Job {
        progress: Option<Move<Vec<u8>>>,
        number: u32,
    }
    let job = |skipped| Job { progress: Some(Move(skipped, vec![0], vec![])), number: 7 };
    for _ in 0..2 {
        let text = ["`Move` is written with 2 values and read with 3", "`skip_serializing_if`"];
        refused::<Postcard, _>(&Move(0, vec![0_u8], vec![]), &text);
        refused::<Postcard, _>(&job(0), &[&text[..], &["`Job`"]].concat());
        refused::<Postcard, _>(&BTreeMap::from([(1_u8, job(0))]), &text);
        // The same number of bytes in the same number of values.
        refused::<Postcard, _>(&vec![Move(0, 1_u8, 2); 3], &text);
        refused::<Postcard, _>(&(Move(0, 1_u8, 2), [0_u8; 2]), &text);
        refused::<Postcard, _>(&Step::To(0, vec![0], vec![]), &["`Step::To` is written with 2 values"]);
        // Whole ones change nothing.
        carried::<Postcard, _>(&Move(1, vec![0_u8], vec![]));
        carried::<Postcard, _>(&vec![Move(1, 1_u8, 2); 3]);
        carried::<Postcard, _>(&job(1));
        carried::<Postcard, _>(&Step::To(1, vec![0], vec![]));
    }
}

/// What no codec can see: `Serialize` makes the calls of a type that never had the field, and serde
/// reads from a buffer of its own.
fn values_that_move_in_a_buffer() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Shifts(
        #[serde(skip_serializing_if = "Option::is_none", default)] Option<u8>,
        #[serde(default)] u8,
    );
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Moves {
        To(#[serde(skip_serializing_if = "Option::is_none", default)] Option<u8>, #[serde(default)] u8),
        At(Shifts),
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        Moves(Moves),
        To(#[serde(skip_serializing_if = "Option::is_none", default)] Option<u8>, #[serde(default)] u8),
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        Moves(Moves),
        Field { moves: Moves },
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Flat {
        #[serde(flatten)]
        moves: Moves,
    }
    #[track_caller]
    fn is_moved<T: Debug + PartialEq + Serialize + DeserializeOwned>(make: fn(Option<u8>, u8) -> T) {
        let read = through::<MessagePack, _>(&make(None, 7)).unwrap().unwrap();
        assert_eq!(read, make(Some(7), 0));
    }
    is_moved(|one, two| Untagged::Moves(Moves::To(one, two)));
    is_moved(|one, two| Tagged::Field { moves: Moves::To(one, two) });
    is_moved(|one, two| Flat { moves: Moves::At(Shifts(one, two)) });
    // The writer has published the field there.
    let text = ["1 values here and had 2"];
    packed_as_json(&Untagged::Moves(Moves::To(Some(1), 2)));
    refused::<MessagePack, _>(&Untagged::Moves(Moves::To(None, 7)), &text);
    packed_as_json(&Tagged::Field { moves: Moves::To(Some(1), 2) });
    refused::<MessagePack, _>(&Tagged::Field { moves: Moves::To(None, 7) }, &text);
    packed_as_json(&Flat { moves: Moves::At(Shifts(Some(1), 2)) });
    refused::<MessagePack, _>(&Flat { moves: Moves::At(Shifts(None, 7)) }, &text);
    // Nothing tells a variant of an enum that is itself untagged, tagged or flattened from others.
    packed_as_json(&Untagged::To(Some(1), 2));
    is_moved(Untagged::To);
    packed_as_json(&Tagged::Moves(Moves::To(Some(1), 2)));
    is_moved(|one, two| Tagged::Moves(Moves::To(one, two)));
    packed_as_json(&Flat { moves: Moves::To(Some(1), 2) });
    is_moved(|one, two| Flat { moves: Moves::To(one, two) });
    // So two variants of one name and of other lengths are both carried.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Longer {
        To(u8, u8, Shifts),
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Both {
        Moves(Moves),
        Longer(Longer),
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Either {
        Moves(Moves),
        Longer(Longer),
    }
    let (moves, longer) = (Moves::To(Some(1), 2), Longer::To(1, 2, Shifts(Some(3), 4)));
    for _ in 0..2 {
        packed_as_json(&vec![Both::Longer(longer.clone()), Both::Moves(moves.clone())]);
        packed_as_json(&vec![Either::Longer(longer.clone()), Either::Moves(moves.clone())]);
    }
    // Other tuples keep their lengths.
    let with = |one| (Both::Moves(moves.clone()), BTreeMap::from([(1_u8, Shifts(one, 7))]));
    packed(&with(Some(1)), json!([{"kind": "Moves", "To": [1, 2]}, {"1": [1, 7]}]));
    refused::<MessagePack, _>(&with(None), &text);
}

fn fields_that_one_side_skips() {
    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Writes {
        #[serde(skip_serializing)]
        #[serde(default)]
        hidden: u8,
        one: Vec<u8>,
        two: Vec<u8>,
    }
    // Two lists shift into the hidden field's place: no decoder could see it.
    let shifts = Writes { hidden: 0, one: vec![0], two: vec![] };
    packed(&shifts, json!({"one": [0], "two": []}));
    refused::<Postcard, _>(&shifts, &["`Writes`", "field `hidden`", "`skip_serializing`", "`MessagePack`"]);
    refused::<Postcard, _>(&Writes::default(), &["`Writes`", "field `hidden`"]);

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Reads {
        #[serde(skip_deserializing)]
        uptime: u8,
        count: u32,
        rest: u8,
    }
    // 128 and 0 are two bytes of one number.
    let merges = Reads { uptime: 128, count: 0, rest: 5 };
    refused::<Postcard, _>(&merges, &["`Reads`", "field `uptime`", "`skip_deserializing`"]);
    let read = through::<MessagePack, _>(&merges).unwrap().unwrap();
    assert_eq!(read, Reads { uptime: 0, ..merges });

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Unread {
        #[serde(skip_serializing)]
        hidden: u8,
    }
    unreadable::<MessagePack, _>(&Unread { hidden: 1 }, &["missing field `hidden`", "`#[serde(default)]`"]);
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Denies {
        #[serde(skip_deserializing)]
        hidden: u8,
    }
    unreadable::<MessagePack, _>(&Denies { hidden: 1 }, &["unknown field `hidden`"]);
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Pair(#[serde(skip_serializing, default)] u8, #[serde(default)] u8);
    unreadable::<MessagePack, _>(&Pair(1, 2), &["invalid length 1"]);
    refused::<Postcard, _>(&Pair(1, 2), &["`Pair`"]);
    refused::<Postcard, _>(&Unread { hidden: 1 }, &["field `hidden` of `Unread`"]);
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Short(#[serde(skip_deserializing)] u8, u8, u8);
    unreadable::<MessagePack, _>(&Short(0, 1, 2), &["length", "`skip_deserializing`", "`#[serde(skip)]`"]);
    refused::<Postcard, _>(&Short(0, 0, 0), &["`Short` is written with 3 values and read with 2"]);
    fields_that_both_sides_skip();
}

/// As many fields are written as are read.
fn fields_that_both_sides_skip() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Around {
        #[serde(skip_deserializing)]
        unread: u8,
        #[serde(alias = "other", alias = "third")]
        kept: u8,
        #[serde(skip_serializing, default)]
        unwritten: u8,
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Variants {
        Around {
            #[serde(skip_serializing, default)]
            unwritten: u8,
            kept: u8,
            #[serde(skip_deserializing)]
            unread: u8,
        },
    }
    let texts = ["field `unread`", "`skip_deserializing`", "`MessagePack`"];
    for number in [0, 2] {
        let around = Around { unread: number, kept: number, unwritten: number };
        refused::<Postcard, _>(&around, &[&texts[..], &["`Around`"]].concat());
        refused::<Postcard, _>(&vec![Some(around.clone())], &texts);
        let read = through::<MessagePack, _>(&around).unwrap().unwrap();
        assert_eq!(read, Around { unread: 0, kept: number, unwritten: 0 });
        let around = Variants::Around { unwritten: number, kept: number, unread: number };
        refused::<Postcard, _>(&around, &[&texts[..], &["`Variants::Around`"]].concat());
    }
    // Names for one side are no reason, nor are more of them for readers.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Sides {
        #[serde(rename(serialize = "one", deserialize = "two"))]
        number: u8,
        #[serde(alias = "three", rename(deserialize = "four"))]
        map: HashMap<u8, u8>,
        last: HashSet<(u8, u8)>,
        #[serde(skip_serializing, default)]
        ghost: PhantomData<u8>,
    }
    let many = || 0..50_u8;
    let (map, last) = (many().map(|it| (it, it)).collect(), many().map(|it| (it, it + 1)).collect());
    carried::<Postcard, _>(&Sides { number: 1, map, last, ghost: PhantomData });
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Crossed {
        #[serde(rename(serialize = "one", deserialize = "two"))]
        one: u8,
        #[serde(rename(serialize = "two", deserialize = "one"))]
        two: u8,
    }
    carried::<Postcard, _>(&Crossed { one: 1, two: 2 });
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Chain {
        #[serde(rename(serialize = "x", deserialize = "y"))]
        one: u8,
        #[serde(rename(serialize = "y", deserialize = "z"))]
        two: u8,
    }
    // Zeros don't tell it from `Around`, so no value of it is carried.
    for (one, two) in [(0, 0), (1, 2)] {
        refused::<Postcard, _>(
            &Chain { one, two },
            &["field `x` of `Chain`", "`rename` to another field's name"],
        );
    }

    // Nothing but the values tells such fields from each other.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Beside {
        #[serde(skip_deserializing)]
        unread: u8,
        #[serde(skip_serializing, default)]
        unwritten: u8,
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Left(#[serde(skip_serializing)] u8, u8, u8, #[serde(skip_deserializing)] u8);
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Right {
        By(#[serde(skip_deserializing)] u8, u8, u8, #[serde(skip_serializing, default)] u8),
    }
    let texts = ["is read as another one", "`skip_serializing`", "`skip_deserializing`"];
    refused::<Postcard, _>(&Beside { unread: 1, unwritten: 2 }, &[&texts[..], &["`Beside`"]].concat());
    refused::<Postcard, _>(&vec![Left(1, 2, 3, 4)], &[&texts[..], &["`Left`"]].concat());
    refused::<Postcard, _>(&Right::By(1, 2, 3, 4), &[&texts[..], &["`Right::By`"]].concat());
    carried::<Postcard, _>(&vec![Left(0, 0, 0, 0)]);
    assert_eq!(through::<Postcard, _>(&vec![Left(1, 2, 3, 4)]).unwrap().unwrap(), [Left(2, 3, 4, 0)]);
    assert_eq!(through::<MessagePack, _>(&Left(1, 2, 3, 4)).unwrap().unwrap(), Left(2, 3, 4, 0));
    assert_eq!(through::<MessagePack, _>(&Right::By(1, 2, 3, 4)).unwrap().unwrap(), Right::By(0, 1, 2, 3));
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Gap {
    First,
    #[serde(skip)]
    Hidden,
    Second,
    Third(u8),
    Last,
}

fn skipped_variants() {
    for value in [Gap::First, Gap::Second, Gap::Third(3), Gap::Last] {
        packed_as_json(&value);
    }
    carried::<Postcard, _>(&Gap::First);
    refused::<MessagePack, _>(&Gap::Hidden, &["`Gap`", "Gap::Hidden cannot be serialized"]);
    refused::<Postcard, _>(&Gap::Hidden, &["`Gap`", "Gap::Hidden cannot be serialized"]);
    refused::<Postcard, _>(&Gap::Second, &["`Gap`"]);
    refused::<Postcard, _>(&Gap::Last, &["`Gap`"]);

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[allow(dead_code, reason = "never published")]
    enum Plain {
        #[serde(skip)]
        Hidden,
        One,
        Two,
    }
    refused::<Postcard, _>(&Plain::One, &["variant `One` of `Plain` is read as `Two`", "`MessagePack`"]);
    refused::<Postcard, _>(&Plain::Two, &["`Plain`"]);
    packed_as_json(&Plain::One);
    // A variant that comes later is tried when it comes.
    let (mut scratch, list) = (Vec::new(), vec![Gap::First, Gap::First]);
    assert!(Postcard::encode(&list, &mut scratch).is_ok());
    assert!(Postcard::encode(&vec![Gap::First, Gap::Second], &mut scratch).is_err());
    assert!(Postcard::encode(&list, &mut scratch).is_ok());
}

fn variants_that_are_not_written() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Hides {
        First,
        #[serde(skip_serializing)]
        Hidden,
        Second(u8),
    }
    for value in [Hides::First, Hides::Second(2)] {
        packed_as_json(&value);
        carried::<Postcard, _>(&value);
    }
    refused::<MessagePack, _>(&Hides::Hidden, &["`Hides`", "Hides::Hidden cannot be serialized"]);
    refused::<Postcard, _>(&Hides::Hidden, &["`Hides`", "Hides::Hidden cannot be serialized"]);
}

fn variants_that_are_not_read() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Forgets {
        First,
        #[serde(skip_deserializing)]
        Forgotten,
        Second(u8),
    }
    packed_as_json(&Forgets::First);
    packed_as_json(&Forgets::Second(2));
    carried::<Postcard, _>(&Forgets::First);
    unreadable::<MessagePack, _>(&Forgets::Forgotten, &["unknown variant `Forgotten`", "the reader's"]);
    refused::<Postcard, _>(&Forgets::Forgotten, &["`Forgets`"]);
    refused::<Postcard, _>(&Forgets::Second(2), &["`Forgets`"]);
}

fn flattened_fields() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Outer {
        id: u32,
        #[serde(flatten)]
        inner: Inner,
        #[serde(flatten)]
        rest: BTreeMap<String, Value>,
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Inner {
        load: f32,
        address: IpAddr,
        choice: Option<Gap>,
    }
    let address = Ipv4Addr::LOCALHOST.into();
    let inner = Inner { load: 0.5, address, choice: Some(Gap::Third(7)) };
    let mut value = Outer { id: 1, inner, rest: BTreeMap::from([("x".into(), json!([1, {"y": null}]))]) };
    packed_as_json(&value);
    packed_as_json(&vec![vec![(value.clone(), 1_u8)], vec![]]);
    refused::<Postcard, _>(&value, &["`Outer`", "`#[serde(flatten)]`", "`MessagePack`"]);
    value.rest.insert("load".into(), json!(2));
    refused::<MessagePack, _>(&value, &["`Outer`", "two fields are called `load`"]);
    refused::<MessagePack, _>(&[Some(value)], &["`[0]`, of type `Option<Outer>`", "called `load`"]);

    // What serde reads twice, or takes for empty contents.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Maps {
        #[serde(flatten)]
        before: BTreeMap<String, u8>,
        #[serde(flatten)]
        part: Part,
        #[serde(flatten)]
        after: Option<BTreeMap<String, u8>>,
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Part {
        x: u8,
    }
    let map = |keys: &[&str]| keys.iter().map(|key| (String::from(*key), 1)).collect();
    let value = Maps { before: map(&["a"]), part: Part { x: 1 }, after: None };
    let read = through::<MessagePack, _>(&value).unwrap().unwrap();
    assert_eq!(read, Maps { before: map(&["a", "x"]), part: Part { x: 1 }, after: Some(map(&["a"])) });
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Task {
        id: u8,
        #[serde(flatten)]
        retry: Option<Retry>,
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Retry {
        #[serde(default)]
        times: u32,
        last: Option<u8>,
    }
    let empty = Task { id: 1, retry: Some(Retry { times: 0, last: None }) };
    carried::<MessagePack, _>(&empty);
    assert_eq!(through::<MessagePack, _>(&Task { retry: None, ..empty.clone() }).unwrap().unwrap(), empty);
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Labels {
        #[serde(skip_serializing_if = "Option::is_none")]
        host: Option<u8>,
        #[serde(flatten)]
        rest: BTreeMap<String, u8>,
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        Labels {
            #[serde(skip_serializing_if = "Option::is_none")]
            host: Option<u8>,
            #[serde(flatten)]
            rest: BTreeMap<String, u8>,
        },
    }
    let labels = |host, keys| Labels { host, rest: map(keys) };
    carried::<MessagePack, _>(&labels(None, &["port"]));
    refused::<MessagePack, _>(&labels(Some(2), &["host"]), &["`Labels`", "two fields are called `host`"]);
    let read = through::<MessagePack, _>(&labels(None, &["host"])).unwrap().unwrap();
    assert_eq!(read, labels(Some(1), &[]));
    let labels = |host, keys| Tagged::Labels { host, rest: map(keys) };
    refused::<MessagePack, _>(&labels(None, &["kind"]), &["`Tagged`", "two fields are called `kind`"]);
    let read = through::<MessagePack, _>(&labels(None, &["host"])).unwrap().unwrap();
    assert_eq!(read, labels(Some(1), &[]));
}

fn internally_tagged_enums() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        Idle,
        Working { job: u64, address: IpAddr },
        Other(Contents),
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Contents {
        kind: Option<u8>,
    }
    packed_as_json(&Tagged::Idle);
    let working = Tagged::Working { job: 1 << 60, address: Ipv4Addr::LOCALHOST.into() };
    packed_as_json(&working);
    packed_as_json(&Some(BTreeMap::from([(1_u8, working.clone())])));
    refused::<Postcard, _>(&working, &["`Tagged`", "`tag`", "`MessagePack`"]);
    refused::<Postcard, _>(&Tagged::Idle, &["`Tagged`", "`tag`", "`MessagePack`"]);
    let twice = Tagged::Other(Contents { kind: Some(1) });
    refused::<MessagePack, _>(&twice, &["`Tagged`", "two fields are called `kind`"]);

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Impossible {
        List(Vec<u8>),
    }
    refused::<MessagePack, _>(&Impossible::List(vec![1]), &["cannot serialize tagged newtype variant"]);

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum OfMap {
        Map(BTreeMap<String, u8>),
    }
    let map = |key: &str| OfMap::Map(BTreeMap::from([(key.into(), 1), ("z".into(), 2)]));
    packed_as_json(&map("a"));
    refused::<MessagePack, _>(&map("kind"), &["`OfMap`", "two fields are called `kind`"]);
}

fn adjacently_tagged_enums() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "t", content = "c")]
    enum Adjacent {
        Idle,
        Working { job: u64 },
        Pair(u8, IpAddr),
        One(Option<u8>),
    }
    let values = [
        Adjacent::Idle,
        Adjacent::Working { job: 3 },
        Adjacent::Pair(1, Ipv4Addr::LOCALHOST.into()),
        Adjacent::One(None),
        Adjacent::One(Some(3)),
    ];
    for value in &values {
        packed_as_json(value);
        refused::<Postcard, _>(value, &["`Adjacent`", "`tag`", "`MessagePack`"]);
    }
    packed_as_json(&values.to_vec());
    // The tag comes first, so serde buffers nothing, and a reader compares lengths.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "t", content = "c")]
    enum Skips {
        To(#[serde(skip_serializing_if = "Option::is_none", default)] Option<u8>, #[serde(default)] u8),
    }
    packed_as_json(&Skips::To(Some(1), 2));
    unreadable::<MessagePack, _>(&Skips::To(None, 7), &["invalid length 1", "`skip_serializing_if`"]);
}

fn untagged_enums() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        Number(i64),
        Text(String),
        Address { address: SocketAddr },
        List(Vec<Untagged>),
        Nothing,
    }
    let values = vec![
        Untagged::Number(-7),
        Untagged::Text("seven".into()),
        Untagged::Address { address: "127.0.0.1:80".parse().unwrap() },
        Untagged::List(vec![Untagged::Number(1)]),
        Untagged::Nothing,
    ];
    packed_as_json(&values);
    for value in &values {
        packed_as_json(value);
        refused::<Postcard, _>(value, &["`Untagged`", "`untagged`", "`MessagePack`"]);
    }
    // It is tried when it comes, wherever it comes.
    refused::<Postcard, _>(&vec![values[0].clone()], &["`Vec<Untagged>`", "`untagged`"]);
    carried::<Postcard, _>(&Vec::<Untagged>::new());
    carried::<Postcard, _>(&None::<Untagged>);
    refused::<Postcard, _>(&Some(values[0].clone()), &["`untagged`"]);
    refused::<Postcard, _>(&BTreeMap::from([(1_u8, values[0].clone())]), &["`untagged`"]);

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Narrow {
        Small(u8),
        Large(u64),
    }
    let read = through::<MessagePack, _>(&Narrow::Large(5)).unwrap().unwrap();
    assert_eq!(read, Narrow::Small(5));
}

/// The names are in the payload.
#[expect(unreachable_patterns, reason = "rustc sees it")]
fn names_that_clash() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Variants {
        #[serde(rename = "same")]
        One,
        #[serde(rename = "same")]
        Two,
    }
    assert_eq!(through::<MessagePack, _>(&Variants::Two).unwrap().unwrap(), Variants::One);
    carried::<Postcard, _>(&Variants::Two);
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Fields {
        zero: u8,
        one: u8,
        #[serde(rename = "one")]
        two: u8,
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Alias {
        #[serde(alias = "two")]
        one: u8,
        two: u8,
    }
    unreadable::<MessagePack, _>(&Fields { zero: 0, one: 1, two: 2 }, &["duplicate field `one`", "rename"]);
    unreadable::<MessagePack, _>(&Alias { one: 1, two: 2 }, &["duplicate field `one`", "rename"]);
    carried::<Postcard, _>(&Fields { zero: 0, one: 1, two: 2 });
    carried::<Postcard, _>(&Alias { one: 1, two: 2 });
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Sides {
        #[serde(default, rename(serialize = "one", deserialize = "two"))]
        one: u8,
    }
    assert_eq!(through::<MessagePack, _>(&Sides { one: 1 }).unwrap().unwrap(), Sides { one: 0 });
    carried::<Postcard, _>(&Sides { one: 1 });
}

fn enums() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Every {
        Unit,
        Newtype(u64),
        NewtypeUnit(()),
        NewtypeOption(Option<u8>),
        Tuple(u8, String),
        Struct { list: Vec<i16> },
        NoFields {},
        Nested(Box<Every>),
    }
    let values = [
        Every::Unit,
        Every::Newtype(u64::MAX),
        Every::NewtypeUnit(()),
        Every::NewtypeOption(None),
        Every::NewtypeOption(Some(1)),
        Every::Tuple(1, "x".into()),
        Every::Struct { list: vec![-1, 300] },
        Every::NoFields {},
        Every::Nested(Box::new(Every::Tuple(1, String::new()))),
    ];
    for value in &values {
        packed_as_json(value);
        packed_as_json(&Some(value.clone()));
        carried::<Postcard, _>(value);
        carried::<Postcard, _>(&Some(value.clone()));
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, postcard_schema::Schema)]
    enum Phase {
        Idle,
        Working(u8),
    }
    compact(&vec![Phase::Idle, Phase::Working(3)], json!(["Idle", {"Working": 3}]));

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, postcard_schema::Schema)]
    enum Open {
        Known,
        #[serde(other)]
        Other,
    }
    for value in [Open::Known, Open::Other] {
        packed_as_json(&value);
        compact(&value, serde_json::to_value(&value).unwrap());
    }
}

fn options_of_nothing() {
    let text = ["`Some` of a value that is null", "`None`", "an enum", "`Postcard`"];
    refused::<MessagePack, _>(&Some(None::<u8>), &text);
    refused::<MessagePack, _>(&Some(()), &text);
    refused::<MessagePack, _>(&Some(Some(None::<u8>)), &text);
    refused::<MessagePack, _>(&Some(Box::new(None::<String>)), &text);
    refused::<MessagePack, _>(&Some(Value::Null), &text);
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Wrapped(Option<u8>);
    refused::<MessagePack, _>(&Some(Wrapped(None)), &text);
    packed_as_json(&Some(Wrapped(Some(3))));
    packed_as_json(&Some(Some(3)));
    packed_as_json(&None::<Option<u8>>);
    let deep = (1_u8, vec![Some(Some(1_u8)), Some(None)]);
    refused::<MessagePack, _>(&deep, &["`[1][1]`, of type `Option<Option<u8>>`"]);
    compact(&Some(None::<u8>), Value::Null);
    compact(&Some(()), Value::Null);
    compact(&vec![Some(Some(1_u8)), Some(None), None], json!([1, null, null]));
    carried::<Postcard, _>(&Some(Wrapped(None)));
    carried::<Postcard, _>(&Some(Some(None::<u8>)));
    refused::<MessagePack, _>(&Some(Unit), &text);
    packed_as_json(&None::<Unit>);
    carried::<Postcard, _>(&Some(Unit));
    // The error names the place, wherever it is.
    fn refused_at<T: Serialize + DeserializeOwned>(value: &T, place: &str) {
        let text = [place, "`Some` of a value that is null", "an enum", "`Postcard`"];
        refused::<MessagePack, _>(value, &text);
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Field {
        other: u8,
        unit: Option<Unit>,
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Variants {
        Newtype(Option<Unit>),
        Tuple(u8, Option<Unit>),
        Struct { unit: Option<()> },
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Flat {
        id: u8,
        #[serde(flatten)]
        field: Field,
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        Field(Field),
        Variants(Variants),
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "t", content = "c")]
    enum Adjacent {
        Newtype(Option<Unit>),
    }
    let field = Field { other: 1, unit: Some(Unit) };
    refused_at(&field, "`unit`, of type `Option<Unit>`");
    refused_at(&vec![field.clone()], "`[0].unit`, of type `Option<Unit>`");
    refused_at(&vec![None, Some(Unit)], "`[1]`, of type `Option<Unit>`");
    refused_at(&BTreeMap::from([("x", Some(Unit))].map(|(key, unit)| (String::from(key), unit))), "`[0]`");
    refused_at(&Variants::Newtype(Some(Unit)), "`Newtype`, of type `Option<Unit>`");
    refused_at(&Variants::Tuple(1, Some(Unit)), "`[1]`, of type `Option<Unit>`");
    refused_at(&Variants::Struct { unit: Some(()) }, "`unit`, of type `Option<()>`");
    refused_at(&(1_u8, Some(Box::new(Unit))), "`[1]`, of type `Option<Unit>`");
    refused_at(&Flat { id: 1, field: field.clone() }, "`unit`, of type `Option<Unit>`");
    refused_at(&Tagged::Field(field), "`unit`, of type `Option<Unit>`");
    refused_at(&Tagged::Variants(Variants::Tuple(1, Some(Unit))), "`Tuple[1]`");
    refused_at(&Adjacent::Newtype(Some(Unit)), "`c`, of type `Option<Unit>`");
    refused_at(&Some(PhantomData::<u8>), "`Option<PhantomData<u8>>`");
    packed(&(Some([0_u8; 0]), Some(Wrapped(Some(1)))), json!([[], 1]));
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, postcard_schema::Schema)]
struct Unit;

fn units() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct NoFields {}
    packed(&(), Value::Null);
    packed_as_json(&Unit);
    packed_as_json(&NoFields {});
    packed_as_json(&PhantomData::<u8>);
    packed_as_json(&[0_u8; 0]);
    packed_as_json(&(Unit, (), [Unit]));
    // As `rmp_serde` writes them.
    assert_eq!(<MessagePack as Decode<Vec<Unit>>>::decode(&[0x91, 0x90]).unwrap(), [Unit]);
    // Where serde buffers contents.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        Nothing(Unit),
        Empty(Vec<u8>),
        One { unit: Unit, list: Vec<Unit> },
    }
    packed_as_json(&vec![
        Untagged::Nothing(Unit),
        Untagged::Empty(vec![]),
        Untagged::One { unit: Unit, list: vec![Unit] },
    ]);
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        Nothing(Unit),
        One { unit: Unit, ghost: PhantomData<u8> },
    }
    packed_as_json(&vec![Tagged::Nothing(Unit), Tagged::One { unit: Unit, ghost: PhantomData }]);
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "t", content = "c")]
    enum Adjacent {
        Nothing(Unit),
        Pair(Unit, u8),
    }
    packed_as_json(&vec![Adjacent::Nothing(Unit), Adjacent::Pair(Unit, 1)]);
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Flat {
        #[serde(flatten)]
        inner: Inner,
    }
    packed_as_json(&Flat { inner: Inner { units: vec![Unit], array: [1; 3] } });
    packed_as_json(&BTreeMap::from([("x", Unit)]).into_values().collect::<Vec<_>>());
    compact(&(), Value::Null);
    compact(&Unit, Value::Null);
    compact(&[0_u8; 0], json!([]));
    compact(&(7_u8, (), Unit), json!([7, null, null]));
    carried::<Postcard, _>(&NoFields {});
    carried::<Postcard, _>(&PhantomData::<u8>);
    carried::<Postcard, _>(&vec![Unit; 1_000]);
}

fn wide_integers() {
    type Wide = (i128, u128, Option<u128>, Vec<i128>, BTreeMap<u128, i128>);
    let value = |low, high| -> Wide { (low, high, Some(high), vec![low, -1], BTreeMap::from([(high, low)])) };
    let small = value(-300, 300);
    let shown = json!([-300, 300, 300, [-300, -1], {"300": -300}]);
    packed(&small, shown.clone());
    compact(&small, shown);
    let large = value(i128::MIN, u128::MAX);
    let (low, high) = ("-170141183460469231731687303715884105728", "340282366920938463463374607431768211455");
    let shown = json!([low, high, high, [low, -1], {high: low}]);
    packed(&large, shown.clone());
    compact(&large, shown);
    for shift in 0..128 {
        let number = 1_u128 << shift;
        carried::<MessagePack, _>(&(number, number - 1, number.cast_signed(), !number.cast_signed()));
        carried::<Postcard, _>(&(number, number - 1, number.cast_signed(), !number.cast_signed()));
    }
    // As `rmp_serde` writes them.
    let theirs = rmp_serde::to_vec_named(&(7_u128, -7_i128, u128::MAX)).unwrap();
    let read: (u128, i128, u128) = MessagePack::decode(&theirs).unwrap();
    assert_eq!(read, (7, -7, u128::MAX));
    assert!(<MessagePack as Decode<u128>>::decode(&[0xff]).is_err(), "-1");

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u128),
        Text(String),
        Bytes(Bytes),
    }
    for number in [7, u128::MAX] {
        unreadable::<MessagePack, _>(&Either::Number(number), &["Either", "128-bit integers"]);
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Flat {
        direct: u128,
        #[serde(flatten)]
        inner: InFlat,
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct InFlat {
        #[serde(default)]
        inner: u128,
    }
    let flat = Flat { direct: u128::MAX, inner: InFlat { inner: 3 } };
    unreadable::<MessagePack, _>(&flat, &["128 is not supported", "`flatten`"]);
}

fn odd_floats() {
    for number in [f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, -0.0] {
        carried::<MessagePack, _>(&number);
        carried::<Postcard, _>(&number);
    }
    packed(&vec![f32::INFINITY, f32::NEG_INFINITY], json!(["inf", "-inf"]));
    compact(&vec![f64::INFINITY, f64::NEG_INFINITY], json!(["inf", "-inf"]));
    for bits in [0x7ff8_0000_0000_0001, f64::NAN.to_bits()] {
        let number = f64::from_bits(bits);
        let read = through::<MessagePack, _>(&number).unwrap().unwrap();
        assert_eq!(read.to_bits(), bits);
        let read = through::<Postcard, _>(&vec![Some(number)]).unwrap().unwrap();
        assert_eq!(read[0].unwrap().to_bits(), bits);
    }
}

/// As `serde_bytes` does it.
#[derive(Clone, Debug, PartialEq)]
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Bytes;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.into()))
            }
        }
        deserializer.deserialize_byte_buf(Visitor)
    }
}

fn bytes_and_texts() {
    for len in [0, 1, 16, 300] {
        let bytes = Bytes((0..len).map(|index| u8::try_from(index % 256).unwrap()).collect());
        packed_as_json(&bytes);
        packed_as_json(&Some(bytes.clone()));
        carried::<Postcard, _>(&bytes);
        carried::<Postcard, _>(&vec![bytes]);
    }
    packed_as_json(&([7_u8; 16], vec![7_u8; 3]));
    compact(&([7_u8; 16], vec![7_u8; 3]), json!([vec![7; 16], vec![7; 3]]));
    packed_as_json(&('ü', String::from("ü"), PathBuf::from("/tmp/ü")));
    compact(&('ü', String::from("ü"), PathBuf::from("/tmp/ü")), json!(["ü", "ü", "/tmp/ü"]));
    let texts: (Box<str>, Box<std::path::Path>, std::ffi::CString, std::ffi::OsString) =
        ("ü".into(), PathBuf::from("/ü").into(), c"ü".into(), "ü".into());
    carried::<MessagePack, _>(&texts);
    carried::<Postcard, _>(&texts);
    let odd = std::os::unix::ffi::OsStringExt::from_vec(vec![0xff]);
    let odd = (1_u8, PathBuf::from(std::ffi::OsString::clone(&odd)));
    refused::<MessagePack, _>(&odd, &["`[1]`, of type `PathBuf`", "invalid UTF-8"]);
    refused::<Postcard, _>(&odd, &["`[1]`, of type `PathBuf`", "invalid UTF-8"]);
    // An extension of MessagePack as `rmp_serde` has it.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename = "_ExtStruct")]
    struct Extension((i8, Bytes));
    packed(&Some(Extension((5, Bytes(vec![9; 3])))), json!([5, [9, 9, 9]]));
}

fn forms_for_people() {
    let addresses: (IpAddr, SocketAddr) = (Ipv4Addr::LOCALHOST.into(), "[::1]:80".parse().unwrap());
    packed(&addresses, json!(["127.0.0.1", "[::1]:80"]));
    carried::<Postcard, _>(&addresses);
    let mut scratch = Vec::new();
    assert_eq!(Postcard::encode(&addresses.0, &mut scratch).unwrap(), [0, 127, 0, 0, 1]);
    // What serde leaves out.
    let scoped = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 80, 1, 2);
    let read = through::<MessagePack, _>(&scoped).unwrap().unwrap();
    assert_eq!((read.flowinfo(), read.scope_id()), (0, 2));
    let read = through::<Postcard, _>(&scoped).unwrap().unwrap();
    assert_eq!((read.flowinfo(), read.scope_id()), (0, 0));
}

fn odd_keys() {
    #[derive(
        Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, postcard_schema::Schema,
    )]
    enum Key {
        One,
        Two(u8),
    }
    let by_enum = BTreeMap::from([(Key::One, 1_u8), (Key::Two(7), 2)]);
    packed(&by_enum, json!({"One": 1, "{\"Two\":7}": 2}));
    compact(&by_enum, json!({"One": 1, "{\"Two\":7}": 2}));
    let by_pair = BTreeMap::from([((1_u8, true), ()), ((1, false), ())]);
    packed(&by_pair, json!({"[1,false]": null, "[1,true]": null}));
    compact(&by_pair, json!({"[1,false]": null, "[1,true]": null}));
    let by_option = BTreeMap::from([(None, 1_u8), (Some(-5_i64), 2)]);
    packed(&by_option, json!({"null": 1, "-5": 2}));
    compact(&by_option, json!({"null": 1, "-5": 2}));
    let by_bool = BTreeMap::from([(true, 1_u8)]);
    packed_as_json(&by_bool);
    packed_as_json(&BTreeMap::from([('x', 1_u8)]));
    packed_as_json(&BTreeMap::from([(-7_i8, 1_u8)]));
    carried::<MessagePack, _>(&BTreeMap::from([(vec![1_u8], ())]));
    carried::<MessagePack, _>(&BTreeMap::from([(String::new(), BTreeMap::from([((), 1_u8)]))]));
    // The keys 1 and "1" are both "1" as JSON.
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Mixed {
        Number(u8),
        Text(String),
    }
    let mixed = BTreeMap::from([(Mixed::Number(1), 1_u8), (Mixed::Text("1".into()), 2)]);
    carried::<MessagePack, _>(&mixed);
    let mut scratch = Vec::new();
    let payload = MessagePack::encode(&mixed, &mut scratch).unwrap();
    let error = decode("message-pack", None, payload).unwrap_err().to_string();
    assert!(error.contains("two keys that are \"1\""), "{error}");
}

fn collections() {
    let lists = (vec![1_u8, 2], VecDeque::from([3_u16]), Box::new([4_i32, 5]), Cow::<str>::from("six"));
    packed_as_json(&lists);
    carried::<Postcard, _>(&lists);
    let times = (Duration::from_millis(1_500), SystemTime::UNIX_EPOCH + Duration::from_secs(1));
    packed_as_json(&times);
    carried::<Postcard, _>(&times);
    // Maps and sets that come out in another order are the same.
    let map: HashMap<String, u32> = (0..100).map(|number| (number.to_string(), number * 7)).collect();
    let set: HashSet<u64> = (0..100).collect();
    carried::<MessagePack, _>(&(map.clone(), set.clone()));
    carried::<Postcard, _>(&(map, set));
    packed_as_json(&std::cell::Cell::new(5_u8));
    let odd = (
        LinkedList::from([1_u8]),
        BTreeSet::from([None, Some('x')]),
        (1_u8..=3, std::ops::Bound::Included(3_u8), std::ops::Bound::<u8>::Unbounded),
        (std::num::Wrapping(3_u8), std::num::Saturating(-4_i16), std::num::NonZeroU128::MAX),
    );
    carried::<MessagePack, _>(&odd);
    carried::<Postcard, _>(&odd);
    let early = SystemTime::UNIX_EPOCH - Duration::from_nanos(1);
    refused::<MessagePack, _>(&early, &["`SystemTime`", "later than UNIX_EPOCH"]);
    refused::<Postcard, _>(&early, &["`SystemTime`", "later than UNIX_EPOCH"]);
    packed_as_json(&(1_u8..7, std::num::NonZeroU8::MIN, std::cmp::Reverse(3_u8), Ok::<u8, u8>(1)));
    carried::<Postcard, _>(&(1_u8..7, std::num::NonZeroU8::MIN, std::cmp::Reverse(3_u8), Ok::<u8, u8>(1)));
}

/// A list that does not know its length.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(transparent)]
struct Stream(Vec<u16>);

impl Serialize for Stream {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        self.0.iter().try_for_each(|number| list.serialize_element(number))?;
        list.end()
    }
}

/// A map that does not know its length.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(transparent)]
struct Pairs(BTreeMap<String, Stream>);

impl Serialize for Pairs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.0.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
        map.end()
    }
}

/// Pairs that are written as a map, so that keys may be equal.
#[derive(Clone, Debug, PartialEq)]
struct Headers(Vec<(String, u8)>);

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().filter(|_| true).map(|(key, value)| (key, value)))
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Headers, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Headers;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("headers")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Headers(pairs))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

fn unknown_lengths() {
    let headers = Headers(vec![("a".into(), 1), ("b".into(), 2), ("a".into(), 3)]);
    carried::<MessagePack, _>(&(headers.clone(), vec![headers]));
    for len in [0, 1, 15, 16, 300, 70_000] {
        let list = Stream((0..len).map(|number| u16::try_from(number % 65_536).unwrap()).collect());
        packed_as_json(&list);
        packed_as_json(&(list.clone(), 7_u8, list.clone()));
        let pairs = (0..len.min(300)).map(|number| (number.to_string(), list.clone()));
        let pairs = Pairs(pairs.take(20).collect());
        packed_as_json(&(vec![pairs.clone(), pairs], 7_u8));
        refused::<Postcard, _>(&(1_u8, list), &["`[1]`, of type `Stream`", "length in advance"]);
    }
}

fn values_of_any_type() {
    let value = json!({"a": [1, -2, 0.5, "x", null, true, {"b": {}}], "c": u64::MAX});
    packed_as_json(&value);
    packed_as_json(&Some(value.clone()));
    refused::<Postcard, _>(&value, &["`serde_json::Value`", "`MessagePack`"]);
    refused::<Postcard, _>(&Value::Null, &["`serde_json::Value`"]);
    refused::<Postcard, _>(&(1_u8, vec![Value::Bool(true)]), &["`serde_json::Value`"]);
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Tree {
    children: Vec<Tree>,
}

fn tree(levels: usize) -> Tree {
    (1..levels).fold(Tree { children: vec![] }, |tree, _| Tree { children: vec![tree] })
}

/// An array in arrays.
fn arrays(levels: usize) -> Value {
    (1..levels).fold(json!([]), |value, _| json!([value]))
}

fn levels() {
    carried::<MessagePack, _>(&tree(64));
    carried::<Postcard, _>(&tree(64));
    for levels in [65, 70] {
        refused::<MessagePack, _>(&tree(levels), &["`Tree`", "64 levels", "children[0]", "by index"]);
        refused::<Postcard, _>(&tree(levels), &["`Tree`", "64 levels", "children[0]", "by index"]);
    }
    let error = MessagePack::encode(&tree(200), &mut Vec::new()).unwrap_err();
    let error = error.downcast_ref::<EncodeError>().unwrap();
    assert_eq!(error.cap(), Some(CapError::TooDeep));
    assert!(error.to_string().len() < 300, "{error}");
    packed_as_json(&arrays(64));
    refused::<MessagePack, _>(&arrays(65), &["64 levels"]);
    levels_that_are_buffered();
}

/// Readers don't know the types inside of `tag`, `untagged`, `flatten` and unknown fields, where a
/// level may have three arrays and maps.
fn levels_that_are_buffered() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        Leaf,
        Node { children: Vec<Tagged> },
        Map { by_name: BTreeMap<String, Tagged> },
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        Node { children: (Vec<Untagged>, u8) },
        Plain(Plain),
        Leaf {},
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Plain {
        Leaf,
        Tuple(Vec<Plain>, u8),
        Struct { rest: Vec<Plain> },
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Flat {
        #[serde(flatten)]
        inner: Next,
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Next {
        next: Option<Box<Flat>>,
        plain: Option<Plain>,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Knows {
        number: u8,
        plain: Plain,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    struct Ignores {
        number: u8,
    }
    /// Refused beyond so many levels, and carried up to there.
    fn is_carried<T: Debug + PartialEq + Serialize + DeserializeOwned>(most: usize, make: fn(usize) -> T) {
        for levels in [1, 2, 31, 32, 33, 34, 50, 63, 64].into_iter().filter(|levels| *levels <= most) {
            carried::<MessagePack, _>(&make(levels));
        }
        refused::<MessagePack, _>(&make(most + 1), &["64 levels"]);
    }
    fn plain(levels: usize) -> Plain {
        (1..levels).fold(Plain::Leaf, |plain, level| match level % 2 {
            0 => Plain::Tuple(vec![plain], 1),
            _ => Plain::Struct { rest: vec![plain] },
        })
    }
    is_carried(64, |levels| {
        (1..levels).fold(Tagged::Leaf, |tagged, level| match level % 3 {
            0 => Tagged::Map { by_name: BTreeMap::from([("x".into(), tagged)]) },
            _ => Tagged::Node { children: vec![tagged] },
        })
    });
    // A list in a pair is a level.
    is_carried(32, |levels| {
        (1..levels).fold(Untagged::Leaf {}, |inner, _| Untagged::Node { children: (vec![inner], 1) })
    });
    is_carried(64, plain);
    is_carried(64, |levels| Untagged::Plain(plain(levels)));
    is_carried(62, |levels| Flat { inner: Next { next: None, plain: Some(plain(levels)) } });
    is_carried(32, |levels| {
        let end = Flat { inner: Next { next: None, plain: None } };
        (1..levels).fold(end, |flat, _| Flat { inner: Next { next: Some(Box::new(flat)), plain: None } })
    });
    let mut scratch = Vec::new();
    let deepest = Knows { number: 7, plain: plain(63) };
    let payload = MessagePack::encode(&deepest, &mut scratch).unwrap();
    assert_eq!(<MessagePack as Decode<Ignores>>::decode(payload).unwrap(), Ignores { number: 7 });
}

fn elements_without_bytes() {
    // The length takes two bytes.
    carried::<Postcard, _>(&vec![(); 1_026]);
    refused::<Postcard, _>(&vec![(); 1_027], &["`Vec<()>`", "more elements", "the number of"]);
    // The writer, which knows the type by now, refuses no more and no less than readers.
    for len in 1_000..1_050 {
        let lists = vec![vec![(); len], vec![], vec![(); 3]];
        let theirs = postcard::to_stdvec(&lists).unwrap();
        let is_read = <Postcard as Decode<Vec<Vec<()>>>>::decode(&theirs).is_ok();
        assert_eq!(Postcard::encode(&lists, &mut Vec::new()).is_ok(), is_read, "{len}");
    }
    refused::<Postcard, _>(&vec![vec![Unit; 1_000]; 100], &["`Vec<Vec<Unit>>`", "more elements"]);
    packed_as_json(&vec![(); 100_000]);
}

fn borrowed() {
    #[derive(Serialize)]
    struct Borrowed<'a> {
        name: &'a str,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    struct Owned {
        name: String,
    }
    let mut scratch = Vec::new();
    let payload = MessagePack::encode(&Borrowed { name: "seven" }, &mut scratch).unwrap();
    assert_eq!(<MessagePack as Decode<Owned>>::decode(payload).unwrap(), Owned { name: "seven".into() });
    assert_eq!(decode("message-pack", None, payload), Ok(json!({"name": "seven"})));
}

/// Announces another number of elements than it has.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Liar(Vec<u8>);

impl Serialize for Liar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(2))?;
        self.0.iter().try_for_each(|number| list.serialize_element(number))?;
        list.end()
    }
}

/// Announces another number of fields than it has.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Shorter {
    one: u8,
}

impl Serialize for Shorter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Shorter", 2)?;
        fields.serialize_field("one", &self.one)?;
        fields.end()
    }
}

/// A map of keys and values, where a step writes a key (`true`) or a value.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Halves(Vec<bool>);

impl Serialize for Halves {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let keys = self.0.iter().filter(|is_key| **is_key).count();
        let mut map = serializer.serialize_map(Some(keys))?;
        for (number, is_key) in self.0.iter().enumerate() {
            match is_key {
                true => map.serialize_key(&number)?,
                false => map.serialize_value(&number)?,
            }
        }
        map.end()
    }
}

/// Writes 64 bits and reads 8.
#[derive(Clone, Debug, PartialEq)]
struct Narrow(u64);

impl Serialize for Narrow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for Narrow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Narrow, D::Error> {
        u8::deserialize(deserializer).map(|number| Narrow(number.into()))
    }
}

/// Writes bytes and reads a text.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Text(String);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0.as_bytes())
    }
}

/// Reads its numbers in another order.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Swapped(u8, u8);

impl<'de> Deserialize<'de> for Swapped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Swapped, D::Error> {
        <(u8, u8)>::deserialize(deserializer).map(|(one, two)| Swapped(two, one))
    }
}

/// Writes a list as a tuple.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(transparent)]
struct Poly(Vec<u8>);

impl Serialize for Poly {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple_struct("Poly", self.0.len())?;
        self.0.iter().try_for_each(|number| tuple.serialize_field(number))?;
        tuple.end()
    }
}

/// Reads pairs where it has written a tuple: Postcard has the same bytes for both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "(u8, u8, u8)", from = "((u8, u8), u8)")]
struct Regrouped(u8, u8, u8);

impl From<Regrouped> for (u8, u8, u8) {
    fn from(it: Regrouped) -> (u8, u8, u8) {
        (it.0, it.1, it.2)
    }
}

impl From<((u8, u8), u8)> for Regrouped {
    fn from(((one, two), three): ((u8, u8), u8)) -> Regrouped {
        Regrouped(one, two, three)
    }
}

/// Enums that write a variant, and read its number.
macro_rules! numbered {
    ($($name:ident $kind:ident $from:literal)*) => {$(
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(try_from = $from)]
        enum $name {
            Zero,
            One,
        }

        impl TryFrom<$kind> for $name {
            type Error = String;

            fn try_from(number: $kind) -> Result<$name, String> {
                [$name::Zero, $name::One].into_iter().nth(number as usize).ok_or("another number".into())
            }
        }
    )*};
}

numbered! {
    Numbered u32 "u32"
    Byte u8 "u8"
}

/// Enums that write a number, whose readers ask for a variant.
macro_rules! modes {
    ($($name:ident $kind:ident $into:literal $idle:literal $busy:literal)*) => {$(
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(into = $into)]
        enum $name {
            Idle,
            Busy,
        }

        impl From<$name> for $kind {
            fn from(it: $name) -> $kind {
                if it == $name::Idle { $idle } else { $busy }
            }
        }
    )*};
}

modes! {
    Mode u32 "u32" 0 1
    Small u8 "u8" 0 1
    Turned u8 "u8" 1 0
    Signed i32 "i32" 0 1
}

fn wrong_by_hand() {
    carried::<Postcard, _>(&vec![Numbered::One, Numbered::Zero]);
    carried::<Postcard, _>(&vec![Byte::One, Byte::Zero]);
    let map = || (0..50_u8).map(|it| (it, Mode::Busy)).collect::<HashMap<_, _>>();
    carried::<Postcard, _>(&(Mode::Idle, map(), vec![Mode::Busy, Mode::Idle]));
    carried::<Postcard, _>(&vec![Small::Busy, Small::Idle]);
    let text = "written as `u8` and read as `variant`";
    refused::<Postcard, _>(&Turned::Busy, &["`Turned`", text]);
    refused::<Postcard, _>(&(Turned::Idle, 7), &["Turned", text]);
    refused::<Postcard, _>(&Signed::Idle, &["`Signed`", "written as `i32` and read as `variant`"]);
    carried::<Postcard, _>(&vec![Regrouped(1, 2, 3), Regrouped(4, 5, 6)]);
    packed(&Poly(vec![1; 3]), json!([1, 1, 1]));
    packed(&Poly(vec![1; 5]), json!([1, 1, 1, 1, 1]));
    refused::<MessagePack, _>(&Poly(vec![1; 4]), &["4 values here and had 5", "use `serialize_seq`"]);
    refused::<Postcard, _>(&Poly(vec![1, 7]), &["`Poly`", "do not agree"]);
    refused::<Postcard, _>(&Text("seven".into()), &["`Text`", "written as `bytes` and read as `str`"]);
    // What a codec can't see.
    assert_eq!(through::<Postcard, _>(&Swapped(1, 2)).unwrap().unwrap(), Swapped(2, 1));
    for list in [vec![], vec![1], vec![1, 2, 3]] {
        let text = format!("announces 2 elements or fields and writes {}", list.len());
        refused::<MessagePack, _>(&(0_u8, Liar(list.clone())), &["`[1]`, of type `Liar`", &text]);
        refused::<Postcard, _>(&(0_u8, Liar(list)), &["`[1]`, of type `Liar`", &text]);
    }
    refused::<MessagePack, _>(&Shorter { one: 1 }, &["`Shorter`", "announces 2"]);
    refused::<Postcard, _>(&Shorter { one: 1 }, &["`Shorter`", "announces 2"]);
    for steps in [vec![true], vec![false], vec![true, true, false], vec![true, false, false, true]] {
        refused::<MessagePack, _>(&(1_u8, Halves(steps.clone())), &["`[1]`, of type `Halves`", "without a"]);
        refused::<Postcard, _>(&(1_u8, Halves(steps)), &["`[1]`, of type `Halves`", "without a"]);
    }
    // A small number is read by chance, and is refused all the same.
    refused::<Postcard, _>(&Narrow(3), &["`Narrow`", "written as `u64` and read as `u8`"]);
    refused::<Postcard, _>(&Narrow(300), &["`Narrow`", "left over"]);
    unreadable::<MessagePack, _>(&Narrow(300), &["300", "one type"]);
}

/// As two versions of a crate in one program, or a macro that is used twice.
#[test]
fn types_of_one_name_do_not_share_what_is_known() {
    macro_rules! of_one_name {
        ($($fields:tt)*) => {{
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
            struct Twin($($fields)*);
            (std::any::type_name::<Twin>(), Twin)
        }};
    }
    let (name, three) = of_one_name!(u8, u8, u8);
    let (same, two) = of_one_name!(u8, u16);
    let (also, skips) = of_one_name!(
        #[serde(skip_deserializing)]
        u8,
        u8,
        u8
    );
    assert_eq!([name, name], [same, also]);
    for _ in 0..2 {
        packed_as_json(&vec![three(1, 2, 3)]);
        packed_as_json(&vec![two(1, 2)]);
        packed_as_json(&(two(1, 2), three(1, 2, 3)));
        carried::<Postcard, _>(&vec![three(1, 2, 3)]);
        refused::<Postcard, _>(&vec![skips(1, 2, 3)], &["written with 3 values and read with 2"]);
    }
    macro_rules! with_names {
        ($($fields:tt)*) => {{
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
            struct Named {
                $($fields)*
                one: u8,
                two: u8,
            }
            Named { one: 128, two: 0 }
        }};
    }
    carried::<Postcard, _>(&Some(with_names!()));
    refused::<Postcard, _>(&Some(with_names!(#[serde(skip_deserializing)])), &["field `one` of `Named`"]);
}

/// A channel never carries a schema by which its states would be shown as others.
#[test]
fn a_schema_that_does_not_describe_the_states_is_refused() {
    fn open<T>() -> Result<(), CreateError>
    where
        T: Serialize + DeserializeOwned + postcard_schema::Schema,
    {
        let namespace = Namespace::in_process("schema").unwrap();
        let writer = namespace.writer_builder::<T>("state").codec::<Postcard>().with_schema().open();
        writer.map(drop)
    }
    #[track_caller]
    fn is_refused<T: Serialize + DeserializeOwned + postcard_schema::Schema>() {
        let error = open::<T>().unwrap_err();
        assert!(matches!(error, CreateError::SchemaRefused { .. }), "{error}");
        assert!(error.to_string().contains("`skip`"), "{error}");
    }
    #[derive(Serialize, Deserialize, postcard_schema::Schema)]
    struct Skips {
        #[serde(skip)]
        _cache: u8,
        _kept: Vec<u32>,
    }
    is_refused::<Skips>();
    #[derive(Serialize, Deserialize, postcard_schema::Schema)]
    enum Deep {
        _First,
        _Second(Option<Vec<BTreeMap<u8, Skips>>>),
    }
    is_refused::<Deep>();
    is_refused::<(String, [Deep; 2])>();
    mod text {
        use super::*;
        pub fn serialize<S: Serializer>(value: &u32, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(value)
        }
        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
            String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
        }
    }
    #[derive(Serialize, Deserialize, postcard_schema::Schema)]
    struct With {
        #[serde(with = "text")]
        number: u32,
        next: bool,
    }
    is_refused::<With>();
    #[derive(Serialize, Deserialize, postcard_schema::Schema)]
    enum Shifts {
        _One(u8),
        #[serde(skip)]
        _Two,
        _Three(String),
    }
    is_refused::<Shifts>();

    // Odd values, other names and many variants are no reason.
    #[derive(Serialize, Deserialize, postcard_schema::Schema)]
    #[serde(rename_all = "SCREAMING-KEBAB-CASE")]
    struct Odd {
        never_zero: std::num::NonZeroU64,
        times: (Duration, Option<char>, f32, f64, i128, bool),
        outcome: Result<[u16; 3], String>,
        nothing: (),
        sets: Vec<BTreeSet<i8>>,
    }
    open::<Odd>().unwrap();

    // What no sample shows.
    mod wide {
        use super::*;
        pub fn serialize<S: Serializer>(value: &u32, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_u64((*value).into())
        }
        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
            u64::deserialize(deserializer)?.try_into().map_err(serde::de::Error::custom)
        }
    }
    #[derive(Serialize, Deserialize, postcard_schema::Schema)]
    struct Wide {
        #[serde(with = "wide")]
        number: u32,
    }
    open::<Wide>().unwrap();
    #[derive(Serialize, Deserialize, postcard_schema::Schema)]
    struct Long([[[Skips; 32]; 32]; 32]);
    open::<Long>().unwrap();
    open::<[[[[u8; 32]; 32]; 32]; 32]>().unwrap();
}

/// A type whose encoding is of the moment, such as an age, is no other state.
#[test]
fn a_type_that_encodes_the_time_is_carried() {
    #[derive(Debug)]
    struct Age(std::time::Instant);
    impl Serialize for Age {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_f64(self.0.elapsed().as_secs_f64())
        }
    }
    impl<'de> Deserialize<'de> for Age {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Age, D::Error> {
            let age = Duration::from_secs_f64(f64::deserialize(deserializer)?);
            Ok(Age(std::time::Instant::now().checked_sub(age).unwrap()))
        }
    }
    let age = vec![Age(std::time::Instant::now())];
    assert!(Postcard::encode(&age, &mut Vec::new()).is_ok());
    assert!(MessagePack::encode(&age, &mut Vec::new()).is_ok());
}

/// The same, if its length changes while the writer tries whether it can be read.
#[test]
fn a_time_that_gets_longer_is_carried() {
    static CLOCK: AtomicU64 = AtomicU64::new(1_000_000);
    /// Each encoding takes one unit of time.
    struct Age<const AGE: u64>(u64);
    impl<const AGE: u64> Serialize for Age<AGE> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_u64(CLOCK.fetch_add(1, Ordering::Relaxed) - self.0)
        }
    }
    impl<'de, const AGE: u64> Deserialize<'de> for Age<AGE> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let age = u64::deserialize(deserializer)?;
            Ok(Age(CLOCK.load(Ordering::Relaxed) - age))
        }
    }
    fn check<const AGE: u64>() {
        let age = Age::<AGE>(CLOCK.load(Ordering::Relaxed) - AGE);
        assert!(Postcard::encode(&age, &mut Vec::new()).is_ok(), "{AGE}");
    }
    // From 128 on, a number takes two bytes.
    check::<123>();
    check::<124>();
    check::<125>();
    check::<126>();
    check::<127>();
}

/// Only readers would run `Deserialize` otherwise.
#[test]
fn a_panic_in_the_writers_trial_is_an_error() {
    #[derive(Debug, Serialize, postcard_schema::Schema)]
    struct Picky(u8);
    impl<'de> Deserialize<'de> for Picky {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Picky, D::Error> {
            let number = u8::deserialize(deserializer)?;
            assert_eq!(number, 7, "only seven");
            Ok(Picky(number))
        }
    }
    #[derive(Debug, Serialize)]
    struct Large(Vec<u8>);
    impl<'de> Deserialize<'de> for Large {
        fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Large, D::Error> {
            panic!("too large")
        }
    }
    refused::<Postcard, _>(&Picky(3), &["`Picky`", "would panic", "only seven"]);
    assert!(Postcard::encode(&Picky(7), &mut Vec::new()).is_ok());
    refused::<Postcard, _>(&Large(vec![1; 100_000]), &["`Large`", "would panic", "too large"]);
    // A sample of a schema need not be a state.
    let namespace = Namespace::in_process("picky").unwrap();
    let builder = namespace.writer_builder::<Picky>("state").codec::<Postcard>().with_schema();
    builder.open().unwrap().publish(&Picky(7)).unwrap();
}

/// A reader takes such a state by value, its writer need not.
#[test]
fn a_large_state_is_published_from_a_small_stack() {
    const LEN: usize = 4 << 20;
    #[derive(Clone, Copy, bytemuck::Zeroable)]
    #[repr(transparent)]
    struct Frame([u8; LEN]);
    impl Serialize for Frame {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(&self.0)
        }
    }
    impl<'de> Deserialize<'de> for Frame {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Frame, D::Error> {
            let bytes = Bytes::deserialize(deserializer)?;
            Ok(Frame(bytes.0.try_into().expect("a whole frame")))
        }
    }
    fn on_stack<R: Send + 'static>(len: usize, work: impl FnOnce() -> R + Send + 'static) -> R {
        std::thread::Builder::new().stack_size(len).spawn(work).unwrap().join().unwrap()
    }
    let namespace = Namespace::in_process("frame").unwrap();
    let theirs = namespace.clone();
    let writer = on_stack(2 << 20, move || {
        let mut frame: Box<Frame> = bytemuck::zeroed_box();
        frame.0[LEN - 1] = 7;
        let mut writer = theirs.writer_builder::<Frame>("inline").codec::<Postcard>().open().unwrap();
        writer.publish(&frame).unwrap();
        let mut boxed = theirs.writer_builder::<Box<Frame>>("boxed").codec::<Postcard>().open().unwrap();
        boxed.publish(&frame).unwrap();
        (writer, boxed)
    });
    let last = on_stack(64 * LEN, move || {
        let mut reader = namespace.reader_builder::<Frame>("inline").codec::<Postcard>().open().unwrap();
        reader.snapshot().unwrap().0[LEN - 1]
    });
    assert_eq!(last, 7);
    drop(writer);
}

/// Every form of nesting, with what JSON lacks, in an order that is not that of the values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Anything {
    Nothing,
    Wide(i128, u128),
    Numbers(u8, i16, u32, i64, f32, f64),
    Text(String, char, Bytes),
    Option(Option<Box<Anything>>),
    Options(Option<Option<u8>>, Option<()>, Option<Unit>),
    List(Vec<Anything>),
    Map(BTreeMap<i64, Anything>),
    Names(BTreeMap<String, Anything>),
    Pair(Box<(Anything, Anything)>),
    Fields { one: Box<Anything>, two: Inner },
    People(IpAddr),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Inner {
    units: Vec<Unit>,
    array: [u16; 3],
}

fn anything() -> impl Strategy<Value = Anything> {
    let inner =
        (0_usize..3, any::<[u16; 3]>()).prop_map(|(units, array)| Inner { units: vec![Unit; units], array });
    let unit = any::<Option<()>>().prop_map(|unit| unit.map(|()| Unit));
    let leaf = prop_oneof![
        Just(Anything::Nothing),
        any::<(i128, u128)>().prop_map(|(one, two)| Anything::Wide(one, two)),
        any::<(i64, u64)>().prop_map(|(one, two)| Anything::Wide(one.into(), two.into())),
        any::<(u8, i16, u32, i64)>()
            .prop_map(|(one, two, three, four)| Anything::Numbers(one, two, three, four, 0.5, -1e300)),
        (".*", any::<char>(), any::<Vec<u8>>()).prop_map(|(text, letter, bytes)| Anything::Text(
            text,
            letter,
            Bytes(bytes)
        )),
        (any::<Option<Option<u8>>>(), any::<Option<()>>(), unit)
            .prop_map(|(one, two, three)| Anything::Options(one, two, three)),
        any::<[u8; 4]>().prop_map(|address| Anything::People(address.into())),
    ];
    leaf.prop_recursive(5, 40, 4, move |part| {
        prop_oneof![
            proptest::option::of(part.clone()).prop_map(|part| Anything::Option(part.map(Box::new))),
            proptest::collection::vec(part.clone(), 0..4).prop_map(Anything::List),
            proptest::collection::btree_map(any::<i64>(), part.clone(), 0..4).prop_map(Anything::Map),
            proptest::collection::btree_map(".*", part.clone(), 0..4).prop_map(Anything::Names),
            (part.clone(), part.clone()).prop_map(|pair| Anything::Pair(Box::new(pair))),
            (part, inner.clone()).prop_map(|(one, two)| Anything::Fields { one: Box::new(one), two }),
        ]
    })
}

/// Whether the value has a `Some` of null.
fn is_ambiguous(value: &Anything) -> bool {
    match value {
        Anything::Options(one, two, three) => *one == Some(None) || two.is_some() || three.is_some(),
        Anything::Option(part) => part.as_deref().is_some_and(is_ambiguous),
        Anything::List(parts) => parts.iter().any(is_ambiguous),
        Anything::Map(parts) => parts.values().any(is_ambiguous),
        Anything::Names(parts) => parts.values().any(is_ambiguous),
        Anything::Pair(pair) => is_ambiguous(&pair.0) || is_ambiguous(&pair.1),
        Anything::Fields { one, .. } => is_ambiguous(one),
        _ => false,
    }
}

/// What skips a field by its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Skips {
    Tuple(#[serde(skip_serializing_if = "Option::is_none")] Option<u8>, Vec<u8>, u8),
    Struct(InSkips),
    Pair(u8, #[serde(skip_serializing_if = "Vec::is_empty")] Vec<u8>),
    Fields {
        #[serde(skip_serializing_if = "Option::is_none", default)]
        one: Option<u8>,
        two: Vec<Skips>,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct InSkips(#[serde(skip_serializing_if = "Vec::is_empty")] Vec<u8>, u8, Option<Box<Skips>>);

fn skips() -> impl Strategy<Value = Skips> {
    let small = || 0_u8..3;
    let list = move || proptest::collection::vec(small(), 0..3);
    let option = move || proptest::option::of(small());
    let leaf = prop_oneof![
        (option(), list(), small()).prop_map(|(one, two, three)| Skips::Tuple(one, two, three)),
        (small(), list()).prop_map(|(one, two)| Skips::Pair(one, two)),
    ];
    leaf.prop_recursive(3, 12, 3, move |part| {
        let inner = proptest::option::of(part.clone().prop_map(Box::new));
        prop_oneof![
            (list(), small(), inner).prop_map(|(one, two, three)| Skips::Struct(InSkips(one, two, three))),
            (option(), proptest::collection::vec(part, 0..3))
                .prop_map(|(one, two)| Skips::Fields { one, two }),
        ]
    })
}

proptest! {
    /// No state is read as another one, whichever came before it.
    #[test]
    fn a_state_that_skips_fields_is_carried_or_no_reader_takes_it(state in skips()) {
        let mut scratch = Vec::new();
        if let Ok(payload) = Postcard::encode(&state, &mut scratch) {
            prop_assert_eq!(&<Postcard as Decode<Skips>>::decode(payload).unwrap(), &state);
        }
        if let Ok(payload) = MessagePack::encode(&state, &mut scratch)
            && let Ok(read) = <MessagePack as Decode<Skips>>::decode(payload)
        {
            prop_assert_eq!(read, state);
        }
    }

    /// What was published is read as an equal value, or nothing was published.
    #[test]
    fn any_value_is_carried_or_refused(value in anything()) {
        let mut scratch = Vec::new();
        let payload = Postcard::encode(&value, &mut scratch).unwrap();
        prop_assert_eq!(payload, postcard::to_stdvec(&value).unwrap(), "the crate's bytes");
        prop_assert_eq!(&<Postcard as Decode<Anything>>::decode(payload).unwrap(), &value);
        match MessagePack::encode(&value, &mut scratch) {
            Ok(payload) => {
                prop_assert!(!is_ambiguous(&value));
                prop_assert_eq!(&<MessagePack as Decode<Anything>>::decode(payload).unwrap(), &value);
                prop_assert!(decode("message-pack", None, payload).is_ok());
            }
            Err(error) => prop_assert!(is_ambiguous(&value), "{}", error),
        }
    }

    /// Bytes are those of `rmp_serde` where it carries a state.
    #[test]
    fn message_pack_is_that_of_its_crate(
        numbers in any::<(i8, u16, i64, Option<u64>)>(),
        floats in any::<(f32, f64)>(),
        texts in any::<(String, char, Vec<u8>)>(),
        maps in any::<(BTreeMap<String, Vec<u16>>, [Result<u8, String>; 2])>(),
    ) {
        let state = (numbers, floats, texts, maps, Gap::Third(3), State { a: None, b: 1, c: 2, d: 3 });
        let mut scratch = Vec::new();
        let payload = MessagePack::encode(&state, &mut scratch).unwrap();
        prop_assert_eq!(payload, rmp_serde::to_vec_named(&state).unwrap());
    }
}
