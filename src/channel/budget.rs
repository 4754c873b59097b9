//! Budgets of shared memory: of one channel, and of its namespace.
//!
//! What is used is what the listing says, so that leftovers and replaced segments count as what they cost. Creating and
//! growing make system calls anyway; without a budget nothing is listed.
//!
//! Looking and creating are two steps. Two processes that grow at the same moment may each find room for itself: then
//! the namespace is beyond its budget by one of the two growths. Only the writer of a channel grows it, so a channel's
//! own budget has no such gap.

use std::fmt;
use std::sync::Arc;

use crate::layout::ObjectNames;
use crate::object::{Backend, ObjectError};

/// Bytes of shared memory that there may be at most; `None` for as many as there are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Budgets {
    pub(crate) channel: Option<u64>,
    pub(crate) namespace: Option<u64>,
}

/// Whose budget it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BudgetScope {
    /// That of one channel: [`WriterBuilder::max_memory`](crate::WriterBuilder::max_memory).
    Channel,
    /// That of all channels together: [`NamespaceBuilder::max_memory`](crate::NamespaceBuilder::max_memory).
    Namespace,
}

/// A budget of shared memory that something would have gone beyond. All numbers are bytes that have memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OverBudget {
    /// Whose budget.
    pub scope: BudgetScope,
    /// What may be used at most.
    pub budget: u64,
    /// What is used now, segments that are just being replaced and leftovers included.
    pub used: u64,
    /// What would have come on top of it.
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

/// What bounded a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SizeLimit {
    /// The limit of a single state: [`WriterBuilder::max_state_len`](crate::WriterBuilder::max_state_len).
    MaxStateLen,
    /// There was no room for the segment that it needs. Smaller states can be published as before.
    Budget(OverBudget),
}

impl SizeLimit {
    /// What is said of a state of `len` bytes that is refused.
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

/// Why nothing more was to be created.
#[derive(Debug)]
pub(super) enum Unaffordable {
    Over(OverBudget),
    /// What is used is not known.
    Unknown(ObjectError),
}

impl Budgets {
    /// Whether `needed` bytes more are within both budgets.
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

/// Bytes of all objects whose names begin with `prefix`. What is removed meanwhile costs nothing.
fn used(backend: &Arc<dyn Backend>, prefix: &str) -> Result<u64, ObjectError> {
    let mut used = 0;
    for object in backend.list(prefix)? {
        match backend.size(&object) {
            Ok(size) => used += size.resident,
            Err(ObjectError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(used)
}
