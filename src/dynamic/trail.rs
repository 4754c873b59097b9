//! The way to a value while a state is walked, and how many of such ways are kept.

use super::path::{FieldPath, Step};

/// Most paths that are kept.
const MAX_PATHS: usize = 10_000;

/// Most bytes of one path in memory. A longer one is left out, and not cut: it would lead elsewhere.
const MAX_PATH: usize = 4 * 1024;

/// Most bytes of all paths in memory.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// One step of the way.
#[derive(Clone, Copy)]
pub(super) enum Passed<'a> {
    Name(&'a str),
    Index(usize),
}

impl Passed<'_> {
    /// In memory, as a step of a path.
    fn bytes(self) -> usize {
        let name = match self {
            Passed::Name(name) => name.len(),
            Passed::Index(_) => 0,
        };
        size_of::<Step>() + name
    }

    fn step(self) -> Step {
        match self {
            Passed::Name(name) => Step::Name(name.into()),
            Passed::Index(index) => Step::Index(index),
        }
    }
}

/// The way to the value that is being looked at. Only paths that are kept are made of it.
pub(super) struct Trail<'a> {
    passed: Vec<Passed<'a>>,
    /// Of the path that would be made now.
    bytes: usize,
    paths_left: usize,
    bytes_left: usize,
    left_out: usize,
}

impl<'a> Trail<'a> {
    pub(super) fn new() -> Trail<'a> {
        Trail { passed: Vec::new(), bytes: 0, paths_left: MAX_PATHS, bytes_left: MAX_BYTES, left_out: 0 }
    }

    pub(super) fn push(&mut self, passed: Passed<'a>) {
        self.bytes += passed.bytes();
        self.passed.push(passed);
    }

    pub(super) fn pop(&mut self) {
        self.bytes -= self.passed.pop().map_or(0, Passed::bytes);
    }

    /// The way here, if it may be kept; else it is counted.
    pub(super) fn keep(&mut self) -> Option<FieldPath> {
        if self.bytes > MAX_PATH || self.bytes > self.bytes_left || self.paths_left == 0 {
            self.left_out += 1;
            return None;
        }
        self.paths_left -= 1;
        self.bytes_left -= self.bytes;
        Some(self.passed.iter().map(|passed| passed.step()).collect())
    }

    /// How many could not be kept.
    pub(super) fn left_out(&self) -> usize {
        self.left_out
    }
}
