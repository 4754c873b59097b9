//! No bulk copy: the loops over words do everything.

use std::sync::atomic::AtomicU64;

/// Moves nothing.
///
/// # Safety
///
/// None is needed; that of another processor's copy is.
#[inline]
pub(super) unsafe fn load(_from: &[AtomicU64], _into: &mut [u8]) -> usize {
    0
}

/// Moves nothing.
///
/// # Safety
///
/// As for [`load`].
#[inline]
pub(super) unsafe fn store(_to: &[AtomicU64], _from: &[u8]) -> usize {
    0
}
