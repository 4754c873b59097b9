//! What is shown of the selected worker's state.

use super::fields::Fields;

/// A worker's state as it was when it was looked at last: plain data.
#[derive(Clone, Debug, Default)]
pub(super) struct Detail {
    /// The channel's name, fit to be shown; empty while no worker is selected.
    pub(super) label: String,
    /// Codec and schema.
    pub(super) format: String,
    /// Number of the state.
    pub(super) publication: u64,
    pub(super) fields: Fields,
    /// What there is to say instead of fields, or after them.
    pub(super) note: Option<String>,
}
