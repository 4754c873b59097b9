//! The values at the ends of a tree.

use serde_json::Value;

use super::path::{FieldPath, Segment};

/// Everything in `state` that is neither an object nor an array, in order, with the way there. Empty objects and arrays
/// are no leaves.
///
/// Cost: a path for each.
#[must_use]
pub fn leaves(state: &Value) -> Vec<(FieldPath, &Value)> {
    let mut found = Vec::new();
    collect(&FieldPath::root(), state, &mut found);
    found
}

fn collect<'a>(path: &FieldPath, value: &'a Value, found: &mut Vec<(FieldPath, &'a Value)>) {
    match value {
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                collect(&path.then(Segment::Index(index)), element, found);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                collect(&path.then(Segment::Name(name.clone())), member, found);
            }
        }
        leaf => found.push((path.clone(), leaf)),
    }
}
