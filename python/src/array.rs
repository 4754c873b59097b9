//! Arrays over payloads: a header that was read once is not read again.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::Mutex;

use numpy::npyffi::{self, NpyTypes, PY_ARRAY_API, flags, npy_intp};
use numpy::{PyArrayDescr, PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::sync::PyOnceLock;

use crate::errors::{Class, raise};
use crate::fork;
use crate::reader::{LARGE, Reader, Snapshot, View};

/// What the header of a payload says, and the length of the payload.
#[pyclass(frozen, module = "tearless._tearless")]
pub(crate) struct Layout {
    head: Vec<u8>,
    len: usize,
    dtype: Py<PyArrayDescr>,
    shape: Vec<usize>,
    is_fortran: bool,
}

impl Layout {
    fn is_of(&self, payload: &[u8]) -> bool {
        payload.len() == self.len && payload.starts_with(&self.head)
    }

    /// A new array, whose elements are uninitialised.
    fn empty<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyUntypedArray>> {
        let (rank, mut lengths) = self.lengths();
        let dtype = self.dtype.clone_ref(py).into_bound(py).into_dtype_ptr();
        // SAFETY: there are `rank` lengths; the function takes the reference to the type.
        let made = unsafe {
            PY_ARRAY_API.PyArray_Empty(py, rank, lengths.as_mut_ptr(), dtype, self.is_fortran.into())
        };
        // SAFETY: it is a new reference, or null with an exception.
        let made = unsafe { Bound::from_owned_ptr_or_err(py, made) }?;
        Ok(made.cast_into()?)
    }

    /// The array of a view of a payload that [is of](Self::is_of) this layout, in place, read-only.
    fn in_place<'py>(&self, view: &Bound<'py, View>) -> PyResult<Bound<'py, PyUntypedArray>> {
        let py = view.py();
        let payload = view.get().payload();
        assert!(self.is_of(payload));
        let start = payload[self.head.len()..].as_ptr().cast::<c_void>().cast_mut();
        let (rank, mut lengths) = self.lengths();
        let dtype = self.dtype.clone_ref(py).into_bound(py).into_dtype_ptr();
        let order =
            if self.is_fortran { flags::NPY_ARRAY_F_CONTIGUOUS } else { flags::NPY_ARRAY_C_CONTIGUOUS };
        // SAFETY: asks for a constant of NumPy.
        let class = unsafe { npyffi::get_type_object(py, NpyTypes::PyArray_Type) };
        // SAFETY: there are `rank` lengths; without strides the elements are one after another, and
        // the header was checked to say as many as there are bytes. Without the flag, nothing is
        // written there. The function takes the reference to the type.
        let made = unsafe {
            PY_ARRAY_API.PyArray_NewFromDescr(
                py,
                class,
                dtype,
                rank,
                lengths.as_mut_ptr(),
                ptr::null_mut(),
                start,
                order,
                ptr::null_mut(),
            )
        };
        // SAFETY: it is a new reference, or null with an exception.
        let made: Bound<'py, PyUntypedArray> =
            unsafe { Bound::from_owned_ptr_or_err(py, made) }?.cast_into()?;
        // The array keeps the view, and so its memory.
        // SAFETY: both are objects; the function takes the reference to the view.
        let set =
            unsafe { PY_ARRAY_API.PyArray_SetBaseObject(py, made.as_array_ptr(), view.clone().into_ptr()) };
        if set == 0 { Ok(made) } else { Err(PyErr::fetch(py)) }
    }

    fn lengths(&self) -> (c_int, Vec<npy_intp>) {
        let rank = c_int::try_from(self.shape.len()).expect("NumPy's arrays have at most 64 dimensions");
        (rank, self.shape.iter().map(|&length| length as npy_intp).collect())
    }

    /// Whether states of this layout can be stored in an array. Calls no Python code.
    fn fits(&self, array: &Bound<'_, PyUntypedArray>) -> bool {
        let (dtype, wanted) = (array.dtype(), self.dtype.bind(array.py()));
        let is_in_order =
            if self.is_fortran { array.is_fortran_contiguous() } else { array.is_c_contiguous() };
        is_in_order
            && array.shape() == self.shape
            && (dtype.is(wanted) || dtype.is_equiv_to(wanted))
            && is_writeable(array)
    }

    /// An array for a state of this layout: a new one, or `out` if it fits.
    fn target<'py>(
        &self,
        py: Python<'py>,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyUntypedArray>>> {
        match out {
            Some(out) => {
                let array = out.cast::<PyUntypedArray>().ok().filter(|array| self.fits(array));
                // What is stored under its mask would stay hidden.
                let array =
                    array.filter(|array| array.is_exact_instance_of::<PyUntypedArray>() || !is_masked(array));
                Ok(array.cloned())
            }
            None => self.empty(py).map(Some),
        }
    }

    /// Stores the elements of `payload`, which [is of](Self::is_of) this layout, at the
    /// [address] of a [target](Self::target), which lives.
    fn store(&self, payload: &[u8], address: usize) {
        let elements = &payload[self.head.len()..];
        let array = ptr::with_exposed_provenance_mut::<u8>(address);
        // SAFETY: the array has this layout, which was made of a header that says as many bytes of
        // elements as the payload has; they are in one piece, and may be written to. The two may
        // overlap: an array may be memory of this library, too. That no other thread resizes the
        // array meanwhile is up to the Python program, as for all functions in C.
        unsafe { ptr::copy(elements.as_ptr(), array, elements.len()) }
    }
}

