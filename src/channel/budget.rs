//! Budgets of shared memory: of one channel, and of its namespace.
//!
//! The memory in use is that of all listed objects, so leftovers and replaced segments count as
//! what they cost. Creating and growing make system calls anyway; without a budget nothing is
//! listed.
//!
//! Listing and creating are two steps. Two processes that grow at the same moment may each find
//! room for themselves: then the namespace exceeds its budget by one of the two growths. Only the
//! writer of a channel grows it, so a channel's own budget has no such gap.

use std::fmt;
use std::sync::Arc;

use crate::layout::ObjectNames;
use crate::object::{Backend, ObjectError, if_exists};

/// Limits of shared memory, in bytes; `None` for no limit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Budgets {
    pub(crate) channel: Option<u64>,
    pub(crate) namespace: Option<u64>,
}

/// What a budget is the limit of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BudgetScope {
    /// One channel: [`WriterBuilder::max_memory`](crate::WriterBuilder::max_memory).
    Channel,
    /// All channels of a namespace together:
    /// [`NamespaceBuilder::max_memory`](crate::NamespaceBuilder::max_memory).
    Namespace,
}

/// A budget of shared memory that creating or growing a channel would exceed. All numbers are
/// resident bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OverBudget {
    /// The budget's scope.
    pub scope: BudgetScope,
    /// The budget.
    pub budget: u64,
    /// In use now, including leftovers and segments that are being replaced.
    pub used: u64,
    /// Needed in addition.
    pub needed: u64,
}

impl fmt::Display for OverBudget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OverBudget { budget, used, needed, .. } = self;
        let (whose, remedy) = match self.scope {
            BudgetScope::Channel => ("channel", "raise WriterBuilder::max_memory, or publish smaller states"),
            BudgetScope::Namespace => (
                "namespace",
                "raise NamespaceBuilder::max_memory, or remove channels (see Namespace::memory)",
            ),
        };
        write!(
            formatter,
            "{needed} bytes more than the {used} in use are above the {whose}'s budget of {budget}: {remedy}"
        )
    }
}

/// The limit that a state exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SizeLimit {
    /// The limit of a single state:
    /// [`WriterBuilder::max_state_len`](crate::WriterBuilder::max_state_len).
    MaxStateLen,
    /// The segment that the state needs does not fit into the budget. Smaller states can still be
    /// published.
    Budget(OverBudget),
}

impl SizeLimit {
    /// The error text for a state of `len` bytes.
    pub(super) fn text(&self, channel: &str, len: usize, limit: usize) -> String {
        match self {
            SizeLimit::MaxStateLen => format!(
                "a state of {len} bytes is above the limit of {limit} bytes of channel {channel:?}: raise WriterBuilder::max_state_len"
            ),
            SizeLimit::Budget(over) => {
                format!("channel {channel:?} can't grow for a state of {len} bytes: {over}")
            }
        }
    }
}

/// Why nothing more may be created.
#[derive(Debug)]
pub(super) enum Unaffordable {
    Over(OverBudget),
    /// The memory in use can't be determined.
    Unknown(ObjectError),
}

impl Budgets {
    /// Checks that `needed` more bytes are within both budgets.
    pub(super) fn afford(
        self,
        backend: &Arc<dyn Backend>,
        names: &ObjectNames,
        needed: u64,
    ) -> Result<(), Unaffordable> {
        let scopes = [
            (BudgetScope::Channel, self.channel, names.stem()),
            (BudgetScope::Namespace, self.namespace, names.namespace_prefix()),
        ];
        for (scope, budget, prefix) in scopes {
            let Some(budget) = budget else { continue };
            let used = used(backend, prefix).map_err(Unaffordable::Unknown)?;
            if used.saturating_add(needed) > budget {
                return Err(Unaffordable::Over(OverBudget { scope, budget, used, needed }));
            }
        }
        Ok(())
    }
}

/// Bytes of all objects whose names begin with `prefix`, of all users. An object that is
/// removed after the listing costs nothing.
fn used(backend: &Arc<dyn Backend>, prefix: &str) -> Result<u64, ObjectError> {
    let mut used = 0;
    for object in backend.list(prefix)? {
        used += if_exists(backend.size(&object))?.map_or(0, |size| size.resident);
    }
    Ok(used)
}
