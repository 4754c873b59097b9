//! Paths to values inside of a state: `queue[3].deadline`.

use std::fmt::{self, Display, Formatter};
#[cfg(feature = "dynamic")]
use std::iter;
use std::str::FromStr;

/// The path from a state to a value in it: `a.b[3].c`. Names with other characters than letters,
/// digits, `_` and `-` are in brackets and quotes, as a Rust literal: `by_name["worker 7"].load`.
/// The empty path is the state itself.
///
/// ```
/// # #[cfg(feature = "dynamic")] {
/// use tearless::schema::FieldPath;
///
/// let state = serde_json::json!({ "queue": [{ "deadline": 5 }], "by_name": { "worker 7": 0.5 } });
/// let path: FieldPath = "queue[0].deadline".parse()?;
/// assert_eq!(path.find(&state), Some(&5.into()));
/// let path: FieldPath = r#"by_name["worker 7"]"#.parse()?;
/// assert_eq!(path.find(&state), Some(&0.5.into()));
/// # }
/// # Ok::<(), tearless::schema::PathError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldPath {
    steps: Vec<Step>,
}

/// One step of a [`FieldPath`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// The member of an object: a struct's field, an enum's variant, a map's key.
    Name(String),
    /// The element of an array, counted from 0.
    Index(usize),
}

/// A text that is not a [`FieldPath`].
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column} of the path: {reason}")]
#[non_exhaustive]
pub struct PathError {
    /// The position of the error, in characters from 1.
    pub column: usize,
    /// What is wrong, and what is right.
    pub reason: &'static str,
}

debug_as_display!(PathError);

impl FieldPath {
    /// The path of the state itself.
    #[must_use]
    pub fn root() -> FieldPath {
        FieldPath::default()
    }

    /// The steps, beginning at the state.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// This path with another step. Cost: a copy of all steps; [`FieldPath::from_iter`] makes a
    /// path of many.
    #[must_use]
    pub fn then(&self, step: Step) -> FieldPath {
        let mut steps = self.steps.clone();
        steps.push(step);
        FieldPath { steps }
    }
}

/// The path of these steps, beginning at the state.
impl FromIterator<Step> for FieldPath {
    fn from_iter<I: IntoIterator<Item = Step>>(steps: I) -> FieldPath {
        FieldPath { steps: steps.into_iter().collect() }
    }
}

impl Display for FieldPath {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        self.steps.iter().enumerate().try_for_each(|(index, step)| {
            let step = match step {
                Step::Name(name) => TrailStep::Name(name),
                Step::Index(index) => TrailStep::Index(*index),
            };
            step.write(formatter, index == 0)
        })
    }
}

/// The path to the current value while a tree is walked: a list from that value back to the root,
/// on the stack. Walking allocates nothing; [`Trail::to_path`] and `Display` make paths that can be
/// kept.
#[derive(Clone, Copy)]
pub(crate) struct Trail<'a> {
    last: Option<(&'a Trail<'a>, TrailStep<'a>)>,
}

/// One step of a [`Trail`].
#[derive(Clone, Copy)]
pub(crate) enum TrailStep<'a> {
    Name(&'a str),
    Index(usize),
    /// Every element of a list, every value of a map.
    Each,
    /// The keys of a map.
    Keys,
}

impl<'a> Trail<'a> {
    /// The state itself.
    pub(crate) const ROOT: Trail<'static> = Trail { last: None };

    pub(crate) fn then(&'a self, step: TrailStep<'a>) -> Trail<'a> {
        Trail { last: Some((self, step)) }
    }

    pub(crate) fn name(&'a self, name: &'a str) -> Trail<'a> {
        self.then(TrailStep::Name(name))
    }

    pub(crate) fn index(&'a self, index: usize) -> Trail<'a> {
        self.then(TrailStep::Index(index))
    }

    pub(crate) fn each(&'a self) -> Trail<'a> {
        self.then(TrailStep::Each)
    }

    pub(crate) fn keys(&'a self) -> Trail<'a> {
        self.then(TrailStep::Keys)
    }
}

#[cfg(feature = "dynamic")]
impl<'a> Trail<'a> {
    /// The steps from the last to the first.
    fn steps_back(self) -> impl Iterator<Item = TrailStep<'a>> {
        iter::successors(self.last, |(behind, _)| behind.last).map(|(_, step)| step)
    }

    /// The memory that the path's steps and names take, in bytes.
    pub(crate) fn bytes(self) -> usize {
        self.steps_back().map(TrailStep::bytes).sum()
    }

    /// The path to one value, for trails of names and indices only.
    pub(crate) fn to_path(self) -> FieldPath {
        let mut steps: Vec<Step> = self.steps_back().filter_map(TrailStep::to_step).collect();
        steps.reverse();
        FieldPath { steps }
    }
}

impl Display for Trail<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Some((behind, step)) = self.last else { return Ok(()) };
        behind.fmt(formatter)?;
        step.write(formatter, behind.last.is_none())
    }
}

