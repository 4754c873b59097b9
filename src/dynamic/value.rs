//! Building JSON values: texts for numbers that JSON lacks, and the limits of what one payload may
//! cost.

use std::cell::Cell;

use serde_json::{Number, Value};

use super::error::{DecodeError, MAX_ELEMENT_MEMORY};
use crate::schema::{Fields, Type};

/// Elements that a payload may have beyond one for each of its bytes, because they take no byte.
const SPARE: usize = 1024;

/// Values for each element: one byte may be the contents of several nested structs.
const VALUES: usize = 8;

/// The memory of an allocation beside its bytes.
const ALLOCATION: usize = 32;

/// The memory of a value in an array.
const ELEMENT: usize = size_of::<Value>();

/// The memory of a value in an object, without the bytes of its name: the name, its hash and its
/// entry in the table.
const MEMBER: usize = ELEMENT + size_of::<String>() + size_of::<u64>() + 24 + ALLOCATION;

/// The memory of an array or an object without its contents.
const CONTAINER: usize = 64 + 2 * ALLOCATION;

/// The most bytes of a key that is not a string, as JSON text. Quotes inside of keys are escaped,
/// so that their number doubles with each level of keys of keys.
const MAX_KEY_BYTES: usize = 4096;

pub(super) fn unsigned(number: u128) -> Value {
    u64::try_from(number).map_or_else(|_| Value::String(number.to_string()), Value::from)
}

pub(super) fn signed(number: i128) -> Value {
    match (i64::try_from(number), u128::try_from(number)) {
        (Ok(number), _) => Value::from(number),
        (_, Ok(number)) => unsigned(number),
        _ => Value::String(number.to_string()),
    }
}

pub(super) fn float(number: f64) -> Value {
    Number::from_f64(number).map_or_else(|| Value::String(number.to_string()), Value::Number)
}

/// The text of a map's key that is not a string.
pub(super) fn key(value: &Value) -> Result<String, String> {
    let text = value.to_string();
    match text.len() {
        0..=MAX_KEY_BYTES => Ok(text),
        len => {
            Err(format!("a key that is not a string has {len} bytes as JSON, the limit is {MAX_KEY_BYTES}"))
        }
    }
}

/// What the values of one payload may still cost. The decoder and the visitor of its values share
/// it: only the visitor knows the texts of keys.
pub(super) struct Budget {
    len: usize,
    elements: Cell<usize>,
    values: Cell<usize>,
    /// `None` once it is exceeded.
    memory: Cell<Option<usize>>,
}

impl Budget {
    /// The budget of a payload of `len` bytes. Every type of `root` may have one value beyond it.
    pub(super) fn new(root: &Type, len: usize) -> Budget {
        let (elements, types) = (len.saturating_add(SPARE), Types::of(root));
        let once = types.values * (MEMBER + CONTAINER) + types.name_bytes;
        let memory = elements.saturating_mul(MAX_ELEMENT_MEMORY).saturating_add(once);
        Budget {
            len,
            elements: Cell::new(elements),
            values: Cell::new(elements.saturating_mul(VALUES).saturating_add(types.values)),
            memory: Cell::new(Some(memory)),
        }
    }

    /// Charges for the elements of a list before they are decoded.
    pub(super) fn list(&self, count: u64) -> Result<(), DecodeError> {
        self.elements(count).and_then(|count| self.array(count))
    }

    /// Charges for the entries of a map before they are decoded.
    pub(super) fn map(&self, count: u64) -> Result<(), DecodeError> {
        self.elements(count).and_then(|count| self.object(count))
    }

    /// Charges for an array of `count` values.
    pub(super) fn array(&self, count: usize) -> Result<(), DecodeError> {
        self.take(CONTAINER.saturating_add(count.saturating_mul(ELEMENT)))
    }

    /// Charges for an object of `count` values, without the bytes of their names.
    pub(super) fn object(&self, count: usize) -> Result<(), DecodeError> {
        self.take(CONTAINER.saturating_add(count.saturating_mul(MEMBER)))
    }

    /// Charges for a text that is not in the payload, such as the name of a field.
    pub(super) fn text(&self, text: &str) -> Result<(), DecodeError> {
        self.take(text.len() + ALLOCATION)
    }

    /// Charges for one value.
    pub(super) fn value(&self) -> Result<(), DecodeError> {
        let left = self.values.get().checked_sub(1);
        self.values.set(left.ok_or(DecodeError::TooManyElements { len: self.len })?);
        Ok(())
    }

    /// Whether all charges so far, also those of a visitor, are within the limit of memory.
    pub(super) fn check(&self) -> Result<(), DecodeError> {
        self.take(0)
    }

    fn elements(&self, count: u64) -> Result<usize, DecodeError> {
        let too_many = DecodeError::TooManyElements { len: self.len };
        let Ok(count) = usize::try_from(count) else { return Err(too_many) };
        self.elements.set(self.elements.get().checked_sub(count).ok_or(too_many)?);
        Ok(count)
    }

    fn take(&self, bytes: usize) -> Result<(), DecodeError> {
        self.memory.set(self.memory.get().and_then(|memory| memory.checked_sub(bytes)));
        self.memory.get().map(drop).ok_or(DecodeError::TooLarge { len: self.len })
    }
}

/// The size of a tree of types.
#[derive(Default)]
struct Types {
    /// One for each type, and one for each variant.
    values: usize,
    /// The bytes of the names of all fields and variants.
    name_bytes: usize,
}

impl Types {
    fn of(root: &Type) -> Types {
        let mut types = Types::default();
        types.add(root);
        types
    }

    fn add(&mut self, node: &Type) {
        self.values += 1;
        match node {
            Type::Option(inner) | Type::Sequence(inner) | Type::Array { element: inner, .. } => {
                self.add(inner);
            }
            Type::Map { key, value } => [key, value].into_iter().for_each(|node| self.add(node)),
            Type::Struct { fields, .. } => self.add_fields(fields),
            Type::Enum { variants, .. } => {
                for variant in variants {
                    self.values += 1;
                    self.name_bytes += variant.name.len();
                    self.add_fields(&variant.fields);
                }
            }
            _ => {}
        }
    }

    fn add_fields(&mut self, fields: &Fields) {
        match fields {
            Fields::Unit => {}
            Fields::Newtype(inner) => self.add(inner),
            Fields::Tuple(fields) | Fields::Named(fields) => {
                for field in fields {
                    self.name_bytes += field.name.len();
                    self.add(&field.value);
                }
            }
        }
    }
}
