//! Decoding costs no more stack, time and memory than the size of a payload allows, whatever the
//! payload claims.
#![cfg(all(feature = "postcard", feature = "message-pack"))]

mod common;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tearless::{
    Decode, Encode, MessagePack, Postcard,
    error::{CapError, CodecError, EncodeError},
};
use testkit::counting::{Counting, peak};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Far more levels than any stack holds.
const TOO_DEEP: usize = 1_000_000;

/// The Postcard bytes that mean "one more", endlessly, for every recursive type here.
const ONE_MORE: u8 = 1;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct List {
    next: Option<Box<List>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Tree {
    children: Vec<Tree>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Choice {
    End,
    More(Box<Choice>),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Fields {
    End,
    More { rest: Vec<Fields> },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Nameless(Vec<Nameless>);

/// MessagePack cannot distinguish an inner `None` from an outer one, so decoding recurses without
/// end.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Endless(Option<Box<Endless>>);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Map(BTreeMap<u8, Map>);

/// No bytes in the payload, 800 bytes in memory.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Skipped {
    #[serde(skip)]
    _cache: Cache,
}

#[derive(Debug)]
struct Cache {
    _words: [u64; 100],
}

impl Default for Cache {
    fn default() -> Cache {
        Cache { _words: [7; 100] }
    }
}

fn refused<T: Debug>(result: Result<T, CodecError>) -> CapError {
    let error = result.unwrap_err();
    *error.downcast_ref().unwrap_or_else(|| panic!("{error}"))
}

fn too_deep<C: Decode<T>, T: Debug>(payload: &[u8]) {
    let error = refused(C::decode(payload));
    assert_eq!(error, CapError::TooDeep);
    assert_eq!(error.to_string(), "nested deeper than 64 levels");
}

#[test]
fn deep_nesting_is_refused_by_postcard() {
    let payload = [vec![ONE_MORE; TOO_DEEP], vec![0]].concat();
    too_deep::<Postcard, List>(&payload);
    too_deep::<Postcard, Tree>(&payload);
    too_deep::<Postcard, Choice>(&payload);
    too_deep::<Postcard, Fields>(&payload);
    too_deep::<Postcard, Nameless>(&payload);
    too_deep::<Postcard, Endless>(&payload);
    too_deep::<Postcard, Map>(&payload);
}

#[test]
fn deep_nesting_is_refused_by_message_pack() {
    let array = vec![0x91; TOO_DEEP];
    too_deep::<MessagePack, List>(&array);
    too_deep::<MessagePack, Tree>(&array);
    too_deep::<MessagePack, Nameless>(&array);
    too_deep::<MessagePack, Choice>(&b"\x81\xa4More".repeat(TOO_DEEP));
    too_deep::<MessagePack, Fields>(&b"\x81\xa4More\x91\x91".repeat(TOO_DEEP));
    too_deep::<MessagePack, Map>(&[0x81, 0x01].repeat(TOO_DEEP));
    // An unknown field may also nest, even if the type does not.
    too_deep::<MessagePack, Skipped>(&[b"\x81\xa1x".to_vec(), array].concat());
    too_deep::<MessagePack, Endless>(&[0x01]);
}

/// A value with exactly `levels` levels.
fn nested<T>(levels: usize, end: T, one_more: impl Fn(T) -> T) -> T {
    (1..levels).fold(end, |value, _| one_more(value))
}

fn has_room_for_64<T, C>(end: fn() -> T, one_more: fn(T) -> T)
where
    T: Debug + PartialEq + Serialize + DeserializeOwned,
    C: Encode<T> + Decode<T> + Unchecked,
{
    let mut scratch = Vec::new();
    for levels in [1, 2, 50, 64] {
        let value = nested(levels, end(), one_more);
        assert_eq!(C::decode(C::encode(&value, &mut scratch).unwrap()).unwrap(), value, "{levels}");
    }
    let value = nested(65, end(), one_more);
    assert_eq!(refused(C::decode(&C::unchecked(&value))), CapError::TooDeep);
    let error = C::encode(&value, &mut scratch).unwrap_err();
    assert_eq!(error.downcast_ref::<EncodeError>().unwrap().cap(), Some(CapError::TooDeep));
}

/// A codec whose crate encodes what the codec refuses.
trait Unchecked {
    fn unchecked<T: Serialize>(value: &T) -> Vec<u8>;
}

impl Unchecked for Postcard {
    fn unchecked<T: Serialize>(value: &T) -> Vec<u8> {
        postcard::to_stdvec(value).unwrap()
    }
}

impl Unchecked for MessagePack {
    fn unchecked<T: Serialize>(value: &T) -> Vec<u8> {
        rmp_serde::to_vec_named(value).unwrap()
    }
}

fn has_room_for_64_with<C>()
where
    C: Encode<List> + Decode<List> + Encode<Tree> + Decode<Tree> + Encode<Choice> + Decode<Choice>,
    C: Encode<Fields> + Decode<Fields> + Encode<Map> + Decode<Map> + Unchecked,
{
    has_room_for_64::<List, C>(|| List { next: None }, |list| List { next: Some(Box::new(list)) });
    has_room_for_64::<Tree, C>(|| Tree { children: vec![] }, |tree| Tree { children: vec![tree] });
    has_room_for_64::<Choice, C>(|| Choice::End, |choice| Choice::More(Box::new(choice)));
    has_room_for_64::<Fields, C>(|| Fields::End, |fields| Fields::More { rest: vec![fields] });
    has_room_for_64::<Map, C>(|| Map(BTreeMap::new()), |map| Map(BTreeMap::from([(5, map)])));
}

#[test]
fn nesting_of_64_levels_is_accepted() {
    has_room_for_64_with::<Postcard>();
    has_room_for_64_with::<MessagePack>();
    let end = || Nameless(vec![]);
    has_room_for_64::<Nameless, Postcard>(end, |rest| Nameless(vec![rest]));
    has_room_for_64::<Nameless, MessagePack>(end, |rest| Nameless(vec![rest]));
}

/// The deepest payload that is accepted, of arrays or maps that are a third of a level each, leaves
/// a quarter of a thread's 2 MiB to its caller. In the profile of tests it takes far less;
/// `ci/faults` also runs this test without any optimization.
#[test]
fn the_deepest_payload_fits_on_the_stack_of_a_thread() {
    fn is_accepted(one_more: &[u8], levels: usize) -> bool {
        let payload = [one_more.repeat(levels), vec![0xc0]].concat();
        let work = move || match <MessagePack as Decode<serde_json::Value>>::decode(&payload) {
            Ok(_) => true,
            outcome => refused(outcome) != CapError::TooDeep,
        };
        std::thread::Builder::new().stack_size(3 << 19).spawn(work).unwrap().join().unwrap()
    }
    for one_more in [&[0x91][..], b"\x81\xa1x"] {
        assert!(is_accepted(one_more, 198));
        assert!(!is_accepted(one_more, 199));
    }
}

/// 2^60 as a Postcard length.
const HUGE: [u8; 9] = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];

/// Each element in turn would take hours. A busy machine and a sanitizer may take seconds.
fn at_once<T>(work: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let result = work();
    assert!(begin.elapsed() < Duration::from_secs(60), "it took {:?}", begin.elapsed());
    result
}

#[test]
fn elements_that_take_no_byte_are_bounded() {
    let too_many = CapError::TooManyElements { len: HUGE.len() };
    assert_eq!(at_once(|| refused::<Vec<()>>(Postcard::decode(&HUGE))), too_many);
    assert_eq!(at_once(|| refused::<HashMap<(), ()>>(Postcard::decode(&HUGE))), too_many);
    let (bytes, error) = peak(|| refused::<Vec<Skipped>>(Postcard::decode(&HUGE)));
    assert_eq!(error, too_many);
    assert!(bytes < 4_000 * size_of::<Skipped>(), "{bytes}");
    // A million sequences that claim a million elements each.
    let nested = [vec![0x80, 0x89, 0x7a], [0x80, 0x89, 0x7a].repeat(1_000_000)].concat();
    at_once(|| refused::<Vec<Vec<()>>>(Postcard::decode(&nested)));
    let count: Vec<()> = Postcard::decode(&[0x80, 0x08]).unwrap();
    assert_eq!(count.len(), 1024, "a moderate number is fine");
}

fn small<C: Decode<T>, T: Debug>(payload: &[u8]) {
    let (bytes, result) = peak(|| at_once(|| C::decode(payload)).map(drop));
    let error = result.unwrap_err();
    assert!(bytes < 1024, "{error}: {bytes} bytes");
}

#[test]
fn a_length_beyond_the_payload_reserves_nothing() {
    small::<Postcard, String>(&HUGE);
    small::<Postcard, Vec<u8>>(&HUGE);
    small::<Postcard, Vec<[u64; 16]>>(&HUGE);
    small::<Postcard, HashMap<u64, u64>>(&HUGE);
    small::<Postcard, Vec<Vec<Vec<u64>>>>(&[HUGE, HUGE, HUGE].concat());
    for marker in [0xdb, 0xdd, 0xdf, 0xc6] {
        let payload = [marker, 0xff, 0xff, 0xff, 0xff];
        small::<MessagePack, String>(&payload);
        small::<MessagePack, Vec<[u64; 16]>>(&payload);
        small::<MessagePack, HashMap<u64, u64>>(&payload);
        small::<MessagePack, (u8, Vec<u8>)>(&[vec![0x92, 0x01], payload.to_vec()].concat());
    }
}

#[test]
fn nested_claims_do_not_add_up() {
    // Each generation claims as many children as the rest of the payload has bytes: 60,000, in
    // three bytes.
    let payload = [0xe0, 0xd4, 0x03].repeat(30_000);
    let (bytes, result) = peak(|| refused::<Tree>(Postcard::decode(&payload)));
    assert_eq!(result, CapError::TooManyElements { len: payload.len() });
    assert!(bytes < 2 * payload.len() * size_of::<Tree>(), "{bytes}");
}

#[test]
fn ordinary_states_of_many_elements_are_unaffected() {
    let strings: Vec<String> = vec![String::new(); 100_000];
    let lists: Vec<Vec<u8>> = (0..1000).map(|len| vec![1; len]).collect();
    let pairs: Vec<(bool, Option<u8>)> = vec![(true, None); 50_000];
    let map: BTreeMap<u32, ((), u8)> = (0..100_000).map(|key| (key, ((), 1))).collect();
    let value = (strings, lists, pairs, map);
    let mut scratch = Vec::new();
    let payload = Postcard::encode(&value, &mut scratch).unwrap().to_vec();
    assert!(Postcard::decode(&payload).is_ok_and(|decoded: (Vec<_>, Vec<_>, Vec<_>, _)| decoded == value));
    let payload = MessagePack::encode(&value, &mut scratch).unwrap().to_vec();
    assert!(MessagePack::decode(&payload).is_ok_and(|decoded: (Vec<_>, Vec<_>, Vec<_>, _)| decoded == value));
}
