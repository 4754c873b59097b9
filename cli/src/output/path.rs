//! Paths that are put together while a state is walked.

use tearless::dynamic::{FieldPath, Step};

/// What `step` adds to the path `behind` it, as [`FieldPath`] writes it.
pub(crate) fn step_text(behind: &str, step: Step) -> String {
    let text = FieldPath::root().then(step).to_string();
    let dot = if behind.is_empty() || text.starts_with('[') { "" } else { "." };
    format!("{dot}{text}")
}