impl TrailStep<'_> {
    /// The one place that writes steps of paths.
    fn write(self, formatter: &mut Formatter<'_>, is_first: bool) -> fmt::Result {
        match self {
            TrailStep::Index(index) => write!(formatter, "[{index}]"),
            TrailStep::Each => formatter.write_str("[]"),
            TrailStep::Keys => formatter.write_str("[key]"),
            TrailStep::Name(name) if !is_plain(name) => write!(formatter, "[\"{}\"]", name.escape_debug()),
            TrailStep::Name(name) if is_first => formatter.write_str(name),
            TrailStep::Name(name) => write!(formatter, ".{name}"),
        }
    }

    #[cfg(feature = "dynamic")]
    fn bytes(self) -> usize {
        match self {
            TrailStep::Name(name) => size_of::<Step>() + name.len(),
            TrailStep::Index(_) | TrailStep::Each | TrailStep::Keys => size_of::<Step>(),
        }
    }

    #[cfg(feature = "dynamic")]
    fn to_step(self) -> Option<Step> {
        match self {
            TrailStep::Name(name) => Some(Step::Name(name.into())),
            TrailStep::Index(index) => Some(Step::Index(index)),
            TrailStep::Each | TrailStep::Keys => None,
        }
    }
}

/// Whether a path can hold this name without brackets and quotes.
fn is_plain(name: &str) -> bool {
    let mut characters = name.chars();
    let begins = characters.next().is_some_and(|first| first.is_alphabetic() || first == '_');
    begins && characters.all(|other| other.is_alphanumeric() || matches!(other, '_' | '-'))
}

impl FromStr for FieldPath {
    type Err = PathError;

    /// # Errors
    ///
    /// [`PathError`], which has the column of the error.
    fn from_str(text: &str) -> Result<FieldPath, PathError> {
        let mut parser = Parser { text, rest: text };
        let mut steps = Vec::new();
        while let Some(next) = parser.peek() {
            let step = match next {
                '[' => parser.bracket()?,
                '.' if steps.is_empty() => return parser.wrong("a path begins with a name or a bracket"),
                '.' => {
                    parser.next();
                    parser.name()?
                }
                _ if steps.is_empty() => parser.name()?,
                _ => return parser.wrong("after a bracket, write a dot before the next name"),
            };
            steps.push(step);
        }
        Ok(FieldPath { steps })
    }
}

struct Parser<'a> {
    text: &'a str,
    /// What is left of the text.
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let next = characters.next();
        self.rest = characters.as_str();
        next
    }

    /// Takes characters as long as they belong.
    fn take(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|next| !belongs(next)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// An error at the next character.
    fn wrong<V>(&self, reason: &'static str) -> Result<V, PathError> {
        let before = &self.text[..self.text.len() - self.rest.len()];
        Err(PathError { column: before.chars().count() + 1, reason })
    }

    fn expect(&mut self, expected: char, reason: &'static str) -> Result<(), PathError> {
        if self.peek() != Some(expected) {
            return self.wrong(reason);
        }
        self.next();
        Ok(())
    }

    fn name(&mut self) -> Result<Step, PathError> {
        let name = self.take(|next| !matches!(next, '.' | '[' | ']' | '"') && !next.is_control());
        match self.peek() {
            Some(next) if !matches!(next, '.' | '[') => {
                self.wrong("write a name with this character as [\"…\"]")
            }
            _ if name.is_empty() => self.wrong("a name is missing: write it after the dot"),
            _ => Ok(Step::Name(name.into())),
        }
    }

    fn bracket(&mut self) -> Result<Step, PathError> {
        self.next();
        let step = match self.peek() {
            Some('"') => Step::Name(self.quoted()?),
            Some('0'..='9') => Step::Index(self.index()?),
            _ => return self.wrong("write the number of an element, from 0, or \"a name\" in the brackets"),
        };
        self.expect(']', "a ] is missing: write it after the number or name")?;
        Ok(step)
    }

    fn index(&mut self) -> Result<usize, PathError> {
        let mut index = 0_usize;
        while let Some(digit) = self.peek().and_then(|next| next.to_digit(10)) {
            let larger = index.checked_mul(10).and_then(|index| index.checked_add(digit as usize));
            let Some(larger) = larger else { return self.wrong("the number is too large") };
            index = larger;
            self.next();
        }
        Ok(index)
    }

    fn quoted(&mut self) -> Result<String, PathError> {
        self.next();
        let mut name = String::new();
        loop {
            name.push_str(self.take(|next| !matches!(next, '"' | '\\')));
            match self.next() {
                Some('"') => return Ok(name),
                Some(_) => name.push(self.escaped()?),
                None => return self.wrong("the closing \" of the name is missing"),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, PathError> {
        let character = match self.peek() {
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('0') => '\0',
            Some(same @ ('"' | '\'' | '\\')) => same,
            Some('u') => return self.unicode(),
            _ => return self.wrong("write one of n r t 0 \" ' \\ or u{…} after the \\"),
        };
        self.next();
        Ok(character)
    }

    fn unicode(&mut self) -> Result<char, PathError> {
        self.next();
        self.expect('{', "a { is missing: write \\u{…}")?;
        let mut code = 0_u32;
        while let Some(digit) = self.peek().and_then(|next| next.to_digit(16)) {
            if code > u32::from(char::MAX) {
                break;
            }
            code = code * 16 + digit;
            self.next();
        }
        let Some(character) = char::from_u32(code) else {
            return self.wrong("this number is not that of a character");
        };
        self.expect('}', "a } is missing: write \\u{…}")?;
        Ok(character)
    }
}
