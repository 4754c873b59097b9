//! Checks while a state is encoded: an adapter between a type and the serializer of a codec, the
//! counterpart of `capped` on the writing side. The writer refuses what no reader could decode, and
//! what readers would decode to another state.
//!
//! The codec's serializer writes every byte. The adapter calls it for values without contents and
//! for the beginnings of the others, and passes itself to the contents. It counts levels and
//! elements as `capped` does, and compares announced lengths with what comes.
//!
//! For Postcard the adapter also notes the *shapes* of a state: each variant of an enum, and each
//! type that a state need not contain (the contents of options, sequences and maps). A state with a
//! new shape is decoded by the writer before it is published.

use std::any::type_name;
use std::fmt::{self, Display};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::ser::{self, Serialize, Serializer};

#[cfg(feature = "postcard")]
use super::capped::Fields;
use super::capped::{CapError, EXTENSION_I128, EXTENSION_U128, MAX_EMPTY_ELEMENTS, Request, Steps};
use super::type_name_of;

/// A state that a codec refuses, because no reader could decode it, or because readers would decode
/// another state. It is the source of [`PublishError::Encode`].
///
/// The text names the type and, unless it is the state's own, its place in the state, and says what
/// to use instead.
///
/// [`PublishError::Encode`]: crate::error::PublishError::Encode
#[derive(Debug)]
pub struct EncodeError(Box<Refusal>);

#[derive(Debug)]
struct Refusal {
    /// Where in the state, for example `queue[3].deadline`.
    path: String,
    type_name: Option<String>,
    reason: String,
    cap: Option<CapError>,
}

/// The name of a type, a field or a variant.
type Name = &'static str;

type Written = Result<(), EncodeError>;
type Opened<'a, W> = Result<Contents<'a, W>, EncodeError>;

/// The longest path in an error, in bytes.
const MAX_PATH: usize = 80;

impl EncodeError {
    #[cold]
    #[inline(never)]
    pub(super) fn new(reason: impl Into<String>) -> EncodeError {
        EncodeError(Box::new(Refusal {
            path: String::new(),
            type_name: None,
            reason: reason.into(),
            cap: None,
        }))
    }

    /// The error inside of a `T`.
    #[cold]
    #[inline(never)]
    pub(super) fn of<T: ?Sized>(mut self) -> EncodeError {
        self.0.type_name.get_or_insert_with(|| type_name_of::<T>().trim_start_matches('&').into());
        self
    }

    /// The error inside of an element.
    #[cold]
    #[inline(never)]
    fn at_index(self, index: usize) -> EncodeError {
        self.at(&format!("[{index}]"))
    }

    /// The error inside of a value that is called `segment` in its parent.
    #[cold]
    #[inline(never)]
    fn at(mut self, segment: &str) -> EncodeError {
        let path = &mut self.0.path;
        if path.len() < MAX_PATH {
            let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
            *path = format!("{segment}{dot}{path}");
        } else if !path.starts_with('…') {
            path.insert(0, '…');
        }
        self
    }
}

impl Display for EncodeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refusal { path, type_name, reason, .. } = &*self.0;
        match type_name {
            Some(name) if path.is_empty() => write!(formatter, "`{name}`: {reason}"),
            Some(name) => write!(formatter, "`{path}`, of type `{name}`: {reason}"),
            None => formatter.write_str(reason),
        }
    }
}

impl std::error::Error for EncodeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.cap.as_ref().map(|cap| cap as _)
    }
}

impl ser::Error for EncodeError {
    #[cold]
    #[inline(never)]
    fn custom<M: Display>(message: M) -> EncodeError {
        EncodeError::new(message.to_string())
    }
}

impl From<CapError> for EncodeError {
    #[cold]
    #[inline(never)]
    fn from(cap: CapError) -> EncodeError {
        let advice = match cap {
            CapError::TooDeep => "keep the parts in a list and let them refer to each other by index",
            CapError::TooManyElements { .. } => "publish the number of elements that have no contents",
        };
        let mut error = EncodeError::new(format!("{cap}, which readers refuse: {advice}"));
        error.0.cap = Some(cap);
        error
    }
}

