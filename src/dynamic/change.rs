//! What has changed from one state to the next.

use serde_json::{Map, Value};

use super::path::{FieldPath, Segment};

/// One value that is not what it was.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Change {
    /// Where it is.
    pub path: FieldPath,
    /// What it was; `None` if it was not there.
    pub old: Option<Value>,
    /// What it is; `None` if it is gone.
    pub new: Option<Value>,
}

/// What differs from `old` to `new`, as far down as both have objects or arrays there, in the order of `old`, and behind
/// it what is only in `new`. Elements of arrays are compared by position.
#[must_use]
pub fn differences(old: &Value, new: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    compare(&FieldPath::root(), Some(old), Some(new), &mut found);
    found
}

fn compare(path: &FieldPath, old: Option<&Value>, new: Option<&Value>, found: &mut Vec<Change>) {
    match (old, new) {
        (old, new) if old == new => {}
        (Some(Value::Object(old)), Some(Value::Object(new))) => objects(path, old, new, found),
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            for index in 0..old.len().max(new.len()) {
                compare(&path.then(Segment::Index(index)), old.get(index), new.get(index), found);
            }
        }
        (old, new) => {
            found.push(Change { path: path.clone(), old: old.cloned(), new: new.cloned() });
        }
    }
}

fn objects(path: &FieldPath, old: &Map<String, Value>, new: &Map<String, Value>, found: &mut Vec<Change>) {
    for (name, value) in old {
        compare(&path.then(Segment::Name(name.clone())), Some(value), new.get(name), found);
    }
    for (name, value) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
        compare(&path.then(Segment::Name(name.clone())), None, Some(value), found);
    }
}
