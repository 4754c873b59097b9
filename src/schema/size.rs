//! Sizes of plain data, each computed once.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::ptr;

use super::{Fields, Type};

/// The sizes of the elements of all arrays in a tree. [`Type::size`] walks all that a type consists of, each time.
#[derive(Debug)]
pub(crate) struct Strides<'a> {
    /// By the place of the element's type in memory, which does not move while it is borrowed.
    by_element: HashMap<*const Type, u64>,
    tree: PhantomData<&'a Type>,
}

impl<'a> Strides<'a> {
    /// Cost: one look at each type.
    pub(crate) fn of(root: &'a Type) -> Strides<'a> {
        let mut strides = Strides { by_element: HashMap::new(), tree: PhantomData };
        strides.measure(root);
        strides
    }

    /// From one element of an array in the tree to the next, in bytes; 0 if the element is no plain data.
    pub(crate) fn stride(&self, element: &Type) -> u64 {
        self.by_element.get(&ptr::from_ref(element)).copied().unwrap_or(0)
    }

    /// The same as [`Type::size`].
    fn measure(&mut self, described: &Type) -> Option<u64> {
        match described {
            Type::Array { len, element } => {
                let size = self.measure(element)?;
                self.by_element.insert(ptr::from_ref(element), size);
                size.checked_mul(*len)
            }
            Type::Struct { fields: Fields::Newtype(inner), .. } => self.measure(inner),
            Type::Struct { fields: Fields::Tuple(fields) | Fields::Named(fields), .. } => {
                fields.iter().try_fold(0, |max: u64, field| {
                    let end = field.offset.checked_add(self.measure(&field.value)?)?;
                    Some(end.max(max))
                })
            }
            leaf => leaf.size(),
        }
    }
}