/// The serializer of a codec, and where it writes.
pub(super) trait Wire {
    type Error: ser::Error;
    type Serializer<'a>: Serializer<Ok = (), Error = Self::Error>
    where
        Self: 'a;

    /// Whether it writes MessagePack. The other codec is Postcard.
    const IS_MESSAGE_PACK: bool;

    /// Whether everything is recorded for a trial.
    const IS_TRIAL: bool = false;

    fn serializer(&mut self) -> Self::Serializer<'_>;

    fn payload(&mut self) -> &mut Vec<u8>;
}

/// What has been written.
struct Output<W> {
    wire: W,
    elements: usize,
    /// Where the payload has the keys of maps that did not announce their length and are still
    /// open: structs with flattened fields.
    keys: Vec<Range<usize>>,
    /// `None` while there is nothing to record.
    record: Option<Box<Record>>,
}

/// What a codec without names has to know about a state.
#[derive(Default)]
pub(super) struct Record {
    /// Shapes that are not known to be readable.
    pub(super) shapes: Vec<Shape>,
    /// In a trial, each struct with the fields that it wrote.
    structs: Vec<(String, Vec<Name>)>,
    /// In a trial, each variant with its enum.
    variants: Vec<(Name, Name)>,
}

/// Encodes `state`, or says why the codec can't carry it.
#[inline(always)]
pub(super) fn encode<W: Wire, T: Serialize + ?Sized>(
    state: &T,
    wire: W,
) -> Result<Option<Box<Record>>, EncodeError> {
    let mut out = Output { wire, elements: 0, keys: Vec::new(), record: None };
    let place = Place::new::<T>(Steps::ROOT, false);
    out.note(place.shape(None));
    state.serialize(Encoder { out: &mut out, place }).map_err(EncodeError::of::<T>)?;
    let len = out.wire.payload().len();
    if out.elements > len.saturating_add(MAX_EMPTY_ELEMENTS) {
        return Err(EncodeError::from(CapError::TooManyElements { len }).of::<T>());
    }
    if W::IS_MESSAGE_PACK && u32::try_from(len).is_err() {
        return Err(EncodeError::new("more than 4 GiB, but lengths in MessagePack have 32 bits"));
    }
    Ok(out.record)
}

impl<W: Wire> Output<W> {
    /// Calls the codec's serializer.
    #[inline(always)]
    fn write(&mut self, write: impl FnOnce(W::Serializer<'_>) -> Result<(), W::Error>) -> Written {
        write(self.wire.serializer()).map_err(ser::Error::custom)
    }

    /// Checks that the keys after the first `begin` differ, and forgets them.
    fn check_keys(&mut self, begin: usize) -> Written {
        let (payload, keys) = (self.wire.payload(), &mut self.keys[begin..]);
        keys.sort_unstable_by(|one, other| payload[one.clone()].cmp(&payload[other.clone()]));
        let twice = keys.windows(2).find(|two| payload[two[0].clone()] == payload[two[1].clone()]);
        if let Some(twice) = twice {
            // A marker that is no text comes before the text.
            let key = String::from_utf8_lossy(&payload[twice[0].clone()]);
            return Err(called_twice(key.trim_start_matches(char::REPLACEMENT_CHARACTER)));
        }
        self.keys.truncate(begin);
        Ok(())
    }

    #[inline(always)]
    fn note(&mut self, shape: Shape) {
        if !W::IS_MESSAGE_PACK && (W::IS_TRIAL || !shape.is_readable()) {
            self.note_new(shape);
        }
    }

    #[cold]
    fn note_new(&mut self, shape: Shape) {
        self.record().shapes.push(shape);
    }

    fn record(&mut self) -> &mut Record {
        self.record.get_or_insert_default()
    }
}

#[cfg(feature = "postcard")]
impl Record {
    /// The first struct whose fields differ from those that its reader asked for, as text, and
    /// whether that alone is a reason to refuse: a field that is only read takes bytes of the next
    /// one, which a trial notices, unless it has no bytes.
    pub(super) fn other_fields(&self, asked: &[Fields]) -> Option<(String, bool)> {
        let pairs = self.structs.iter().zip(asked);
        // Types may also serialize as a struct and deserialize as something else.
        let mut pairs = pairs.take_while(|((name, _), (asked, _))| asked.is_empty() || name == asked);
        let ((name, written), (_, read)) =
            pairs.find(|((_, written), (_, read))| written.len() != read.len())?;
        let is_more = written.len() > read.len();
        let (all, others, skipped) = match is_more {
            true => (&written[..], *read, "when it is read (`skip_deserializing`)"),
            false => (*read, &written[..], "when it is written (`skip_serializing`)"),
        };
        let field = all.iter().find(|field| !others.contains(field)).unwrap_or(&"");
        let text = format!(
            "field `{field}` of `{name}` is skipped {skipped}, and only then, which Postcard can't: use \
             `#[serde(skip)]`, or the codec `MessagePack`"
        );
        Some((text, is_more))
    }

