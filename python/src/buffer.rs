//! Memory that crosses: buffers that Python code gives, and buffers that are given to it.

use std::ffi::c_int;
use std::ptr::NonNull;
use std::slice;

use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;

use crate::errors::Class;

/// The memory of an object of Python with the buffer protocol, in one piece. The object does not
/// move or free it as long as this value lives.
pub(crate) struct Buffer(PyUntypedBuffer);

impl Buffer {
    /// The memory of `object`, for reading, in the order in which `bytes(object)` has it.
    pub(crate) fn of(object: &Bound<'_, PyAny>) -> PyResult<Buffer> {
        let refused = |why: &str| {
            let of = object.get_type().name().map_or_else(|_| "object".into(), |name| name.to_string());
            Class::TypeMismatch.error("", &format!("a value of the type {of} {why}"))
        };
        let buffer =
            PyUntypedBuffer::get(object).map_err(|_| refused("has no bytes: give bytes or an array"))?;
        if !buffer.is_c_contiguous() {
            return Err(refused("is not in one piece and order: give numpy.ascontiguousarray(…) of it"));
        }
        Ok(Buffer(buffer))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len_bytes()
    }

    fn address(&self) -> *mut u8 {
        // Of no bytes, the address may be null.
        NonNull::new(self.0.buf_ptr()).map_or(NonNull::dangling(), NonNull::cast).as_ptr()
    }

    /// The bytes, for `look`, which calls no Python code.
    ///
    /// Another thread of Python that writes to the object meanwhile makes the bytes any mixture of
    /// old and new, as with `bytes(object)` and every other C function.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&[u8]) -> R) -> R {
        // SAFETY: the buffer has `len` bytes there, in one piece, until it is released. That no
        // other thread writes to them is up to the Python program, as for all functions in C.
        look(unsafe { slice::from_raw_parts(self.address(), self.len()) })
    }
}

/// Answers `__getbuffer__` of `owner` with the `len` bytes at `start`.
///
/// # Safety
///
/// The bytes are mapped as long as `owner` lives, and may be written to unless `is_read_only`.
/// `view` is the argument of `__getbuffer__`.
pub(crate) unsafe fn fill(
    owner: Bound<'_, PyAny>,
    view: *mut ffi::Py_buffer,
    flags: c_int,
    start: *mut u8,
    len: usize,
    is_read_only: bool,
) -> PyResult<()> {
    if view.is_null() {
        return Err(PyBufferError::new_err("there is no view to fill"));
    }
    let len = ffi::Py_ssize_t::try_from(len).expect("no mapping is larger");
    // SAFETY: the caller's promise; the view gets a reference to `owner`.
    let filled = unsafe {
        ffi::PyBuffer_FillInfo(view, owner.as_ptr(), start.cast(), len, is_read_only.into(), flags)
    };
    if filled == 0 { Ok(()) } else { Err(PyErr::fetch(owner.py())) }
}
