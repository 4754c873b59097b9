//! Views: publications as `&[u8]` or `&T`, without a copy where the channel has pins.
//!
//! Large states (frames, point clouds, order books) are copied by every snapshot. A view shows the
//! publication where the writer put it, for as long as the view is held. The writer does not wait
//! for views: it leaves their slots alone and takes others.
//!
//! ```
//! use tearless::view::TrustedWriters;
//! use tearless::{Bytes, Namespace};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let fleet = Namespace::open("fleet-of-views")?;
//! let camera = fleet.writer_builder::<[u8]>("camera").codec::<Bytes>();
//! let mut camera = camera.capacity(640 * 480).pins(4).open()?;
//! camera.publish(&[1; 640 * 480])?;
//!
//! let display = fleet.reader_builder::<Vec<u8>>("camera").codec::<Bytes>();
//! // SAFETY: of this user's processes, only tearless stores to the channel's memory; this one has
//! // no forks, and closes no descriptors that are not its own.
//! let mut display = display.views_in_place(unsafe { TrustedWriters::new() }).open()?;
//!
//! let frame = display.view()?;
//! camera.publish(&[2; 640 * 480])?;
//! assert!(frame.is_in_place() && !frame.is_latest());
//! assert_eq!(frame[..], [1; 640 * 480]);
//! # Ok(())
//! # }
//! ```
//!
//! # What it takes
//!
//! * The writer opens the channel with [`pins`](crate::WriterBuilder::pins): how many views there
//!   can be at a time, and as many spare slots in each segment.
//! * The reader gives a promise: [`TrustedWriters`]. A namespace in one process needs none.
//! * The reader may write to the channel's object: by default, it runs as the same user.
//! * The state has 4 KiB or more. A smaller one is copied in no more time.
//! * A pin is available. Each view that is held takes one; its clones share it, and so do a
//!   reader's further views of the same publication. A display that takes the next view before it
//!   drops the last one needs two.
//!
//! Otherwise a view is a copy, and [says so](View::is_in_place). Nothing else differs.
//!
//! # What it costs
//!
//! The first view of a reader opens the channel's object and keeps a descriptor and a page mapped,
//! and runs a barrier in the writer's process (`membarrier`, some microseconds).
//! Each further one takes a small allocation, a few stores and a fence, whatever the size of the
//! state. Where no pin is available, it takes a copy and sometimes looks for dead readers, by a
//! system call for each pin: at the first two such views, then after pauses of 1, 3, 7, … and at
//! most 63 views. A publication takes a fence and a look at the pins once a reader has begun to
//! view; with [`WakeMode::Never`](crate::options::WakeMode) always.
//!
//! A reader that is stopped keeps its pins. One that was killed keeps them until another reader
//! finds no free one and looks for dead readers: at most 63 copies later. A view that is forgotten
//! (`mem::forget`) keeps its pin as long as its process lives.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use crate::channel::{ChannelView, SnapshotInfo};
use crate::layout::WORD_BYTES;
#[cfg(doc)]
use crate::{Bytes, Pod};

pub use crate::memory::TrustedWriters;

/// A publication that does not change as long as the view is held: its bytes, or its plain data.
///
/// Made by `Reader::view` of a reader of [`Bytes`] or [`Pod`]. It keeps the memory that it shows by
/// itself, and outlives its reader, its channel and its writer. Clones show the same publication
/// and cost no pin.
pub struct View<T: ?Sized = [u8]> {
    shared: Arc<ChannelView>,
    types: PhantomData<fn() -> T>,
}

/// For a constant context: the memory of views is aligned to words.
pub(crate) const fn assert_aligned<T>() {
    assert!(align_of::<T>() <= WORD_BYTES, "the memory of a view is aligned to 8 bytes");
}

impl<T: ?Sized> View<T> {
    pub(crate) fn new(shared: Arc<ChannelView>) -> View<T> {
        View { shared, types: PhantomData }
    }

    /// The publication that the view shows.
    #[inline]
    #[must_use]
    pub fn info(&self) -> SnapshotInfo {
        self.shared.info
    }

    /// Whether the view shows the writer's memory. Otherwise it is a copy.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        self.shared.is_in_place()
    }

    /// Whether there is no later publication. Costs one load.
    #[must_use]
    pub fn is_latest(&self) -> bool {
        self.shared.is_latest()
    }
}

impl Deref for View<[u8]> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.shared.bytes()
    }
}

impl<T: bytemuck::Pod> Deref for View<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        bytemuck::from_bytes(self.shared.bytes())
    }
}

impl<T: ?Sized> Clone for View<T> {
    fn clone(&self) -> Self {
        View::new(Arc::clone(&self.shared))
    }
}

impl<T: ?Sized> AsRef<T> for View<T>
where
    View<T>: Deref<Target = T>,
{
    fn as_ref(&self) -> &T {
        self
    }
}

impl<T: ?Sized> fmt::Debug for View<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (info, is_in_place) = (self.info(), self.is_in_place());
        let mut shown = formatter.debug_struct("View");
        shown.field("publication", &info.publication()).field("len", &info.payload_len());
        shown.field("is_in_place", &is_in_place).finish()
    }
}