fn is_writeable(array: &Bound<'_, PyUntypedArray>) -> bool {
    // SAFETY: the array lives, and this thread is attached to the interpreter.
    let fields = unsafe { npyffi::_PyArray_GET_ITEM_DATA(array.as_array_ptr()) };
    // SAFETY: as above.
    let flags = unsafe { (*fields).flags };
    flags & flags::NPY_ARRAY_WRITEABLE != 0
}

fn is_masked(array: &Bound<'_, PyUntypedArray>) -> bool {
    static MASKED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = array.py();
    let class = MASKED
        .get_or_try_init(py, || Ok::<_, PyErr>(py.import("numpy.ma")?.getattr("MaskedArray")?.unbind()));
    class.is_ok_and(|class| array.is_instance(class.bind(py)).unwrap_or(false))
}

/// Where the elements of an array begin.
fn address(array: &Bound<'_, PyUntypedArray>) -> usize {
    // SAFETY: the array lives, and this thread is attached to the interpreter.
    let fields = unsafe { npyffi::_PyArray_GET_ITEM_DATA(array.as_array_ptr()) };
    // SAFETY: as above.
    let start = unsafe { (*fields).data };
    start.expose_provenance()
}

#[pymethods]
impl Layout {
    /// Refuses a header that does not say what the length says: all else here relies on it.
    #[new]
    fn new(
        head: Vec<u8>,
        len: usize,
        dtype: Bound<'_, PyArrayDescr>,
        shape: Vec<usize>,
        is_fortran: bool,
    ) -> PyResult<Layout> {
        let size = dtype.itemsize();
        let bytes = shape.iter().try_fold(size, |bytes, &length| bytes.checked_mul(length));
        if dtype.has_object()
            || size == 0
            || bytes.and_then(|bytes| bytes.checked_add(head.len())) != Some(len)
        {
            let text = "the header of the array does not match its payload";
            return Err(Class::Decode.error("", text));
        }
        Ok(Layout { head, len, dtype: dtype.unbind(), shape, is_fortran })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.dtype)
    }
}

/// The native part of `ArrayReader`.
#[pyclass(frozen, subclass, module = "tearless._tearless")]
pub(crate) struct ArrayReaderBase {
    reader: Py<Reader>,
    /// That of the last array. Locked by attached threads that call no Python code.
    layout: Mutex<Option<Py<Layout>>>,
}

impl ArrayReaderBase {
    fn last_layout(&self, py: Python<'_>) -> Option<Py<Layout>> {
        fork::lock(py, &self.layout).as_ref().map(|layout| layout.clone_ref(py))
    }