    /// A variant that is read as another one.
    pub(super) fn other_variant(&mut self, read: &mut Record) -> Option<String> {
        self.variants.sort_unstable();
        read.variants.sort_unstable();
        let ((name, written), (_, read)) =
            self.variants.iter().zip(&read.variants).find(|(one, other)| one != other)?;
        Some(format!(
            "variant `{written}` of `{name}` is read as `{read}`: a variant that is skipped changes the numbers of \
             those after it, so let it be the last one, or use the codec `MessagePack`"
        ))
    }
}

/// A type, or a variant of an enum: the address of the type's name, and the variant's number. Two
/// types of one name, as in two versions of a crate, may have one shape: then only readers notice
/// what is wrong with the second.
#[derive(Clone, Copy)]
pub(super) struct Shape(u64);

/// Shapes that a reader was found to decode, in sets of four by their hash. A lost entry costs
/// another trial.
static READABLE: [AtomicU64; 1 << (SET_BITS + 2)] = [const { AtomicU64::new(0) }; 1 << (SET_BITS + 2)];

const SET_BITS: u32 = 10;

impl Shape {
    #[inline(always)]
    fn set(self) -> &'static [AtomicU64] {
        // Fibonacci hashing: the upper bits of the product depend on all bits of the shape.
        let hash = self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - SET_BITS);
        let begin = (hash as usize & ((1 << SET_BITS) - 1)) * 4;
        &READABLE[begin..begin + 4]
    }

    /// Relaxed: an entry is a number that says all. No other memory is read because of it.
    #[inline(always)]
    fn is_readable(self) -> bool {
        self.set().iter().any(|entry| entry.load(Ordering::Relaxed) == self.0)
    }

    /// Relaxed, as above. Two threads that take the same free entry lose one of their shapes.
    #[cfg(feature = "postcard")]
    pub(super) fn set_readable(self) {
        let set = self.set();
        let free = set.iter().find(|entry| entry.load(Ordering::Relaxed) == 0);
        let taken = &set[(self.0 >> 20 & 3) as usize];
        free.unwrap_or(taken).store(self.0, Ordering::Relaxed);
    }
}

/// Where a value is, in one word, so that it stays in a register: the address of the name of its
/// type, its depth, and whether it is directly inside of an option.
#[derive(Clone, Copy)]
struct Place(u64);

impl Place {
    #[inline(always)]
    fn new<T: ?Sized>(steps: Steps, is_in_option: bool) -> Place {
        let address = type_name::<T>().as_ptr().addr() as u64;
        Place(address << 16 | u64::from(steps.0) << 1 | u64::from(is_in_option))
    }

    #[inline(always)]
    fn steps(self) -> Steps {
        Steps((self.0 >> 1 & 0x7fff) as u32)
    }

    #[inline(always)]
    fn is_in_option(self) -> bool {
        self.0 & 1 == 1
    }

