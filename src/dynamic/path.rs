//! How one gets to a value inside of a value: `queue[3].deadline`.

use std::fmt::{self, Display, Formatter, Write};
use std::iter::Peekable;
use std::str::{Chars, FromStr};

use serde_json::Value;

use super::PathError;
use crate::schema::named_step;

/// The way from a state to a value in it: `a.b[3].c`. Names with odd characters stand in brackets and quotes, as a Rust
/// literal: `by_name["worker 7"].load`. An empty path is the state itself.
///
/// ```
/// use tearless::dynamic::FieldPath;
///
/// let state = serde_json::json!({ "queue": [{ "deadline": 5 }], "by_name": { "worker 7": 0.5 } });
/// let path: FieldPath = "queue[0].deadline".parse()?;
/// assert_eq!(path.find(&state), Some(&5.into()));
/// let path: FieldPath = r#"by_name["worker 7"]"#.parse()?;
/// assert_eq!(path.find(&state), Some(&0.5.into()));
/// # Ok::<(), tearless::dynamic::PathError>(())
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

impl FieldPath {
    /// The state itself.
    #[must_use]
    pub fn root() -> FieldPath {
        FieldPath::default()
    }

    /// The steps, from the state on.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The path that goes one step further. Cost: a copy of all steps; [`FieldPath::from_iter`] makes a path of many.
    #[must_use]
    pub fn then(&self, step: Step) -> FieldPath {
        let mut steps = self.steps.clone();
        steps.push(step);
        FieldPath { steps }
    }

    /// The value there; `None` if there is none.
    #[must_use]
    pub fn find<'a>(&self, state: &'a Value) -> Option<&'a Value> {
        self.steps.iter().try_fold(state, |value, step| match step {
            Step::Name(name) => value.as_object()?.get(name),
            Step::Index(index) => value.as_array()?.get(*index),
        })
    }
}

/// The path of these steps, from the state on.
impl FromIterator<Step> for FieldPath {
    fn from_iter<I: IntoIterator<Item = Step>>(steps: I) -> FieldPath {
        FieldPath { steps: steps.into_iter().collect() }
    }
}

impl Display for FieldPath {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        for (index, step) in self.steps.iter().enumerate() {
            match step {
                Step::Index(index) => write!(formatter, "[{index}]")?,
                Step::Name(name) => {
                    let name = named_step(name);
                    if index > 0 && !name.starts_with('[') {
                        formatter.write_char('.')?;
                    }
                    formatter.write_str(&name)?;
                }
            }
        }
        Ok(())
    }
}

impl FromStr for FieldPath {
    type Err = PathError;

    /// # Errors
    ///
    /// [`PathError`], which says where the text is no path.
    fn from_str(text: &str) -> Result<FieldPath, PathError> {
        let mut parser = Parser { characters: text.chars().peekable(), column: 1 };
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
                _ => return parser.wrong("behind a bracket, a dot comes before the next name"),
            };
            steps.push(step);
        }
        Ok(FieldPath { steps })
    }
}

struct Parser<'a> {
    characters: Peekable<Chars<'a>>,
    /// Of the next character.
    column: usize,
}

impl Parser<'_> {
    fn peek(&mut self) -> Option<char> {
        self.characters.peek().copied()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.characters.next();
        self.column += usize::from(next.is_some());
        next
    }

    fn wrong<V>(&self, reason: &'static str) -> Result<V, PathError> {
        Err(PathError { column: self.column, reason })
    }

    fn expect(&mut self, expected: char, reason: &'static str) -> Result<(), PathError> {
        if self.peek() != Some(expected) {
            return self.wrong(reason);
        }
        self.next();
        Ok(())
    }

    fn name(&mut self) -> Result<Step, PathError> {
        let mut name = String::new();
        while let Some(next) = self.peek().filter(|next| !matches!(next, '.' | '[')) {
            if matches!(next, ']' | '"') || next.is_control() {
                return self.wrong("write a name with this character as [\"…\"]");
            }
            name.push(next);
            self.next();
        }
        if name.is_empty() {
            return self.wrong("a name is missing");
        }
        Ok(Step::Name(name))
    }

    fn bracket(&mut self) -> Result<Step, PathError> {
        self.next();
        let step = match self.peek() {
            Some('"') => Step::Name(self.quoted()?),
            Some('0'..='9') => Step::Index(self.index()?),
            _ => return self.wrong("in a bracket stands the number of one element, from 0, or \"a name\""),
        };
        self.expect(']', "a ] is missing")?;
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
            match self.peek() {
                None => return self.wrong("the name's second \" is missing"),
                Some('"') => break,
                Some('\\') => {
                    self.next();
                    name.push(self.escaped()?);
                }
                Some(other) => {
                    name.push(other);
                    self.next();
                }
            }
        }
        self.next();
        Ok(name)
    }

    fn escaped(&mut self) -> Result<char, PathError> {
        let character = match self.peek() {
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('0') => '\0',
            Some(same @ ('"' | '\'' | '\\')) => same,
            Some('u') => return self.unicode(),
            _ => return self.wrong("behind a \\ stands one of n r t 0 \" ' \\ or u{…}"),
        };
        self.next();
        Ok(character)
    }

    fn unicode(&mut self) -> Result<char, PathError> {
        self.next();
        self.expect('{', "a { is missing")?;
        let mut code = 0_u32;
        while let Some(digit) = self.peek().and_then(|next| next.to_digit(16)) {
            if code > u32::from(char::MAX) {
                break;
            }
            code = code * 16 + digit;
            self.next();
        }
        let Some(character) = char::from_u32(code) else { return self.wrong("there is no such character") };
        self.expect('}', "a } is missing")?;
        Ok(character)
    }
}