    /// The latest payload, and its layout, which Python code reads and judges if it is a new one.
    fn latest<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, View>, Py<Layout>)> {
        let (py, this) = (slf.py(), slf.get());
        let view = Bound::new(py, this.reader.get().view(py)?)?;
        let last = this.last_layout(py).filter(|layout| layout.get().is_of(view.get().payload()));
        let layout = match last {
            Some(layout) => layout,
            None => {
                let read: Bound<'py, Layout> = slf.call_method1("_layout", (&view,))?.cast_into()?;
                // A process that writes to the object without this library changes what is viewed.
                if !read.get().is_of(view.get().payload()) {
                    let text = "the header of the array has changed while it was read";
                    return Err(Class::Decode.error("", text));
                }
                let former = fork::lock(py, &this.layout).replace(read.clone().unbind());
                drop(former);
                read.unbind()
            }
        };
        Ok((view, layout))
    }

    /// Copies the latest payload if it is small and is of the last layout.
    fn take_small<'py>(
        &self,
        py: Python<'py>,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<Snapshot>> {
        let Some(layout) = self.last_layout(py) else { return Ok(None) };
        let layout = layout.get();
        if layout.len >= LARGE {
            return Ok(None);
        }
        let Some(array) = layout.target(py, out)? else { return Ok(None) };
        // Looked at again: another thread may have run while the reader was waited for.
        let is_fit = |payload: &[u8]| layout.is_of(payload) && layout.fits(&array);
        let info = self
            .reader
            .get()
            .look(py, |payload| is_fit(payload).then(|| layout.store(payload, address(&array))));
        Ok(info.map_err(raise)?.map(|info| Snapshot::new(array.into_any(), info)))
    }
}

#[pymethods]
impl ArrayReaderBase {
    /// The other arguments are for `ArrayReader.__init__`.
    #[new]
    #[expect(unused_variables, reason = "Python gives both functions all arguments")]
    fn new(reader: Py<Reader>, shape: &Bound<'_, PyAny>, dtype: &Bound<'_, PyAny>) -> ArrayReaderBase {
        ArrayReaderBase { reader, layout: Mutex::new(None) }
    }

    /// A copy of the latest array, as ``snapshot().value``; with `out`, into that array.
    ///
    /// With `out` it allocates nothing: the fastest way for small arrays. Other threads run while
    /// 64 KiB or more are copied; none of them may resize `out` meanwhile. Such a snapshot holds a
    /// pin as it copies, as a view does; where none is free, it copies twice.
    ///
    /// Raises `EmptyError` before the first publication, `ClosedError` when the channel is removed
    /// or replaced, and `TypeMismatchError` for an array that is not wanted, or does not fit `out`.
    #[pyo3(signature = (out=None))]
    fn snapshot<'py>(slf: &Bound<'py, Self>, out: Option<&Bound<'py, PyAny>>) -> PyResult<Snapshot> {
        let py = slf.py();
        if let Some(snapshot) = slf.get().take_small(py, out)? {
            return Ok(snapshot);
        }
        let (view, layout) = ArrayReaderBase::latest(slf)?;
        let Some(array) = layout.get().target(py, out)? else {
            return Err(PyErr::from_value(
                slf.call_method1("_misfit", (out, layout.get().in_place(&view)?))?,
            ));
        };
        let (payload, address, layout) = (view.get().payload(), address(&array), layout.get());
        match payload.len() < LARGE {
            true => layout.store(payload, address),
            false => py.detach(|| layout.store(payload, address)),
        }
        Ok(Snapshot::new(array.into_any(), view.get().info()))
    }

    /// The latest payload, and the array of it.
    #[pyo3(name = "_view")]
    fn view<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, View>, Bound<'py, PyUntypedArray>)> {
        let (view, layout) = ArrayReaderBase::latest(slf)?;
        let array = layout.get().in_place(&view)?;
        Ok((view, array))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // A layout refers to a type of NumPy alone, which refers to no reader.
        visit.call(&self.reader)
    }
}
