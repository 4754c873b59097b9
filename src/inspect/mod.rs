//! All that can be seen of channels and objects from outside, as plain data: for tools and for people.
//!
//! Nothing here takes part in the protocol: looking takes no lock, stores nothing, and trusts nothing that it finds.

mod listing;
mod look;
mod namespaces;
mod object;
mod report;
#[cfg(test)]
mod tests;

pub use listing::{objects};
pub(crate) use look::inspect;
pub use namespaces::{NamespaceInfo, namespaces};
pub use object::{ObjectInfo, ObjectKind, ObjectState, SegmentSide};
pub use report::{Inspection, SegmentInspection, SlotInspection, SlotState};
