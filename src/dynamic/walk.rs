//! Walks over JSON values: the value at a path, the leaves of a state, the changes between two
//! states.

use std::mem::discriminant;

use serde_json::Value;

use crate::schema::{FieldPath, Step, Trail};

/// The most paths that are kept.
const MAX_PATHS: usize = 10_000;

/// The most paths that are shown.
const MAX_SHOWN: usize = 1_000;

/// The most bytes of one path in memory. Longer paths are left out: a shortened path would lead
/// elsewhere.
const MAX_PATH: usize = 4 * 1024;

/// The most bytes of all paths in memory.
const MAX_BYTES: usize = 4 * 1024 * 1024;

impl FieldPath {
    /// The value at this path; `None` if there is none.
    #[must_use]
    pub fn find<'a>(&self, state: &'a Value) -> Option<&'a Value> {
        self.steps().iter().try_fold(state, |value, step| match step {
            Step::Name(name) => value.as_object()?.get(name),
            Step::Index(index) => value.as_array()?.get(*index),
        })
    }
}

/// The values at the ends of a state.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Leaves<'a> {
    /// The leaves that are kept, in order, with their paths.
    pub found: Vec<(FieldPath, &'a Value)>,
    /// The number of leaves that are not kept.
    pub left_out: usize,
}

/// All values in `state` that have no values inside of them, in order, with their paths: an empty
/// array is a leaf, too.
///
/// The state may be untrusted: at most 10,000 leaves are kept, whose paths take 4 KiB of memory
/// each and 4 MiB together. The other leaves are counted. A step takes 24 bytes and those of its
/// name.
///
/// Cost: visits each value, and makes a path for each leaf that is kept.
#[must_use]
pub fn leaves(state: &Value) -> Leaves<'_> {
    let mut search = Search::new();
    search.collect(state, Trail::ROOT, false);
    Leaves { found: search.found, left_out: search.left_out }
}

/// The paths to the values in `state`, those of objects and arrays before what is in them, and the
/// first element of an array for all of its kind: the first 1,000, and the number of all. They are
/// limited as those of [`leaves`].
pub(super) fn paths(state: &Value) -> (Vec<String>, usize) {
    let mut search = Search::new();
    search.collect(state, Trail::ROOT, true);
    let count = search.found.len() + search.left_out;
    (search.found.iter().take(MAX_SHOWN).map(|(path, _)| path.to_string()).collect(), count)
}

/// One value that changed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Change {
    /// The path of the value.
    pub path: FieldPath,
    /// The old value; `None` if there was none.
    pub old: Option<Value>,
    /// The new value; `None` if there is none.
    pub new: Option<Value>,
}

/// The changes between two states.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Differences {
    /// The changes that are kept: in the order of the old state, then those that only the new state
    /// has.
    pub found: Vec<Change>,
    /// The number of changes that are not kept.
    pub left_out: usize,
}

impl Differences {
    /// Whether the states are equal.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty() && self.left_out == 0
    }
}

/// The changes from `old` to `new`. Objects are compared by name and arrays by position wherever
/// both states have them; other values are compared as a whole. Values that only `new` has come
/// last.
///
/// The states may be untrusted: at most 10,000 changes are kept, whose paths take 4 KiB of memory
/// each and 4 MiB together. The other changes are counted. A step takes 24 bytes and those of its
/// name.
///
/// Cost: visits each value of both states; each change that is kept takes a path and copies of its
/// values.
#[must_use]
pub fn differences(old: &Value, new: &Value) -> Differences {
    let mut search = Search::new();
    search.compare(Some(old), Some(new), Trail::ROOT);
    Differences { found: search.found, left_out: search.left_out }
}

/// What a walk has found, each with a path.
struct Search<F> {
    found: Vec<F>,
    /// The bytes that further paths may take.
    bytes_left: usize,
    left_out: usize,
}

impl<F> Search<F> {
    fn new() -> Search<F> {
        Search { found: Vec::new(), bytes_left: MAX_BYTES, left_out: 0 }
    }

    /// Keeps what is at the end of `trail`, if its path may be kept; else counts it.
    fn keep(&mut self, trail: Trail<'_>, find: impl FnOnce(FieldPath) -> F) {
        let bytes = trail.bytes();
        if bytes > MAX_PATH || bytes > self.bytes_left || self.found.len() == MAX_PATHS {
            self.left_out += 1;
        } else {
            self.bytes_left -= bytes;
            self.found.push(find(trail.to_path()));
        }
    }
}

impl<'a> Search<(FieldPath, &'a Value)> {
    /// Collects the leaves; or all values inside of the state, of an array one of each kind.
    fn collect(&mut self, value: &'a Value, trail: Trail<'_>, takes_all: bool) {
        let is_leaf = || match value {
            Value::Array(elements) => elements.is_empty(),
            Value::Object(members) => members.is_empty(),
            _ => true,
        };
        let is_found = if takes_all { trail.bytes() > 0 } else { is_leaf() };
        if is_found {
            self.keep(trail, |path| (path, value));
        }
        match value {
            Value::Array(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    if !takes_all || index == 0 || discriminant(element) != discriminant(&elements[0]) {
                        self.collect(element, trail.index(index), takes_all);
                    }
                }
            }
            Value::Object(members) => {
                for (name, member) in members {
                    self.collect(member, trail.name(name), takes_all);
                }
            }
            _ => {}
        }
    }
}

impl Search<Change> {
    /// Compares each value once: those of objects and arrays one by one.
    fn compare(&mut self, old: Option<&Value>, new: Option<&Value>, trail: Trail<'_>) {
        match (old, new) {
            (Some(Value::Object(old)), Some(Value::Object(new))) => {
                for (name, value) in old {
                    self.compare(Some(value), new.get(name), trail.name(name));
                }
                for (name, value) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
                    self.compare(None, Some(value), trail.name(name));
                }
            }
            (Some(Value::Array(old)), Some(Value::Array(new))) => {
                for index in 0..old.len().max(new.len()) {
                    self.compare(old.get(index), new.get(index), trail.index(index));
                }
            }
            (old, new) if old == new => {}
            (old, new) => {
                self.keep(trail, |path| Change { path, old: old.cloned(), new: new.cloned() });
            }
        }
    }
}