    /// The shape of a value here, or of a variant of it.
    #[inline(always)]
    fn shape(self, variant: Option<u32>) -> Shape {
        let variant = variant.map_or(0, |variant| u64::from(variant.min(0xfffe)) + 1);
        Shape(self.0 & !0xffff | variant)
    }
}

/// The low bits of a tuple's length, which tell apart the lengths of one type.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "eight bits")]
fn low(len: usize) -> u32 {
    (len & 0xff) as u32
}

/// The serializer that a type gets.
pub(super) struct Encoder<'a, W> {
    out: &'a mut Output<W>,
    place: Place,
}

impl<'a, W: Wire> Encoder<'a, W> {
    /// The depth of the contents.
    #[inline(always)]
    fn inside(&self, request: Request) -> Result<Steps, EncodeError> {
        self.place.steps().inside(request).map_err(EncodeError::from)
    }

    /// Checks that a unit, or an option without contents, may be here.
    #[inline(always)]
    fn nothing(&self) -> Written {
        if W::IS_MESSAGE_PACK && self.place.is_in_option() {
            return Err(EncodeError::new(
                "`Some` of nothing is read as `None` from MessagePack: use an enum, or the codec `Postcard`",
            ));
        }
        Ok(())
    }

    /// An integer of more than 64 bits in MessagePack: an extension of 16 bytes.
    fn wide(self, kind: i8, bytes: [u8; 16]) -> Written {
        let payload = self.out.wire.payload();
        payload.extend_from_slice(&[0xd8, kind.cast_unsigned()]);
        payload.extend_from_slice(&bytes);
        Ok(())
    }

    /// The name of a variant. Returns the depth of its contents.
    #[inline(always)]
    fn variant(
        &mut self,
        name: Name,
        index: u32,
        variant: Name,
        has_contents: bool,
    ) -> Result<Steps, EncodeError> {
        self.out.note(self.place.shape(Some(index)));
        if W::IS_TRIAL {
            self.out.record().variants.push((name, variant));
        }
        if W::IS_MESSAGE_PACK && has_contents {
            self.out.write(|serializer| serializer.serialize_map(Some(1)).map(drop))?;
        }
        self.out.write(|serializer| serializer.serialize_unit_variant(name, index, variant))?;
        self.inside(Request::Named)
    }

    /// A value with contents. `len` is `None` if the type does not know how many.
    #[inline(always)]
    fn contents(self, steps: Steps, len: Option<usize>) -> Opened<'a, W> {
        if !W::IS_MESSAGE_PACK && len.is_none() {
            return Err(EncodeError::new(
                "it has a flattened field, or does not know its length in advance, which Postcard needs: remove \
                 `#[serde(flatten)]`, or collect the elements first, or use the codec `MessagePack`",
            ));
        }
        let begin = if len.is_none() { self.out.wire.payload().len() } else { 0 };
        let entry = if W::IS_TRIAL { self.out.record().structs.len() } else { 0 };
        let (types, keys, out) = ([0; 2], self.out.keys.len(), self.out);
        Ok(Contents { out, steps, announced: len, count: 0, begin, types, first: "", keys, entry })
    }

    /// A sequence or a map.
    #[inline(always)]
    fn open(
        self,
        len: Option<usize>,
        begin: impl FnOnce(W::Serializer<'_>) -> Result<(), W::Error>,
    ) -> Opened<'a, W> {
        let contents = self.inside(Request::Open).and_then(|steps| self.contents(steps, len))?;
        if let Some(len) = len {
            contents.out.elements = contents.out.elements.saturating_add(len);
            match W::IS_MESSAGE_PACK {
                true => contents.out.write(begin)?,
                // The same bytes, and a result that fits into a register.
                false => contents.out.write(|serializer| serializer.serialize_u64(len as u64))?,
            }
        }
        Ok(contents)
    }
}

/// The name by which `rmp_serde` knows an extension.
const EXTENSION: &str = "_ExtStruct";

