//! Managed memory: blocks.

use std::ffi::c_int;
use std::sync::{Mutex, PoisonError};

use pyo3::ffi;
use pyo3::prelude::*;
use tearless::block::{Block as Owned, BlockMut, BlockView};

use crate::buffer::fill;
use crate::errors::raise;
use crate::fork;

/// How a block is mapped.
enum Mapped {
    Writable(BlockMut),
    ReadOnly(BlockView),
}

/// Raw memory under a name: an object with the buffer protocol, which keeps the memory mapped.
#[pyclass(frozen, weakref, module = "tearless._tearless")]
pub(crate) struct Block {
    mapped: Mapped,
    /// The ownership, in the process that created the block, until it is closed.
    owned: Mutex<Option<Owned>>,
    generation: u64,
}

impl Block {
    pub(crate) fn owned(block: Owned) -> Block {
        Block {
            mapped: Mapped::Writable((*block).clone()),
            owned: Mutex::new(Some(block)),
            generation: fork::generation(),
        }
    }

    pub(crate) fn writable(block: BlockMut) -> Block {
        Block { mapped: Mapped::Writable(block), owned: Mutex::new(None), generation: fork::generation() }
    }

    pub(crate) fn read_only(block: BlockView) -> Block {
        Block { mapped: Mapped::ReadOnly(block), owned: Mutex::new(None), generation: fork::generation() }
    }

    fn view(&self) -> &BlockView {
        match &self.mapped {
            Mapped::Writable(block) => block,
            Mapped::ReadOnly(block) => block,
        }
    }
}

#[pymethods]
impl Block {
    #[getter]
    fn name(&self) -> &str {
        self.view().name()
    }

    #[getter]
    fn label(&self) -> &str {
        self.view().label()
    }

    #[getter]
    fn instance(&self) -> u64 {
        self.view().instance()
    }

    #[getter]
    fn owner_pid(&self) -> u64 {
        self.view().owner_pid()
    }

    #[getter]
    fn is_read_only(&self) -> bool {
        matches!(self.mapped, Mapped::ReadOnly(_))
    }

    #[getter]
    fn is_owner(&self) -> bool {
        let is_ours = self.generation == fork::generation();
        is_ours && self.owned.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The address of the first byte, to find which block an array lies in.
    #[getter]
    fn address(&self) -> usize {
        self.view().as_ptr().addr()
    }

    fn is_current(&self) -> bool {
        self.view().is_current()
    }

    fn owner_state(&self) -> PyResult<&'static str> {
        Ok(self.view().owner_state().map_err(raise)?.name())
    }

    /// Removes the block, if this object owns it. Arrays that are there keep the memory.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let owned = self.owned.lock().unwrap_or_else(PoisonError::into_inner).take();
        match owned {
            Some(owned) => fork::detached(py, || owned.close()).map_err(raise),
            None => Ok(()),
        }
    }

    fn __len__(&self) -> usize {
        self.view().len()
    }

    /// # Safety
    ///
    /// Called by Python only, with a view to fill.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let block = slf.get();
        let (start, len, is_read_only) =
            (block.view().as_ptr().cast_mut(), block.view().len(), block.is_read_only());
        // SAFETY: this object keeps the block mapped, for writing unless it is read-only. `view` is
        // what Python gave.
        unsafe { fill(slf.into_any(), view, flags, start, len, is_read_only) }
    }
}
