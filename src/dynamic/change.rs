//! What has changed from one state to the next.

use serde_json::Value;

use super::path::FieldPath;
use super::trail::{Passed, Trail};

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

/// What has changed.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Differences {
    /// In the order of the old state, and behind it what is only in the new one.
    pub found: Vec<Change>,
    /// How many there are besides.
    pub left_out: usize,
}

impl Differences {
    /// Whether nothing has changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty() && self.left_out == 0
    }
}

/// What differs from `old` to `new`, as far down as both have objects or arrays there, in the order of `old`, and behind
/// it what is only in `new`. Elements of arrays are compared by position.
///
/// States may be anybody's: at most 10,000 changes are kept, whose paths take 4 MiB of memory together and 4 KiB each; all
/// others are counted. A step takes 24 bytes and those of its name.
///
/// Cost: a look at each value of both; a path for each change that is kept, and copies of its values.
#[must_use]
pub fn differences(old: &Value, new: &Value) -> Differences {
    let mut comparison = Comparison { trail: Trail::new(), found: Vec::new() };
    comparison.compare(Some(old), Some(new));
    Differences { found: comparison.found, left_out: comparison.trail.left_out() }
}

struct Comparison<'a> {
    trail: Trail<'a>,
    found: Vec<Change>,
}

impl<'a> Comparison<'a> {
    /// Each value is compared once: those of objects and arrays one by one.
    fn compare(&mut self, old: Option<&'a Value>, new: Option<&'a Value>) {
        match (old, new) {
            (Some(Value::Object(old)), Some(Value::Object(new))) => {
                for (name, value) in old {
                    self.step(Passed::Name(name), Some(value), new.get(name));
                }
                for (name, value) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
                    self.step(Passed::Name(name), None, Some(value));
                }
            }
            (Some(Value::Array(old)), Some(Value::Array(new))) => {
                for index in 0..old.len().max(new.len()) {
                    self.step(Passed::Index(index), old.get(index), new.get(index));
                }
            }
            (old, new) if old == new => {}
            (old, new) => {
                let change = |path| Change { path, old: old.cloned(), new: new.cloned() };
                self.found.extend(self.trail.keep().map(change));
            }
        }
    }

    fn step(&mut self, passed: Passed<'a>, old: Option<&'a Value>, new: Option<&'a Value>) {
        self.trail.push(passed);
        self.compare(old, new);
        self.trail.pop();
    }
}
