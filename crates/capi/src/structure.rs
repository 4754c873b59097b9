//! Plain structs of C and their fields, as schemas.

use std::collections::HashSet;
use std::ffi::c_char;

use tearless::schema::{Encoding, Field, Fields, PADDING, Scalar, Schema, Type};

use crate::boundary;
use crate::status::{Failure, Result};

/// A member that is a struct, described by tl_field.structure.
pub const TL_STRUCT: i32 = 0;
/// A bool.
pub const TL_BOOL: i32 = 1;
/// An unsigned integer of 8 bits, or a char.
pub const TL_U8: i32 = 2;
/// An unsigned integer of 16 bits.
pub const TL_U16: i32 = 3;
/// An unsigned integer of 32 bits.
pub const TL_U32: i32 = 4;
/// An unsigned integer of 64 bits.
pub const TL_U64: i32 = 5;
/// A signed integer of 8 bits.
pub const TL_I8: i32 = 6;
/// A signed integer of 16 bits.
pub const TL_I16: i32 = 7;
/// A signed integer of 32 bits.
pub const TL_I32: i32 = 8;
/// A signed integer of 64 bits.
pub const TL_I64: i32 = 9;
/// A float of 32 bits.
pub const TL_F32: i32 = 10;
/// A float of 64 bits.
pub const TL_F64: i32 = 11;

/// The scalars, beginning with that of TL_BOOL.
const SCALARS: [Scalar; 11] = [
    Scalar::Bool,
    Scalar::U8,
    Scalar::U16,
    Scalar::U32,
    Scalar::U64,
    Scalar::I8,
    Scalar::I16,
    Scalar::I32,
    Scalar::I64,
    Scalar::F32,
    Scalar::F64,
];

/// One member of a struct. TL_FIELD, TL_MATRIX and TL_NESTED make it.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types, reason = "a name of C")]
pub struct tl_field {
    /// The member's name.
    pub name: *const c_char,
    /// Bytes from the beginning of the struct.
    pub offset: usize,
    /// Bytes of the whole member.
    pub size: usize,
    /// The lengths of an array, outermost first; a member with less than three dimensions has zeros
    /// for the others.
    pub lengths: [usize; 3],
    /// The struct of a member that is one, or an array of them; otherwise NULL.
    pub structure: *const tl_structure,
    /// The scalar of a member that is one, or an array of them: TL_BOOL to TL_F64.
    pub scalar: i32,
}

/// A struct and its members. TL_DESCRIBE makes it. It is read while a writer or reader is opened,
/// and may be freed afterwards.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types, reason = "a name of C")]
pub struct tl_structure {
    /// sizeof(tl_structure).
    pub struct_size: u32,
    /// sizeof(tl_field).
    pub field_size: u32,
    /// The type's name, by which readers recognise it.
    pub name: *const c_char,
    /// Bytes of the struct, padding included.
    pub size: usize,
    /// The struct's alignment in bytes.
    pub alignment: usize,
    /// The members, in any order. Without any, channels carry no schema, and only the name and the
    /// size are compared.
    pub fields: *const tl_field,
    /// How many members there are.
    pub field_count: usize,
}

// SAFETY: integers and raw pointers.
unsafe impl boundary::OfC for tl_field {}

// SAFETY: integers and raw pointers.
unsafe impl boundary::OfC for tl_structure {}

// SAFETY: it begins with its size.
unsafe impl boundary::Options for tl_structure {
    const NAME: &str = "tl_structure";
    const MADE_BY: &str = "use TL_STRUCTURE(type)";
}

/// A struct that was described.
pub(crate) struct Structure {
    pub(crate) type_name: String,
    pub(crate) size: usize,
    /// `None` without members.
    pub(crate) schema: Option<Schema>,
}

/// Structs inside of structs go no deeper.
const MAX_DEPTH: u32 = 32;

/// Bytes of a member's description in the first version of the interface.
const FIRST_FIELD: usize = 64;

/// Bytes that it will never have.
const MAX_FIELD: usize = 4096;

/// A struct can have no more members than a schema.
const MAX_FIELDS: usize = 10_000;

/// The struct that C describes.
///
/// # Safety
///
/// `structure` points to a description that is as its documentation says, and so are all that it
/// leads to.
pub(crate) unsafe fn read(structure: *const tl_structure) -> Result<Structure> {
    // SAFETY: the caller's promise.
    let described = unsafe { Described::read(structure, 0)? };
    let Described { name, size, alignment, ref fields } = described;
    let type_name = format!("{name} of {size} bytes aligned to {alignment}");
    let wrong = |error| Failure::invalid(format!("the description of struct {name:?}: {error}"));
    let schema = (!fields.is_empty()).then(|| Schema::new(Encoding::Pod, described.into_type()));
    Ok(Structure { type_name, size, schema: schema.transpose().map_err(wrong)? })
}

/// A struct whose description was read.
struct Described<'a> {
    name: &'a str,
    size: usize,
    alignment: usize,
    /// In the order of their offsets.
    fields: Vec<Field>,
}

