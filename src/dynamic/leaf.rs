//! The values at the ends of a tree.

use serde_json::Value;

use super::path::FieldPath;
use super::trail::{Passed, Trail};

/// The values at the ends of a state.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Leaves<'a> {
    /// In order, with the ways there.
    pub found: Vec<(FieldPath, &'a Value)>,
    /// How many there are besides.
    pub left_out: usize,
}

/// Everything in `state` that is neither an object nor an array, in order, with the way there. Empty objects and arrays
/// are no leaves.
///
/// The state may be anybody's: at most 10,000 leaves are kept, whose paths take 4 MiB of memory together and 4 KiB each;
/// all others are counted. A step takes 24 bytes and those of its name.
///
/// Cost: a look at each value, and a path for each leaf that is kept.
#[must_use]
pub fn leaves(state: &Value) -> Leaves<'_> {
    let mut found = Vec::new();
    let mut trail = Trail::new();
    collect(state, &mut trail, &mut found);
    Leaves { found, left_out: trail.left_out() }
}

fn collect<'a>(value: &'a Value, trail: &mut Trail<'a>, found: &mut Vec<(FieldPath, &'a Value)>) {
    let mut step = |passed, value| {
        trail.push(passed);
        collect(value, trail, found);
        trail.pop();
    };
    match value {
        Value::Array(elements) => {
            elements.iter().enumerate().for_each(|(index, element)| step(Passed::Index(index), element));
        }
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| step(Passed::Name(name), member));
        }
        leaf => found.extend(trail.keep().map(|path| (path, leaf))),
    }
}
