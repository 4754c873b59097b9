//! Everything about channels, objects and namespaces that can be seen from outside: for tools and
//! for diagnosis.
//!
//! * [`Namespace::inspect`](crate::Namespace::inspect): an [`Inspection`] of one channel, down to
//!   its slots, whatever its type is, also after its writer died.
//! * [`Namespace::channels`](crate::Namespace::channels): the [`ChannelInfo`]s of a namespace;
//!   [`ChannelWatch`] notices changes.
//! * [`Namespace::unlisted_channels`](crate::Namespace::unlisted_channels): those that it
//!   lacks.
//! * [`namespaces`] and [`objects`]: what exists on this machine, without a name to begin with.
//! * [`similar`]: the names that a user may have meant.
//! * [`may_be_unmapped`]: whether an owner's id may be that of several users.
//! * [`capabilities`], [`capabilities_of`]: whether this machine, or a directory, can hold
//!   channels.
//!
//! An inspection takes no lock, stores nothing, and trusts nothing that it finds.

mod listing;
mod look;
mod report;
#[cfg(test)]
mod tests;

pub use crate::channel::{SchemaInspection, WriterState, similar};
pub use crate::layout::Side as SegmentSide;
pub use crate::object::may_be_unmapped;
#[doc(hidden)]
pub use crate::object::quoted;
pub use crate::registry::{ChannelInfo, ChannelWatch};
pub use crate::seqlock::ChannelState;
pub use listing::{
    Capability, NamespaceListing, ObjectListing, capabilities, capabilities_of, namespaces, objects,
};
pub(crate) use look::inspect;
pub use report::{
    Inspection, NamespaceInfo, ObjectInfo, ObjectKind, ObjectState, SegmentInspection, SlotInspection,
    SlotState,
};