impl Described<'_> {
    /// # Safety
    ///
    /// As of the function [`read`].
    unsafe fn read<'a>(structure: *const tl_structure, depth: u32) -> Result<Described<'a>> {
        if depth > MAX_DEPTH {
            return Err(Failure::invalid(format!(
                "a description has structs inside of structs for more than {MAX_DEPTH} levels: does it \
                 contain itself?"
            )));
        }
        if structure.is_null() {
            return Err(Failure::invalid("the description of a struct is NULL: use TL_STRUCTURE(type)"));
        }
        // SAFETY: the caller's promise.
        let it = unsafe { boundary::options(structure)? };
        // SAFETY: the caller's promise.
        let name = unsafe { boundary::text(it.name, "tl_structure.name")? };
        let wrong = |text: String| Failure::invalid(format!("the description of struct {name:?}: {text}"));
        if it.size == 0 || !it.alignment.is_power_of_two() || !it.size.is_multiple_of(it.alignment) {
            let (size, alignment) = (it.size, it.alignment);
            return Err(wrong(format!("no struct has {size} bytes aligned to {alignment}")));
        }
        if it.field_count > MAX_FIELDS {
            return Err(wrong(format!("it has {} members, the maximum is {MAX_FIELDS}", it.field_count)));
        }
        if it.field_count > 0 && it.fields.is_null() {
            return Err(wrong("it has no members: use TL_DESCRIBE".into()));
        }
        let field_size = it.field_size as usize;
        if it.field_count > 0 && !(FIRST_FIELD..=MAX_FIELD).contains(&field_size) {
            return Err(wrong(format!("field_size is {field_size}: it must be sizeof(tl_field)")));
        }
        let (mut fields, mut names) = (Vec::with_capacity(it.field_count), HashSet::new());
        for index in 0..it.field_count {
            // SAFETY: there are that many members, of `field_size` bytes each.
            let field = unsafe { it.fields.byte_add(index * field_size) };
            // SAFETY: it is one of them.
            let field = unsafe { boundary::grown(field, field_size) };
            let field = field.ok_or_else(|| {
                wrong(
                    "a tl_field has more than this library knows: use a library as new as the header".into(),
                )
            })?;
            // SAFETY: the caller's promise.
            let (name, value) = unsafe { field.describe(depth)? };
            let end = field.offset.checked_add(field.size).filter(|end| *end <= it.size);
            if end.is_none() {
                return Err(wrong(format!("member {name:?} ends beyond its {} bytes", it.size)));
            }
            if !names.insert(name) {
                return Err(wrong(format!("it has two members of the name {name:?}")));
            }
            fields.push(Field { name: name.into(), offset: field.offset as u64, value });
        }
        fields.sort_by_key(|field| field.offset);
        for pair in fields.windows(2) {
            let end = pair[0].value.size().map(|size| pair[0].offset + size);
            if end.is_none_or(|end| end > pair[1].offset) {
                return Err(wrong(format!("members {:?} and {:?} overlap", pair[0].name, pair[1].name)));
            }
        }
        Ok(Described { name, size: it.size, alignment: it.alignment, fields })
    }

    /// The type of all its bytes.
    fn into_type(self) -> Type {
        let Described { name, size, mut fields, .. } = self;
        let end = fields.last().and_then(|last| Some(last.offset + last.value.size()?)).unwrap_or(0);
        let left = size as u64 - end;
        if left > 0 {
            let value = Type::Array { len: left, element: Box::new(Type::Scalar(Scalar::U8)) };
            fields.push(Field { name: PADDING.into(), offset: end, value });
        }
        Type::Struct { name: name.into(), fields: Fields::Named(fields) }
    }
}

impl tl_field {
    /// The name and the type.
    ///
    /// # Safety
    ///
    /// As of the function [`read`].
    unsafe fn describe<'a>(&self, depth: u32) -> Result<(&'a str, Type)> {
        // SAFETY: the caller's promise.
        let name = unsafe { boundary::text(self.name, "tl_field.name")? };
        let wrong = |text: String| Failure::invalid(format!("the description of member {name:?}: {text}"));
        let mut value = if self.scalar == TL_STRUCT {
            // SAFETY: the caller's promise.
            let described = unsafe { Described::read(self.structure, depth + 1)? };
            if described.fields.is_empty() {
                return Err(wrong("its struct is described without members: use TL_DESCRIBE".into()));
            }
            described.into_type()
        } else {
            let index = usize::try_from(self.scalar - TL_BOOL).ok();
            let scalar = index.and_then(|index| SCALARS.get(index));
            let scalar = scalar.ok_or_else(|| wrong(format!("{} is no TL_BOOL to TL_F64", self.scalar)))?;
            Type::Scalar(*scalar)
        };
        for len in self.lengths.into_iter().rev().filter(|len| *len > 0) {
            value = Type::Array { len: len as u64, element: Box::new(value) };
        }
        match value.size() {
            Some(size) if size == self.size as u64 => Ok((name, value)),
            size => {
                let size = size.map_or("too many".into(), |size| size.to_string());
                Err(wrong(format!("it has {} bytes, its type {size}", self.size)))
            }
        }
    }
}
