//! Several channels as of one instant: double collect.
//!
//! ```text
//!   c1  for each channel: p = published.load(Relaxed); fence(Acquire)
//!   c2  for each channel: r2 .. r5, the copy of publication p
//!   c3  for each channel: published.load(Relaxed) still p?
//! ```
//!
//! *If no number has moved, the copies are the states at one instant*, namely any instant between
//! the last load of c1 and the first of c3: numbers never return, so each publication was the
//! latest from the first load of its number to the second. In terms of happens-before: let one
//! writer publish a, and then another writer, knowing of a, publish b. A cut with b has seen b at
//! c1, whose fence makes a visible at c3; so a cut with b and without a finds a moved number. (Afek
//! et al., "Atomic snapshots of shared memory", 1993, call it a clean double collect; there the
//! values carry the numbers, too.)
//!
//! It succeeds only if no writer publishes during the copies. It is no loop: the caller decides how
//! often to try.

use super::{Published, Reader};
use crate::layout::Publication;
use crate::memory::Memory;

impl<C: Memory, R: Memory> Reader<C, R> {
    /// c1: the latest publication, and everything that its writer did, or knew of, before
    /// announcing it.
    pub(crate) fn collect(&self) -> Option<Publication> {
        // The acquire fence in `latest` keeps the loads of c3 from being satisfied before this one.
        // It pairs with w5 of each writer that published what this channel's writer knew of. (If
        // anything is copied in between, the fences of the copies do so, too.)
        Published::of_channel(self.control()).latest()
    }

    /// c3: whether `collected` is still the latest.
    pub(crate) fn is_still_at(&self, collected: Option<Publication>) -> bool {
        Publication::new(Published::of_channel(self.control()).peek()) == collected
    }
}