macro_rules! serialize_values {
    ($($method:ident($type:ty))*) => {$(
        #[inline(always)]
        fn $method(self, value: $type) -> Written {
            self.out.write(|serializer| serializer.$method(value))
        }
    )*};
}

impl<'a, W: Wire> Serializer for Encoder<'a, W> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Contents<'a, W>;
    type SerializeTuple = Contents<'a, W>;
    type SerializeTupleStruct = Contents<'a, W>;
    type SerializeTupleVariant = Contents<'a, W>;
    type SerializeMap = Contents<'a, W>;
    type SerializeStruct = Contents<'a, W>;
    type SerializeStructVariant = Contents<'a, W>;

    serialize_values! {
        serialize_bool(bool)
        serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64)
        serialize_f32(f32) serialize_f64(f64) serialize_char(char)
        serialize_str(&str) serialize_bytes(&[u8]) serialize_unit_struct(Name)
    }

    #[inline(always)]
    fn serialize_i128(self, value: i128) -> Written {
        match i64::try_from(value) {
            Ok(value) if W::IS_MESSAGE_PACK => self.serialize_i64(value),
            Err(_) if W::IS_MESSAGE_PACK => self.wide(EXTENSION_I128, value.to_be_bytes()),
            _ => self.out.write(|serializer| serializer.serialize_i128(value)),
        }
    }

    #[inline(always)]
    fn serialize_u128(self, value: u128) -> Written {
        match u64::try_from(value) {
            Ok(value) if W::IS_MESSAGE_PACK => self.serialize_u64(value),
            Err(_) if W::IS_MESSAGE_PACK => self.wide(EXTENSION_U128, value.to_be_bytes()),
            _ => self.out.write(|serializer| serializer.serialize_u128(value)),
        }
    }

    #[inline(always)]
    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Written {
        self.out.write(|serializer| serializer.collect_str(value))
    }

    #[inline(always)]
    fn serialize_none(self) -> Written {
        self.nothing()?;
        self.out.write(|serializer| serializer.serialize_none())
    }

    #[inline(always)]
    fn serialize_unit(self) -> Written {
        self.nothing()?;
        self.out.write(|serializer| serializer.serialize_unit())
    }

    #[inline(always)]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Written {
        let place = Place::new::<T>(self.inside(Request::Open)?, true);
        self.out.note(place.shape(None));
        if !W::IS_MESSAGE_PACK {
            self.out.write(|serializer| serializer.serialize_some(&()))?;
        }
        value.serialize(Encoder { out: self.out, place })
    }

    #[inline(always)]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: Name, value: &T) -> Written {
        if W::IS_MESSAGE_PACK && name == EXTENSION {
            return self.out.write(|serializer| serializer.serialize_newtype_struct(name, value));
        }
        let place = Place::new::<T>(self.inside(Request::Named)?, self.place.is_in_option());
        value.serialize(Encoder { out: self.out, place })
    }

    #[inline(always)]
    fn serialize_unit_variant(mut self, name: Name, index: u32, variant: Name) -> Written {
        self.variant(name, index, variant, false).map(drop)
    }

    #[inline(always)]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        mut self,
        name: Name,
        index: u32,
        variant: Name,
        value: &T,
    ) -> Written {
        let place = Place::new::<T>(self.variant(name, index, variant, true)?, false);
        value.serialize(Encoder { out: self.out, place }).map_err(|error| error.of::<T>().at(variant))
    }

    #[inline(always)]
    fn serialize_seq(self, len: Option<usize>) -> Opened<'a, W> {
        self.open(len, |serializer| serializer.serialize_seq(len).map(drop))
    }

    #[inline(always)]
    fn serialize_tuple(self, len: usize) -> Opened<'a, W> {
        self.out.write(|serializer| serializer.serialize_tuple(len).map(drop))?;
        let steps = self.inside(Request::Tuple)?;
        self.contents(steps, Some(len))
    }

    #[inline(always)]
    fn serialize_tuple_struct(self, name: Name, len: usize) -> Opened<'a, W> {
        // A field that is skipped makes another length.
        self.out.note(self.place.shape(Some(low(len))));
        self.out.write(|serializer| serializer.serialize_tuple_struct(name, len).map(drop))?;
        let steps = self.inside(Request::Named)?;
        self.contents(steps, Some(len))
    }

    #[inline(always)]
    fn serialize_tuple_variant(mut self, name: Name, index: u32, variant: Name, len: usize) -> Opened<'a, W> {
        self.out.note(self.place.shape(Some(0x8000 | (index & 0x7f) << 8 | low(len))));
        let steps = self.variant(name, index, variant, true)?;
        self.out.write(|serializer| serializer.serialize_tuple(len).map(drop))?;
        self.contents(steps, Some(len))
    }

    #[inline(always)]
    fn serialize_map(self, len: Option<usize>) -> Opened<'a, W> {
        self.open(len, |serializer| serializer.serialize_map(len).map(drop))
    }

    #[inline(always)]
    fn serialize_struct(self, name: Name, len: usize) -> Opened<'a, W> {
        if W::IS_TRIAL {
            self.out.record().structs.push((name.into(), Vec::new()));
        }
        self.out.write(|serializer| serializer.serialize_struct(name, len).map(drop))?;
        let steps = self.inside(Request::Named)?;
        self.contents(steps, Some(len))
    }

    #[inline(always)]
    fn serialize_struct_variant(
        mut self,
        name: Name,
        index: u32,
        variant: Name,
        len: usize,
    ) -> Opened<'a, W> {
        let steps = self.variant(name, index, variant, true)?;
        if W::IS_TRIAL {
            self.out.record().structs.push((format!("{name}::{variant}"), Vec::new()));
        }
        self.out.write(|serializer| serializer.serialize_struct(name, len).map(drop))?;
        self.contents(steps, Some(len))
    }

    #[inline(always)]
    fn is_human_readable(&self) -> bool {
        W::IS_MESSAGE_PACK
    }
}

