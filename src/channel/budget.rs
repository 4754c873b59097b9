//! Budgets of shared memory: of one channel, and of its namespace.
//!
//! The listing determines what is used, so that leftovers and replaced segments count with the
//! memory that they take. Creating and growing make system calls anyway; without a budget nothing
//! is listed.
//!
//! Checking and creating are two steps. Two processes that grow at the same moment may each find
//! room for itself: then the namespace exceeds its budget by one of the two growths. Only the
//! writer of a channel grows it, so a channel's own budget has no such gap.

use std::fmt;
use std::sync::Arc;

use crate::layout::ObjectNames;
use crate::object::{Backend, ObjectError, if_exists};

/// Maximum bytes of shared memory; `None` for no limit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Budgets {
    pub(crate) channel: Option<u64>,
    pub(crate) namespace: Option<u64>,
}

/// Which budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BudgetScope {
    /// The budget of one channel: [`WriterBuilder::max_memory`](crate::WriterBuilder::max_memory).
    Channel,
    /// The budget of all channels together:
    /// [`NamespaceBuilder::max_memory`](crate::NamespaceBuilder::max_memory).
    Namespace,
}

/// A budget of shared memory that an operation would have exceeded. All numbers are bytes that have
/// memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OverBudget {
    /// Which budget.
    pub scope: BudgetScope,
    /// Maximum that may be used.
    pub budget: u64,
    /// Bytes used now, including leftovers and segments that are being replaced.
    pub used: u64,
    /// Bytes that the operation needs in addition.
    pub needed: u64,
}

impl fmt::Display for OverBudget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OverBudget { budget, used, needed, .. } = self;
        let (whose, remedy) = match self.scope {
            BudgetScope::Channel => ("channel", "raise WriterBuilder::max_memory, or publish smaller states"),
            BudgetScope::Namespace => (
                "namespace",
                "raise NamespaceBuilder::max_memory, or remove channels or blocks (see Namespace::memory)",
            ),
        };
        write!(
            formatter,
            "{needed} bytes beside the {used} in use exceed the {whose}'s budget of {budget}: {remedy}"
        )
    }
}

/// The limit that a state exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SizeLimit {
    /// The maximum length of a state:
    /// [`WriterBuilder::max_state_len`](crate::WriterBuilder::max_state_len).
    MaxStateLen,
    /// A budget has no room for the segment that it needs. Smaller states can be published as
    /// before.
    Budget(OverBudget),
}

impl SizeLimit {
    /// Error text for a state of `len` bytes that is refused.
    pub(super) fn text(&self, channel: &str, len: usize, max_state_len: usize) -> String {
        match self {
            SizeLimit::MaxStateLen => format!(
                "a state of {len} bytes exceeds the maximum of {max_state_len} bytes of channel \
                 {channel:?}: raise WriterBuilder::max_state_len"
            ),
            SizeLimit::Budget(over) => {
                format!("channel {channel:?} can't grow for a state of {len} bytes: {over}")
            }
        }
    }
}

impl Budgets {
    /// The budget that `needed` more bytes would exceed, if they would.
    pub(crate) fn exceeded(
        self,
        backend: &Arc<dyn Backend>,
        names: &ObjectNames,
        needed: u64,
    ) -> Result<Option<OverBudget>, ObjectError> {
        let scopes = [
            (BudgetScope::Channel, self.channel, names.stem()),
            (BudgetScope::Namespace, self.namespace, names.namespace_prefix()),
        ];
        for (scope, budget, prefix) in scopes {
            let Some(budget) = budget else { continue };
            let used = used(backend, prefix)?;
            if used.saturating_add(needed) > budget {
                return Ok(Some(OverBudget { scope, budget, used, needed }));
            }
        }
        Ok(None)
    }
}

/// Bytes of all objects whose names begin with `prefix`. An object that is removed in the meantime
/// counts as nothing.
fn used(backend: &Arc<dyn Backend>, prefix: &str) -> Result<u64, ObjectError> {
    let mut used = 0;
    for object in backend.list(prefix)? {
        used += if_exists(backend.size(&object))?.map_or(0, |size| size.resident);
    }
    Ok(used)
}
