//! Fields of large plain states.

use std::marker::PhantomData;

/// A field of type `F` in a plain state of type `S`: its offset. Made by
/// [`field_of!`](crate::field_of).
#[derive(Debug)]
pub struct Field<S, F> {
    offset: usize,
    types: PhantomData<fn(&S) -> F>,
}

impl<S, F> Clone for Field<S, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S, F> Copy for Field<S, F> {}

impl<S, F> Field<S, F> {
    /// For [`field_of!`](crate::field_of). A wrong offset reads another field, or is out of range.
    #[doc(hidden)]
    #[must_use]
    pub const fn at_offset(offset: usize, _get: fn(&S) -> F) -> Field<S, F> {
        Field { offset, types: PhantomData }
    }

    /// Bytes from the beginning of the state.
    #[must_use]
    pub const fn offset(self) -> usize {
        self.offset
    }
}

impl<S, F, const N: usize> Field<S, [F; N]> {
    /// The element of this index.
    ///
    /// # Panics
    ///
    /// If the array has no such element.
    #[must_use]
    pub const fn index(self, index: usize) -> Field<S, F> {
        assert!(index < N, "the array has no such element");
        Field { offset: self.offset + index * size_of::<F>(), types: PhantomData }
    }
}

/// A field of a plain state, for [`Reader::field`](crate::Reader::field): `field_of!(State, position)`
/// or `field_of!(State, motor.speed)`. [`Field::index`] is an element of an array.
///
/// ```
/// # use tearless::{Namespace, Pod, field_of};
/// #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
/// #[repr(C)]
/// struct Robot { position: [f64; 3], image: [u8; 4096] }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let fleet = Namespace::open("fleet-of-fields")?;
/// let mut writer = fleet.writer_builder::<Robot>("robot").codec::<Pod>().open()?;
/// writer.publish(&Robot { position: [1.0, 2.0, 3.0], image: [0; 4096] })?;
///
/// let mut reader = fleet.reader_builder::<Robot>("robot").codec::<Pod>().open()?;
/// let height = reader.field(field_of!(Robot, position).index(2))?; // copies 8 bytes
/// assert_eq!(*height, 3.0);
/// # Ok(())
/// # }
/// ```
#[macro_export]
macro_rules! field_of {
    ($state:ty, $($field:tt)+) => {
        $crate::Field::<$state, _>::at_offset(
            ::core::mem::offset_of!($state, $($field)+),
            |state: &$state| state.$($field)+,
        )
    };
}