/// A value with contents that are still to be written.
pub(super) struct Contents<'a, W> {
    out: &'a mut Output<W>,
    steps: Steps,
    announced: Option<usize>,
    count: usize,
    /// Where the payload's length belongs, if nothing was announced.
    begin: usize,
    /// The last types of elements, or of keys and values.
    types: [u64; 2],
    /// The first field.
    first: Name,
    /// The number of keys that were noted before.
    keys: usize,
    /// In a trial, the number of structs with this one.
    entry: usize,
}

impl<W: Wire> Contents<'_, W> {
    #[inline(always)]
    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        let place = Place::new::<T>(self.steps, false);
        value.serialize(Encoder { out: &mut *self.out, place }).map_err(EncodeError::of::<T>)
    }

    /// One of many values: an element, a key (`role` 0) or a value of a map (1).
    #[inline(always)]
    fn one<T: Serialize + ?Sized>(&mut self, role: usize, value: &T) -> Written {
        let shape = Place::new::<T>(self.steps, false).shape(None);
        if self.types[role] != shape.0 {
            self.types[role] = shape.0;
            self.out.note(shape);
        }
        self.value(value)
    }

    /// One of any number of values.
    #[inline(always)]
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        let index = self.count;
        self.count += 1;
        self.one(0, value).map_err(|error| error.at_index(index))
    }

    /// One of a fixed number of values.
    #[inline(always)]
    fn member<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        let index = self.count;
        self.count += 1;
        self.value(value).map_err(|error| error.at_index(index))
    }

    #[inline(always)]
    fn field<T: Serialize + ?Sized>(&mut self, name: Name, value: &T) -> Written {
        if W::IS_MESSAGE_PACK {
            // The tag of an enum comes before the fields, which may have one of that name.
            match self.count {
                0 => self.first = name,
                _ if self.first == name => return Err(called_twice(name)),
                _ => {}
            }
            self.out.write(|serializer| serializer.serialize_str(name))?;
        }
        if W::IS_TRIAL {
            self.out.record().structs[self.entry - 1].1.push(name);
        }
        self.count += 1;
        self.value(value).map_err(|error| error.at(name))
    }

    #[inline(always)]
    fn skip(&mut self, name: Name) -> Written {
        match W::IS_MESSAGE_PACK {
            true => Ok(()),
            false => Err(skipped(name)),
        }
    }

    #[inline(always)]
    fn end(self, begin: impl FnOnce(W::Serializer<'_>, usize) -> Result<(), W::Error>) -> Written {
        match self.announced {
            Some(len) if len == self.count => Ok(()),
            Some(len) => Err(other_length(len, self.count)),
            None => {
                // The length comes last, and then moves to the front.
                let len = self.out.wire.payload().len();
                self.out.elements = self.out.elements.saturating_add(self.count);
                self.out.write(|serializer| begin(serializer, self.count))?;
                let payload = self.out.wire.payload();
                let moved = payload.len() - len;
                payload[self.begin..].rotate_right(moved);
                Ok(())
            }
        }
    }
}

// The texts of errors are made in functions of their own, so that no value leaves its register for
// them.

#[cold]
#[inline(never)]
fn skipped(name: &str) -> EncodeError {
    EncodeError::new(format!(
        "field `{name}` is skipped (`skip_serializing_if`), but Postcard readers expect every field: remove the \
         attribute, or use the codec `MessagePack`"
    ))
}

#[cold]
#[inline(never)]
fn other_length(announced: usize, count: usize) -> EncodeError {
    EncodeError::new(format!(
        "its `Serialize` announces {announced} elements or fields and writes {count}: correct it"
    ))
}

#[cold]
#[inline(never)]
fn called_twice(name: &str) -> EncodeError {
    EncodeError::new(format!(
        "two fields are called `{name}`, which readers refuse; perhaps one is flattened, or is the tag of an enum: \
         rename one of them"
    ))
}

macro_rules! members {
    ($($implemented:ident $method:ident $write:ident)*) => {$(
        impl<W: Wire> ser::$implemented for Contents<'_, W> {
            type Ok = ();
            type Error = EncodeError;

            #[inline(always)]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
                self.$write(value)
            }

            #[inline(always)]
            fn end(self) -> Written {
                self.end(|serializer, len| serializer.serialize_seq(Some(len)).map(drop))
            }
        }
    )*};
}

members! {
    SerializeSeq serialize_element element
    SerializeTuple serialize_element member
    SerializeTupleStruct serialize_field member
    SerializeTupleVariant serialize_field member
}

macro_rules! fields {
    ($($implemented:ident)*) => {$(
        impl<W: Wire> ser::$implemented for Contents<'_, W> {
            type Ok = ();
            type Error = EncodeError;

            #[inline(always)]
            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: Name, value: &T) -> Written {
                self.field(name, value)
            }

            #[inline(always)]
            fn skip_field(&mut self, name: Name) -> Written {
                self.skip(name)
            }

            #[inline(always)]
            fn end(self) -> Written {
                self.end(|_, _| Ok(()))
            }
        }
    )*};
}

fields! { SerializeStruct SerializeStructVariant }

impl<W: Wire> ser::SerializeMap for Contents<'_, W> {
    type Ok = ();
    type Error = EncodeError;

    #[inline(always)]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Written {
        self.count += 1;
        if self.announced.is_some() {
            return self.one(0, key);
        }
        let begin = self.out.wire.payload().len();
        self.one(0, key)?;
        let end = self.out.wire.payload().len();
        self.out.keys.push(begin..end);
        Ok(())
    }

    #[inline(always)]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        let index = self.count.wrapping_sub(1);
        self.one(1, value).map_err(|error| error.at_index(index))
    }

    #[inline(always)]
    fn end(self) -> Written {
        if self.announced.is_none() {
            self.out.check_keys(self.keys)?;
        }
        self.end(|serializer, len| serializer.serialize_map(Some(len)).map(drop))
    }
}
